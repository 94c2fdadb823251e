"""Every test of this directory is one mistake; its whole message is in ``golden/<name of the test>.txt``.

Paths are reduced to file names and line numbers to ``<line>``, so that editing a test file changes no golden.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import graphc as gc

GOLDEN = Path(__file__).parent / "golden"

Rejects = Callable[..., AbstractContextManager[None]]


def normalised(message: str) -> str:
    """The message without what depends on the machine or on the position in the test file."""
    message = re.sub(r"(?m)^( +at ).*?([^/\\]+\.py), line \d+$", r"\1\2, line <line>", message)
    return "\n".join(line.rstrip() for line in message.splitlines()) + "\n"


def compare(message: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / (re.sub(r"\[(.*)\]$", r"_\1", request.node.name.removeprefix("test_")) + ".txt")
    text = normalised(message)
    if request.config.getoption("--update-golden"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no golden {path.name}; run pytest --update-golden. The message:\n{text}"
    assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def rejects(request: pytest.FixtureRequest) -> Rejects:
    """``with rejects(gc.RangeError): …``: the block raises that error, with the golden message.

    A mistake in the notation is shown with carets and with the line of this file; ``call=True`` is for mistakes in the arguments of a
    call, which need neither.
    """

    @contextmanager
    def check(kind: type[gc.GraphcError], call: bool = False) -> Iterator[None]:
        with pytest.raises(kind) as caught:
            yield
        message = str(caught.value)
        compare(message, request)
        assert "How to fix: " in message
        places = re.findall(r"(?m)^  at (.*), line \d+$", message)
        assert set(places) <= {str(request.node.path)}
        assert call or (places and re.search(r"(?m)^ +\^+( *\^+)*$", message)), "neither carets nor line"

    return check


@pytest.fixture
def warns(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[None]]:
    """``with warns(): …``: the block warns once, with the golden message, at a line of this file."""

    @contextmanager
    def check() -> Iterator[None]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        assert [w.category for w in caught] == [gc.GraphcWarning]
        assert caught[0].filename == str(request.node.path)
        compare(str(caught[0].message), request)

    return check
