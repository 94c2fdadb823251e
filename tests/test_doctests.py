"""The examples in the docstrings of the package."""

import doctest
import importlib
import importlib.util
import pkgutil
from types import ModuleType

import pytest

import graphc

MODULES = sorted(m.name for m in pkgutil.walk_packages(graphc.__path__, "graphc."))


def imported(module: ModuleType) -> list[str]:
    """The distributions that the examples of a module import."""
    lines = [example.source for test in doctest.DocTestFinder().find(module) for example in test.examples]
    return [name.strip() for line in lines if line.startswith("import ") for name in line.removeprefix("import ").split(",")
            if " as " not in name]


@pytest.mark.parametrize("name", ["graphc", *MODULES])
def test_module(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if str(error.name).split(".")[0] == "graphc":
            raise
        pytest.skip(f"needs {error.name}")
    absent = [name for name in imported(module) if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"needs {absent[0]}")
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert not failed
