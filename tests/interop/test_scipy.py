"""Programs as functions of SciPy: minimised, solved and fitted."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

pytest.importorskip("scipy")

import scipy.optimize
import scipy.sparse.linalg

N, D = gc.dims("N D")
b, j = gc.indices("b j")


def rosenbrock():
    i, x, total = gc.index("i", N - 1), gc.tensor("x", N), gc.tensor("total")
    total[()] += 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
    return total, x


def logistic(dtype="float32"):
    inputs, targets = gc.tensor("inputs", N, D, dtype=dtype), gc.tensor("targets", N, dtype=dtype)
    w, bias = gc.parameter("w", D, init="normal", dtype=dtype), gc.tensor("bias", (), dtype=dtype)
    score, loss = gc.tensors("score loss")
    score[b] = gc.sum(inputs[b, j] * w[j], over=j) + bias[()]
    loss[()] += (gc.softplus(score[b]) - targets[b] * score[b]) / N
    loss[()] += 0.01 * w[j] ** 2
    return loss, [w, bias]


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200, 5))
    return {"inputs": inputs, "targets": (inputs @ [1, -2, 0.5, 0, 3] + random.normal(size=200) > 0.3).astype(float)}


@pytest.fixture(scope="module")
def banana():
    return gc.to_scipy(*rosenbrock(), N=6)


@pytest.fixture(scope="module")
def regression(data):
    return gc.to_scipy(*logistic(), data)


def test_derivatives_agree_with_scipys_own(banana):
    x, p = np.linspace(-1, 1.5, 6), np.arange(6.0)
    assert banana.fun(x) == pytest.approx(scipy.optimize.rosen(x))
    np.testing.assert_allclose(banana.jac(x), scipy.optimize.rosen_der(x), rtol=1e-12)
    np.testing.assert_allclose(banana.hess(x), scipy.optimize.rosen_hess(x), rtol=1e-12)
    np.testing.assert_allclose(banana.hessp(x, p), scipy.optimize.rosen_hess_prod(x, p), rtol=1e-12)
    np.testing.assert_allclose(banana.hessian(x) @ np.eye(6), scipy.optimize.rosen_hess(x), rtol=1e-12)


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "Newton-CG", "trust-ncg", "trust-exact"])
def test_minimised(banana, method):
    second = {} if "BFGS" in method else {"hess": banana.hess} if method == "trust-exact" else {"hessp": banana.hessp}
    result = scipy.optimize.minimize(banana.fun, np.zeros(6), jac=banana.jac, method=method, tol=1e-10, **second)
    np.testing.assert_allclose(result.x, 1, atol=1e-6)


def test_logistic_regression(regression, data):
    assert regression.x0.shape == (6,) and regression.x0.dtype == "float64"
    first = scipy.optimize.minimize(regression.fun_and_jac, regression.x0, jac=True, method="L-BFGS-B", tol=1e-12)
    functions = {"fun": regression.fun, "jac": regression.jac, "hessp": regression.hessp}
    second = scipy.optimize.minimize(x0=regression.x0, method="trust-ncg", tol=1e-10, **functions)
    np.testing.assert_allclose(first.x, second.x, atol=1e-5)
    assert scipy.optimize.check_grad(regression.fun, regression.jac, first.x) < 1e-6
    found = regression.unpack(second.x)
    assert found["w"].shape == (5,) and found["bias"].shape == () and found["w"].dtype == "float32"
    correct = (data["inputs"] @ found["w"] + found["bias"] > 0) == data["targets"]
    assert correct.mean() > 0.9


def test_a_newton_step_by_conjugate_gradients(regression):
    x = regression.x0
    for _ in range(8):
        step, info = scipy.sparse.linalg.cg(regression.hessian(x), -regression.jac(x), rtol=1e-12)
        assert info == 0
        x = x + step
    assert np.abs(regression.jac(x)).max() < 1e-12
    np.testing.assert_allclose(regression.hess(x), regression.hess(x).T, atol=1e-15)


def test_the_start(data):
    loss, wrt = logistic("float64")
    expected = gc.compile(loss, target="interpret").init(seed=3, D=5)["w"]
    problem = gc.to_scipy(loss, wrt, data, seed=3, bias=7)
    assert np.array_equal(problem.x0[:5], expected) and problem.x0[5] == 7
    assert np.array_equal(problem.pack(problem.unpack(problem.x0)), problem.x0)
    problem.x0[:] = 0
    assert problem.x0[5] == 7


def test_results_belong_to_the_caller(regression):
    x = regression.x0
    value, gradient = regression.fun_and_jac(x)
    kept = gradient.copy()
    gradient[:] = 0
    x[:] = 5
    assert np.array_equal(regression.jac(regression.x0), kept) and regression.fun(regression.x0) == value
    assert regression.fun(x) != value


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-4), (None, 1e-4), ("float64", 1e-12)])
def test_precisions(data, precision, tolerance):
    exact = gc.to_scipy(*logistic(), data)
    problem = gc.to_scipy(*logistic(), data, precision=precision)
    value, gradient = problem.fun_and_jac(problem.x0)
    expected, exact_gradient = exact.fun_and_jac(problem.x0)
    assert value == pytest.approx(expected, rel=tolerance) and gradient.dtype == "float64"
    np.testing.assert_allclose(gradient, exact_gradient, atol=tolerance)
    assert problem.hessp(problem.x0, problem.x0).dtype == "float64"


def test_a_problem_keeps_its_data():
    """Data that change afterwards change nothing, whatever has been computed before."""
    total, x = rosenbrock()
    c, objective = gc.tensor("c", (), dtype="float64"), gc.tensor("objective")
    objective[()] = c[()] * total[()]
    factor = np.array(2.0)
    problem = gc.to_scipy(objective, x, N=4, c=factor)
    at = np.full(4, 0.5)
    value, _ = problem.fun_and_jac(at)
    factor[()] = 0
    assert problem.fun(at) == value == problem.fun(at.reshape(4, 1)) and problem.jac(np.full(4, 0.25)).any()


def test_unpacked_vectors_of_float64_are_not_copied(data):
    problem = gc.to_scipy(*logistic("float64"), data)
    x = problem.x0
    assert np.shares_memory(problem.unpack(x)["w"], x)


# ---------------------------------------------------------------------------------------------------------------- residuals


def curve():
    t, seen, rate, height = gc.tensor("t", N), gc.tensor("seen", N), gc.tensor("rate", 2), gc.tensor("height", 2)
    k, r = gc.index("k"), gc.tensor("r")
    r[b] += height[k] * gc.exp(-rate[k] * t[b])
    r[b] += -seen[b]
    return r, [rate, height]


@pytest.fixture(scope="module")
def fit():
    t = np.linspace(0, 4, 50)
    return gc.to_scipy(*curve(), t=t, seen=2 * np.exp(-0.5 * t) + np.exp(-3 * t), rate=[1, 2], height=[1, 1])


def test_a_fit(fit):
    assert fit.x0.tolist() == [1, 2, 1, 1]
    result = scipy.optimize.least_squares(fit.fun, fit.x0, jac=fit.jac, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    np.testing.assert_allclose(result.x, [0.5, 3, 2, 1], rtol=1e-5)
    matrix_free = scipy.optimize.least_squares(fit.fun, fit.x0, jac=fit.jacobian, tr_solver="lsmr", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    np.testing.assert_allclose(matrix_free.x, [0.5, 3, 2, 1], rtol=1e-4)


def test_the_jacobian_is_linear(fit):
    x, random = fit.x0, np.random.default_rng(0)
    operator, matrix = fit.jacobian(x), fit.jac(x)
    assert operator.shape == matrix.shape == (50, 4)
    p, r = random.normal(size=4), random.normal(size=50)
    np.testing.assert_allclose(operator @ p, matrix @ p, rtol=1e-12)
    np.testing.assert_allclose(operator.T @ r, matrix.T @ r, rtol=1e-12)
    np.testing.assert_allclose(operator @ np.eye(4), matrix, rtol=1e-12)
    numeric = scipy.optimize.approx_fprime(x, fit.fun, 1e-7)
    np.testing.assert_allclose(matrix, numeric, atol=1e-5)


def test_a_linear_program_is_solved_by_lsqr():
    h, w, r, s = gc.indices("h w r s")
    image, kernel, blurred = gc.tensor("image", N, D), gc.tensor("kernel", 3, 3), gc.tensor("blurred", N, D)
    blurred[h, w] += gc.pad(image, 0)[h + r - 1, w + s - 1] * kernel[r, s]
    truth, filter_ = np.random.default_rng(0).random((8, 9)), np.array([[0, 1, 0], [1, 6, 1], [0, 1, 0]]) / 10
    problem = gc.to_scipy(blurred, image, kernel=filter_, N=8, D=9)
    seen = problem.fun(problem.pack({"image": truth}))
    operator = problem.jacobian(problem.x0)
    found = scipy.sparse.linalg.lsqr(operator, seen, atol=1e-12, btol=1e-12)[0]
    np.testing.assert_allclose(problem.unpack(found)["image"], truth, atol=1e-5)
    root = scipy.optimize.root(lambda x: problem.fun(x) - seen, problem.x0, jac=problem.jac)
    np.testing.assert_allclose(root.x, truth.ravel(), atol=1e-8)
