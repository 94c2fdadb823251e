"""Options and fixtures of all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files with what the tests find")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """``golden(text)``: the text is that of ``golden/<file without test_>/<test without test_>.txt``."""
    name = request.node.name.removeprefix("test_").replace("[", ".").rstrip("]")
    path = GOLDEN / request.node.path.stem.removeprefix("test_") / f"{name}.txt"

    def check(text: str) -> None:
        text = text.rstrip("\n") + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden {path.relative_to(GOLDEN)}; run pytest --update-golden. The text:\n{text}"
        assert text == path.read_text(encoding="utf-8")

    return check
