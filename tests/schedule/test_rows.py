"""Statements that touch the same rows are one kernel, and mean what they meant."""

import numpy as np
import pytest

import graphc as gc

N, D = gc.dims("N D")
i, j = gc.indices("i j")


def agree(outputs, **arrays):
    """Results of the target cpu, after comparison with the interpreter."""
    got, want = (gc.compile(outputs, target=t)(**{k: v.copy() for k, v in arrays.items()}) for t in ("cpu", "interpret"))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    return got


@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 5), (7, 65), (0, 4)])
def test_cross_entropy_with_gradient(rows, columns):
    x, label, total = gc.tensor("X", N, D), gc.tensor("label", N, dtype="int64"), gc.tensor("L")
    total[()] += gc.logsumexp(x[i, j], over=j) - x[i, label[i]]
    random = np.random.default_rng(rows)
    agree(
        [total, gc.grad(total, x)], X=random.normal(size=(rows, columns)).astype("float32"), label=random.integers(0, columns, rows)
    )


def test_softmax_and_its_gradient_are_one_kernel():
    x, g, y = gc.tensor("X", N, D), gc.tensor("G", N, D), gc.tensor("Y")
    y[i, j] = gc.exp(x[i, j]) / gc.sum(gc.exp(x[i, k := gc.index("k", D)]), over=k)
    program = gc.compile([y, gc.grad(y, x, seed=g)])
    assert [record.plan.kind for record in program.kernels] == ["rows"]
    random = np.random.default_rng(0)
    agree([y, gc.grad(y, x, seed=g)], X=random.normal(size=(5, 17)).astype("float32"), G=random.normal(size=(5, 17)).astype("float32"))


def test_equal_shapes_are_one_loop_over_all_elements():
    w, v, g = (gc.tensor(n, N, D) for n in "WVG")
    velocity, new = gc.tensor("velocity"), gc.tensor("new")
    velocity[i, j] = 0.9 * v[i, j] + g[i, j]
    new[i, j] = w[i, j] - 0.1 * velocity[i, j]
    program = gc.compile(new)
    assert len(program.kernels) == 1
    assert "velocity[e]" not in program.source, "a tensor that nobody else reads stays in a variable"
    random = np.random.default_rng(1)
    agree([new, velocity], **{n: random.normal(size=(3, 6)).astype("float32") for n in "WVG"})


def test_a_sum_over_nothing_is_not_written_outside():
    """Found by random programs: ``x.grad[-2] += 0`` corrupted the memory in front of the array."""
    x, w, y, total = gc.tensor("x", 3), gc.tensor("w", N), gc.tensor("T"), gc.tensor("L")
    y[i] += gc.skip(x)[0 - 2] * w[i]
    total[()] += y[i]
    program = gc.compile([total, gc.grad(total, x)])
    lines = program.source.splitlines()
    for k, line in enumerate(lines):
        if "x_grad[-2] +=" in line:
            assert "if -2 >= 0" in lines[k - 1]
    agree([total, gc.grad(total, x)], x=np.ones(3, "float32"), w=np.ones(4, "float32"))


def test_a_scalar_beside_equal_shapes():
    x, s, y = gc.tensor("x", gc.dim("N"), 3), gc.tensor("s", ()), gc.tensor("y")
    i, j = gc.indices("i j")
    y[i, j] = x[i, j] * s[()]
    np.testing.assert_array_equal(gc.compile(y)(x=np.ones((2, 3), "float32"), s=2.0), np.full((2, 3), 2.0))


def test_a_tensor_with_the_name_of_an_index():
    """The loop over rows is around loops that read the tensor: `b` is both."""
    b, i, j, k = gc.indices("b i j k")
    x, c, y, z = gc.tensor("x", 3, 4), gc.tensor("b", 3, 4), gc.tensor("y"), gc.tensor("z")
    y[b, i] = gc.exp(x[b, i]) / gc.sum(gc.exp(x[b, k]), over=k)
    z[b, i] += gc.sum(y[b, j] * c[b, j], over=j) * y[b, i]
    agree([z], x=np.ones((3, 4), "float32"), b=np.arange(12, dtype="float32").reshape(3, 4))


def test_rows_that_are_set_to_0_first_have_loops_of_their_own():
    """Found by random programs: ``x.grad[j,j] = 0`` for j < 5 corrupted the memory behind the array, since the row was called j."""
    i, j, k = gc.index("i", 3), gc.index("j"), gc.index("k")
    x, a, w = gc.tensor("x", 3, 5), gc.tensor("a", 2), gc.tensor("w", 3, 3)
    y, total = gc.tensor("y"), gc.tensor("L")
    y[i, j] = gc.log(1 + gc.exp(gc.max(x[j, (j + k) // 2] + a[k], over=k, ties="split")))
    total[()] += w[i, j] * y[i, j]
    random = np.random.default_rng(2)
    agree([total, gc.grad(total, x)], **{n: random.normal(size=s).astype("f4") for n, s in dict(x=(3, 5), a=(2,), w=(3, 3)).items()})


def test_a_total_at_a_place_from_a_tensor():
    """Found by random programs: the kernel that adds partial sums did not get the tensor in the subscript."""
    x, place, y = gc.tensor("x", N), gc.tensor("place", 2, dtype="int64"), gc.tensor("y", 5)
    y[place[1]] += x[i]
    agree([y], x=np.arange(4, dtype="f4"), place=np.array([0, 3]))


def test_a_condition_with_equal_branches_keeps_its_index():
    """Found by random programs: elements are treated alike only if no index stands outside of what is read."""
    p, q = gc.index("p", 2), gc.index("q", 3)
    x, y = gc.tensor("x", ()), gc.tensor("y")
    y[p, q] = gc.where(p != 0, 1, x[()])
    assert gc.compile(y)(x=np.float32(3)).tolist() == [[3, 3, 3], [1, 1, 1]]


def test_a_number_that_fills_a_tensor_is_read_in_the_same_loop():
    n, w, total, y = gc.tensor("n", 1, dtype="int32"), gc.tensor("w", 4), gc.tensor("total"), gc.tensor("y")
    p, k, e = gc.index("p"), gc.index("k", 3), gc.index("e", 4)
    y[e] += gc.max(n[p], over=(k, p))
    total[()] += w[e] * y[e]
    agree([total, gc.grad(total, w)], n=np.array([4], "int32"), w=np.arange(4, dtype="float32"))


def test_a_row_waits_for_the_rows_that_its_left_side_reads():
    X, T, S, k = gc.tensor("X", N, D), gc.tensor("T"), gc.tensor("S", N, 3), gc.index("k", N)
    T[i, j] = gc.argmax(X[i, j] * X[i, b := gc.index("b", 3)], over=b)
    S[i, T[N - 1 - k, 0]] += X[i, 0]
    x = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    (got,) = agree([S], X=x)
    places = np.where(x[:, 0] > 0, x[:, :3].argmax(axis=1), x[:, :3].argmin(axis=1))
    np.testing.assert_allclose(got, x[:, :1] * np.bincount(places, minlength=3), rtol=1e-5)
    assert all("T[i,j] =" not in k.loop for k in gc.compile([S]).kernels if "S[" in k.loop)
