"""The function that `gc.to_jax` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import graphc as gc
from graphc.calls.arrays import bound_array, mismatch
from graphc.interop.jax.operator import Operator, primitive
from graphc.interop.written import Written, read, written

__all__ = ["JaxFunction"]

_WIDE = ("float64", "int64")


class JaxFunction:
    """A program as a function on JAX's arrays.

    ``f(x, a)`` takes arguments in the order of ``inputs=``, ``f(X=x, A=a)`` by name, ``f(params, X=x)`` from a dictionary that may
    hold more than is needed. NumPy arrays become JAX's as everywhere in JAX.

    Args:
        outputs: tensors.
        structure: puts the results together.
        inputs: the order of arguments by position.
        asked: the tensors in their structure.
    """

    def __init__(
        self, outputs: Sequence[gc.Tensor], structure: Callable[[Sequence[Any]], Any], inputs: Sequence[gc.Tensor] | None, asked: Any
    ) -> None:
        self._operator, self._structure, self._asked = Operator(outputs, inputs), structure, (asked, inputs)
        self._wide = [t for t in (*self._operator.inputs, *outputs) if t.dtype in _WIDE]

    @property
    def program(self) -> gc.Program:
        """The compiled program, which NumPy arrays can be passed to."""
        return self._operator.program

    def __repr__(self) -> str:
        return f"<function of JAX {', '.join(self.program.inputs)} → {', '.join(t.name for t in self._operator.outputs)}>"

    def __deepcopy__(self, memo: Any) -> JaxFunction:
        return self

    def __reduce__(self) -> Any:
        return _read, (written(*self._asked),)

    def __call__(self, /, *arrays: Any, **named: Any) -> Any:
        """Compute the results.

        Raises:
            ArgumentError: an argument is missing, unknown, given twice or no array.
            DtypeError: an array has another dtype than its tensor, or JAX is not told to use 64 bits.
            ShapeError: shapes do not fit the program or each other.
        """
        config: Any = jax.config
        if self._wide and not config.jax_enable_x64:
            tensor = self._wide[0]
            raise gc.DtypeError(f"{tensor.name} has dtype {tensor.dtype}, but JAX is not told to use 64 bits.",
                                fix=f'call jax.config.update("jax_enable_x64", True) first, or declare dtype="{tensor.dtype[:-2]}32".')
        signature = self.program.signature
        given = signature.complete(arrays, named, "program.init(seed=0) makes one of the parameters")
        results = primitive.bind(*(_array(t, given[t.name]) for t in signature.inputs), operator=self._operator)
        return self._structure(results)


def _read(program: Written) -> JaxFunction:
    """What a pickle holds, as a function again."""
    return gc.to_jax(*read(program))


def _array(tensor: Any, value: Any) -> Any:
    """An array of JAX's, of the type of an input. Numbers have none, and become exactly that one."""
    name, dtype = tensor.name, tensor.dtype
    if _numbers(value):
        return jax.numpy.asarray(bound_array(tensor, value))
    try:
        array = value if isinstance(value, jax.Array) else jax.numpy.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise gc.ArgumentError(f"The argument {name} is a {type(value).__name__}, which is no array for JAX: {error}",
                               fix="pass an array of JAX's or NumPy's.") from None
    if array.dtype == dtype:
        return array
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.extended):
        raise gc.ArgumentError(f"The argument {name} is an array of {array.dtype}, which are no numbers.",
                               fix="pass an array of numbers, such as jax.random.key_data(key).")
    kind, wanted = np.dtype(array.dtype).kind, np.dtype(dtype).kind.replace("u", "i")
    if array.weak_type and kind in (kinds := "bif") and kinds.index(kind) <= kinds.index(wanted):
        traced = isinstance(array, jax.core.Tracer)  # has no value yet: JAX's own conversion
        return array.astype(dtype) if traced else jax.numpy.asarray(bound_array(tensor, array.tolist()))
    raise mismatch(tensor, str(array.dtype), array)


def _numbers(value: Any) -> bool:
    """Whether something is a number, or lists of numbers, of Python's."""
    if isinstance(value, list | tuple):
        return all(map(_numbers, value))
    return isinstance(value, bool | int | float) and not isinstance(value, np.generic)
