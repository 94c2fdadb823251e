"""Lists, tuples and dicts of things, nested as a caller likes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["flatten"]


def flatten(value: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The parts of lists, tuples (also named ones) and dicts in each other, and the function that puts as many others into their places.

    >>> parts, rebuild = flatten({"a": [1, 2], "b": 3})
    >>> parts, rebuild([4, 5, 6])
    ([1, 2, 3], {'a': [4, 5], 'b': 6})
    """
    if not isinstance(value, Mapping | list | tuple):
        return [value], lambda others: others[0]
    inner = [flatten(part) for part in (value.values() if isinstance(value, Mapping) else value)]
    if type(value) in (list, tuple) and not any(isinstance(part, Mapping | list | tuple) for part in value):
        return [*value], type(value)

    def rebuild(others: Sequence[Any]) -> Any:
        made, start = [], 0
        for parts, put in inner:
            made.append(put(others[start : start + len(parts)]))
            start += len(parts)
        if isinstance(value, Mapping):
            return dict(zip(value, made, strict=True))
        if isinstance(value, tuple):
            return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
        return made

    return [part for parts, _ in inner for part in parts], rebuild
