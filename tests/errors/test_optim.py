"""Optimisers that are asked for wrongly."""

from __future__ import annotations

import graphc as gc

i = gc.index("i")
x, w, L, C = gc.tensor("x", 3), gc.parameter("w", 3), gc.tensor("L"), gc.tensor("C")
L[()] += w[i] ** 2
C[()] += x[i] ** 2


def test_optimiser_without_parameters(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.sgd(C, lr=0.1)


def test_optimiser_of_a_number(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.adam(3.0)


def test_negative_learning_rate(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.sgd(L, lr=-0.1)


def test_beta_of_one(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.adam(L, betas=(0.9, 1))


def test_negative_clipping(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.clip_grad_norm(L, max_norm=-1)
