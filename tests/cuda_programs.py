"""Programs for the target "cuda", one for each form of kernel, and their errors there: ``python -m tests.cuda_programs layer behind``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial

import numpy as np

import graphc as gc

__all__ = ["ANGLES", "BINARY", "ERRORS", "FUNCTIONS", "PROGRAMS", "Case", "column_sums", "complaint", "error", "random", "row_sums"]

Case = tuple[list[gc.Tensor], dict[str, np.ndarray]]

b, i, j, p, t = gc.indices("b i j p t")
N, D, M, T = gc.dims("N D M T")
X, x, y = gc.tensor("X", N, D), gc.tensor("x", N), gc.tensor("y", N)


TOKENS = np.array([0, 4, 1, 1, 2, 0, 1])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)



def layer() -> Case:
    A, c, T = gc.tensor("A", D, M), gc.tensor("c", M), gc.tensor("T", N, M)
    U, Y, L = gc.tensors("U Y L")
    U[b, i] += X[b, j] * A[j, i]
    Y[b, i] = gc.sigmoid(U[b, i] + c[i])
    L[()] += (Y[b, i] - T[b, i]) ** 2 / N
    return [L, *gc.grad(L, [X, A, c])], {"X": normal(6, 5), "A": normal(5, 4), "c": normal(4), "T": normal(6, 4, seed=1)}


def product() -> Case:
    A, B, C = gc.tensor("A", N, D), gc.tensor("B", D, M), gc.tensor("C")
    C[i, j] += A[i, b] * B[b, j]
    return [C], {"A": normal(70, 17), "B": normal(17, 66, seed=1)}


def deep() -> Case:
    """Few results from many products; sums, a maximum and a function of two tensors, in batches."""
    A, B, P = gc.tensor("A", 5, D), gc.tensor("B", D, 7), gc.tensor("P", 3, 5, D)
    C, F, G = gc.tensors("C F G")
    C[i, j] += 2 * A[i, b] * B[b, j]
    F[i, j] = gc.max(A[i, b] + B[b, j], over=b)
    k = gc.index("k")
    G[k, i, j] += abs(P[k, i, b] - B[b, j]) * C[i, j]
    return [C, F, G], {"A": normal(5, 300), "B": normal(300, 7, seed=1), "P": normal(3, 5, 300, seed=2)}


def sometimes() -> Case:
    """Stores of a short loop under a condition, in a kernel with a block for each row."""
    C, q = gc.tensor("C", N, 4), gc.index("q", 0, 4)
    S, Z = gc.tensor("S"), gc.tensor("Z", N, 4)
    S[b] += X[b, j]
    Z[b, q] = C[b, q]
    Z[b, q] += gc.where((q + b) % 2 == 0, C[b, q] * S[b], 0)
    return [S, Z], {"X": normal(3, 70), "C": normal(3, 4, seed=1)}


def empty_products() -> Case:
    """No rows, no columns, no depth."""
    A, B, E, F = gc.tensor("A", N, D), gc.tensor("B", D, M), gc.tensor("E", 20, 0, 3), gc.tensor("F", 0, 3, 30)
    C, G, L, k = gc.tensor("C"), gc.tensor("G"), gc.tensor("L"), gc.index("k")
    C[i, j] += A[i, b] * B[b, j]
    G[i, j] += E[i, b, k] * F[b, k, j]
    L[()] += C[i, j] ** 2
    return [C, G, *gc.grad(L, [A, B])], {"A": normal(0, 30), "B": normal(30, 40, seed=1), "E": normal(20, 0, 3), "F": normal(0, 3, 30)}


def nothing_scattered() -> Case:
    t, v, T = gc.tensor("t", N, dtype="int64"), gc.tensor("v", N), gc.tensor("T", 4)
    T[t[b]] += v[b]
    return [T], {"t": np.zeros(0, "int64"), "v": normal(0)}


def stored_seldom() -> Case:
    """Checkpoints of a recurrence with a product in each step."""
    T, K = gc.dims("T K")
    t, l = gc.index("t", T), gc.index("l")
    W, v, h0, h, L = gc.tensor("W", K, K), gc.tensor("v", T, K), gc.tensor("h0", K), gc.tensor("h"), gc.tensor("L")
    h[-1, j] = h0[j]
    h[t, j] = gc.tanh(gc.sum(W[j, l] * h[t - 1, l], over=l) + v[t, j])
    L[()] += h[t, j] ** 2
    gc.checkpoint(h, every=2)
    return [L, *gc.grad(L, [v, h0, W])], {"W": normal(11, 11) / 4, "v": normal(5, 11, seed=1), "h0": normal(11, seed=2)}


def named_alike() -> Case:
    """Indices and tensors with the names of variables of the kernels."""
    item, key, line, place = gc.indices("item key line place")
    t, SUMS, lane_float32 = gc.tensor("t", N, dtype="int64"), gc.tensor("SUMS", N, D), gc.tensor("lane_float32", D, M)
    T, U, V, S = gc.tensor("T", 4, D), gc.tensor("U", 4), gc.tensor("contract_0_small"), gc.tensor("fill_float32")
    T[t[line], item] += SUMS[line, item]
    U[t[key]] += SUMS[key, 0]
    V[place, key] += SUMS[place, item] * lane_float32[item, key]
    S[line] += lane_float32[line, item]
    return [T, U, V, S], {"t": np.arange(9) % 4, "SUMS": normal(9, 40), "lane_float32": normal(40, 50, seed=1)}


def row_sums() -> Case:
    R = gc.tensor("R")
    R[b] += X[b, j]
    return [R], {"X": normal(7, 5)}


def column_sums() -> Case:
    C = gc.tensor("C")
    C[j] += 0.1 * X[b, j]
    return [C], {"X": normal(7, 5)}


def extrema() -> Case:
    S, Q, R = gc.tensors("S Q R")
    S[b] = gc.max(X[b, j], over=j)
    Q[b] = gc.argmax(X[b, j], over=j)
    R[b] = gc.argmin(X[b, j], over=j)
    array = normal(6, 5)
    array[1, 2] = array[2, 0] = array[3, 4] = np.nan
    array[4] = -np.inf
    return [S, Q, R], {"X": array}


def logsumexp() -> Case:
    P, s = gc.tensor("P"), gc.tensor("s", N)
    P[b] = gc.logsumexp(X[b, j], over=j)
    return [P, gc.grad(P, X, seed=s)], {"X": 50 * normal(6, 5), "s": normal(6)}


def total() -> Case:
    E = gc.tensor("E")
    E[()] += X[b, j] ** 2
    return [E], {"X": normal(300, 3)}


def shifted() -> Case:
    S, r, p = gc.tensor("S"), gc.index("r", 3), gc.index("p", N)
    S[p] += gc.pad(x, 0)[p + r - 1] * (r + 1)
    return [S, gc.grad(S, x, seed=gc.tensor("s", N))], {"x": normal(9), "s": normal(9, seed=1)}


def delayed() -> Case:
    """A bound of the shared loop beside its own becomes a test, so that every element stays with one thread."""
    S, p = gc.tensor("S"), gc.index("p", N)
    S[p] += gc.pad(x, 0)[p - 1]
    return [S], {"x": normal(300)}


def strided() -> Case:
    """Two definitions of one tensor: filled first; the loops run on one thread."""
    Z = gc.tensor("Z", 2 * N)
    Z[2 * i] += x[i]
    Z[2 * i + 1] += 2 * x[i]
    return [Z], {"x": normal(9)}


def colliding() -> Case:
    """Names of tensors that the module uses for something else."""
    cuda, first, e, c0 = gc.tensor("cuda", N), gc.tensor("first", N), gc.tensor("e", N), gc.tensor("c0", N)
    Y = gc.tensor("math")
    Y[b] = cuda[b] + first[b] * e[b] - c0[b] * gc.exp(e[b])
    return [Y], {name: normal(4, seed=k) for k, name in enumerate(["cuda", "first", "e", "c0"])}


ANGLES = ["sin", "cos", "tan"]
"""NVIDIA's library reduces large angles in float64, in local memory."""
FUNCTIONS = [
    "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "tanh", "sigmoid", "softplus", "erf", "abs", "sign", "floor", "ceil", "round",
]  # fmt: skip
BINARY = {"difference", "maximum", "minimum", "hypot", "atan2", "power"}


