"""The user's arrays: what is accepted as an argument, and new ones for parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.calls.foreign import given_back, library, viewed, writable_view
from graphc.calls.memory import shown_bytes
from graphc.errors import ArgumentError, DtypeError
from graphc.interpret import size_value
from graphc.ir.dtypes import DTYPES
from graphc.ir.expr import Size
from graphc.ir.show import expression
from graphc.ir.tensor import Tensor
from graphc.ir.tree import sizes_of
from graphc.runtime.device import library_of
from graphc.runtime.memory import machine_memory

__all__ = ["HOST", "Host", "bound_array", "host_of", "mismatch", "new_array", "size_values"]

Array = NDArray[Any]
_NUMPY = {name: np.dtype(name) for name in DTYPES}


def bound_array(tensor: Tensor, value: Any) -> Array:
    """The array for an argument: the user's own memory where it has the tensor's dtype, an exact conversion of Python scalars and lists.

    Raises:
        ArgumentError: it is no array.
        DtypeError: it has another dtype, or a number does not fit into the tensor's.
    """
    name = tensor.name
    if type(value) is np.ndarray and value.dtype is _NUMPY[tensor.dtype]:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise ArgumentError(f"The argument {name} is a masked array; its mask has no meaning here.", fix="pass array.filled(value).")
    if isinstance(value, bool | int | float | list | tuple) and not isinstance(value, np.generic):
        return _exact(tensor, value)
    if library_of(value) == "torch" and (dtype := str(value.dtype).removeprefix("torch.")) != tensor.dtype:
        raise mismatch(tensor, dtype, value)  # before NumPy says that it has no such type
    array = viewed(name, value)
    if array.dtype == tensor.dtype or (isinstance(value, np.generic) and np.can_cast(array.dtype, tensor.dtype, "safe")):
        return array.astype(tensor.dtype, copy=False)
    raise mismatch(tensor, str(array.dtype), value)


def mismatch(tensor: Tensor, dtype: str, value: Any) -> DtypeError:
    """The error about an argument of another dtype; `value` may be numbers, which have none of their own."""
    name, wanted = tensor.name, tensor.dtype
    if isinstance(value, bool | int | float | list | tuple) and not isinstance(value, np.generic):
        ways = [f"pass values of dtype {wanted}"]
    elif library_of(value) == "torch":
        ways = [f"pass {name}.to(torch.{wanted})"]
    else:
        ways = [f'pass {name}.astype("{wanted}")' if hasattr(value, "astype") else f'pass np.asarray({name}, "{wanted}")']
    if dtype in DTYPES:
        ways.append(f'declare gc.tensor("{name}", …, dtype="{dtype}")')
    return DtypeError(f"The argument {name} has dtype {dtype}, but the tensor {name} has dtype {wanted}.", fix=", or ".join(ways) + ".")


def _exact(tensor: Tensor, value: Any) -> Array:
    """Python numbers as an array of the tensor's dtype, where that changes no integer and no bool, and makes no float infinite."""
    name, dtype = tensor.name, tensor.dtype
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ArgumentError(f"The argument {name} is a {type(value).__name__} that cannot become an array: {error}",
                            fix="pass a NumPy array, or lists of equal lengths.") from None
    if not array.size and array.dtype.kind == "f":
        return array.astype(dtype)
    if array.dtype.kind == "f" and dtype.startswith("float"):
        return _rounded(tensor, array)
    if array.dtype.kind in "biu" and (dtype.startswith("float") or (array.dtype.kind == "b") >= (dtype == "bool")):
        if dtype.startswith("float") or dtype == "bool":
            return array.astype(dtype)
        limits = np.iinfo(dtype)
        if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
            worst = int(array.min() if int(array.min()) < limits.min else array.max())
            raise DtypeError(f"The argument {name} contains {worst}, which does not fit into the dtype {dtype} of the tensor {name}.",
                             fix=f'declare gc.tensor("{name}", …, dtype="int64").')
        return array.astype(dtype)
    if array.dtype == object:
        raise ArgumentError(f"The argument {name} is a {type(value).__name__} that does not consist of numbers of at most 64 bits.",
                            fix="pass a NumPy array.")
    raise mismatch(tensor, str(array.dtype), value)


