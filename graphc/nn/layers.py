"""Layers that make their parameters: ``gc.nn.Conv2d(20, 5, padding=2, name="conv1")(x)``.

What a layer is told is what it has beside its input, whose sizes and dtype are taken from the tensor that it is called with. Its parameters
are called ``conv1.weight`` and ``conv1.bias``, its result ``conv1.out``; called again, it uses the same parameters. ``training=False``
leaves out dropout, and normalises batches by running statistics.
"""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

import graphc as gc
from graphc.nn.axes import refuse
from graphc.nn.convolution import conv1d, conv2d, conv3d, conv_transpose2d
from graphc.nn.linear import embedding, linear, maxout
from graphc.nn.noise import dropout, stochastic_depth
from graphc.nn.normalisation import batch_norm, group_norm, layer_norm
from graphc.nn.recurrent import gru, lstm, rnn

__all__ = [
    "GRU", "LSTM", "RNN", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "Dropout",
    "Embedding", "GroupNorm", "Layer", "LayerNorm", "Linear", "Maxout", "Sequential", "StochasticDepth",
]


class Layer(ABC):
    """What has a name, and parameters that are made when it is first called.

    Attributes:
        name: in front of the names of its tensors.
        updates: new values for what it keeps beside parameters, as running statistics; pass them on to `graphc.compile`.
    """

    default: ClassVar[str] = "layer"

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.updates: dict[gc.Tensor, gc.Tensor] = {}
        self._parameters: dict[str, gc.Tensor] = {}

    @abstractmethod
    def __call__(self, x: gc.Tensor, *, training: bool = True) -> Any:
        """The result of the layer for a tensor."""

    def _name(self, part: str = "out") -> str:
        return f"{self.name or self.default}.{part}"

    def _parameter(self, part: str, x: gc.Tensor, *shape: Any, init: Any) -> gc.Tensor:
        """The parameter of that name, in the dtype of x."""
        known = self._parameters.get(part)
        if known is None:
            dtype = x.dtype if "float" in x.dtype else None
            known = self._parameters[part] = gc.parameter(self._name(part), *shape, init=init, dtype=dtype)
        elif any(str(a) != str(b) for a, b in zip(known.shape, shape, strict=True)):
            wanted = f"({', '.join(map(str, shape))})"
            raise refuse(type(self).__name__, f"{known!r} of {self.name or self.default} would need the shape {wanted} for {x!r}", x.name,
                         "make another layer for inputs of another size.")
        return known


class Linear(Layer):
    """`linear` to `out_features`; weight and bias begin uniformly in ±1/√(number of inputs), as PyTorch's.

    >>> import graphc as gc
    >>> y = gc.nn.Linear(500, name="fc1")(gc.tensor("x", gc.dim("N"), 2450))
    >>> gc.parameters(y)
    [fc1.weight(500, 2450), fc1.bias(500)]
    """

    default = "linear"

    def __init__(self, out_features: int, bias: bool = True, *, init: Any = "fan_in_uniform", name: str | None = None) -> None:
        super().__init__(name)
        self.out_features, self.bias, self.init = out_features, bias, init

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        weight = self._parameter("weight", x, self.out_features, x.shape[-1], init=self.init)
        bias = self._parameter("bias", x, self.out_features, init=_bias(x.shape[-1])) if self.bias else None
        return linear(x, weight, bias, name=self._name())


class Maxout(Layer):
    """`maxout` to `out_features`, the largest of several `pieces`."""

    default = "maxout"

    def __init__(self, out_features: int, pieces: int = 2, *, name: str | None = None) -> None:
        super().__init__(name)
        self.out_features, self.pieces = out_features, pieces

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        start = _bias(x.shape[-1])
        weight = self._parameter("weight", x, self.pieces, self.out_features, x.shape[-1], init=start)
        return maxout(x, weight, self._parameter("bias", x, self.pieces, self.out_features, init=start), name=self._name())


class Embedding(Layer):
    """`embedding` in a table that begins with normal numbers."""

    default = "embedding"

    def __init__(self, num_embeddings: Any, embedding_dim: Any, *, init: Any = "normal", name: str | None = None) -> None:
        super().__init__(name)
        self.shape, self.init = (num_embeddings, embedding_dim), init

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        return embedding(x, self._parameter("weight", x, *self.shape, init=self.init), name=self._name())


