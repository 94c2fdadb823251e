"""Programs as custom calls of XLA on the CPU: its buffers are read and written where they are, through the foreign function interface.

XLA calls a C function with a frame that describes the buffers. Here that function is Python, called through `ctypes`: it costs some ten
microseconds, and takes Python's lock until the compiled program runs.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, c_char, c_void_p
from functools import cache
from typing import Any, cast

import jax
import numpy as np
from numpy.typing import NDArray

import graphc as gc
from graphc.interop.jax.frame import Fault, Frame, MetadataExtension
from graphc.interop.often import Often

__all__ = ["CALL", "register"]

CALL = "graphc"
"""The custom call, which has the program's key as its attribute."""

METADATA, EXECUTE = 1, 3
"""A kind of extension, with which XLA asks a handler about itself, and the stage in which a handler computes."""

INVALID_ARGUMENT, NOT_FOUND, INTERNAL = 3, 5, 13
"""Codes of errors."""


class _Called:
    """A program that XLA calls."""

    def __init__(self, program: gc.Program) -> None:
        kinds = {t.name: np.dtype(t.dtype) for t in program.graph.tensors}
        self.program = program
        self._arguments = [(name, kinds[name]) for name in program.inputs]
        self._results = [kinds[name] for name in program.signature.outputs]
        self._often = Often()

    def __call__(self, frame: Any) -> None:
        """Run it on the buffers of a frame."""
        given = [frame.arguments.items[k].contents for k in range(len(self._arguments))]
        made = [frame.results.items[k].contents for k in range(len(self._results))]
        key = tuple([extent for buffer in given for extent in buffer.extents[: buffer.rank]])
        quick = self._often.calls.get(key)
        if quick is not None and quick(*[buffer.data for buffer in given], *[buffer.data for buffer in made]):
            return
        arrays = {name: _array(buffer, dtype) for buffer, (name, dtype) in zip(given, self._arguments, strict=True)}
        self.program.into(arrays, [_array(buffer, dtype) for buffer, dtype in zip(made, self._results, strict=True)])
        self._often.counted(self.program, key, {name: array.shape for name, array in arrays.items()}, lambda call: call)


_programs: dict[bytes, _Called] = {}
"""By key, until the process ends: XLA keeps what it has compiled as long as it likes."""


def register(key: str, program: gc.Program) -> None:
    """Let custom calls with that key run a program.

    Args:
        key: belongs to the program: the process keeps the first program of each.
        program: its arguments and results have the order of the call's.
    """
    _install()
    _programs.setdefault(key.encode(), _Called(program))


@cache
def _install() -> Any:
    """Have XLA call `_call`; the result must stay alive."""
    pointer, ffi = ctypes.CFUNCTYPE(c_void_p, POINTER(Frame))(_call), cast(Any, jax.ffi)
    ffi.register_ffi_target(CALL, ffi.pycapsule(pointer), platform="cpu")
    return pointer


def _call(pointer: Any) -> int | None:
    """What XLA calls."""
    frame = pointer.contents
    if frame.extension:
        _answer(frame)
        return None
    if frame.stage != EXECUTE:
        return None
    try:
        text = frame.attributes.items[0].contents
        called = _programs.get(ctypes.string_at(text.start, text.size))
        if called is None:
            return _fault(frame, NOT_FOUND, "This code calls a program of graphc that the process does not know. "
                                            "Make the same function with gc.to_jax, and the derivatives that it needs, before it runs.")
        called(frame)
    except gc.GraphcError as error:
        return _fault(frame, INVALID_ARGUMENT, f"{type(error).__name__}: {error}")
    except BaseException as error:
        return _fault(frame, INTERNAL, f"{type(error).__name__}: {error}")
    return None


def _array(buffer: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array in a buffer, which is not copied."""
    shape = tuple(buffer.extents[: buffer.rank])
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    memory: Any = (c_char * size).from_address(buffer.data) if size else None
    return np.ndarray(shape, dtype, memory)


def _answer(frame: Any) -> None:
    """Tell XLA which version of the interface this is: the one that it has, whose frames begin as those of all others."""
    if frame.extension.contents.kind == METADATA:
        metadata = ctypes.cast(frame.extension, POINTER(MetadataExtension)).contents.metadata.contents
        known = frame.api.contents.version
        metadata.version.major, metadata.version.minor = known.major, known.minor
        metadata.traits, metadata.state_type = 0, 0


def _fault(frame: Any, code: int, message: str) -> int | None:
    """An error that XLA raises."""
    if sys.is_finalizing():
        return None
    fault = Fault(ctypes.sizeof(Fault), None, message.encode(), code)
    made: int | None = frame.api.contents.error(ctypes.byref(fault))
    return made
