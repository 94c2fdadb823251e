"""Layers written in the notation: plain functions of tensors with PyTorch's names, argument orders and layouts."""

from graphc.nn.activations import elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh
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
from graphc.nn.pooling import adaptive_avg_pool2d, avg_pool2d, fractional_max_pool2d, max_pool2d

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose2d",
    "cross_entropy",
    "elastic_net",
    "elu",
    "embedding",
    "flatten",
    "fractional_max_pool2d",
    "gelu",
    "huber_loss",
    "l1",
    "l1_loss",
    "l2",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "maxout",
    "mse_loss",
    "multi_margin_loss",
    "perceptron_loss",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]
