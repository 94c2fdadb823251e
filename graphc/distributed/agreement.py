"""Ranks that have to agree: one error for all of them where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from graphc.distributed.mpi import Ranks
from graphc.errors import RankError

__all__ = ["agree", "differ", "disagree"]


def agree(ranks: Ranks, fault: Exception | None, remark: str = "; nothing was updated on any rank") -> None:
    """Raise on all ranks what some have met: their own error where all have one.

    Raises:
        RankError: only some have one.
    """
    faults = ranks.gather(None if fault is None else f"{type(fault).__name__}: {fault}")
    failed = [rank for rank, text in enumerate(faults) if text is not None]
    if fault is not None and len(failed) == ranks.size:
        raise fault
    if failed:
        others = f" (so did {_ranks(failed[1:])})" if len(failed) > 1 else ""
        raise RankError(f"Rank {failed[0]} of {ranks.size} failed{others}{remark}. Its error:\n\n"
                        + "\n".join("    " + line if line else "" for line in faults[failed[0]].splitlines()),
                        fix=f"mend what went wrong on rank {failed[0]}.") from fault


def _ranks(numbers: list[int]) -> str:
    return f"rank{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def disagree(ranks: Ranks, lines: list[str]) -> NoReturn:
    """The first line in which the programs of two ranks differ."""
    texts = ranks.gather(lines)
    other = next(rank for rank, text in enumerate(texts) if text != texts[0])
    position = next((k for k, (a, b) in enumerate(zip(texts[0], texts[other])) if a != b), min(len(texts[0]), len(texts[other])))
    first, second = (text[position] if position < len(text) else "nothing" for text in (texts[0], texts[other]))
    raise RankError(f"Ranks 0 and {other} have different programs. The first difference:\n\n"
                    f"    rank 0:  {first}\n    rank {other}:  {second}",
                    fix="build the same program on every rank, with the same version of graphc; read what depends on the rank from arrays.")


def differ(ranks: Ranks, known: Mapping[str, tuple[Any, Any]]) -> NoReturn:
    """The first argument that is not the same on all ranks, but should be."""
    all_known = ranks.gather(dict(known))
    for name, (shape, value) in all_known[0].items():
        for rank, others in enumerate(all_known):
            if name not in others or others[name][0] != shape:
                found = tuple(n for n in others.get(name, ((), 0))[0])
                raise RankError(f"The argument {name} has shape {_shape(shape)} on rank 0, but {_shape(found)} on rank {rank}"
                                " (* stands for the rows of a rank).", fix="pass arrays that differ in their rows only.")
            if others[name][1] != value:
                raise RankError(f"The argument {name} has no rows that are divided, but other values on rank {rank} than on rank 0.",
                                fix=f"pass the same array as {name} on all ranks: parameters from init with the same seed, the same key of "
                                "random numbers, the same learning rate.")
    raise RankError("The arguments of two ranks do not fit together.", fix="pass the same arguments on all ranks.")


def _shape(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
