"""Element types of ONNX files."""

from __future__ import annotations

import numpy as np

from graphc.interop.onnx.node import Unsupported

__all__ = ["name_of_type"]

NAMES = {1: "float32", 11: "float64", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 2: "uint8", 9: "bool"}
OTHERS = {4: "uint16", 8: "string", 10: "float16", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16"}


def name_of_type(number: int) -> str:
    """The NumPy name of a type of the file.

    Raises:
        Unsupported: the notation has no such type.
    """
    if not number:
        raise Unsupported("something else than a tensor")
    if number not in NAMES:
        raise Unsupported(f"the type {OTHERS.get(number, number)}")
    return np.dtype(NAMES[number]).name
