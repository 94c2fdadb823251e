"""Roles of indices and the order of loops."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.injectivity import injective
from graphc.ir.affine import linear
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Choice, Compare, Index, Logical, Where
from graphc.ir.nest import Inner, Local
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, contains, indices_of, postorder, rewrite, substitute
from graphc.schedule.target import Target

__all__ = ["ACCUMULATED", "Contraction", "Order", "contraction_roles", "everywhere", "independent", "is_flat", "loop_order", "shared_index"]

_SMALL, _SHORT, _WIDE = 8, 32, 16
"""Iterations below which a loop is hardly worth vectors, below which it is the innermost one only if others stride, and below which a
tile of any function does not pay: it goes through memory, and what else is computed in the same loops has to wait."""

ACCUMULATED = frozenset({"max", "min", "supremum", "infimum", "prod"})
"""Reductions other than sums whose results may grow where they are stored, a value for each element of a row at a time."""


@dataclass(frozen=True, slots=True)
class Contraction:
    """The two factors of a product that the contraction engine sums, and the role of every index.

    With an `inner` function, `here` are operands of it that do not move along the depth.
    """

    first: Access
    second: Access
    scale: sp.Expr
    batch: tuple[Index, ...]
    rows: tuple[Index, ...]
    columns: tuple[Index, ...]
    depth: tuple[Index, ...]
    here: tuple[Access, ...] = ()
    inner: Inner | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Loops from the outermost to the innermost; `inner_left` says that the innermost loop runs along the left side."""

    indices: tuple[Index, ...]
    inner_left: bool
    reason: str


def contraction_roles(statement: Statement, tensors: dict[str, Tensor], target: Target) -> Contraction | None:
    """Roles of the indices if the statement is a sum of products of two tensors on a box, or none at all; None otherwise.

    Index in left, first and second: batch; in left and one factor: rows or columns; in both factors only: depth.

    Args:
        statement: of a canonical graph.
        tensors: by name.
        target: says whether any function of two tensors may be summed, or its largest or least value be found.
    """
    if any(map(indices_of, statement.domain)) or statement.scatters or not statement.reduced:
        return None
    factors = sp.Mul.make_args(statement.value)
    reads = [f for f in factors if isinstance(f, Access)]
    rest = [f for f in factors if not isinstance(f, Access)]
    if statement.op == "+=" and len(reads) == 2 and not any(contains(f, (Access, Index)) for f in rest):
        return _roles(statement, tensors, reads, sp.Mul(*rest))
    found = _inner_roles(statement, tensors, target.here) if target.here >= 0 else None
    return _in_vectors(statement, found) if found is not None and target.vector_innermost else found


_COMBINED = {"+=": "plus", "max": "maximum", "supremum": "maximum", "min": "minimum", "infimum": "minimum"}


def _inner_roles(statement: Statement, tensors: dict[str, Tensor], most_here: int) -> Contraction | None:
    """The same for other functions of two tensors, and of some that do not move along the reduced indices."""
    reads = list(dict.fromkeys(a for a in accesses(statement.value) if isinstance(a, Access)))
    reduced = set(statement.reduced)
    moving = [a for a in reads if reduced & set(a.free_symbols)]
    here = tuple(a for a in reads if a not in moving)
    if statement.op not in _COMBINED or len(moving) != 2 or len(here) > most_here or any(a.tensor == statement.target for a in here):
        return None
    if any(tensors[a.tensor].dtype != tensors[statement.target].dtype for a in here):
        return None
    found = _roles(statement, tensors, moving, sp.Integer(1))
    if found is None or any(linear(s) is None or _has_quotient(s) for a in here for s in a.subscripts):
        return None
    parts = {a: Local(f"part{k}") for k, a in enumerate((found.first, found.second, *here))}
    value = substitute(statement.value, dict(parts))
    if indices_of(value):
        return None
    return replace(found, here=here, inner=Inner(_COMBINED[statement.op], value, tuple(parts.values())))


