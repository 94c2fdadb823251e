"""One more loop around everything that depends on some tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import sympy as sp

from graphc.ir.expr import Access, BoundaryAccess, rewrite
from graphc.ir.graph import Graph, fresh_names
from graphc.ir.origin import Given, Rewrite
from graphc.ir.statement import Range, Statement, fresh_indices, plain_ranges
from graphc.passes.extension import below

__all__ = ["batch"]


def batch(graph: Graph, inputs: Iterable[str], loops: Sequence[tuple[str, sp.Expr]], last: bool = False) -> tuple[Graph, dict[str, str]]:
    """Give some inputs, and all tensors that depend on them, further dimensions, over which all their statements are run.

    Args:
        graph: any.
        inputs: the tensors that get the dimensions.
        loops: (index, extent) per new dimension; an index that a statement has already is numbered there.
        last: whether the new dimensions come behind the others instead of before them.

    Returns:
        The graph, and the name of the batched form of every output; one that does not depend on the inputs is copied for every value.
    """
    chosen = below(graph, inputs)
    extents = tuple(extent for _, extent in loops)
    tensors = {t.name: replace(t, shape=_joined(extents, t.shape, last)) if t.name in chosen else t for t in graph.tensors}
    statements = [_batched(s, chosen, loops, last) if s.target in chosen else s for s in graph.statements]
    names = {}
    for name in graph.outputs:
        names[name] = name
        if name not in chosen:
            info = tensors[name]
            names[name] = fresh_names([name], tensors)[name]
            tensors[names[name]] = replace(info, name=names[name], shape=_joined(extents, info.shape, last), kind="defined", init="")
            statements.append(_copies(name, names[name], info.shape, loops, last))
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(statements), outputs=tuple(names.values())), names


def _joined(new: tuple[sp.Expr, ...], old: tuple[sp.Expr, ...], last: bool) -> tuple[sp.Expr, ...]:
    return (*old, *new) if last else (*new, *old)


def _batched(statement: Statement, chosen: set[str], loops: Sequence[tuple[str, sp.Expr]], last: bool) -> Statement:
    indices = fresh_indices(statement, [name for name, _ in loops])
    ranges = tuple(Range(i, sp.Integer(0), extent) for i, (_, extent) in zip(indices, loops, strict=True))

    def rule(part: sp.Basic) -> sp.Basic | None:
        if not isinstance(part, Access | BoundaryAccess) or part.tensor not in chosen:
            return None
        subscripts = _joined(indices, part.subscripts, last)
        if isinstance(part, Access):
            return Access(part.tensor, *subscripts)
        modes = ("",) * len(indices)
        return BoundaryAccess(part.tensor, ",".join((*part.modes, *modes) if last else (*modes, *part.modes)), part.fill, *subscripts)

    return replace(
        statement,
        subscripts=_joined(indices, tuple(rewrite(s, rule) for s in statement.subscripts), last),
        value=rewrite(statement.value, rule),
        ranges=(*statement.ranges, *ranges) if last else (*ranges, *statement.ranges),
        order=tuple(rewrite(a, rule) for a in statement.order),
        origin=Rewrite("vmap", f"for every {', '.join(map(str, indices))}", statement),
    )


def _copies(name: str, target: str, shape: tuple[sp.Expr, ...], loops: Sequence[tuple[str, sp.Expr]], last: bool) -> Statement:
    own = plain_ranges(shape)
    value = Access(name, *(r.index for r in own))
    plain = Statement(target, value.subscripts, "=", value, own, order=(value,))
    return replace(_batched(plain, {target}, loops, last), origin=Given(f"{name} does not depend on what is batched"))
