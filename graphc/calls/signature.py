"""What a program takes and gives, checked when it is compiled."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import sympy as sp

from graphc.calls.memory import bytes_of
from graphc.errors import ArgumentError, CompileError, GraphcError, NotationError, TargetError
from graphc.frontend.collect import Program as Collected
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.ir.expr import Size
from graphc.ir.graph import Graph
from graphc.ir.show import expression, statement_body
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor as TensorInfo
from graphc.ir.tree import sizes_of
from graphc.structure import flatten

__all__ = ["Signature", "argument_order", "check_options", "check_sizes", "similar", "sizing", "structured", "update_names"]


TARGETS = ("cpu", "cuda", "interpret")


@dataclass(frozen=True)
class Signature:
    """What a program takes and gives.

    Attributes:
        inputs: argument tensors; those of ``inputs=`` first, in that order.
        outputs: names of result tensors, in the order in which they were asked for.
        structure: rebuilds what the user passed as outputs from a sequence of arrays.
        updates: (argument name, name of the tensor with its new value).
        positional: how many of the inputs may be given by position.
        unneeded: names of inputs of the user's statements that no result depends on; arrays for them are ignored.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[str, ...]
    structure: Callable[[Sequence[Any]], Any]
    updates: tuple[tuple[str, str], ...] = ()
    positional: int = 0
    unneeded: frozenset[str] = frozenset()

    def by_name(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments given by position and by name, all by name.

        Raises:
            ArgumentError: there are too many, or one is unknown or given twice.
        """
        names = [t.name for t in self.inputs]
        positions = names[: self.positional]
        if len(arrays) > len(positions):
            takes = f"only {len(positions)}: {', '.join(positions)}" if positions else "none: it was compiled without inputs="
            many = f"{len(arrays)} argument{'s are' if len(arrays) > 1 else ' is'}"
            raise ArgumentError(f"{many} given by position, but the program takes {takes}.",
                                fix=f"pass arguments by name ({', '.join(f'{n}=…' for n in names)}), or compile with inputs=[…].")
        by_position = dict(zip(positions, arrays, strict=False))
        for name in named:
            if name not in names and name not in self.unneeded:
                raise ArgumentError(f"The program has no argument {name}; it takes {', '.join(names) or 'none'}.", fix=similar(name, names))
            if name in by_position:
                raise ArgumentError(f"The argument {name} is given by position and by name.", fix="give it once.")
        return {**by_position, **named}

    def complete(self, arrays: Sequence[Any], named: Mapping[str, Any], maker: str) -> dict[str, Any]:
        """All arguments by name, given by position, by name, or in a first dictionary that may hold more.

        Args:
            arrays, named: as for a call.
            maker: what makes the parameters, for messages.

        Raises:
            ArgumentError: there are too many, or one is missing, unknown or given twice.
        """
        state: Mapping[str, Any] = {}
        if arrays and isinstance(arrays[0], Mapping):
            state, arrays = arrays[0], arrays[1:]
        given = {t.name: state[t.name] for t in self.inputs if t.name in state} | self.by_name(arrays, named)
        self.check_complete(given, state, maker)
        return given

    def check_complete(self, given: Mapping[str, Any], state: Mapping[Any, Any] | None = None, maker: str = "") -> None:
        """Refuse arguments by name of which some are missing.

        Args:
            given: by name.
            state: the dictionary that some of them come from.
            maker: what makes the parameters, for messages; ``init``, which makes more, if it is not said.

        Raises:
            ArgumentError: one is missing.
        """
        lacking = [t for t in self.inputs if t.name not in given]
        missing = [t.name for t in lacking]
        if missing:
            other = next((key for key in state or () if not isinstance(key, str)), None)
            if other is not None:
                raise ArgumentError(f"The dictionary of arguments has the key {shown(other)}, but its keys are names of tensors.",
                                    fix="write them as texts: {" + ", ".join(f'"{n}": …' for n in missing) + "}.")
            several = len(missing) > 1
            fix = f"call it with {', '.join(f'{n}=…' for n in missing)}."
            if any("." in name for name in missing):
                fix = "pass a dictionary with them as the first argument"
                if not maker:
                    fix += "; init(seed=0) makes one of the parameters and of what updates= change, such as the net.updates of layers"
                elif any(t.kind == "parameter" for t in lacking):
                    fix += f"; {maker}"
                fix += "."
            raise ArgumentError(f"The argument{'s' * several} {', '.join(missing)} {'are' if several else 'is'} missing.", fix=fix)


def similar(name: str, known: Sequence[str]) -> str:
    """What to write instead of a name that is not known."""
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lower, 1)
    return f"did you mean {lower[close[0]]}?" if close else "check the name."


def _refusal(kind: type[GraphcError], what: str, text: str, culprit: str, fix: str) -> GraphcError:
    """An error about a call of `graphc.compile`, at the user's line; `text` is what stands between its parentheses."""
    return kind(what, at=((f"compile({text})", culprit, here()),), fix=fix)


def structured(outputs: Any) -> tuple[list[Tensor], Callable[[Sequence[Any]], Any]]:
    """The tensors in what the user passed as outputs, and the function that puts arrays into the same structure.

    Raises:
        NotationError: it is no tensor, list, tuple or dict (whose parts may be lists, tuples and dicts).
    """
    if isinstance(outputs, Tensor | Mapping | list | tuple):
        return flatten(outputs)
    raise _refusal(NotationError, f"gc.compile takes a tensor, a list or a dict of tensors, not {shown(outputs)}.", shown(outputs),
                   shown(outputs),
                   "pass the tensors themselves, without subscripts: gc.compile([L, dA]).")


def argument_order(collected: Collected, inputs: Any) -> tuple[tuple[str, ...], int]:
    """Names of all inputs, those of ``inputs=`` first, and how many were named there.

    Raises:
        ArgumentError: ``inputs=`` is no list of different input tensors.
    """
    names = [t.name for t in collected.graph.tensors if t.is_input]
    if inputs is None:
        return tuple(names), 0
    if not isinstance(inputs, list | tuple):
        raise _refusal(ArgumentError, "inputs= takes a list of tensors.", f"…, inputs={shown(inputs)}", shown(inputs),
                       f"write inputs=[{shown(inputs)}].")
    chosen: list[str] = []
    for tensor in inputs:
        text = f"…, inputs=[{', '.join(map(shown, inputs))}]"
        if not isinstance(tensor, Tensor):
            raise _refusal(ArgumentError, f"inputs= takes tensors, not {shown(tensor)}.", text, shown(tensor),
                           "pass the tensors themselves.")
        name = collected.name_of(tensor)
        if tensor.statements:
            raise _refusal(ArgumentError, f"{tensor.name} is defined by statements and cannot be an input.", text, tensor.name,
                           "leave it out of inputs=.")
        if name in chosen:
            raise _refusal(ArgumentError, f"{tensor.name} is twice in inputs=.", text, tensor.name, "name each input once.")
        if name not in names:
            raise _refusal(ArgumentError, f"The outputs do not depend on {tensor.name}.", text, tensor.name, "leave it out of inputs=.")
        chosen.append(name)
    return (*chosen, *(n for n in names if n not in chosen)), len(chosen)


def check_options(
    outputs: Sequence[Tensor], target: Any, updates: Any, accumulate: Any, threads: Any, precision: Any, memory_limit: Any = None,
    tune: Any = False,
) -> None:
    """Refuse what no program can be compiled with.

    Raises:
        TargetError: there is no such target.
        CompileError: an option has no such value, or there is nothing to compute.
    """
    if not (isinstance(target, str) and target in TARGETS):
        raise _refusal(TargetError, f"There is no target {shown(target)}.", f"…, target={shown(target)}", shown(target),
                       f"use one of {', '.join(TARGETS)}.")
    if updates is not None and not (isinstance(updates, Mapping) and all(isinstance(t, Tensor) for pair in updates.items() for t in pair)):
        culprit = shown(updates)
        if isinstance(updates, Mapping):
            culprit = next(shown(t) for pair in updates.items() for t in pair if not isinstance(t, Tensor))
        text = f"…, updates={{{culprit}: …}}" if isinstance(updates, Mapping) else f"…, updates={culprit}"
        raise _refusal(CompileError, "updates= takes a dict from input tensors to tensors with their new values.", text, culprit,
                       "write updates={W: W_new}.")
    if not outputs and not updates:
        raise _refusal(CompileError, "There is nothing to compute.", "[]", "[]",
                       "name at least one output: gc.compile(L), or updates={W: W_new}.")
    if threads is not None and (not isinstance(threads, Integral) or isinstance(threads, bool) or threads < 1):
        raise _refusal(CompileError, f"threads={shown(threads)} is no number of threads.", f"…, threads={shown(threads)}", shown(threads),
                       "give a positive integer, or leave it out for one thread per core.")
    if not isinstance(tune, bool) or (tune and target != "cpu"):
        complaint = f"tune={shown(tune)} is neither True nor False." if not isinstance(tune, bool) else (
            f'tune=True times kernels of the target "cpu", not of "{target}".')
        raise _refusal(CompileError, complaint, f"…, tune={shown(tune)}", shown(tune),
                       "leave it out." if isinstance(tune, bool) else "give True to time candidates at the first call, or leave it out.")
    if memory_limit is not None and bytes_of(memory_limit) is None:
        limit = shown(memory_limit)
        raise _refusal(CompileError, f"memory_limit={limit} is no amount of memory.", f"…, memory_limit={limit}", limit,
                       'give a number of bytes, or a text such as "500 MB" or "2 GiB".')
    if isinstance(precision, str) and precision == "tf32" and target != "cuda":
        raise _refusal(CompileError, f'precision="tf32" is that of tensor cores, which the target "{target}" does not have.',
                       '…, precision="tf32"', '"tf32"', 'use target="cuda", or precision="float32".')
    precisions = ("float32", "float64", "tf32") if target == "cuda" else ("float32", "float64")
    for option, value, values in (("accumulate", accumulate, ("float32", "float64")), ("precision", precision, precisions)):
        if value is not None and not (isinstance(value, str) and value in values):
            raise _refusal(CompileError, f"{option}={shown(value)} is not supported.", f"…, {option}={shown(value)}", shown(value),
                           f"use one of {', '.join(values)}.")


def update_names(collected: Collected, updates: Mapping[Tensor, Tensor]) -> tuple[tuple[str, str], ...]:
    """Names of (updated input, its new value).

    Raises:
        ArgumentError: the updated tensor is no input, or its new value has another shape or dtype.
    """
    changed = []
    for old, new in updates.items():
        name, value = collected.name_of(old), collected.name_of(new)
        before, after = collected.graph.tensor(name), collected.graph.tensor(value)
        text = f"…, updates={{{old.name}: {new.name}}}"
        if not before.is_input:
            raise _refusal(ArgumentError, f"updates= cannot change {old.name}, which is defined by statements.", text, old.name,
                           "update inputs and parameters only.")
        if before.shape != after.shape or before.dtype != after.dtype:
            shapes = [f"shape ({', '.join(map(expression, t.shape))}) and dtype {t.dtype}" for t in (before, after)]
            raise _refusal(ArgumentError, f"{old.name} has {shapes[0]}, but its update {new.name} has {shapes[1]}.", text, new.name,
                           "define the new value on the same indices, from values of the same type.")
        changed.append((name, value))
    return tuple(changed)


def sizing(graph: Graph, others: Sequence[TensorInfo]) -> list[str]:
    """Names of `others` that have to be arguments because no tensor that the graph reads has some size in its shape."""
    inputs, made = ({size for tensor in graph.tensors if tensor.is_input is read for extent in tensor.shape for size in sizes_of(extent)}
                    for read in (True, False))
    wanted = (made | {size for s in graph.statements for _, part in _sized_parts(s) for size in sizes_of(part)}) - inputs
    found = []
    for tensor in others if wanted else ():
        told = wanted & {size for extent in tensor.shape for size in sizes_of(extent)}
        if told:
            found.append(tensor.name)
            wanted -= told
    return found


def check_sizes(graph: Graph, inputs: Sequence[TensorInfo]) -> None:
    """Refuse sizes that no argument can determine.

    Raises:
        CompileError: a size occurs in no shape of an input.
    """
    known = {size for tensor in inputs for extent in tensor.shape for size in sizes_of(extent)}
    for statement in graph.statements:
        for culprit, part in _sized_parts(statement):
            unknown: list[Size] = [size for size in sizes_of(part) if size not in known]
            if unknown:
                name = str(unknown[0])
                size = f"{name}, the range of {culprit}," if culprit else name
                raise CompileError(f"The size {size} is not determined by the shape of any argument.",
                                   at=((statement_body(statement), culprit or name, statement.location),),
                                   fix=f"declare an input with the size {name} in its shape, or use an integer instead.")


def _sized_parts(statement: Statement) -> Iterator[tuple[str, sp.Expr]]:
    """Expressions that may contain sizes, each with the index that it limits."""
    for part in (*statement.subscripts, statement.value, *statement.domain):
        yield "", part
    for r in statement.ranges:
        yield str(r.index), r.lower + r.upper
