"""Programs that are compiled or called wrongly (LANGUAGE 5, 8)."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import graphc as gc

N, D, K = gc.dims("N D K")
i, j, p = gc.indices("i j p")
X = gc.tensor("X", N, D)
W = gc.parameter("W", D)
v = gc.tensor("v", N)
tok = gc.tensor("tok", N, dtype="int64")
flags = gc.tensor("flags", N, dtype="bool")
lr = gc.tensor("lr", ())
Y, L, W_new, E, S = gc.tensors("Y L W_new E S")
Y[i] += X[i, j] * W[j]
L[()] += Y[i] ** 2
W_new[j] = W[j] - lr[()] * L[()]
E[i] = W[tok[i]]
S[i] = gc.where(flags[i], v[i], 0)

x, w, one = np.ones((3, 2), "float32"), np.ones(2, "float32"), np.float32(0.5)


def program(outputs=Y, **options):
    return gc.compile(outputs, target="interpret", **options)


# ---------------------------------------------------------------------------------------------------------------- compile
def test_unknown_target(rejects):
    with rejects(gc.TargetError):
        gc.compile(Y, target="gpu")


def test_output_with_subscripts(rejects):
    with rejects(gc.NotationError):
        gc.compile(Y[i])


def test_output_in_a_list_with_subscripts(rejects):
    with rejects(gc.NotationError):
        gc.compile([L[()], Y])


def test_output_by_name(rejects):
    with rejects(gc.NotationError):
        gc.compile("Y")


def test_no_outputs(rejects):
    with rejects(gc.CompileError):
        gc.compile([])


def test_inputs_not_a_list(rejects):
    with rejects(gc.ArgumentError):
        program(inputs=X)


def test_inputs_by_name(rejects):
    with rejects(gc.ArgumentError):
        program(inputs=["X", "W"])


def test_inputs_twice(rejects):
    with rejects(gc.ArgumentError):
        program(inputs=[X, W, X])


def test_inputs_that_are_defined(rejects):
    with rejects(gc.ArgumentError):
        program(L, inputs=[Y, X])


def test_inputs_that_are_not_needed(rejects):
    with rejects(gc.ArgumentError):
        program(inputs=[X, v])


def test_updates_not_a_dict(rejects):
    with rejects(gc.CompileError):
        program(L, updates=[W_new])


def test_updates_with_subscripts(rejects):
    with rejects(gc.CompileError):
        program(L, updates={W: W_new[j]})


def test_update_of_a_defined_tensor(rejects):
    with rejects(gc.ArgumentError):
        program(L, updates={Y: Y})


def test_update_of_another_shape(rejects):
    with rejects(gc.ArgumentError):
        program(L, updates={W: L})


def test_update_of_another_dtype(rejects):
    counts, more = gc.tensor("counts", N, dtype="int64"), gc.tensor("more")
    more[i] = counts[i] + 0.5
    with rejects(gc.ArgumentError):
        program(L, updates={counts: more})


def test_bad_number_of_threads(rejects):
    with rejects(gc.CompileError):
        gc.compile(Y, threads=0)


def test_bad_accumulator(rejects):
    with rejects(gc.CompileError):
        gc.compile(Y, accumulate="float16")


def test_bad_precision(rejects):
    with rejects(gc.CompileError):
        gc.compile(Y, precision=64)


def test_tensor_cores_of_the_cpu(rejects):
    with rejects(gc.CompileError):
        gc.compile(Y, precision="tf32")


def test_bad_memory_limit(rejects):
    with rejects(gc.CompileError):
        gc.compile(Y, memory_limit="a lot")


def test_bad_tune(rejects):
    with rejects(gc.CompileError):
        gc.compile(Y, tune=3)


def test_tuning_without_kernels(rejects):
    with rejects(gc.CompileError):
        gc.compile(Y, target="interpret", tune=True)


def test_too_little_memory(rejects):
    v, outer, norms = gc.tensor("v", N), gc.tensor("outer"), gc.tensor("norms")
    outer[i, j] = v[i] * v[j]
    norms[i] += outer[i, j] ** 2
    with rejects(gc.ArgumentError, call=True):
        gc.compile([outer, norms], memory_limit="1 GiB")(v=np.ones(30_000, "float32"))


def test_undetermined_size(rejects):
    q, Z = gc.index("q", K), gc.tensor("Z")
    Z[q] = 2 * q
    with rejects(gc.CompileError):
        program(Z)


def test_undetermined_size_as_a_number(rejects):
    Z = gc.tensor("Z")
    Z[i] = v[i] / K
    with rejects(gc.CompileError):
        program(Z)


def test_input_called_out(rejects):
    Z, out = gc.tensor("Z"), gc.tensor("out", N)
    Z[i] = out[i]
    with rejects(gc.NotationError):
        program(Z)


# -------------------------------------------------------------------------------------------------------------- arguments
def test_unknown_argument(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(x=x, W=w)


def test_missing_argument(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=x)


def test_missing_arguments(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()()


def test_arguments_by_tensor(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()({X: x, W: w})


def test_parameters_larger_than_the_machine(rejects, monkeypatch):
    monkeypatch.setattr("graphc.calls.arrays.machine_memory", lambda: 10**10)
    with rejects(gc.ArgumentError, call=True):
        program().init(D=10**15)


def test_integers_of_numpy_are_options():
    f = program(threads=np.int64(2), memory_limit=np.int64(10**9))
    assert f.options["threads"] == 2 and type(f.options["threads"]) is int
    np.testing.assert_array_equal(f(X=x, W=w), [2, 2, 2])
    assert gc.check_grad(L, W, X=x, W=w, order=np.int64(1)) < 1e-6
    assert gc.verify(L, W, largest=np.int64(2), budget=np.int64(1000))


def test_argument_twice(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(inputs=[X, W])(x, w, X=x)


def test_positions_without_inputs(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(x, w)


def test_too_many_positions(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(inputs=[X])(x, w)


def test_wrong_dtype(rejects):
    with rejects(gc.DtypeError, call=True):
        program()(X=x.astype("float64"), W=w)


def test_numpy_scalar_of_wrong_dtype(rejects):
    with rejects(gc.DtypeError, call=True):
        program(W_new)(X=x, W=w, lr=np.float64(0.1))


def test_float_for_an_integer(rejects):
    with rejects(gc.DtypeError, call=True):
        program(E)(W=w, tok=[0, 1.5])


def test_integer_for_a_bool(rejects):
    with rejects(gc.DtypeError, call=True):
        program(S)(v=[1.0, 2.0], flags=[0, 1])


def test_integer_that_does_not_fit(rejects):
    small, Z = gc.tensor("small", N, dtype="uint8"), gc.tensor("Z")
    Z[i] = small[i]
    with rejects(gc.DtypeError, call=True):
        program(Z)(small=[1, 300])


def test_argument_none(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=None, W=w)


def test_argument_string(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X="x.npy", W=w)


def test_argument_tensor(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=X, W=w)


def test_argument_element(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=x, W=W[j])


def test_argument_complex(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(W_new)(X=x, W=w, lr=1j)


def test_argument_dict(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(inputs=[X, W])(x, {"W": w})


def test_argument_ragged_list(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=[[1, 2], [3]], W=w)


def test_argument_huge_integers(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=x, W=[10**30, 1])


def test_argument_beyond_float32(rejects):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rejects(gc.DtypeError, call=True):
            program()(X=x, W=[1.0, -1e300])
        with pytest.raises(gc.DtypeError, match=r"lr contains 1e\+39"):
            program(W_new)(X=x, W=w, lr=1e39)
        assert program()(X=[[1.0, 1.0]], W=[0.0, float("-inf")]) == [-np.inf]


def test_argument_of_strings(rejects):
    with rejects(gc.DtypeError, call=True):
        program()(X=x, W=["1", "2"])


def test_argument_of_objects(rejects):
    with rejects(gc.DtypeError, call=True):
        program()(X=x, W=np.array([1, None]))


def test_masked_array(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=x, W=np.ma.masked_array(w, [True, False]))


def test_wrong_number_of_dimensions(rejects):
    with rejects(gc.ShapeError, call=True):
        program()(X=x[0], W=w)


def test_scalar_for_a_vector(rejects):
    with rejects(gc.ShapeError, call=True):
        program()(X=x, W=1.0)


def test_inconsistent_sizes(rejects):
    with rejects(gc.ShapeError, call=True):
        program()(X=x, W=np.ones(3, "float32"))


def test_wrong_fixed_size(rejects):
    u, Z = gc.tensor("u", 4), gc.tensor("Z")
    Z[i] = u[i]
    with rejects(gc.ShapeError, call=True):
        program(Z)(u=np.ones(5, "float32"))


def test_wrong_derived_size(rejects):
    u, Z = gc.tensor("u", 2 * N + 1), gc.tensor("Z")
    Z[()] += u[j] * v[i]
    with rejects(gc.ShapeError, call=True):
        program(Z)(u=np.ones(4, "float32"), v=np.ones(2, "float32"))


def test_unsolvable_size(rejects):
    u, Z = gc.tensor("u", 2 * N), gc.tensor("Z")
    Z[i] = u[i]
    with rejects(gc.ShapeError, call=True):
        program(Z)(u=np.ones(5, "float32"))


def test_negative_size(rejects):
    u, Z = gc.tensor("u", N + 3), gc.tensor("Z")
    Z[i] = u[i]
    with rejects(gc.ShapeError, call=True):
        program(Z)(u=np.ones(2, "float32"))


def test_size_that_is_not_determined(rejects):
    u, Z = gc.tensor("u", N // 2), gc.tensor("Z")
    Z[i] = u[i] / N
    with rejects(gc.ArgumentError, call=True):
        program(Z)(u=np.ones(2, "float32"))


def test_size_dependent_range(rejects):
    Z, q = gc.tensor("Z"), gc.index("q", 4)
    Z[q] = v[q]
    with rejects(gc.RangeError, call=True):
        program(Z)(v=np.ones(3, "float32"))


def test_size_dependent_range_of_two_inputs(rejects):
    a, Z, q = gc.tensor("a", K), gc.tensor("Z"), gc.index("q", K)
    Z[q] = v[q] * a[q]
    with rejects(gc.RangeError, call=True):
        program(Z)(v=np.ones(3, "float32"), a=np.ones(4, "float32"))


def test_negative_inferred_extent(rejects):
    f, Z, r = gc.tensor("f", K), gc.tensor("Z"), gc.index("r")
    Z[p] += v[p + r] * f[r]
    with rejects(gc.ShapeError, call=True):
        program(Z)(v=np.ones(2, "float32"), f=np.ones(5, "float32"))


def test_wrap_too_far(rejects):
    Z, q = gc.tensor("Z"), gc.index("q", 10)
    Z[q] = gc.wrap(v)[q - 1]
    with rejects(gc.RangeError, call=True):
        program(Z)(v=np.ones(3, "float32"))


def test_maximum_of_an_empty_range(rejects):
    Z = gc.tensor("Z")
    Z[i] = gc.max(X[i, j], over=j)
    with rejects(gc.ArgumentError, call=True):
        program(Z)(X=np.ones((3, 0), "float32"))


def test_nested_argmax_of_an_empty_range(rejects):
    Z = gc.tensor("Z")
    Z[()] += 2 * gc.argmin(v[i], over=i)
    with rejects(gc.ArgumentError, call=True):
        program(Z)(v=np.ones(0, "float32"))


def test_maximum_of_skipped_terms(rejects):
    Z, q = gc.tensor("Z"), gc.index("q", 9)
    Z[q] = gc.max(gc.skip(v)[2 * q + p], over=gc.index("p", 2))
    with rejects(gc.ArgumentError, call=True):
        program(Z)(v=np.ones(3, "float32"))


def test_no_rows_need_no_maximum():
    Z = gc.tensor("Z")
    Z[i] = gc.max(X[i, j], over=j)
    assert program(Z)(X=np.ones((0, 0), "float32")).shape == (0,)


def test_gather_out_of_range(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(E)(W=w, tok=[1, 0, 2])


def test_gather_with_a_negative_value(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(E)(W=w, tok=[-1])


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_gather_beyond_a_period(rejects, target):
    """In the gradient, which reads the same tensor of places."""
    Z, loss = gc.tensor("Z"), gc.tensor("loss")
    Z[i] = gc.wrap(v)[tok[i]]
    loss[()] += Z[i] ** 2
    with rejects(gc.ArgumentError, call=True):
        gc.compile(gc.grad(loss, v), target=target)(v=np.ones(3, "float32"), tok=[0, 9, 1])


def test_gather_beyond_a_reflection(rejects):
    Z = gc.tensor("Z")
    Z[i] = gc.reflect(v)[tok[i]]
    with rejects(gc.ArgumentError, call=True):
        program(Z)(v=np.ones(3, "float32"), tok=[0, -3, 1])


def test_gather_from_an_empty_tensor(rejects):
    with rejects(gc.RangeError, call=True):
        program(E)(W=w[:0], tok=[0])


def test_scatter_out_of_range(rejects):
    Z = gc.tensor("Z", D)
    Z[tok[i]] += v[i]
    L2 = gc.tensor("L2")
    L2[()] += Z[j] * W[j]
    with rejects(gc.ArgumentError, call=True):
        program(L2)(v=[1.0, 2.0], tok=[0, 5], W=w)


# ------------------------------------------------------------------------------------------------------------ out, updates
def test_out_of_another_shape(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=x, W=w, out=np.empty(4, "float32"))


def test_out_of_another_dtype(rejects):
    with rejects(gc.ArgumentError, call=True):
        program()(X=x, W=w, out=np.empty(3))


def test_out_read_only(rejects):
    out = np.empty(3, "float32")
    out.flags.writeable = False
    with rejects(gc.ArgumentError, call=True):
        program()(X=x, W=w, out=out)


def test_out_of_another_structure(rejects):
    with rejects(gc.ArgumentError, call=True):
        program([Y, L])(X=x, W=w, out=np.empty(3, "float32"))


def test_out_with_other_keys(rejects):
    with rejects(gc.ArgumentError, call=True):
        program({"y": Y, "loss": L})(X=x, W=w, out={"y": np.empty(3, "float32")})


def test_out_twice(rejects):
    out = np.empty(3, "float32")
    Z = gc.tensor("Z")
    Z[i] = 2 * Y[i]
    with rejects(gc.ArgumentError, call=True):
        program([Y, Z])(X=x, W=w, out=[out, out])


def test_update_without_a_dictionary(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new})(X=x, W=w, lr=one)


def test_update_of_a_read_only_array(rejects):
    frozen = w.copy()
    frozen.flags.writeable = False
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new})({"W": frozen}, X=x, lr=one)


def test_update_of_a_list(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new})({"W": [1.0, 2.0]}, X=x, lr=one)


def test_update_given_twice(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new})({"W": w.copy()}, X=x, W=w, lr=one)


def test_updates_that_share_memory(rejects):
    V, V_new = gc.parameter("V", D), gc.tensor("V_new")
    V_new[j] = 2 * V[j]
    shared = w.copy()
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new, V: V_new})({"W": shared, "V": shared}, X=x, lr=one)


def test_init_without_a_size(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new}).init(seed=0)


def test_init_with_an_unknown_size(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new}).init(seed=0, D=3, B=4)


def test_init_with_a_negative_size(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new}).init(seed=0, D=-3)


def test_init_with_a_bad_seed(rejects):
    with rejects(gc.ArgumentError, call=True):
        program(L, updates={W: W_new}).init(seed="zero", D=3)


def test_initialiser_of_another_shape(rejects):
    V, Z = gc.parameter("V", 3, init=lambda shape, generator: np.zeros(4)), gc.tensor("Z")
    Z[i] = V[i]
    with rejects(gc.ArgumentError, call=True):
        program(Z).init()


# ------------------------------------------------------------------------------------------------------- what is accepted
@pytest.mark.parametrize("form", [
    lambda a: np.asfortranarray(a), lambda a: a[::-1][::-1], lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a.tolist(),
    lambda a: memoryview(a),
    lambda a: np.broadcast_to(a[:1], a.shape), lambda a: [list(map(int, row)) for row in a],
])
def test_every_form_of_an_array_works(form):
    given = form(x) if not isinstance(form(x), memoryview) else np.asarray(form(x))
    before = np.array(given, copy=True)
    assert program()(X=given, W=w).tolist() == [2, 2, 2]
    assert np.array_equal(before, given)


def test_scalars():
    f = program(W_new)
    for rate in (0.5, 1, True, np.float32(0.5), np.int8(1), np.array(0.5, "float32")):
        assert f(X=x, W=w, lr=rate).dtype == np.float32


def test_dictionary_may_hold_more_and_names_win():
    f = program(inputs=[X, W])
    data = {"W": w, "X": 2 * x, "other": "unused"}
    assert f(data).tolist() == [4, 4, 4]
    assert f(data, x).tolist() == [2, 2, 2]
    assert f(data, X=x).tolist() == [2, 2, 2]
    assert "X" in data and data["X"][0, 0] == 2


def test_out_may_overlap_an_input():
    Z, u = gc.tensor("Z"), gc.tensor("u", N)
    Z[i] = gc.sum(u[j], over=j) + u[i]
    a = np.float32([1, 2, 3])
    result = program(Z)(u=a, out=a)
    assert result is a and a.tolist() == [7, 8, 9]


def test_out_of_a_dict_goes_by_key():
    out = {"double": np.empty(3, "float32"), "y": np.empty(3, "float32")}
    Z = gc.tensor("Z")
    Z[i] = 2 * Y[i]
    program({"y": Y, "double": Z})(X=x, W=w, out=out)
    assert out["y"].tolist() == [2, 2, 2] and out["double"].tolist() == [4, 4, 4]


def test_updates_do_not_touch_other_inputs():
    V, V_new, u, Z = gc.parameter("V", N), gc.tensor("V_new"), gc.tensor("u", N), gc.tensor("Z")
    V_new[i] = V[i] + u[i]
    Z[i] = u[i] * 2
    a = np.float32([1, 2])
    assert program(Z, updates={V: V_new})({"V": a}, u=a).tolist() == [2, 4]
    assert a.tolist() == [2, 4]


def test_sizes_are_solved_whatever_the_order():
    a, c, Z = gc.tensor("a", N + K), gc.tensor("c", K + 1), gc.tensor("Z")
    Z[()] += a[i] * c[j] * N
    assert program(Z)(a=np.ones(5, "float32"), c=np.ones(3, "float32")) == 5 * 3 * 3


def test_profile_of_the_interpreter(rejects):
    x, y, i = gc.tensor("x", 3), gc.tensor("y"), gc.index("i", 3)
    y[i] = 2 * x[i]
    with rejects(gc.TargetError, call=True):
        gc.compile(y, target="interpret").profile(x=np.ones(3, "float32"))


def test_pickle_of_a_program(rejects):
    """A copy is the program itself."""
    x, y, i = gc.tensor("x", 3), gc.tensor("y"), gc.index("i", 3)
    y[i] = 2 * x[i]
    f = gc.compile(y)
    assert copy.deepcopy([f])[0] is f and copy.copy(f) is f
    with rejects(gc.TargetError, call=True):
        pickle.dumps(f)
