"""What all layers have in common, and one layer after the other."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import graphc as gc
from graphc.nn.axes import check_extent, refuse
from graphc.requests import refusal

__all__ = ["Layer", "Sequential", "check_arguments"]


class Layer(ABC):
    """What has a name, and parameters that are made when it is first called.

    Attributes:
        name: in front of the names of its tensors.
        updates: new values for what it keeps beside parameters, as running statistics; pass them on to `graphc.compile`.
    """

    default: ClassVar[str] = "layer"
    _made_by: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        made = super().__new__(cls)
        made._made_by = arguments, options
        return made

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.updates: dict[gc.Tensor, gc.Tensor] = {}
        self._parameters: dict[str, gc.Tensor] = {}

    def __call__(self, x: gc.Tensor, *more: Any, training: bool = True, **others: Any) -> Any:
        """The result of the layer for a tensor; an error names the layer, unless it is about what the layer is given."""
        try:
            return self.apply(x, *more, training=training, **others)
        except gc.GraphcError as error:
            if not self.name or ", layer " in error.what or not _sound((x, *more, *others.values())):
                raise
            raise type(error)(f"{error.what.removesuffix('.')}, layer {self.name}.", at=error.at, fix=error.fix) from None

    def __repr__(self) -> str:
        arguments, options = self._made_by
        return f"{type(self).__name__}({', '.join((*map(repr, arguments), *(f'{name}={value!r}' for name, value in options.items())))})"

    @abstractmethod
    def apply(self, x: gc.Tensor, *, training: bool) -> Any:
        """The result of the layer for a tensor: what a layer of your own defines."""

    @classmethod
    def _check(cls, **extents: Any) -> None:
        """Refuse what is neither a positive integer nor a size."""
        for name, value in extents.items():
            check_extent(cls.__name__, name, value)

    def _name(self, part: str = "out") -> str:
        return f"{self.name or self.default}.{part}"

    def parameter(self, part: str, x: gc.Tensor, *shape: Any, init: Any) -> gc.Tensor:
        """The parameter of that name: made in the first call, in the dtype of x, and the same in later ones.

        Args:
            part: its name behind that of the layer.
            x: the input of the layer.
            shape: extents.
            init: as for `graphc.parameter`.

        Raises:
            ArgumentError: an earlier call made it with another shape.
        """
        known = self._parameters.get(part)
        if known is None:
            dtype = x.dtype if "float" in x.dtype else None
            known = self._parameters[part] = gc.parameter(self._name(part), *shape, init=init, dtype=dtype)
        elif any(str(a) != str(b) for a, b in zip(known.shape, shape, strict=True)):
            wanted = f"({', '.join(map(str, shape))})"
            raise refuse(type(self).__name__, f"{known!r} would need the shape {wanted} for {x!r}", x.name,
                         "make another layer for inputs of another size.")
        return known


def _sound(given: Any) -> bool:
    """Whether the definitions of the tensors in what a layer is given have shapes and types."""
    if isinstance(given, tuple | list):
        return all(map(_sound, given))
    if isinstance(given, gc.Tensor):
        try:
            return bool(given.dtype) and given.shape is not None
        except gc.GraphcError:
            return False
    return True


def check_arguments(layer: str, function: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any], more: str = "") -> None:
    """Refuse arguments that do not fit those of a function behind its first one.

    Args:
        layer: that they are given to.
        function, arguments, options: what they have to fit, and those by position and by name.
        more: behind the names of what it takes.

    Raises:
        ArgumentError: they do not.
    """
    known = inspect.signature(function)
    try:
        known.bind(None, *arguments, **options)
    except TypeError as error:
        given = ", ".join((*map(repr, arguments), *(f"{name}={value!r}" for name, value in options.items())))
        wanted = ", ".join(name for name in known.parameters if name not in ("self", "x", "name"))
        raise refusal(gc.ArgumentError, f"gc.nn.{layer}: {error}.", f"{layer}({given})", given or layer,
                      f"it takes {wanted or 'nothing but a name'}{more}.") from None


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
        for layer in layers:
            if isinstance(layer, type):
                raise refuse("Sequential", f"{layer.__name__} is a kind of layer, not a layer", layer.__name__,
                             f"make one: {layer.__name__}(…).")
            if not callable(layer):
                raise refuse("Sequential", f"{layer!r} is no layer", repr(layer), "pass layers, and functions of a tensor.")
        self.layers = layers

    def __repr__(self) -> str:
        rows = [f"({getattr(layer, 'name', None) or number}): {layer!r}" for number, layer in enumerate(self.layers)]
        return "Sequential(" + "".join("\n  " + row.replace("\n", "\n  ") for row in rows) + ("\n)" if rows else ")")

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        counts: dict[str, int] = {}
        for layer in self.layers:
            if not isinstance(layer, Layer):
                x = layer(x)
                continue
            if isinstance(x, tuple | list):
                kind = type(layer).__name__
                raise refuse("Sequential", f"{kind} gets {len(x)} tensors from what stands before it, and takes one", kind,
                             "choose one by a function between them: Sequential(LSTM(4), lambda results: results[0], Linear(3)).")
            counts[layer.default] = counts.get(layer.default, 0) + 1
            if layer.name is None:
                layer.name = f"{self.name + '.' if self.name else ''}{layer.default}{counts[layer.default]}"
            x = layer(x, training=training)
            self.updates |= layer.updates
        return x
