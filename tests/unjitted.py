"""Generated modules for the target "cpu" as plain Python: slow, but nothing has to be compiled, and no access leaves its array."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import erf

import graphc as gc
from graphc.ir.random import draw, normal32, normal64, polar, uniform32, uniform64

__all__ = ["run"]

Array = np.ndarray[Any, Any]


class _Strict:
    """An array without negative subscripts, whose integers are as wide as Numba computes with them."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape = array.shape

    def _checked(self, key: Any) -> Any:
        for subscript in key if isinstance(key, tuple) else (key,):
            if not subscript >= 0:
                raise IndexError(f"subscript {key}")
        return key

    def __getitem__(self, key: Any) -> Any:
        value = self.array[self._checked(key)]
        return np.int64(value) if isinstance(value, np.integer) and value.dtype != np.uint64 else value

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[self._checked(key)] = value


def _njit(*functions: Any, **_: Any) -> Any:
    return functions[0] if functions else lambda function: function


def _fill(me: int, team: int, view: _Strict) -> None:
    view.array[...] = 0


def _places(n: int, batch: Array, rows: Array, columns: Array, depth: Array) -> list[Array]:
    """Of C[m, n], A[m, k], B[n, k], and H[m, n] where it has one, in group n."""
    pairs = [(rows[0], columns[0]), (rows[1], depth[0]), (columns[1], depth[1]), *zip(rows[2:], columns[2:], strict=True)]
    found = [start[n] + down[:, None] + across[None, :] for start, (down, across) in zip(batch, pairs, strict=True)]
    if min(x.min(initial=0) for x in found) < 0:  # negative places would be outside
        raise IndexError("a contraction begins before its operand")
    return found


def _contract(me: int, team: int, c: _Strict, a: _Strict, b: _Strict, *rest: Any) -> None:
    *tables, _, adding, scale = rest
    out, left, right = (x.array.reshape(-1) for x in (c, a, b))
    for n in range(tables[0].shape[1]):
        places, first, second = _places(n, *tables)
        product = scale * (left[first] @ right[second].T)
        out[places] = out[places] + product if adding else product


def _terms(reduced: Any, combined: Any) -> Any:
    def run(me: int, team: int, c: _Strict, a: _Strict, b: _Strict, h: _Strict, *rest: Any) -> None:
        *tables, _, adding, term = rest
        out, left, right, third = (x.array.reshape(-1) for x in (c, a, b, h))
        for n in range(tables[0].shape[1]):
            places, first, second, *beside = _places(n, *tables)
            factors = [left[first][:, None, :], right[second][None, :, :], *(third[x][:, :, None] for x in beside)]
            value = reduced(np.broadcast_to(term(*factors), np.broadcast_shapes(*(f.shape for f in factors))), axis=2)
            out[places] = combined(out[places], value) if adding else value

    return run


def _checked(value: int, view: _Strict, dimension: int, status: Array, code: int) -> int:
    inside = 0 <= value < view.shape[dimension]
    if not inside:
        status[:] = code, value
    return value if inside else 0


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


_NUMPY = (
    "ceil", "cos", "exp", "expm1", "floor", "hypot", "log", "log1p", "maximum", "minimum", "power", "sign", "sin", "sqrt", "tan", "tanh",
)
_FUNCTIONS: dict[str, Any] = {
    **{name: getattr(np, name) for name in _NUMPY},
    "absolute": np.abs, "atan2": np.arctan2, "difference": np.subtract, "erf": erf, "round_": np.rint, "sigmoid": _sigmoid,
    "rsqrt": lambda x: 1 / np.sqrt(x), "softplus": lambda x: np.logaddexp(0, x),
    "choose": lambda condition, chosen, otherwise: np.where(condition, chosen, otherwise)[()],
    "draw": draw, "uniform32": uniform32, "uniform64": uniform64,
    "normal32": lambda bits: normal32(polar(bits)), "normal64": lambda bits: normal64(polar(bits)),
    "njit": _njit, "versioned": lambda function: function, "Part": None, "launch": None, "wait": lambda *_: None,
    "share": lambda me, team, extent: (0, extent),
    "fill": _fill, "contract": _contract, "sum_terms": _terms(np.sum, np.add),
    "max_terms": _terms(partial(np.max, initial=-np.inf), np.maximum), "min_terms": _terms(partial(np.min, initial=np.inf), np.minimum),
    "checked": _checked, "flat": lambda view: _Strict(view.array.reshape(-1)),
    "fixed": lambda number: number,
    "part": lambda view, start: _Strict(view.array.reshape(-1)[start:]),
    "view_at": lambda memory, k, *_: _Strict(memory[k]), "table_at": lambda memory, k: memory[k],
}


def run(program: gc.Program, arrays: Mapping[str, Array], changed: Callable[[str], str] = str, complains: bool = False) -> list[Array]:
    """The results of a program, in order, for arguments of the right types.

    Args:
        program: for the target "cpu".
        arrays: by name.
        changed: makes another text of the generated one.
        complains: whether integers that point outside are an error, as in a call; else what the module says of them is overlooked.

    Raises:
        GraphcError: the program found a fault.
        IndexError: an access leaves its array.
    """
    runner: Any = program._runner
    text = re.sub(r"(?m)^(from|import) .*$", "", changed(runner.source))
    names: dict[str, Any] = {"np": np, **_FUNCTIONS}
    exec(compile(text, "<generated>", "exec"), names)
    _, sizes = program.bind({name: arrays[name] for name in program.inputs})
    layout = runner._layout(sizes)
    held = {
        name: np.array(arrays[name]) if role == "input" else np.full(layout.shapes[name], np.nan, dtype)
        if np.dtype(dtype).kind == "f" else np.full(layout.shapes[name], 77, dtype)
        for name, dtype, role in runner._arrays
    }
    given = {name: arrays[name] for name in program.inputs}
    for test in runner._tests if complains else ():
        if (error := test(given, layout.shapes, sizes)) is not None:
            raise error
    tables = [part for table in layout.tables for part in (table, None)]
    status = np.zeros(2, np.int64)
    with np.errstate(all="ignore"):
        names["program"](0, 1, None, status, [*held.values(), *tables], np.array(layout.sizes, np.int64))
    if complains and status[0]:
        raise gc.ArgumentError(f"check {status[0]} found {status[1]}")
    return [held[name] for name in program.signature.outputs]
