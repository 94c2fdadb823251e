"""Sums of products in Einstein's notation: `gc.from_einsum`."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import graphc as gc
from graphc.requests import refusal

__all__ = ["from_einsum"]

ELLIPSIS = "..."
Letters = tuple[str, ...]


def from_einsum(spec: str, *operands: gc.Tensor, name: str = "einsum") -> gc.Tensor:
    """The sum of products that `numpy.einsum` computes, as loops.

    Args:
        spec: the letters of each operand, separated by commas, and those of the result behind ``->``; without ``->`` the result has, in
            alphabetical order, the letters that occur once. A letter is an index (upper and lower case differ), a letter twice in one
            operand its diagonal, ``...`` all dimensions without a letter. Blanks do not count.
        operands: a tensor for each part. Without any, inputs A, B, … are made, with a size N_i for each letter i.
        name: of the result.

    Returns:
        A tensor with the dimensions of the result. An extent of 1 fits any other one, as in NumPy; not on a diagonal, where both are of
        one tensor. Sums of truth values and of small integers are int64, as everywhere in graphc.

    Raises:
        NotationError: `spec` is malformed, or has ``...`` and no operands; the result has a letter twice or one that no operand has; the
            operands are no tensors of known shape, or not as many as there are parts.
        ShapeError: an operand has another number of dimensions than its part has letters, or a letter has two different extents.

    >>> import graphc as gc
    >>> A, B = gc.tensor("A", 8, 3, 4), gc.tensor("B", 8, 4, 5)
    >>> print(gc.loops(gc.from_einsum("bij,bjk->bik", A, B, name="Y")))
    for b,i,k,j:  Y[b,i,k] += A[b,i,j]*B[b,j,k]
    >>> trace = gc.from_einsum("ii")
    >>> print(gc.loops(trace))
    for i:  einsum[()] += A[i,i]
    """
    call = _Call(spec, operands)
    inputs, output = _parsed(call)
    tensors = operands or _made(call, inputs)
    inputs, dots = _named(call, inputs, tensors)
    letters = _result(call, inputs, output, dots)
    extents = _extents(call, inputs, tensors)
    index = {letter: gc.index(letter, 1) if _is(extent, 1) else gc.index(letter) for letter, extent in extents.items()}
    factors = [
        x[tuple(0 if _is(e, 1) and not _is(extents[letter], 1) else index[letter] for letter, e in zip(part, x.shape, strict=True))]
        for part, x in zip(inputs, tensors, strict=True)
    ]
    y, place, product = gc.tensor(name), tuple(index[letter] for letter in letters), math.prod(factors[1:], start=factors[0])
    if set(index) <= set(letters):
        y[place] = product
    else:
        y[place] += product
    return y


@dataclass(frozen=True)
class _Call:
    """What was asked for, for the refusals."""

    spec: Any
    operands: tuple[Any, ...]

    def refuse(self, kind: type[gc.GraphcError], what: str, culprit: str | tuple[str, ...], fix: str) -> gc.GraphcError:
        shown = [f'"{self.spec}"' if isinstance(self.spec, str) else repr(self.spec)]
        shown += [x.name if isinstance(x, gc.Tensor) else repr(x) for x in self.operands]
        return refusal(kind, what, f"from_einsum({', '.join(shown)})", culprit, fix)

    def malformed(self, what: str, culprit: str) -> gc.GraphcError:
        return self.refuse(gc.NotationError, what, culprit,
                           'write the letters of each operand, commas between them, and those of the result behind ->: "bij,bjk->bik".')


def _parsed(call: _Call) -> tuple[list[Letters], Letters | None]:
    """The letters of each operand and of the result, ``...`` counting as one; None for a result that is not written."""
    if not isinstance(call.spec, str):
        raise call.malformed(f"gc.from_einsum takes a text and tensors, not {call.spec!r} first.", repr(call.spec))
    left, arrow, right = "".join(call.spec.split()).partition("->")
    inputs = [_letters(call, part) for part in left.split(",")]
    output = _letters(call, right) if arrow else None
    twice = [letter for letter, count in Counter(output or ()).items() if count > 1]
    if twice:
        raise call.refuse(gc.NotationError, f"The result has {twice[0]} twice.", right,
                          "name each letter of the result once; a diagonal of the result is written by a statement, Y[i,i] = ….")
    if call.operands and len(call.operands) != len(inputs):
        raise call.refuse(gc.NotationError, f"{len(inputs)} operands are described and {len(call.operands)} given.", call.spec,
                          "write one part of letters for each operand, commas between them.")
    return inputs, output


def _letters(call: _Call, part: str) -> Letters:
    before, dots, after = part.partition(ELLIPSIS)
    for character in before + after:
        if character not in string.ascii_letters:
            raise call.malformed(f"{character} is no letter of an index.", part)
    return (*before, *([ELLIPSIS] if dots else []), *after)


def _made(call: _Call, inputs: Sequence[Letters]) -> tuple[gc.Tensor, ...]:
    """Inputs A, B, … with a size for each letter."""
    for letters in inputs:
        if ELLIPSIS in letters:
            raise call.refuse(gc.NotationError, "How many dimensions ... stands for cannot be known without operands.", ELLIPSIS,
                              'pass the tensors, gc.from_einsum("...i,i->...", X, W), or name all dimensions.')
    names = [string.ascii_uppercase[k] if k < 26 else f"A{k}" for k in range(len(inputs))]
    return tuple(gc.tensor(name, tuple(gc.dim(f"N_{i}") for i in letters)) for name, letters in zip(names, inputs, strict=True))


def _named(call: _Call, inputs: Sequence[Letters], tensors: Sequence[Any]) -> tuple[list[Letters], Letters]:
    """The letters of all dimensions, with names d1, d2, … for what ``...`` stands for, aligned at the last one; and these names."""
    rests = []
    for letters, x in zip(inputs, tensors, strict=True):
        if not isinstance(x, gc.Tensor):
            raise call.refuse(gc.NotationError, f"gc.from_einsum takes tensors, not {x!r}.", repr(x),
                              "pass the tensors themselves, without subscripts.")
        if x.ndim is None:
            raise call.refuse(gc.NotationError, f"{x.name} is neither defined nor declared with a shape.", x.name,
                              f'define it first, or declare it as an input: gc.tensor("{x.name}", N, …).')
        rest = x.ndim - len(letters) + (ELLIPSIS in letters)
        if rest < 0 or (rest and ELLIPSIS not in letters):
            part = "".join(letters)
            least = " or more" if ELLIPSIS in letters else ""
            raise call.refuse(gc.ShapeError, f"{x.name} has {x.ndim} dimensions, but {part or 'nothing'} describes "
                              f"{x.ndim - rest}{least}.", part or x.name, "write a letter for each dimension of the tensor.")
        rests.append(rest)
    dots = tuple(f"d{k}" for k in range(1, max(rests, default=0) + 1))
    named = [
        tuple(name for letter in letters for name in (dots[len(dots) - rest :] if letter == ELLIPSIS else (letter,)))
        for letters, rest in zip(inputs, rests, strict=True)
    ]
    return named, dots


def _result(call: _Call, inputs: Sequence[Letters], output: Letters | None, dots: Letters) -> Letters:
    """The letters of the result."""
    counts = Counter(letter for letters in inputs for letter in letters)
    if output is None:
        return (*dots, *sorted(letter for letter, count in counts.items() if count == 1 and letter not in dots))
    unknown = [letter for letter in output if letter not in counts and letter != ELLIPSIS]
    if unknown:
        raise call.refuse(gc.NotationError, f"No operand has the letter {unknown[0]} of the result.", "".join(output),
                          "use letters of the operands in the result.")
    if dots and ELLIPSIS not in output:
        raise call.refuse(gc.NotationError, "The result does not say where the dimensions of ... go.", ELLIPSIS,
                          "write ... in the result as well, or name these dimensions.")
    return tuple(name for letter in output for name in (dots if letter == ELLIPSIS else (letter,)))


def _extents(call: _Call, inputs: Sequence[Letters], tensors: Sequence[gc.Tensor]) -> dict[str, Any]:
    """The extent of each letter, of which there is one apart from 1."""
    found: dict[str, tuple[Any, gc.Tensor, int]] = {}
    for letters, x in zip(inputs, tensors, strict=True):
        for dimension, (letter, extent) in enumerate(zip(letters, x.shape, strict=True)):
            first = letters.index(letter)
            diagonal = first < dimension
            known, other, place = (x.shape[first], x, first) if diagonal else found.setdefault(letter, (extent, x, dimension))
            if _is(known, 1) and not diagonal:
                found[letter] = extent, x, dimension
            elif (diagonal or not _is(extent, 1)) and repr(extent) != repr(known):
                what = letter if len(letter) == 1 else "A dimension of ..."
                parts = tuple(word for word in re.findall(r"[a-zA-Z]+", call.spec) if letter in word) or ELLIPSIS
                raise call.refuse(gc.ShapeError, f"{what} has the extent {known} in dimension {place} of {other.name} and {extent} in "
                                  f"dimension {dimension} of {x.name}.", parts, "use two letters, or tensors with equal extents.")
    return {letter: extent for letter, (extent, _, _) in found.items()}


def _is(extent: Any, number: int) -> bool:
    return isinstance(extent, int) and extent == number
