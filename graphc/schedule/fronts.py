"""Recurrences whose steps look at near neighbours only, such as stencils in time: tiles of elements and steps, one front after the other.

An element of a step that needs elements of earlier steps no more than `slope` places to either side lies in tile ``(place + slope·step)
// WIDTH``, and in chunk ``step // HEIGHT``. So skewed, a tile needs tiles and chunks before it only: those with one sum of tile and chunk,
a front, are computed side by side, and what a tile works on stays in the cache for all of its steps. Rows that go round in a ring suffice,
since no place is ever read more than `slope` places ahead of the step that overwrites it.

Wolf and Lam, "A data locality optimizing algorithm", PLDI 1991; Wonnacott, "Using time skewing to eliminate idle time due to memory
bandwidth and network limitations", IPDPS 2000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product

import sympy as sp

from graphc.analysis.conditions import known_on
from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access, FloorDiv, Index, Where
from graphc.ir.nest import Assign, For, If, Loop, Moment, Nest, Node, Step, Store, nodes_in
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, symbols_of
from graphc.schedule.merge import read_tensors, written_tensors
from graphc.schedule.surroundings import Facts, Surroundings

__all__ = ["in_fronts"]

SIZES = {1: (1024, 32), 2: (16, 8), 3: (8, 4)}
"""Width and height of a tile of places on a line, of rows, and of layers: what it works on fits into the cache next to a core."""

LONG, CHUNKS = 65536, 10
"""A line of so many places has tiles four times as wide; where the number of steps is known, there are so many chunks of at least 8."""

STEEPEST = 4
"""Places to either side that a step looks at most."""

_ZERO = sp.Integer(0)


def in_fronts(step: Nest, tensors: Mapping[str, Tensor]) -> list[Step]:
    """The step, a recurrence on one thread, in fronts of tiles that all threads share; itself where that is not possible.

    Args:
        step: its body contains a sequential loop, perhaps beside some steps before or after it; rows are not yet in a ring.
        tensors: by name.
    """
    body = step.kernel.body
    if step.kernel.extent is not None:
        return [step]
    for k, loop in enumerate(body):
        if isinstance(loop, For) and (tiled := _in_fronts(step, loop, tensors)) is not None:
            around = (_part(step, body[:k]), tiled, _part(step, body[k + 1 :]))
            return [s for s in around if s is not None]
    return [step]


def _part(step: Nest, body: tuple[Node, ...]) -> Nest | None:
    """Some of what a step does."""
    if not body:
        return None
    written = written_tensors(body)
    arrays = (*written, *(n for n in step.kernel.arrays if n in read_tensors(body) and n not in written))
    return replace(step, kernel=replace(step.kernel, body=body, arrays=arrays), writes=written[0], also=written[1:])


def _in_fronts(step: Nest, loop: For, tensors: Mapping[str, Tensor]) -> Loop | None:
    units = list(_units(loop.body))
    written = {n.tensor for n in nodes_in((loop,)) if isinstance(n, Store)}
    places = [s for n in nodes_in((loop,)) if isinstance(n, Store) for e in n.subscripts for s in symbols_of(e)]
    moment = next((s for s in places if str(s) == str(loop.index)), None)
    if moment is None or not all(isinstance(u, For | Store | Assign) for u in units):
        return None
    if loop.shared or loop.step != 1 or len(loop.lower) != 1 or len(loop.upper) != 1 or written != {step.writes, *step.also}:
        return None
    for along in _dimensions(units, written, moment):
        found = _Stencil(tensors, Surroundings(step.kernel.body, "q"), loop, moment, along)
        slope = found.slope()
        if slope is not None:
            return _tiled(_part(step, (loop,)) or step, found, slope)
    return None


def _units(body: Sequence[Node]) -> Iterator[Node]:
    """What a step does one after the other, behind conditions as well."""
    for node in body:
        if isinstance(node, If):
            yield from _units(node.body)
        else:
            yield node


def _stores(unit: Node) -> list[Store]:
    return [n for n in nodes_in((unit,)) if isinstance(n, Store)]


_Along = Mapping[str, tuple[int, sp.Expr, int]]
"""By tensor: the dimension of the steps, how far its row lies ahead of the step, and the dimension of the places."""


def _dimensions(units: Sequence[Node], written: set[str], moment: sp.Symbol) -> Iterator[_Along]:
    """What the dimensions of the tensors may mean."""
    choices: dict[str, set[tuple[int, sp.Expr, int]]] = {name: set() for name in written}
    for unit in (u for u in units if isinstance(u, For)):
        loops = {n.index for n in nodes_in((unit,)) if isinstance(n, For)}
        for s in _stores(unit):
            ahead = {d: sp.expand(e - moment) for d, e in enumerate(s.subscripts)}
            rows = [(d, e) for d, e in ahead.items() if e.is_Integer]
            choices[s.tensor] |= {(*rows[0], d) for d, e in enumerate(s.subscripts) if len(rows) == 1 and e in loops}
    names = sorted(choices)
    yield from (dict(zip(names, chosen, strict=True)) for chosen in product(*(sorted(choices[n], key=str) for n in names)))


@dataclass(frozen=True)
class _Stencil:
    """A recurrence, taken to be one that looks at near neighbours.

    Attributes:
        tensors: by name.
        around: the names in the body.
        loop: the steps.
        moment: its variable.
        along: what the dimensions of the tensors that it computes mean.
    """

    tensors: Mapping[str, Tensor]
    around: Surroundings
    loop: For
    moment: sp.Symbol
    along: _Along

    def place(self, unit: Node) -> sp.Expr | None:
        """Where a unit stores: at the place of one of its loops, or at one place; None if neither."""
        found = {s.subscripts[self.along[s.tensor][2]] for s in _stores(unit)}
        if len(found) != 1:
            return None
        (place,) = found
        inner = {n.index for n in nodes_in((unit,)) if isinstance(n, For)}
        fixed = not accesses(place) and not {str(s) for s in symbols_of(place)} & {str(i) for i in inner}
        return place if fixed or place in inner else None

    def extent(self) -> sp.Expr | None:
        """The number of places, where the tensors differ by numbers."""
        extents = [self.tensors[name].shape[d] for name, (_, _, d) in self.along.items()]
        more = [sp.expand(e - extents[0]) for e in extents]
        return sp.expand(extents[0] + max(more)) if all(m.is_Integer for m in more) else None

    def slope(self) -> int | None:
        """Places per step by which tiles are skewed; None if a step needs others than near neighbours in earlier steps."""
        sides: list[tuple[sp.Expr, Facts]] = []
        if self.extent() is None or not self._seen(self.loop.body, self.around.inside(self.loop, ()), sides):
            return None
        return next((s for s in range(1, STEEPEST + 1) if all(self._within(side, s, facts) for side, facts in sides)), None)

    @staticmethod
    def _within(side: sp.Expr, slope: int, facts: Facts) -> bool:
        if side.is_Integer:
            return bool(abs(side) <= slope)
        return nonnegative(sp.expand(slope - side), facts) and nonnegative(sp.expand(slope + side), facts)

    def _seen(self, nodes: Sequence[Node], facts: Facts, sides: list[tuple[sp.Expr, Facts]]) -> bool:
        """Collects how far to the side the units read rows of earlier steps; whether nothing else is read."""
        for node in nodes:
            if isinstance(node, If):
                if self._own(node.condition) or not self._seen(node.body, self.around.inside(node, facts), sides):
                    return False
                continue
            if isinstance(node, Assign):
                if self._own(node.value):
                    return False
                continue
            place = self.place(node)
            if place is None or not all(self._rows(s) for s in _stores(node)) or not self._reads((node,), place, facts, sides):
                return False
        return True

    def _rows(self, store: Store) -> bool:
        dimension, ahead, _ = self.along[store.tensor]
        return bool(sp.expand(store.subscripts[dimension] - self.moment - ahead) == 0)

    def _own(self, expression: sp.Basic) -> list[Access]:
        return [a for a in accesses(expression) if isinstance(a, Access) and a.tensor in self.along]

    def _reads(self, nodes: Sequence[Node], place: sp.Expr, facts: Facts, sides: list[tuple[sp.Expr, Facts]]) -> bool:
        for node in nodes:
            if isinstance(node, For):
                simple = node.step == 1 and not node.shared and not any(self._own(e) for e in (*node.lower, *node.upper))
                if not simple or not self._reads(node.body, place, self.around.inside(node, facts), sides):
                    return False
            elif isinstance(node, If):
                if not self._reads(node.body, place, self.around.inside(node, facts), sides):
                    return False
            elif not isinstance(node, Assign | Store):
                return False
            parts = [node.condition] if isinstance(node, If) else [] if isinstance(node, For) else [node.value]
            parts += node.subscripts if isinstance(node, Store) else ()
            for access, known in (found for part in parts for found in self._conditional(part, facts)):
                dimension, ahead, across = self.along[access.tensor]
                age = sp.expand(self.moment + ahead - access.subscripts[dimension])
                age = -age if self.loop.descending else age
                side = sp.expand(access.subscripts[across] - place)
                if not age.is_Integer or age < 0 or (age == 0 and side != 0):
                    return False
                sides.append((side, known))
        return True

    def _conditional(self, expression: sp.Basic, facts: Facts) -> Iterator[tuple[Access, Facts]]:
        """The reads of what the recurrence computes, with what is known where they happen."""
        if not self._own(expression):
            return
        if isinstance(expression, Access) and expression.tensor in self.along:
            yield expression, facts
        if isinstance(expression, Where):
            yield from self._conditional(expression.condition, facts)
            for truth, branch in (True, expression.value), (False, expression.other):
                yield from self._conditional(branch, known_on(((expression.condition, truth),), facts))
            return
        for part in expression.args:
            yield from self._conditional(part, facts)


def _tiled(step: Nest, stencil: _Stencil, slope: int) -> Loop | None:
    """The fronts; None where there would be one tile."""
    loop, moment = stencil.loop, stencil.moment
    extent, begin, end = stencil.extent(), loop.lower[0], loop.upper[0]
    steps = sp.expand(end - begin)
    assert extent is not None
    width, height = _sizes(max(len(stencil.tensors[name].shape) for name in stencil.along) - 1, extent, steps, slope)
    if (extent.is_Integer and extent < 2 * width) or (steps.is_Integer and steps <= 2):
        return None
    sizes = {str(z) for t in stencil.tensors.values() for e in t.shape for z in e.free_symbols}
    taken = sizes | {str(s) for n in nodes_in(step.kernel.body) for s in _symbols(n)}
    front: Moment = Moment(_fresh("front", taken))
    chunk, edge = Index(_fresh("chunk", taken)), Index(_fresh("edge", taken))
    done = end - 1 - moment if loop.descending else moment - begin
    start = sp.expand(width * (front - chunk) - slope * done)

    def banded(nodes: Sequence[Node]) -> tuple[Node, ...]:
        return tuple(replace(n, body=banded(n.body)) if isinstance(n, If) else n if isinstance(n, Assign) else limited(n) for n in nodes)

    def limited(unit: Node) -> Node:
        place = stencil.place(unit)
        assert place is not None
        if any(isinstance(n, For) and n.index == place for n in nodes_in((unit,))):
            return within_band(unit, place)
        return For(edge, (place, start), (sp.expand(place + 1), sp.expand(start + width)), (unit,))

    def within_band(node: Node, place: sp.Expr) -> Node:
        if not isinstance(node, For | If):
            return node
        if isinstance(node, For) and node.index == place:
            return replace(node, lower=(*node.lower, start), upper=(*node.upper, sp.expand(start + width)))
        return replace(node, body=tuple(within_band(n, place) for n in node.body))

    first = sp.expand(end - height * chunk - height if loop.descending else begin + height * chunk)
    within = replace(loop, lower=(begin, first), upper=(end, sp.expand(first + height)), body=banded(loop.body))
    # Chunk c of front f has tile f - c: those in which there is something to do.
    both = width + slope * height
    lowest = sp.Max(_ZERO, FloorDiv(sp.expand(width * front - extent + slope + width), both))
    chunks = FloorDiv(sp.expand(steps + height - 1), height)
    highest = sp.Min(chunks, FloorDiv(sp.expand(width * front + width - 1), both) + 1)
    body = (For(chunk, (lowest,), (highest,), (within,), True),)
    how = f"{step.plan.strategy}, in tiles of {width} places and {height} steps, skewed by {slope}"
    kernel = replace(step.kernel, body=body, extent=highest - lowest)
    plan = replace(step.plan, shared=str(chunk), strategy=how, reason="a step reads near neighbours of earlier steps only")
    fronts = FloorDiv(sp.expand(extent - 1 + slope * (steps - 1)), width) + chunks
    return Loop(front, (fronts,), False, (replace(step, kernel=kernel, plan=plan),))


def _sizes(dimensions: int, extent: sp.Expr, steps: sp.Expr, slope: int) -> tuple[int, int]:
    """Width and height of the tiles: a front has as many of them as there are chunks, or tiles in a row."""
    width, height = SIZES[min(dimensions, 3)]
    if dimensions == 1 and extent.is_Integer and extent >= LONG:
        width *= 4
    if dimensions == 1 and steps.is_Integer:
        height = max(min(8, height), min(4 * height, int(steps) // CHUNKS // 8 * 8))
        if extent.is_Integer:  # an even number of tiles, for two threads
            span = int(extent) + slope * int(steps)
            width = -(-span // (2 * max(1, round(span / (2 * width)))) // 16) * 16
    return width, height


def _symbols(node: Node) -> Iterator[sp.Basic]:
    match node:
        case For():
            yield from (node.index, *(s for e in (*node.lower, *node.upper) for s in symbols_of(e)))
        case If():
            yield from symbols_of(node.condition)
        case Assign():
            yield from (node.name, *symbols_of(node.value))
        case Store():
            yield from (s for e in (node.value, *node.subscripts) for s in symbols_of(e))


def _fresh(name: str, taken: set[str]) -> str:
    found = next(n for k in count() if (n := name + "_" * k) not in taken)
    taken.add(found)
    return found
