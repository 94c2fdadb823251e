"""Products on the tensor cores of a GPU, whose factors are rounded to TF32: 8 bits of exponent as float32, 10 bits of mantissa.

They are intrinsics, which Numba compiles without asking a driver; Numba's simulator has no tensor cores.
"""

from __future__ import annotations

import importlib
from typing import Any

from llvmlite import ir
from numba import config, types

__all__ = ["multiply", "rounded"]

_MULTIPLY = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};"
"""The instruction, of which a warp has (PTX ISA, "Matrix fragments for mma.m16n8k8")."""


def _elements(context: Any, builder: Any, kind: Any, array: Any, first: Any, count: int) -> list[Any]:
    """The addresses of elements of a thread's own array."""
    data = context.make_array(kind)(context, builder, array).data
    return [builder.gep(data, [builder.add(first, ir.Constant(first.type, k))]) for k in range(count)]


def _multiply(_: Any, sums: Any, at: Any, above: Any, i: Any, across: Any, j: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, first, a, a_first, b, b_first = arguments
        single, bits = ir.FloatType(), ir.IntType(32)
        old = _elements(context, builder, sums, total, first, 4)
        factors = [*_elements(context, builder, above, a, a_first, 4), *_elements(context, builder, across, b, b_first, 2)]
        values = [*(builder.bitcast(builder.load(x), bits) for x in factors), *map(builder.load, old)]
        kind = ir.FunctionType(ir.LiteralStructType([single] * 4), [bits] * 6 + [single] * 4)
        made = builder.asm(kind, _MULTIPLY, ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4), values, False)
        for k, address in enumerate(old):
            builder.store(builder.extract_value(made, k), address)
        return context.get_dummy_value()

    return types.void(sums, types.int64, above, types.int64, across, types.int64), generate


def _rounded(_: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.asm(ir.FunctionType(ir.IntType(32), [ir.FloatType()]), "cvt.rna.tf32.f32 $0, $1;", "=r,f", arguments, False)
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), generate


if config.ENABLE_CUDASIM:  # type: ignore[attr-defined]

    def multiply(sums: Any, at: int, above: Any, i: int, across: Any, j: int) -> None:
        """Add the product of two matrices, of 16×8 and 8×8 elements that the threads of a warp hold together, to one of 16×8.

        With g = lane // 4 and t = lane % 4, a thread has A[g, t], A[g+8, t], A[g, t+4], A[g+8, t+4] in `above` from `i` on, B[t, g] and
        B[t+4, g] in `across` from `j` on, and C[g, 2t], C[g, 2t+1], C[g+8, 2t], C[g+8, 2t+1] in `sums` from `at` on.
        """
        raise NotImplementedError

    def rounded(value: Any) -> Any:
        """The nearest number of TF32, the one with the larger magnitude if two are."""
        raise NotImplementedError

else:
    multiply, rounded = map(importlib.import_module("numba.cuda.extending").intrinsic, (_multiply, _rounded))
