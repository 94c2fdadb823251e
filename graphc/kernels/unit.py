"""Functions that only compiled functions call: they are optimised, but no machine code is made of them.

Left to itself, Numba makes machine code of a function, and then again within everything that calls it: three times for the kernels
of a program. A function compiled with ``njit(pipeline_class=Part)`` is kept in LLVM's language for its callers. The function that
Python calls is an ordinary one; machine code is made of it and of all its parts together.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.typed_passes import IRLegalization, NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

__all__ = ["AllocatingPart", "Part"]

_PASSES = (
    TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA,
    NopythonTypeInference, PreLowerStripPhis, IRLegalization, NativeLowering, NoPythonBackend,
)  # fmt: skip
"""Numba's passes, without those for closures, literal lists, array expressions and parallel loops."""


class Part(CompilerBase):
    """Compiles a function that Python never calls, for ``njit(pipeline_class=Part, no_cpython_wrapper=True, …)``.

    It borrows its arguments, counts no references and allocates nothing, unless it is an `AllocatingPart`.

    >>> from numba import njit
    >>> @njit(pipeline_class=Part, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    ... def double(X):
    ...     for i in range(X.size):
    ...         X[i] *= 2
    >>> @njit
    ... def quadruple(X):
    ...     double(X)
    ...     double(X)
    >>> import numpy as np
    >>> X = np.arange(3.0)
    >>> quadruple(X)
    >>> X
    array([0., 4., 8.])
    """

    allocates = False

    def __init__(self, typing_context: Any, target_context: Any, library: Any, *rest: Any) -> None:
        super().__init__(typing_context, target_context, library or _Text(target_context.codegen(), "part"), *rest)
        self.state.targetctx.enable_nrt = self.allocates

    def define_pipelines(self) -> list[PassManager]:
        """Numba's stages, one after the other."""
        passes = PassManager("part")
        for stage in _PASSES:
            passes.add_pass(stage, stage.__name__)
        passes.finalize()
        return [passes]


class AllocatingPart(Part):
    """The same for a function that makes arrays."""

    allocates = True


class _Text(JITCodeLibrary):
    """A function and all that it calls, in LLVM's language."""

    def get_pointer_to_function(self, name: str) -> int:
        """Python has nothing to call."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """Where Numba would leave the address of what the function needs of Python."""
        return _Nowhere

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        # Callers optimise it a second time: only that vectorises sums over columns, whose inner loop is unrolled by then. Twice is enough:
        # what consists of parts is left to its caller.
        if any(isinstance(library, _Text) for library in self._linking_libraries):
            return
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _Nowhere:
    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Nothing is compiled that reads it."""
