"""Arrays of other libraries on the host: read and written where they are, and results of the caller's kind.

PyTorch and JAX are known by their types; neither is imported here. Everything else is known by what it offers: ``__array_interface__``,
the buffer protocol, DLPack, ``__array__``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.errors import ArgumentError, GraphcError
from graphc.runtime.device import library_of, on_device

__all__ = ["changed", "given_back", "library", "viewed", "writable_view"]

Array = NDArray[Any]
_REFUSED = (TypeError, ValueError, RuntimeError, BufferError, AttributeError)
"""What libraries raise instead of showing an array."""


def library(values: Iterable[Any]) -> str:
    """Whose arrays results should be: "torch" if one of the values is PyTorch's, else "jax" if one is JAX's, else "" for NumPy."""
    found = {library_of(value) for value in values}
    return next((name for name in ("torch", "jax") if name in found), "")


def viewed(name: str, value: Any) -> Array:
    """The array behind an argument: its own memory, unless its library has no way to show that.

    Args:
        name: of the argument.
        value: an array of any library on the host, or anything with one of the protocols.

    Raises:
        ArgumentError: it is no array, lies elsewhere, or its library does not show it.
    """
    if on_device(value):
        raise ArgumentError(f"The argument {name} is on a GPU, but the program is compiled for the host.",
                            fix=f'compile with target="cuda", or copy {name} to the host.')
    try:
        shown = _shown(name, value)
    except GraphcError as error:
        if type(error) is ArgumentError:
            raise
        raise ArgumentError(f"The argument {name} is a part of a program ({value!r}), not an array.", fix="pass a NumPy array.") from None
    except _REFUSED as error:
        raise ArgumentError(f"The argument {name} of type {type(value).__name__} cannot become a NumPy array: {error}",
                            fix="pass a NumPy array.") from None
    if shown is None:
        raise ArgumentError(f"The argument {name} is a {type(value).__name__}, not an array.", fix="pass a NumPy array.")
    return shown


def _shown(name: str, value: Any) -> Array | None:
    """The array; None if it is none."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    kind = library_of(value)
    if kind == "torch":
        return _of_torch(name, value)
    if "jax" in sys.modules and isinstance(value, sys.modules["jax"].core.Tracer):
        raise ArgumentError(f"The argument {name} is traced by JAX (jit, grad, vmap), so it has no values yet.",
                            fix="make a function of JAX of the program with gc.to_jax(outputs, inputs=[…]).")
    if kind == "jax" or not hasattr(value, "__array__"):
        return np.asarray(value) if kind else _shared(value)
    with contextlib.suppress(*_REFUSED):
        if (shared := _shared(value)) is not None:
            return shared
    return np.asarray(value)


def _shared(value: Any) -> Array | None:
    """An array in the memory of an object with a protocol that tells where that is; None without one."""
    if hasattr(value, "__array_interface__"):
        return np.asarray(value)
    try:
        buffer = memoryview(value)
    except TypeError:
        return np.from_dlpack(value) if hasattr(value, "__dlpack__") else None
    return np.asarray(buffer)


def _of_torch(name: str, value: Any) -> Array:
    torch = sys.modules["torch"]
    if value.requires_grad and torch.is_grad_enabled():
        raise ArgumentError(f"The argument {name} requires a gradient, but PyTorch does not see what a compiled program computes.",
                            fix=f"make a function of PyTorch with gc.to_torch(outputs, inputs=[…]), or pass {name}.detach().")
    array: Array = value.detach().resolve_neg().numpy()
    return array


def writable_view(name: str, value: Any) -> Array | None:
    """An array in the memory of something that a program is to write; None if it is no array that shares its memory.

    Raises:
        ArgumentError: it is PyTorch's and requires a gradient.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic | int | float | list | tuple) or on_device(value):
        return None
    if library_of(value) == "torch" and value.is_neg():
        return None  # its memory holds the negative numbers
    try:
        array = _shown(name, value) if library_of(value) else _shared(value)
    except _REFUSED:
        return None
    return array


def changed(value: Any) -> None:
    """Tell the library of an array that its elements are others now: PyTorch refuses a backward pass that still needs the old ones."""
    if library_of(value) == "torch" and not value.is_inference():
        sys.modules["torch"].autograd.graph.increment_version(value)


def given_back(array: Array, kind: str) -> Any:
    """A result as an array of the caller's library, in the same memory where the library can have it.

    Args:
        array: nobody else's.
        kind: as `library` tells.
    """
    if kind == "torch":
        return sys.modules["torch"].from_numpy(array)
    if kind == "jax":
        with _all_types(array.dtype.itemsize):
            return sys.modules["jax"].dlpack.from_dlpack(array)
    return array


def _all_types(itemsize: int) -> contextlib.AbstractContextManager[Any]:
    """JAX makes arrays of 64 bits only if it is told to."""
    jax: Any = sys.modules["jax"]
    return jax.enable_x64(True) if itemsize == 8 else contextlib.nullcontext()
