"""Layers written in the notation: plain functions of tensors with PyTorch's names, argument orders and layouts."""

from graphc.nn.activations import elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh
from graphc.nn.attention import scaled_dot_product_attention
from graphc.nn.convolution import conv1d, conv2d, conv3d, conv_transpose2d
from graphc.nn.linear import embedding, flatten, linear, maxout
from graphc.nn.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    elastic_net,
    huber_loss,
    l1,
    l1_loss,
    l2,
    mse_loss,
    multi_margin_loss,
    perceptron_loss,
)
from graphc.nn.noise import dropout, stochastic_depth
from graphc.nn.normalisation import batch_norm, group_norm, layer_norm, normalize
from graphc.nn.pooling import adaptive_avg_pool2d, avg_pool2d, fractional_max_pool2d, max_pool2d
from graphc.nn.recurrent import gru, lstm, rnn

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elastic_net",
    "elu",
    "embedding",
    "flatten",
    "fractional_max_pool2d",
    "gelu",
    "group_norm",
    "gru",
    "huber_loss",
    "l1",
    "l1_loss",
    "l2",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "lstm",
    "max_pool2d",
    "maxout",
    "mse_loss",
    "multi_margin_loss",
    "normalize",
    "perceptron_loss",
    "relu",
    "rnn",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "stochastic_depth",
    "tanh",
]
