"""What a JSON text is tested for: forms of values, and refusals that name the place."""

from __future__ import annotations

import keyword
from collections.abc import Collection
from typing import Any, NoReturn

from graphc.errors import ArgumentError

__all__ = ["Place", "fields", "listed_items", "name_of_index", "place_of", "refuse", "shown", "text", "whole"]

Place = tuple[str | int, ...]


def place_of(place: Place) -> str:
    """How a message says where something stands.

    >>> place_of(("tensors", "Y", "statements", 0))
    'tensors.Y.statements[0]'
    """
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")


def refuse(what: str, place: Place, fix: str = "") -> NoReturn:
    """Say that the text is no program.

    Raises:
        ArgumentError: always.
    """
    raise ArgumentError(f"gc.from_json: {what}{', at ' if place else ''}{place_of(place)}.",
                        fix=fix or "write the text with gc.to_json, or as docs/json.md describes it.")


def shown(value: Any) -> str:
    """A part of the text, shortened."""
    text = repr(value) if not isinstance(value, list | dict) else ("a list" if isinstance(value, list) else "an object")
    return text if len(text) <= 40 else text[:37] + "…"


def fields(value: Any, needed: Collection[str], possible: Collection[str], place: Place) -> dict[str, Any]:
    """An object with these keys."""
    if not isinstance(value, dict):
        refuse(f"{shown(value)} stands where an object is expected", place)
    for key in needed:
        if key not in value:
            refuse(f'the key "{key}" is missing', place)
    for key in value:
        if key not in needed and key not in possible:
            refuse(f"the key {shown(key)} is unknown", place)
    return value


def listed_items(value: Any, place: Place, least: int = 0, most: int | None = None) -> list[Any]:
    """A list of so many items."""
    if not isinstance(value, list):
        refuse(f"{shown(value)} stands where a list is expected", place)
    if len(value) < least or (most is not None and len(value) > most):
        wanted = str(least) if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        refuse(f"a list of {len(value)} stands where one of {wanted} is expected", place)
    return value


def text(value: Any, place: Place) -> str:
    """A text."""
    if not isinstance(value, str):
        refuse(f"{shown(value)} stands where a text is expected", place)
    return value


def whole(value: Any, place: Place, least: int = 0) -> int:
    """An integer that is not too small, and below 2**63."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        refuse(f"{shown(value)} stands where an integer that is at least {least} is expected", place)
    return value


def name_of_index(value: Any, place: Place) -> str:
    """The name of an index or a size."""
    name = text(value, place)
    if not name.isidentifier() or keyword.iskeyword(name):
        refuse(f"{shown(name)} is no name of an index or a size", place)
    return name
