"""Expressions without a meaning: functions, conditions, reductions, boundaries, constants (LANGUAGE 2.3, 2.6, 2.7, 3)."""

# ruff: noqa: B015
from __future__ import annotations

import numpy as np

import graphc as gc

N, D = gc.dims("N D")
i, j, r, s = gc.indices("i j r s")
X = gc.tensor("X", N, D)
Z = gc.tensor("Z", N, D)
v = gc.tensor("v", N)


def test_where_with_a_number(rejects):
    with rejects(gc.NotationError):
        gc.where(1.0, v[i], 0)


def test_where_with_a_string(rejects):
    with rejects(gc.NotationError):
        gc.where("i > 0", v[i], 0)


def test_where_with_a_whole_branch(rejects):
    with rejects(gc.NotationError):
        gc.where(v[i] > 0, v, 0)


def test_and_of_numbers(rejects):
    with rejects(gc.NotationError):
        (v[i] > 0) & (v[i] + 1)


def test_and_without_parentheses(rejects):
    with rejects(gc.NotationError):
        v[i] > 0 & i < 3


def test_division_by_zero(rejects):
    with rejects(gc.NotationError):
        v[i] / 0


def test_division_by_cancelled_terms(rejects):
    with rejects(gc.NotationError):
        v[i] / (v[j] - v[j])


def test_root_of_a_negative_number(rejects):
    with rejects(gc.NotationError):
        v[i] * gc.sqrt(-2)


def test_negative_power_of_zero(rejects):
    with rejects(gc.NotationError):
        gc.power(0, -1)


def test_floor_division_of_values(rejects):
    with rejects(gc.NotationError):
        v[i] // 2


def test_remainder_by_a_size(rejects):
    with rejects(gc.NotationError):
        v[i % N]


