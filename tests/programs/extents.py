"""Extents of random programs: affine forms in the sizes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Extent", "literal"]


@dataclass(frozen=True)
class Extent:
    """``Σ coefficient·size + constant``."""

    terms: tuple[tuple[str, int], ...]
    constant: int

    def __add__(self, other: Extent | int) -> Extent:
        if isinstance(other, int):
            return Extent(self.terms, self.constant + other)
        mixed = dict(self.terms)
        for name, factor in other.terms:
            mixed[name] = mixed.get(name, 0) + factor
        return Extent(tuple(sorted((n, f) for n, f in mixed.items() if f)), self.constant + other.constant)

    def __mul__(self, factor: int) -> Extent:
        return Extent(tuple((n, f * factor) for n, f in self.terms if factor), self.constant * factor)

    def __sub__(self, other: Extent | int) -> Extent:
        return self + other * -1

    def __str__(self) -> str:
        text = " + ".join(n if f == 1 else f"{f}*{n}" for n, f in self.terms)
        if not text:
            return str(self.constant)
        return text + (f" {'+' if self.constant > 0 else '-'} {abs(self.constant)}" if self.constant else "")

    def at(self, sizes: dict[str, int]) -> int:
        return sum(f * sizes[n] for n, f in self.terms) + self.constant


def literal(value: int) -> Extent:
    return Extent((), value)
