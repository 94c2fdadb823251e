"""Which peers there are, and the module that speaks for each; modules are imported only by the process that needs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

MODULES = {"graphc": "programs", "torch": "in_torch", "torch.compile": "in_torch", "jax": "in_jax", "numpy": "by_numpy",
           "numba": "by_numba"}
"""In the order of the table's columns."""
PEERS = tuple(MODULES)


def module(peer: str) -> ModuleType:
    """The module that prepares the cases of a peer; importing it needs the peer.

    It has a VERSION, ``supports(peer, case)`` and ``prepare(peer, case, arrays, threads)``.
    """
    return import_module(f"comparison.{MODULES[peer]}")