def functions(names: list[str]) -> Case:
    outputs = []
    for name in names:
        Y = gc.tensor(f"Y_{name}")
        Y[b] = getattr(gc, name)(x[b])
        outputs.append(Y)
    return outputs, {"x": np.float32([0.25, 0.5, 1.5, 2.5, 3.75, 7.0])}


def elementary() -> Case:
    outputs, arrays = functions(FUNCTIONS)
    Y = gc.tensor("two")
    Y[b] = gc.maximum(x[b], y[b]) + gc.minimum(x[b], y[b]) * gc.hypot(x[b], y[b]) - gc.atan2(y[b], x[b]) + x[b] ** y[b]
    return [*outputs, Y], {**arrays, "y": np.float32([-1, 2, 0.5, 2.5, 0, -2])}


def angles() -> Case:
    return functions(ANGLES)


def random() -> Case:
    """Random numbers are the interpreter's bit by bit."""
    key, small = gc.tensor("key", (), dtype="int64"), gc.tensor("small", N, dtype="int8")
    U, V, Z = gc.tensors("U V Z")
    U[b, j] = gc.where(gc.uniform(key[()], b, j - 2) >= 0.25, 2 * X[b, j], 0)
    V[b] = gc.normal(small[b], b)
    Z[b] = gc.uniform(key[()] + 1, small[b], 0) * 2
    return [U, V, Z], {"X": normal(6, 5), "key": np.int64(-(2**62) + 12345), "small": np.arange(-3, 3).astype(np.int8)}


