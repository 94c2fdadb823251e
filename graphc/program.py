"""Compiled programs: binding arguments, sizes and state to a graph, whatever the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.errors import ArgumentError, DtypeError, GraphcError, RangeError, ShapeError
from graphc.interpret import size_value
from graphc.ir.affine import linear
from graphc.ir.expr import Size
from graphc.ir.graph import Graph
from graphc.ir.show import expression
from graphc.ir.tensor import Tensor

__all__ = ["Program", "Runner", "Signature"]

Array = NDArray[Any]
_KINDS: dict[str, type[GraphcError]] = {"shape": ShapeError, "range": RangeError}


class Runner(Protocol):
    """A target's executable form of a graph."""

    source: str
    kernels: tuple[Any, ...]

    def run(self, arrays: dict[str, Array], sizes: dict[sp.Basic, int], out: dict[str, Array]) -> dict[str, Array]:
        """Compute the outputs; arrays in `out` may be used to hold the results of that name."""
        ...


@dataclass(frozen=True)
class Signature:
    """What a program takes and gives.

    Attributes:
        inputs: argument tensors in positional order.
        outputs: names of result tensors, in the order in which they were asked for.
        structure: rebuilds what the user passed as outputs from a tuple of arrays.
        updates: (argument name, name of the tensor with its new value).
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    structure: Callable[[Sequence[Array]], Any]
    updates: tuple[tuple[str, str], ...] = ()


class Program:
    """A compiled program: call it with arrays.

    ``f(X=x, A=a)`` takes arguments by name, ``f(x, a)`` in the order of ``inputs=``, ``f(state, X=x)`` from a dictionary that may
    hold more than is needed. Results come back in the structure that was given to `graphc.compile`. Inputs are never changed or
    kept, except that ``updates`` are written into the arrays of the dictionary given first.

    Attributes:
        source: the generated program as text.
        kernels: one record per kernel: name, loop, plan, cost.
    """

    def __init__(self, graph: Graph, signature: Signature, runner: Runner, text: str = "") -> None:
        self._graph, self._signature, self._runner, self._text = graph, signature, runner, text
        self._by_name = {t.name: t for t in signature.inputs}
        self._bound: dict[tuple[tuple[int, ...], ...], dict[sp.Basic, int]] = {}
        self._updated = dict(signature.updates)

    @property
    def source(self) -> str:
        return self._runner.source

    @property
    def kernels(self) -> tuple[Any, ...]:
        return self._runner.kernels

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arguments, in positional order."""
        return tuple(self._by_name)

    def __repr__(self) -> str:
        return self._text or f"<program {', '.join(self.inputs)} → {', '.join(self._signature.outputs)}>"

    # ------------------------------------------------------------------------------------------------------ call
    def __call__(self, *arrays: Any, out: Any = None, **named: Any) -> Any:
        """Run the program.

        Raises:
            ArgumentError: an argument is missing, unknown or given twice, or an integer tensor points outside of its target.
            DtypeError: an array has another dtype than its tensor.
            ShapeError: shapes do not fit the program or each other.
        """
        given, state = self._arguments(arrays, named)
        prepared = {name: self._array(name, given[name]) for name in self._by_name}
        sizes = self._sizes(prepared)
        targets = self._out(out, sizes)
        results = self._runner.run(prepared, sizes, targets)
        ordered = []
        for name in self._signature.outputs:
            value = results[name]
            target = targets.get(name)
            if target is not None and value is not target:
                target[...] = value
                value = target
            ordered.append(value)
        for name, new in self._signature.updates:
            if results[new] is not state[name]:
                state[name][...] = results[new]
        return self._signature.structure(ordered)

    def _arguments(self, arrays: tuple[Any, ...], named: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
        state: Mapping[str, Any] = {}
        if arrays and isinstance(arrays[0], Mapping):
            state, arrays = arrays[0], arrays[1:]
        given: dict[str, Any] = {name: state[name] for name in self._by_name if name in state}
        positions = [name for name in self._by_name if name not in given] if state else list(self._by_name)
        if len(arrays) > len(positions):
            raise ArgumentError(f"{len(arrays)} arrays are given by position, but the program takes {len(positions)}: {', '.join(positions)}.",
                                fix="pass arguments by name.")
        for name, array in zip(positions, arrays, strict=False):
            given[name] = array
        for name, array in named.items():
            if name not in self._by_name:
                raise ArgumentError(f"The program has no argument {name}; it takes {', '.join(self._by_name)}.",
                                    fix="check the name, or collect extra arrays in a dictionary given first.")
            if name in given and name not in state:
                raise ArgumentError(f"The argument {name} is given by position and by name.", fix="give it once.")
            given[name] = array
        missing = [name for name in self._by_name if name not in given]
        if missing:
            raise ArgumentError(f"The argument{'s' * (len(missing) > 1)} {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing.",
                                fix=f"call it with {', '.join(f'{n}=…' for n in missing)}.")
        for name in self._updated:
            array = state.get(name)
            if not isinstance(array, np.ndarray) or not array.flags.writeable or named.get(name) is not None:
                raise ArgumentError(f"{name} is updated by the program, so it must be a writable array in the dictionary given first.",
                                    fix="call step(state, X=…) with state = step.init(seed=0), or a dictionary of your own arrays.")
        return given, {name: state[name] for name in self._updated}

    def _array(self, name: str, value: Any) -> Array:
        tensor = self._by_name[name]
        if isinstance(value, np.ndarray):
            if value.dtype == tensor.dtype:
                return value
        elif isinstance(value, bool | int | float | list | tuple) or (isinstance(value, np.generic) and value.ndim == 0):
            converted = np.asarray(value)
            exact = converted.dtype.kind in "bi" or (converted.dtype.kind == "f" and tensor.dtype.startswith("float"))
            strong = isinstance(value, np.generic) and value.dtype != tensor.dtype and not np.can_cast(value.dtype, tensor.dtype, "safe")
            if converted.dtype != object and exact and not strong and (converted.dtype.kind != "i" or _fits(converted, tensor.dtype)):
                return converted.astype(tensor.dtype)
            value = converted
        elif hasattr(value, "__array_interface__") or hasattr(value, "__dlpack__"):
            converted = np.asarray(value) if hasattr(value, "__array_interface__") else np.from_dlpack(value)
            if converted.dtype == tensor.dtype:
                return converted
            value = converted
        else:
            raise ArgumentError(f"The argument {name} is a {type(value).__name__}, not an array.", fix="pass a NumPy array.")
        raise DtypeError(f"The argument {name} has dtype {value.dtype}, but the tensor {name} has dtype {tensor.dtype}.",
                         fix=f'pass {name}.astype("{tensor.dtype}"), or declare gc.tensor("{name}", …, dtype="{value.dtype}").')

    # ----------------------------------------------------------------------------------------------------- sizes
    def _sizes(self, arrays: dict[str, Array]) -> dict[sp.Basic, int]:
        key = tuple(array.shape for array in arrays.values())
        if key not in self._bound:
            self._bound[key] = self._bind({name: array.shape for name, array in arrays.items()})
        return self._bound[key]

    def _bind(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[sp.Basic, int]:
        sizes: dict[sp.Basic, int] = {}
        origin: dict[sp.Basic, str] = {}
        later: list[tuple[str, int, sp.Expr, int]] = []
        for name, shape in shapes.items():
            declared = self._by_name[name].shape
            if len(shape) != len(declared):
                raise ShapeError(f"The argument {name} has {len(shape)} dimensions and shape {shape}, but the tensor is {self._shown(name)}.",
                                 fix=f"pass an array with {len(declared)} dimension{'s' * (len(declared) != 1)}.")
            for dimension, (extent, symbol) in enumerate(zip(shape, declared, strict=True)):
                if isinstance(symbol, Size):
                    if sizes.setdefault(symbol, extent) != extent:
                        raise ShapeError(f"The size {symbol} is {sizes[symbol]} in dimension {origin[symbol]}, but {extent} in dimension {dimension} of {name}.",
                                         fix=f"pass arrays whose sizes agree: {self._shown(name)}.")
                    origin.setdefault(symbol, f"{dimension} of {name}")
                else:
                    later.append((name, dimension, symbol, extent))
        for name, dimension, symbol, extent in later:
            self._solve(symbol, extent, sizes)
            try:
                expected = size_value(symbol, sizes)
            except KeyError:
                continue
            if expected != extent:
                raise ShapeError(f"Dimension {dimension} of the argument {name} has {extent} elements instead of {expression(symbol)}"
                                 f"{'' if symbol.is_Integer else f' = {expected}'}.", fix=f"pass an array of shape {self._shown(name)}.")
        self._check(sizes)
        return sizes

    def _solve(self, symbol: sp.Expr, extent: int, sizes: dict[sp.Basic, int]) -> None:
        form = linear(symbol)
        unknown = [a for a, _ in form.terms if a not in sizes and a.is_Symbol] if form is not None else []
        if len(unknown) == 1 and form is not None and all(a.is_Symbol for a, _ in form.terms):
            rest = extent - form.constant - sum(c * sizes[a] for a, c in form.terms if a != unknown[0])
            value, remainder = divmod(rest, form.coefficient(unknown[0]))
            if remainder == 0 and value >= 0:
                sizes[unknown[0]] = value

    def _shown(self, name: str) -> str:
        return f"{name}({', '.join(expression(e) for e in self._by_name[name].shape)})"

    def _check(self, sizes: dict[sp.Basic, int]) -> None:
        unbound = sorted({s.name for t in self._graph.tensors for e in t.shape for s in e.free_symbols if s not in sizes})  # type: ignore[attr-defined]
        if unbound:
            raise ArgumentError(f"The size {', '.join(unbound)} is not determined by the shape of any argument.",
                                fix="declare an input with that size, or use an int.")
        for check in self._graph.checks:
            if all(size_value(e, sizes) >= 0 for e in check.violation):
                shown = ", ".join(f"{s} = {v}" for s, v in sizes.items())
                raise _KINDS[check.kind](f"{check.message}\n  Here {shown}.")

    def _out(self, out: Any, sizes: dict[sp.Basic, int]) -> dict[str, Array]:
        if out is None:
            return {}
        arrays = list(out.values()) if isinstance(out, Mapping) else list(out) if isinstance(out, list | tuple) else [out]
        names = self._signature.outputs
        if len(arrays) != len(names):
            raise ArgumentError(f"out= holds {len(arrays)} arrays, but the program has {len(names)} results.", fix="give one array per result.")
        targets = {}
        for name, array in zip(names, arrays, strict=True):
            tensor = self._graph.tensor(name)
            shape = tuple(size_value(e, sizes) for e in tensor.shape)
            if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != tensor.dtype or not array.flags.writeable:
                raise ArgumentError(f"out= for {name} must be a writable array of shape {shape} and dtype {tensor.dtype}.",
                                    fix=f'use np.empty({shape}, "{tensor.dtype}").')
            targets[name] = array
        return targets

    # ----------------------------------------------------------------------------------------------------- state
    def init(self, seed: int = 0, **sizes: int) -> dict[str, Array]:
        """New arrays for the parameters and for everything that `updates` change, from their initialisers.

        Args:
            seed: of NumPy's default generator; equal seeds give equal arrays.
            sizes: values of the symbolic sizes in the shapes, by name.

        Raises:
            ArgumentError: a size is missing.
        """
        generator = np.random.default_rng(seed)
        state = {}
        for tensor in self._signature.inputs:
            if tensor.kind == "parameter" or tensor.name in self._updated:
                state[tensor.name] = _initial(tensor, generator, sizes)
        return state

    def save(self, path: str) -> None:
        """Write the program as one Python module that needs only NumPy and Numba.

        Raises:
            CompileError: the target has no such form.
        """
        from graphc.runtime.export import save

        save(self._runner, self._graph, self._signature, path)


def _fits(values: Array, dtype: str) -> bool:
    if dtype == "bool":
        return values.dtype.kind == "b"
    if dtype.startswith("float") or values.dtype.kind == "b" or not values.size:
        return True
    limits = np.iinfo(dtype)
    return bool(values.min() >= limits.min and values.max() <= limits.max)


def _initial(tensor: Tensor, generator: np.random.Generator, sizes: Mapping[str, int]) -> Array:
    bound: dict[sp.Basic, int] = {Size(name): value for name, value in sizes.items()}
    try:
        shape = tuple(size_value(e, bound) for e in tensor.shape)
    except KeyError as error:
        raise ArgumentError(f"The shape of {tensor.name} contains the size {error.args[0]}.", fix=f"call init(seed, {error.args[0]}=…).") from None
    init: Any = tensor.init or "zeros"
    if callable(init):
        return np.asarray(init(shape, generator)).astype(tensor.dtype)
    if not isinstance(init, str):
        return np.full(shape, init, tensor.dtype)
    receptive = math.prod(shape[2:])
    fan_out = (shape[0] if shape else 1) * receptive
    fan_in = (shape[1] if len(shape) > 1 else fan_out) * (receptive if len(shape) > 1 else 1)
    scale = {
        "glorot_uniform": math.sqrt(6 / max(fan_in + fan_out, 1)), "glorot_normal": math.sqrt(2 / max(fan_in + fan_out, 1)),
        "he_uniform": math.sqrt(6 / max(fan_in, 1)), "he_normal": math.sqrt(2 / max(fan_in, 1)), "uniform": 1.0, "normal": 1.0,
    }.get(init, 0.0)
    if init.endswith("normal"):
        return (generator.standard_normal(shape) * scale).astype(tensor.dtype)
    if init.endswith("uniform"):
        return generator.uniform(-scale, scale, shape).astype(tensor.dtype)
    return np.full(shape, 1 if init == "ones" else 0, tensor.dtype)
