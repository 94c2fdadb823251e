"""Where the threads that run a program wait for each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from graphc.ir.nest import Loop, Step

__all__ = ["meetings", "touched"]


def touched(step: Step, in_place: Mapping[str, str]) -> set[str]:
    """Arrays that a step reads or writes; `in_place` are tensors whose array is that of another one."""
    return {in_place.get(name, name) for name in (step.writes, *step.also, *step.reads)}


def meetings(steps: Sequence[Step], in_place: Mapping[str, str]) -> Iterator[tuple[bool, Step]]:
    """The steps, each with whether all threads must have completed those before it, because it needs what another one may still compute.

    All meet at the end of each iteration of a loop.
    """
    written: set[str] = set()
    read: set[str] = set()
    for step in steps:
        targets = {in_place.get(n, n) for n in (step.writes, *step.also)}
        reads = {in_place.get(n, n) for n in step.reads}
        meets = bool((reads | targets) & written or targets & read)
        if meets:
            written, read = set(), set()
        yield meets, step
        if not isinstance(step, Loop):  # which ends with a meeting, or has done nothing
            written |= targets
            read |= reads