def gather() -> Case:
    word, E, H = gc.tensor("word", N, dtype="int64"), gc.tensor("E", M, D), gc.tensor("H")
    H[b, i] = E[word[b], i] * X[b, i]
    return [H], {"word": TOKENS, "E": normal(5, 3), "X": normal(7, 3, seed=1)}


def embedding() -> Case:
    """The gradient of a table adds up what was read from each row."""
    word, E, L = gc.tensor("word", N, dtype="int64"), gc.tensor("E", M, D), gc.tensor("L")
    L[()] += (E[word[b], i] - X[b, i]) ** 2
    return [L, gc.grad(L, E)], {"word": TOKENS, "E": normal(5, 3), "X": normal(7, 3, seed=1)}


def scatter() -> Case:
    """Twice, into elements that something else was added to."""
    word, u, H = gc.tensor("word", N, dtype="int64"), gc.tensor("u", N, dtype="int32"), gc.tensor("H", 5, D)
    H[word[b], i] += X[b, i]
    H[u[b], i] += 2 * X[b, i]
    return [H], {"word": TOKENS, "u": TOKENS[::-1].astype(np.int32), "X": normal(7, 3)}


def counts() -> Case:
    """Subscripts that the program computes itself."""
    best, H, S = gc.tensor("best"), gc.tensor("H", D), gc.tensor("S", D)
    best[b] = gc.argmax(X[b, j], over=j)
    H[best[b]] += 1
    S[best[b]] += X[b, best[b]]
    return [H, S], {"X": normal(200, 4)}


def running_sum() -> Case:
    s, L = gc.tensors("s L")
    s[i] = gc.where(i > 0, s[i - 1], 0) + x[i]
    L[()] += s[i] ** 2
    return [s, gc.grad(L, x)], {"x": normal(40)}


def recurrent(every: int = 0) -> Case:
    """A recurrent net and its gradient, backwards in time."""
    W, x, h0, (h, L) = gc.tensor("W", M, M), gc.tensor("x", T, N, M), gc.tensor("h0", N, M), gc.tensors("h L")
    h[t, b, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, b, j], over=j) + x[t, b, i])
    h[-1, b, i] = h0[b, i]
    L[()] += h[t, b, i] ** 2
    if every:
        gc.checkpoint(h, every=every)
    return [L, *gc.grad(L, [W, h0, x])], {"x": normal(7, 2, 3), "W": normal(3, 3, seed=1), "h0": normal(2, 3, seed=2)}


def checkpointed() -> Case:
    """Parts of the steps are computed a second time."""
    return recurrent(every=3)


def longest_way() -> Case:
    """Cell by cell through a matrix of costs: two directions at once."""
    G, R, L = gc.tensor("G", T, N), *gc.tensors("R L")
    far = gc.pad(R, 50)
    soft = -gc.log(gc.exp(-far[i - 1, j]) + gc.exp(-far[i, j - 1]) + gc.exp(-far[i - 1, j - 1]))
    R[i, j] = G[i, j] + gc.where((i == 0) & (j == 0), 0, soft)
    L[()] += R[T - 1, N - 1]
    return [L, gc.grad(L, G)], {"G": np.abs(normal(5, 6))}


