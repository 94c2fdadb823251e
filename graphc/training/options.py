"""What `graphc.fit` is asked for, checked before anything is compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import graphc as gc

__all__ = ["checked", "outputs_of", "told_rate"]


def checked(
    epochs: Any, batch_size: Any, patience: Any, seed: Any, callbacks: Any, checkpoint: Any, resume: bool, **mappings: Any
) -> tuple[Callable[..., Any], ...]:
    """The callbacks as a tuple; `mappings` are the arguments that are dicts.

    Raises:
        ArgumentError: a number is none or too small, a callback is no function, something is no dict, the checkpoint cannot be written,
            or there is nothing to resume from.
    """
    for name, value in mappings.items():
        if value is not None and not isinstance(value, Mapping):
            raise gc.ArgumentError(f"{name}= is a {type(value).__name__}, not a dict.", fix=f"write {name}={_FORMS[name]}.")
    _count("epochs", epochs, 0)
    _count("seed", seed, 0)
    if batch_size is not None:
        _count("batch_size", batch_size, 1, ", or None for all examples at once")
    if patience is not None:
        _count("patience", patience, 1, ", or None to go through all epochs")
    if checkpoint is not None:
        _check_file(checkpoint)
    if resume and checkpoint is None:
        raise gc.ArgumentError("resume=True has no checkpoint to continue from.", fix='name the file: checkpoint="run.npz".')
    told = tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)
    for callback in told:
        if not callable(callback):
            raise gc.ArgumentError(f"callbacks= has {callback!r}, which is no function.", fix="pass functions of one argument, an Epoch.")
    return told


_ARRAYS = '{"x": array, …}, an array by the name of each argument'
_FORMS = {
    "data": _ARRAYS, "validation": _ARRAYS, "metrics": '{"accuracy": accuracy}', "validation_metrics": '{"loss": loss}',
    "state": '{"w": array, …}', "arguments": '{"key": lambda step: step}',
}


def _check_file(checkpoint: Any) -> None:
    """Refuse what a checkpoint cannot be written to."""
    if not isinstance(checkpoint, str | os.PathLike):
        raise gc.ArgumentError(f"checkpoint={checkpoint!r} is no path.", fix='write checkpoint="run.npz".')
    path, shown = Path(checkpoint), f"checkpoint={os.fspath(checkpoint)!r}"
    if path.suffix != ".npz":
        raise gc.ArgumentError(f"{shown} does not end in .npz.", fix='write checkpoint="run.npz".')
    folder = path.resolve().parent
    if not folder.is_dir():
        raise gc.ArgumentError(f"{shown} lies in a folder that does not exist.", fix="make the folder first.")
    if path.is_dir() or not os.access(folder, os.W_OK):
        what = "is a folder" if path.is_dir() else "lies in a folder in which no file can be written"
        raise gc.ArgumentError(f"{shown} {what}.", fix="name another file.")


def _count(name: str, value: Any, least: int, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise gc.ArgumentError(f"{name}={value!r} is no integer that is at least {least}.",
                               fix=f"give an integer from {least} on{otherwise}.")


def outputs_of(
    loss: Any, updates: Any, metrics: Mapping[str, Any], validation_metrics: Mapping[str, Any], validating: bool
) -> tuple[dict[str, gc.Tensor], dict[str, Any], dict[str, gc.Tensor]]:
    """By name: the numbers of a step, the learning rates, and the numbers of the validation data.

    Raises:
        ArgumentError: loss or a metric is no scalar tensor, a name is taken, or there are no updates.
    """
    if not isinstance(updates, Mapping) or not updates:
        raise gc.ArgumentError(f"updates={updates!r} says not how the parameters change.",
                               fix="pass what an optimiser makes of the loss: gc.fit(loss, gc.optim.adam(loss), …).")
    rates = getattr(updates, "rates", {})
    rates = {"lr": next(iter(rates.values()))} if len(rates) == 1 else {f"{name}.lr": rate for name, rate in rates.items()}
    for name in metrics:
        if name == "loss" or name in rates or str(name).startswith("val_"):
            raise gc.ArgumentError(f"A metric cannot be called {name!r}, which stands for another number.", fix="choose another name.")
    for name in validation_metrics if validating else ():
        if name != "loss" and name not in metrics:
            raise gc.ArgumentError(f"validation_metrics= has {name!r}, which is neither \"loss\" nor one of metrics=.",
                                   fix="it tells what takes their place for the validation data; check the name.")
    if validation_metrics and not validating:
        raise gc.ArgumentError("There are validation_metrics= but no validation data.", fix="pass validation={…}.")
    outputs = {"loss": loss, **metrics}
    for name, tensor in {**outputs, **{f"val_{n}": t for n, t in validation_metrics.items()}}.items():
        if not isinstance(tensor, gc.Tensor) or tensor.shape != ():
            found = f"has shape ({', '.join(map(str, tensor.shape))})" if isinstance(tensor, gc.Tensor) else f"is a {type(tensor).__name__}"
            raise gc.ArgumentError(f"{name} has to be a scalar tensor, but {found}.",
                                   fix="reduce it to one number: L[()] = gc.mean(…, over=n).")
    return outputs, rates, outputs | dict(validation_metrics) if validating else {}


def told_rate(rate: Any) -> float | str:
    """A learning rate as a checkpoint has it: a number, the formula of a schedule, or the name of an argument."""
    if isinstance(rate, gc.Tensor):
        return str(gc.loops(rate)) if rate.statements else rate.name
    return float(rate)
