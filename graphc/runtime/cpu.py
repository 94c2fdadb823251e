"""The target "cpu": a generated module, its buffers and its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from graphc.errors import GraphcError
from graphc.kernels.choice import Planned
from graphc.kernels.clock import FIRST
from graphc.kernels.contraction import load as load_engine
from graphc.runtime.cache import load
from graphc.runtime.collector import uncollected
from graphc.runtime.limits import Limits, limits
from graphc.runtime.memory import machine_memory
from graphc.runtime.pool import Team, default_team
from graphc.runtime.quick import Call, by_address, quick
from graphc.runtime.results import Results
from graphc.runtime.tuning import tuned

__all__ = ["Binding", "CpuRunner", "Layout"]

Array = NDArray[Any]

REMEMBERED = 8
"""Sets of sizes whose temporaries are kept for the next call."""

SMALL = 40_000
"""Scalar operations below which a program runs on one thread: the work of about 20 µs."""

FEW = 16
"""Arguments and results of a program for which a compiled call may be made: it is compiled in a time that grows with them."""


@dataclass(frozen=True)
class Layout:
    """What the arrays of one set of sizes look like.

    Attributes:
        shapes: of every tensor, by name.
        contractions: in the order of their tables among the arguments.
        sizes: values of the size arguments.
        operations: scalar operations of one run.
        places: where temporaries begin in one block of memory, in bytes.
        room: bytes of that block.
    """

    shapes: Mapping[str, tuple[int, ...]]
    contractions: tuple[Planned, ...]
    sizes: tuple[int, ...]
    operations: float
    places: Mapping[str, int]
    room: int

    @property
    def tables(self) -> tuple[Array, ...]:
        """Of the contractions, in the order of the arguments."""
        return tuple(table for planned in self.contractions for table in planned.tables)


@dataclass(slots=True)
class Buffers:
    """What one call at a time uses: temporaries, and the addresses for the program, those of temporaries and tables filled in."""

    temporaries: dict[str, Array]
    memory: NDArray[np.int64]


@dataclass(slots=True)
class Binding:
    """A layout with the values of the sizes, and buffers that wait for the next call."""

    layout: Layout
    sizes: NDArray[np.int64]
    free: list[Buffers] = field(default_factory=list)


class CpuRunner:
    """Runs a generated module.

    Args:
        source: text of the module.
        kernels: records for `Program.kernels`.
        arrays: tensors in the order of the arguments: (name, dtype, role), role "input", "output" or "temporary".
        in_place: outputs that are written into the array of an input.
        layout: the arrays for given sizes.
        needs: bytes by what a call with given sizes allocates.
        checks: errors for the codes of the status array, from the value found, the arrays and the shapes.
        threads: of the team; None for the default.
        engines: element types for which the contraction engine is needed.
        tests: complaints about integer arguments (None for none), made before anything runs.
        timed: whether the module measures the time of each kernel.
        tune: whether the choices of contractions are timed, at the first call with given sizes.
    """

    def __init__(
        self,
        source: str,
        kernels: tuple[Any, ...],
        arrays: tuple[tuple[str, str, str], ...],
        in_place: Mapping[str, str],
        layout: Callable[[Mapping[Any, int]], Layout],
        needs: Callable[[Mapping[Any, int]], tuple[dict[str, int], int]],
        checks: tuple[Callable[[int, Mapping[str, Array], Mapping[str, tuple[int, ...]]], GraphcError], ...],
        threads: int | None,
        engines: tuple[str, ...] = (),
        tests: tuple[Callable[[Mapping[str, Array], Mapping[str, tuple[int, ...]], Mapping[Any, int]], GraphcError | None], ...] = (),
        timed: bool = False,
        tune: bool = False,
    ) -> None:
        self.source, self.kernels = source, kernels
        self._arrays, self._in_place, self._layout, self._checks = arrays, dict(in_place), layout, checks
        self._engines, self._tests = engines, tests
        self.needs, self.memory = needs, machine_memory
        self._tune = tune
        self.made: tuple[Any, ...] = ()
        """The arrays of `needs`, as `graphc.calls.memory.Made`."""
        self.nanoseconds: Array | None = np.zeros(len(kernels), np.int64) if timed else None
        """Of each kernel in the last run, if the module measures them."""
        self.program: object = None
        """What `Program.save` writes, set by who has scheduled the graph."""
        self._module: Any = None
        self._team = Team(threads) if threads is not None else None
        self._alone = Team(1)
        self._bindings: dict[int, Binding] = {}
        self._results = Results()

    def compiled(self) -> Any:
        """The imported module; loaded when it is first needed."""
        if self._module is None:
            self._module = load(self.source)
        return self._module

    def _compile(self, module: Any) -> None:
        """Have machine code for everything that ``start`` calls."""
        with uncollected():
            for dtype in self._engines:
                load_engine(dtype)
            module.start.compile((types.int64[::1],) * 4)

    def run(self, arrays: dict[str, Array], sizes: Mapping[Any, int], out: dict[str, Array]) -> dict[str, Array]:
        module = self.compiled()
        binding = self._bindings.get(id(sizes))
        if binding is None:
            if len(self._bindings) >= REMEMBERED:
                self._bindings.pop(next(iter(self._bindings)))
            binding = self._bindings[id(sizes)] = self._bound(sizes)
        layout = binding.layout
        for test in self._tests:
            if complaint := test(arrays, layout.shapes, sizes):
                raise complaint
        try:
            buffers = binding.free.pop()
        except IndexError:
            buffers = self._buffers(layout)
        status = np.zeros(2 if self.nanoseconds is None else FIRST + len(self.kernels), np.int64)
        results: dict[str, Array] = {}
        given = {name: _contiguous(arrays[name]) for name, _, role in self._arrays if role == "input"}  # copies stay alive while it runs
        for place, (name, dtype, role) in enumerate(self._arrays):
            if role == "temporary":
                continue
            if role == "input":
                array = given[name]
            else:
                array = results[name] = self._output(name, dtype, layout, given, out)
            buffers.memory[place] = array.__array_interface__["data"][0]
        team = self.team(layout)
        if not module.start.overloads:
            self._compile(module)
        team.run(module.start, status, buffers.memory, binding.sizes)
        if status[0]:
            everything = {**arrays, **buffers.temporaries, **results}
            raise self._checks[int(status[0]) - 1](int(status[1]), everything, layout.shapes)
        if self.nanoseconds is not None:
            self.nanoseconds = status[FIRST:]
        binding.free.append(buffers)
        return results

    def quick(
        self, inputs: Sequence[str], outputs: Sequence[str], sizes: Mapping[Any, int], positional: bool, compiling: bool
    ) -> Call | None:
        """A faster call for arrays of these sizes, for programs of few operations and arrays that update nothing and ask nothing of values.

        Args:
            inputs, outputs: in the order of the call.
            sizes: as for `run`.
            positional: whether all arguments may be given by position.
            compiling: whether it is compiled if it is not on disk.
        """
        layout = self._layout(sizes)
        if not self._small(inputs, outputs, layout):
            return None
        buffers = self._buffers(layout)
        arrays = {name: (layout.shapes[name], dtype) for name, dtype, _ in self._arrays}
        return quick(self.compiled(), inputs, outputs, arrays, buffers.memory, np.array(layout.sizes, np.int64), positional,
                     (buffers, layout), compiling)

    def by_address(
        self, inputs: Sequence[str], outputs: Sequence[str], sizes: Mapping[Any, int], compiling: bool
    ) -> Callable[..., bool] | None:
        """As `quick`, a call that takes the addresses of contiguous arrays of these sizes: inputs, then outputs."""
        layout = self._layout(sizes)
        if not self._small(inputs, outputs, layout):
            return None
        buffers = self._buffers(layout)
        return by_address(self.compiled(), (*inputs, *outputs), [name for name, _, _ in self._arrays], buffers.memory,
                          np.array(layout.sizes, np.int64), (buffers, layout), compiling)

    def _small(self, inputs: Sequence[str], outputs: Sequence[str], layout: Layout) -> bool:
        """Whether a compiled call pays: few operations and arrays, that update nothing and ask nothing of values."""
        names = [name for name, _, role in self._arrays if role == "input"]
        if self._tests or self._in_place or self.nanoseconds is not None or layout.operations >= SMALL:
            return False
        if len({*inputs, *outputs}) < len(inputs) + len(outputs) or len(inputs) + len(outputs) > FEW:
            return False
        return sorted(inputs) == sorted(names)

    def _bound(self, sizes: Mapping[Any, int]) -> Binding:
        layout = self._layout(sizes)
        if self._tune:
            layout = replace(layout, contractions=tuned(layout.contractions, self.team(layout).threads))
        choices = iter(layout.contractions)
        self.kernels = tuple(replace(k, choice=str(next(choices))) if k.name == "contract" else k for k in self.kernels)
        return Binding(layout, np.array(layout.sizes, np.int64))

    def team(self, layout: Layout) -> Team:
        """The threads that run the program: one where there is little to do."""
        return self._alone if layout.operations < SMALL else self._team or default_team()

    def shapes(self, sizes: Mapping[Any, int]) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and element type of every array."""
        shapes = self._layout(sizes).shapes
        return {name: (shapes[name], dtype) for name, dtype, _ in self._arrays}

    def limits(self, sizes: Mapping[Any, int]) -> Limits:
        """What the threads that run the program can do at most."""
        return limits(self.team(self._layout(sizes)))

    def _output(self, name: str, dtype: str, layout: Layout, arrays: dict[str, Array], out: dict[str, Array]) -> Array:
        if name in self._in_place:
            return arrays[self._in_place[name]]
        target = out.get(name)
        if target is not None and target.flags.c_contiguous and not any(np.shares_memory(target, a) for a in arrays.values()):
            return target
        return self._results.new(name, layout.shapes[name], dtype)

    def _buffers(self, layout: Layout) -> Buffers:
        block = _aligned((layout.room,), "uint8")
        temporaries = ((name, dtype) for name, dtype, role in self._arrays if role == "temporary")
        made = {name: _part(block, layout.places[name], layout.shapes[name], dtype) for name, dtype in temporaries}
        nothing = np.empty(0)
        return Buffers(made, placed([made.get(name, nothing) for name, _, _ in self._arrays], layout.tables))


def placed(arrays: Iterable[Array], tables: Iterable[Array]) -> NDArray[np.int64]:
    """What a generated program gets instead of arrays: their addresses, and those of tables each with its number of columns."""
    described = [array.__array_interface__["data"][0] for array in arrays]
    for table in tables:
        described += [table.__array_interface__["data"][0], table.shape[1]]
    return np.array(described, np.int64)


def _contiguous(array: Array) -> Array:
    """The array, or a copy that lies in memory as generated code takes it."""
    return array if array.flags.c_contiguous and array.flags.aligned else np.require(array, requirements=["C", "A"])


def _aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """An array that begins at a multiple of 64 bytes."""
    count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.empty(count + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count].view(dtype).reshape(shape)


def _part(block: Array, start: int, shape: tuple[int, ...], dtype: str) -> Array:
    """An array in a block of memory."""
    count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return block[start : start + count].view(dtype).reshape(shape)
