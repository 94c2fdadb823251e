"""What has no meaning in an expression before it has subscripts, and says so: a tensor, a boundary view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from graphc.errors import NotationError
from graphc.frontend.location import here

__all__ = ["AbsentError", "Unindexed", "is_number", "number_in", "shown"]


def is_number(value: Any) -> bool:
    """Whether the value is a real number of Python or NumPy."""
    return isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)


def number_in(value: Any) -> Any:
    """The number in a NumPy array without dimensions, which is what NumPy makes of its own numbers; anything else unchanged."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def shown(value: Any) -> str:
    """An operand as an error message writes it."""
    if isinstance(value, Unindexed):
        return value.label
    value = number_in(value)
    if isinstance(value, np.integer | np.floating):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if isinstance(value, type):
        return value.__name__
    text = f'"{value}"' if isinstance(value, str) and value.isprintable() and '"' not in value else repr(value)
    return text if len(text) <= 40 and "\n" not in text and " at 0x" not in text else f"<{type(value).__name__}>"


class AbsentError(NotationError, AttributeError):
    """A method of arrays is asked of something that is no array."""


def _operator(form: str) -> Callable[..., NoReturn]:
    def refuse(self: Unindexed, *others: Any) -> NoReturn:
        self._misused(form.format(self.label, *map(shown, others)))

    return refuse


class Unindexed:
    """Refuses every use as a number, an array or a Python sequence."""

    @property
    def label(self) -> str:
        """How it is written without subscripts."""
        raise NotImplementedError

    @property
    def _subject(self) -> str:
        """How a sentence begins that is about it."""
        return self.label

    @property
    def _example(self) -> str:
        """Subscripts that would fit."""
        raise NotImplementedError

    def _misused(self, text: str) -> NoReturn:
        """Say that the subscripts are missing; `text` is the expression around it."""
        raise NotationError(f"{self._subject} is used without subscripts.", at=((text, self.label, here()),),
                            fix=f"say which element: {self.label}[{self._example}].")

    def _refuse(self, what: str, fix: str) -> NoReturn:
        raise NotationError(f"{self._subject} {what}.", at=((self.label, self.label, here()),), fix=fix)

    __add__ = __iadd__ = _operator("{} + {}")
    __sub__ = __isub__ = _operator("{} - {}")
    __mul__ = __imul__ = _operator("{}*{}")
    __truediv__ = __itruediv__ = _operator("{}/{}")
    __matmul__ = __imatmul__ = _operator("{} @ {}")
    __radd__, __rsub__, __rmul__, __rtruediv__, __rmatmul__ = (
        _operator(form) for form in ("{1} + {0}", "{1} - {0}", "{1}*{0}", "{1}/{0}", "{1} @ {0}")
    )
    __pow__, __rpow__, __neg__, __abs__, __invert__ = (_operator(form) for form in ("{}**{}", "{1}**{0}", "-{}", "abs({})", "~{}"))
    __lt__, __le__, __gt__, __ge__ = (_operator(form) for form in ("{} < {}", "{} <= {}", "{} > {}", "{} >= {}"))
    __floordiv__, __rfloordiv__, __mod__, __rmod__ = (_operator(form) for form in ("{}//{}", "{1}//{0}", "{}%{}", "{1}%{0}"))
    __and__, __rand__, __or__, __ror__ = (_operator(form) for form in ("{} & {}", "{1} & {0}", "{} | {}", "{1} | {0}"))

    def __eq__(self, other: Any) -> bool:
        if is_number(other) or isinstance(other, np.ndarray):
            self._misused(f"{self.label} == {shown(other)}")
        return self is other or NotImplemented

    def __hash__(self) -> int:
        return id(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> NoReturn:
        self._misused(f"np.{ufunc.__name__}({', '.join(map(shown, inputs))})")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse("cannot become a NumPy array", "compile the program with gc.compile and call it with arrays.")

    def __bool__(self) -> bool:  # noqa: PLE0304
        self._refuse("has no truth value", "compare elements inside gc.where, or test with `is None`.")

    def __len__(self) -> int:  # noqa: PLE0303
        self._refuse("has no length", "use the symbols of gc.dims, or the shape of the tensor: X.shape[0].")

    def __iter__(self) -> NoReturn:
        self._refuse("cannot be iterated", f"write the loop as an index: {self.label}[{self._example}].")

    def __float__(self) -> float:
        self._refuse("cannot become a Python number", f"say which element ({self.label}[{self._example}]) and use graphc's own functions.")

    def __int__(self) -> int:
        self.__float__()
        raise AssertionError

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or name in ("name", "tensor"):
            raise AttributeError(name)
        text = f"{self.label}.{name}"
        raise AbsentError(f"{self._subject} is not an array and has no attribute {name}.", at=((text, "." + name, here()),),
                          fix="write a loop: gc.sum(X[i,j], over=j) for X.sum(axis=1), Y[j,i] = X[i,j] for a transpose.")