class _Convolution(Layer):
    default = "conv"
    rank: ClassVar[int]
    function: ClassVar[Callable[..., gc.Tensor]]

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        *, init: Any = "fan_in_uniform", name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.out_channels, self.bias, self.init = out_channels, bias, init
        self.kernel_size = tuple(kernel_size) if isinstance(kernel_size, Sequence) else (kernel_size,) * self.rank
        self.options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        channels = x.shape[1] if self.options["groups"] == 1 else x.shape[1] // self.options["groups"]
        weight = self._parameter("weight", x, self.out_channels, channels, *self.kernel_size, init=self.init)
        start = _bias(channels * math.prod(self.kernel_size))
        bias = self._parameter("bias", x, self.out_channels, init=start) if self.bias else None
        return type(self).function(x, weight, bias, **self.options, name=self._name())


class Conv1d(_Convolution):
    """`conv1d` with `out_channels` filters."""

    rank, function = 1, staticmethod(conv1d)


class Conv2d(_Convolution):
    """`conv2d` with `out_channels` filters; weight and bias begin uniformly in ±1/√(channels·kh·kw), as PyTorch's.

    >>> import graphc as gc
    >>> y = gc.nn.Conv2d(20, 5, padding=2, name="conv1")(gc.tensor("x", gc.dim("N"), 1, 28, 28))
    >>> y.shape, gc.parameters(y)
    ((N, 20, 28, 28), [conv1.weight(20, 1, 5, 5), conv1.bias(20)])
    """

    rank, function = 2, staticmethod(conv2d)


class Conv3d(_Convolution):
    """`conv3d` with `out_channels` filters."""

    rank, function = 3, staticmethod(conv3d)


class ConvTranspose2d(Layer):
    """`conv_transpose2d` to `out_channels`."""

    default = "conv"

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
        bias: bool = True, dilation: Any = 1, *, init: Any = "fan_in_uniform", name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.out_channels, self.bias, self.init = out_channels, bias, init
        self.kernel_size = tuple(kernel_size) if isinstance(kernel_size, Sequence) else (kernel_size,) * 2
        self.options = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups, "dilation": dilation}

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        each = self.out_channels // self.options["groups"]
        weight = self._parameter("weight", x, x.shape[1], each, *self.kernel_size, init=self.init)
        start = _bias(each * math.prod(self.kernel_size))
        bias = self._parameter("bias", x, self.out_channels, init=start) if self.bias else None
        return conv_transpose2d(x, weight, bias, **self.options, name=self._name())


class _BatchNorm(Layer):
    """`batch_norm`; in training it puts the new running statistics into `updates`."""

    default = "norm"

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, *, name: str | None = None) -> None:
        super().__init__(name)
        self.eps, self.momentum, self.affine = eps, momentum, affine

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        mean, var, weight, bias = (
            self._parameter(part, x, x.shape[1], init=init) if self.affine or part.startswith("running") else None
            for part, init in (("running_mean", "zeros"), ("running_var", "ones"), ("weight", "ones"), ("bias", "zeros"))
        )
        return batch_norm(x, mean, var, weight, bias, training, self.momentum, self.eps, name=self._name(),
                                        updates=self.updates)


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__


class BatchNorm3d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__


class LayerNorm(Layer):
    """`layer_norm` over the last dimension, or over those of `normalized_shape`."""

    default = "norm"

    def __init__(self, normalized_shape: Any = None, eps: float = 1e-5, *, name: str | None = None) -> None:
        super().__init__(name)
        self.shape, self.eps = normalized_shape, eps

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        shape = (x.shape[-1],) if self.shape is None else self.shape if isinstance(self.shape, tuple | list) else (self.shape,)
        weight, bias = self._parameter("weight", x, *shape, init="ones"), self._parameter("bias", x, *shape, init="zeros")
        return layer_norm(x, shape, weight, bias, self.eps, name=self._name())