def test_floor_division_by_zero(rejects):
    with rejects(gc.NotationError):
        v[i // 0]


def test_floor_division_by_an_index(rejects):
    with rejects(gc.NotationError):
        v[7 // i]


def test_reduction_without_over(rejects):
    with rejects(gc.NotationError):
        gc.sum(X[i, j])


def test_over_is_no_index(rejects):
    with rejects(gc.NotationError):
        gc.sum(X[i, j], over="j")


def test_over_is_an_axis(rejects):
    with rejects(gc.NotationError):
        gc.mean(X[i, j], 0)


def test_over_is_an_expression(rejects):
    with rejects(gc.NotationError):
        gc.sum(X[i, j], over=(i, 2 * j))


def test_over_is_a_size(rejects):
    with rejects(gc.NotationError):
        gc.sum(X[i, j], over=D)


def test_over_twice(rejects):
    with rejects(gc.NotationError):
        gc.sum(X[i, j], over=(j, j))


def test_over_nothing(rejects):
    with rejects(gc.NotationError):
        gc.sum(X[i, j], over=())


def test_over_an_absent_index(rejects):
    with rejects(gc.NotationError):
        gc.sum(X[i, j], over=(j, r))


def test_over_an_index_that_is_bound_inside(rejects):
    with rejects(gc.NotationError):
        gc.max(gc.sum(X[i, j], over=j), over=j)


def test_largest_of_two_values(rejects):
    with rejects(gc.NotationError):
        gc.max(v[i], 0)


def test_unknown_ties(rejects):
    with rejects(gc.NotationError):
        gc.max(X[i, j], over=j, ties="last")


def test_bound_index_outside(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[i] += gc.sum(X[i, j], over=j) * Z[i, j]


def test_bound_index_outside_as_a_number(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[i] += gc.sum(X[i, j], over=j) + j


def test_bound_index_on_the_left(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[i] = gc.sum(X[i, j], over=i)


def test_pad_with_a_string(rejects):
    with rejects(gc.NotationError):
        gc.pad(v, "reflect")


def test_pad_with_an_element(rejects):
    with rejects(gc.NotationError):
        gc.pad(v, v[0])[i - 1]


def test_pad_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.pad(v[i - 1], 0)


def test_clamp_of_an_array(rejects):
    with rejects(gc.NotationError):
        gc.clamp(np.ones(3))


def test_boundary_dims_not_a_list(rejects):
    with rejects(gc.NotationError):
        gc.pad(X, 0, dims=1)


def test_boundary_dims_negative(rejects):
    with rejects(gc.NotationError):
        gc.wrap(X, dims=[-1])


def test_boundary_dims_too_large(rejects):
    with rejects(gc.NotationError):
        gc.reflect(X, dims=[0, 2])[i, j]


def test_two_boundary_rules(rejects):
    with rejects(gc.NotationError):
        gc.pad(gc.clamp(X), 0)


def test_two_boundary_rules_for_a_dimension(rejects):
    with rejects(gc.NotationError):
        gc.pad(gc.clamp(X, dims=[0, 1]), 0, dims=[1])


def test_two_paddings(rejects):
    with rejects(gc.NotationError):
        gc.pad(gc.pad(X, 0, dims=[0]), 1, dims=[1])


def test_boundary_view_written(rejects):
    with rejects(gc.NotationError):
        gc.pad(v, 0)[i - 1] = 2 * v[i]


def test_boundary_view_added_to(rejects):
    with rejects(gc.NotationError):
        gc.wrap(v)[i - 1] += v[i]


def test_boundary_view_with_too_few_subscripts(rejects):
    with rejects(gc.ShapeError):
        gc.pad(X, 0)[i - 1]


def test_skip_without_reduction(rejects):
    Y = gc.tensor("Y")
    p = gc.index("p", N)
    Y[p] = 2 * gc.skip(v)[p - 1]
    with rejects(gc.NotationError):
        gc.compile(Y, target="interpret")


def test_different_boundary_rules_in_different_dimensions_are_fine():
    Y = gc.tensor("Y")
    p, q = gc.index("p", N), gc.index("q", D)
    Y[p, q] = gc.pad(gc.clamp(X, dims=[0]), 5, dims=[1])[p - 1, q + 1]
    x = np.arange(6, dtype="float32").reshape(2, 3)
    assert gc.compile(Y, target="interpret")(X=x).tolist() == [[1, 2, 5], [1, 2, 5]]


def test_right_side_that_repeats_itself_exponentially(rejects):
    value = v[i]
    for _ in range(30):
        value = 3.7 * value * (1 - value)
    u = gc.tensor("u")
    with rejects(gc.NotationError):
        u[i] = value


def doubled(times):
    """A function that calls a function twice, which calls …"""
    inner = doubled(times - 1) if times > 1 else gc.exp
    return gc.function(f"f{times}", lambda x: inner(x) + inner(-x))


def test_function_that_repeats_itself_exponentially(rejects):
    with rejects(gc.NotationError):
        doubled(30)


def test_functions_in_each_other_that_repeat_their_arguments(rejects):
    f, u = doubled(10), gc.tensor("u")
    with rejects(gc.NotationError):
        u[i] = f(f(v[i]))


def test_skip_by_integers_in_a_maximum(rejects):
    Y, k = gc.tensor("Y"), gc.tensor("k", N, 3, dtype="int64")
    p, q = gc.indices("p q")
    Y[p] = gc.max(gc.skip(v)[k[p, q]], over=q)
    with rejects(gc.NotationError):
        gc.compile(Y)


def test_keyword_of_another_library(rejects):
    with rejects(gc.NotationError):
        gc.softplus(v[i], beta=2)


def test_approximate_gelu(rejects):
    with rejects(gc.NotationError):
        gc.gelu(v[i], approximate="tanh")


def test_argument_given_twice(rejects):
    with rejects(gc.NotationError):
        gc.leaky_relu(v[i], 0.2, negative_slope=0.1)


def test_clip_with_one_bound(rejects):
    with rejects(gc.NotationError):
        gc.clip(v[i], min=0)


def test_remainder_by_an_index_of_a_numpy_number(rejects):
    with rejects(gc.NotationError):
        np.int64(7) % i


def test_exclusive_or_with_a_numpy_bool(rejects):
    with rejects(gc.NotationError):
        np.True_ ^ (v[i] > 0)


def test_remainder_of_a_short_dimension(rejects):
    y = gc.tensor("y")
    y[i] = gc.tensor("S", N, 2)[i // 3, i % 3]
    with rejects(gc.RangeError):
        gc.loops(y)
