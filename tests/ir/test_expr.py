import pickle
from random import Random

import pytest
import sympy as sp

from graphc.interpret import size_value
from graphc.ir.expr import Access, Call, Compare, FloorDiv, Index, Modulo, Reduce, Size, Where, build
from graphc.ir.functions import FUNCTIONS
from graphc.ir.tree import accesses, indices_of, postorder, rewrite, sizes_of, substitute

I, J, N = Index("i"), Index("j"), Size("N")


@pytest.mark.parametrize("seed", range(150))
def test_quotients_and_remainders_are_python_s(seed):
    random = Random(seed)
    numerator = sum((random.randint(-6, 6) * a for a in (I, J, N)), sp.Integer(random.randint(-9, 9)))
    divisor = random.randint(1, 5)
    for _ in range(20):
        point = {I: random.randint(-5, 9), J: random.randint(-5, 9), N: random.randint(0, 9)}
        value = size_value(numerator, point)
        assert size_value(FloorDiv(numerator, divisor), point) == value // divisor
        assert size_value(Modulo(numerator, divisor), point) == value % divisor
        assert size_value(FloorDiv(FloorDiv(numerator, 2), divisor), point) == value // 2 // divisor


def test_constants_leave_the_quotient():
    assert FloorDiv(4 * I + 6, 2) == 2 * I + 3
    assert FloorDiv(4 * I + J + 7, 4) == I + 1 + FloorDiv(J + 3, 4)
    assert Modulo(sp.Integer(7), 3) == 1
    assert Modulo(I, 1) == 0


def test_equal_positions_are_equal():
    assert Access("X", 2 * (I + 1)) == Access("X", 2 * I + 2)
    assert len({Access("X", I), Access("X", Index("i")), Access("Y", I)}) == 2


def test_nodes_are_pickled():
    node = Where(Compare("<", I, N), Call("exp", Access("X", I)) ** 2, Reduce("sum", Access("X", J), (J,), (N - J - 1,)))
    assert pickle.loads(pickle.dumps(node)) == node


def test_certain_conditions_choose_at_once():
    assert Where(sp.true, I, J) == I
    assert Where(sp.false, I, J) == J
    assert Where(Compare("<", I, J), N, N) == N


def test_numbers_are_not_distributed():
    assert build(lambda: 2 * (Access("X", I) + 1)).func is sp.Mul


def test_traversals():
    node = Access("X", Access("t", I) + 0, J) * N + Access("X", J, J)
    assert [a.tensor for a in accesses(node)].count("X") == 2
    assert set(indices_of(node)) == {I, J}
    assert sizes_of(node) == (N,)
    assert list(postorder(node))[-1] == node


def test_substitution_is_simultaneous():
    assert substitute(I - J, {I: J, J: I}) == J - I
    assert rewrite(I + J, lambda part: N if part == I else None) == N + J


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=lambda row: row.name)
def test_every_function_has_a_derivative_per_argument(row):
    assert row.derivative is not None or row.expansion is not None
    assert row.derivative is None or len(row.derivative) == row.arity
