"""Layers that are asked for wrongly."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_dropout_of_more_than_everything(rejects):
    with rejects(gc.ArgumentError):
        nn.dropout(x, 1.5, key=3)


def test_batch_norm_without_statistics(rejects):
    with rejects(gc.ArgumentError):
        nn.batch_norm(x, None, None)


def test_layer_norm_over_other_extents(rejects):
    with rejects(gc.ArgumentError):
        nn.layer_norm(x, 4)


def test_groups_of_channels_that_do_not_divide(rejects):
    with rejects(gc.ArgumentError):
        nn.group_norm(x, 3)


def test_layer_is_named_in_an_error(rejects):
    with rejects(gc.ArgumentError):
        nn.Conv2d(6, 7, name="conv1")(x)


def test_layer_of_negative_padding_in_a_row(rejects):
    net = nn.Sequential(nn.Conv2d(6, 3), nn.ReLU(), nn.Conv2d(6, 3, padding=-1))
    with rejects(gc.ArgumentError):
        net(x)


def test_layer_with_no_filters(rejects):
    with rejects(gc.ArgumentError):
        nn.Conv2d(0, 3)


def test_layer_with_a_kernel_of_another_rank(rejects):
    with rejects(gc.ArgumentError):
        nn.Conv2d(6, (3, 3, 3))


def test_layer_with_no_groups(rejects):
    with rejects(gc.ArgumentError):
        nn.Conv2d(6, 3, groups=0, name="conv1")(x)


def test_layer_in_a_row_that_is_none(rejects):
    with rejects(gc.ArgumentError):
        nn.Sequential(nn.Linear(3), "relu")


def test_bias_for_other_filters(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, gc.tensor("b", 5))


def test_unknown_padding_mode(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, padding=1, padding_mode="mirror")


def test_transposed_convolution_of_other_channels(rejects):
    with rejects(gc.ArgumentError):
        nn.conv_transpose2d(x, gc.tensor("k", 3, 2, 2, 2))


def test_transposed_convolution_of_which_nothing_is_left(rejects):
    with rejects(gc.ArgumentError):
        nn.conv_transpose2d(gc.tensor("a", 1, 4, 1, 1), gc.tensor("k", 4, 2, 2, 2), padding=1)


def test_too_much_output_padding(rejects):
    with rejects(gc.ArgumentError):
        nn.conv_transpose2d(x, gc.tensor("k", 4, 2, 2, 2), stride=2, output_padding=2)


def test_ceil_mode_of_a_symbolic_size(rejects):
    with rejects(gc.ArgumentError):
        nn.max_pool2d(gc.tensor("x", 1, 1, gc.dim("H"), 5), 2, ceil_mode=True)


def test_linear_of_other_inputs(rejects):
    with rejects(gc.ArgumentError):
        nn.linear(gc.tensor("v", gc.dim("N"), 7), gc.tensor("weight", 3, 8))


def test_softmax_along_no_dimension(rejects):
    with rejects(gc.ArgumentError):
        nn.softmax(gc.tensor("v", gc.dim("N"), 7), dim=2)


def test_flatten_backwards(rejects):
    with rejects(gc.ArgumentError):
        nn.flatten(x, 3, 1)


def test_flatten_of_symbolic_sizes(rejects):
    with rejects(gc.ArgumentError):
        nn.flatten(gc.tensor("image", 1, 3, *gc.dims("H W")))


def test_embedding_of_floats(rejects):
    with rejects(gc.ArgumentError):
        nn.embedding(gc.tensor("token", gc.dim("N")), gc.tensor("E", 10, 4))


def test_loss_of_a_target_of_another_shape(rejects):
    with rejects(gc.ArgumentError):
        nn.mse_loss(gc.tensor("y", gc.dim("N"), 7), gc.tensor("t", gc.dim("N")))


def test_loss_with_labels_that_are_floats(rejects):
    with rejects(gc.ArgumentError):
        nn.cross_entropy(gc.tensor("y", gc.dim("N"), 7), gc.tensor("t", gc.dim("N")))


def test_loss_with_weights_for_other_classes(rejects):
    with rejects(gc.ArgumentError):
        nn.cross_entropy(gc.tensor("y", gc.dim("N"), 7), gc.tensor("t", gc.dim("N"), dtype="int64"), gc.tensor("weight", 8))


def test_loss_with_too_much_smoothing(rejects):
    with rejects(gc.ArgumentError):
        nn.cross_entropy(gc.tensor("y", gc.dim("N"), 7), gc.tensor("t", gc.dim("N"), dtype="int64"), label_smoothing=1.5)


def test_loss_of_a_label_out_of_range(rejects):
    loss = nn.cross_entropy(gc.tensor("y", gc.dim("N"), 7), gc.tensor("label", gc.dim("N"), dtype="int64"))
    with rejects(gc.ArgumentError, call=True):
        gc.compile(loss, target="interpret")(y=np.zeros((2, 7), "float32"), label=np.array([6, 7]))


def test_normalisation_by_a_negative_norm(rejects):
    with rejects(gc.ArgumentError):
        nn.normalize(gc.tensor("v", gc.dim("N"), 7), p=-1)


def test_normalisation_with_weights_for_other_channels(rejects):
    with rejects(gc.ArgumentError):
        nn.batch_norm(x, None, None, gc.tensor("weight", 3), training=True)


def test_attention_to_keys_of_another_width(rejects):
    with rejects(gc.ArgumentError):
        nn.scaled_dot_product_attention(gc.tensor("q", 2, 3, 4), gc.tensor("k", 2, 3, 5), gc.tensor("v", 2, 3, 5))


def test_recurrent_layer_with_too_few_gates(rejects):
    with rejects(gc.ArgumentError):
        nn.lstm(gc.tensor("x", 5, 2, 3), *gc.tensors("h0 c0", 2, 4), gc.tensor("w_ih", 12, 3), gc.tensor("w_hh", 16, 4))


def test_dropout_by_a_float(rejects):
    with rejects(gc.ArgumentError):
        nn.dropout(x, 0.5, gc.tensor("key", ()))


def test_batch_norm_of_one_example(rejects):
    with rejects(gc.ArgumentError):
        nn.BatchNorm1d(name="norm")(gc.tensor("x", 1, 4))


def test_call_of_batch_norm_with_one_example(rejects):
    program = gc.compile(nn.BatchNorm1d(affine=False, name="norm")(gc.tensor("x", gc.dim("N"), 4)), target="interpret")
    with rejects(gc.ArgumentError, call=True):
        program(x=np.ones((1, 4), "float32"))


def test_sequential_behind_an_lstm(rejects):
    with rejects(gc.ArgumentError):
        nn.Sequential(nn.LSTM(4), nn.Linear(3))(gc.tensor("x", 5, 2, 3))


def test_sequential_of_a_class(rejects):
    with rejects(gc.ArgumentError):
        nn.Sequential(nn.Linear(3), nn.ReLU)


def test_layer_with_an_unknown_argument(rejects):
    with rejects(gc.ArgumentError):
        nn.GELU(exact=True)


def test_positive_weights_of_another_shape(rejects):
    with rejects(gc.ArgumentError):
        nn.binary_cross_entropy_with_logits(*gc.tensors("y t", 3, 4), pos_weight=gc.tensor("w", 5))


def test_dropout_whose_steps_nobody_counts(rejects):
    program = gc.compile(nn.Dropout(name="drop")(x), target="interpret")
    with rejects(gc.ArgumentError, call=True):
        program(x=np.ones((2, 4, 5, 5), "float32"))


def test_convolution_padded_by_a_typo(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, padding_mode="zero")


def test_batch_norm_of_images_for_rows(rejects):
    with rejects(gc.ArgumentError):
        nn.BatchNorm1d()(x)


def test_batch_norm_without_a_momentum(rejects):
    with rejects(gc.ArgumentError):
        nn.BatchNorm2d(momentum=None)(x)


def test_cross_entropy_of_probabilities_without_a_label(rejects):
    with rejects(gc.ArgumentError):
        nn.cross_entropy(gc.tensor("y", 3, 4), gc.tensor("p", 3, 4), ignore_index=2)


def test_attention_with_dropout_and_no_key(rejects):
    with rejects(gc.ArgumentError):
        nn.scaled_dot_product_attention(*gc.tensors("q k v", 2, 3, 4), dropout_p=0.1)


def test_reduction_of_a_named_loss(rejects):
    with rejects(gc.ArgumentError):
        nn.mse_loss(*gc.tensors("y t", 3), reduction="avg", name="error")


@pytest.mark.parametrize("made", [
    lambda: nn.Linear(784, 100), lambda: nn.Linear(in_features=784, out_features=100), lambda: nn.Linear(100, bias=None),
    lambda: nn.Linear(), lambda: nn.Conv2d(3, 64, 3, 1, 1, 1, 1), lambda: nn.Conv2d(3, 64, 3, stride=2),
    lambda: nn.ConvTranspose2d(16, 33, 3, 2, 1, 1, 1), lambda: nn.BatchNorm2d(64), lambda: nn.BatchNorm1d(affine=1),
    lambda: nn.LayerNorm(64, 64), lambda: nn.GroupNorm(8, 64), lambda: nn.GroupNorm(8.0), lambda: nn.LSTM(10, 20),
    lambda: nn.LSTM(10, 20, 2), lambda: nn.RNN(10, 20), lambda: nn.GRU(10, bias="yes"), lambda: nn.LSTM(20, batch_first=True),
], ids=["linear", "linear_by_name", "bias_none", "nothing", "conv", "conv_stride", "transposed", "batch_norm", "affine", "layer_norm",
        "group_norm", "groups", "lstm", "lstm_layers", "rnn", "gru", "batch_first"])
def test_layer_made_as_pytorch_makes_it(rejects, made):
    with rejects(gc.ArgumentError):
        made()


def test_clash_in_front_of_a_layer(rejects):
    (n, t), h = gc.indices("n t"), gc.tensor("h")
    h[n, t] = gc.tensor("a", 2, 3)[n, t] + gc.tensor("p", 2, 4)[n, t]
    with rejects(gc.ShapeError):
        nn.Sequential(nn.Linear(4, name="head"), name="net")(h)


def test_clash_in_the_state_that_a_layer_begins_with(rejects):
    (b, k), h0 = gc.indices("b k"), gc.tensor("h0")
    h0[b, k] = gc.tensor("a", 2, 3)[b, k] + gc.tensor("p", 2, 4)[b, k]
    with rejects(gc.ShapeError):
        nn.LSTM(3, name="memory")(gc.tensor("x", 5, 2, 3), (h0, gc.tensor("c0", 2, 3)))


def test_groups_that_are_no_integer(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, groups=1.0)


def test_one_state_for_an_lstm(rejects):
    with rejects(gc.ArgumentError):
        nn.LSTM(4)(gc.tensor("sequence", 5, 2, 3), gc.tensor("h", 2, 4))


def test_two_states_for_a_gru(rejects):
    with rejects(gc.ArgumentError):
        nn.GRU(4)(gc.tensor("sequence", 5, 2, 3), gc.tensors("h c", 2, 4))


def test_groups_of_an_unknown_number_of_channels(rejects):
    with rejects(gc.ArgumentError):
        nn.group_norm(gc.tensor("image", 1, gc.dim("C"), 5, 5), 2)


def test_padding_by_an_array_of_another_length(rejects):
    with rejects(gc.ArgumentError):
        nn.conv2d(x, w, padding=np.array([1, 1, 1]))


def test_padding_row_that_is_none(rejects):
    with rejects(gc.ArgumentError):
        nn.embedding(gc.tensor("token", gc.dim("N"), dtype="int64"), gc.tensor("E", 10, 4), padding_idx=10)


@pytest.mark.parametrize("normalise", [
    lambda: nn.layer_norm(x, 5, eps=-1e-5), lambda: nn.group_norm(x, 2, eps=-1e-5), lambda: nn.layer_norm(x, "5"),
    lambda: nn.layer_norm(x, (5, 5.0)), lambda: nn.layer_norm(x, ()), lambda: nn.LayerNorm("5"),
], ids=["eps", "groups", "text", "float", "nothing", "layer"])
def test_normalisation_with_other_arguments(rejects, normalise):
    with rejects(gc.ArgumentError):
        normalise()


def test_dropout_in_place(rejects):
    with rejects(gc.ArgumentError):
        nn.Dropout(0.5, True)(x)
