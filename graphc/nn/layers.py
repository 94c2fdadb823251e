"""Layers that make their parameters: ``gc.nn.Conv2d(20, 5, padding=2, name="conv1")(x)``.

What a layer is told is what it has beside its input, whose sizes and dtype are taken from the tensor that it is called with. Its parameters
are called ``conv1.weight`` and ``conv1.bias``, its result ``conv1.out``; called again, it uses the same parameters. ``training=False``
leaves out dropout, and normalises batches by running statistics.

What a layer keeps beside parameters, running statistics and the number of the step in which it drops out, is in its ``updates``:
``gc.compile(loss, updates=gc.optim.adam(loss) | net.updates)``. Each call in training is one update more, as in PyTorch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np

import graphc as gc
from graphc.nn.axes import check_groups, check_rank, extents, per_dimension, refuse
from graphc.nn.convolution import conv1d, conv2d, conv3d, conv_transpose2d
from graphc.nn.layer import Layer, check_arguments
from graphc.nn.linear import embedding, linear, maxout
from graphc.nn.noise import dropout, stochastic_depth
from graphc.nn.normalisation import batch_norm, group_norm, layer_norm
from graphc.nn.recurrent import gru, lstm, rnn

__all__ = [
    "GRU", "LSTM", "RNN", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "Dropout",
    "Embedding", "GroupNorm", "LayerNorm", "Linear", "Maxout", "StochasticDepth",
]


class _Made(Layer):
    """A layer that takes sizes from its input, and says so to who passes them as PyTorch wants them."""

    taken: ClassVar[str] = ""

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        if cls.__module__ == __name__:
            check_arguments(cls.__name__, cls.__init__, arguments, options, f"; {cls.taken} is taken from x" if cls.taken else "")
        return super().__new__(cls, *arguments, **options)

    def _check_flags(self, example: str, /, **flags: Any) -> None:
        """Refuse what is neither True nor False; `example` are the arguments that may have been meant."""
        for name, value in flags.items():
            if not isinstance(value, bool | np.bool_):
                raise self._refusal(f"{name}={value!r}", "is neither True nor False", f"give True or False; {self.taken}", example)

    def _check_eps(self, eps: Any, example: str = "") -> None:
        """Refuse what is too large to be added to a variance, such as a number of channels."""
        if isinstance(eps, bool) or not isinstance(eps, Real) or not 0 <= float(eps) < 1:
            raise self._refusal(f"eps={eps!r}", "is no number that is at least 0 and less than 1", self.taken, example)

    def _refusal(self, given: str, fault: str, fix: str, example: str) -> gc.ArgumentError:
        kind = type(self).__name__
        return refuse(kind, f"{given} {fault}", given, f"{fix} is taken from x: gc.nn.{kind}({example}).")


class Linear(_Made):
    """`linear` to `out_features`; weight and bias begin uniformly in ±1/√(number of inputs), as PyTorch's.

    >>> import graphc as gc
    >>> y = gc.nn.Linear(500, name="fc1")(gc.tensor("x", gc.dim("N"), 2450))
    >>> gc.parameters(y)
    [fc1.weight(500, 2450), fc1.bias(500)]
    """

    default, taken = "linear", "the number of inputs"

    def __init__(self, out_features: int, bias: bool = True, *, init: Any = "fan_in_uniform", name: str | None = None) -> None:
        super().__init__(name)
        self._check_flags(_meant(bias, out_features), bias=bias)
        self._check(out_features=out_features)
        self.out_features, self.bias, self.init = out_features, bias, init

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        weight = self.parameter("weight", x, self.out_features, x.shape[-1], init=self.init)
        bias = self.parameter("bias", x, self.out_features, init=_bias(x.shape[-1])) if self.bias else None
        return linear(x, weight, bias, name=self._name())


class Maxout(_Made):
    """`maxout` to `out_features`, the largest of several `pieces`."""

    default, taken = "maxout", "the number of inputs"

    def __init__(self, out_features: int, pieces: int = 2, *, name: str | None = None) -> None:
        super().__init__(name)
        self._check(out_features=out_features, pieces=pieces)
        self.out_features, self.pieces = out_features, pieces

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        start = _bias(x.shape[-1])
        weight = self.parameter("weight", x, self.pieces, self.out_features, x.shape[-1], init=start)
        return maxout(x, weight, self.parameter("bias", x, self.pieces, self.out_features, init=start), name=self._name())


class Embedding(_Made):
    """`embedding` in a table that begins with normal numbers; those of the row `padding_idx`, which is not trained, are 0."""

    default = "embedding"

    def __init__(
        self, num_embeddings: Any, embedding_dim: Any, padding_idx: int | None = None, *, init: Any = "normal", name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._check(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.shape, self.padding_idx, self.init = (num_embeddings, embedding_dim), padding_idx, init

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        init = self.init if self.padding_idx is None or self.init != "normal" else self._padded
        return embedding(x, self.parameter("weight", x, *self.shape, init=init), self.padding_idx, name=self._name())

    def _padded(self, shape: tuple[int, ...], generator: np.random.Generator) -> Any:
        """Normal numbers, and zeros in the row of what fills up."""
        table = generator.standard_normal(shape)
        table[self.padding_idx] = 0
        return table


class _Convolution(_Made):
    default, taken = "conv", "the number of channels"
    rank: ClassVar[int]
    function: ClassVar[Callable[..., gc.Tensor]]

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", *, init: Any = "fan_in_uniform", name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._check_flags("out_channels, kernel_size, …", bias=bias)
        self._check(out_channels=out_channels)
        self.out_channels, self.bias, self.init = out_channels, bias, init
        self.kernel_size = per_dimension(type(self).__name__, "kernel_size", kernel_size, self.rank)
        self.options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": padding_mode}

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        check_rank(type(self).__name__, x, self.rank + 2, self.rank + 2)
        groups = check_groups(type(self).__name__, self.options["groups"], channels=x.shape[1], filters=self.out_channels)
        channels = x.shape[1] if groups == 1 else x.shape[1] // groups
        weight = self.parameter("weight", x, self.out_channels, channels, *self.kernel_size, init=self.init)
        start = _bias(channels * math.prod(self.kernel_size))
        bias = self.parameter("bias", x, self.out_channels, init=start) if self.bias else None
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


class ConvTranspose2d(_Made):
    """`conv_transpose2d` to `out_channels`."""

    default, taken = "conv", "the number of channels"

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
        bias: bool = True, dilation: Any = 1, *, init: Any = "fan_in_uniform", name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._check_flags("out_channels, kernel_size, …", bias=bias)
        self._check(out_channels=out_channels)
        self.out_channels, self.bias, self.init = out_channels, bias, init
        self.kernel_size = per_dimension("ConvTranspose2d", "kernel_size", kernel_size, 2)
        self.options = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups, "dilation": dilation}

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        check_rank("ConvTranspose2d", x, 4, 4)
        each = self.out_channels // check_groups("ConvTranspose2d", self.options["groups"], channels=x.shape[1], filters=self.out_channels)
        weight = self.parameter("weight", x, x.shape[1], each, *self.kernel_size, init=self.init)
        start = _bias(each * math.prod(self.kernel_size))
        bias = self.parameter("bias", x, self.out_channels, init=start) if self.bias else None
        return conv_transpose2d(x, weight, bias, **self.options, name=self._name())


class _BatchNorm(_Made):
    """`batch_norm`; in training it puts the new running statistics into `updates`."""

    default, taken = "norm", "the number of channels"
    ranks: ClassVar[tuple[int, int]]

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, *, name: str | None = None) -> None:
        super().__init__(name)
        self._check_eps(eps)
        self._check_flags("", affine=affine)
        self.eps, self.momentum, self.affine = eps, momentum, affine

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        check_rank(type(self).__name__, x, *self.ranks)
        mean, var, weight, bias = (
            self.parameter(part, x, x.shape[1], init=init) if self.affine or part.startswith("running") else None
            for part, init in (("running_mean", "zeros"), ("running_var", "ones"), ("weight", "ones"), ("bias", "zeros"))
        )
        return batch_norm(x, mean, var, weight, bias, training, self.momentum, self.eps, name=self._name(), updates=self.updates)


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (4, 4)


class BatchNorm3d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (5, 5)


class LayerNorm(_Made):
    """`layer_norm` over the last dimension, or over those of `normalized_shape`."""

    default, taken = "norm", "the last extent"

    def __init__(
        self, normalized_shape: Any = None, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
        *, name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._check_eps(eps)
        self._check_flags("", elementwise_affine=elementwise_affine, bias=bias)
        self.shape = None if normalized_shape is None else extents("LayerNorm", "normalized_shape", normalized_shape)
        self.eps, self.affine, self.bias = eps, elementwise_affine, elementwise_affine and bias

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        shape = (x.shape[-1],) if self.shape is None else self.shape
        weight = self.parameter("weight", x, *shape, init="ones") if self.affine else None
        bias = self.parameter("bias", x, *shape, init="zeros") if self.bias else None
        return layer_norm(x, shape, weight, bias, self.eps, name=self._name())


class GroupNorm(_Made):
    """`group_norm` in `num_groups` groups."""

    default, taken = "norm", "the number of channels"

    def __init__(self, num_groups: int, eps: float = 1e-5, affine: bool = True, *, name: str | None = None) -> None:
        super().__init__(name)
        self._check(num_groups=num_groups)
        self._check_eps(eps, repr(num_groups))
        self._check_flags(repr(num_groups), affine=affine)
        self.num_groups, self.eps, self.affine = num_groups, eps, affine

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        weight, bias = (self.parameter(part, x, x.shape[1], init=init) if self.affine else None
                        for part, init in (("weight", "ones"), ("bias", "zeros")))
        return group_norm(x, self.num_groups, weight, bias, self.eps, name=self._name())


class Dropout(_Made):
    """`dropout`, by a key and the name of the layer; nothing unless training.

    Without a key the layer counts steps, so that each leaves out something else: the number is in `updates`.
    """

    default = "dropout"
    function: ClassVar[Callable[..., gc.Tensor]] = staticmethod(dropout)

    def __init__(self, p: float = 0.5, key: Any = None, *, name: str | None = None) -> None:
        super().__init__(name)
        self.p, self.key = p, key
        self._step: gc.Tensor | None = None

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        if not training:
            return x
        key = (self._counted() if self.key is None else self.key, zlib.crc32(self._name().encode()))
        return type(self).function(x, self.p, key, name=self._name())

    def _counted(self) -> gc.Tensor:
        """The number of the step, or of the call of the layer if it is called several times in a step."""
        if self._step is None:
            self._step = gc.tensor(self._name("step"), (), dtype="int64")
        now, then = self.updates.get(self._step, self._step), gc.tensor(self._name("step.new"), dtype="int64")
        then[()] = now[()] + 1
        self.updates[self._step] = then
        return now


class StochasticDepth(Dropout):
    """`stochastic_depth`, by a key as that of `Dropout`; nothing unless training."""

    default = "depth"
    function = staticmethod(stochastic_depth)


class _Recurrent(_Made):
    taken = "the size of the input"
    gates: ClassVar[int]
    function: ClassVar[Callable[..., Any]]
    states: ClassVar[int] = 1

    def __init__(self, hidden_size: int, bias: bool = True, *, name: str | None = None) -> None:
        super().__init__(name)
        self._check_flags(_meant(bias, hidden_size), bias=bias)
        self._check(hidden_size=hidden_size)
        self.hidden_size, self.bias = hidden_size, bias
        self.options: dict[str, Any] = {}

    def apply(self, x: gc.Tensor, hx: Any = None, *, training: bool) -> Any:
        """All states and the last ones; `hx` are those before the first step, zeros by default."""
        check_rank(type(self).__name__, x, 3, 3)
        size, rows = self.hidden_size, self.gates * self.hidden_size
        shapes: dict[str, tuple[Any, ...]] = {"weight_ih": (rows, x.shape[2]), "weight_hh": (rows, size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        weights = [self.parameter(part, x, *shape, init=("uniform", 1 / math.sqrt(size))) for part, shape in shapes.items()]
        before = [self._zeros(f"before{k}", x) for k in range(self.states)] if hx is None else self._before(hx)
        return type(self).function(x, *before, *weights, **self.options, name=self._name())

    def _before(self, hx: Any) -> list[gc.Tensor]:
        """The states that were given, as many as the layer has."""
        given = list(hx) if isinstance(hx, tuple | list) else [hx]
        if len(given) != self.states or (self.states == 1 and given[0] is not hx):
            wanted, form = ("one state", "layer(x, h0)") if self.states == 1 else ("a pair of states", "layer(x, (h0, c0))")
            raise refuse(type(self).__name__, f"hx={hx!r} is not {wanted}", f"hx={hx!r}", f"write {form}.")
        return given

    def _zeros(self, part: str, x: gc.Tensor) -> gc.Tensor:
        (b, i), zeros = gc.indices("b i"), gc.tensor(self._name(part), x.shape[1], self.hidden_size, dtype=x.dtype)
        zeros[b, i] = 0.0
        return zeros


class RNN(_Recurrent):
    """`rnn` with `hidden_size` states."""

    default, gates, function = "rnn", 1, staticmethod(rnn)

    def __init__(self, hidden_size: int, nonlinearity: str = "tanh", bias: bool = True, *, name: str | None = None) -> None:
        super().__init__(hidden_size, bias, name=name)
        if nonlinearity not in ("tanh", "relu"):
            raise self._refusal(f"nonlinearity={nonlinearity!r}", "is unknown", f'use "tanh" or "relu"; {self.taken}',
                                _meant(nonlinearity, hidden_size))
        self.options = {"nonlinearity": nonlinearity}


class LSTM(_Recurrent):
    """`lstm` with `hidden_size` states."""

    default, gates, function, states = "lstm", 4, staticmethod(lstm), 2


class GRU(_Recurrent):
    """`gru` with `hidden_size` states."""

    default, gates, function = "gru", 3, staticmethod(gru)


def _meant(value: Any, size: Any) -> str:
    """The size that may have been meant by two arguments, of which PyTorch's layers call the first that of the input."""
    return repr(size if value is None or isinstance(value, bool | float | str) else value)


def _bias(inputs: Any) -> Any:
    """PyTorch's initialiser of a bias; where the number of inputs is not known yet, zeros."""
    return ("uniform", 1 / math.sqrt(inputs)) if isinstance(inputs, int | np.integer) and inputs else "zeros"
