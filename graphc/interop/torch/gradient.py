"""The derived gradient of an operator: what the forward program keeps for it, and how its arguments are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

import graphc as gc
from graphc.interop.torch.kernel import Kernel, torch_dtype
from graphc.transforms.pullback import Pullback, inputs_of, pullback

if TYPE_CHECKING:
    from graphc.interop.torch.operator import Operator

__all__ = ["Backward", "Gradient", "bits", "places"]


def bits(flags: Sequence[bool]) -> int:
    """A number whose binary digits are the flags, the first one last."""
    return sum(1 << k for k, flag in enumerate(flags) if flag)


def places(number: int) -> list[int]:
    """Where a number has binary ones."""
    return [k for k in range(number.bit_length()) if number >> k & 1]


@dataclass(frozen=True)
class Backward:
    """An operator for some gradients, with the recipe for its arguments.

    Attributes:
        operator: of the gradients.
        recipe: per argument where it comes from: ("input", k), ("result", k), ("seed", k) or ("shape", k) for a tensor of the shape of an
            input whose values do not count.
        needed: the inputs that the gradients are for, as binary digits.
        defined: the results whose adjoints are given, likewise.
    """

    operator: Operator
    recipe: tuple[tuple[str, int], ...]
    needed: int
    defined: int

    def arguments(
        self, inputs: dict[int, torch.Tensor], results: dict[int, torch.Tensor], seeds: Sequence[torch.Tensor | None], shapes: Sequence[Any]
    ) -> list[torch.Tensor]:
        """The tensors that the operator takes."""
        made: list[Any] = []
        like = next(seed for seed in seeds if seed is not None)
        for (kind, k), declared in zip(self.recipe, self.operator.inputs, strict=True):
            if kind == "seed":
                seed = seeds[k]
                made.append(seed if seed is not None else like.new_zeros(shapes[1][k], dtype=torch_dtype(declared)))
            elif kind == "shape":
                made.append(like.new_empty(shapes[0][k], dtype=torch_dtype(declared)))
            else:
                made.append(inputs[k] if kind == "input" else results[k])
        return made


class Gradient:
    """The forward program that keeps what the gradient with respect to some inputs reads.

    Args:
        operator: that is differentiated.
        needed: which inputs, as binary digits.
    """

    def __init__(self, operator: Operator, needed: int) -> None:
        self.operator, self.needed = operator, needed
        self._seeded = bits([t.dtype.startswith("float") for t in operator.outputs])
        self._first = self._derived(operator.outputs, needed, self._seeded) if self._seeded else Pullback((), (), (), frozenset(), (), ())
        extra = tuple(t for t in self._first.saved if t not in operator.outputs)
        self.results = (*operator.outputs, *extra)
        self.integers = [k for k, t in enumerate(self.results) if not t.dtype.startswith("float")]
        self.kernel = Kernel(self.results, operator.inputs) if extra else operator.kernel
        twice = inputs_of(extra) if any(t.dtype.startswith("float") for t in extra) else ()  # second derivatives go through what is kept
        read = {t for t in self._first.sources if t not in self._first.only_sizes}
        self.kept_inputs = [k for k, t in enumerate(operator.inputs) if t in read or t in twice]
        self.kept_results = [k for k, t in enumerate(self.results) if t in self._first.saved]
        self.keeps = bool(self.kept_inputs or self.kept_results)
        self.asks_shapes = len(self.kept_inputs) < len(operator.inputs)
        self._backward: dict[tuple[int, int], Backward] = {}

    def _derived(self, outputs: Sequence[gc.Tensor], needed: int, seeded: int, known: Sequence[gc.Tensor] | None = None) -> Pullback:
        return pullback(outputs, [self.operator.inputs[k] for k in places(needed)], places(seeded), known)

    def backward(self, needed: int, defined: int) -> Backward:
        """The operator for gradients with respect to some inputs, from the adjoints of some results.

        It may be one for more inputs, or from more adjoints.
        """
        key = needed, defined
        with self.operator.lock:
            if key not in self._backward:
                self._backward[key] = self._made(needed, defined) or self.backward(self.needed, defined | self._seeded)
            return self._backward[key]

    def _made(self, needed: int, defined: int) -> Backward | None:
        """None if the gradient reads what is not kept."""
        if (needed, defined) == (self.needed, self._seeded):
            derived = self._first
        else:
            within = defined >> len(self.operator.outputs) == 0
            known = [self.results[k] for k in self.kept_results]
            derived = self._derived(self.operator.outputs if within else self.results, needed, defined, known)
        recipe = [self._place(source, derived, defined) for source in derived.sources]
        if None in recipe and (needed, defined) != (self.needed, defined | self._seeded):
            return None
        if None in recipe:
            raise gc.InternalError(f"A gradient of {self.operator.title} reads what the forward program has not kept.")
        child = self.operator.child(f"backward_{self.needed}_{needed}_{defined}", derived.gradients, derived.inputs)
        return Backward(child, tuple(filter(None, recipe)), needed, defined)

    def _place(self, source: gc.Tensor, derived: Pullback, defined: int) -> tuple[str, int] | None:
        if source in derived.seeds:
            return "seed", places(defined)[derived.seeds.index(source)]
        if source not in self.operator.inputs:
            return "result", self.results.index(source)
        k = self.operator.inputs.index(source)
        return ("input", k) if k in self.kept_inputs else ("shape", k) if source in derived.only_sizes else None
