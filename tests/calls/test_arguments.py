"""Which arguments a program takes."""

import numpy as np
import pytest

import graphc as gc


def linear_program():
    n, m = gc.dims("n m")
    x, a, y, loss = gc.tensor("x", n), gc.tensor("a", m, n), *gc.tensors("y loss")
    i, j = gc.indices("i j")
    y[j] += a[j, i] * x[i]
    loss[()] += y[j]
    return x, a, y, loss


def test_a_gradient_takes_the_arguments_of_its_program():
    x, a, _, loss = linear_program()
    arrays = {"x": np.zeros(2, "f"), "a": np.ones((3, 2), "f")}
    for options in ({}, {"inputs": [x, a]}):
        f = gc.compile(gc.grad(loss, x), target="interpret", **options)
        assert f(**arrays).tolist() == [3, 3]
    assert f(*arrays.values()).tolist() == [3, 3]
    with pytest.raises(gc.ArgumentError, match="no argument z"):
        f(**arrays, z=arrays["x"])


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_the_size_of_a_gradient_is_that_of_what_it_is_for(target):
    _, a, _, loss = linear_program()
    f = gc.compile(gc.grad(loss, a), target=target)
    assert f(x=np.float32([1, 2]), a=np.zeros((3, 2), "f")).tolist() == [[1, 2]] * 3
    with pytest.raises(gc.ArgumentError, match="a"):
        f(x=np.float32([1, 2]))


def test_transforms_of_a_linear_program_take_its_arguments():
    x, _, y, loss = linear_program()
    v = gc.tensor("v", *x.shape)
    arrays = {"x": np.float32([1, 2]), "a": np.ones((3, 2), "f"), "v": np.float32([1, 1])}
    assert gc.compile(gc.jvp(y, {x: v}), target="interpret")(**arrays).tolist() == [2, 2, 2]
    assert gc.compile(gc.jacobian(y, x), target="interpret")(x=arrays["x"], a=arrays["a"]).shape == (3, 2)
    assert not gc.compile(gc.hvp(loss, {x: v})[x], target="interpret")(**arrays).any()


def test_inputs_of_equal_names_stay_apart():
    """A gradient that reads another x than its program: the array is for the one that is read."""
    x, _, _, loss = linear_program()
    other, z = gc.tensor("x", x.shape[0]), gc.tensor("z")
    i = gc.index("i")
    d = gc.grad(loss, x)
    z[i] = d[i] * other[i]
    assert gc.compile(z, target="interpret")(x=np.float32([5, 7]), a=np.ones((3, 2), "f")).tolist() == [15, 21]


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_the_size_of_a_gradient_that_is_scattered(target):
    """Only the shape of the result has it: no loop goes over the rows of the table."""
    n, d, m = gc.dims("n d m")
    table, token, rows, seed = gc.tensor("table", n, d), gc.tensor("token", m, dtype="int64"), gc.tensor("rows"), gc.tensor("seed", m, d)
    i, j = gc.indices("i j")
    rows[i, j] = table[token[i], j]
    f = gc.compile(gc.grad(rows, table, seed=seed), target=target)
    found = f(table=np.zeros((3, 2), "f"), token=np.array([0, 2, 2]), seed=np.ones((3, 2), "f"))
    assert found.tolist() == [[1, 1], [0, 0], [2, 2]]
