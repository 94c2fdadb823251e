"""A program saved as C computes the same results: through ctypes, with every set of flags that the documentation names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from tests import oracles
from tests.c_programs import FAST, PLAIN, SANITISED, WARNINGS, Exported, exported, needs_compiler, run_alone
from tests.cuda_layers import LAYERS
from tests.cuda_programs import ERRORS, PROGRAMS
from tests.programs import generate

pytestmark = needs_compiler

N, D, M = gc.dims("N D M")
b, i, j = gc.indices("b i j")
random = np.random.default_rng(0)
QUICK = (*WARNINGS, "-O0", "-fopenmp")
NARROW = (*FAST, "-mno-avx512f")


def normal(*shape: int) -> Any:
    return random.normal(size=shape).astype("float32")


def agree(net: Exported, arrays: dict[str, Any], wanted: list[Any]) -> None:
    """The same results, in any number of threads, with the caller's workspace and without."""
    for threads in (1, 2, 3):
        for value, expected in zip(net.results(arrays, threads, own_workspace=threads == 2), wanted, strict=True):
            assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
            scale = 1 + np.abs(expected[np.isfinite(expected)]).max(initial=0) if value.size else 1
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6 * scale)


# ----------------------------------------------------------------------------------------------------------- the whole language


@pytest.mark.parametrize("flags", [FAST, PLAIN, NARROW], ids=["fast", "plain", "narrow"])
def test_maps_and_sums(tmp_path: Path, flags: tuple[str, ...]) -> None:
    X, c = gc.tensor("X", N, D), gc.tensor("c", D)
    Y, L = gc.tensors("Y L")
    Y[b, i] = gc.sigmoid(X[b, i] * c[i]) + gc.where(b > 0, 1, 0)
    L[()] += (Y[b, i] - 0.5) ** 2 / N
    outputs = [L, Y, gc.grad(L, c)]
    net, oracle = exported(gc.compile(outputs), tmp_path, flags=flags), gc.compile(outputs, target="interpret")
    for rows in (0, 1, 70):
        arrays = {"X": normal(rows, 37), "c": normal(37)}
        agree(net, arrays, oracle(**arrays))


FORMS = {**PROGRAMS, **{n: LAYERS[n] for n in (
    "softmax", "cross_entropy", "multi_margin_loss", "conv2d_strided", "conv2d_groups", "conv_transpose2d", "max_pool2d",
    "adaptive_avg_pool2d", "batch_norm", "embedding", "maxout", "attention", "lstm", "perceptron")}}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path: Path, name: str) -> None:
    outputs, arrays = FORMS[name]()
    net = exported(gc.compile(outputs), tmp_path, name, QUICK)
    agree(net, arrays, gc.compile(outputs, target="interpret")(**arrays))


@pytest.mark.parametrize("seed", [0, 300])
def test_random_programs(seed: int) -> None:
    wrong = oracles.check_together([generate(seed + k) for k in range(6)], oracles.as_c)
    assert wrong is None, f"{wrong[1]}\n\n{wrong[0]}"


