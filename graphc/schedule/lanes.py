"""Loops inside of rows, divided among the threads of a block: what they sum is combined, what they store is seen by all after a barrier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import sympy as sp

from graphc.analysis.injectivity import injective
from graphc.ir.affine import linear
from graphc.ir.dtypes import is_float
from graphc.ir.expr import INFINITY, Access, Call, Index, build
from graphc.ir.nest import Assign, Barrier, Combine, For, If, Local, Loop, Nest, Node, Report, Step, Store, Unravel, nodes_in
from graphc.ir.statement import Range
from graphc.ir.tree import accesses, indices_of, postorder

__all__ = ["over_lanes"]

_ZERO, _ONE = sp.Integer(0), sp.Integer(1)

_SHORT = 32
"""Iterations from which a loop is worth the threads of a block."""

OTHER = Local("other")


def over_lanes(step: Step, in_place: Mapping[str, str] = MappingProxyType({})) -> Step:
    """The step with a block for every iteration of its shared loop instead of a thread.

    That is done if every long loop inside can be divided, and if neighbours in memory then fall to neighbouring threads.

    Args:
        step: with loops of single threads.
        in_place: new values that are written into the array of an input: threads wait for each other's reads of that.
    """
    if isinstance(step, Loop):
        return replace(step, steps=tuple(over_lanes(s, in_place) for s in step.steps))
    if not isinstance(step, Nest) or step.kernel.flat or step.kernel.kind == "scatter":
        return step
    body = _rows(step.kernel.body, in_place)
    return step if body is None else replace(step, kernel=replace(step.kernel, body=body, lanes=True))


def _rows(body: tuple[Node, ...], same: Mapping[str, str]) -> tuple[Node, ...] | None:
    """The body with its inner loops divided; None if it stays as it is."""
    shared = [n for n in nodes_in(body) if isinstance(n, For) and n.shared]
    if not shared:
        return _divided(body, same)
    *before, rows = body
    if len(shared) > 1 or not isinstance(rows, For) or not rows.shared or not all(isinstance(n, Assign) for n in before):
        return None
    if not _better(rows):
        return None
    start = 1 if isinstance(rows.body[0], Unravel) else 0
    inner = _divided(rows.body[start:], same)
    return None if inner is None else (*before, replace(rows, body=(*rows.body[:start], *inner)))


def _better(rows: For) -> bool:
    """Whether more accesses are contiguous along the innermost loops than along the rows."""
    line = rows.body[0]
    row = line.parts[-1][0] if isinstance(line, Unravel) else rows.index
    inner = {n.index for n in nodes_in(rows.body) if isinstance(n, For) and not any(isinstance(m, For) for m in nodes_in(n.body))}
    along = across = 0
    for access in _touched(rows.body):
        if access.subscripts:
            last = linear(access.subscripts[-1])
            moving = {a for a, c in last.terms if abs(c) == 1} if last is not None else set()
            along += bool(moving & inner)
            across += any(str(a) == str(row) for a in moving)
    return along >= across


def _touched(body: Sequence[Node]) -> Iterator[Access]:
    for node in nodes_in(body):
        if isinstance(node, Store):
            yield Access(node.tensor, *node.subscripts)
        if isinstance(node, Store | Assign):
            yield from (a for a in accesses(node.value) if isinstance(a, Access))


# ---------------------------------------------------------------------------------------------------------------- a block


def _divided(nodes: Sequence[Node], same: Mapping[str, str]) -> tuple[Node, ...] | None:
    """What all threads of a block do together; None if a long loop cannot be divided, or none is long."""
    made = _block(nodes)
    if made is None or _private(made) or not any(isinstance(n, For) and n.lanes and _long(n) for n in nodes_in(made)):
        return None
    return _ordered(made, same)


def _private(nodes: Sequence[Node]) -> bool:
    """Whether a variable of single threads is read by all of them together."""
    loops = [n for n in nodes_in(nodes) if isinstance(n, For) and n.lanes]
    inside = {n.name for loop in loops for n in nodes_in(loop.body) if isinstance(n, Assign)}
    inside -= {n.name for n in nodes_in(nodes) if isinstance(n, Combine)}
    return any(part in inside for e in _common_values(nodes) for part in postorder(e))


def _common_values(nodes: Sequence[Node]) -> Iterator[sp.Basic]:
    """What all threads compute."""
    for node in nodes:
        if isinstance(node, For) and node.lanes:
            yield from (*node.lower, *node.upper)
        elif isinstance(node, For | If):
            yield from _values((replace(node, body=()),))
            yield from _common_values(node.body)
        else:
            yield from _values((node,))


def _block(nodes: Sequence[Node]) -> list[Node] | None:
    made: list[Node] = []
    known: dict[Local, sp.Expr] = {}
    for node in nodes:
        match node:
            case Assign():
                made.append(node)
                known[node.name] = node.value
            case Store():
                made.append(For(Index(".one"), (_ZERO,), (_ONE,), (node,), lanes=True))
            case If():
                inner = _block(node.body)
                if inner is None:
                    return None
                made.append(replace(node, body=tuple(inner)))
                for name in {n.name for n in nodes_in(node.body) if isinstance(n, Assign)}:
                    known.pop(name, None)
            case For():
                found = _loop(node, known)
                if found is None:
                    return None
                made += found
                for name in {n.name for n in nodes_in((node,)) if isinstance(n, Assign)}:
                    known.pop(name, None)
            case Unravel() | Report():
                made.append(node)
            case _:
                return None
    return made


def _loop(loop: For, known: Mapping[Local, sp.Expr]) -> list[Node] | None:
    """A loop divided among lanes, or else what is inside of it; None if it is long and neither is possible.

    Args:
        loop: of a row.
        known: values of variables before it.
    """
    flat = _flat(loop)
    inner = [n for n in nodes_in(loop.body) if isinstance(n, For)]
    if not _long(flat) and not inner and not any(isinstance(n, Store) for n in nodes_in(loop.body)):
        return [loop]
    carried = _carried(flat)
    if carried is not None and (_long(flat) or not inner):
        begun = [c for c in carried if known.get(c.name) != c.neutral]
        before = {c.name: Local(f"before_{c.name.name}") for c in begun}
        return [
            *(node for c in begun for node in (Assign(before[c.name], c.name, c.dtype), Assign(c.name, c.neutral, c.dtype))),
            replace(flat, lanes=True),
            *(Combine(c.name, OTHER, c.joined(c.name, OTHER), c.dtype) for c in carried),
            *(Assign(c.name, c.joined(before[c.name], c.name), c.dtype) for c in begun),
        ]
    if inner and not any(isinstance(n, Report) for n in nodes_in(loop.body)):
        made = _block(loop.body)
        return None if made is None else [replace(loop, body=tuple(made))]
    return None


def _long(loop: For) -> bool:
    extent = sp.expand(loop.upper[0] - loop.lower[0])
    return not extent.is_Integer or bool(extent >= _SHORT)


def _flat(loop: For) -> For:
    """A loop over a box as one loop over its points."""
    parts, lower, body = [(loop.index, loop.upper[0] - loop.lower[0])], loop.lower[0], loop.body
    plain = len(loop.lower) == len(loop.upper) == 1 and not loop.descending and loop.step == 1
    while plain and len(body) == 1:
        inner = body[0]
        if not isinstance(inner, For) or len(inner.lower) > 1 or len(inner.upper) > 1 or inner.descending:
            break
        if inner.lower[0] != 0 or indices_of(inner.upper[0]) or inner.step != 1:
            break
        parts.append((inner.index, inner.upper[0]))
        body = inner.body
    if len(parts) == 1:
        return loop
    inside = sp.Mul(*(e for _, e in parts[1:]))
    line = Index("_".join(str(i) for i, _ in parts))
    return For(line, (sp.expand(lower * inside),), (sp.expand(loop.upper[0] * inside),), (Unravel(line, tuple(parts)), *body))


def _carried(loop: For) -> list[_Sum] | None:
    """The variables to which the iterations of a loop add, if nothing else ties them to each other."""
    if loop.descending or loop.step != 1 or any(isinstance(n, Report) for n in nodes_in(loop.body)):
        return None
    names = {loop.index}
    if loop.body and isinstance(loop.body[0], Unravel):
        names = {i for i, _ in loop.body[0].parts}
    stores = [n for n in nodes_in(loop.body) if isinstance(n, Store)]
    alone = {s.tensor for s in stores if sum(o.tensor == s.tensor for o in stores) == 1}
    if not all(names <= _telling(s) or (s.tensor in alone and _apart(s, loop)) for s in stores):
        return None
    places = {(s.tensor, s.subscripts) for s in stores}
    written = {s.tensor for s in stores}
    if len(places) > len(written) or any(a.tensor in written and (a.tensor, a.subscripts) not in places for a in _touched(loop.body)):
        return None
    return _sums(loop)


def _telling(store: Store) -> set[Index]:
    """Indices whose values give different elements, whatever the others are."""
    return {s for s in store.subscripts if isinstance(s, Index)}


def _apart(store: Store, loop: For) -> bool:
    """Whether all iterations, those of loops inside included, write different elements: ``X.grad[2*p+r]`` with r < 2."""
    ranges = [Range(loop.index, loop.lower[0], loop.upper[0])]
    if loop.body and isinstance(loop.body[0], Unravel):
        ranges = [Range(i, _ZERO, e) for i, e in loop.body[0].parts]
    waiting = list(loop.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, For | If) and any(n is store for n in nodes_in(node.body)):
            if isinstance(node, For):
                ranges.append(Range(node.index, node.lower[0], node.upper[0]))
            waiting += node.body
    inside = {r.index for r in ranges}
    moving = [s for s in store.subscripts if linear(s) is not None]
    if len(moving) < len(store.subscripts) or any(indices_of(e) for r in ranges for e in (r.lower, r.upper)):
        return False
    known = {i for s in moving for i in indices_of(s)}
    return inside <= known and injective(moving, [r for r in ranges if r.index in known])


def _sums(loop: For) -> list[_Sum] | None:
    """Assignments ``x = x + …`` (a sum, product, maximum, minimum) of variables from outside of the loop; None if there are others."""
    carried: list[_Sum] = []
    started: set[Local] = set()
    for assign in (n for n in nodes_in(loop.body) if isinstance(n, Assign)):
        if assign.name in started:
            continue
        if assign.name not in postorder(assign.value) and any(n is assign for n in loop.body):
            started.add(assign.name)
            continue
        found = _Sum.of(assign)
        if found is None:
            return None
        carried.append(found)
    names = {c.name for c in carried}
    uses = sum(postorder(e).count(n) for e in _values(loop.body) for n in names)
    return None if len(names) < len(carried) or names & started or uses > len(carried) else carried


def _values(body: Sequence[Node]) -> Iterator[sp.Basic]:
    for node in nodes_in(body):
        match node:
            case Assign():
                yield node.value
            case Store():
                yield from (node.value, *node.subscripts)
            case If():
                yield node.condition
            case For():
                yield from (*node.lower, *node.upper)
            case _:
                pass


@dataclass(frozen=True, slots=True)
class _Sum:
    """``name = function(name, value)``, which may be done in any order; `function` is "plus", "maximum", "minimum" or "times"."""

    name: Local
    function: str
    value: sp.Expr
    dtype: str

    @classmethod
    def of(cls, assign: Assign) -> _Sum | None:
        """The assignment as such; None if it is something else."""
        name, value = assign.name, assign.value
        if isinstance(value, Call) and value.function in ("plus", "maximum", "minimum") and value.arguments[0] == name:
            function, rest = value.function, value.arguments[1]
        elif isinstance(value, sp.Add | sp.Mul) and name in value.args:
            function = "plus" if isinstance(value, sp.Add) else "times"
            rest = value.func(*(a for a in value.args if a != name))
        else:
            return None
        return cls(name, function, rest, assign.dtype) if name not in postorder(rest) and is_float(assign.dtype) else None

    def joined(self, a: sp.Expr, b: sp.Expr) -> sp.Expr:
        return build(lambda: a * b) if self.function == "times" else Call(self.function, a, b)

    @property
    def neutral(self) -> sp.Expr:
        """What changes nothing."""
        return {"plus": _ZERO, "times": _ONE, "minimum": INFINITY, "maximum": -INFINITY}[self.function]


# ------------------------------------------------------------------------------------------------------------------ order


def _ordered(nodes: Sequence[Node], same: Mapping[str, str]) -> tuple[Node, ...]:
    """Barriers before what touches a tensor that other threads have written since the last one, or writes what they still read; tensors
    in `same` lie where another one does."""
    made: list[Node] = []
    written: set[str] = set()
    read: set[str] = set()
    for node in nodes:
        inner = node
        if isinstance(node, For | If) and not (isinstance(node, For) and node.lanes):
            inside = _ordered(node.body, same)
            if isinstance(node, For) and _conflict(node.body):
                inside = (*inside, Barrier())
            if _reads(replace(node, body=())) & set().union(*map(_writes, node.body)):
                inside = (Barrier(), *inside)  # all threads have read the condition before one of them changes it
            inner = replace(node, body=inside)
        own_writes, own_reads = ({same.get(n, n) for n in names} for names in (_writes(node), _reads(node)))
        if (own_reads | own_writes) & written or own_writes & read:
            made.append(Barrier())
            written, read = set(), set()
        written |= own_writes
        read |= own_reads
        made.append(inner)
    return tuple(made)


def _conflict(body: Sequence[Node]) -> bool:
    """Whether an iteration touches what another one writes, or may."""
    return bool(set().union(*map(_writes, body)))


def _writes(node: Node) -> set[str]:
    return {n.tensor for n in nodes_in((node,)) if isinstance(n, Store)}


def _reads(node: Node) -> set[str]:
    return {a.tensor for e in _values((node,)) for a in accesses(e) if isinstance(a, Access)} | {
        n.tensor for n in nodes_in((node,)) if isinstance(n, Store) and n.accumulate}