def _rounded(tensor: Tensor, array: Array) -> Array:
    """Floats as those of the tensor's dtype, none of which becomes infinite."""
    with np.errstate(over="ignore"):
        found = array.astype(tensor.dtype)
    beyond = np.isinf(found) & np.isfinite(array)
    if beyond.any():
        name, worst = tensor.name, float(array[beyond].flat[0])
        raise DtypeError(f"The argument {name} contains {worst}, which does not fit into the dtype {tensor.dtype} of the tensor {name}.",
                         fix=f'declare gc.tensor("{name}", …, dtype="float64").')
    return found


def _apart(array: Array) -> bool:
    """Whether no two elements lie in one place, as far as strides of growing size tell: those of slices and transposes do."""
    if array.flags.forc or not array.size:
        return True
    reach = array.itemsize
    for stride, extent in sorted((abs(stride), extent) for stride, extent in zip(array.strides, array.shape, strict=True) if extent > 1):
        if stride < reach:
            return False
        reach += stride * (extent - 1)
    return True


# -------------------------------------------------------------------------------------------------------------- one call


class Host:
    """The arrays of a call that lie on the host.

    Args:
        library: whose arrays results are, as `graphc.calls.foreign.library` tells.
    """

    def __init__(self, library: str = "") -> None:
        self._library = library

    @staticmethod
    def bound(tensors: Mapping[str, Tensor], given: Mapping[str, Any]) -> dict[str, Array]:
        """The array of every argument, as `bound_array`."""
        return {name: bound_array(tensor, given[name]) for name, tensor in tensors.items()}

    @staticmethod
    def array(name: str, value: Any) -> Array | None:
        """What can be written, for ``out=`` and updates; None if it is no array."""
        return writable_view(name, value)

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: str) -> str:
        """How to make a new one."""
        return f'np.empty({shape}, "{dtype}")'

    @staticmethod
    def fault(array: Array) -> str:
        """What keeps an array from being changed, element by element; empty if nothing does."""
        if not array.flags.writeable:
            return "read-only"
        return "" if _apart(array) else "several elements in one place"

    @staticmethod
    def key(array: Array) -> Any:
        """Equal for two arrays only if they lie in the same place, or own their memory, which then is nobody else's."""
        return id(array) if array.base is None else (array.__array_interface__["data"][0], array.shape, array.strides)

    @staticmethod
    def overlap(first: Array, second: Array, exactly: bool = False) -> bool:
        """Whether two arrays have memory in common; they may have, unless it is asked exactly."""
        return np.shares_memory(first, second) if exactly else np.may_share_memory(first, second)

    @staticmethod
    def copy(array: Array) -> Array:
        """A new array with the same elements."""
        return array.copy()

    @staticmethod
    def write(target: Array, value: Array) -> None:
        """Set the elements of the caller's array."""
        target[...] = value

    @staticmethod
    def run(runner: Any, arrays: dict[str, Array], sizes: dict[sp.Basic, int], out: dict[str, Array]) -> dict[str, Array]:
        """Compute the results, those in `out` in these arrays if possible."""
        results: dict[str, Array] = runner.run(arrays, sizes, out)
        return results

    def result(self, array: Array) -> Any:
        """What the caller gets."""
        return given_back(array, self._library) if self._library else array


HOST = Host()
"""Of callers who have arrays of NumPy, and of libraries whose kind is not kept."""

_HOSTS = {name: Host(name) for name in ("torch", "jax")}


def host_of(names: Iterable[str], given: Mapping[str, Any]) -> Host:
    """Whose call it is, by the arguments of these names."""
    for name in names:
        if type(given[name]) is not np.ndarray:
            return _HOSTS.get(library(given[name] for name in names), HOST)
    return HOST


