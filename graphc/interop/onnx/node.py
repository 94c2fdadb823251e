"""What an operator sees of its node: operands as tensors, numbers or constants, attributes, and a name for its result."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gc

__all__ = ["Constant", "Kind", "Node", "Operand", "Scope", "Unsupported", "axes_of", "free_name", "indices", "legible", "plain"]


class Unsupported(Exception):
    """A node asks for what cannot be imported; the message is a line of the list of what is missing."""


@dataclass(frozen=True)
class Constant:
    """What is known when the file is read: numbers of a Constant node, an initializer, or extents (then elements may be sizes)."""

    array: NDArray[Any]
    weight: bool = False
    """Whether it is an initializer of the file."""


@dataclass(frozen=True)
class Kind:
    """What is known of a value from the types and shapes of the file alone; None for what is not."""

    dtype: str | None
    shape: tuple[int | None, ...] | None


Operand = gc.Tensor | float | int | bool


@dataclass
class Scope:
    """The values of the file by name, and the tensors that have been made."""

    opset: int
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    values: dict[str, Constant | gc.Tensor | None] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    made: dict[str, gc.Tensor] = field(default_factory=dict)

    def name(self, wanted: str, given: bool = False) -> str:
        """A name for a tensor: the one of the file where that is possible; a tensor that is given to a call cannot be called out."""
        name = legible(wanted)
        return free_name("_out" if given and name == "out" else name, self.taken)

    def tensor(self, name: str, trained: bool) -> gc.Tensor:
        """A value as a tensor; a constant becomes a parameter (an initializer of floats) or an input, with its array."""
        value = self.values[name]
        if isinstance(value, gc.Tensor):
            return value
        if name not in self.made:
            assert value is not None
            array = np.asarray(value.array, order="C") if value.array.dtype != object else _numbers(value.array)
            called, dtype = self.name(name, given=True), _dtype(array.dtype, name)
            weight = trained and value.weight and array.dtype.kind == "f"
            shape = tuple(array.shape)
            self.made[name] = gc.parameter(called, shape, init="zeros", dtype=dtype) if weight else gc.tensor(called, shape, dtype=dtype)
            self.arrays[called] = array
        return self.made[name]


@dataclass
class Node:
    """One node of the graph.

    Attributes:
        kind: the operator.
        inputs: names, "" for what is left out.
        outputs: names, "" for what nobody wants.
        attributes: by name.
        scope: the values of the file.
        label: how a message calls it.
    """

    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    scope: Scope
    label: str = ""

    @cached_property
    def name(self) -> str:
        """The name of the first result."""
        return self.scope.name(self.outputs[0])

    @property
    def dtype(self) -> str | None:
        """Of the first result, where the file tells."""
        kind = self.scope.kinds.get(self.outputs[0])
        return kind.dtype if kind else None

    def result(self, shape: Sequence[Any]) -> gc.Tensor:
        """A tensor for the first result, of the type that the file tells."""
        return gc.tensor(self.name, tuple(shape), dtype=self.dtype) if self.dtype else gc.tensor(self.name)

    def has(self, k: int) -> bool:
        return k < len(self.inputs) and self.inputs[k] != ""

    def tensor(self, k: int, trained: bool = True) -> gc.Tensor:
        return self.scope.tensor(self.inputs[k], trained)

    def optional(self, k: int) -> gc.Tensor | None:
        return self.tensor(k) if self.has(k) else None

    def operands(self, *places: int) -> list[Operand]:
        """Tensors that are broadcast; a constant of one element as a number, where another operand has its dimension."""
        values = [self.scope.values[self.inputs[k]] for k in places]
        small = [isinstance(v, Constant) and v.array.size == 1 and v.array.ndim < 2 and not (v.weight and v.array.ndim) for v in values]
        rank = max((_rank(v) for v, number in zip(values, small, strict=True) if not number), default=0)
        return [v.array.item() if isinstance(v, Constant) and number and v.array.ndim <= rank else self.tensor(k)
                for k, v, number in zip(places, values, small, strict=True)]

    def constant(self, k: int) -> NDArray[Any]:
        """An operand that must be known.

        Raises:
            Unsupported: it is computed.
        """
        value = self.scope.values[self.inputs[k]]
        if not isinstance(value, Constant):
            raise Unsupported(f"input {k} ({self.inputs[k]}) is computed, and must be a constant")
        return value.array

    def given(self, attribute: str, k: int, default: Any = None) -> Any:
        """What older files have as an attribute and newer ones as a constant input."""
        if attribute in self.attributes:
            return self.attributes[attribute]
        return plain(self.constant(k)) if self.has(k) else default

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


def plain(array: NDArray[Any]) -> Any:
    """A constant as a Python number, or a list of them."""
    return array.tolist()


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, with a number behind it if it is taken; it is taken from now on."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name


def legible(name: str) -> str:
    """A name of an ONNX file as one of the notation.

    >>> legible("conv1.weight"), legible("/conv1/Conv_output_0"), legible("onnx::Gemm_12"), legible("input.1")
    ('conv1.weight', 'conv1.Conv_output_0', 'onnx.Gemm_12', 'input_1')
    """
    parts = [re.sub(r"\W", "_", part) for part in re.split(r"[/.:]+(?!\d)", name) if part]
    return ".".join(f"_{p}" if p[0].isdigit() or keyword.iskeyword(p) else p for p in parts) or "value"


def indices(rank: int) -> tuple[Any, ...]:
    """One index per dimension.

    Raises:
        Unsupported: there are more than 8.
    """
    if rank > 8:
        raise Unsupported(f"{rank} dimensions (8 at most)")
    return tuple(gc.index("ijklmnop"[d]) for d in range(rank))


def axes_of(axes: Sequence[int] | int | None, rank: int) -> list[int]:
    """Dimensions counted from 0, in the order given; all of them for None.

    Raises:
        Unsupported: there is no such dimension, or one is given twice.
    """
    if axes is None:
        return list(range(rank))
    found = [axes] if isinstance(axes, int) else [int(a) for a in axes]
    if any(not -rank <= a < max(rank, 1) for a in found):
        raise Unsupported(f"axes {found} do not exist in a tensor of {rank} dimensions")
    counted = [a % max(rank, 1) for a in found]
    if len(set(counted)) < len(counted):
        raise Unsupported(f"axes {found} name one dimension twice")
    return counted


def _rank(value: Constant | gc.Tensor | None) -> int:
    return value.array.ndim if isinstance(value, Constant) else len(value.shape) if value is not None else 0


def _numbers(array: NDArray[Any]) -> NDArray[Any]:
    if not all(isinstance(v, int | np.integer) for v in array.flat):
        raise Unsupported("a size that is known only when the program runs is used as a number")
    return array.astype(np.int64)


def _dtype(dtype: np.dtype[Any], name: str) -> str:
    known = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
    if dtype.name not in known:
        raise Unsupported(f"{name} has the type {dtype.name}")
    return dtype.name
