"""A second meaning of a graph: PyTorch's advanced indexing over whole loops, differentiated by autograd.

It shares the data types with graphc and nothing else: no pass, no derivative rule, no interpreter. A statement is evaluated at all
points of its loops at once; a branch of `where` only at the points that take it; tensors that depend on themselves by repetition
until nothing changes. Values are float64 and int64. Every read and write is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
import torch
from sympy.core.symbol import Str

from graphc.analysis.conditions import counted_where
from graphc.arithmetic import _SCALAR
from graphc.interpret import size_value
from graphc.ir.dtypes import is_float
from graphc.ir.expr import INFINITY, NAN, Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Where
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph, reads
from graphc.ir.random import RANDOM
from graphc.ir.statement import Statement
from graphc.ir.tree import indices_of, postorder

__all__ = ["Outside", "evaluated"]

Value = Any
"""A Python number or a tensor with one element per point."""


class Outside(Exception):
    """A read or write outside of a tensor, or an extremum of nothing."""


@dataclass
class Points:
    """Some points of the loops: the value of every index at each of them."""

    indices: dict[sp.Basic, Any]
    count: int
    known: dict[sp.Basic, Value] = field(default_factory=dict)

    def at(self, chosen: torch.Tensor) -> Points:
        """The points with the given positions."""
        return Points({i: v[chosen] for i, v in self.indices.items()}, len(chosen))

    def times(self, spans: Sequence[tuple[sp.Basic, range]]) -> Points:
        """Every point with every combination of the values of further indices, the last one fastest."""
        size = math.prod(len(span) for _, span in spans)
        result = {i: v.repeat_interleave(size) for i, v in self.indices.items()}
        inner = size
        for index, span in spans:
            inner //= max(len(span), 1)
            row = torch.arange(span.start, span.start + len(span)).repeat_interleave(inner)
            result[index] = row.repeat(self.count * size // max(len(row), 1)) if size else torch.zeros(0, dtype=torch.int64)
        return Points(result, self.count * size)


@dataclass
class Stored:
    """The elements of a tensor, and of what lies around it if a recurrence begins there."""

    values: torch.Tensor
    low: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def inner(self) -> torch.Tensor:
        return self.values[tuple(slice(-a, n - a) for a, n in zip(self.low, self.shape, strict=True))]


class _Evaluator:
    def __init__(self, graph: Graph, sizes: Mapping[sp.Basic, int], arrays: Mapping[str, torch.Tensor], strict: bool) -> None:
        self.graph, self.sizes, self.strict = graph, dict(sizes), strict
        self.tensors, self.definitions = graph.by_name(), graph.definitions()
        self.shapes = {t.name: tuple(size_value(e, self.sizes) for e in t.shape) for t in graph.tensors}
        self.stored = {n: Stored(a, (0,) * a.dim(), tuple(a.shape)) for n, a in arrays.items() if n in self.tensors}
        self.areas: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    # ---------------------------------------------------------------------------------------------------- tensors
    def run(self, differentiable: bool) -> None:
        order = [n for n in self.graph.order() if n not in self.stored]
        for group in _groups(order, {n: {r for s in self.definitions[n] for r in reads(s)} for n in order}):
            if len(group) == 1 and group[0] not in {r for s in self.definitions[group[0]] for r in reads(s)}:
                self.stored[group[0]] = self.computed(group[0])
            else:
                self.repeated(group, differentiable)

    def repeated(self, group: list[str], differentiable: bool) -> None:
        """Each repetition completes at least one more element; what precedes an element starts at a harmless number."""
        for name in group:
            low, high = self.area(name)
            kind = _kind(self.tensors[name].dtype)
            start = torch.full(tuple(b - a for a, b in zip(low, high, strict=True)), 0.5 if kind.is_floating_point else 0, dtype=kind)
            self.stored[name] = Stored(start, low, self.shapes[name])
        for _ in range(sum(self.stored[name].values.numel() for name in group) + 1):
            same = True
            for name in group:
                new = self.computed(name)
                same = same and bool(torch.equal(new.values.nan_to_num(7.25), self.stored[name].values.nan_to_num(7.25)))
                self.stored[name] = new
            if same and not differentiable:
                return
        if not same:
            raise Outside(f"{', '.join(group)} have no order")

    def area(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where elements are defined: the shape, and around it what the statements of a recurrence define."""
        if name not in self.areas:
            low, high = [0] * len(self.shapes[name]), list(self.shapes[name])
            for s in self.definitions[name]:
                if not s.scatters:
                    points = self.within(self.points(s, (*s.free, *s.reduced)), s.domain)
                    for d, subscript in enumerate(s.subscripts):
                        where = self.integers(subscript, points)
                        if len(where):
                            low[d], high[d] = min(low[d], int(where.min())), max(high[d], int(where.max()) + 1)
            if self.strict and (min(low, default=0) < 0 or tuple(high) != self.shapes[name]):
                raise Outside(f"{name} is written outside of {self.shapes[name]}: {low} … {high}")
            self.areas[name] = tuple(low), tuple(high)
        return self.areas[name]

    def computed(self, name: str) -> Stored:
        low, high = self.area(name)
        total = torch.zeros(tuple(b - a for a, b in zip(low, high, strict=True)), dtype=_kind(self.tensors[name].dtype))
        for s in self.definitions[name]:
            where, values = self.contributions(s)
            place = [w - a for w, a in zip(where, low, strict=True)]
            inside = torch.ones(len(values), dtype=torch.bool)
            for w, extent in zip(place, total.shape, strict=True):
                inside &= (w >= 0) & (w < extent)  # sums of nothing may lie outside
            values, place = values[inside].to(total.dtype), tuple(w[inside] for w in place)
            if len(values):
                total = total.index_put(place, values, accumulate=True) if place else total + values.sum()
        return Stored(_stored(total, self.tensors[name].dtype), low, self.shapes[name])

    def contributions(self, s: Statement) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Positions on the left and what goes there."""
        if s.scatters:
            points = self.within(self.points(s, (*s.free, *s.reduced)), s.domain)
            points = points.at(self.alive(s.value, points).nonzero()[:, 0])
            for condition in counted_where(s.value):
                points = points.at(self.full(condition, points).to(torch.bool).nonzero()[:, 0])
            where = [self.pointing(s.target, d, e, points) for d, e in enumerate(s.subscripts)]
            return where, self.full(s.value, points)
        free = set(s.free)
        points = self.within(self.points(s, s.free), [d for d in s.domain if set(indices_of(d)) <= free])
        if s.op == "=":
            points = points.at(self.alive(s.value, points).nonzero()[:, 0])
            values = self.full(s.value, points)
        else:
            values = self.reduced("sum" if s.op == "+=" else s.op, s.value, [(i, self.span(s, i)) for i in s.reduced], s.domain, points)
        return [self.integers(e, points) for e in s.subscripts], values

    def span(self, s: Statement, index: Index) -> range:
        r = s.range_of(index)
        return range(size_value(r.lower, self.sizes), size_value(r.upper, self.sizes))

    def points(self, s: Statement, indices: Sequence[Index]) -> Points:
        self.spans = {r.index: self.span(s, r.index) for r in s.ranges}
        return Points({}, 1).times([(i, self.spans[i]) for i in indices])

    def within(self, points: Points, domain: Sequence[sp.Expr]) -> Points:
        for d in domain:
            points = points.at((self.integers(d, points) >= 0).nonzero()[:, 0])
        return points

    # ------------------------------------------------------------------------------------------------- reductions
    def reduced(self, op: str, body: sp.Basic, spans: list[tuple[Any, range]], domain: Sequence[sp.Expr], points: Points) -> torch.Tensor:
        size = math.prod(len(span) for _, span in spans)
        inner = points.times(spans)
        alive = torch.ones(inner.count, dtype=torch.bool)
        for d in domain:
            alive = alive & (self.integers(d, inner) >= 0)
        chosen = alive.nonzero()[:, 0]
        subset = inner if len(chosen) == inner.count else inner.at(chosen)
        living = self.alive(body, subset)
        if not living.all():
            chosen, subset = chosen[living], subset.at(living.nonzero()[:, 0])
        values = self.full(body, subset)
        neutral = {"prod": 1, "all": 1, "sum": 0, "any": 0, "mean": 0}.get(op, math.inf if "min" in op else -math.inf)
        if math.isinf(neutral):
            values = values.to(torch.float64)
        dense = torch.full((inner.count,), neutral, dtype=values.dtype).index_put((chosen,), values).reshape(points.count, size)
        present = torch.zeros(inner.count, dtype=torch.bool)
        present[chosen] = True
        return _combined(op, dense, present.reshape(points.count, size))

    def alive(self, node: sp.Basic, points: Points) -> torch.Tensor:
        """Whether evaluating the node reads no skipped element."""
        every = torch.ones(points.count, dtype=torch.bool)
        if not any(isinstance(p, BoundaryAccess) and "skip" in p.modes for p in postorder(node)) or isinstance(node, Reduce):
            return every
        if isinstance(node, Where):
            result = self.alive(node.condition, points)
            chosen = result.nonzero()[:, 0]
            subset = points.at(chosen)
            taken = self.full(node.condition, subset).to(torch.bool)
            inner = torch.ones(len(chosen), dtype=torch.bool)
            for branch, mask in ((node.value, taken), (node.other, ~taken)):
                part = mask.nonzero()[:, 0]
                inner[part] = self.alive(branch, subset.at(part))
            result = result.clone()
            result[chosen] = inner
            return result
        if isinstance(node, BoundaryAccess):
            return ~self.boundary(node, points)[1]
        for argument in node.args:
            every = every & self.alive(argument, points)
        return every

    # ------------------------------------------------------------------------------------------------ expressions
    def integers(self, node: sp.Basic, points: Points) -> torch.Tensor:
        return self.full(node, points).to(torch.int64)

    def full(self, node: sp.Basic, points: Points) -> torch.Tensor:
        value = self.value(node, points)
        if not isinstance(value, torch.Tensor):
            kind = torch.bool if isinstance(value, bool) else torch.int64 if isinstance(value, int) else torch.float64
            return torch.full((points.count,), value, dtype=kind)
        return value.expand(points.count)

    def value(self, node: sp.Basic, points: Points) -> Value:
        if node not in points.known:
            points.known[node] = self.found(node, points)
        return points.known[node]

    def found(self, node: sp.Basic, points: Points) -> Value:
        if node in points.indices:
            return points.indices[node]
        if node in self.sizes:
            return self.sizes[node]
        if isinstance(node, sp.Integer):
            return int(node)
        if isinstance(node, sp.Number):
            return float(node)
        if node in (INFINITY, NAN):
            return math.inf if node == INFINITY else math.nan
        if node in (sp.true, sp.false):
            return bool(node)
        match node:
            case Access():
                where = [self.pointing(node.tensor, d, e, points) for d, e in enumerate(node.subscripts)]
                return self.element(node.tensor, where).expand(points.count)
            case BoundaryAccess():
                return self.viewed(node, points)
            case Reduce():
                return self.reduced(node.op, node.body, [(i, self.spans[i]) for i in node.indices], node.domain, points)
            case Where():
                return self.where(node, points)
            case Logical():
                return self.logical(node, points)
            case Call():
                return self.call(node, points)
        parts = [self.value(a, points) for a in node.args if not isinstance(a, Str)]
        match node:
            case FloorDiv():
                return torch.div(torch.as_tensor(parts[0]), parts[1], rounding_mode="floor")
            case Modulo():
                return torch.remainder(torch.as_tensor(parts[0]), parts[1])
            case sp.Add():
                return sum(map(_number, parts[1:]), _number(parts[0]))
            case sp.Mul():
                return math.prod(map(_number, parts[1:]), start=_number(parts[0]))
            case sp.Pow():
                return _power(*parts)
            case Compare():
                return _COMPARE[node.op](*map(torch.as_tensor, parts))
        raise NotImplementedError(type(node).__name__)

    def where(self, node: Where, points: Points) -> Value:
        taken = self.full(node.condition, points).to(torch.bool)
        parts = [(self.full(branch, points.at(chosen)), chosen) for branch, chosen in self.branches(node, taken)]
        kind = torch.promote_types(parts[0][0].dtype, parts[1][0].dtype)
        result = torch.zeros(points.count, dtype=kind)
        for values, chosen in parts:
            result = result.index_put((chosen,), values.to(kind))
        return result

    def branches(self, node: Where, taken: torch.Tensor) -> list[tuple[sp.Basic, torch.Tensor]]:
        return [(node.value, taken.nonzero()[:, 0]), (node.other, (~taken).nonzero()[:, 0])]

    def logical(self, node: Logical, points: Points) -> Value:
        """From left to right; what is decided is not evaluated further."""
        if node.op == "not":
            return ~self.full(node.operands[0], points).to(torch.bool)
        decided = node.op == "or"
        result = torch.full((points.count,), not decided)
        for operand in node.operands:
            rest = (result != decided).nonzero()[:, 0]
            result = result.index_put((rest,), self.full(operand, points.at(rest)).to(torch.bool))
        return result

    def call(self, node: Call, points: Points) -> Value:
        if node.function in RANDOM:
            columns = [self.integers(a, points).tolist() for a in node.arguments]
            return torch.tensor([_SCALAR[node.function](*row) for row in zip(*columns, strict=True)], dtype=torch.float64)
        if node.function not in _FUNCTIONS:
            expansion = FUNCTIONS[node.function].expansion
            assert expansion is not None
            symbols = [sp.Dummy() for _ in node.arguments]
            given = {s: self.full(a, points) for s, a in zip(symbols, node.arguments, strict=True)}
            return self.value(sp.sympify(expansion(*symbols)), Points({**points.indices, **given}, points.count))
        return _FUNCTIONS[node.function](*(_float(self.full(a, points)) for a in node.arguments))

    # ------------------------------------------------------------------------------------------------------ reads
    def pointing(self, name: str, dimension: int, subscript: sp.Basic, points: Points) -> torch.Tensor:
        where = self.integers(subscript, points)
        if isinstance(subscript, Access) and len(where) and not (int(where.min()) >= 0 and int(where.max()) < self.shapes[name][dimension]):
            raise Outside(f"{subscript.tensor} points outside of {name}")
        return where

    def element(self, name: str, where: list[torch.Tensor]) -> torch.Tensor:
        stored = self.stored[name]
        place = tuple(w - a for w, a in zip(where, stored.low, strict=True))
        for w, extent in zip(place, stored.values.shape, strict=True):
            if len(w) and not (int(w.min()) >= 0 and int(w.max()) < extent):
                raise Outside(f"{name} is read outside of its {stored.shape}")
        return stored.values[place] if place else stored.values

    def boundary(self, node: BoundaryAccess, points: Points) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Which points read the constant, which read nothing, and where the others read."""
        padded = torch.zeros(points.count, dtype=torch.bool)
        dropped, where = padded, []
        for d, (mode, subscript, n) in enumerate(zip(node.modes, node.subscripts, self.shapes[node.tensor], strict=True)):
            at = self.integers(subscript, points) if mode else self.pointing(node.tensor, d, subscript, points)
            out = (at < 0) | (at >= n)
            if mode == "pad":
                padded = padded | out
            elif mode == "skip":
                dropped = dropped | out
            elif mode == "clamp":
                at = at.clamp(0, n - 1)
            elif mode == "wrap":
                at = at.remainder(n)
            elif mode == "reflect":
                at = torch.where(at < 0, -at, torch.where(at >= n, 2 * (n - 1) - at, at)) if n > 1 else torch.zeros_like(at)
            where.append(at)
        return padded & ~dropped, dropped, where

    def viewed(self, node: BoundaryAccess, points: Points) -> torch.Tensor:
        padded, dropped, where = self.boundary(node, points)
        if dropped.any():
            raise Outside(f"a skipped element of {node.tensor} is read")
        chosen = (~padded).nonzero()[:, 0]
        values = self.element(node.tensor, [w[chosen] for w in where]).expand(len(chosen))
        outside = self.full(node.fill, points)
        joint = torch.promote_types(outside.dtype, values.dtype)
        return outside.to(joint).clone().index_put((chosen,), values.to(joint))


