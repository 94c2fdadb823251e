"""Statements that are wrong by themselves or against each other (LANGUAGE 2.1, 2.2, 2.4, 2.5, 2.9)."""

# ruff: noqa: B018
from __future__ import annotations

import numpy as np

import graphc as gc

N, M, D = gc.dims("N M D")
b, i, j, k, p, r = gc.indices("b i j k p r")
X = gc.tensor("X", N, D)
A = gc.tensor("A", D, M)
v = gc.tensor("v", N)
w = gc.tensor("w", D)
tok = gc.tensor("tok", N, dtype="int64")


# ------------------------------------------------------------------------------------------------------------- subscripts
def test_negative_subscript(rejects):
    with rejects(gc.RangeError):
        v[-1]


def test_negative_subscript_of_a_fixed_size(rejects):
    u = gc.tensor("u", 10)
    with rejects(gc.RangeError):
        u[-2]


def test_constant_subscript_too_large(rejects):
    u = gc.tensor("u", 4, 10)
    with rejects(gc.RangeError):
        u[i, 10]


def test_product_of_indices(rejects):
    with rejects(gc.NotationError):
        v[i * j]


def test_index_times_size(rejects):
    with rejects(gc.NotationError):
        v[i * M + j]


def test_square_of_an_index(rejects):
    with rejects(gc.NotationError):
        v[i**2]


def test_fraction_of_an_index(rejects):
    with rejects(gc.NotationError):
        v[i / 2]


def test_slice(rejects):
    with rejects(gc.NotationError):
        X[1:3, j]


def test_full_slice(rejects):
    with rejects(gc.NotationError):
        X[i, :]


def test_ellipsis(rejects):
    with rejects(gc.NotationError):
        X[..., j]


def test_new_axis(rejects):
    with rejects(gc.NotationError):
        X[i, None]


def test_float_subscript(rejects):
    with rejects(gc.NotationError):
        X[i, 1.0]


def test_bool_subscript(rejects):
    with rejects(gc.NotationError):
        X[True, j]


def test_condition_as_subscript(rejects):
    with rejects(gc.NotationError):
        v[v[i] > 0]


def test_string_subscript(rejects):
    with rejects(gc.NotationError):
        X["i", j]


def test_list_subscript(rejects):
    with rejects(gc.NotationError):
        v[[0, 1]]


def test_array_subscript(rejects):
    with rejects(gc.NotationError):
        v[np.arange(3)]


def test_too_few_subscripts(rejects):
    with rejects(gc.ShapeError):
        X[i]


def test_too_many_subscripts(rejects):
    with rejects(gc.ShapeError):
        v[i, j]


def test_subscripts_of_a_scalar(rejects):
    lr = gc.tensor("lr", ())
    with rejects(gc.ShapeError):
        lr[0]


def test_empty_subscripts_of_a_vector(rejects):
    with rejects(gc.ShapeError):
        v[()]


def test_another_number_of_subscripts(rejects):
    Y = gc.tensor("Y")
    Y[i, j] = X[i, j]
    with rejects(gc.ShapeError):
        Y[i]


def test_float_tensor_as_subscript(rejects):
    x = gc.tensor("x", N, dtype="float32")
    with rejects(gc.DtypeError):
        w[x[i]]


def test_tensor_of_default_dtype_as_subscript(rejects):
    Y, t = gc.tensor("Y"), gc.tensor("t", N)
    Y[i] = w[t[i]]
    with rejects(gc.DtypeError):
        gc.loops(Y)


def test_computed_floats_as_subscript(rejects):
    Y, t = gc.tensors("Y t")
    t[i] = 2 * v[i]
    Y[i] = w[t[i]]
    with rejects(gc.DtypeError):
        gc.loops(Y)


def test_arithmetic_on_an_integer_tensor_as_subscript(rejects):
    with rejects(gc.NotationError):
        w[tok[i] + 1]


