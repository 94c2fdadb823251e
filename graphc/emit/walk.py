"""One walker over loop nests; the targets differ in how a shared loop is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import sympy as sp

from graphc.emit.expression import Writer
from graphc.emit.names import safe
from graphc.ir.expr import Access, Size
from graphc.ir.nest import (
    Assign,
    Barrier,
    Combine,
    Contract,
    Fill,
    For,
    If,
    Local,
    Loop,
    Moment,
    Nest,
    Node,
    Outside,
    Report,
    Step,
    Store,
    Unravel,
    nodes_in,
    single,
)
from graphc.ir.tree import accesses, postorder

__all__ = ["TABLES", "Block", "Walker", "expressions_of", "generated_names", "locals_of", "sizes_of_kernel"]

_LITERAL = 8
"""Larger literal extents become arguments, so that kernels that differ only in them are one."""


class Block(Protocol):
    """How a target writes what the threads of a block do together."""

    def together(self, node: Combine | Barrier | Outside, writer: Writer) -> Iterator[str]:
        """Lines for a node."""

    def divided(self, name: str, low: str, high: str) -> tuple[list[str], str]:
        """Lines before the body of a loop, of which the last one opens a block, and a line at its end."""


@dataclass
class Walker:
    """Writes the lines of a kernel body.

    Attributes:
        writer: of expressions.
        open_shared: header of the shared loop: (variable, lower bound, upper bound, lower bound is 0) → text.
        report: the line that makes the call fail.
        fix: the function through which the variable of a sequential loop around vector loops goes, if there is one.
        block: lines for what the threads of a block do together, and the header of a loop that they divide.
        literals: extents that became arguments: name → value.
    """

    writer: Writer
    open_shared: Callable[[str, str, str], str]
    report: Callable[[Report], str]
    fix: str = ""
    block: Block | None = None
    literals: dict[str, int] = field(default_factory=dict)

    def lines(self, body: Sequence[Node], depth: int) -> Iterator[str]:
        for node in body:
            yield from self.node(node, depth)

    def node(self, node: Node, depth: int) -> Iterator[str]:
        """The lines of one node."""
        indent, syntax = "    " * depth, self.writer.syntax
        match node:
            case For():
                header, end = self._header(node)
                yield from (indent + line for line in header)
                if self.fix and _moves_within(node.body):
                    self.writer.used.add(self.fix)
                    yield f"{indent}    {(name := safe(str(node.index)))} = {self.fix}({name})"
                yield from self._block(node.body, depth, end)
            case Assign():
                yield indent + self.assigned(node)
            case Store(atomic=True):
                value = self.writer.value(node.value, self.writer.dtype_of(node.tensor))
                where = f"({self._left(node)})" if len(node.subscripts) > 1 else self._left(node)
                yield f"{indent}cuda.atomic.add({self.writer.name_of(node.tensor)}, {where}, {value})"
            case Store():
                dtype = self.writer.dtype_of(node.tensor)
                left = f"{self.writer.name_of(node.tensor)}[{self._left(node)}]"
                yield f"{indent}{left} {'+=' if node.accumulate else '='} {self.writer.value(node.value, dtype)}{syntax.end}"
            case If():
                yield indent + syntax.condition.format(self.writer.value(node.condition, "bool"))
                yield from self._block(node.body, depth)
            case Report():
                yield indent + self.report(node)
            case Combine() | Barrier() | Outside():
                assert self.block is not None
                yield from (indent + line for line in self.block.together(node, self.writer))
            case Unravel():
                yield from (indent + line for line in self.unravelled(node))

    def _block(self, body: Sequence[Node], depth: int, end: str = "") -> Iterator[str]:
        yield from self.lines(body, depth + 1)
        if end:
            yield "    " * (depth + 1) + end
        if self.writer.syntax.close:
            yield "    " * depth + self.writer.syntax.close

    def assigned(self, node: Assign) -> str:
        """The line that sets a scalar variable."""
        self.writer.locals[node.name] = node.dtype
        return f"{node.name.name} = {self.writer.value(node.value, node.dtype)}{self.writer.syntax.end}"

    def _left(self, node: Store) -> str:
        return self.writer.subscripts(Access(node.tensor, *node.subscripts))

    def _header(self, node: For) -> tuple[list[str], str]:
        """Lines before the body of a loop, and one at its end."""
        name = safe(str(node.index))
        syntax = self.writer.syntax
        lower = [self.writer.integer(e) for e in node.lower]
        upper = [self._bound(node, e) for e in node.upper]
        if node.shared:
            first, last = ("first", "last") if node.grain == 1 else (f"{node.grain} * first", f"{node.grain} * last")
            start = first if node.lower[0] == 0 else f"{lower[0]} + {first}"
            end = last if node.lower[0] == 0 else f"{lower[0]} + {last}"
            lower, upper = [start, *lower[1:]], [end, *upper[node.grain == 1 :]]
            return [self.open_shared(name, syntax.extreme(True, lower), syntax.extreme(False, upper))], ""
        low, high = syntax.extreme(True, lower), syntax.extreme(False, upper)
        if node.lanes:
            assert self.block is not None
            return self.block.divided(name, low, high)
        return [syntax.header(name, low, high, node.step, node.descending)], ""

    def unravelled(self, node: Unravel) -> Iterator[str]:
        rest = safe(str(node.line))
        for index, extent in reversed(node.parts[1:]):
            size = self.writer.integer(extent)
            size = size if size.isidentifier() or size.isdigit() else f"({size})"
            yield f"{safe(str(index))} = {rest} % {size}"
            rest = f"{rest} {self.writer.syntax.divide} {size}"
        yield f"{safe(str(node.parts[0][0]))} = {rest}"

    def _bound(self, node: For, bound: sp.Expr) -> str:
        if isinstance(bound, sp.Integer) and bound > _LITERAL and not node.shared:
            name = f"{safe(str(node.index))}_end"
            count = 1
            while self.literals.get(name, int(bound)) != int(bound):
                count += 1
                name = f"{safe(str(node.index))}_end{count}"
            self.literals[name] = int(bound)
            return name
        return self.writer.integer(bound)


def _moves_within(body: Sequence[Node]) -> bool:
    """Whether the innermost loops of a body, those under conditions included, store to one element of a tensor and touch another one."""
    return _several(tuple(_innermost(body)))


def _innermost(body: Sequence[Node]) -> Iterator[Node]:
    """What happens in loops without loops inside that stand in no other loop of a body."""
    for node in body:
        if isinstance(node, If):
            yield from _innermost(node.body)
        elif isinstance(node, For) and not any(isinstance(n, For) for n in nodes_in(node.body)):
            yield from nodes_in(node.body)


def _several(nodes: Sequence[Node]) -> bool:
    """Whether a tensor that nodes store to occurs in them with different subscripts."""
    written = {n.tensor for n in nodes if isinstance(n, Store)}
    touched = {(n.tensor, n.subscripts) for n in nodes if isinstance(n, Store)}
    found = (a for e in expressions_of(nodes) for a in accesses(e) if isinstance(a, Access))
    touched |= {(a.tensor, a.subscripts) for a in found if a.tensor in written}
    return len(touched) > len(written)


def expressions_of(body: Sequence[Node]) -> Iterator[sp.Basic]:
    """All expressions in a body."""
    for node in body:
        match node:
            case For():
                yield from node.lower[node.shared and node.lower[0] == 0 :]
                yield from node.upper[node.shared and node.grain == 1 :]
                yield from expressions_of(node.body)
            case Assign():
                yield node.value
            case Store():
                yield from node.subscripts
                yield node.value
            case If():
                yield node.condition
                yield from expressions_of(node.body)
            case Combine() | Outside():
                yield node.value
            case Unravel():
                yield from (extent for _, extent in node.parts[1:])


def sizes_of_kernel(body: Sequence[Node]) -> tuple[Size, ...]:
    """The sizes that a kernel needs as arguments, and the variables of loops of steps around it, in alphabetical order."""
    bound = set(_loop_variables(body))
    found = {part for e in expressions_of(body) for part in postorder(e) if isinstance(part, Size)}
    return tuple(sorted((z for z in found if not (isinstance(z, Moment) and str(z) in bound)), key=str))


def _loop_variables(body: Sequence[Node]) -> Iterator[str]:
    for node in body:
        if isinstance(node, Unravel):
            yield from (str(index) for index, _ in node.parts)
        elif isinstance(node, For | If):
            if isinstance(node, For):
                yield str(node.index)
            yield from _loop_variables(node.body)


def locals_of(body: Sequence[Node]) -> tuple[Local, ...]:
    return tuple(dict.fromkeys(part for e in expressions_of(body) for part in postorder(e) if isinstance(part, Local)))


TABLES = "batch", "rows", "columns", "depth", "choice"
"""Variables of a contraction, before its number."""


def generated_names(steps: Sequence[Step]) -> set[str]:
    """Names that tensors and sizes cannot have: of functions, of tables, and of indices and scalar variables in a kernel that uses both."""
    names: set[str] = set()
    names.update(_moments(steps))
    numbered: dict[str, int] = {}
    for number, step in enumerate(single(steps)):
        if isinstance(step, Nest):
            used = {safe(n) for n in (*step.kernel.arrays, *map(str, sizes_of_kernel(step.kernel.body)))}
            names |= used.intersection(_names_in(step.kernel.body))
            numbered[f"{step.kernel.kind}_"] = number
        elif isinstance(step, Contract):
            numbered |= dict.fromkeys((*TABLES, "contract_"), number)
        elif isinstance(step, Fill):
            names |= {f"fill_{dtype}" for dtype in ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")}
    contracts = range(numbered.get("contract_", -1) + 1)
    names |= {f"contract_{k}_{part}" for k in contracts for part in ("of", "small", "wide", "joined")}
    return names | {f"{stem}{k}" for stem, last in numbered.items() for k in range(last + 1)}


def _moments(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, Loop):
            yield safe(step.moment.name)
            yield from _moments(step.steps)


def _names_in(body: Sequence[Node]) -> Iterator[str]:
    for node in body:
        match node:
            case For():
                name = safe(str(node.index))
                yield from (name, *(f"{name}_end{k}" for k in ("", 2, 3)))
                yield from _names_in(node.body)
            case If():
                yield from _names_in(node.body)
            case Assign():
                yield node.name.name
            case Unravel():
                yield from (safe(str(index)) for index, _ in node.parts)
