import numpy as np
import pytest

import graphc as gc
from graphc.compile import canonical, derived
from graphc.passes.tighten import tighten
from tests.notation import applied, graph_of, text

N = gc.dim("N")
p, q, r, s = gc.index("p", N), gc.index("q", N), gc.index("r", 3), gc.index("s", 3)
MODES = [lambda x: gc.pad(x, 0.5), gc.clamp, gc.wrap, gc.reflect]


def blurred(view):
    x, w, y = gc.tensor("X", N, N), gc.tensor("W", 3, 3), gc.tensor("Y")
    y[p, q] += view(x)[p + r - 1, q + s - 1] * w[r, s]
    return y


def test_edges(golden):
    golden(text(tighten(canonical(graph_of(blurred(gc.clamp))))))


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("mode", range(len(MODES)))
def test_the_meaning_stays(mode, size):
    y, total = blurred(MODES[mode]), gc.tensor("L")
    total[()] += y[p, q] ** 2
    applied(tighten, canonical(graph_of(y)), {"N": size})
    graph, _ = derived(graph_of(total), "L", ("X", "W"))
    applied(tighten, graph, {"N": size})


def test_the_only_statement_of_a_tensor_stays():
    """It goes over all elements, and so sets those to 0 that it does not add to."""
    x, y = gc.tensor("X", N, N), gc.tensor("Y")
    y[p] += gc.where(p + q <= 1, x[p, q], 0)
    graph = canonical(graph_of(y))
    assert tighten(graph) == graph


def test_a_range_that_sizes_may_empty_gets_a_condition():
    """``p ≥ N-1`` instead of ``p ≥ 0`` would begin below 0 where N is 0 and nothing else says that there is an element."""
    x, w, y = gc.tensor("X", N), gc.tensor("W", 2), gc.tensor("Y")
    k = gc.index("k", 2)
    y[p] += w[k] * gc.where(p + k >= N, x[0], 0)
    y[p] += x[p]
    graph = canonical(graph_of(y))
    assert text(tighten(graph)).startswith("if 1<=N:  Y[N-1] += W[1]*X[0]")
    for size in (0, 1, 4):
        applied(tighten, graph, {"N": size})


@pytest.mark.parametrize("access", [lambda x: gc.reflect(x)[(p % 3) // 2], lambda x: gc.wrap(x)[(2 * p + 1) % 3 + 1]])
def test_quotients_in_subscripts_with_a_mode_come_to_an_end(access):
    """Each gave a condition that gave another one for the next round."""
    x, w, total = gc.tensor("X", N), gc.tensor("W", 3, N), gc.tensor("L")
    total[()] += gc.reflect(w)[p - 2, p - 1] * gc.where(p % 2 == 0, 0, access(x)) * x[p] ** 2
    graph, _ = derived(graph_of(total), "L", ("X", "W"))
    applied(tighten, graph, {"N": 4})


@pytest.mark.parametrize("mode", range(len(MODES)))
def test_lines_along_edges_of_wide_windows(mode):
    """Two rows beyond each edge: products on boxes, for each of them one, and for sizes that have them."""
    n, m, b, c = gc.dims("N M B C")
    (i, f, d), (j, k, u, v) = gc.indices("i f d"), (gc.index("j", n), gc.index("k", m), gc.index("u", 5), gc.index("v", 5))
    x, w, y, g = gc.tensor("X", b, c, n, m), gc.tensor("W", 3, c, 5, 5), gc.tensor("Y"), gc.tensor("G", b, 3, n, m)
    y[i, f, j, k] += MODES[mode](x)[i, d, j + u - 2, k + v - 2] * w[f, d, u, v]
    made = gc.grad(y, [x, w], seed=g)
    fast, slow = (gc.compile(made, target=t) for t in ("cpu", "interpret"))
    lines = [kernel.plan for kernel in fast.kernels if kernel.plan.loop.count("X.grad[") and kernel.plan.kind == "contraction"]
    assert len(lines) >= 1 + (8 if mode in (1, 3) else 0)
    random = np.random.default_rng(0)
    for rows, columns in [(1, 1), (1, 6), (2, 2), (3, 2), (3, 3), (4, 9), (0, 3)]:
        if min(rows, columns) < (0, 1, 2, 3)[mode]:
            continue
        shapes = {"X": (2, 4, rows, columns), "W": (3, 4, 5, 5), "G": (2, 3, rows, columns)}
        arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        for ours, exact in zip(fast(**arrays), slow(**arrays), strict=True):
            np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=1e-4)
