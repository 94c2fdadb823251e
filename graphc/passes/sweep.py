"""A program that is linear in a tensor, run for all unit tensors at once: what makes a Jacobian of a derivative along a seed.

Every tensor ``V`` that depends on the seed gets the dimensions of the seed. The seed itself is then 1 where both subscripts are equal and 0
elsewhere; this Kronecker delta is solved for at once: ``V[f] += c·seed[g]`` becomes ``V[f,g] += c``. The same holds for every tensor that
differs from 0 only where a seed subscript equals one of its own: it is stored without that dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.legality import ensured, in_range
from graphc.ir.expr import Access, Compare, Index, Where, all_of
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Given, Rewrite
from graphc.ir.statement import Range, Statement, behind, fresh_indices, plain_ranges, revised, zeros
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, postorder, rewrite, substitute
from graphc.passes.extension import below
from graphc.passes.prune import whole

__all__ = ["sweep"]

_ZERO, _ONE = sp.Integer(0), sp.Integer(1)

Links = frozenset[tuple[int, int]]
"""(d, p): the tensor is 0 unless the seed's subscript d equals its own subscript p."""


def sweep(graph: Graph, seed: Tensor, last: bool) -> Graph:
    """Give the outputs the dimensions of an input, over which it runs through all unit tensors.

    Args:
        graph: without nested reductions and boundary views.
        seed: the input; it is gone afterwards.
        last: whether its dimensions come behind those of the outputs instead of before them.
    """
    return _Sweep(_read_from_outputs(graph, seed), seed, last).run()


def _read_from_outputs(graph: Graph, seed: Tensor) -> Graph:
    """The graph in which no output is the seed itself."""
    if seed.name not in graph.outputs:
        return graph
    ranges = plain_ranges(seed.shape)
    value = Access(seed.name, *(r.index for r in ranges))
    name = fresh_name(f"{seed.name}.copy", graph.by_name())
    copy = Statement(name, value.subscripts, "=", value, ranges, order=(value,), origin=Given("the derivative of a tensor by itself"))
    tensors = (*graph.tensors, replace(seed, name=name, kind="defined"))
    outputs = tuple(name if output == seed.name else output for output in graph.outputs)
    return replace(graph, tensors=tensors, statements=(*graph.statements, copy), outputs=outputs)


