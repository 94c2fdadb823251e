"""Recurrences whose steps look at near neighbours only, such as stencils in time: tiles of elements and steps, one front after the other.

Where a step looks at most `slope` places aside, the element at a place of a step lies in tile ``(place + slope·step) // width`` and in
chunk ``step // height``. So skewed, a tile needs tiles and chunks before it only: those with one sum of tile and chunk, a front, are
computed side by side, and what a tile works on stays in the cache for all of its steps. Of several tensors some may lag behind by a
`shift`, so that a tensor may look at both sides of one that was computed in the same step (leapfrog).

What is read lies, shifts included, at most `slope` places aside, however old it is: then no tile is more than a step ahead where its
neighbour still reads, and rows that go round in a ring are not overwritten too early.

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

VECTOR = 16
"""A tile of known width fills whole vectors."""

STEEPEST, LATEST, SEVERAL = 4, 2, 4
"""Places to either side that a step looks at most; greatest shift of a tensor, and up to how many tensors may have different ones."""

_ZERO = sp.Integer(0)


def in_fronts(step: Nest, tensors: Mapping[str, Tensor]) -> list[Step]:
    """The step, a recurrence on one thread, in fronts of tiles that all threads share; itself where that is not possible.

    Args:
        step: its body contains a sequential loop, perhaps beside some steps before or after it; rows are not yet in a ring.
        tensors: by name.
    """
    body = step.kernel.body
    if step.kernel.extent is not None or not all(isinstance(n, For | If) for n in body):
        return [step]
    for k, loop in enumerate(body):
        if isinstance(loop, For) and (tiled := _in_fronts(step, loop, tensors)) is not None:
            first_ones, last_ones = ([replace(_part(step, some), cost=_ZERO)] if some else [] for some in (body[:k], body[k + 1 :]))
            return [*first_ones, tiled, *last_ones]
    return [step]


def _part(step: Nest, body: tuple[Node, ...]) -> Nest:
    """Some of what a step does."""
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
        skew = found.skew()
        if skew is not None:
            return _tiled(_part(step, (loop,)), found, skew)
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
class _Read:
    """A unit that computes `target` reads `source`: rows that are `age` steps old, `side` places aside, where the facts hold."""

    target: str
    source: str
    age: int
    side: sp.Expr
    facts: Facts

    def is_near(self, skew: _Skew) -> bool:
        """Whether that lies in this tile or one before it, and is not overwritten yet."""
        side = sp.expand(self.side + skew.shifts[self.source] - skew.shifts[self.target])
        limits = (side + skew.slope, (skew.slope if self.age else 0) - side)
        if side.is_Integer:
            return all(limit >= 0 for limit in limits)
        return all(nonnegative(sp.expand(limit), self.facts) for limit in limits)


@dataclass(frozen=True)
class _Skew:
    """How tiles lie: moved by `slope` places per step, and each tensor by its shift."""

    slope: int
    shifts: Mapping[str, int]


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

    def skew(self) -> _Skew | None:
        """How tiles may lie; None if a step needs others than near neighbours."""
        found = None if self.extent() is None else self._seen(self.loop.body, self.around.inside(self.loop, ()))
        if found is None:
            return None
        names = sorted(self.along)
        together = [{s.tensor for s in _stores(u)} for u in _units(self.loop.body)]
        for slope in range(1, STEEPEST + 1):
            for shifts in product(range(LATEST + 1), repeat=len(names)) if len(names) <= SEVERAL else [(0,) * len(names)]:
                skew = _Skew(slope, dict(zip(names, shifts, strict=True)))
                same = all(len({skew.shifts[name] for name in unit}) < 2 for unit in together)
                if min(shifts) == 0 and same and all(read.is_near(skew) for read in found):
                    return skew
        return None

    def _seen(self, nodes: Sequence[Node], facts: Facts) -> list[_Read] | None:
        """What the units read of the tensors that they compute; None where that cannot be told."""
        result: list[_Read] = []
        for node in nodes:
            found: list[_Read] | None = None
            if isinstance(node, If):
                found = None if self._own(node.condition) else self._seen(node.body, self.around.inside(node, facts))
            elif isinstance(node, Assign):
                found = None if self._own(node.value) else []
            elif (place := self.place(node)) is not None and all(self._rows(s) for s in _stores(node)):
                found = self._reads((node,), place, _stores(node)[0].tensor, facts)
            if found is None:
                return None
            result += found
        return result

    def _rows(self, store: Store) -> bool:
        dimension, ahead, _ = self.along[store.tensor]
        return bool(sp.expand(store.subscripts[dimension] - self.moment - ahead) == 0)

    def _own(self, expression: sp.Basic) -> list[Access]:
        return [a for a in accesses(expression) if isinstance(a, Access) and a.tensor in self.along]

    def _reads(self, nodes: Sequence[Node], place: sp.Expr, target: str, facts: Facts) -> list[_Read] | None:
        result: list[_Read] = []
        for node in nodes:
            parts: list[sp.Basic] = []
            inside: list[_Read] | None = []
            match node:
                case For():
                    if node.step != 1 or node.shared or any(self._own(e) for e in (*node.lower, *node.upper)):
                        return None
                    inside = self._reads(node.body, place, target, self.around.inside(node, facts))
                case If():
                    parts = [node.condition]
                    inside = self._reads(node.body, place, target, self.around.inside(node, facts))
                case Assign():
                    parts = [node.value]
                case Store():
                    parts = [node.value, *node.subscripts]
                case _:
                    return None
            if inside is None:
                return None
            result += inside
            for access, known in (found for part in parts for found in self._conditional(part, facts)):
                dimension, ahead, across = self.along[access.tensor]
                age = sp.expand(self.moment + ahead - access.subscripts[dimension])
                age = -age if self.loop.descending else age
                if not age.is_Integer or age < 0:
                    return None
                result.append(_Read(target, access.tensor, int(age), sp.expand(access.subscripts[across] - place), known))
        return result

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


def _tiled(step: Nest, stencil: _Stencil, skew: _Skew) -> Loop | None:
    """The fronts; None where there would be one tile."""
    loop, slope = stencil.loop, skew.slope
    places, begin, end = stencil.extent(), loop.lower[0], loop.upper[0]
    steps = sp.expand(end - begin)
    assert places is not None
    extent = places + max(skew.shifts.values())
    width, height = _sizes(max(len(stencil.tensors[name].shape) for name in stencil.along) - 1, extent, steps, slope)
    if (places.is_Integer and places < 2 * width) or (steps.is_Integer and steps <= 2):
        return None
    sizes = {str(z) for t in stencil.tensors.values() for e in t.shape for z in e.free_symbols}
    taken = sizes | {str(s) for n in nodes_in(step.kernel.body) for s in _symbols(n)}
    front: Moment = Moment(_fresh("front", taken))
    chunk, edge = Index(_fresh("chunk", taken)), Index(_fresh("edge", taken))

    first = sp.expand(end - height * chunk - height if loop.descending else begin + height * chunk)
    done = end - 1 - stencil.moment if loop.descending else stencil.moment - begin
    bands = _Bands(stencil, skew.shifts, sp.expand(width * (front - chunk) - slope * done), width, edge)
    within = replace(loop, lower=(begin, first), upper=(end, sp.expand(first + height)), body=bands.of(loop.body))
    # Chunk c of front f has tile f - c, with the places + slope·step from width·(f - c) on; from slope·height·c on there are some.
    period = width + slope * height
    lowest = sp.Max(_ZERO, FloorDiv(sp.expand(width * front - extent + slope + width), period))
    chunks = FloorDiv(sp.expand(steps + height - 1), height)
    highest = sp.Min(chunks, FloorDiv(sp.expand(width * front + width - 1), period) + 1)
    how = f"{step.plan.strategy}, in tiles of {width} places and {height} steps, skewed by {slope}"
    plan = replace(step.plan, shared=str(chunk), strategy=how, reason="a step reads near neighbours only")
    kernel = replace(step.kernel, body=(For(chunk, (lowest,), (highest,), (within,), True),), extent=highest - lowest)
    fronts = FloorDiv(sp.expand(extent - 1 + slope * (steps - 1)), width) + chunks
    return Loop(front, (fronts,), False, (replace(step, kernel=kernel, plan=plan),))


@dataclass(frozen=True)
class _Bands:
    """Limits the places of a step to those of a tile.

    Attributes:
        stencil: the recurrence.
        shifts: by tensor.
        start: the first place of the tile in a step, of a tensor without a shift.
        width: of the tile.
        edge: the variable of a loop around what has one place.
    """

    stencil: _Stencil
    shifts: Mapping[str, int]
    start: sp.Expr
    width: int
    edge: Index

    def of(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """The units of a step."""
        return tuple(
            replace(n, body=self.of(n.body)) if isinstance(n, If) else n if isinstance(n, Assign) else self._limited(n) for n in nodes
        )

    def _limited(self, unit: Node) -> Node:
        place = self.stencil.place(unit)
        assert place is not None
        start = sp.expand(self.start - self.shifts[_stores(unit)[0].tensor])
        limits = start, sp.expand(start + self.width)
        if any(isinstance(n, For) and n.index == place for n in nodes_in((unit,))):
            return self._within(unit, place, limits)
        return For(self.edge, (place, limits[0]), (sp.expand(place + 1), limits[1]), (unit,))

    def _within(self, node: Node, place: sp.Expr, limits: tuple[sp.Expr, sp.Expr]) -> Node:
        if not isinstance(node, For | If):
            return node
        if isinstance(node, For) and node.index == place:
            return replace(node, lower=(*node.lower, limits[0]), upper=(*node.upper, limits[1]))
        return replace(node, body=tuple(self._within(n, place, limits) for n in node.body))


def _sizes(dimensions: int, extent: sp.Expr, steps: sp.Expr, slope: int) -> tuple[int, int]:
    """Width and height of the tiles: a front has as many of them as there are chunks, or tiles in a row."""
    width, height = SIZES[min(dimensions, 3)]
    if dimensions == 1 and extent.is_Integer and extent >= LONG:
        width *= 4
    if dimensions == 1 and steps.is_Integer:
        height = max(min(8, height), min(4 * height, int(steps) // CHUNKS // 8 * 8))
        if extent.is_Integer:  # an even number of equal tiles: most machines have an even number of processors
            span = int(extent) + slope * int(steps)
            width = -(-span // (2 * max(1, round(span / (2 * width)))) // VECTOR) * VECTOR
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
