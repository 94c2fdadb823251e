"""What a training measured, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphc.tables import html_table

__all__ = ["History"]


class History(Mapping[str, list[float]]):
    """Numbers by name, each a list with a number per epoch: ``history["loss"][-1]``.

    Names are ``"loss"``, those of the metrics, ``"val_loss"`` and so on for the validation data, and ``"lr"``, the learning rate of the
    last step of the epoch. Printed and shown by a notebook as a table.

    Attributes:
        step_losses: the loss of every step.
        seconds: how long each epoch took.

    >>> history = History({"loss": [2.0, 1.0], "val_loss": [1.5, 1.75]})
    >>> history["val_loss"], history.epochs, history.best("val_loss")
    ([1.5, 1.75], 2, (1, 1.5))
    >>> print(history)
    2 epochs
    loss      2 → 1
    val_loss  1.5 → 1.75, best 1.5 in epoch 1
    """

    def __init__(
        self, values: Mapping[str, Sequence[float]] | None = None, step_losses: Sequence[float] = (), seconds: Sequence[float] = ()
    ) -> None:
        self._values = {name: list(numbers) for name, numbers in (values or {}).items()}
        self.step_losses, self.seconds = list(step_losses), list(seconds)

    def __getitem__(self, name: str) -> list[float]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def epochs(self) -> int:
        """How many epochs it tells of."""
        return max(map(len, self._values.values()), default=0)

    def add(self, values: Mapping[str, float], step_losses: Sequence[float] = (), seconds: float = 0.0) -> None:
        """Note one more epoch."""
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)
        self.step_losses.extend(step_losses)
        self.seconds.append(seconds)

    def best(self, name: str, maximize: bool = False) -> tuple[int, float]:
        """The first epoch, counted from 1, in which a number was least (or greatest), and the number; a NaN is never the best."""
        numbers = [(-value if maximize else value) if value == value else float("inf") for value in self[name]]
        place = min(range(len(numbers)), key=numbers.__getitem__)
        return place + 1, self[name][place]

    # ------------------------------------------------------------------------------------------------------------- shown
    def plot(self, target: Any = None, *names: str) -> Any:
        """Plot numbers over epochs by matplotlib, which is imported here.

        Args:
            target: a file to write (``"loss.svg"``), axes of matplotlib to draw into, or None for new axes.
            names: what to plot; by default ``"loss"`` and ``"val_loss"``, on a logarithmic scale if they are positive.

        Returns:
            The axes.

        Raises:
            KeyError: a name is unknown.
        """
        file = target if isinstance(target, str | Path) else None
        if target is None:
            from matplotlib import pyplot

            target = pyplot.subplots(figsize=(6, 4), layout="constrained")[1]
        elif file is not None:
            from matplotlib.figure import Figure

            target = Figure(figsize=(6, 4), layout="constrained").subplots()
        chosen = names or tuple(name for name in ("loss", "val_loss") if name in self)
        for name in chosen:
            target.plot(range(1, len(self[name]) + 1), self[name], label=name, marker="." if self.epochs <= 30 else None)
        if not names and all(value > 0 for name in chosen for value in self[name]):
            target.set_yscale("log")
        target.set_xlabel("epoch")
        target.legend()
        if file is not None:
            target.figure.savefig(file)
        return target

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        lines = [f"{name:<{width}}  {text}" for name, text in ((name, self._told(name)) for name in self) if text]
        return "\n".join([f"{self.epochs} epoch{'s' * (self.epochs != 1)}", *lines])

    __repr__ = __str__

    def _told(self, name: str) -> str:
        numbers = self[name]
        if not numbers:
            return ""
        text = f"{numbers[0]:.4g} → {numbers[-1]:.4g}" if min(numbers) != max(numbers) else f"{numbers[0]:.4g}"
        epoch, best = self.best(name)
        return text + (f", best {best:.4g} in epoch {epoch}" if name.endswith("loss") and epoch != len(numbers) else "")

    def _repr_html_(self) -> str:
        """A row per name: first and last number, least and greatest with their epochs."""
        rows = []
        for name, numbers in self.items():
            if numbers:
                ends = (self.best(name), self.best(name, maximize=True))
                rows.append((name, f"{numbers[0]:.4g}", f"{numbers[-1]:.4g}", *(f"{value:.4g} in {epoch}" for epoch, value in ends)))
        heads = (f"{self.epochs} epochs", "first", "last", "least, in epoch", "greatest, in epoch")
        return html_table(heads, rows, right=(1, 2, 3, 4))