def _in_vectors(statement: Statement, roles: Contraction) -> Contraction | None:
    """The roles if vectors of columns, with a loop over the depth inside, are worth it and can compute the function."""
    column = roles.columns[0]
    along = [Access(statement.target, *statement.subscripts), *roles.here]
    if len(roles.columns) > 1 or any(_penalty(a, column) != 0.1 for a in along):
        return None
    if _shorter(statement, column, _WIDE) or all(_shorter(statement, i, _WIDE) for i in roles.depth):
        return None
    assert roles.inner is not None
    if roles.inner.value.free_symbols - set(roles.inner.parts) or not _is_traced(roles.inner.value):
        return None
    both = rewrite(roles.inner.value, lambda part: Choice(*part.args) if isinstance(part, Where) else part)
    return replace(roles, inner=replace(roles.inner, value=both))


def _is_traced(value: sp.Expr) -> bool:
    """Whether every condition is a comparison of numbers that chooses between two: a truth value itself is nothing that vectors hold."""
    nodes = list(postorder(value))
    conditions = [p.condition for p in nodes if isinstance(p, Where)]
    if any(not isinstance(c, Compare) or c.op in ("==", "!=") or contains(c.left, (Where, Compare)) or contains(c.right, (Where, Compare))
           for c in conditions):
        return False
    branches = [b for p in nodes if isinstance(p, Where) for b in (p.value, p.other)]
    loose = [a for p in nodes if not isinstance(p, Where) for a in p.args] + branches + [value]
    return not any(isinstance(p, Logical) for p in nodes) and not any(isinstance(p, Compare) or p in (sp.true, sp.false) for p in loose)


def _roles(statement: Statement, tensors: dict[str, Tensor], reads: list[Access], scale: sp.Expr) -> Contraction | None:
    dtype = tensors[statement.target].dtype
    if not is_float(dtype) or any(tensors[r.tensor].dtype != dtype or r.tensor == statement.target for r in reads):
        return None
    if any(linear(s) is None or _has_quotient(s) for r in reads for s in (*r.subscripts, *statement.subscripts)):
        return None
    if any(not s.is_Symbol for s in statement.subscripts) and not injective(
        statement.subscripts, [statement.range_of(i) for i in statement.free]
    ):
        return None
    in_reads = [{i for s in r.subscripts for i in indices_of(s)} for r in reads]
    left, reduced = set(statement.free), set(statement.reduced)
    last = _last_index(statement)
    if last is None or sum(last in found for found in in_reads) != 1:
        return None
    if last in in_reads[0]:
        reads.reverse()
        in_reads.reverse()
    order = [r.index for r in statement.loops]
    batch = tuple(i for i in order if i in left and i in in_reads[0] and i in in_reads[1])
    rows = tuple(i for i in order if i in left and i not in in_reads[1])
    columns = tuple(i for i in order if i in left and i in in_reads[1] and i not in in_reads[0])
    depth = tuple(i for i in order if i in reduced)
    if not (rows and columns and depth):
        return None
    return Contraction(reads[0], reads[1], scale, batch, rows, columns, depth)


def _has_quotient(subscript: sp.Expr) -> bool:
    form = linear(subscript)
    return form is not None and any(not a.is_Symbol for a, _ in form.terms)


def _last_index(statement: Statement) -> Index | None:
    for subscript in reversed(statement.subscripts):
        found = indices_of(subscript)
        if found:
            return found[0]
    return None


def _penalty(access: Access, index: Index) -> float:
    """0 if the access does not move with the index, little if it moves by one element, 1 if it strides."""
    if index not in access.free_symbols:
        return 0.0
    *outer, last = access.subscripts
    if any(index in s.free_symbols for s in outer) or contains(last, Access):
        return 1.0
    form = linear(last)
    return 0.1 if form is not None and form.coefficient(index) == 1 else 0.6


