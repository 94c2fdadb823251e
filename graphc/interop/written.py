"""Programs as data, for pickles of the functions that were made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphc as gc
from graphc.structure import flatten
from graphc.transforms.pullback import arguments

__all__ = ["Written", "read", "written"]

Written = tuple[str, tuple[str, ...] | None]
"""The program as JSON text, and the names of the inputs that were given an order."""


def written(outputs: Any, inputs: Sequence[gc.Tensor] | None) -> Written:
    """What `read` makes the same program of.

    Raises:
        NotationError: as `graphc.to_json`.
    """
    return gc.to_json(outputs), None if inputs is None else tuple(t.name for t in inputs)


def read(program: Written) -> tuple[Any, tuple[gc.Tensor, ...] | None]:
    """Outputs in their structure, and the inputs in their order."""
    text, names = program
    outputs = gc.from_json(text)
    return outputs, None if names is None else arguments(flatten(outputs)[0], names)
