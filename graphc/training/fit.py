"""The loop over epochs and batches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import graphc as gc
from graphc.training.checkpoint import Run, read, write
from graphc.training.history import History
from graphc.training.loop import Loop, check
from graphc.training.options import checked, outputs_of, told_rate

__all__ = ["Epoch", "Fit", "fit"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What a callback is told.

    Attributes:
        number: of the epoch that has ended, from 1.
        epochs: how many there may be.
        steps: how many steps have been taken in all.
        values: the numbers of this epoch, by the names of `History`; ``epoch["loss"]`` is one of them.
        seconds: how long it took.
        state: parameters and the state of the optimiser, as they are now.
    """

    number: int
    epochs: int
    steps: int
    values: Mapping[str, float]
    seconds: float
    state: dict[str, Any] = field(repr=False)

    def __getitem__(self, name: str) -> float:
        return self.values[name]


class Fit(NamedTuple):
    """What a training gives: ``state, history = gc.fit(…)``.

    Attributes:
        state: parameters and the state of the optimiser, by name: the first argument of programs.
        history: the numbers of every epoch.
    """

    state: dict[str, Any]
    history: History

    def __repr__(self) -> str:
        return f"{len(self.state)} arrays after {self.history}"

    def _repr_html_(self) -> str:
        return self.history._repr_html_()