@dataclass
class _Sweep:
    graph: Graph
    info: Tensor
    last: bool

    def __post_init__(self) -> None:
        self.seed, self.extents = self.info.name, self.info.shape
        self.dependent = below(self.graph, [self.seed])
        self.known = ensured(self.graph.checks)
        self.links = self._found_links()

    # ------------------------------------------------------------------------------------------------- structure
    def _found_links(self) -> dict[str, Links]:
        """The greatest links that all statements agree with.

        What is read through integers has none in a dimension that is not as long as the seed's: they may point beyond that.
        """
        dimensions = range(len(self.extents))
        reads = [a for s in self.graph.statements for a in self._reads(s)]
        gathered = {(a.tensor, p) for a in reads for p, subscript in enumerate(a.subscripts) if contains(subscript, Access)}
        links = {
            name: frozenset(
                (d, p)
                for d in dimensions
                for p, extent in enumerate(self.graph.tensor(name).shape)
                if (name, p) not in gathered or sp.expand(extent - self.extents[d]) == 0
            )
            for name in self.dependent - {self.seed}
        }
        links |= {name: frozenset() for name in self.graph.outputs} | {self.seed: frozenset((d, d) for d in dimensions)}
        moving = [s for s in self.graph.statements if s.target in self.dependent and s.target not in self.graph.outputs]
        changed = True
        while changed:
            changed = False
            for s in moving:
                fewer = links[s.target] & self._links_of(s, links)
                changed = changed or fewer != links[s.target]
                links[s.target] = fewer
        return links

    def _links_of(self, statement: Statement, links: dict[str, Links]) -> Links:
        if not self._separable(statement):
            return frozenset()
        found = [(d, p) for d in range(len(self.extents)) for p in range(len(statement.subscripts))]
        for access in self._reads(statement):
            equal = {(d, access.subscripts[p]) for d, p in links[access.tensor]}
            found = [(d, p) for d, p in found if (d, statement.subscripts[p]) in equal]
        return frozenset(found)

    def _reads(self, statement: Statement) -> list[Access]:
        return [a for a in accesses(statement.value) if isinstance(a, Access) and a.tensor in self.dependent]

    def _separable(self, statement: Statement) -> bool:
        """Whether the statement is a sum of terms, each with one read of a dependent tensor as a factor."""
        if statement.op not in ("=", "+="):
            return False
        degrees: dict[sp.Basic, int] = {}
        for node in postorder(statement.value):
            degrees[node] = self._degree(node, [degrees[a] for a in node.args])
        nothing = substitute(statement.value, dict.fromkeys(self._reads(statement), _ZERO))
        return degrees[statement.value] < 2 and nothing == 0

    def _degree(self, node: sp.Basic, parts: Sequence[int]) -> int:
        """0: does not depend on the seed; 1: affine in it; 2: neither."""
        if isinstance(node, Access) and node.tensor in self.dependent:
            return 2 if any(parts) else 1
        if isinstance(node, sp.Mul):
            return min(sum(parts), 2)
        if isinstance(node, sp.Add):
            return max(parts)
        if isinstance(node, Where):
            return 2 if parts[0] else max(parts)
        return 2 if any(parts) else 0

    def _kept(self, name: str) -> tuple[int, ...]:
        """The seed's dimensions that a tensor is stored with."""
        linked = {d for d, _ in self.links[name]}
        return tuple(d for d in range(len(self.extents)) if d not in linked)

    def _position(self, name: str, d: int) -> int:
        return min(p for e, p in self.links[name] if e == d)

    # --------------------------------------------------------------------------------------------------- rewriting
    def run(self) -> Graph:
        tensors = tuple(self._tensor(t) for t in self.graph.tensors if t.name != self.seed)
        statements: list[Statement] = []
        for s in self.graph.statements:
            statements += self._statement(s) if s.target in self.dependent else [s]
        infos, defined = {t.name: t for t in tensors}, {s.target for s in statements}
        for name in self.graph.outputs:
            if name not in self.dependent:
                statements = [s for s in statements if s.target != name]
                defined.discard(name)
        missing = [t.name for t in tensors if t.name not in defined and not t.is_input]
        statements += [zeros(name, infos[name].shape, Given("there is no dependence")) for name in missing]
        return _without_constants(replace(self.graph, tensors=tensors, statements=tuple(statements)))

    def _joined(self, own: tuple[sp.Expr, ...], new: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...]:
        return (*own, *new) if self.last else (*new, *own)

    def _tensor(self, info: Tensor) -> Tensor:
        if info.name in self.graph.outputs:
            return replace(info, shape=self._joined(info.shape, self.extents))
        if info.name not in self.dependent:
            return info
        return replace(info, shape=self._joined(info.shape, tuple(self.extents[d] for d in self._kept(info.name))))

    def _statement(self, statement: Statement) -> list[Statement]:
        fresh = fresh_indices(statement, [f"{r.index}_" for r in plain_ranges(self.extents)])
        if not self._separable(statement):
            reads = {a: self._conditional(a, fresh) for a in self._reads(statement)}
            return [self._rebuilt(statement, substitute(statement.value, reads), fresh, fresh, reads)]
        groups: dict[tuple[sp.Expr, ...], list[Access]] = {}
        for access in self._reads(statement):
            groups.setdefault(self._where(access, fresh), []).append(access)
        pieces = []
        for places, reads_of in groups.items():
            chosen = {a: self._stored(a, fresh) for a in reads_of}
            others = {a: _ZERO for a in self._reads(statement) if a not in chosen}
            value = substitute(statement.value, chosen | others)
            piece = self._rebuilt(statement, value, places, fresh, chosen)
            through = any(contains(place, Access) for place in places)
            if not any(condition.is_Number and condition < 0 for condition in piece.domain):
                pieces.append(replace(piece, op="+=") if len(groups) > 1 or through else piece)
        return pieces

    def _where(self, access: Access, fresh: Sequence[Index]) -> tuple[sp.Expr, ...]:
        """The seed's subscripts at which an access can differ from 0: a new index where all can."""
        kept = self._kept(access.tensor)
        return tuple(i if d in kept else access.subscripts[self._position(access.tensor, d)] for d, i in enumerate(fresh))

    def _stored(self, access: Access, fresh: Sequence[Index]) -> sp.Expr:
        if access.tensor == self.seed:
            return _ONE
        return Access(access.tensor, *self._joined(access.subscripts, tuple(fresh[d] for d in self._kept(access.tensor))))

    def _conditional(self, access: Access, fresh: Sequence[Index]) -> sp.Expr:
        """The read under the condition that remains where the statement is not linear."""
        tests = [Compare("==", i, place) for i, place in zip(fresh, self._where(access, fresh), strict=True) if i != place]
        stored = self._stored(access, fresh)
        if not tests:
            return stored
        return Where(all_of(tests), stored, _ZERO)

    def _rebuilt(
        self, statement: Statement, value: sp.Expr, places: tuple[sp.Expr, ...], fresh: Sequence[Index], reads: dict[Access, sp.Expr]
    ) -> Statement:
        own = range(len(self.extents)) if statement.target in self.graph.outputs else self._kept(statement.target)
        new = tuple(Range(i, _ZERO, e) for i, e, place in zip(fresh, self.extents, places, strict=True) if i == place)
        facts = statement.constraints() + self.known
        outside = dict.fromkeys(
            bound
            for d in own
            if not contains(places[d], Access) and places[d] not in fresh
            and not in_range(places[d], self.extents[d], facts)
            for bound in (places[d], behind(places[d], self.extents[d]))
        )
        return replace(
            statement,
            subscripts=self._joined(statement.subscripts, tuple(places[d] for d in own)),
            value=value,
            ranges=(*statement.ranges, *new) if self.last else (*new, *statement.ranges),
            domain=(*statement.domain, *outside),
            order=tuple(r for a in statement.order if a in reads or a.tensor not in self.dependent if (r := reads.get(a, a)) != 1),
            origin=Rewrite("unit seeds", f"for every element of {self.seed} that is 1 while the others are 0", statement),
        )


def _without_constants(graph: Graph) -> Graph:
    """Tensors whose elements are all one number are not read."""
    infos, definitions = graph.by_name(), graph.definitions()
    numbers: dict[str, sp.Expr] = {}

    def rule(part: sp.Basic) -> sp.Basic | None:
        return numbers.get(part.tensor) if isinstance(part, Access) else None

    for name in graph.order():
        if len(definitions[name]) == 1 and name not in graph.outputs:
            s = definitions[name][0]
            value = rewrite(s.value, rule)
            if value.is_number and s.op in ("=", "+=") and whole(s, infos[name]):
                numbers[name] = value
    if not numbers:
        return graph
    told = "constants are read as numbers"
    return replace(graph, statements=tuple(revised(s, "constant", told, value=rewrite(s.value, rule)) for s in graph.statements))
