"""Layers that are asked for wrongly."""

from __future__ import annotations

import graphc as gc

nn = gc.nn
x, w = gc.tensor("x", gc.dim("N"), 4, 5, 5), gc.tensor("w", 6, 4, 3, 3)


def test_layer_of_a_number(rejects):
    with rejects(gc.ArgumentError):
        nn.relu(3.0)


def test_convolution_of_a_matrix(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(gc.tensor("m", 5, 5), w)


def test_negative_padding(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, padding=-1)


def test_stride_of_another_rank(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, stride=(1, 1, 1))


def test_groups_that_do_not_divide(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, groups=3)


def test_filters_for_other_channels(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, groups=2)


def test_filters_larger_than_the_image(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, dilation=3)


def test_same_padding_with_a_stride(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, stride=2, padding="same")


def test_windows_larger_than_the_image(rejects):
    with rejects(gc.ArgumentError):
        nn.max_pool2d(x, 6)


def test_padding_of_more_than_half_a_window(rejects):
    with rejects(gc.ArgumentError):
        nn.avg_pool2d(x, 2, padding=2)


def test_adaptive_pooling_of_a_symbolic_size(rejects):
    with rejects(gc.ArgumentError):
        nn.adaptive_avg_pool2d(gc.tensor("x", 1, 1, gc.dim("H"), 5), 2)


def test_more_windows_than_rows(rejects):
    with rejects(gc.ArgumentError):
        nn.fractional_max_pool2d(x, 2, 5, key=1)


def test_unknown_reduction_of_a_loss(rejects):
    with rejects(gc.ArgumentError):
        nn.mse_loss(x, x, reduction="average")


def test_layer_for_another_size(rejects):
    layer = nn.Linear(3, name="fc")
    layer(gc.tensor("a", 2, 4))
    with rejects(gc.ArgumentError):
        layer(gc.tensor("b", 2, 5))


def test_dropout_of_everything(rejects):
    with rejects(gc.ArgumentError):
        nn.dropout(x, 1.0, key=3)


def test_batch_norm_without_statistics(rejects):
    with rejects(gc.ArgumentError):
        nn.batch_norm(x, None, None)


def test_layer_norm_over_other_extents(rejects):
    with rejects(gc.ArgumentError):
        nn.layer_norm(x, 4)


def test_groups_of_channels_that_do_not_divide(rejects):
    with rejects(gc.ArgumentError):
        nn.group_norm(x, 3)