@pytest.mark.parametrize("flags", [FAST, NARROW, PLAIN], ids=["512", "256", "plain"])
def test_products(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Both factors in both layouts, convolutions, batches, one row, one column, nothing to sum: every way of the engine."""
    k, r = gc.index("k"), gc.index("r")
    sizes = gc.dims("P K Q R")
    P, K, Q, R = sizes
    A, At, B, Bt = gc.tensor("A", P, K), gc.tensor("At", K, P), gc.tensor("B", K, Q), gc.tensor("Bt", Q, K)
    x, w, E = gc.tensor("x", P, K + R), gc.tensor("w", Q, R), gc.tensor("E", 3, P, K, dtype="float64")
    F = gc.tensor("F", 3, K, Q, dtype="float64")
    H, S = gc.tensor("H", K, 6, 5), gc.tensor("S")
    nn, nt, tn, tt, conv, many = gc.tensors("nn nt tn tt conv many")
    p = gc.index("p", K)
    nn[i, j] += A[i, k] * B[k, j]
    nt[i, j] += A[i, k] * Bt[j, k]
    tn[i, j] += 0.5 * At[k, i] * B[k, j]
    tt[i, j] += At[k, i] * Bt[j, k]
    conv[b, j, p] += x[b, p + r] * w[j, r]
    many[b, i, j] += E[b, i, k] * F[b, k, j]
    S[i, r, j] += A[i, k] * H[k, j, r]
    net = exported(gc.compile([nn, nt, tn, tt, conv, many, S]), tmp_path, flags=flags)
    for rows, depth, columns, taps in ((1, 1, 1, 1), (70, 33, 65, 3), (7, 900, 5, 2), (200, 17, 3, 9), (5, 0, 4, 2), (64, 100, 130, 1)):
        a, c, e, f = normal(rows, depth), normal(depth, columns), normal(3, rows, depth), normal(3, depth, columns)
        given = {"A": a, "At": a.T, "B": c, "Bt": c.T, "x": normal(rows, depth + taps), "w": normal(columns, taps),
                 "E": e.astype("float64"), "F": f.astype("float64"), "H": normal(depth, 6, 5)}
        windows = np.lib.stride_tricks.sliding_window_view(given["x"], taps, 1)[:, :depth]
        product = a @ c
        agree(net, given, [product, product, 0.5 * product, product, np.einsum("bpr,jr->bjp", windows, given["w"]),
                           given["E"] @ given["F"], np.einsum("ik,kjr->irj", a, given["H"])])


# ----------------------------------------------------------------------------------------------------------- numbers and types


def test_integers_and_truth_values(tmp_path: Path) -> None:
    u, s = gc.tensor("u", N, dtype="int32"), gc.tensor("s", N, dtype="uint8")
    q, w, t, any_, count = gc.tensors("q w t any_ count")
    q[i] = (i - 5) // 3 + (2 * i) % 7 - u[i]
    w[i] = -s[i] * 2
    t[i] = (u[i] > 0) & ~(s[i] < 10) | (u[i] == -2)
    any_[()] = gc.any(u[i] > 5, over=i)
    count[()] = gc.sum(u[i] > 0, over=i)
    outputs = [q, w, t, any_, count]
    arrays = {"u": np.arange(-6, 14, dtype="int32"), "s": np.arange(20, dtype="uint8") * 13}
    results = exported(gc.compile(outputs), tmp_path, flags=FAST).results(arrays)
    for value, expected in zip(results, gc.compile(outputs, target="interpret")(**arrays), strict=True):
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_numbers_are_the_same_bit_by_bit(tmp_path: Path, dtype: str) -> None:
    key, x = gc.tensor("key", (), dtype="int64"), gc.tensor("x", N, D, dtype=dtype)
    u, z = gc.tensors("u z")
    u[b, i] = x[b, i] * gc.uniform(key[()], b, i)
    z[b, i] = x[b, i] * gc.normal(key[()], i - 3, b)
    arrays = {"key": np.int64(-123456789012345), "x": np.ones((60, 50), dtype)}
    results = exported(gc.compile([u, z]), tmp_path).results(arrays)
    for value, expected in zip(results, gc.compile([u, z], target="interpret")(**arrays), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_functions_are_as_accurate_as_graphc_s(tmp_path: Path) -> None:
    """Relative to the same function in double precision; the portable build takes C99's own."""
    names = ["exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "tanh", "sigmoid", "softplus", "erf", "round", "abs", "sign"]
    x = gc.tensor("x", N)
    outputs = []
    for name in names:
        y = gc.tensor(f"{name}_of")
        y[i] = getattr(gc, name)(x[i])
        outputs.append(y)
    points = np.concatenate([random.normal(size=400) * s for s in (0.1, 1, 20)]).astype("float32")
    exact = gc.compile(outputs, target="interpret", precision="float64")(x=points.astype("float64"))
    for stem, flags in (("fast", FAST), ("portable", (*WARNINGS, "-O1"))):
        results = exported(gc.compile(outputs), tmp_path, stem, flags).results({"x": points})
        for name, value, expected in zip(names, results, exact, strict=True):
            with np.errstate(all="ignore"):
                np.testing.assert_allclose(value, expected.astype("float32"), rtol=6e-7, atol=1e-38, err_msg=f"{name} {stem}")


# --------------------------------------------------------------------------------------------------------- updates and faults


def training() -> gc.Program:
    """A step with momentum on labels."""
    x, label = gc.tensor("x", N, 30), gc.tensor("label", N, dtype="int64")
    W, v = gc.parameter("dense.W", 30, 4), gc.parameter("dense.v", 30, 4, init="zeros")
    Z, L, v_new, W_new = gc.tensors("Z L v_new W_new")
    Z[b, j] += x[b, i] * W[i, j]
    L[()] = gc.mean(gc.logsumexp(Z[b, j], over=j) - Z[b, label[b]], over=b)
    dW = gc.grad(L, W)
    v_new[i, j] = 0.9 * v[i, j] + dW[i, j]
    W_new[i, j] = W[i, j] - 0.1 * v_new[i, j]
    return gc.compile(L, updates={W: W_new, v: v_new})


def test_updates(tmp_path: Path) -> None:
    program = training()
    state = program.init(seed=0)
    net = exported(program, tmp_path)
    arrays = {"x": normal(50, 30), "label": random.integers(0, 4, 50), **{n: a.copy() for n, a in state.items()}}
    for _ in range(3):
        L, W, v = net.results(arrays)
        loss = program(state, x=arrays["x"], label=arrays["label"])
        np.testing.assert_allclose(L, loss, rtol=1e-5)
        np.testing.assert_allclose(W, state["dense.W"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(v, state["dense.v"], rtol=1e-5, atol=1e-6)
        arrays |= {"dense.W": W, "dense.v": v}


def test_a_fault_leaves_the_state(tmp_path: Path) -> None:
    program = training()
    net = exported(program, tmp_path)
    arrays = {"x": normal(5, 30), "label": np.array([0, 1, 4, 2, 3]), **program.init(seed=0)}
    status, after = net(arrays)
    assert "a value of label is no subscript of dimension 1 of Z: for b" in net.message(status).decode()
    assert re.search(r"NET_OUTSIDE_LABEL = (\d+)", net.text)[1] == str(status)  # type: ignore[index]
    for name in ("dense.W", "dense.v"):
        np.testing.assert_array_equal(after[name], arrays[name])


@pytest.mark.parametrize("name", ERRORS)
def test_faults_have_a_status(tmp_path: Path, name: str) -> None:
    outputs, arrays = ERRORS[name][0]()
    net = exported(gc.compile(outputs), tmp_path, flags=QUICK)
    status, _ = net(arrays)
    expected = {"behind": "a value of word is no subscript of dimension 0 of E",
                "negative": "a value of u is no subscript of dimension 0 of H",
                "computed": "a value of best is no subscript of dimension 0 of H", "empty": "an extremum over an empty range has no value"}
    assert status > 3 and net.message(status).decode().startswith(expected[name])


def test_sizes_and_pointers_are_checked(tmp_path: Path) -> None:
    X, Y, r = gc.tensor("X", N), gc.tensor("Y"), gc.index("r", M)
    w = gc.tensor("w", M)
    Y[i] += X[i + r] * w[r]
    net = exported(gc.compile(Y), tmp_path, flags=QUICK)
    arguments, _held = net.prepared({"X": normal(9), "w": normal(3)})
    place = net.address(arguments)
    assert net.function(place, None) == 0
    arguments.M = 11
    assert "9" not in net.message(net.function(place, None)).decode() and net.function(place, None) > 3
    arguments.M = -1
    assert net.message(net.function(place, None)) == b"a size or an extent is negative"
    arguments.M, arguments.X = 3, None
    assert net.message(net.function(place, None)) == b"a pointer to an array that has elements is null"
    arguments.N = arguments.M = 0
    assert net.message(12345) == b"no status of this function"


def test_input_as_result_is_the_given_value(tmp_path: Path) -> None:
    W, W_new = gc.tensor("W", N), gc.tensor("W_new")
    W_new[i] = 2 * W[i]
    net = exported(gc.compile([W], updates={W: W_new}), tmp_path, flags=QUICK)
    given, changed = net.results({"W": np.ones(3, "float32")})
    np.testing.assert_array_equal(given, [1, 1, 1])
    np.testing.assert_array_equal(changed, [2, 2, 2])


def test_names_that_c_takes_otherwise(tmp_path: Path) -> None:
    beta, threads, status = gc.tensor("β", gc.dim("long")), gc.tensor("threads", gc.dim("long")), gc.tensors("status")
    gc_max, memory, int_sum = gc.tensors("gc_max memory int")
    gc_max[i] = gc.maximum(beta[i], threads[i])
    memory[i] = gc.exp(gc_max[i])
    status[()] = gc.max(memory[i], over=i)
    int_sum[()] += memory[i]
    program = gc.compile([status, memory, int_sum])
    arrays = {"β": normal(9), "threads": normal(9)}
    agree(exported(program, tmp_path, "exp", (*QUICK, "-pedantic")), arrays, program(**arrays))


# ----------------------------------------------------------------------------------------------------------------- the files

def test_nothing_undefined(tmp_path: Path) -> None:
    """As a program of its own, with the sanitizers of addresses and undefined behaviour."""
    for name in ("product", "gather", "scatter", "random", "layer"):
        outputs, arrays = PROGRAMS[name]()
        program = gc.compile(outputs)
        program.save(tmp_path / f"{name}.c")
        results = run_alone(program, tmp_path, name, arrays, SANITISED)
        for value, expected in zip(results, gc.compile(outputs, target="interpret")(**arrays), strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_shared_object(tmp_path: Path) -> None:
    program = training()
    program.save(tmp_path / "net.so")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.h", "net.so"]
    arrays = {"x": normal(50, 30), "label": random.integers(0, 4, 50), **program.init(seed=0)}
    loss = Exported(program, tmp_path / "net.h", tmp_path / "net.so").results(arrays)[0]
    np.testing.assert_allclose(loss, program({n: arrays[n] for n in arrays}), rtol=1e-5)


def test_subscripts_without_a_sign_are_not_asked_for_it(tmp_path: Path) -> None:
    x, k = gc.tensor("x", N), gc.tensor("k", M, dtype="uint8")
    outputs = list(gc.tensors("pad clamp reflect skip"))
    for view, y in zip((lambda t: gc.pad(t, -1), gc.clamp, gc.reflect), outputs, strict=False):
        y[j] = view(x)[k[j]]
    outputs[3][()] += gc.skip(x)[k[j]]
    arrays = {"x": normal(5), "k": np.array([0, 4, 5, 3], "uint8")}
    agree(exported(gc.compile(outputs), tmp_path, flags=QUICK), arrays, gc.compile(outputs, target="interpret")(**arrays))


def test_a_file_called_like_a_word_of_python(tmp_path: Path) -> None:
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = 2 * x[i]
    net = exported(gc.compile(y), tmp_path, "class", QUICK)
    assert net.name == "class_" and net.results({"x": normal(3)})[0].shape == (3,)


def test_text_is_readable(tmp_path: Path, golden: Callable[[str], None]) -> None:
    A, c, T = gc.tensor("A", D, M), gc.tensor("c", M), gc.tensor("T", N, M)
    X, U, Y, L = gc.tensor("X", N, D), *gc.tensors("U Y L")
    U[b, i] += X[b, j] * A[j, i]
    Y[b, i] = gc.sigmoid(U[b, i] + c[i])
    L[()] += (Y[b, i] - T[b, i]) ** 2 / N
    gc.compile([L, gc.grad(L, A)]).save(tmp_path / "net.c")
    source, header = (tmp_path / "net.c").read_text(), (tmp_path / "net.h").read_text()
    start = source.index("/* for b,i:")
    golden(header + "\n" + "=" * 100 + "\n" + source[start:])
    assert "gc_tanh" not in source and "gc_contract_f64" not in source
