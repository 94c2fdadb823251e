"""The prover of inequalities, against all integer points of small boxes."""

import itertools
from functools import partial
from random import Random

import pytest
import sympy as sp

from graphc.interpret import size_value
from graphc.ir.affine import contradictory, eliminate, infeasible, linear, nonnegative, project, relevant, to_expr
from graphc.ir.expr import FloorDiv, Index, Modulo, Size
from graphc.ir.tree import indices_of

I, J, N, M = Index("i"), Index("j"), Size("N"), Size("M")
ATOMS = (I, J, N, M)
POINTS = [dict(zip(ATOMS, v, strict=True)) for v in itertools.product(range(-2, 4), range(-2, 4), range(4), range(4))]


def form(random, quotients=True):
    total = sum((random.randint(-2, 2) * a for a in random.sample(ATOMS, 2)), sp.Integer(random.randint(-3, 3)))
    if quotients and random.random() < 0.3:
        total += random.choice([1, -1, 2]) * random.choice([FloorDiv, Modulo])(I + random.randint(0, 2) * J, random.randint(2, 3))
    return total


@pytest.mark.parametrize("seed", range(250))
def test_proofs_are_sound(seed):
    random = Random(seed)
    facts = [form(random) for _ in range(random.randint(1, 4))]
    goal = form(random)
    inside = [p for p in POINTS if all(size_value(f, p) >= 0 for f in facts)]
    if nonnegative(goal, facts):
        assert all(size_value(goal, p) >= 0 for p in inside)
    if infeasible([linear(f) for f in facts]):
        assert not inside


@pytest.mark.parametrize("seed", range(100))
def test_irrelevant_facts_change_nothing(seed):
    random = Random(seed)
    facts = [linear(form(random)) for _ in range(4)]
    goal = linear(form(random))
    kept = relevant(goal, facts)
    assert set(kept) <= set(facts)
    negated = goal.times(-1).shifted(-1)
    if not infeasible(facts):
        assert infeasible([*kept, negated]) == infeasible([*facts, negated])


@pytest.mark.parametrize(
    ("goal", "facts"),
    [
        (N - 1 - (I + J), [I, N - M - I, J, M - 1 - J]), (I - FloorDiv(I, 2), [I]), (2 - Modulo(I, 3), []), (N, []),
        (FloorDiv(I, 2), [I]), (N - 1 - FloorDiv(2 * I + 1, 2), [I, N - 1 - I]), (-I, [1 - 2 * I]),
    ],
)  # fmt: skip
def test_proved(goal, facts):
    assert nonnegative(goal, facts)


def test_not_proved():
    assert not nonnegative(N - 1, [])
    assert not nonnegative(I, [I + 1])
    assert not nonnegative(I * J, [I, J])


@pytest.mark.parametrize("seed", range(60))
def test_elimination_keeps_projections(seed):
    random = Random(seed)
    system = [linear(form(random, quotients=False)) for _ in range(4)]
    rest = eliminate(system, I)
    for point in POINTS:
        if all(size_value(to_expr(f), point) >= 0 for f in system):
            assert all(size_value(to_expr(f), point) >= 0 for f in rest)


@pytest.mark.parametrize("seed", range(100))
def test_linear_forms_have_the_value_of_their_expression(seed):
    random = Random(seed)
    expression = form(random) * random.randint(-3, 3) - form(random)
    back = to_expr(linear(expression))
    assert all(size_value(back, p) == size_value(expression, p) for p in POINTS[:: len(POINTS) // 40])


def test_equations_are_solved_before_quotients_are_projected_away():
    """2*i = 3*j, j = 0 and (2*i)%3 ≥ 1 contradict each other; without the equations, some rational number is a quotient."""
    i, j = Index("i"), Index("j")
    equations = [j, -j, 2 * i - 3 * j, 3 * j - 2 * i]
    assert contradictory([*equations, Modulo(2 * i, 3) - 1])
    assert not contradictory([*equations, -Modulo(2 * i, 3)])


def test_atoms_that_lose_no_integers_are_projected_away_first():
    """2*i + j ≤ 0 leaves i = j = 0, whose remainder is not 1: visible where the quotient goes last."""
    i, j = Index("i"), Index("j")
    assert nonnegative(2 * i + j - 1, [i, j, 1 - j, Modulo(2 * i + j, 3) - 1])


def test_a_gradient_through_two_reflections_is_proved_in_range():
    """k = 4*k11 + 2*k12 + k2 ≤ M - 1 bounds 2*j + k + 1 by M + 4: elimination meets many forms before it finds that."""
    i1, i2, j, k11, k12, k2 = (Index(name) for name in ("i1", "i2", "j", "k11", "k12", "k2"))
    M, K = Size("M"), Size("K")
    i, k = 2 * i1 + i2 - j, 4 * k11 + 2 * k12 + k2
    facts = [
        i1, FloorDiv(M + 1, 2) - i1, i2, 1 - i2, j, 2 - j, k11, FloorDiv(M + 3, 4) - 1 - k11, k12, 1 - k12, k2, 1 - k2, 1 - i1,
        2 * j - 2, K + 2 - 2 * j, i, M - 1 - i, M - 1 - k, FloorDiv(M + 1, 2) - 1 - 2 * k11 - k12, i1 + K - 3, i + k - 2,
        K - 1 - (i + k - 2), 2 * j + k - K,
    ]
    mirrored = 2 * K - 2 * j - k - 1
    left, _ = project(map(linear, [*facts, -mirrored - 1]), lambda atom: bool(indices_of(atom)))
    assert linear(M + 3 - 2 * K) in left


@pytest.mark.parametrize("seed", range(300))
def test_equations_have_the_solutions_that_are_found_by_trying(seed):
    """Σ a·x + c = 0 in a box, with a quotient of another sum above a bound."""
    random = Random(seed)
    indices = [Index(n) for n in "ijk"[: random.randint(1, 3)]]
    pick = partial(random.randint, -7, 7)
    equation = sum((pick() * i for i in indices), sp.Integer(pick()))
    rest = Modulo(sum((pick() * i for i in indices), sp.Integer(0)), random.randint(2, 4)) - random.randint(1, 2)
    box = [part for i in indices for part in (i, 4 - i)]
    points = itertools.product(range(5), repeat=len(indices))
    found = any(equation.subs(at) == 0 and size_value(rest, at) >= 0 for at in (dict(zip(indices, p, strict=True)) for p in points))
    proved = contradictory([*box, equation, -equation, rest])
    assert not (found and proved)
    if len(indices) < 3 and not found:
        assert proved, "few unknowns, one equation: nothing is left open"


def test_a_rest_is_known_where_its_index_has_one_value_that_only_integers_leave() -> None:
    """1 ≤ 3i + 2j ≤ 2 leaves i = 0, by no condition alone."""
    i, j = Index("i"), Index("j")
    assert nonnegative(-Modulo(i, 3), (i, j, 3 * i + 2 * j - 1, 2 - 3 * i - 2 * j))
    assert not nonnegative(-Modulo(i, 3), (i, j, 3 * i + 2 * j - 1, 3 - 3 * i - 2 * j))