# -------------------------------------------------------------------------------------------------------------- statement
def test_summed_index_of_an_assignment(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[i] = gc.sigmoid(X[i, j]) * w[j]


def test_two_summed_indices_of_an_assignment(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[i] = X[i, j] * A[j, k]


def test_assignment_through_an_integer_tensor(rejects):
    Y = gc.tensor("Y", M)
    with rejects(gc.NotationError):
        Y[tok[i]] = v[i]


def test_not_injective(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[p + r] = v[p] * w[r]


def test_not_injective_by_division(rejects):
    Y = gc.tensor("Y")
    Y[i // 2] = v[i]
    with rejects(gc.NotationError):
        gc.loops(Y)


def test_not_injective_by_ranges(rejects):
    Y = gc.tensor("Y")
    s = gc.index("s", 5)
    Y[4 * i + s] = v[i]
    with rejects(gc.NotationError):
        gc.loops(Y)


def test_injective_left_sides_are_fine():
    Y, Z, U, V = gc.tensors("Y Z U V")
    s = gc.index("s", 4)
    Y[i + 3] = v[i]
    Z[2 * i + 1] = v[i]
    U[4 * i + s] = v[i] + s
    V[i, i] = v[i]
    f = gc.compile([Y, Z, U, V], target="interpret")
    y, z, u, d = f(v=np.float32([1, 2]))
    assert y.tolist() == [0, 0, 0, 1, 2] and z.tolist() == [0, 1, 0, 2]
    assert u.tolist() == [1, 2, 3, 4, 2, 3, 4, 5] and d.tolist() == [[1, 0], [0, 2]]


def test_same_assignment_twice(rejects):
    Y = gc.tensor("Y")
    Y[i] = v[i]
    Y[i] = 2 * v[i]
    with rejects(gc.NotationError):
        gc.compile(Y, target="interpret")


def test_overlapping_assignments(rejects):
    Y = gc.tensor("Y", N)
    Y[0] = 1
    Y[i] = v[i]
    with rejects(gc.NotationError):
        gc.loops(Y)


def test_disjoint_assignments_are_fine():
    Y = gc.tensor("Y", N)
    rest = gc.index("i", 1, N)
    Y[0] = 7
    Y[rest] = v[rest]
    assert gc.compile(Y, target="interpret")(v=np.float32([1, 2])).tolist() == [7, 2]


def test_defined_after_use(rejects):
    Y = gc.tensor("Y")
    Y[i] = v[i]
    gc.loops(Y)
    with rejects(gc.NotationError):
        Y[i] += 1


def test_input_defined_after_use(rejects):
    Y, u = gc.tensor("Y"), gc.tensor("u", N)
    Y[i] = u[i]
    gc.compile(Y, target="interpret")
    with rejects(gc.NotationError):
        u[i] = v[i]


def test_parameter_defined(rejects):
    W = gc.parameter("W", N)
    with rejects(gc.NotationError):
        W[i] += v[i]


def test_read_of_an_undefined_tensor(rejects):
    Y, U = gc.tensors("Y U")
    Y[i] = gc.exp(U[i]) + v[i]
    with rejects(gc.NotationError):
        gc.loops(Y)


def test_shape_of_an_undefined_tensor(rejects):
    U = gc.tensor("U")
    with rejects(gc.NotationError):
        U.shape


def test_recurrence_without_a_first_row(rejects):
    h = gc.tensor("h")
    h[i, j] = gc.tanh(h[i - 1, j] + X[i, j])
    with rejects(gc.RangeError):
        gc.loops(h)


def test_element_defined_by_itself(rejects):
    Y = gc.tensor("Y", N)
    Y[i] += v[i] * Y[i]
    with rejects(gc.NotationError):
        gc.compile(Y)


def test_cycle_of_three_tensors(rejects):
    Y, U, Z = gc.tensors("Y U Z")
    Y[i] = U[i] + 1
    U[i] = Z[i] * v[i]
    Z[i] = gc.exp(Y[i])
    with rejects(gc.NotationError):
        gc.compile(Z)


def test_cycle_that_is_drawn(rejects):
    Y, U = gc.tensor("Y", N), gc.tensor("U", N)
    Y[i] = U[i] + v[i]
    U[i] = gc.sin(Y[i])
    with rejects(gc.NotationError):
        gc.draw(Y)


def test_cycle_that_is_interpreted(rejects):
    Y, U = gc.tensor("Y", N), gc.tensor("U", N)
    Y[i] = U[i] + v[i]
    U[i] = gc.sin(Y[i])
    with rejects(gc.NotationError):
        gc.compile(Y, target="interpret")


def test_recurrence_in_both_directions(rejects):
    z = gc.tensor("z")
    z[i] = v[i] + gc.pad(z, 0)[i + 1] + gc.pad(z, 0)[i - 1]
    with rejects(gc.NotationError):
        gc.compile(z)


def test_recurrence_without_a_loop_that_is_found(rejects):
    """The first element would be read to compute itself."""
    z = gc.tensor("z", N)
    z[i] = v[i] + z[i // 2]
    with rejects(gc.NotationError):
        gc.compile(z)


def test_cycle_that_leads_back_to_itself(rejects):
    Y, U, Z = gc.tensors("Y U Z")
    Y[i] = gc.pad(U, 0)[i + 1] + v[i]
    U[i] = gc.pad(Z, 0)[i - 2] * gc.pad(U, 0)[i - 1] + v[i]
    Z[i] = gc.exp(gc.pad(Y, 0)[i + 1]) + v[i]
    with rejects(gc.NotationError):
        gc.compile(Z)


def test_shape_of_a_cycle(rejects):
    Y, U = gc.tensors("Y U")
    Y[i] = U[i]
    U[i] = Y[i]
    with rejects(gc.ShapeError):
        Y.shape


# ----------------------------------------------------------------------------------------------------------------- ranges
def test_clash_of_extents(rejects):
    Y = gc.tensor("Y")
    Y[i] += X[i, j] * v[j]
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_clash_of_integer_extents(rejects):
    a, c, Y = gc.tensor("a", 3), gc.tensor("c", 4), gc.tensor("Y")
    Y[i] = a[i] * c[i]
    with rejects(gc.ShapeError):
        gc.compile(Y)


def test_clash_with_a_defined_tensor(rejects):
    U, Y = gc.tensors("U Y")
    U[i, k] += X[i, j] * A[j, k]
    Y[k] += U[i, k] * v[k]
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_clash_of_definitions(rejects):
    Y = gc.tensor("Y")
    Y[i] += v[i]
    Y[j] += w[j]
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_index_without_range(rejects):
    Y = gc.tensor("Y")
    Y[i, j] = v[i]
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_index_bounded_by_a_condition_only(rejects):
    """The other branch could go on for ever."""
    Y = gc.tensor("Y")
    Y[i] = gc.where(i < N - 1, v[i + 1], 5)
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_summed_index_bounded_by_a_condition_only(rejects):
    Y = gc.tensor("Y")
    Y[()] += gc.where(i < N - 1, v[i + 1], 1)
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_index_as_a_number_without_range(rejects):
    Y = gc.tensor("Y")
    Y[i] = 2 * i
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_two_open_indices(rejects):
    Y = gc.tensor("Y")
    Y[()] += v[p + r]
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_incomparable_bounds(rejects):
    Y = gc.tensor("Y")
    Y[p] = v[p + 1] + w[p + 1]
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_extent_without_inference(rejects):
    Y = gc.tensor("Y")
    Y[tok[i]] += v[i]
    with rejects(gc.ShapeError):
        gc.loops(Y)


def test_access_out_of_range(rejects):
    Y = gc.tensor("Y")
    Y[i] = v[i + 1] - v[i]
    with rejects(gc.RangeError):
        gc.loops(Y)


def test_access_below_range(rejects):
    Y = gc.tensor("Y")
    Y[i] = v[i] * v[i - 1]
    with rejects(gc.RangeError):
        gc.loops(Y)


def test_declared_range_too_large(rejects):
    u, Y = gc.tensor("u", 28), gc.tensor("Y")
    q = gc.index("q", 29)
    Y[q] = u[q]
    with rejects(gc.RangeError):
        gc.loops(Y)


def test_write_out_of_range(rejects):
    Y = gc.tensor("Y", 3)
    q = gc.index("q", 4)
    Y[q] = q
    with rejects(gc.RangeError):
        gc.loops(Y)


def test_initial_slice_without_recurrence(rejects):
    Y = gc.tensor("Y", N)
    Y[-1] = 0
    Y[i] = v[i]
    with rejects(gc.RangeError):
        gc.loops(Y)


def test_reflection_too_far(rejects):
    Y, u = gc.tensor("Y"), gc.tensor("u", 4)
    q = gc.index("q", 10)
    Y[q] = gc.reflect(u)[q - 1]
    with rejects(gc.RangeError):
        gc.loops(Y)


def test_extremum_of_nothing(rejects):
    Y = gc.tensor("Y")
    q = gc.index("q", 0)
    Y[i] = gc.max(v[i] * q, over=q)
    with rejects(gc.RangeError):
        gc.loops(Y)


def test_two_inputs_of_one_name(rejects):
    Y = gc.tensor("Y")
    other = gc.tensor("v", N)
    Y[i] = v[i] + other[i]
    with rejects(gc.NotationError):
        gc.loops(Y)


# --------------------------------------------------------------------------------------------------------------- warnings
def test_warning_summand_without_index(warns):
    Y = gc.tensor("Y")
    with warns():
        Y[i] += X[i, j] * w[j] + v[i]


def test_warning_constant_without_index(warns):
    L = gc.tensor("L")
    with warns():
        L[()] += X[i, j] + 1


def test_no_warning_where_every_summand_has_every_index(recwarn):
    Y = gc.tensor("Y")
    Y[i] += X[i, j] * (w[j] + 1)
    Y[i] += v[i]
    assert not recwarn.list


def test_sum_of_conditions_counts():
    Y, Z = gc.tensors("Y Z")
    Y[()] += v[i] > 0
    Z[()] = gc.sum(v[i] > 0, over=i) + 0 * 2
    y, z = gc.compile([Y, Z], target="interpret")(v=np.float32([1, -1, 2]))
    assert (y, z) == (2, 2) and y.dtype == z.dtype == np.int64


def test_whether_an_extremum_is_over_anything_depends_on_other_indices(rejects):
    j4, n, x, y, w = gc.index("j", 4), gc.dim("N"), gc.tensor("X", 3), gc.tensor("Y"), gc.tensor("W", gc.dim("N"))
    k = gc.index("k", n)
    y[j4] = gc.max(gc.skip(x)[j4 - 1] * w[k], over=k)
    with rejects(gc.CompileError, call=True):
        gc.compile(y)


def test_warning_initial_slice_behind_a_view(warns):
    d, p, r = gc.indices("d p r")
    image, w, layer = gc.tensor("image", 8), gc.tensor("w", 3, 3), gc.tensor("layer")
    layer[-1, p] = image[p]
    layer[d, p] = gc.sum(gc.skip(layer)[d - 2, p + r - 1] * w[d, r], over=r)
    with warns():
        gc.loops(layer)


def test_no_warning_where_the_view_reads_the_initial_slice(recwarn):
    d, p, r = gc.indices("d p r")
    image, w, layer = gc.tensor("image", 8), gc.tensor("w", 3, 3), gc.tensor("layer")
    layer[-1, p] = image[p]
    layer[d, p] = gc.sum(gc.skip(layer)[d - 1, p + r - 1] * w[d, r], over=r)
    gc.loops(layer)
    assert not recwarn


def test_quotients_that_cannot_be_compared(rejects):
    y = gc.tensor("y")
    y[i] = gc.tensor("P", N)[i // 2] * gc.tensor("Q", D)[i // 3]
    with rejects(gc.ShapeError):
        gc.loops(y)


def test_corner_that_no_slice_gives(rejects):
    D = gc.tensor("D")
    row, column = gc.indices("row column")
    D[-1, column] = v[column]
    D[row, -1] = w[row]
    D[row, column] = D[row - 1, column - 1] + v[column] * w[row]
    with rejects(gc.RangeError):
        gc.loops(D)
