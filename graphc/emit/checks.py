"""What a kernel may find wrong while it runs: the codes of the status array stand for these."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EmptyRange", "GatherCheck"]


@dataclass(frozen=True, slots=True)
class GatherCheck:
    """What a code in the status array stands for: `tensor` held a value outside of dimension `dimension` of `target`."""

    tensor: str
    target: str
    dimension: int
    loop: str


@dataclass(frozen=True, slots=True)
class EmptyRange:
    """What a code in the status array stands for: a reduction without a neutral element was over nothing."""

    loop: str