# ------------------------------------------------------------------------------------------------------------- parameters


def new_array(tensor: Tensor, generator: np.random.Generator, sizes: Mapping[str, int]) -> Array:
    """A new array with the values of the tensor's initialiser; zeros without one.

    Glorot and Bengio (AISTATS 2010) and He et al. (ICCV 2015) with the first extent as outputs, the second as
    inputs; orthogonal rows or columns as Saxe et al. (ICLR 2014).

    Raises:
        ArgumentError: a size is missing or no size, the machine has no room, or the initialiser returns another shape.
    """
    unknown = [str(s) for e in tensor.shape for s in sizes_of(e) if str(s) not in sizes]
    if unknown:
        raise ArgumentError(f"The shape of {tensor.name} contains the size {unknown[0]}.", fix=f"call init(seed=0, {unknown[0]}=…).")
    shape = tuple(size_value(e, size_values(sizes)) for e in tensor.shape)
    if any(extent < 0 for extent in shape):
        raise ArgumentError(f"The shape of {tensor.name}, ({', '.join(map(expression, tensor.shape))}), would be {shape}.",
                            fix="give larger sizes.")
    needed, memory = np.dtype(tensor.dtype).itemsize * math.prod(shape), machine_memory()
    if memory is not None and needed > memory:
        declared = f"{tensor.name}({', '.join(map(expression, tensor.shape))}) of {tensor.dtype}"
        raise ArgumentError(f"{declared} would need {shown_bytes(needed)} of memory, but the machine has {shown_bytes(memory)}.",
                            fix="give smaller sizes.")
    init: Any = tensor.init or "zeros"
    if callable(init):
        made = np.asarray(init(shape, generator))
        if made.shape != shape or made.dtype.kind not in "biuf":
            found = f"shape {made.shape} and dtype {made.dtype}"
            raise ArgumentError(f"The initialiser of {tensor.name} returns {found} instead of numbers of shape {shape}.",
                                fix="return an array of the shape that it is called with.")
        return made.astype(tensor.dtype)
    if not isinstance(init, str | tuple):
        return np.full(shape, init, tensor.dtype)
    return _drawn(init, shape, generator).astype(tensor.dtype)


def size_values(sizes: Mapping[str, int]) -> dict[sp.Basic, int]:
    """Sizes given by name. Raises `ArgumentError` for what is no size."""
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
            raise ArgumentError(f"{name}={value!r} is no size.", fix="give a non-negative integer.")
    return {Size(name): int(value) for name, value in sizes.items()}


def _drawn(init: str | tuple[str, float], shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    receptive = math.prod(shape[2:])
    fan_out = (shape[0] if shape else 1) * receptive
    fan_in = (shape[1] if len(shape) > 1 else fan_out) * (receptive if len(shape) > 1 else 1)
    init, given = init if isinstance(init, tuple) else (init, 1.0)
    scale = {
        "glorot_uniform": math.sqrt(6 / max(fan_in + fan_out, 1)), "glorot_normal": math.sqrt(2 / max(fan_in + fan_out, 1)),
        "he_uniform": math.sqrt(6 / max(fan_in, 1)), "he_normal": math.sqrt(2 / max(fan_in, 1)),
        "fan_in_uniform": math.sqrt(1 / max(fan_in, 1)), "uniform": given, "normal": given,
    }.get(init, 0.0)
    if init == "orthogonal":
        rows, columns = (shape[0] if shape else 1), math.prod(shape[1:])
        basis, triangle = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        basis = basis * np.sign(np.diagonal(triangle))
        return np.asarray((basis.T if rows < columns else basis).reshape(shape))
    if init.endswith("normal"):
        return np.asarray(generator.standard_normal(shape) * scale)
    if init.endswith("uniform"):
        return np.asarray(generator.uniform(-scale, scale, shape))
    return np.full(shape, 1.0 if init == "ones" else 0.0)