def _groups(order: list[str], sources: dict[str, set[str]]) -> list[list[str]]:
    """Tensors that depend on each other together, after everything that they depend on."""
    position = {n: k for k, n in enumerate(order)}
    reach = [sum(1 << position[r] for r in sources[n] if r in position) for n in order]
    for k in range(len(order)):
        for m in range(len(order)):
            if reach[m] >> k & 1:
                reach[m] |= reach[k]
    done: dict[str, None] = {}
    groups = []
    while len(done) < len(order):
        for m, name in enumerate(order):
            group = [n for k, n in enumerate(order) if k == m or (reach[m] >> k & 1 and reach[k] >> m & 1)]
            if name not in done and all(n in done or n in group for k, n in enumerate(order) if reach[m] >> k & 1):
                groups.append(group)
                done.update(dict.fromkeys(group))
    return groups


def _stored(values: torch.Tensor, dtype: str) -> torch.Tensor:
    """Small integers as an array of theirs keeps them: modulo 2 to the number of bits."""
    return values.to(getattr(torch, dtype)).to(values.dtype) if values.dtype == torch.int64 and dtype != "int64" else values


def _kind(dtype: str) -> torch.dtype:
    return torch.float64 if is_float(dtype) else torch.bool if dtype == "bool" else torch.int64