def wave() -> Case:
    """Two steps back in time, neighbours in space."""
    u0, c, f, (u, L) = gc.tensor("u0", N), gc.tensor("c", N), gc.tensor("f", T, N), gc.tensors("u L")
    here, near = gc.pad(u, 0, dims=[0]), gc.pad(u, 0)
    bend = near[t - 1, i - 1] - 2 * here[t - 1, i] + near[t - 1, i + 1]
    u[t, i] = gc.where(t == 0, u0[i], 2 * here[t - 1, i] - here[t - 2, i] + gc.tanh(c[i]) * bend) + f[t, i]
    L[()] += u[t, i] ** 2
    return [L, *gc.grad(L, [u0, c])], {"u0": normal(9), "c": 0.3 * normal(9, seed=1), "f": 0.1 * normal(6, 9, seed=2)}


def windows() -> Case:
    """Every window has elements, which no compiler could know."""
    P, n, p = gc.tensor("P"), gc.index("n", 3), gc.index("p", N)
    P[p] = gc.max(gc.skip(x)[p + n - 1], over=n)
    return [P], {"x": normal(9)}


_ALL = (
    layer, product, deep, sometimes, empty_products, nothing_scattered, stored_seldom, named_alike, row_sums,
    column_sums, extrema, logsumexp, total, shifted, delayed, strided, colliding, elementary, angles,
    random, gather, embedding, scatter, counts, running_sum, recurrent, checkpointed, longest_way, wave, windows,
)  # fmt: skip
PROGRAMS: dict[str, Callable[[], Case]] = {f.__name__: f for f in _ALL}


def behind() -> Case:
    """A row of the table that there is not."""
    outputs, arrays = gather()
    return outputs, {**arrays, "word": np.array([0, 4, 1, 5, 2, 0, -3])}


def negative() -> Case:
    """An element that there is not."""
    outputs, arrays = scatter()
    return outputs, {**arrays, "u": np.array([0, 4, 1, -1, 2, 0, 3], np.int32)}


def computed() -> Case:
    """Subscripts that the program computes itself, and that are too large."""
    best, H = gc.tensor("best"), gc.tensor("H", M)
    best[b] = gc.argmax(X[b, j], over=j)
    H[best[b]] += y[b]
    Z = gc.tensor("Z")
    Z[j] = H[j] * gc.tensor("c", M)[j]
    return [Z], {"X": np.eye(4, dtype=np.float32), "y": normal(4), "c": normal(3)}


def empty() -> Case:
    """The first window has no elements."""
    P, q, k = gc.tensor("P"), gc.index("q", 4), gc.index("k", 3)
    P[q] = gc.max(gc.skip(gc.tensor("v", 3))[q - 1], over=k)
    return [P], {"v": normal(3)}


ERRORS: dict[str, tuple[Callable[[], Case], str]] = {
    "behind": (behind, "word[3] is 5, but it is a subscript of dimension 0 of E, which has 5 elements (0 … 4)."),
    "negative": (negative, "u[3] is -1, but it is a subscript of dimension 0 of H, which has 5 elements (0 … 4)."),
    "computed": (computed, "best[3] is 3, but it is a subscript of dimension 0 of H, which has 3 elements (0 … 2)."),
    "empty": (empty, "An extremum over an empty range has no value."),
}
"""What is found while a kernel runs: the first line of the error."""


Compiled = Callable[[list[gc.Tensor]], gc.Program]
CUDA: Compiled = partial(gc.compile, target="cuda")


def error(case: Case, compiled: Compiled = CUDA) -> float:
    """The largest error of the cuda target, relative to the largest value of an output, whatever the machine it runs on."""
    outputs, arrays = case
    errors = []
    for got, wanted in zip(compiled(outputs)(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
        with np.errstate(invalid="ignore"):
            scale = 1e-6 + np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
            errors.append(np.where(same, 0, np.abs(got - wanted)).max(initial=0) / scale)
    return float(max(errors))


def complaint(name: str) -> str:
    """The first line of an `ArgumentError` that a call raises."""
    outputs, arrays = ERRORS[name][0]()
    try:
        CUDA(outputs)(**arrays)
    except gc.ArgumentError as error:
        return str(error).splitlines()[0]
    return ""


if __name__ == "__main__":
    print(json.dumps({name: error(PROGRAMS[name]()) if name in PROGRAMS else complaint(name) for name in sys.argv[1:]}))
