"""Functions of which no machine code is made."""

import numpy as np
import pytest
from numba import njit
from numba.core.codegen import JITCPUCodegen

from graphc.kernels.unit import Part

INNER = {"pipeline_class": Part, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}


@njit(**INNER)
def _square(value):
    return value * value


@njit(**INNER)
def _squares(X, last):
    total = 0.0
    for i in range(last):
        if X[i] < 0:
            raise ValueError("negative")
        total += _square(X[i])
    return total


@njit
def _called(X):
    return _squares(X, X.size)


def test_parts_of_parts_are_called():
    assert _called(np.arange(100.0)) == np.sum(np.arange(100.0) ** 2)
    assert _called(np.arange(5)) == 30.0


def test_only_the_caller_becomes_machine_code(monkeypatch):
    made = []
    monkeypatch.setattr(JITCPUCodegen, "_add_module", lambda self, module: made.append(module) or self._engine.add_module(module))
    _called(np.arange(3, dtype=np.float32))
    ours = [module for module in made if any("test_unit" in function.name for function in module.functions)]
    assert len(ours) == 1
    assert any("_called" in function.name and not function.is_declaration for function in ours[0].functions)


def test_errors_pass_through():
    with pytest.raises(ValueError, match="negative"):
        _called(np.array([1.0, -1.0]))