class GroupNorm(Layer):
    """`group_norm` in `num_groups` groups."""

    default = "norm"

    def __init__(self, num_groups: int, eps: float = 1e-5, *, name: str | None = None) -> None:
        super().__init__(name)
        self.num_groups, self.eps = num_groups, eps

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        weight, bias = self._parameter("weight", x, x.shape[1], init="ones"), self._parameter("bias", x, x.shape[1], init="zeros")
        return group_norm(x, self.num_groups, weight, bias, self.eps, name=self._name())


class Dropout(Layer):
    """`dropout`, by the key and the name of the layer; nothing unless training."""

    default = "dropout"
    function: ClassVar[Callable[..., gc.Tensor]] = staticmethod(dropout)

    def __init__(self, p: float = 0.5, key: Any = 0, *, name: str | None = None) -> None:
        super().__init__(name)
        self.p, self.key = p, key

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        key = (self.key, zlib.crc32(self._name().encode()))
        return type(self).function(x, self.p, key, name=self._name()) if training else x


class StochasticDepth(Dropout):
    """`stochastic_depth`, by the key and the name of the layer; nothing unless training."""

    default = "depth"
    function = staticmethod(stochastic_depth)


class _Recurrent(Layer):
    gates: ClassVar[int]
    function: ClassVar[Callable[..., Any]]
    states: ClassVar[int] = 1

    def __init__(self, hidden_size: int, bias: bool = True, *, name: str | None = None) -> None:
        super().__init__(name)
        self.hidden_size, self.bias = hidden_size, bias

    def __call__(self, x: gc.Tensor, hx: Any = None, *, training: bool = True) -> Any:
        """All states and the last ones; `hx` are those before the first step, zeros by default."""
        size, rows = self.hidden_size, self.gates * self.hidden_size
        shapes: dict[str, tuple[Any, ...]] = {"weight_ih": (rows, x.shape[2]), "weight_hh": (rows, size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        weights = [self._parameter(part, x, *shape, init=("uniform", 1 / math.sqrt(size))) for part, shape in shapes.items()]
        before = [self._zeros(f"before{k}", x) for k in range(self.states)] if hx is None else [hx] if self.states == 1 else hx
        return type(self).function(x, *before, *weights, name=self._name())

    def _zeros(self, part: str, x: gc.Tensor) -> gc.Tensor:
        (b, i), zeros = gc.indices("b i"), gc.tensor(self._name(part), x.shape[1], self.hidden_size, dtype=x.dtype)
        zeros[b, i] = 0.0
        return zeros


class RNN(_Recurrent):
    """`rnn` with `hidden_size` states."""

    default, gates, function = "rnn", 1, staticmethod(rnn)


class LSTM(_Recurrent):
    """`lstm` with `hidden_size` states."""

    default, gates, function, states = "lstm", 4, staticmethod(lstm), 2


class GRU(_Recurrent):
    """`gru` with `hidden_size` states."""

    default, gates, function = "gru", 3, staticmethod(gru)


class Sequential(Layer):
    """One layer after the other; those without a name are called by kind and number: conv1, conv2, linear1.

    >>> import graphc as gc
    >>> net = gc.nn.Sequential(gc.nn.Linear(100), gc.nn.ReLU(), gc.nn.Linear(10))
    >>> gc.parameters(net(gc.tensor("x", gc.dim("N"), 784)))
    [linear1.weight(100, 784), linear1.bias(100), linear2.weight(10, 100), linear2.bias(10)]
    """

    default = "block"

    def __init__(self, *layers: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name)
        self.layers = layers

    def __call__(self, x: gc.Tensor, *, training: bool = True) -> gc.Tensor:
        counts: dict[str, int] = {}
        for layer in self.layers:
            if not isinstance(layer, Layer):
                x = layer(x)
                continue
            counts[layer.default] = counts.get(layer.default, 0) + 1
            if layer.name is None:
                layer.name = f"{self.name + '.' if self.name else ''}{layer.default}{counts[layer.default]}"
            x = layer(x, training=training)
            self.updates |= layer.updates
        return x


def _bias(inputs: Any) -> Any:
    """PyTorch's initialiser of a bias; where the number of inputs is not known yet, zeros."""
    return ("uniform", 1 / math.sqrt(inputs)) if isinstance(inputs, int | np.integer) and inputs else "zeros"
