"""Compiled programs: binding arguments, sizes and state to a graph, whatever the target."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.calls.arguments import Arguments
from graphc.calls.arrays import HOST, Host, new_array, size_values
from graphc.calls.binding import Binder
from graphc.calls.foreign import changed
from graphc.calls.memory import Memory, Report, check_memory, device_full, report
from graphc.calls.nonfinite import NonFinite, first_nonfinite
from graphc.calls.on_device import on_host, placed
from graphc.calls.profile import Profile, profiled
from graphc.calls.results import results_in
from graphc.calls.runner import Runner
from graphc.calls.signature import Signature, similar
from graphc.errors import ArgumentError, TargetError
from graphc.interpret import size_value
from graphc.ir.graph import Graph
from graphc.ir.nest import KernelTable
from graphc.ir.tree import sizes_of
from graphc.runtime.device_memory import OutOfDeviceMemory

__all__ = ["Program"]

Array = NDArray[Any]

OFTEN, VERY_OFTEN = 20, 1000
"""Calls after which a compiled call is loaded if it is on disk, and after which it is made: half a second that saves 10 µs a call."""


class Program:
    """A compiled program: call it with arrays.

    ``f(X=x, A=a)`` takes arguments by name, ``f(x, a)`` in the order of ``inputs=``, ``f(state, X=x)`` from a dictionary that may
    hold more than is needed. Arrays are read where they are, whichever library made them; results are PyTorch's if one argument is,
    else JAX's if one is, else NumPy's. Results come back in the structure that was given to `graphc.compile`. Inputs are never changed or
    kept, except that ``updates`` are written into the arrays of the dictionary given first.

    Copies of it are itself; it cannot be pickled, but the tensors that it was compiled from can.

    Attributes:
        source: the generated program as text.
        kernels: one record per kernel: name, loop, plan, cost.
        memory: the arrays that a call makes, with a formula for the bytes of each.
    """

    def __init__(
        self, graph: Graph, signature: Signature, runner: Runner, text: str = "", *, witness: Callable[[], tuple[Graph, Runner]],
        profiler: Callable[[], Any], part: Callable[..., Runner], options: Mapping[str, Any], memory_limit: int | str | None = None,
    ) -> None:
        self._graph, self._signature, self._runner, self._text = graph, signature, runner, text
        self._memory_limit = memory_limit
        self.options = options
        """How it was compiled."""
        self._part = part
        self._witness, self._profiler = lru_cache(maxsize=1)(witness), lru_cache(maxsize=1)(profiler)
        self._by_name = {t.name: t for t in signature.inputs}
        self._bound: dict[tuple[tuple[int, ...], ...], dict[sp.Basic, int]] = {}
        results = dict.fromkeys((*signature.outputs, *(new for _, new in signature.updates)))
        self._passed = [name for name in results if name in self._by_name]
        """Arguments that are results as well."""
        self._binder = Binder(graph, self._by_name)
        self._has_device = hasattr(runner, "queue")
        self._arguments = Arguments(signature, runner if self._has_device else None)
        self._quick: Any = None
        self._calls, self._again = 0, OFTEN

    @property
    def source(self) -> str:
        return self._runner.source

    @property
    def kernels(self) -> tuple[Any, ...]:
        return KernelTable(self._runner.kernels)

    @property
    def memory(self) -> Memory:
        """The arrays that a call makes: results, and temporaries, which are kept for the next call."""
        return Memory(self._runner.made)

    @property
    def graph(self) -> Graph:
        """What the user wrote, as a graph."""
        return self._graph

    @property
    def signature(self) -> Signature:
        """What the program takes and gives."""
        return self._signature

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arguments, in positional order."""
        return tuple(self._by_name)

    def __repr__(self) -> str:
        return self._text or f"<program {', '.join(self.inputs)} → {', '.join(self._signature.outputs)}>"

    def __copy__(self) -> Program:
        return self  # as a function: nothing about it changes

    def __deepcopy__(self, memo: Any) -> Program:
        return self

    def __reduce__(self) -> Any:
        raise TargetError("A compiled program cannot be pickled.",
                          fix="pickle the tensors, and call gc.compile in the other process: its kernels are on disk. Or use f.save.")

    # ------------------------------------------------------------------------------------------------------ call
    def __call__(self, /, *arrays: Any, out: Any = None, **named: Any) -> Any:
        """Run the program.

        Raises:
            ArgumentError: an argument is missing, unknown or given twice, an integer tensor points outside of its target, or the results
                and temporaries need more memory than ``memory_limit=``, by default than the machine has.
            DtypeError: an array has another dtype than its tensor.
            ShapeError: shapes do not fit the program or each other.
        """
        if self._quick is not None and out is None:
            try:
                made = self._quick(arrays, named)
            except (KeyError, TypeError):
                made = self._quick = None
            if made is not None:
                return self._signature.structure(made)
        place, given = self._arguments.of(arrays, named)
        if isinstance(place, Host):
            return self._signature.structure(self._called(place, given, out))
        with place.using():
            return self._signature.structure(self._called(place, given, out))

    def _called(self, place: Any, given: Mapping[str, Any], out: Any) -> list[Any]:
        prepared = place.bound(self._by_name, given)
        sizes = self._sizes(prepared)
        try:
            results = self._computed(place, prepared, sizes, out)
        except OutOfDeviceMemory as error:
            raise device_full(self._graph, *self._runner.needs(sizes), error.free, error.total) from None
        for name in self._arguments.updated:
            if type(given[name]) is not np.ndarray:
                changed(given[name])
        return results

    def _computed(self, place: Any, prepared: dict[str, Any], sizes: dict[sp.Basic, int], out: Any) -> list[Any]:
        """The results of a call, the arrays of ``out=`` and those that are updated written."""
        self._arguments.unshare(place, prepared)
        before = {name: place.copy(prepared[name]) for name in self._passed}
        if out is None and not self._arguments.updated and not before:
            results = place.run(self._runner, prepared, sizes, {})
            self._hasten(sizes)
            return [place.result(results[name]) for name in self._signature.outputs]
        targets, owners = results_in(self._graph, self._signature, place, out, sizes) if out is not None else ({}, {})
        overlapping = {name for name, target in targets.items() if any(place.overlap(target, a) for a in prepared.values())}
        apart = {name: target for name, target in targets.items() if name not in overlapping}
        results = before | place.run(self._runner, prepared, sizes, apart)
        ordered = []
        for name in self._signature.outputs:
            value = results[name]
            target = targets.get(name)
            if target is None:
                ordered.append(place.result(value))
                continue
            if value is not target:
                place.write(target, value)
            changed(owners[name])
            ordered.append(owners[name])
        for name, new in self._signature.updates:
            if results[new] is not prepared[name]:
                place.write(prepared[name], results[new])
        return ordered

    def into(self, arrays: dict[str, Array], results: Sequence[Array]) -> None:
        """Run the program on NumPy arrays that the caller has checked, and write its results into others, nothing of which overlaps.

        Args:
            arrays: all arguments by name, of their tensors' types.
            results: in the order of the outputs, of their shapes and types.

        Raises:
            GraphcError: as a call of the program, for its shapes and values.
        """
        sizes = self._sizes(arrays)
        names = self._signature.outputs
        made = self._runner.run(arrays, sizes, dict(zip(names, results, strict=True)))
        for name, result in zip(names, results, strict=True):
            value = made[name] if name in made else arrays[name]
            if value is not result:
                result[...] = value

    def _hasten(self, sizes: dict[sp.Basic, int]) -> None:
        """Have a compiled call for a small program that is called often with the same sizes."""
        self._calls += 1
        if self._calls == self._again and self.inputs:
            positional, compiling = self._signature.positional == len(self.inputs), self._calls >= VERY_OFTEN
            self._quick = self._runner.quick(self.inputs, self._signature.outputs, sizes, positional, compiling)
            self._again = max(VERY_OFTEN, 2 * self._calls)

    # ----------------------------------------------------------------------------------------------------- sizes
    def result_shapes(self, shapes: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The shapes of the results for arguments of these shapes, in the order of the outputs; nothing is run.

        Args:
            shapes: of every argument, by name. Extents are ints, or anything that computes and compares as they do, such as the symbolic
                sizes of PyTorch and JAX.

        Raises:
            ShapeError: shapes do not fit the program or each other.
            ArgumentError: a shape is missing.

        >>> import graphc as gc
        >>> i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
        >>> y[i] = x[2*i] + x[2*i + 1]
        >>> gc.compile(y).result_shapes({"x": (9,)})
        [(4,)]
        """
        missing = [name for name in self._by_name if name not in shapes]
        if missing:
            raise ArgumentError(f"The shape of {', '.join(missing)} is missing.", fix="give the shape of every argument.")
        sizes = self._binder.sizes({name: tuple(shapes[name]) for name in self._by_name})
        return [tuple(size_value(e, sizes) for e in self._graph.tensor(name).shape) for name in self._signature.outputs]

    def by_address(self, shapes: Mapping[str, tuple[int, ...]], compiling: bool = True) -> Callable[..., bool] | None:
        """A call for small programs and contiguous arrays of these shapes, whose addresses it takes: inputs, then results.

        It is for callers that hold memory which they have checked themselves. It returns False if the program found a fault, which
        `__call__` then tells. None if there is no such call: the program is large, checks values, or is for another target.

        Args:
            shapes: of every argument, by name.
            compiling: whether it may be compiled if it is not on disk.
        """
        make = getattr(self._runner, "by_address", None)
        if make is None or self._arguments.updated:
            return None
        sizes = self._binder.sizes({name: tuple(shapes[name]) for name in self._by_name})
        found: Callable[..., bool] | None = make(self.inputs, self._signature.outputs, sizes, compiling)
        return found

    def _sizes(self, arrays: dict[str, Array]) -> dict[sp.Basic, int]:
        key = tuple(array.shape for array in arrays.values())
        if key not in self._bound:
            sizes = self._binder.sizes({name: array.shape for name, array in arrays.items()})
            self._check_memory(self._runner, sizes)
            self._bound[key] = sizes
        return self._bound[key]

    def _check_memory(self, runner: Runner, sizes: Mapping[sp.Basic, int]) -> None:
        check_memory(self._graph, *runner.needs(sizes), runner.memory() if self._memory_limit is None else None, self._memory_limit,
                     "GPU" if self._has_device else "machine")

    # ----------------------------------------------------------------------------------------------------- state
    def init(self, seed: int = 0, device: Any = None, **sizes: int) -> dict[str, Any]:
        """New arrays for the parameters and for everything that `updates` change, from their initialisers.

        Args:
            seed: of NumPy's default generator; equal seeds give equal arrays.
            device: where they lie: None or "cpu" for NumPy arrays; "cuda", "cuda:1" or a number for arrays of Numba on that GPU; a
                ``torch.device`` or ``cupy.cuda.Device`` for arrays of PyTorch (on the host, too) or CuPy there.
            sizes: values of the symbolic sizes in the shapes, by name.

        Raises:
            ArgumentError: a size is missing, or there is no such device.
            TargetError: nothing can run on a GPU here.
        """
        tensors = [t for t in self._signature.inputs if t.kind == "parameter" or t.name in self._arguments.updated]
        self.known_sizes(sizes)
        try:
            generator = np.random.default_rng(seed)
        except (TypeError, ValueError):
            raise ArgumentError(f"seed={seed!r} is no seed.", fix="give a non-negative integer.") from None
        return placed({tensor.name: new_array(tensor, generator, sizes) for tensor in tensors}, device)

    def wait(self) -> None:
        """Wait until the GPU has done all calls of this program; they return before, if their arrays are on a GPU.

        Raises:
            ArgumentError: an integer tensor pointed outside in one of them, or an extremum was over nothing: their results are not valid,
                and nothing was updated since. The next call raises it otherwise, as far as it is known by then.
        """
        if self._has_device:
            cast(Any, self._runner).wait()

    def known_sizes(self, sizes: Mapping[str, int]) -> set[str]:
        """The names of all sizes.

        Raises:
            ArgumentError: one that is given is not among them.
        """
        known = {str(size) for tensor in self._graph.tensors for extent in tensor.shape for size in sizes_of(extent)}
        for name in sizes:
            if name not in known:
                raise ArgumentError(f"The program has no size {name}; it has {', '.join(sorted(known)) or 'none'}.",
                                    fix=similar(name, tuple(known)))
        return known

    def report(self, **sizes: int) -> Report:
        """What a call takes up in memory, and on a GPU how its kernels are queued.

        Args:
            sizes: values of the symbolic sizes, by name; those of the last call if none are given.

        Raises:
            ArgumentError: a size is missing.

        >>> import graphc as gc
        >>> i = gc.index("i")
        >>> x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
        >>> y[i] = 2*x[i]
        >>> gc.compile(y).report(N=1000).peak
        8000
        """
        missing = sorted(self.known_sizes(sizes) - sizes.keys())
        if missing and (sizes or not self._bound):
            raise ArgumentError(f"The size {', '.join(missing)} is not known.",
                                fix=f"call report({', '.join(f'{n}=…' for n in missing)}), or the program before.")
        values = next(reversed(self._bound.values())) if missing else size_values(sizes)
        return report(self._graph, self._by_name, *self._runner.needs(values), values, getattr(self._runner, "launching", ""))

    # ------------------------------------------------------------------------------------------------------ checks
    def bind(self, named: Mapping[str, Any]) -> tuple[dict[str, Array], dict[sp.Basic, int]]:
        """The arguments as arrays, and the sizes that their shapes give; refused as by a call."""
        return self._on_host((), dict(named))

    def part(self, graph: Graph, updates: tuple[tuple[str, str], ...]) -> Runner:
        """A part of the program, compiled as the whole was.

        Args:
            graph: its statements.
            updates: (input, tensor with its new value) that may be written in place.
        """
        return self._part(graph, updates, **self.options)

    def given(self, arrays: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Array]:
        """The arguments of a call as arrays of the host, whatever their sizes; refused as by a call.

        Those that share memory with what is updated are copies.
        """
        place, values = self._arguments.of(arrays, named)
        if place is not HOST:
            raise ArgumentError("An argument is on a GPU, but the arrays of all arguments have to be on the host here.",
                                fix="copy it to the host.")
        prepared: dict[str, Array] = HOST.bound(self._by_name, values)
        self._arguments.unshare(HOST, prepared)
        return prepared

    def _on_host(self, arrays: tuple[Any, ...], named: dict[str, Any]) -> tuple[dict[str, Array], dict[sp.Basic, int]]:
        """The arguments as arrays of the host, copied there if need be, and their sizes."""
        _, given = self._arguments.of(arrays, named)
        prepared = HOST.bound(self._by_name, {name: on_host(given[name]) for name in self._by_name})
        return prepared, self._sizes(prepared)

    def find_nan(self, /, *arrays: Any, **named: Any) -> NonFinite | None:
        """Run the program once more with every intermediate tensor kept, and find the first element that becomes NaN or infinite.

        An infinity that the arguments or the program itself contain, as the ``-inf`` of a mask, counts only when a NaN comes of it, or
        a result is infinite. If a result is not finite, only what can have led to it is looked at. The first call compiles the program
        anew, without the fusion that would leave tensors out; nothing is updated.

        Args:
            arrays, named: as for a call of the program.

        Returns:
            What was found, true as a condition: the statement, the element, the loop indices, and the operands with their values.
            None if there is nothing.

        Raises:
            GraphcError: as a call of the program.

        >>> import numpy as np, graphc as gc
        >>> i = gc.index("i")
        >>> x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
        >>> y[i] = gc.log(x[i])
        >>> found = gc.compile(y, target="interpret").find_nan(x=np.float32([1, -2]))
        >>> found.tensor, found.index, found.operands
        ('y', (1,), {'x[1]': -2.0})
        """
        prepared, sizes = self._on_host(arrays, named)
        graph, runner = self._witness()
        self._check_memory(runner, sizes)
        values = prepared | runner.run({n: a for n, a in prepared.items() if n in graph.by_name()}, sizes, {})
        results = (*self._signature.outputs, *(new for _, new in self._signature.updates))
        return first_nonfinite(graph, values, sizes, tuple(dict.fromkeys(results)))

    def profile(self, /, *arrays: Any, **named: Any) -> Profile:
        """Run the program several times with a clock, and tell where the time goes.

        A program that is the same except that all threads meet after each kernel is compiled and run; nothing is updated. `kernels` have
        their `time` from then on. The machine's limits, multiply-adds in registers and copying, are measured once per process.

        Args:
            arrays, named: as for a call of the program.

        Returns:
            A table, printed or shown by a notebook: per kernel seconds, operations and bytes per second, the share of the machine's limit,
            the plan and its reason.

        Raises:
            TargetError: the target is not "cpu".
            GraphcError: as a call of the program.
        """
        prepared, sizes = self._on_host(arrays, named)
        runner = self._profiler()
        result = profiled(runner, prepared, sizes, self._arguments.updated)
        if len(result.rows) == len(self._runner.kernels):
            self._runner.kernels = tuple(replace(k, time=row.time) for k, row in zip(self._runner.kernels, result.rows, strict=True))
        return result

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program as files that need no graphc, by the ending of the path.

        ``f.save("net.py")`` writes a module for NumPy and Numba with a function ``net(X, A, …)``; what `updates` change and the
        parameters come first, in a dictionary ``state``, for which ``init(seed)`` makes new arrays. ``f.save("net.c")`` writes a C99
        file and ``net.h``, and ``f.save("net.so")`` compiles that for this machine.

        Raises:
            CompileError: the target has no such form, or the C compiler fails.
            TargetError: there is no C compiler.
            ArgumentError: the path is no such name.
        """
        from graphc.export.save import save

        save(getattr(self._runner, "program", None), self._graph, self._signature, path)
