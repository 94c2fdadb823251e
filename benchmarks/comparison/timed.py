"""What a peer hands over to be timed: a call without arguments, and a function that names its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from comparison.cases import Arrays, Case

Timed = tuple[Callable[[], Any], Callable[[Any], Arrays]]


def by_name(case: Case, results: Iterable[Any]) -> Arrays:
    """Results of a case by their names."""
    return dict(zip(case.results, map(np.asarray, results), strict=True))
