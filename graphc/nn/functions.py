"""Layers without parameters, for `graphc.nn.Sequential`: each keeps the arguments of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import graphc as gc
from graphc.nn.activations import elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh
from graphc.nn.layer import Layer, check_arguments
from graphc.nn.linear import flatten
from graphc.nn.pooling import adaptive_avg_pool2d, avg_pool2d, fractional_max_pool2d, max_pool2d

__all__ = [
    "ELU", "GELU", "AdaptiveAvgPool2d", "AvgPool2d", "Flatten", "FractionalMaxPool2d", "LeakyReLU", "LogSoftmax", "MaxPool2d", "ReLU",
    "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]


class _Function(Layer):
    function: ClassVar[Callable[..., gc.Tensor]]

    def __init__(self, *arguments: Any, name: str | None = None, **options: Any) -> None:
        super().__init__(name)
        self.arguments, self.options = arguments, options
        check_arguments(type(self).__name__, type(self).function, arguments, options)

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        return type(self).function(x, *self.arguments, name=self.name or self.default, **self.options)


def _layer(name: str, default: str, function: Callable[..., gc.Tensor]) -> Any:
    text = f"`{function.__name__}` with these arguments."
    return type(name, (_Function,), {"default": default, "function": staticmethod(function), "__doc__": text, "__module__": __name__})


ReLU = _layer("ReLU", "relu", relu)
LeakyReLU = _layer("LeakyReLU", "relu", leaky_relu)
ELU = _layer("ELU", "elu", elu)
GELU = _layer("GELU", "gelu", gelu)
SiLU = _layer("SiLU", "silu", silu)
Sigmoid = _layer("Sigmoid", "sigmoid", sigmoid)
Tanh = _layer("Tanh", "tanh", tanh)
Softplus = _layer("Softplus", "softplus", softplus)
Softmax = _layer("Softmax", "softmax", softmax)
LogSoftmax = _layer("LogSoftmax", "log_softmax", log_softmax)
MaxPool2d = _layer("MaxPool2d", "pool", max_pool2d)
AvgPool2d = _layer("AvgPool2d", "pool", avg_pool2d)
AdaptiveAvgPool2d = _layer("AdaptiveAvgPool2d", "pool", adaptive_avg_pool2d)
FractionalMaxPool2d = _layer("FractionalMaxPool2d", "pool", fractional_max_pool2d)
Flatten = _layer("Flatten", "flatten", flatten)
