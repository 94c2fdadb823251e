"""What a kernel may find wrong while it runs: the codes of the status array stand for these."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Checks", "EmptyRange", "GatherCheck"]


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


@dataclass(slots=True)
class Checks:
    """What a module may find wrong, in the order of the codes: the first one is 1, and 0 is a status without fault."""

    found: list[GatherCheck | EmptyRange] = field(default_factory=list)

    def code(self, check: GatherCheck | EmptyRange) -> int:
        """The code of a check, a new one if it is new."""
        if check not in self.found:
            self.found.append(check)
        return self.found.index(check) + 1
