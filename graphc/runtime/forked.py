"""Whether this process was forked from one that had imported graphc: threads of other libraries do not exist in it any more."""

from __future__ import annotations

import os

__all__ = ["in_forked_child"]

_children: list[None] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _children.append(None))


def in_forked_child() -> bool:
    """Whether it was."""
    return bool(_children)
