"""The examples in the docstrings of the package."""

import doctest
import importlib
import pkgutil

import pytest

import graphc

MODULES = sorted(m.name for m in pkgutil.walk_packages(graphc.__path__, "graphc."))


@pytest.mark.parametrize("name", ["graphc", *MODULES])
def test_module(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if str(error.name).split(".")[0] == "graphc":
            raise
        pytest.skip(f"needs {error.name}")
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert not failed
