import graphc as gc
from graphc.compile import canonical, optimised
from graphc.passes.expand import expand_functions, expand_logsumexp
from graphc.passes.pad_copy import copy_edges, copy_padded
from graphc.passes.tighten import tighten
from tests.notation import applied, graph_of, text

N, M = gc.dims("N M")
SIZES = {"N": 3, "M": 4}
i, j = gc.indices("i j")


def test_functions(golden):
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] = gc.relu(x[i]) + gc.gelu(x[i]) + gc.silu(x[i]) + gc.leaky_relu(x[i]) + gc.elu(x[i]) + gc.clip(x[i], -1, 1)
    golden(text(applied(expand_functions, graph_of(y), SIZES)))


def test_logsumexp(golden):
    x, y = gc.tensor("X", N, M), gc.tensor("Y")
    y[i] = gc.logsumexp(x[i, j], over=j)
    golden(text(applied(expand_logsumexp, canonical(graph_of(y)), SIZES)))


def test_padded_copy(golden):
    p, r, f = gc.index("p", N), gc.index("r", 3), gc.index("f")
    x, w, y = gc.tensor("X", N), gc.tensor("W", M, 3), gc.tensor("Y")
    y[f, p] += gc.pad(x, 0)[p + r - 1] * w[f, r]
    golden(text(applied(copy_padded, canonical(graph_of(y)), SIZES)))


def test_one_copy_for_the_interior_and_the_edges(golden):
    p, q, r, s, f = gc.index("p", N), gc.index("q", N), gc.index("r", 3), gc.index("s", 3), gc.index("f")
    x, w, y = gc.tensor("X", N, N), gc.tensor("W", M, 3, 3), gc.tensor("Y")
    y[f, p, q] += gc.clamp(x)[p + r - 1, q + s - 1] * w[f, r, s]
    tight = applied(tighten, canonical(graph_of(y)), SIZES)
    golden(text(applied(copy_padded, tight, SIZES)))


def test_no_copy_for_what_the_engine_does_not_sum():
    p, r = gc.index("p", N), gc.index("r", 3)
    x, w, y = gc.tensor("X", N), gc.tensor("W", 3), gc.tensor("Y")
    y[p] += gc.pad(x, 0)[p + r - 1] * w[r]
    graph = canonical(graph_of(y))
    assert text(copy_padded(graph)) == text(graph)


def test_a_copy_that_may_not_hold_the_whole_tensor_is_not_made():
    """Found by random programs on the target cpu: the copy was written behind its end."""
    size = gc.dim("K")
    x, p, s, r = gc.index("x", size + 1), gc.index("p", 2), gc.index("s"), gc.index("r")
    t, w, y = gc.tensor("T", size, size), gc.tensor("W", size, size, 2), gc.tensor("Y")
    y[r, x] += gc.pad(t, 0, dims=[1])[s, x - p - size] * w[s, r, p]
    graph = canonical(graph_of(y))
    assert text(copy_padded(graph)) == text(graph)


def test_conditions_that_keep_the_rest_in_range_are_not_dropped(golden):
    """Found by random programs: without the condition, the left side or the other factor was outside of its tensor."""
    i2, j3, p, r = gc.index("i", 2), gc.index("j", 3), gc.index("p", 4), gc.index("r", 3)
    x, z, total, v = gc.tensor("X", 4), gc.tensor("Z"), gc.tensor("L"), gc.tensor("V")
    a, b, k, m = gc.tensor("A", 4, 2), gc.tensor("B", 4, 3), gc.index("k"), gc.index("m")
    z[i2, j3] = gc.wrap(x)[2 * i2 + j3] ** 2
    total[()] += z[i, j]
    v[p, k, m] += gc.where((p + r >= 1) & (p + r < 5), a[p + r - 1, k] * b[p + r - 1, m], 0)
    golden("\n\n".join(text(copy_padded(canonical(graph_of(made)))) for made in (gc.grad(total, x), v)))


def test_quotients_of_indices_are_not_padded():
    """Found by random programs: the shape of the copy depended on the loop."""
    x, w, y = gc.tensor("X", M, N), gc.tensor("W", N, 4), gc.tensor("Y")
    p = gc.index("p", 4)
    y[i, j] += gc.pad(x, 0)[i, p % 3 // 2 - 1] * w[j, p]
    graph = canonical(graph_of(y))
    assert text(copy_padded(graph)) == text(graph)


def test_the_boundary_is_part_of_the_copy(golden):
    p, q, r, s, f = gc.index("p", N), gc.index("q", N), gc.index("r", 3), gc.index("s", 3), gc.index("f")
    x, v, w, y, z = gc.tensor("X", N, N), gc.tensor("V", N), gc.tensor("W", M, 3, 3), gc.tensor("Y"), gc.tensor("Z")
    y[f, p, q] += gc.wrap(gc.pad(x, 0.5, dims=[0]), dims=[1])[p + r - 1, q + s - 1] * w[f, r, s]
    z[f, p] += 2 * gc.reflect(v)[p + r - 1] * w[f, r, r] / M
    golden(text(applied(copy_edges, canonical(graph_of(y, z)), SIZES)))


def test_products_with_one_boundary_share_a_copy():
    p, r, f = gc.index("p", N), gc.index("r", 3), gc.index("f")
    x, w, y = gc.tensor("X", N), gc.tensor("W", M, 3), gc.tensor("Y")
    y[f, p] += gc.clamp(x)[p + r - 1] * w[f, r]
    both = copy_edges(optimised(graph_of(y, gc.grad(y, w, seed=gc.tensor("G", M, N)))))
    assert [s.target for s in both.statements] == ["X.padded", "Y", "W.grad"]


def test_edges_that_are_added_twice_are():
    """The same product twice: each has its own interior and edges."""
    p, r, f = gc.index("p", N), gc.index("r", 3), gc.index("f")
    x, v, w, y = gc.tensor("X", N), gc.tensor("V", N), gc.tensor("W", M, 3), gc.tensor("Y")
    y[f, p] += gc.clamp(x)[p + r - 1] * w[f, r]
    y[f, p] += gc.clamp(x)[p + r - 1] * w[f, r]
    y[f, p] += gc.clamp(v)[p + r - 1] * w[f, r]
    applied(copy_edges, canonical(graph_of(y)), SIZES)


def test_the_inside_is_what_needs_the_least_around_it():
    p, r, f = gc.index("p", 6), gc.index("r", 3), gc.index("f")
    x, w, y = gc.tensor("X", 6), gc.tensor("W", M, 3), gc.tensor("Y")
    y[f, p] += gc.wrap(x)[p + r - 2] * w[f, r]
    assert applied(copy_edges, canonical(graph_of(y)), SIZES).tensor("X.padded").shape == (8,)
