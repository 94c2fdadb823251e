"""What a kernel would compute several times, in one iteration or in all of a loop, is computed once, in a variable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.ir.dtypes import dtype_of, is_float, promote, settle
from graphc.ir.expr import Access, Call, Logical, Where
from graphc.ir.nest import Assign, For, If, Local, Loop, Nest, Node, Step, Store, Unravel, nodes_in
from graphc.ir.tensor import Tensor
from graphc.ir.tree import postorder, substitute
from graphc.schedule.hoist import invariants, substitute_products
from graphc.schedule.interior import answered
from graphc.schedule.surroundings import Facts, Surroundings, readable

__all__ = ["shared"]

_Straight = Assign | Store
_WORTH = 4
"""Operations from which an expression without a function is worth a variable."""


def shared(step: Step, tensors: dict[str, Tensor]) -> Step:
    """The step with a variable for every expensive part that occurs twice between two loops, and for what does not change in a loop.

    A part that occurs in branches only is computed without asking, if all that it reads is provably in range: floating-point
    arithmetic has no other effect than its value.
    """
    if isinstance(step, Loop):
        return replace(step, steps=tuple(shared(s, tensors) for s in step.steps))
    if not isinstance(step, Nest):
        return step
    body = _Sharing(step.kernel.body, tensors).block(step.kernel.body, ())
    return step if body is step.kernel.body else replace(step, kernel=replace(step.kernel, body=body))


@dataclass(slots=True)
class _Part:
    """A part of expressions: how often and in which statements it occurs, and whether the first of them always computes it."""

    node: sp.Expr
    size: int
    times: int = 0
    where: list[int] = field(default_factory=list)
    certain: bool = False


class _Sharing:
    def __init__(self, body: Sequence[Node], tensors: dict[str, Tensor]) -> None:
        self.tensors, self.around = tensors, Surroundings(body, "s")

    def block(self, nodes: tuple[Node, ...], facts: Facts) -> tuple[Node, ...]:
        """The nodes with shared parts; the same object if there are none."""
        result: list[Node] = []
        straight: list[_Straight] = []
        for node in (*nodes, None):
            if isinstance(node, Assign | Store):
                straight.append(node)
                continue
            if isinstance(node, For):
                lets, node = self._before(node, facts)
                straight += lets
            result += self._line(straight, facts)
            straight = []
            if isinstance(node, For | If):
                result.append(_with(node, self.block(node.body, self.around.inside(node, facts))))
            elif node is not None:
                result.append(node)
        return nodes if len(result) == len(nodes) and all(a is b for a, b in zip(result, nodes, strict=True)) else tuple(result)

    def _before(self, loop: For, facts: Facts) -> tuple[list[Assign], For]:
        """What does not change in a loop, and the loop that uses it.

        The vectoriser of LLVM would otherwise meet it as arithmetic on what no iteration changes, for which its analysis of uniform
        values takes time exponential in the size.
        """
        inside = list(nodes_in((loop,)))
        names = {str(n.index) for n in inside if isinstance(n, For)} | {str(n.name) for n in inside if isinstance(n, Assign)}
        assigned = Counter(n.name for n in inside if isinstance(n, Assign))
        names |= {str(part) for n in inside if isinstance(n, Unravel) for part, _ in n.parts}
        written = {n.tensor for n in inside if isinstance(n, Store)}

        def varies(node: sp.Basic) -> bool:
            return any(str(s) in names for s in node.free_symbols) or any(
                isinstance(a, Access) and a.tensor in written for a in postorder(node)
            )

        found: dict[sp.Basic, Assign] = {}
        instead: dict[sp.Basic, sp.Expr] = {}
        for node in _always(loop):
            for part in invariants(node.value, varies):
                if part not in found and is_float(self._dtype(part)) and readable(part, self.tensors, facts):
                    dtype = self._type(part, node)
                    found[part] = Assign(self.around.new(dtype), part, dtype)
                    instead[part] = found[part].name
            if isinstance(node, Assign) and node.value in found and found[node.value].dtype == node.dtype and assigned[node.name] == 1:
                instead[node.name] = found[node.value].name
        return list(found.values()), replace(loop, body=_using(loop.body, instead)) if found else loop

    def _line(self, nodes: list[_Straight], facts: Facts) -> list[_Straight]:
        """Statements without loops between them."""
        decided = [replace(n, value=value) if (value := answered(n.value, facts)) is not n.value else n for n in nodes]
        nodes = nodes if all(a is b for a, b in zip(decided, nodes, strict=True)) else decided
        parts: dict[sp.Basic, _Part] = {}
        for position, node in enumerate(nodes):
            self._count(node.value, position, True, parts)
        often = [p for p in parts.values() if p.times > 1 and self._worth(p) and self._steady(p, nodes)]
        found = [p for p in often if p.certain or readable(p.node, self.tensors, facts)]
        if not found:
            return nodes
        mapping: dict[sp.Basic, Local] = {}
        before: dict[int, list[Assign]] = {}
        for part in sorted(found, key=lambda p: p.size):
            first = nodes[part.where[0]]
            dtype = self._type(part.node, first)
            name = self.around.new(dtype)
            before.setdefault(part.where[0], []).append(Assign(name, substitute(part.node, mapping), dtype))
            mapping[part.node] = name
        return [n for k, node in enumerate(nodes) for n in (*before.get(k, ()), replace(node, value=substitute(node.value, mapping)))]

    def _count(self, node: sp.Basic, position: int, certain: bool, parts: dict[sp.Basic, _Part]) -> int:
        """Counts the parts of an expression, those of a part that has been seen only once; returns its number of operations."""
        if not node.args or isinstance(node, Access):
            return 0
        part = parts.get(node)
        if part is None:
            part = parts[node] = _Part(node, 0, certain=certain)
            lazy = isinstance(node, Where | Logical)
            part.size = 1 + sum(self._count(a, position, certain and not (lazy and k), parts) for k, a in enumerate(node.args))
        elif certain and position == part.where[0]:
            part.certain = True
        part.times += 1
        part.where.append(position)
        return part.size

    def _worth(self, part: _Part) -> bool:
        return (part.size >= _WORTH or any(map(_slow, postorder(part.node)))) and is_float(self._dtype(part.node))

    def _steady(self, part: _Part, nodes: list[_Straight]) -> bool:
        """Whether nothing that the part reads changes between its first and its last occurrence."""
        first, last = part.where[0], part.where[-1]
        read = {a.tensor for a in postorder(part.node) if isinstance(a, Access)}
        for position, node in enumerate(nodes):
            if isinstance(node, Store) and node.tensor in read and first <= position < last:
                return False
            if isinstance(node, Assign) and node.name in part.node.free_symbols and position >= first:
                return False
        return True

    def _type(self, node: sp.Expr, used: _Straight) -> str:
        """The type in which the part is computed where it first occurs."""
        to = used.dtype if isinstance(used, Assign) else self.tensors[used.tensor].dtype
        return settle(self._dtype(node), promote(settle(self._dtype(used.value), to), to))

    def _dtype(self, node: sp.Expr) -> str:
        variables = {s: Access(f"local {s.name}") for s in node.free_symbols if isinstance(s, Local)}
        types = {f"local {s.name}": dtype for s, dtype in self.around.locals.items()}
        return dtype_of(substitute(node, variables), lambda name: types[name] if name in types else self.tensors[name].dtype)


def _always(loop: For) -> Iterator[_Straight]:
    """The statements of a loop and of those inside of it that are under no condition."""
    for node in loop.body:
        if isinstance(node, For):
            yield from _always(node)
        elif isinstance(node, Assign | Store):
            yield node


def _using(nodes: Sequence[Node], names: dict[sp.Basic, sp.Expr]) -> tuple[Node, ...]:
    """The nodes with variables for parts of their expressions, and without the variables that `names` replaces."""
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, For):
            result.append(replace(node, body=_using(node.body, names)))
        elif isinstance(node, If):
            result.append(If(substitute(node.condition, names), _using(node.body, names)))
        elif isinstance(node, Assign | Store):
            if not (isinstance(node, Assign) and node.name in names):
                result.append(replace(node, value=substitute_products(node.value, names)))
        else:
            result.append(node)
    return tuple(result)


def _slow(node: sp.Basic) -> bool:
    """Whether the node is a function or a division."""
    return isinstance(node, Call) or (isinstance(node, sp.Pow) and bool(node.exp.is_negative))


def _with(node: For | If, body: tuple[Node, ...]) -> For | If:
    return node if body is node.body else replace(node, body=body)
