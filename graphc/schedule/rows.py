"""One kernel for several tensors: element by element, or row by row while the row is in cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from graphc.ir.expr import Access, Index
from graphc.ir.graph import Graph, reads
from graphc.ir.nest import Assign, For, Kernel, Local, LoopPlan, Nest, Node, Store, Unravel
from graphc.ir.show import statement as show
from graphc.ir.statement import Statement, zeros
from graphc.ir.tree import accesses, substitute
from graphc.schedule.bodies import Bodies
from graphc.schedule.classify import is_flat
from graphc.schedule.cost import cost
from graphc.schedule.fuse import Unit, at_row, row_facts, row_names
from graphc.schedule.interior import split_interior
from graphc.schedule.merge import distinct_locals, merged, read_tensors, scalarised, written_tensors

__all__ = ["flat_step", "rows_step"]

_ZERO = sp.Integer(0)


def flat_step(bodies: Bodies, statements: Sequence[tuple[Statement, bool]], needed: set[str]) -> Nest:
    """One loop over all elements of equally shaped tensors, whatever the number of dimensions.

    Args:
        bodies: with the tensors.
        statements: in order, each with whether it adds to what is there.
        needed: tensors that are read elsewhere.
    """
    tensors = bodies.tensors
    element = Index("e")
    first = statements[0][0]
    lets: dict[Access, Local] = {}
    body: list[Node] = []
    for s, adding in statements:
        flat = {a: Access(a.tensor, element) for a in accesses(s.value) if isinstance(a, Access) and a.subscripts}
        value = substitute(s.value, flat)
        for a in accesses(value):
            if isinstance(a, Access) and not a.subscripts and a.tensor != s.target:
                lets.setdefault(a, Local(f"c{len(lets)}"))
        body.append(Store(s.target, (element,), substitute(value, dict(lets)), adding))
    own = tuple(dict.fromkeys(s.target for s, _ in statements))
    taken = {"e", *(local.name for local in lets.values())}
    extent = sp.Mul(*(first.range_of(i).extent for i in first.free))
    loop = For(element, (_ZERO,), (extent,), tuple(body), True)
    nest = scalarised(
        (*(Assign(name, a, tensors[a.tensor].dtype) for a, name in lets.items()), loop),
        lambda n: tensors[n].dtype, set(own) - needed, taken,
    )  # fmt: skip
    written = written_tensors(nest)
    external = tuple(dict.fromkeys(r for s, _ in statements for r in reads(s) if r not in own))
    texts = [show(s) for s, _ in statements]
    touched = (*written, *(n for n in (*external, *own) if n in read_tensors(nest) and n not in written))
    plan = LoopPlan("; ".join(texts), "map", ("e",), "e", "element by element", "all arrays have one shape and are contiguous")
    kernel = Kernel("map", "\n".join(texts), touched, nest, extent, True)
    return Nest(kernel, plan, external, written[0], sp.Add(*(cost(s) for s, _ in statements)), written[1:])


def rows_step(
    bodies: Bodies, unit: Unit, definitions: Mapping[str, Sequence[Statement]], in_place: Mapping[str, str], graph: Graph
) -> Nest:
    """The kernel of a unit.

    Args:
        bodies: with the tensors.
        unit: tensors that can be computed row by row.
        definitions: statements by tensor.
        in_place: new values that are written into the array of an input.
        graph: all statements, to see who else reads a tensor.
    """
    readers = graph.readers()
    needed = {n for n in unit.names if n in graph.outputs or not readers.get(n, frozenset()).issubset(unit.names)}
    found = {n: bodies.ordered(definitions[n]) for n in unit.names}
    statements = [s for n in unit.names for s in found[n]]
    if all(is_flat(s, bodies.tensors) for s in statements) and _alike(bodies, unit.names):
        adding = [k > 0 for n in unit.names for k in range(len(definitions[n]))]
        return flat_step(bodies, list(zip(statements, adding, strict=True)), needed)
    sizes = {str(z) for t in bodies.tensors.values() for e in t.shape for z in e.free_symbols}
    extents = bodies.tensors[unit.names[0]].shape[: unit.depth]
    empty = {n: zeros(n, bodies.tensors[n].shape) for n in unit.names if not bodies.complete(found[n])}
    rows = row_names([*statements, *empty.values()], unit.depth, sizes)
    taken = {str(r.index) for s in (*statements, *empty.values()) for r in s.ranges} | {m.name for m in rows} | sizes
    body: list[Node] = []
    bodies.facts = row_facts(rows, extents)
    for name in unit.names:
        if name in empty:
            body += bodies.inside(at_row(empty[name], rows, extents), False)
        for position, s in enumerate(found[name]):
            bodies.label = show(s)
            nodes = bodies.inside(at_row(s, rows, extents), s.op == "+=" and (position > 0 or name in empty))
            body += distinct_locals(nodes, taken)
    bodies.facts, bodies.label = (), ""
    same = {new: old for new, old in in_place.items() if new in unit.names}
    inner = scalarised(merged(body, same), lambda n: bodies.tensors[n].dtype, set(unit.names) - needed, taken)
    inner = split_interior(inner, {m.name: (_ZERO, e) for m, e in zip(rows, extents, strict=True)})
    written = written_tensors(inner)
    extent = sp.expand(sp.Mul(*extents))
    texts = [show(s) for s in statements]
    external = tuple(dict.fromkeys(r for s in statements for r in reads(s) if r not in unit.names))
    touched = (*written, *(r for r in (*external, *unit.names) if r in read_tensors(inner) and r not in written))
    names = tuple(m.name for m in rows)
    plan = LoopPlan("; ".join(texts), "rows", names, " ".join(names), "row by row", "all of them touch the same rows")
    kernel = Kernel("rows", "\n".join(texts), touched, _over_rows(names, extents, inner), extent)
    return Nest(kernel, plan, external, written[0], sp.Add(*map(cost, statements)), written[1:])


def _over_rows(names: Sequence[str], extents: Sequence[sp.Expr], body: tuple[Node, ...]) -> tuple[Node, ...]:
    """The shared loop over rows; several dimensions become one loop."""
    total = sp.expand(sp.Mul(*extents))
    if len(names) == 1:
        return (For(Index(names[0]), (_ZERO,), (total,), body, True),)
    line = Index("_".join(names))
    parts = tuple((Index(n), e) for n, e in zip(names, extents, strict=True))
    return (For(line, (_ZERO,), (total,), (Unravel(line, parts), *body), True),)


def _alike(bodies: Bodies, names: Sequence[str]) -> bool:
    """Whether all tensors have one shape."""
    first, *others = (bodies.tensors[n].shape for n in names)
    return all(len(o) == len(first) and all(sp.expand(a - b) == 0 for a, b in zip(first, o, strict=True)) for o in others)