def _number(value: Value) -> Value:
    """Booleans count as 0 and 1."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.bool:
        return value.to(torch.int64)
    return int(value) if isinstance(value, bool) else value


def _float(value: torch.Tensor) -> torch.Tensor:
    return value.to(torch.float64)


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, int) and exponent > 0:
        return _number(base) ** exponent
    base = torch.as_tensor(base).to(torch.float64)
    if isinstance(exponent, float) and exponent == 0.5:
        return base.sqrt()
    return 1 / base ** -exponent if isinstance(exponent, int) else base**exponent


def _combined(op: str, dense: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
    """Each row reduced; the elements that are not there are neutral."""
    count = alive.sum(1)
    if op == "sum":
        return dense.sum(1)
    if op == "mean":
        return dense.sum(1) / count
    if op == "prod":
        result = torch.ones(len(dense), dtype=dense.dtype if dense.dtype != torch.bool else torch.int64)
        for column in dense.unbind(1):
            result = result * column
        return result
    if op in ("any", "all"):
        return dense.to(torch.bool).any(1) if op == "any" else dense.to(torch.bool).all(1)
    if op in ("logsumexp", "supremum") and not len(dense[0] if len(dense) else ()):
        return torch.full((len(dense),), -math.inf)
    if op == "logsumexp":
        return torch.stack([torch.logsumexp(row, 0) if n else torch.tensor(-math.inf) for row, n in zip(dense, count, strict=True)])
    if op != "supremum" and len(count) and int(count.min()) == 0:
        raise Outside(f"{op} of nothing")
    if not len(dense):
        return torch.zeros(0)
    if op.endswith("split"):
        return dense.amin(1) if "min" in op else dense.amax(1)
    known = (dense.detach() if "min" not in op else -dense.detach()).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
    if known.is_floating_point():
        known = _rounded(known)
    best = torch.where(alive, known, torch.tensor(-math.inf)).eq(known.amax(1, keepdim=True)).to(torch.int64).argmax(1)
    return best if op.startswith("arg") else dense.gather(1, best[:, None])[:, 0]


def _rounded(rows: torch.Tensor) -> torch.Tensor:
    """Twelve digits, and none of what is small beside the row: equal arguments have different values in a vector and in what is left over
    behind it."""
    scale = rows.where(rows.isfinite(), torch.tensor(0.0, dtype=rows.dtype)).abs().amax(1, keepdim=True)
    mantissa, exponent = torch.frexp(rows)
    rounded = torch.where(rows.isfinite(), torch.ldexp(mantissa.round(decimals=12), exponent), rows)
    return rounded.where(rows.abs() > 1e-15 * scale, torch.tensor(0.0, dtype=rows.dtype))


_COMPARE: dict[str, Callable[..., torch.Tensor]] = {
    "<": torch.lt,
    "<=": torch.le,
    ">": torch.gt,
    ">=": torch.ge,
    "==": torch.eq,
    "!=": torch.ne,
}
_FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    **{n: getattr(torch, n) for n in ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "sigmoid", "erf", "relu")},
    **{n: getattr(torch, n) for n in ("abs", "sign", "floor", "ceil", "round", "maximum", "minimum", "hypot", "atan2")},
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "difference": torch.sub,
    "stop_gradient": torch.detach,
    "clip": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
}


def evaluated(
    graph: Graph, sizes: Mapping[sp.Basic, int], arrays: Mapping[str, Any], differentiable: bool = False, strict: bool = False
) -> dict[str, torch.Tensor]:
    """Every tensor of a graph.

    Args:
        graph: at any stage.
        sizes: the value of every size symbol.
        arrays: float64, int64 or bool tensors by input name.
        differentiable: autograd will be asked for derivatives.
        strict: nothing may be written outside of a tensor, the initial slices of recurrences included.

    Raises:
        Outside: a read or write lies outside of its tensor, or an extremum is over nothing.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        machine = _Evaluator(graph, sizes, arrays, strict)
        with torch.set_grad_enabled(differentiable):
            machine.run(differentiable)
        return {n: s.inner for n, s in machine.stored.items()}
    finally:
        torch.set_default_dtype(before)
