"""A program for one process becomes one for many: each has its rows, and what reduces over rows is exchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import sympy as sp

from graphc.analysis.sharding import Rows, Sharding
from graphc.errors import NotationError
from graphc.ir.distribution import KINDS, Distribution, Exchange, Halo, Line, Segment, Stage
from graphc.ir.expr import Access, Index, Size
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.show import Order, expression, statement
from graphc.ir.statement import Range, Statement, plain_ranges
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, indices_of, rewrite, sizes_of, substitute

__all__ = ["distribute"]

_TOTAL = {"max": "supremum", "max_split": "supremum", "min": "infimum", "min_split": "infimum"}
"""What a rank makes of its rows: extrema that have a value where it has none."""

VERBS = {"sum": "sums", "prod": "multiplies", "max": "takes the maximum", "min": "takes the minimum", "any": "decides", "all": "decides"}

_PIECE, _GUESS = 1 << 18, 256
"""Bytes from which a part of what is exchanged is sent while the rest is computed; what a size is taken to be for that."""


def distribute(graph: Graph, found: Sharding, overlap: bool = False) -> Distribution:
    """Divide a program.

    Args:
        graph: canonical, its reductions over rows as `exchangeable` leaves them.
        found: what is divided.
        overlap: whether large results are sent while others are computed.

    Returns:
        Graphs for a rank: sizes `rows` and `start` say which rows it has, all other sizes mean what they mean for one process. A tensor
        that is exchanged is what a rank contributes in the graph that defines it, and what all have in those that read it.

    Raises:
        NotationError: ranks would have to meet in every step of a recurrence.
    """
    taken = {*graph.by_name(), *(str(r.index) for s in graph.statements for r in s.ranges)}
    taken |= {str(z) for s in graph.statements for part in (s.value, *s.subscripts, *s.domain) for z in part.free_symbols}
    taken |= {str(z) for t in graph.tensors for e in t.shape for z in sizes_of(e)}
    rows, start = Size(fresh_name("rows_here", taken)), Size(fresh_name("first_row", taken))
    work = _Work(graph, found, rows, start)
    levels = _levels(work, graph)
    stages = tuple(_stage(work, levels, number, overlap) for number in range(max((*levels.values(), 0)) + 1))
    return Distribution(stages, tuple(work.lines(levels)), found.dimensions, rows, start, found.extent)


class _Work:
    """The statements of a rank, and what is exchanged between them."""

    def __init__(self, graph: Graph, found: Sharding, rows: Size, start: Size) -> None:
        self.graph, self.found, self.rows, self.start = graph, found, rows, start
        self.tensors = dict(graph.by_name())
        self.statements: list[Statement] = []
        self.merged: list[Statement] = []
        """Those of them that add what is exchanged to what is not."""
        self.kinds: dict[str, str] = {}
        """What is exchanged, and how."""
        self.halos: dict[str, Halo] = {}
        for name, (before, behind) in found.halos.items():
            widened = fresh_name(f"{name}.wide", self.tensors)
            self.tensors[widened] = replace(self.tensors[name], name=widened)
            self.halos[widened] = Halo(name, widened, found.dimensions[name], before, behind)
        self._wide = {halo.tensor: halo for halo in self.halos.values()}
        self._parts: dict[str, str] = {}
        of = dict(zip(map(id, graph.statements), found.rows, strict=True))
        for name, definitions in graph.definitions().items():
            self._define(name, definitions, of)
        self.equal = self._equal()
        self.shapes = {name: self._shape(tensor) for name, tensor in self.tensors.items()}

    def _equal(self) -> set[str]:
        """What has to be the same on all ranks to the last bit: results without rows, and what they are computed from behind exchanges."""
        same = [s for s in self.statements if s.target not in self.kinds and s.target not in self.found.dimensions]
        return _ancestors(same, self.graph.outputs)

    def _shape(self, tensor: Tensor) -> Tensor:
        halo = self.halos.get(tensor.name)
        dimension = halo.dimension if halo else self.found.dimensions.get(tensor.name)
        if dimension is None:
            return tensor
        extent = self.rows + halo.before + halo.behind if halo else self.rows
        return replace(tensor, shape=(*tensor.shape[:dimension], extent, *tensor.shape[dimension + 1 :]))

    def _define(self, name: str, definitions: tuple[Statement, ...], of: Mapping[int, Rows | None]) -> None:
        partial = [s for s in definitions if of[id(s)] is not None and name not in self.found.dimensions]
        rest = [s for s in definitions if s not in partial]
        if not partial:
            self.statements += [self._local(s, of[id(s)]) for s in rest]
            return
        kinds = {KINDS[s.op] for s in partial}
        if len(kinds) > 1:
            raise NotationError(f"{name} is reduced over rows in two ways.", at=tuple((statement(s), "", s.location) for s in partial[:2]),
                                fix="give each reduction a tensor of its own.")
        part = fresh_name(f"{name}.part", self.tensors) if rest else name
        self.kinds[part] = kinds.pop()
        self._parts[name] = part
        self.statements += [replace(self._local(s, of[id(s)]), target=part, op=_TOTAL.get(s.op, s.op)) for s in partial]
        if rest:
            self.tensors[part] = replace(self.tensors[name], name=part)
            merged = self._merged(name, part, partial)
            self.statements += [*rest, *merged]
            self.merged += merged

    def _merged(self, name: str, part: str, partial: list[Statement]) -> list[Statement]:
        """What all ranks have made of their parts, beside what is the same on all of them."""
        if self.kinds[part] == "sum":
            ranges = plain_ranges(self.tensors[name].shape)
            place = tuple(r.index for r in ranges)
            return [Statement(name, place, "+=", Access(part, *place), ranges, location=partial[0].location)]
        return [replace(s, op="=", value=Access(part, *s.subscripts), ranges=tuple(s.range_of(i) for i in s.free), order=(),
                        domain=tuple(d for d in s.domain if set(indices_of(d)) <= set(s.free))) for s in partial]

    def _local(self, s: Statement, rows: Rows | None) -> Statement:
        """The statement over the rows of a rank."""
        if rows is None:
            return s
        index, limits = rows.index, s.range_of(rows.index)
        position = index + self.start
        row = Index(fresh_name(f"{index}.row", {str(r.index) for r in s.ranges}))
        everywhere = {index: position - rows.shift, row: index}

        def own(part: sp.Basic) -> sp.Basic | None:
            if isinstance(part, Access) and (dimension := self.found.dimensions.get(part.tensor)) is not None:
                subscripts = list(part.subscripts)
                away = sp.expand(subscripts[dimension] - index) - rows.shift
                halo = self._wide.get(part.tensor)
                subscripts[dimension] = row + away + (halo.before if halo is not None and away != 0 else 0)
                return Access(halo.widened if halo is not None and away != 0 else part.tensor, *subscripts)
            return None

        subscripts = list(s.subscripts)
        if s.target in self.found.dimensions:
            subscripts[self.found.dimensions[s.target]] = row
        domain = [substitute(rewrite(d, own), everywhere) for d in s.domain]
        if rows.limited:
            domain += [sp.expand(position - rows.shift - limits.lower), sp.expand(limits.upper - 1 - position + rows.shift)]
        return replace(
            s,
            subscripts=tuple(substitute(rewrite(e, own), everywhere) for e in subscripts),
            value=substitute(rewrite(s.value, own), everywhere),
            ranges=tuple(Range(r.index, sp.Integer(0), self.rows) if r.index == index else r for r in s.ranges),
            domain=tuple(map(sp.expand, domain)),
            order=(),
        )

    # ------------------------------------------------------------------------------------------------------------ as text
    def lines(self, levels: Mapping[str, int]) -> Iterable[Line]:
        """Every statement of the graph with its mark, in order."""
        of = dict(zip(map(id, self.graph.statements), self.found.rows, strict=True))
        definitions = self.graph.definitions()
        told = [(name, s) for name in self.graph.order() for s in definitions[name]]
        lines = [self._line(s, of[id(s)], levels) for _, s in told]
        lines += [Line(s, levels[s.target], "reduced", f"{s.reads[0]} of all ranks: equal on each") for s in self.merged]
        return sorted(lines, key=lambda line: line.stage)

    def _line(self, s: Statement, rows: Rows | None, levels: Mapping[str, int]) -> Line:
        everywhere = [name for name in s.reads if name not in self.found.dimensions and (name in self._parts or levels.get(name))]
        wide = [self._wide[a.tensor].tensor for part in (s.value, *s.subscripts) for a in accesses(part) if a.tensor in self._wide]
        name = self.found.name
        if rows is not None and s.target not in self.found.dimensions:
            part = self._parts[s.target]
            return Line(s, levels[part], "partial", f"{VERBS[self.kinds[part]]} over {rows.index}")
        if rows is not None:
            borders = f", and of its neighbours' {', '.join(dict.fromkeys(wide))}" if wide else ""
            return Line(s, levels[s.target], "local", f"rows of {rows.index}, each rank its own{borders}")
        if everywhere:
            return Line(s, levels[s.target], "reduced", f"{', '.join(everywhere)} of all ranks: equal on each")
        return Line(s, levels[s.target], "local", f"no {name}: equal on each rank")


def _levels(work: _Work, graph: Graph) -> dict[str, int]:
    """The stage in which each tensor is defined.

    Raises:
        NotationError: it would have to be after itself.
    """
    reads: dict[str, set[str]] = {}
    for s in work.statements:
        reads.setdefault(s.target, set()).update(s.reads)
    levels: dict[str, int] = dict.fromkeys(reads, 0)
    limit, changed = len(reads) + len(work.halos) + 1, True

    def ready(name: str) -> int:
        halo = work.halos.get(name)
        if halo is not None:
            return ready(halo.tensor) + 1
        return levels.get(name, 0) + (name in work.kinds)

    while changed:
        changed = False
        for name, sources in reads.items():
            level = max((ready(source) for source in sources), default=0)
            if level > levels[name]:
                levels[name], changed = level, True
            if level > limit:
                raise _in_recurrence(graph, work, name)
    return levels


def _in_recurrence(graph: Graph, work: _Work, name: str) -> NotationError:
    shown = [s for s in graph.statements if s.target == name] or list(graph.statements[:1])
    return NotationError(
        f"{name} is a recurrence in every step of which the ranks would have to exchange rows of {work.found.name}.",
        at=tuple((statement(s), expression(Access(s.target, *s.subscripts), Order.of(s)), s.location) for s in shown[:1]),
        fix="shard an index that the recurrence does not reduce over and does not run along.")


# ---------------------------------------------------------------------------------------------------------------------- stages
def _stage(work: _Work, levels: Mapping[str, int], number: int, overlap: bool) -> Stage:
    here = [s for s in work.statements if levels[s.target] == number]
    equal = [s for s in here if s.target in work.equal]
    left = [s for s in here if s.target not in work.equal]
    first = _ancestors(equal, {name for s in left for name in s.reads})
    segments = [_segment(work, [s for s in equal if s.target in first], [])]
    sent = [name for name, kind in work.kinds.items() if levels[name] == number]
    for piece, targets in _pieces(work, left, sent) if overlap else [(sent, {s.target for s in left})]:
        segments.append(_segment(work, [s for s in left if s.target in targets], piece))
    segments.append(_segment(work, [s for s in equal if s.target not in first], []))
    read = {name for s in here for name in s.reads}
    earlier = {name for s in work.statements if levels[s.target] < number for name in s.reads}
    halos = tuple(halo for name, halo in work.halos.items() if name in read - earlier)
    return Stage(tuple(s for s in segments if s.graph.statements), halos, any(s.target not in work.equal for s in here))


def _ancestors(statements: Iterable[Statement], wanted: Iterable[str]) -> set[str]:
    """Tensors among those defined by the statements that the wanted ones depend on."""
    reads: dict[str, set[str]] = {}
    for s in statements:
        reads.setdefault(s.target, set()).update(s.reads)
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in reads and name not in found:
            found.add(name)
            waiting += reads[name]
    return found


def _pieces(work: _Work, here: list[Statement], sent: list[str]) -> list[tuple[list[str], set[str]]]:
    """What is sent at once, with the tensors that are computed before: the results that are ready first in the first piece.

    With them is computed what is ready as soon, although it is not needed for them: it may share loops with what is.
    """
    depths = _depths(here)
    pieces: list[tuple[list[str], set[str]]] = []
    open_, volume, left = list[str](), 0, set(depths)
    for name in sorted(sent, key=lambda name: depths[name]):
        open_.append(name)
        tensor = work.tensors[name]
        count = sp.Mul(*tensor.shape)
        volume += int(substitute(count, dict.fromkeys(sizes_of(count), sp.Integer(_GUESS)))) * (8 if tensor.dtype.endswith("64") else 4)
        early = {*_ancestors(here, open_), *(t for t, depth in depths.items() if depth < depths[name])} & left if volume >= _PIECE else left
        if any(s.reduced and len(s.ranges) > 2 for s in here if s.target in left - early):
            pieces.append((open_, early))
            open_, volume, left = [], 0, left - early
    return [*pieces, (open_, left)]


def _depths(statements: Iterable[Statement]) -> dict[str, int]:
    """How many statements have to run one after the other until each tensor is known."""
    reads: dict[str, set[str]] = {}
    for s in statements:
        reads.setdefault(s.target, set()).update(s.reads)
    depths: dict[str, int] = {}
    for root in reads:
        stack = [root]
        while stack:
            name = stack[-1]
            depths.setdefault(name, 0)
            waiting = [source for source in reads[name] if source in reads and source not in depths]
            if waiting:
                stack += waiting
            else:
                depths[name] = 1 + max((depths[source] for source in reads[name] if source in reads and source != name), default=0)
                stack.pop()
    return depths


def _segment(work: _Work, statements: list[Statement], piece: list[str]) -> Segment:
    targets = {s.target for s in statements}
    later = {name for s in work.statements if s.target not in targets for name in s.reads}
    wide = {halo.tensor for halo in work.halos.values()}
    outputs = [name for name in dict.fromkeys(s.target for s in statements) if name in later or name in piece or name in wide
               or name in work.graph.outputs]
    names = dict.fromkeys(name for s in statements for name in (*s.reads, s.target))
    tensors = []
    for name in names:
        tensor = work.shapes[name]
        if name not in targets:
            tensor = replace(tensor, kind=tensor.kind if tensor.is_input else "input", every=0)
        elif name in outputs:
            tensor = replace(tensor, every=0)
        tensors.append(tensor)
    groups: dict[tuple[str, str], list[str]] = {}
    for name in piece:
        groups.setdefault((work.kinds[name], work.tensors[name].dtype), []).append(name)
    exchanges = tuple(Exchange(kind, dtype, tuple(names)) for (kind, dtype), names in groups.items())
    return Segment(Graph(tuple(tensors), tuple(statements), tuple(outputs)), exchanges, targets <= work.equal)
