"""Conditions as disjoint conjunctions, against all points of a box."""

import itertools
from random import Random

import pytest
import sympy as sp

from graphc.analysis.conditions import counted_where, implied, known_on, pieces
from graphc.interpret import size_value
from graphc.ir.expr import Access, Call, Compare, FloorDiv, Index, Logical, Modulo, Where

I, J = Index("i"), Index("j")
POINTS = [{I: a, J: b} for a, b in itertools.product(range(-3, 5), repeat=2)]
OPERATORS = {
    "<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__, "==": int.__eq__, "!=": int.__ne__,
}  # fmt: skip


def value(side, point):
    return abs(size_value(side.arguments[0], point)) if isinstance(side, Call) else size_value(side, point)


def holds(condition, point):
    if isinstance(condition, Compare):
        return OPERATORS[condition.op](value(condition.left, point), value(condition.right, point))
    if condition.op == "not":
        return not holds(condition.operands[0], point)
    return (all if condition.op == "and" else any)(holds(o, point) for o in condition.operands)


def drawn(random, depth):
    if depth == 0 or random.random() < 0.3:
        side = lambda: random.choice([I, J, I + J, 2 * I - J, I + 1, sp.Integer(random.randint(-2, 3)), FloorDiv(I + J, 2), Modulo(I, 3)])  # noqa: E731
        sides = [side(), side()]
        if random.random() < 0.3:
            k = random.randrange(2)
            sides[k] = Call("abs", sides[k])
        return Compare(random.choice(list(OPERATORS)), *sides)
    if random.random() < 0.25:
        return Logical("not", drawn(random, depth - 1))
    return Logical(random.choice(["and", "or"]), *(drawn(random, depth - 1) for _ in range(random.randint(2, 3))))


def satisfied(conjunction, point):
    return all(size_value(e, point) >= 0 for e in conjunction)


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.parametrize("truth", [True, False])
def test_pieces_cover_the_points_once(seed, truth):
    condition = drawn(Random(seed), 2)
    found = pieces(condition, truth)
    assert found is not None
    for point in POINTS:
        assert sum(satisfied(c, point) for c in found) == (holds(condition, point) is truth)
        if holds(condition, point) is truth:
            assert satisfied(implied(condition, truth), point)


def test_values_of_tensors_have_no_pieces():
    test = Compare("<", Access("X", I), 0)
    assert pieces(test) is None
    assert pieces(Logical("and", test, Compare("<", I, J))) is None
    assert implied(Logical("and", test, Compare("<", I, J))) == (J - I - 1,)


def test_a_side_that_the_facts_exclude_is_no_side():
    unequal = Compare("!=", I - 1, -1)
    assert implied(unequal) == ()
    assert implied(unequal, True, (I,)) == (I - 1,)
    assert implied(Compare("==", I - 1, -1), False, (I,)) == (I - 1,)


def test_conditions_help_each_other():
    """Two initial slices: ``where(t-2 == -1, …, where(t-2 == -2, …, h[t-2]))``."""
    path = [(Compare("==", I - 2, -1), False), (Compare("==", I - 2, -2), False)]
    assert I - 2 in known_on(path, (I,))
    assert known_on([(Compare("==", I, J), False)], (I,)) == (I,)


def test_counted_where():
    i = Index("i")
    x, a, b = Access("x", i), Compare(">", Access("a", i), sp.Integer(0)), Compare(">", Access("b", i), sp.Integer(0))
    zero = sp.Integer(0)
    assert counted_where(x) == ()
    assert counted_where(Where(a, x, zero)) == (a,)
    assert counted_where(2 * Where(a, zero, x)) == (Logical("not", a),)
    assert counted_where(Where(a, Where(b, x, zero), zero)) == (a, b)
    assert counted_where(Where(a, Where(b, x, zero), Where(b, 2 * x, zero))) == (b,)
    assert counted_where(Where(a, x, zero) + Where(a, Where(b, 2 * x, zero), zero)) == (a,)
    assert counted_where(Where(a, x, zero) + Where(b, x, zero)) == (Logical("or", a, b),)
    assert counted_where(Where(a, x, zero) + x) == ()
    assert counted_where(Where(a, x, Where(b, x, zero))) == (Logical("or", a, Logical("and", Logical("not", a), b)),)
