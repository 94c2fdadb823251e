"""One epoch of training, and one look at validation data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc
from graphc.calls.foreign import viewed
from graphc.training.batches import Batches

__all__ = ["Loop", "check"]


@dataclass(frozen=True)
class Loop:
    """A compiled step, and what it is called with.

    Attributes:
        step: the program, whose outputs are the loss, the metrics and the learning rates that are computed.
        rates: all learning rates by name: numbers, arguments and what `step` computes.
        held: names of the arguments that the state provides.
        batches: the examples.
        count: how many batches make an epoch.
        shuffle, seed: whether each epoch has an order of its own, and what it depends on.
    """

    step: gc.Program
    rates: dict[str, Any]
    held: frozenset[str]
    batches: Batches
    count: int
    shuffle: bool
    seed: int

    @classmethod
    def of(
        cls, outputs: dict[str, gc.Tensor], rates: dict[str, Any], updates: Mapping[gc.Tensor, gc.Tensor], data: Mapping[str, Any],
        arguments: Mapping[str, Any], batch_size: int | None, shuffle: bool, drop_last: bool, seed: int, target: str,
    ) -> Loop:
        """Compile the step and divide the examples."""
        computed = {name: rate for name, rate in rates.items() if isinstance(rate, gc.Tensor) and rate.statements}
        step = gc.compile(outputs | computed, updates=updates, target=target)
        changed = dict(step.signature.updates)
        held = frozenset(t.name for t in step.signature.inputs if t.kind == "parameter" or t.name in changed)
        batches = Batches.of(step, "data", data, arguments, held, batch_size)
        count = batches.rows // batches.size if drop_last else -(-batches.rows // batches.size)
        return cls(step, rates, held, batches, count, shuffle, seed)

    def check_sizes(self, state: Mapping[str, Any]) -> None:
        """Refuse batches whose sizes the program does not allow, before the first step.

        Raises:
            GraphcError: as a call of the program.
        """
        for batch in dict.fromkeys((0, self.count - 1)):
            rows, shapes = self.batches.shapes(batch, self.step)
            shapes |= {name: array.shape for name, array in state.items() if name in self.step.inputs}
            if shapes.keys() < set(self.step.inputs):
                return
            try:
                self.step.result_shapes(shapes)
            except gc.ArgumentError as error:
                if rows == self.batches.size:
                    raise
                raise type(error)(f"{error.what}\n\n  It is the last batch of each epoch: {rows} of {self.batches.rows} examples.",
                                  fix="leave it out, drop_last=True, or choose another batch_size=.") from None

    def state(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """New parameters and the like, those that are given in the place of initial values.

        Raises:
            ArgumentError: nothing that is given is of this program.
            ShapeError: what is given has another shape.
            DtypeError: it has another kind of numbers.
        """
        state = self.step.init(self.seed, **self.batches.sizes(self.step))
        if given and not state.keys() & given.keys():
            raise gc.ArgumentError(f"state= has none of the arrays of the program, {', '.join(state)}.",
                                   fix="begin with arrays by the names of the parameters.")
        for name, array in state.items():
            if name in given:
                found = viewed(name, given[name]) if not isinstance(given[name], list | tuple | int | float) else np.asarray(given[name])
                if found.shape != array.shape:
                    raise gc.ShapeError(f"{name} of state= has shape {found.shape} instead of {array.shape}.",
                                        fix="begin with arrays of the program's shapes.")
                if not np.can_cast(found.dtype, array.dtype, "same_kind"):
                    raise gc.DtypeError(f"{name} of state= has dtype {found.dtype} instead of {array.dtype}.",
                                        fix=f'begin with {name}.astype("{array.dtype}").')
                array[...] = found
        return state

    def bar(self, done: int, epochs: int, progress: bool | None) -> Any:
        """A progress bar over all steps."""
        from tqdm import tqdm

        hidden = None if progress is None else not progress
        return tqdm(total=epochs * self.count, initial=done * self.count, unit="step", smoothing=0, disable=hidden)

    def epoch(self, number: int, state: dict[str, Any], bar: Any) -> tuple[dict[str, float], list[float]]:
        """Train on every example once.

        Returns:
            The means over the examples and the learning rates of the last step, by name; and the loss of each step.

        Raises:
            DivergenceError: a loss is infinite or no number.
        """
        bar.set_description(f"epoch {number}")
        rows, means = self.batches.rows, _Means()
        losses: list[float] = []
        order = np.random.default_rng([self.seed, number]).permutation(rows) if self.shuffle and rows > self.batches.size else None
        for batch in range(self.count):
            taken = (number - 1) * self.count + batch
            weight, arrays = self.batches.at(batch, taken, order)
            place = f"epoch {number}, batch {batch + 1} of {self.count}"
            results = self._called(state, arrays, place, batch, order)
            rates = {name: results.pop(name) if name in results else _rate(rate, arrays) for name, rate in self.rates.items()}
            if not math.isfinite(results["loss"]):
                raise self._diverged(place, results["loss"], losses, rates, arrays)
            losses.append(results["loss"])
            means.add(results, weight)
            bar.update()
        return means.values() | rates, losses

    def _called(self, state: dict[str, Any], arrays: dict[str, Any], place: str, batch: int, order: Any) -> dict[str, float]:
        """The numbers of a step; an error notes which examples it was given."""
        try:
            return {name: float(value) for name, value in self.step(state, **arrays).items()}
        except gc.ArgumentError as error:
            shuffled = "" if order is None else f", whose examples are {order[batch * self.batches.size :][: self.batches.size].tolist()}"
            error.add_note(f"In {place}: subscripts are those of the batch{shuffled}.")
            raise

    def _diverged(
        self, place: str, loss: float, losses: list[float], rates: dict[str, float], arrays: dict[str, Any]
    ) -> gc.DivergenceError:
        rate = "".join(f", with {'the learning rate' if name == 'lr' else name} {value:.4g}" for name, value in rates.items())
        before = f" The step before had the loss {losses[-1]:.4g}." if losses else ""
        bad = [name for name, array in arrays.items() if np.asarray(array).dtype.kind == "f" and not np.isfinite(array).all()]
        if bad:
            return gc.DivergenceError(f"The loss is {loss} in {place}{rate}.{before} {', '.join(bad)} of this batch "
                                      f"{'have' if len(bad) > 1 else 'has'} elements that are infinite or no numbers.",
                                      fix="leave these examples out.")
        return gc.DivergenceError(f"The loss is {loss} in {place}{rate}.{before}",
                                  fix="take a smaller learning rate, or clip the gradients: gc.optim.clip_grad_norm(loss, 1.0). "
                                      "step.find_nan(state, …) of a compiled step names the first element that is not finite.")


def check(
    outputs: dict[str, gc.Tensor], loop: Loop, data: Mapping[str, Any] | None, arguments: Mapping[str, Any], batch_size: int | None,
    target: str,
) -> Callable[[dict[str, Any], int], dict[str, float]]:
    """A function from a state and the number of steps taken to the means of the outputs over validation data, if there are any.

    Raises:
        ArgumentError: the data is not what the program takes, or there are arguments that neither program takes.
    """
    program = gc.compile(outputs, target=target) if data is not None else loop.step
    known = {name: None for p in (loop.step, program) for name in (*p.inputs, *p.signature.unneeded) if name not in loop.held}
    for name in arguments:
        if name not in known:
            why = "belongs to the state" if name in loop.held else "is no argument of the program"
            raise gc.ArgumentError(f"arguments= has {name}, which {why}.", fix=f"the program takes {', '.join(known) or 'none'}.")
    if data is None:
        return lambda state, steps: {}
    batches = Batches.of(program, "validation", data, arguments, loop.held, batch_size, loop.step.inputs)

    def look(state: dict[str, Any], steps: int) -> dict[str, float]:
        means = _Means()
        for batch in range(-(-batches.rows // batches.size)):
            weight, arrays = batches.at(batch, steps)
            means.add({name: float(value) for name, value in program(state, **arrays).items()}, weight)
        return means.values()

    return look


class _Means:
    """Means of numbers by name, weighted by how many examples they stand for."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weight = 0

    def add(self, numbers: Mapping[str, float], weight: int) -> None:
        for name, number in numbers.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * number
        self._weight += weight

    def values(self) -> dict[str, float]:
        return {name: total / self._weight for name, total in self._sums.items()}


def _rate(rate: Any, arrays: Mapping[str, Any]) -> float:
    """A learning rate that is a number, or an argument of the step."""
    return float(arrays.get(rate.name, math.nan)) if isinstance(rate, gc.Tensor) else float(rate)
