"""Which arrays each call of a compiled program gets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gc
from graphc.calls.arrays import bound_array

__all__ = ["Batches"]


@dataclass(frozen=True)
class Batches:
    """The examples of one program, in batches.

    Attributes:
        data: arrays whose first dimension counts the examples, by argument.
        arguments: what every call gets, by argument: a value, or a function of the number of steps taken.
        rows: how many examples there are.
        size: of a batch; the last one may be smaller.
    """

    data: dict[str, NDArray[Any]]
    arguments: dict[str, Any]
    rows: int
    size: int

    @classmethod
    def of(
        cls, program: gc.Program, where: str, data: Mapping[str, Any], arguments: Mapping[str, Any], held: Collection[str],
        batch_size: int | None, others: Collection[str] = (),
    ) -> Batches:
        """The batches for a program.

        Args:
            program: what is called.
            where: "data" or "validation", for messages.
            data, arguments: what the user gives.
            held: names that the state provides.
            batch_size: None for all examples at once.
            others: names in `data` that this program may do without.

        Raises:
            ArgumentError: an argument is missing, unknown or given twice, is no array, or there are no examples.
            DtypeError: an array has another dtype than the tensor.
            ShapeError: arrays have different numbers of examples, or no first dimension to count them.
        """
        inputs = {t.name: t for t in program.signature.inputs}
        known = inputs.keys() | program.signature.unneeded | set(others)
        for name in data:
            if name not in known or name in held or name in arguments:
                why = ("belongs to the state" if name in held else "is in arguments= as well" if name in arguments
                       else "is no argument of the program")
                wanted = ", ".join(n for n in inputs if n not in held) or "none"
                raise gc.ArgumentError(f"{where}= has {name}, which {why}.", fix=f"the program takes {wanted}.")
        missing = [name for name in inputs if name not in data and name not in arguments and name not in held]
        untrained = [name for name in missing if inputs[name].kind == "parameter"]
        if untrained:
            raise gc.ArgumentError(f"{where}= is looked at with {', '.join(untrained)}, which training does not know.",
                                   fix="add what layers keep to the updates: gc.optim.adam(loss) | net.updates.")
        kept = [name for name in missing if "." in name and not inputs[name].shape]
        if kept:
            raise gc.ArgumentError(f"{where}= lacks {', '.join(kept)}, which a layer keeps and changes.",
                                   fix="add what layers keep to the updates: gc.optim.adam(loss) | net.updates.")
        if missing:
            raise gc.ArgumentError(f"{where}= lacks {', '.join(missing)}, which the program needs.",
                                   fix=f"add an array with a row per example, {where}={{{missing[0]!r}: …}}, or what is the same for all "
                                       f"of them to arguments={{{missing[0]!r}: …}}.")
        arrays = {name: bound_array(inputs[name], array) for name, array in data.items() if name in inputs}
        rows = _rows(arrays, where)
        size = rows if batch_size is None else min(batch_size, rows)
        for name in arrays:
            extent = inputs[name].shape[0]
            if extent.is_Integer and (extent != size or rows % size):
                raise gc.ShapeError(f"{name} has {extent} rows in the program, but batches of {where}= have {size}"
                                    + (f" and {rows % size}." if rows % size else "."),
                                    fix=f"declare its first dimension by a size, gc.dim(\"N\"), or choose batch_size={extent} and a "
                                        "multiple of it as the number of examples.")
        return cls(arrays, {n: a for n, a in arguments.items() if n in inputs}, rows, size)

    def at(self, number: int, step: int, order: NDArray[Any] | None = None) -> tuple[int, dict[str, Any]]:
        """How many examples a batch has, and the arguments of its call.

        Args:
            number: of the batch, from 0.
            step: how many steps were taken before.
            order: in which the examples come.
        """
        part: Any = slice(number * self.size, min((number + 1) * self.size, self.rows))
        count = part.stop - part.start
        if order is not None:
            part = order[part]
        others = {name: value(step) if callable(value) else value for name, value in self.arguments.items()}
        return count, {name: array[part] for name, array in self.data.items()} | others

    def shapes(self, number: int, program: gc.Program) -> tuple[int, dict[str, tuple[int, ...]]]:
        """How many examples a batch has, and the shapes of its arguments, as far as they are known before they are asked for."""
        rows = min(self.size, self.rows - number * self.size)
        found = {name: (rows, *array.shape[1:]) for name, array in self.data.items()}
        for tensor in program.signature.inputs:
            value = self.arguments.get(tensor.name)
            if value is not None and (not tensor.shape or not callable(value)):
                found[tensor.name] = tuple(getattr(value, "shape", ())) if callable(value) or hasattr(value, "shape") else np.shape(value)
        return rows, found

    def sizes(self, program: gc.Program) -> dict[str, int]:
        """The symbolic sizes that the shapes of the arrays tell, but for the number of examples."""
        found = {}
        for tensor in program.signature.inputs:
            array = self.data.get(tensor.name, self.arguments.get(tensor.name))
            for d, (extent, number) in enumerate(zip(tensor.shape, getattr(array, "shape", ()), strict=False)):
                if extent.is_Symbol and not (d == 0 and tensor.name in self.data):
                    found[str(extent)] = number
        return found


def _rows(arrays: Mapping[str, NDArray[Any]], where: str) -> int:
    """The number of examples, which all arrays have; 1 if there are no arrays."""
    for name, array in arrays.items():
        if not array.ndim:
            raise gc.ShapeError(f"{name} of {where}= is a number; the first dimension of data counts the examples.",
                                fix=f"give what is the same for all examples as arguments={{{name!r}: …}}.")
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise gc.ShapeError(f"The arrays of {where}= have different lengths: {', '.join(f'{n} {k}' for n, k in rows.items())}.",
                            fix="give each a row per example; what is the same for all examples belongs into arguments=.")
    if 0 in rows.values():
        raise gc.ArgumentError(f"There are no examples in {where}=.", fix="give at least one row.")
    return next(iter(rows.values()), 1)
