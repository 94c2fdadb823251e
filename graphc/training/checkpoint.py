"""Trainings on disk: everything that the next epoch depends on, in one ``.npz``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import graphc as gc
from graphc.training.history import History

__all__ = ["Run", "load_checkpoint", "read", "write"]

_FORMAT = 1


@dataclass(frozen=True)
class Run:
    """How far a training has come.

    Attributes:
        state: parameters and the state of the optimiser.
        history: of all epochs so far.
        settings: what has to be equal for the next epochs to be those of an uninterrupted training.
        best: the state of the best epoch, empty if it is not asked for.
    """

    state: dict[str, Any]
    history: History
    settings: Mapping[str, Any]
    best: dict[str, Any] = field(default_factory=dict)


def write(path: str | os.PathLike[str], run: Run) -> None:
    """Replace the file at once, so that it is whole whenever the program is stopped."""
    arrays = {f"state/{name}": array for name, array in run.state.items()} | {f"best/{name}": a for name, a in run.best.items()}
    arrays |= {f"history/{name}": np.array(numbers) for name, numbers in run.history.items()}
    arrays |= {"step_losses": np.array(run.history.step_losses), "seconds": np.array(run.history.seconds)}
    arrays["graphc"] = np.array(json.dumps({"format": _FORMAT, "settings": dict(run.settings)}))
    part = Path(f"{os.fspath(path)}.part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


def load_checkpoint(path: str | os.PathLike[str]) -> Run:
    """Read a checkpoint of `graphc.fit`.

    Args:
        path: of the ``.npz``.

    Returns:
        What it holds: ``.state`` (by name; pass it to a program as its first argument), ``.history``, ``.best`` (the state of the best
        epoch, where early stopping was asked for) and ``.settings``.

    Raises:
        ArgumentError: there is no such file, or it is no checkpoint.
    """
    if not isinstance(path, str | os.PathLike):
        raise gc.ArgumentError(f"gc.load_checkpoint takes a path, not {type(path).__name__}.", fix="give a file of checkpoint=.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays["graphc"]))
        if header["format"] != _FORMAT:
            raise ValueError
    except FileNotFoundError:
        raise gc.ArgumentError(f"There is no file {os.fspath(path)}.", fix="check the path.") from None
    except Exception:  # whatever NumPy finds in a file that something else has written
        raise gc.ArgumentError(f"{os.fspath(path)} is no checkpoint of gc.fit.", fix="give a file that checkpoint= has written.") from None

    def part(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    values = {name: array.tolist() for name, array in part("history/").items()}
    history = History(values, arrays["step_losses"].tolist(), arrays["seconds"].tolist())
    return Run(part("state/"), history, header["settings"], part("best/"))


def read(path: str | os.PathLike[str], state: Mapping[str, Any], settings: Mapping[str, Any]) -> Run:
    """A checkpoint that continues a training with this state and these settings.

    Raises:
        ArgumentError: it is of another program, or of a training with other settings.
    """
    run, file = load_checkpoint(path), os.fspath(path)
    another = "give another file, or leave out resume=True to begin again."
    unknown, missing = sorted(run.state.keys() - state.keys()), sorted(state.keys() - run.state.keys())
    if unknown or missing:
        sides = [f"it has {_some(unknown)}, which the program does not know"] * bool(unknown)
        sides += [f"it lacks {_some(missing)}"] * bool(missing)
        raise gc.ArgumentError(f"The checkpoint {file} is of another program: {'; '.join(sides)}.", fix=another)
    for name, array in state.items():
        found = run.state[name]
        if (found.shape, found.dtype) != (array.shape, array.dtype):
            raise gc.ShapeError(f"{name} has shape {found.shape} and dtype {found.dtype} in the checkpoint {file}, but shape {array.shape} "
                                f"and dtype {array.dtype} in the program.", fix=another)
    for name, value in settings.items():
        if run.settings.get(name) != value:
            raise gc.ArgumentError(f"The checkpoint {file} is of a training with {name}={run.settings.get(name)!r}, not {name}={value!r}.",
                                   fix="continue with the same, or begin a new training from its parameters: "
                                       f"state=gc.load_checkpoint({file!r}).state.")
    return run


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
