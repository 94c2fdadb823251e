"""Optimisers that are asked for wrongly."""

from __future__ import annotations

import pytest

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


def test_nesterov_without_momentum(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.sgd(L, nesterov=True)


def test_one_beta(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.adam(L, betas=0.9)


def test_schedule_of_no_steps(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.cosine_annealing_lr(0.1, T_max=0)


def test_schedule_of_descending_milestones(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.multi_step_lr(0.1, [60, 30])


def test_schedule_with_one_milestone_too_many(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.sequential_lr([gc.optim.exponential_lr(0.1, 0.9)], [10])


def test_two_optimisers_of_one_parameter(rejects):
    w, loss = gc.parameter("w", ()), gc.tensor("loss")
    loss[()] = w[()] ** 2
    with rejects(gc.ArgumentError):
        gc.optim.sgd(loss) | gc.optim.adam(loss)


def test_one_cycle_divided_by_nothing(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.one_cycle_lr(0.1, 10, div_factor=0)


def test_schedule_with_a_milestone_that_is_no_number(rejects):
    with rejects(gc.ArgumentError):
        gc.optim.multi_step_lr(0.1, [1.5, "a"])


def test_dampening_by_a_text(rejects):
    w, loss = gc.parameter("w", ()), gc.tensor("loss")
    loss[()] = w[()] ** 2
    with rejects(gc.ArgumentError):
        gc.optim.sgd(loss, momentum=0.9, dampening="a")


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_infinite_numbers(number):
    """Where they mean nothing; the largest magnitude is a norm."""
    w, loss = gc.parameter("w", ()), gc.tensor("loss")
    loss[()] = w[()] ** 2
    y, t = gc.tensor("y", 3, 4), gc.tensor("t", 3, 4)
    with pytest.raises(gc.ArgumentError, match="dampening"):
        gc.optim.sgd(loss, momentum=0.9, dampening=number)
    with pytest.raises(gc.ArgumentError, match="pos_weight"):
        gc.nn.binary_cross_entropy_with_logits(y, t, pos_weight=number)
    if number > 0:
        gc.nn.normalize(y, p=number)