def is_flat(statement: Statement, tensors: dict[str, Tensor]) -> bool:
    """Whether the statement does the same to every element of equally shaped tensors, wherever the element is."""
    subscripts = statement.subscripts
    if (
        statement.reduced
        or statement.domain
        or not subscripts
        or len(set(subscripts)) < len(subscripts)
        or not all(isinstance(s, Index) for s in subscripts)
    ):
        return False
    shape = tensors[statement.target].shape
    ranges = [statement.range_of(s) for s in subscripts]
    if any(r.lower != 0 or sp.expand(r.upper - e) != 0 for r, e in zip(ranges, shape, strict=True)):
        return False
    parts = [a for a in accesses(statement.value) if isinstance(a, Access)]
    if any(a.subscripts != subscripts or tensors[a.tensor].shape != shape for a in parts if a.subscripts):
        return False
    values = substitute(statement.value, {a: sp.Dummy() for a in parts})  # different ones: equal branches of a condition would drop it
    return not indices_of(values)


def _small(statement: Statement, index: Index) -> bool:
    return _shorter(statement, index, _SMALL)


def _shorter(statement: Statement, index: Index, than: int) -> bool:
    extent = statement.range_of(index).extent
    return bool(extent.is_Integer and extent < than)


def loop_order(statement: Statement, vector_innermost: bool = True) -> Order:
    """Left indices outside, window loops between, and innermost the index along which most accesses are contiguous.

    Without a vector loop there (`vector_innermost`) sums stay innermost, where their results are in registers.
    """
    left = list(dict.fromkeys(i for s in statement.subscripts for i in indices_of(s)))
    reduced = list(statement.reduced)
    if not vector_innermost:
        apart = independent(statement)
        left.sort(key=lambda i: i not in apart)
    touched = [Access(statement.target, *statement.subscripts), *(a for a in accesses(statement.value) if isinstance(a, Access))]

    def cost(index: Index) -> tuple[float, int]:
        short = 3 if _shorter(statement, index, _SMALL) else 0.5 if _shorter(statement, index, _SHORT) else 0
        return sum(_penalty(a, index) for a in touched) + short, -([*reduced, *left].index(index))

    if statement.scatters and not vector_innermost:
        return Order((*left, *reduced), True, "what falls on one element is added in order")
    if statement.scatters:
        plain = [s for s in statement.subscripts if isinstance(s, Index) and sum(s in x.free_symbols for x in statement.subscripts) == 1]
        inner = plain[-1:] if plain else []
        if statement.op == "+=" and reduced and not inner and not statement.domain:
            return Order((*left, *reduced), False, "summed in a register, then added where the integers point")
        return Order(tuple([i for i in (*left, *reduced) if i not in inner] + inner), True, "what falls on one element is added in order")
    if not reduced:
        return Order(tuple(left), True, "the order of the left side")
    accumulated = statement.op in ACCUMULATED and everywhere(statement)
    rows = statement.op == "+=" or (accumulated and not any(_small(statement, i) for i in reduced))
    candidates = [*reduced, *left] if rows and vector_innermost else reduced
    inner_index = min(candidates, key=cost)
    if inner_index in left:
        outer = [i for i in left if i != inner_index]
        return Order((*outer, *reduced, inner_index), True, f"contiguous along {inner_index}, window loops outside")
    rest = [i for i in reduced if i != inner_index]
    return Order(
        (*left, *rest, inner_index),
        False,
        f"contiguous along {inner_index}, summed in a register" if statement.op == "+=" else "one result at a time",
    )


def everywhere(statement: Statement) -> bool:
    """Whether every result that is computed has all terms: conditions concern the left indices only."""
    return not any(set(indices_of(condition)) & set(statement.reduced) for condition in statement.domain)


def independent(statement: Statement) -> tuple[Index, ...]:
    """The left indices whose values can be divided among threads: each element is written by one thread only."""
    left = [statement.range_of(i) for i in statement.free]
    plain = [s for s in statement.subscripts if isinstance(s, Index)]
    if not statement.scatters and set(plain) != set(statement.free) and injective(statement.subscripts, left, statement.domain):
        return statement.free
    return tuple(plain)


def shared_index(statement: Statement, order: Order) -> Index | None:
    """The one of them that is divided among threads."""
    plain = independent(statement)
    in_order = [i for i in order.indices if i in plain]
    if not in_order:
        return None
    wide = [i for i in in_order if not _small(statement, i)]
    return (wide or in_order)[0]
