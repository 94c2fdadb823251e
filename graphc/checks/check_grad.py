"""Numeric check of a derived gradient along random directions: it costs a few evaluations, however many elements there are."""

from __future__ import annotations

import cmath
import contextlib
import math
from itertools import count
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.calls.foreign import viewed
from graphc.calls.on_device import on_host
from graphc.compile import compile_program
from graphc.errors import ArgumentError, GradientError
from graphc.frontend.expression import IndexVariable
from graphc.frontend.tensor import Tensor
from graphc.interpret import interpret
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Index
from graphc.structure import flatten
from graphc.transforms.gradient import grad

__all__ = ["check_grad"]

Array = NDArray[Any]

IMAGINARY, DIFFERENCE = 1e-30, 1e-3
"""Steps: imaginary, so small that its square vanishes; and of differences, whose error is of the fourth order."""
SINGLY = 256
"""Up to so many elements are tried one by one when one of them is wrong; in larger tensors it is found by halving."""


def check_grad(output: Tensor, wrt: Any, *, order: int = 1, step: float | None = None, tolerance: float = 1e-5, **arrays: Any) -> float:
    """Compare the derived gradient with the derivative of the program along random directions, in float64.

    The derivative along a direction is taken by the complex step (exact to rounding; Squire and Trapp, SIAM Review 40, 1998) where
    the program has a finite value at complex numbers, by extrapolated central differences elsewhere. Every element of a tensor
    takes part in its direction with a random sign and a magnitude near 1, so that no wrong element stays hidden.

    Args:
        output: a scalar tensor.
        wrt: a tensor, or lists, tuples and dicts of them, inputs of the program.
        order: 2 checks the gradient of the gradient as well, along a random direction; and so on.
        step: use central differences, with this step relative to ``max(1, abs(x))``.
        tolerance: largest accepted difference, relative to the largest gradient element of the tensor (at least 1).
        arrays: one per input, by name; numbers of any type for float tensors.

    Returns:
        The largest relative difference found.

    Raises:
        GradientError: an element differs by more; the message names it with both values.
        ArgumentError: a tensor of `wrt` is no input, or its array is missing; or `order` is no positive integer; or the
            value of `output` is not finite.

    >>> import numpy as np, graphc as gc
    >>> i = gc.index("i")
    >>> x, L = gc.tensor("x", gc.dim("N")), gc.tensor("L")
    >>> L[()] += gc.sin(x[i])*x[i]**3
    >>> gc.check_grad(L, x, x=np.linspace(-1, 1, 1000), order=2) < 1e-12
    True
    """
    tensors, _ = flatten(wrt)
    if not isinstance(order, Integral) or order < 1:
        raise ArgumentError(f"order of gc.check_grad is {order!r}, but derivatives are counted 1, 2, ….", fix="pass order=1 or order=2.")
    function, gradients = output, grad(output, tensors)
    subject, worst, given = f"gradient of {output.name}", 0.0, dict(arrays)
    for _ in range(order):
        check = _Check(function, tensors, gradients, given, step)
        worst = max([worst, *(check.worst(k, subject, tolerance) for k in range(len(tensors)))])
        if order > 1:
            function, given = _weighted(output.name, gradients, check)
            subject, gradients = f"gradient of a directional derivative of {output.name}", grad(function, tensors)
    return worst


def _numbers(name: str, value: Any) -> Array:
    """An argument of any kind as an array of the host."""
    return np.asarray(value) if isinstance(value, bool | int | float | list | tuple) else viewed(name, on_host(value))


def _direction(shape: tuple[int, ...]) -> Array:
    random = np.random.default_rng(0)
    return np.asarray(random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape))


def _weighted(name: str, gradients: list[Tensor], check: _Check) -> tuple[Tensor, dict[str, Any]]:
    """``Σ gradient·weights`` over all tensors with random weights, and the arrays of its program."""
    total, arrays = Tensor(f"{name}.dot", ()), dict(check.arrays)
    for gradient, values in zip(gradients, check.analytic, strict=True):
        weights = Tensor(next(n for k in count(1) if (n := f"{gradient.name}.weights{k}") not in arrays), gradient.shape, gradient.dtype)
        indices: Any = tuple(IndexVariable(Index(f"i{d}")) for d in range(values.ndim))
        total[()] += gradient[indices] * weights[indices]
        arrays[weights.name] = _direction(values.shape)
    return total, arrays


