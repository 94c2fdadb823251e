"""Recurrences that are independent of each other lie side by side in memory, so that one step of many of them is a vector loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.analysis.order import Scan, ordered, shared_dimensions
from graphc.analysis.recurrence import components, cyclic
from graphc.errors import NotationError
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Call, Index
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part, Rewrite
from graphc.ir.statement import Statement, plain_ranges
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, postorder, rewrite

__all__ = ["interleave"]

_FEW = 8
"""So many recurrences, known beforehand, are too few for a vector."""

_DEAR = 10
"""Cost of the functions of one element at which a recurrence is worth copies of arrays as large as its own."""


def interleave(graph: Graph) -> Graph:
    """``h[b,t] = tanh(h[b,t-1] + x[b,t])`` is computed as ``h.interleaved[t,b]`` from ``x.interleaved[t,b]``, a copy.

    Where a recurrence goes along the last dimension of its tensors, and falls into independent ones along another one, that one becomes the
    last; so it does for what is computed from it element by element, and in copies of what its elements or sums over them are
    made of. Recurrences with products are left to the contraction engine.
    """
    worker = _Worker(graph)
    for group in components(graph):
        worker.add(group)
    return worker.rewritten() if worker.moved else graph


@dataclass
class _Worker:
    """What is moved where.

    Attributes:
        graph: before.
        moved: the dimension that becomes the last one, by tensor.
        copied: tensors and dimensions of which there is a copy, with the copy's name.
        tensors: by name, the new ones included.
        names: the new name of a tensor that is moved.
    """

    graph: Graph
    moved: dict[str, int] = field(default_factory=dict)
    copied: dict[tuple[str, int], str] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = dict(self.graph.by_name())
        self.recurrent = cyclic(self.graph)

    # ----------------------------------------------------------------------------------------------------- what is moved
    def add(self, group: Sequence[str]) -> None:
        """Move the tensors of a group if that pays: a recurrence, or one that is computed from what has been moved."""
        definitions = self.graph.definitions()
        statements = [s for n in group for s in definitions[n]]
        if not statements or not all(map(self._elementwise, statements)) or any(self.tensors[n].every for n in group):
            return
        if group[0] in self.recurrent:
            found = self._side_by_side(group, statements)
        elif group[0] not in self.graph.outputs and any(len(a.subscripts) == len(s.subscripts) for s, a in self._read(statements)):
            found = self._alike(group[0], statements)
        else:
            return
        if found is not None and all(k < len(self.tensors[n].shape) - 1 for n, k in found.items()):
            self.moved |= found

    def _elementwise(self, statement: Statement) -> bool:
        """Whether every element is made of elements of floats that do not have to be looked up."""
        plain = statement.op in ("=", "+=") and not statement.reduced and not statement.scatters
        looked_up = any(contains(x, Access) for a in accesses(statement.value) for x in a.subscripts)
        return plain and not looked_up and is_float(self.tensors[statement.target].dtype)

    def _side_by_side(self, group: Sequence[str], statements: Sequence[Statement]) -> dict[str, int] | None:
        """The dimensions along which a recurrence falls into independent ones, if it goes along the last dimension and moving it pays."""
        moving = [s for s in statements if set(s.reads) & set(group)]
        chosen = shared_dimensions(moving, group)
        if chosen is None or set(chosen) != set(group):
            return None
        few = any(e.is_Integer and e < _FEW for e in (self.tensors[n].shape[k] for n, k in chosen.items()))
        if few or not all(isinstance(s.subscripts[chosen[s.target]], Index) for s in statements):
            return None
        try:
            (scan,) = ordered(moving, group)
        except NotationError:
            return None
        assert isinstance(scan, Scan)
        along = set(_dimensions(scan))
        if any((n, len(self.tensors[n].shape) - 1) not in along for n in group):
            return None
        rank = max(len(self.tensors[n].shape) for n in group)
        outside = {a.tensor for s in statements for a in accesses(s.value)} - set(group) - self.moved.keys()
        large = any(n in self.graph.outputs for n in group) or any(len(self.tensors[n].shape) >= rank for n in outside)
        return chosen if not large or sum(map(_cost, statements)) >= _DEAR else None

    def _alike(self, name: str, statements: Sequence[Statement]) -> dict[str, int] | None:
        """The dimension of a tensor that goes along the one that has been moved of all tensors it is computed from."""
        found = {self._place(s.subscripts, s, a) for s, a in self._read(statements)}
        dimension = found.pop() if len(found) == 1 and len({s for s, _ in self._read(statements)}) == len(statements) else None
        return None if dimension is None else {name: dimension}

    def _read(self, statements: Sequence[Statement]) -> Iterator[tuple[Statement, Access]]:
        """The reads of tensors that have been moved."""
        for s in statements:
            yield from ((s, a) for a in accesses(s.value) if isinstance(a, Access) and a.tensor in self.moved)

    def _place(self, subscripts: Sequence[sp.Expr], statement: Statement, moved: Access) -> int | None:
        """Where the index stands among subscripts that a read has in the dimension that has been moved."""
        index = moved.subscripts[self.moved[moved.tensor]]
        places = [d for d, x in enumerate(subscripts) if index in x.free_symbols]
        return places[0] if isinstance(index, Index) and len(places) == 1 and subscripts[places[0]] == index else None

    # ----------------------------------------------------------------------------------------------------- the new graph
    def rewritten(self) -> Graph:
        """The graph with tensors moved, copies of what they are computed from, and sums over them moved and copied back."""
        for name, dimension in self.moved.items():
            self.names[name] = self._new(name, dimension)
        statements = [new for s in self.graph.statements for new in self._statement(s)]
        statements += [self._back(n, k) for n, k in self.moved.items() if n in self.graph.outputs]
        gone = self.names.keys() - set(self.graph.outputs)
        return replace(self.graph, tensors=tuple(t for n, t in self.tensors.items() if n not in gone), statements=tuple(statements))

    def _new(self, name: str, dimension: int) -> str:
        old = self.tensors[name]
        new = fresh_name(f"{name}.interleaved", self.tensors)
        self.tensors[new] = Tensor(new, _last(old.shape, dimension), old.dtype, "defined", old.group)
        return new

    def _statement(self, statement: Statement) -> list[Statement]:
        """What becomes of a statement: copies of what it reads before it, and one that copies its sum back behind it."""
        before: list[Statement] = []
        after: list[Statement] = []
        target, subscripts = statement.target, statement.subscripts
        wanted: dict[str, int] = {}
        index = self._index(statement)
        if index is not None:
            for a in dict.fromkeys(accesses(statement.value)):
                place = self._copyable(a, index)
                if place is not None:
                    wanted[a.tensor] = place
                    before += self._copy(a.tensor, place, statement)
        if target in self.moved:
            target, subscripts = self.names[target], _last(subscripts, self.moved[target])
        elif index is not None and statement.reduced and statement.op == "+=" and index in subscripts[:-1]:
            place = subscripts.index(index)
            new = (target, place) not in self.copied
            name = self.copied.setdefault((target, place), self._new(target, place) if new else "")
            after = [self._back(target, place, name)] if new else []
            target, subscripts = name, _last(subscripts, place)

        def rule(part: sp.Basic) -> sp.Basic | None:
            if not isinstance(part, Access):
                return None
            if part.tensor in self.moved:
                return Access(self.names[part.tensor], *_last(part.subscripts, self.moved[part.tensor]))
            if wanted.get(part.tensor) is not None and part.subscripts[wanted[part.tensor]] == index:
                return Access(self.copied[part.tensor, wanted[part.tensor]], *_last(part.subscripts, wanted[part.tensor]))
            return None

        value = rewrite(statement.value, rule)
        if target == statement.target and value == statement.value:
            return [statement]
        new_order = tuple(rewrite(a, rule) for a in statement.order)
        origin = Rewrite("interleaving", "independent recurrences side by side", statement)
        subscripts = tuple(rewrite(x, rule) for x in subscripts)
        return [*before, replace(statement, target=target, subscripts=subscripts, value=value, order=new_order, origin=origin), *after]

    def _index(self, statement: Statement) -> Index | None:
        """The one index that goes along what has been moved; None for statements that are left as they are."""
        if statement.scatters or (statement.target not in self.moved and not statement.reduced):
            return None
        found = {a.subscripts[self.moved[a.tensor]] for _, a in self._read([statement])}
        if statement.target in self.moved:
            found.add(statement.subscripts[self.moved[statement.target]])
        index = found.pop() if len(found) == 1 else None
        return index if isinstance(index, Index) and index in statement.free else None

    def _copyable(self, access: Access, index: Index) -> int | None:
        """The dimension that becomes the last one in a copy of a tensor that is read there."""
        places = [d for d, x in enumerate(access.subscripts) if index in x.free_symbols]
        if access.tensor in self.moved or access.tensor in self.recurrent or not is_float(self.tensors[access.tensor].dtype):
            return None
        if len(places) != 1 or access.subscripts[places[0]] != index or any(contains(x, Access) for x in access.subscripts):
            return None
        return places[0] if places[0] < len(access.subscripts) - 1 else None

    def _copy(self, name: str, dimension: int, statement: Statement) -> list[Statement]:
        """The statement that copies a tensor, unless there is one."""
        if (name, dimension) in self.copied:
            return []
        copy = self.copied[name, dimension] = self._new(name, dimension)
        ranges = plain_ranges(self.tensors[copy].shape)
        place = tuple(r.index for r in ranges)
        read = Access(name, *place[:dimension], place[-1], *place[dimension:-1])
        return [Statement(copy, place, "=", read, ranges, (), (read,), statement.location, Part(f"{name} with another order", statement))]

    def _back(self, name: str, dimension: int, copy: str = "") -> Statement:
        """The statement that adds what has been computed in another order to a tensor, or is the tensor's only one."""
        ranges = plain_ranges(self.tensors[name].shape)
        place = tuple(r.index for r in ranges)
        read = Access(copy or self.names[name], *_last(place, dimension))
        source = self.graph.definitions()[name][0]
        origin = Part(f"{name} in its own order", source)
        return Statement(name, place, "+=" if copy else "=", read, ranges, (), (read,), source.location, origin)


def _last(parts: Sequence[sp.Expr], dimension: int) -> tuple[sp.Expr, ...]:
    """The parts with the one of a dimension behind the others."""
    return (*parts[:dimension], *parts[dimension + 1 :], parts[dimension])


def _dimensions(scan: Scan) -> Iterator[tuple[str, int]]:
    """The dimensions along which sequential loops go."""
    yield from scan.dimensions
    for item in scan.body:
        if isinstance(item, Scan):
            yield from _dimensions(item)


def _cost(statement: Statement) -> int:
    """Of the functions of one element."""
    return sum(FUNCTIONS[p.function].cost for p in postorder(statement.value) if isinstance(p, Call) and p.function in FUNCTIONS)
