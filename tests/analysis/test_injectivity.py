"""Injective and disjoint left sides, against all points: what is proved holds; the usual forms are proved."""

import itertools
from random import Random

import pytest
import sympy as sp

from graphc.analysis.injectivity import disjoint, injective
from graphc.interpret import size_value
from graphc.ir.expr import FloorDiv, Index, Modulo, Size
from graphc.ir.statement import Range, Statement

I, J, K = (Index(n) for n in "ijk")
N = Size("N")


def box(*extents):
    return [Range(i, sp.Integer(0), sp.sympify(e)) for i, e in zip((I, J, K), extents, strict=False)]


def hits(subscripts, ranges, domain=()):
    for values in itertools.product(*(range(int(r.lower), int(r.upper)) for r in ranges)):
        point = dict(zip((r.index for r in ranges), values, strict=True))
        if all(size_value(d, point) >= 0 for d in domain):
            yield tuple(size_value(s, point) for s in subscripts)


@pytest.mark.parametrize(
    ("subscripts", "extents"),
    [
        ((I, J), (N, N)), ((J + 1, N - 1 - I), (N, N)), ((2 * I + 1,), (N,)), ((4 * I + J,), (N, 4)), ((I + J, J), (N, N)),
        ((12 * I + 3 * J + K,), (N, 4, 3)), ((I + J, I - J), (N, N)), ((FloorDiv(I, 2), Modulo(I, 2)), (N,)),
    ],
)  # fmt: skip
def test_usual_injective_forms_are_proved(subscripts, extents):
    assert injective(subscripts, box(*extents))


@pytest.mark.parametrize(
    ("subscripts", "extents"),
    [((I + J,), (N, N)), ((I,), (N, N)), ((2 * I + J,), (N, 3)), ((FloorDiv(I, 2),), (N,)), ((Modulo(I, 2), J), (N, N)), ((), (N,))],
)
def test_what_is_not_injective_is_not_proved(subscripts, extents):
    assert not injective(subscripts, box(*extents))


@pytest.mark.parametrize("seed", range(200))
def test_proofs_are_sound(seed):
    random = Random(seed)
    ranges = box(*(random.randint(1, 4) for _ in range(random.randint(1, 3))))
    indices = [r.index for r in ranges]
    subscripts = []
    for _ in range(random.randint(1, 2)):
        form = sum((random.randint(-4, 4) * i for i in indices), sp.Integer(random.randint(-2, 2)))
        subscripts.append(random.choice([form, FloorDiv(form, 2), Modulo(form, 3)]) if random.random() < 0.4 else form)
    domain = [sum((random.randint(-1, 1) * i for i in indices), sp.Integer(random.randint(0, 2)))] if random.random() < 0.4 else []
    elements = list(hits(subscripts, ranges, domain))
    if injective(subscripts, ranges, domain):
        assert len(set(elements)) == len(elements)


@pytest.mark.parametrize("seed", range(200))
def test_disjoint_is_sound(seed):
    random = Random(seed)

    def statement():
        low = random.randint(0, 3)
        r = Range(I, sp.Integer(low), sp.Integer(low + random.randint(1, 3)))
        return Statement(
            "T", (random.choice([I, 2 * I, 2 * I + 1, 3 * I + 1, sp.Integer(random.randint(0, 5))]),), "=", sp.Integer(1), (r,)
        )

    a, b = statement(), statement()
    common = set(hits(a.subscripts, a.ranges)) & set(hits(b.subscripts, b.ranges))
    if disjoint(a, b):
        assert not common


def test_interleaved_elements_are_disjoint():
    ranges = tuple(box(N))
    assert disjoint(Statement("T", (2 * I,), "=", sp.Integer(1), ranges), Statement("T", (2 * I + 1,), "=", sp.Integer(1), ranges))
    assert not disjoint(Statement("T", (2 * I,), "=", sp.Integer(1), ranges), Statement("T", (3 * I,), "=", sp.Integer(1), ranges))


def test_remainders_of_one_index_are_disjoint():
    """Found by random programs: the two sides of a condition on i%2, periodic reads at (i + 1)%4."""
    for rest in (Modulo(I, 2) - 1, Modulo(I + 1, 4) - N):
        for place in (I, 2 * I + 1, 4 - 3 * I):
            first, second = (Statement("T", (place,), "=", sp.Integer(1), tuple(box(N)), domain=(d,)) for d in (rest, -rest - 1))
            assert disjoint(first, second)
            assert not disjoint(first, first)


def test_conditions_on_other_indices_say_nothing():
    """Found by random programs: ``X[j+k] += …`` over i, j, k where k is i+1: two iterations may have different i, so j and k as well."""
    i, j, k = Index("i"), Index("j"), Index("k")
    ranges = [Range(j, sp.Integer(0), sp.Integer(5)), Range(k, sp.Integer(0), sp.Integer(2))]
    assert not injective([j + k], ranges, [k - i - 1, i + 1 - k])
    assert injective([j + k], ranges, [k - 1, 1 - k])