class _Check:
    """A scalar function, its derived gradient, and a point."""

    def __init__(
        self, function: Tensor, tensors: list[Tensor], gradients: list[Tensor], arrays: dict[str, Any], step: float | None
    ) -> None:
        self.step, self.by_differences = step or DIFFERENCE, step is not None
        self.names = [t.name for t in tensors]
        self.forward = compile_program([function, *(t for t in tensors if not t.statements)], target="interpret", precision="float64")
        integers = {t.name for t in self.forward.signature.inputs if not is_float(t.dtype)}
        given = {n: _numbers(n, a) if n in integers else _numbers(n, a).astype("float64", copy=False) for n, a in arrays.items()}
        for tensor in tensors:
            if tensor.name not in given:
                what = "is defined by statements; only inputs can be varied" if tensor.statements else "has no array"
                raise ArgumentError(f"gc.check_grad cannot check the gradient with respect to {tensor.name}: it {what}.",
                                    fix=f"pass one array per input: gc.check_grad({function.name}, {tensor.name}, {tensor.name}=…).")
        backward = compile_program([function, *gradients], target="interpret", precision="float64")
        value, *self.analytic = backward(**given)
        if not np.isfinite(value):
            raise ArgumentError(f"gc.check_grad cannot check a gradient where {function.name} is {float(value)}.",
                                fix=f"pass arrays for which {function.name} is finite.")
        self.arrays, self.sizes = self.forward.bind({n: a for n, a in given.items() if n in self.forward.inputs})

    def worst(self, position: int, subject: str, tolerance: float) -> float:
        """The relative difference in one tensor along a direction.

        Raises:
            GradientError: it is too large.
        """
        analytic = self.analytic[position]
        scale = max(1.0, float(np.abs(analytic).max(initial=0.0)))
        direction = _direction(analytic.shape)
        along = float(np.sum(analytic * direction)) - self.slope(position, direction)
        if abs(along) / scale <= tolerance:
            return abs(along) / scale
        where = self._element(position, direction, along)
        unit = np.zeros(analytic.shape)
        unit[where] = 1
        derived, numeric = float(analytic[where]), self.slope(position, unit)
        difference, way = abs(derived - numeric) / scale, "central differences give" if self.by_differences else "the complex step gives"
        place = f"{self.names[position]}[{','.join(map(str, where)) or '()'}]"
        raise GradientError(f"The {subject} with respect to {place} is {derived!r}, "
                            f"but {way} {numeric!r} (relative difference {difference:.2g}).",
                            fix="if the point lies on a kink, move it; correct a hand-written derivative; otherwise report the program.")

    def _element(self, position: int, direction: Array, along: float) -> tuple[int, ...]:
        """A wrong element, the worst one of a small tensor; `along` is by how much the sum over all elements is wrong."""
        analytic = self.analytic[position]
        chosen = np.arange(analytic.size)

        def wrong(elements: Array) -> float:
            part = np.zeros(analytic.shape)
            part.reshape(-1)[elements] = direction.reshape(-1)[elements]
            return float(np.sum(analytic * part)) - self.slope(position, part)

        def alone(element: int) -> float:
            size = abs(wrong(np.array([element])) / float(direction.reshape(-1)[element]))
            return size if size == size else math.inf

        while len(chosen) > SINGLY:
            first, second = np.array_split(chosen, 2)
            here = wrong(first)
            chosen, along = (second, along - here) if abs(here) <= abs(along - here) else (first, here)
        return tuple(int(k) for k in np.unravel_index(max(map(int, chosen), key=alone), analytic.shape))

    def slope(self, position: int, direction: Array) -> float:
        """The derivative of the function along a change of one input."""
        name, graph = self.names[position], self.forward.graph
        if not self.by_differences:
            with contextlib.suppress(ArithmeticError, ValueError):
                moved = {**self.arrays, name: self.arrays[name] + 1j * IMAGINARY * direction}
                value = complex(interpret(graph, moved, self.sizes, complex_step=True)[graph.outputs[0]][()])
                if cmath.isfinite(value):
                    return value.imag / IMAGINARY
            self.by_differences = True
        size = max(1.0, float(np.abs(self.arrays[name]).max(initial=0.0)))
        width = self.step * size / math.sqrt(max(1, int(np.count_nonzero(direction))))
        coarse, fine = self._difference(name, direction, width), self._difference(name, direction, width / 2)
        return (4 * fine - coarse) / 3

    def _difference(self, name: str, direction: Array, width: float) -> float:
        ahead, behind = (float(self.forward(**{**self.arrays, name: self.arrays[name] + s * width * direction})[0]) for s in (1, -1))
        return (ahead - behind) / (2 * width)
