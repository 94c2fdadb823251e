"""Gradients that begin at values which the forward program has kept."""

import numpy as np
import pytest

import graphc as gc
from graphc.transforms.pullback import Pullback, arguments, fingerprint, inputs_of, pullback

N, K, M = gc.dims("N K M")
n, k, m, t, i, j = gc.indices("n k m t i j")


def two_halves(found: Pullback, outputs, arrays, seeds) -> list[np.ndarray]:
    """The gradients, computed from what the first half gives."""
    values = dict(arrays)
    first = [*outputs, *found.saved]
    kept = dict(zip(first, gc.compile(first, target="interpret")(arrays), strict=True))
    for declared, source in zip(found.inputs, found.sources, strict=True):
        if source in found.seeds:
            values[declared.name] = seeds[found.seeds.index(source)]
        elif source in kept:
            values[declared.name] = kept[source]
        elif source in found.only_sizes:
            values[declared.name] = np.full_like(arrays[source.name], np.nan)
    return gc.compile(list(found.gradients), inputs=list(found.inputs), target="interpret")(values)


def whole(outputs, wrt, arrays, seeds) -> list[np.ndarray]:
    """The gradients as one program."""
    given = [gc.tensor(f"seed{k}", *(o.shape or ((),)), dtype=o.dtype) for k, o in enumerate(outputs)]
    parts = [gc.grad(o, wrt, seed=s) for o, s in zip(outputs, given, strict=True)]
    named = {s.name: array for s, array in zip(given, seeds, strict=True)}
    values = [gc.compile(part, target="interpret")({**arrays, **named}) for part in parts]
    return [sum(column) for column in zip(*values, strict=True)]


def softmax():
    X, A, U, Y, Z = gc.tensor("X", N, K, dtype="float64"), gc.tensor("A", K, M, dtype="float64"), *gc.tensors("U Y Z")
    U[n, m] += X[n, k] * A[k, m]
    Y[n, m] = gc.exp(U[n, m]) / gc.sum(gc.exp(U[n, k]), over=k)
    Z[n] = gc.max(Y[n, m], over=m)
    return [Y, Z], [X, A], {"X": (3, 4), "A": (4, 5)}, ["U", "Y", "Y.sum.log", "Z.arg"]


def recurrence():
    W, x, h0 = gc.tensor("W", 2, 2, dtype="float64"), gc.tensor("x", N, 2, dtype="float64"), gc.tensor("h0", 2, dtype="float64")
    h = gc.tensor("h")
    h[t, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, j], over=j) + x[t, i])
    h[-1, i] = h0[i]
    return [h], [W, x, h0], {"W": (2, 2), "x": (5, 2), "h0": (2,)}, ["h"]


def marked():
    """What is computed again from time to time is not kept."""
    outputs, wrt, shapes, _ = recurrence()
    Y = gc.tensor("Y")
    Y[i] += gc.checkpoint(outputs[0], every=2)[t, i] ** 2
    return [Y], wrt, shapes, []


def elementwise():
    """One loop over arguments is not worth memory."""
    X, U, Y = gc.tensor("X", N, dtype="float64"), *gc.tensors("U Y")
    U[n] = gc.sin(X[n])
    Y[()] += U[n] ** 3
    return [Y], [X], {"X": (4,)}, []


def linear():
    X, Y = gc.tensor("X", N, K, dtype="float64"), gc.tensor("Y")
    Y[n] += X[n, k]
    return [Y], [X], {"X": (2, 3)}, []


@pytest.mark.parametrize("make", [softmax, recurrence, marked, elementwise, linear])
def test_both_halves_are_the_whole(make) -> None:
    outputs, wrt, shapes, kept = make()
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=shape) for name, shape in shapes.items()}
    seeds = [random.normal(size=np.shape(value)) for value in gc.compile(outputs, target="interpret")(arrays)]
    found = pullback(outputs, wrt, range(len(outputs)))
    assert sorted(t.name for t in found.saved) == kept
    for mine, theirs in zip(two_halves(found, outputs, arrays, seeds), whole(outputs, wrt, arrays, seeds), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


def test_inputs_that_give_a_size_alone() -> None:
    outputs, wrt, _, _ = linear()
    assert pullback(outputs, wrt, [0]).only_sizes == {wrt[0]}


def test_a_part_of_a_gradient_begins_at_what_is_known() -> None:
    outputs, wrt, _, _ = softmax()
    first = pullback(outputs, wrt, [0, 1])
    known = [*first.saved]
    again = pullback(outputs, wrt[:1], [1], known)
    assert set(again.saved) <= set(known)
    assert {t.name for t in again.saved} == {"U", "Y", "Y.sum.log", "Z.arg"}
    assert not pullback(outputs, wrt, [0, 1], []).saved


def test_fingerprints_tell_programs_apart() -> None:
    outputs, wrt, _, _ = softmax()
    assert fingerprint(outputs, wrt) == fingerprint(*softmax()[:2])
    assert fingerprint(outputs[:1], wrt) != fingerprint(outputs, wrt)
    assert fingerprint(outputs, wrt, "text") != fingerprint(outputs, wrt)
    sums = []
    for width in (3, 4):
        X, S = gc.tensor("X", N), gc.tensor("S")
        S[()] = gc.sum(X[r := gc.index("r", width)], over=r)
        sums.append(fingerprint([S], [X]))
    assert len(set(sums)) == 2
    X, Y, dX = gc.tensor("X", N), gc.tensor("Y"), gc.tensor("dX")
    Y[n] = 2 * X[n]
    plain = fingerprint([Y], [X])

    def doubled(dY: gc.Tensor) -> gc.Tensor:
        dX[n] = 4 * dY[n]
        return dX

    assert fingerprint([gc.custom_grad(Y, {X: doubled})], [X]) != plain


def test_the_tensors_behind_names() -> None:
    outputs, wrt, _, _ = softmax()
    assert arguments(outputs, ["A", "X"]) == (wrt[1], wrt[0])
    assert inputs_of(outputs) == frozenset(wrt)
    assert inputs_of([]) == frozenset()
