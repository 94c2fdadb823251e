"""Reductions of the user's that are none."""

from __future__ import annotations

import math

import graphc as gc

X = gc.tensor("X", gc.dim("N"))
i = gc.index("i")


def test_reduction_with_a_name_that_is_taken(rejects):
    with rejects(gc.NotationError):
        gc.reduction("max", lambda a, b: gc.maximum(a, b), -math.inf)


def test_reduction_without_a_name(rejects):
    with rejects(gc.NotationError):
        gc.reduction("my sum", lambda a, b: a + b, 0)


def test_reduction_of_three_arguments(rejects):
    with rejects(gc.NotationError):
        gc.reduction("three", lambda a, b, c: a + b + c, 0)


def test_reduction_with_a_rule_of_one_argument(rejects):
    with rejects(gc.NotationError):
        gc.reduction("total", lambda a, b: a + b, 0, grad=lambda x: 1)


def test_reduction_that_reads_a_tensor(rejects):
    with rejects(gc.NotationError):
        gc.reduction("biased", lambda a, b: a + b + X[0], 0)


def test_reduction_without_a_number_as_identity(rejects):
    with rejects(gc.NotationError):
        gc.reduction("total", lambda a, b: a + b, X[i])


def test_reduction_that_depends_on_the_order(rejects):
    with rejects(gc.NotationError):
        gc.reduction("last", lambda a, b: b, 0)


def test_reduction_that_is_not_associative(rejects):
    with rejects(gc.NotationError):
        gc.reduction("middle", lambda a, b: (a + b) / 2, 0)


def test_reduction_with_another_identity(rejects):
    with rejects(gc.NotationError):
        gc.reduction("total", lambda a, b: a + b, 1)


def test_reduction_that_is_undefined_at_its_identity(rejects):
    with rejects(gc.NotationError):
        gc.reduction("soft", lambda a, b: gc.maximum(a, b) + gc.log1p(gc.exp(-gc.abs(a - b))), -math.inf)


def test_reduction_over_no_index(rejects):
    total = gc.reduction("plus", lambda a, b: a + b, 0)
    with rejects(gc.NotationError):
        total(X[i])
