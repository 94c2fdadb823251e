"""Random numbers that are asked for wrongly (LANGUAGE 3)."""

from __future__ import annotations

import numpy as np

import graphc as gc

N = gc.dim("N")
i, j = gc.indices("i j")
key = gc.tensor("key", (), dtype="int64")
x = gc.tensor("x", N)
d = gc.tensor("d", N, dtype="float64")


def test_random_without_index(rejects):
    with rejects(gc.NotationError):
        gc.uniform(key[()])


def test_random_with_a_fraction_as_key(rejects):
    with rejects(gc.NotationError):
        gc.uniform(2.5, i)


def test_random_with_a_key_without_subscripts(rejects):
    with rejects(gc.NotationError):
        gc.normal(key, i)


def test_random_with_an_array_as_key(rejects):
    with rejects(gc.NotationError):
        gc.uniform(np.zeros(2, int), i)


def test_random_with_a_float_key(rejects):
    with rejects(gc.DtypeError):
        gc.uniform(d[i], i)


def test_random_with_a_key_that_is_a_float_by_default(rejects):
    seed, Y = gc.tensor("seed", ()), gc.tensor("Y", N)
    Y[i] = x[i] + gc.normal(seed[()], i)
    with rejects(gc.DtypeError):
        gc.compile(Y)


def test_random_with_a_fraction_as_index(rejects):
    with rejects(gc.NotationError):
        gc.uniform(key[()], i, 0.5 * j)


def test_random_with_a_condition_as_index(rejects):
    with rejects(gc.NotationError):
        gc.uniform(key[()], i > 0)


def test_random_with_a_float_element_as_index(rejects):
    Y = gc.tensor("Y")
    Y[i] = gc.uniform(key[()], x[i])
    with rejects(gc.DtypeError):
        gc.grad(Y, x, seed=x)


def test_random_with_an_axis(rejects):
    with rejects(gc.NotationError):
        gc.uniform(key[()], "i")


def test_function_named_like_a_random_one(rejects):
    with rejects(gc.NotationError):
        gc.function("uniform", lambda u: u)
