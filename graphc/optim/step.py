"""What the parameters share in one step of an optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import graphc as gc
from graphc.optim.gradients import gradients, subscripts
from graphc.requests import check_number, refusal

__all__ = ["Step", "Updates"]


class Updates(dict[gc.Tensor, gc.Tensor]):
    """New values by what they replace, as `graphc.compile` takes them; joined by ``|``.

    Attributes:
        rates: the learning rate of each optimiser by its name: a number, or the scalar tensor that holds it.
    """

    def __init__(self, updates: Mapping[gc.Tensor, gc.Tensor] | None = None, rates: Mapping[str, Any] | None = None) -> None:
        super().__init__(updates or {})
        self.rates = dict(rates or {})

    def __or__(self, other: Any) -> Updates:  # type: ignore[override]
        self._check(other)
        return Updates({**self, **other}, {**self.rates, **getattr(other, "rates", {})})

    def __ror__(self, other: Any) -> Updates:  # type: ignore[override]
        self._check(other)
        return Updates({**other, **self}, self.rates)

    def __ior__(self, other: Any) -> Updates:  # type: ignore[override]
        self._check(other)
        self.rates |= getattr(other, "rates", {})
        self.update(other)
        return self

    def _check(self, other: Any) -> None:
        """Refuse two new values of one tensor."""
        twice = [tensor for tensor, new in dict(other).items() if self.get(tensor, new) is not new]
        if twice:
            name = twice[0].name
            raise refusal(gc.ArgumentError, f"{name} has two new values, so one of them would be lost.", f"… | {{{name}: …}}", name,
                          "let each parameter be trained by one optimiser, gc.optim.sgd({W: dW}), and give each another name=.")


class Step:
    """The number of the step, its learning rate, and the updates that make it."""

    def __init__(self, name: str, loss: Any, lr: Any, maximize: bool, **numbers: float) -> None:
        for argument, value in numbers.items():
            check_number(f"optim.{name}", argument, value)
        if not callable(lr) and not isinstance(lr, gc.Tensor):
            check_number(f"optim.{name}", "lr", lr)
        self._name, self._lr, self._sign = name, lr, -1 if maximize else 1
        self._gradients = gradients(loss, name)
        self._dtype = "float64" if any(w.dtype == "float64" for w in self._gradients) else None
        self._count: gc.Tensor | None = None
        self.updates = Updates(rates={name: lr})

    def parameters(self, weight_decay: float = 0.0) -> Iterator[tuple[gc.Tensor, gc.Tensor, tuple[Any, ...], Any]]:
        """Each parameter, the tensor for its new value, its indices, and the element of its gradient."""
        for w, dw in self._gradients.items():
            i = subscripts(w)
            yield w, self.new(w), i, self._sign * dw[i] + (weight_decay * w[i] if weight_decay else 0)

    def new(self, tensor: gc.Tensor) -> gc.Tensor:
        """A tensor to be defined, which takes the place of another one after the step."""
        self.updates[tensor] = gc.tensor(f"{tensor.name}.new", dtype=tensor.dtype)
        return self.updates[tensor]

    def state(self, parameter: gc.Tensor, name: str, init: Any = "zeros") -> tuple[gc.Tensor, gc.Tensor]:
        """An array beside a parameter, of its shape, and the tensor for its new value."""
        old = gc.parameter(f"{parameter.name}.{name}", parameter.shape, init=init, dtype=parameter.dtype)
        return old, self.new(old)

    def count(self) -> Any:
        """How many steps have been taken before this one."""
        if self._count is None:
            self._count = gc.parameter(f"{self._name}.step", (), init="zeros", dtype="int64")
            self.new(self._count)[()] = self._count[()] + 1
        return self._count[()]

    def rate(self) -> Any:
        """The learning rate of this step."""
        if callable(self._lr):
            rate = gc.tensor(f"{self._name}.lr", dtype=self._dtype)
            rate[()] = self._lr(self.count())
            self._lr = self.updates.rates[self._name] = rate
        return self._lr[()] if isinstance(self._lr, gc.Tensor) else self._lr

    def correction(self, name: str, beta: float) -> gc.Tensor:
        """``1 - beta**t`` in the t-th step, without cancellation: the weights of a moving average that began with 0."""
        sum_of_weights = gc.tensor(f"{self._name}.{name}", dtype=self._dtype)
        sum_of_weights[()] = -gc.expm1(math.log(beta) * (self.count() + 1)) if beta else 1.0
        return sum_of_weights
