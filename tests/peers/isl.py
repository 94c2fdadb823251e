"""Random affine maps, for graphc and for isl."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import islpy
import sympy as sp

from graphc.ir.expr import FloorDiv, Index, Modulo, Size
from graphc.ir.statement import Range, Statement

INDICES = tuple(Index(name) for name in "ijk")
SIZES = (Size("N"), Size("M"))


@dataclass(frozen=True)
class Affine:
    """``subscripts`` of the indices of `ranges` where every expression of `domain` is ≥ 0."""

    ranges: tuple[Range, ...]
    domain: tuple[sp.Expr, ...]
    subscripts: tuple[sp.Expr, ...]

    @property
    def constraints(self) -> tuple[sp.Expr, ...]:
        return tuple(c for r in self.ranges for c in r.constraints()) + self.domain

    def __str__(self) -> str:
        shown = ", ".join(f"{r.lower}<={r.index}<{r.upper}" for r in self.ranges)
        return f"{self.subscripts} for {shown}" + (f" where {self.domain} >= 0" if self.domain else "")


def form(random: Random, indices: Sequence[Index], largest: int, sizes: float) -> sp.Expr:
    chosen = random.sample(indices, random.randint(1, len(indices)))
    total = sum((random.choice([1, 1, -1, random.randint(-largest, largest)]) * i for i in chosen), sp.Integer(random.randint(-3, 3)))
    return sp.expand(total + (random.choice([1, -1]) * random.choice(SIZES) if random.random() < sizes else 0))


def quotient(random: Random, inner: sp.Expr) -> sp.Expr:
    return random.choice([FloorDiv, Modulo])(inner, random.randint(2, 4))


def affine(random: Random, sizes: float = 0.3, quotients: float = 0.2, largest: int = 4) -> Affine:
    """A map of one to three indices."""
    indices = INDICES[: random.randint(1, 3)]
    ranges = []
    for i in indices:
        low = sp.Integer(random.choice([0, 0, 0, 1, -2]))
        extent = random.choice(SIZES) if random.random() < sizes else sp.Integer(random.randint(1, 6))
        ranges.append(Range(i, low, sp.expand(low + extent)))

    def one(small: int) -> sp.Expr:
        e = form(random, indices, small, sizes / 2)
        if random.random() >= quotients:
            return e
        return sp.expand(e + random.choice([-1, 1, 2]) * quotient(random, form(random, indices, 2, 0)))

    domain = tuple(one(2) for _ in range(random.choice([0, 0, 1, 2])))
    return Affine(tuple(ranges), domain, tuple(one(largest) for _ in range(random.randint(1, 2))))


def text(node: sp.Expr) -> str:
    match node:
        case sp.Add():
            return "(" + " + ".join(text(a) for a in node.args) + ")"
        case sp.Mul():
            number, rest = node.as_coeff_Mul()
            return f"({int(number)} * {text(rest)})"
        case FloorDiv():
            return f"floor(({text(node.numerator)}) / {node.divisor})"
        case Modulo():
            return f"(({text(node.numerator)}) mod {node.divisor})"
    return str(node)


def points(indices: Iterable[Index], constraints: Iterable[sp.Expr]) -> islpy.Set:
    names = ", ".join(map(str, indices))
    tests = " and ".join([*(f"{text(c)} >= 0" for c in constraints), "N >= 0", "M >= 0"])
    return islpy.Set(f"[N, M] -> {{ [{names}] : {tests} }}")


def relation(indices: Iterable[Index], constraints: Iterable[sp.Expr], values: Iterable[sp.Expr]) -> islpy.Map:
    names = ", ".join(map(str, indices))
    tests = " and ".join([*(f"{text(c)} >= 0" for c in constraints), "N >= 0", "M >= 0"])
    return islpy.Map(f"[N, M] -> {{ [{names}] -> [{', '.join(map(text, values))}] : {tests} }}")


def touched(statement: Statement, values: Iterable[sp.Expr]) -> islpy.Set:
    """Which element a statement writes together with the values of some expressions."""
    return relation([r.index for r in statement.ranges], statement.constraints(), (*statement.subscripts, *values)).range()


def race_free(statement: Statement) -> bool:
    """Whether iterations of the loops over free indices write different elements."""
    pairs = relation([r.index for r in statement.ranges], statement.constraints(), statement.subscripts)
    for position, r in reversed(list(enumerate(statement.ranges))):
        if r.index in statement.reduced:
            pairs = pairs.project_out(islpy.dim_type.in_, position, 1)
    return bool(pairs.is_injective())


def all_points(case: Affine) -> list[tuple[int, ...]]:
    """The points of a map without sizes, in lexicographic order."""
    found: list[tuple[int, ...]] = []
    box = points([r.index for r in case.ranges], case.constraints).project_out(islpy.dim_type.param, 0, 2)

    def keep(point: islpy.Point) -> None:
        found.append(tuple(point.get_coordinate_val(islpy.dim_type.set, d).to_python() for d in range(len(case.ranges))))

    box.foreach_point(keep)
    return sorted(found)