def fit(
    loss: gc.Tensor, updates: Mapping[gc.Tensor, gc.Tensor], data: Mapping[str, Any] | None = None, *, epochs: int = 1,
    batch_size: int | None = 32, shuffle: bool = True, drop_last: bool = False, seed: int = 0, validation: Mapping[str, Any] | None = None,
    metrics: Mapping[str, gc.Tensor] | None = None, validation_metrics: Mapping[str, gc.Tensor] | None = None,
    arguments: Mapping[str, Any] | None = None, state: Mapping[str, Any] | None = None, patience: int | None = None,
    monitor: str | None = None, maximize: bool = False, callbacks: Callable[[Epoch], Any] | Iterable[Callable[[Epoch], Any]] = (),
    checkpoint: str | os.PathLike[str] | None = None, resume: bool = False, progress: bool | None = None, target: str = "cpu",
) -> Fit:
    """Train: compile the step, and call it for every batch of every epoch.

    The order of the examples in an epoch depends on the seed and on the number of the epoch alone, so that a training that goes on from a
    checkpoint has, bit by bit, the weights of one that was never interrupted.

    Args:
        loss: a scalar tensor.
        updates: what an optimiser makes of it, ``gc.optim.adam(loss)``, joined by ``|`` with those of layers.
        data: arrays by argument, each with a row per example. Without it, an epoch is one call.
        epochs: how often all examples are seen.
        batch_size: examples per step, fewer in the last one; None for all at once.
        shuffle: whether each epoch has another order.
        drop_last: whether a last batch that is smaller is left out.
        seed: of the initial parameters and of the order of the examples.
        validation: as `data`, examples that are not trained on, looked at after each epoch; their numbers are called ``val_loss``, ….
        metrics: more scalar tensors by name. Like the loss, they are averaged over the examples of an epoch.
        validation_metrics: tensors that take the place of the loss (``"loss"``) or of metrics for the validation data: those of
            ``net(x, training=False)``, where dropout or batch normalisation are in the net.
        arguments: the other arguments of the program: values, or functions of the number of steps taken (``{"key": lambda step: step}``).
        state: arrays to begin with, by name, in the place of initial values; they are copied.
        patience: stop when `monitor` has not become better for so many epochs; the state is then that of the best epoch.
        monitor: the name of what is watched, ``"val_loss"``, without validation data ``"loss"``.
        maximize: whether more of it is better.
        callbacks: a function, or several, called with an `Epoch` after each; the training ends when one returns True or ``"stop"``.
        checkpoint: a ``.npz`` that is written after each epoch.
        resume: whether to continue from `checkpoint`, if that file exists.
        progress: whether to show a bar; None for where there is a terminal.
        target: as for `graphc.compile`.

    Returns:
        Parameters with the state of the optimiser, and the history.

    Raises:
        ArgumentError: an argument is missing, unknown or impossible, or the checkpoint is of another training.
        ShapeError: arrays do not fit each other, the program or the checkpoint.
        DtypeError: an array has another dtype than its tensor.
        DivergenceError: the loss is infinite or no number.

    Whatever ends a training before its time, be it an interruption or an error of a callback, has what has been trained as its attribute
    ``fit``.

    >>> import numpy as np, graphc as gc
    >>> n, i = gc.indices("n i")
    >>> x, t, w, loss = gc.tensor("x", gc.dim("N"), 2), gc.tensor("t", gc.dim("N")), gc.parameter("w", 2), gc.tensor("loss")
    >>> loss[()] = gc.mean((gc.sum(w[i]*x[n, i], over=i) - t[n])**2, over=n)
    >>> points = np.random.default_rng(0).normal(size=(100, 2)).astype("float32")
    >>> data = {"x": points, "t": points @ np.float32([3, -2])}
    >>> state, history = gc.fit(loss, gc.optim.sgd(loss, lr=0.1), data, epochs=20, batch_size=16, target="interpret")
    >>> print(state["w"].round(3), len(history["loss"]))
    [ 3. -2.] 20
    """
    told = checked(epochs, batch_size, patience, seed, callbacks, checkpoint, resume, data=data, validation=validation, metrics=metrics,
                   validation_metrics=validation_metrics, arguments=arguments, state=state)
    epochs, batch_size, seed = int(epochs), None if batch_size is None else int(batch_size), int(seed)
    outputs, rates, evaluated = outputs_of(loss, updates, metrics or {}, validation_metrics or {}, validation is not None)
    watched = monitor or ("loss" if validation is None else "val_loss")
    numbers = [*outputs, *rates, *(f"val_{name}" for name in evaluated)]
    if watched not in numbers:
        raise gc.ArgumentError(f"monitor={watched!r} is none of the numbers of an epoch.", fix=f"watch one of {', '.join(numbers)}.")
    loop = Loop.of(outputs, rates, updates, data or {}, arguments or {}, batch_size, shuffle, drop_last, seed, target)
    look = check(evaluated, loop, validation, arguments or {}, batch_size, target)
    settings = {"seed": seed, "batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last, "examples": loop.batches.rows,
                "numbers": numbers, "rates": {name: told_rate(rate) for name, rate in rates.items()},
                "monitor": watched if patience is not None else None, "maximize": maximize}
    run = Run(loop.state(state or {}), History(), settings)
    if checkpoint is not None and resume and os.path.exists(checkpoint):
        run = read(checkpoint, run.state, settings)
    loop.check_sizes(run.state)
    try:
        with loop.bar(run.history.epochs, epochs, progress) as bar:
            for number in range(run.history.epochs + 1, epochs + 1):
                if patience is not None and run.history.epochs and number - 1 - run.history.best(watched, maximize)[0] >= patience:
                    break
                started = time.perf_counter()
                values, losses = loop.epoch(number, run.state, bar)
                steps = len(run.history.step_losses) + len(losses)
                values |= {f"val_{name}": value for name, value in look(run.state, steps).items()}
                run.history.add(values, losses, time.perf_counter() - started)
                if patience is not None and run.history.best(watched, maximize)[0] == number:
                    run = replace(run, best={name: array.copy() for name, array in run.state.items()})
                bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()})
                if checkpoint is not None:
                    write(checkpoint, run)
                epoch = Epoch(number, epochs, steps, MappingProxyType(values), run.history.seconds[-1], run.state)
                answers = [callback(epoch) for callback in told]
                if any(map(_ends, answers)):
                    break
    except BaseException as error:
        _keep(error, Fit(run.best or run.state, run.history))
        raise
    return Fit(run.best or run.state, run.history)


def _ends(answer: Any) -> bool:
    """Whether what a callback returns ends the training."""
    return answer == "stop" if isinstance(answer, str) else isinstance(answer, bool | np.bool_) and bool(answer)


def _keep(error: BaseException, made: Fit) -> None:
    """Let what ends a training before its time carry what has been trained."""
    error.fit = made  # type: ignore[attr-defined]
    if made.history.epochs:
        error.add_note(f"The training so far, {made.history.epochs} whole epoch{'s' * (made.history.epochs > 1)}, is the attribute fit of "
                       "this exception: state, history = error.fit")
