"""Oracles for random programs: what the raw graph means, and its derivatives by the complex step.

Derivatives are compared along a random direction, so that one evaluation of the raw graph checks every element of every gradient
(a wrong element is orthogonal to the direction with probability zero). Squire and Trapp, SIAM Review 40, 1998.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import graphc as gc
from graphc.analysis.recurrence import cyclic
from graphc.arithmetic import NUMBERS
from graphc.compile import AFTER_GRADIENT, BEFORE_GRADIENT, optimised, swept
from graphc.frontend.collect import collect
from graphc.interpret import Machine, interpret, size_value
from graphc.interpret.machine import points
from graphc.ir.dtypes import is_float, is_integer
from graphc.ir.expr import undistributed
from graphc.ir.graph import Graph
from graphc.passes.differentiate import differentiate
from graphc.passes.extension import below
from graphc.passes.prune import inline_copies, merge, prune
from graphc.schedule import fronts
from graphc.targets import FOR_CPU
from tests import c_programs, gpu, unjitted
from tests.programs import RandomProgram

try:
    import torch

    from tests.vectorised import evaluated
except ImportError:  # the oracle "torch" is optional
    torch = None  # type: ignore[assignment]

__all__ = ["CHECKS", "QUICK", "Mismatch", "Refused", "Unsuitable", "check", "evaluate", "is_sensitive"]

STEP = 1e-30
SMALL_TILES = {1: (3, 2), 2: (2, 2), 3: (2, 1)}
"""Widths and heights for `graphc.schedule.fronts`: the sizes of random programs are small."""
LARGEST_MATRIX = 5000
"""Elements of a Jacobian or Hessian that the interpreter fills in a second or two."""
TOLERANCE = 1e-8
"""Relative to the sum of the magnitudes of all contributions; float64 rounding over a few hundred operations stays below 1e-12."""

Arrays = Mapping[str, np.ndarray[Any, Any]]


class Refused(Exception):
    """The program is no program: a user's fault, found where it should be."""


HUGE = 1e60
"""Second derivatives multiply up to five values: their complex step overflows where graphc's formulas need not."""


class Unsuitable(Exception):
    """The values overflow or lie on a kink, so that nothing can be compared."""


class Mismatch(AssertionError):
    """Two ways to compute the same thing disagree."""


def double(graph: Graph) -> Graph:
    """The graph in float64."""
    return replace(graph, tensors=tuple(replace(t, dtype="float64") if is_float(t.dtype) else t for t in graph.tensors))


def evaluate(
    graph: Graph, program: RandomProgram, arrays: Arrays | None = None, complex_step: bool = False
) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs of a graph on the data of a program, in float64."""
    return interpret(double(graph), arrays or program.arrays, program.size_values(), complex_step)


def lowered(graph: Graph, program: RandomProgram) -> Graph:
    """What the target "cpu" schedules; no statement of it writes outside of its tensor.

    The interpreter asks each element who writes it, so it would not notice.
    """

    def run() -> Graph:
        result = optimised(graph)
        for step in FOR_CPU:
            result = step(result)
        return result

    result = undistributed(run)
    sizes = program.size_values()
    machine = Machine(result, sizes, {n: a for n, a in program.arrays.items() if n in result.by_name()}, NUMBERS)
    for name, found in machine.definitions.items():
        for loops in found:
            for point in points({**loops.free, **loops.reduced}, {}):
                if all(test(point) >= 0 for test in loops.domain) and all(test(point) for test in loops.counts):
                    machine._bounds(name, tuple(s(point) for s in loops.subscripts))
    return result  # type: ignore[no-any-return]


def same(got: Any, want: Any, what: str, tolerance: float = TOLERANCE) -> None:
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise Mismatch(f"{what}: shape {got.shape} instead of {want.shape}")
    scale = max(1.0, float(np.abs(want).max(initial=0.0)))
    if not np.allclose(got, want, rtol=0, atol=tolerance * scale, equal_nan=True):
        raise Mismatch(f"{what}: got\n{got}\ninstead of\n{want}")


@dataclass
class Case:
    """A built program: its tensors by name, what to differentiate, the raw graph, and the value of each defined tensor."""

    program: RandomProgram
    names: dict[str, Any]
    wrt: tuple[str, ...]
    raw: Graph
    values: dict[str, np.ndarray[Any, Any]]
    random: np.random.Generator

    @cached_property
    def made(self) -> list[Any]:
        """The gradients, as tensors."""
        return gc.grad(self.names["L"], [self.names[n] for n in self.wrt]) if self.wrt else []

    @cached_property
    def first(self) -> tuple[Graph, dict[str, str]]:
        """Their graph, and the names of the adjoints."""
        return _collected(self, self.made)

    @cached_property
    def target(self) -> Graph:
        """The same as the target "cpu" gets it."""
        return lowered(self.first[0], self.program)

    def again(self) -> Case:
        """For another check: what was derived stays, the random directions begin anew."""
        self.random = np.random.default_rng(self.program.seed + 1)
        return self

    def direction(self) -> dict[str, np.ndarray[Any, Any]]:
        return {n: self.random.normal(size=self.program.arrays[n].shape) for n in self.wrt}

    def moved(self, direction: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        return {**self.program.arrays, **{n: self.program.arrays[n] + 1j * STEP * v for n, v in direction.items()}}


def prepare(program: RandomProgram) -> Case:
    """Build a program.

    Raises:
        Refused: graphc does not accept it, or not these sizes.
        Unsuitable: its value is not finite or huge, or a tensor is so huge that the complex step of a derivative would overflow.
    """
    try:
        names = program.build()
        raw = collect([names["L"]], "check").graph
    except gc.GraphcError as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    sizes = program.size_values()
    for test in raw.checks:
        if all(size_value(e, sizes) >= 0 for e in test.violation):
            raise Refused(f"a call: {test.message}")
    present = {t.name for t in raw.tensors}
    wrt = tuple(n for n in program.float_inputs() if n in present)
    with np.errstate(all="ignore"):
        values = evaluate(replace(raw, outputs=tuple(t.name for t in raw.tensors if not t.is_input)), program)
    if not np.isfinite(values["L"]) or abs(values["L"]) > 1e8:
        raise Unsuitable(f"L = {values['L']}")
    huge = [n for n, v in values.items() if v.dtype.kind == "f" and bool((np.abs(v[np.isfinite(v)]) > HUGE).any())]
    if huge:
        raise Unsuitable(f"{huge[0]} is larger than {HUGE:g}")
    return Case(program, names, wrt, raw, values, np.random.default_rng(program.seed + 1))


def is_sensitive(case: Case) -> bool:
    """Whether a change of the last bits of its inputs changes a value by more than what counts as wrong, as in sin(1e10·x)."""
    random = np.random.default_rng(case.program.seed)
    ulps = {n: (a := case.program.arrays[n]) * (1 + random.integers(-2, 3, a.shape) * np.finfo(np.float64).eps) for n in case.wrt}
    moved = evaluate(replace(case.raw, outputs=tuple(case.values)), case.program, {**case.program.arrays, **ulps})
    try:
        for name, value in case.values.items():
            same(moved[name], value, name, TOLERANCE / 4)
    except Mismatch:
        return True
    return False


# ------------------------------------------------------------------------------------------------------------------ checks


def check_values(case: Case) -> None:
    """Raw, canonical, optimised and derived graphs have the same values in every tensor that the user named."""
    program, raw, want = case.program, case.raw, case.values
    everything = replace(raw, outputs=tuple(want))
    for step in BEFORE_GRADIENT:
        before, everything = everything, undistributed(lambda s=step, g=everything: s(g))  # type: ignore[misc]
        if everything != before:
            for name, value in evaluate(everything, program).items():
                same(value, want[name], f"{name} after {step.__name__}")
    for name, value in evaluate(optimised(everything), program).items():
        same(value, want[name], f"{name} after optimising")
    for name, value in evaluate(lowered(raw, program), program).items():
        same(value, want[name], f"{name} as the target cpu gets it")


def _along(got: Arrays, direction: Arrays) -> tuple[float, float]:
    products = [np.asarray(got[n]) * v for n, v in direction.items()]
    return sum(float(np.sum(p)) for p in products), sum(float(np.sum(np.abs(p))) for p in products)


def _compare(got: Arrays, direction: Arrays, want: float, what: str) -> None:
    value, scale = _along(got, direction)
    if not abs(value - want) <= TOLERANCE * max(scale, abs(want), 1e-6):
        raise Mismatch(f"{what}: {value!r} instead of {want!r} (sum of magnitudes {scale:.3g})")


def _collected(case: Case, names: Sequence[Any]) -> tuple[Graph, dict[str, str]]:
    collected = collect(list(names), "check")
    return collected.graph, {n: collected.name_of(g) for n, g in zip(case.wrt, names, strict=True)}


def compare_along(case: Case, gradient: Arrays) -> None:
    """Compare a gradient with the complex step along a random direction."""
    direction = case.direction()
    want = evaluate(case.raw, case.program, case.moved(direction), True)["L"].imag / STEP
    _compare(gradient, direction, float(want), "gradient")


def check_gradient(case: Case) -> None:
    """The derived gradient is the complex-step derivative of the raw graph."""
    if not case.made:
        return
    graph, adjoints = case.first
    result = evaluate(graph, case.program)
    got = {n: result[adjoints[n]] for n in case.wrt}
    for name in case.wrt:
        if got[name].shape != case.program.arrays[name].shape:
            raise Mismatch(f"{name}.grad has shape {got[name].shape}")
    try:
        compare_along(case, got)
    except Mismatch as error:
        raise _located(case, got) or error from None
    for name, value in evaluate(case.target, case.program).items():
        same(value, result[name], f"{name} as the target cpu gets it")


def _located(case: Case, got: Arrays) -> Exception | None:
    """Which element is wrong; None if none is, taken alone."""
    for name in case.wrt:
        for where in np.ndindex(*case.program.arrays[name].shape):
            unit = np.zeros(case.program.arrays[name].shape)
            unit[where] = 1
            want = evaluate(case.raw, case.program, case.moved({name: unit}), True)["L"].imag / STEP
            have = float(got[name][where])
            if np.isnan(want) and not np.isnan(have):
                return Unsuitable(f"the complex step of {name}{list(where)} is no number: something infinite is multiplied by 0")
            if not abs(have - want) <= TOLERANCE * max(abs(want), 1.0):
                if _kink(case, name, where, want):
                    return Unsuitable(f"kink at {name}{list(where)}")
                return Mismatch(f"{name}.grad{list(where)} is {have!r} instead of {want!r}")
    return None


def _kink(case: Case, name: str, where: tuple[int, ...], want: float) -> bool:
    """Whether one-sided differences disagree, so that there is no derivative."""
    slopes = []
    base = evaluate(case.raw, case.program)["L"]
    for sign in (1, -1):
        moved = case.program.arrays[name].copy()
        moved[where] += sign * 1e-6
        slopes.append(float(evaluate(case.raw, case.program, {**case.program.arrays, name: moved})["L"] - base) / (sign * 1e-6))
    return abs(slopes[0] - slopes[1]) > 1e-3 * max(1.0, abs(slopes[0]), abs(slopes[1]))


def _with_seeds(program: RandomProgram, weights: Arrays) -> dict[str, Any]:
    return {**program.arrays, **{f"seed_{n}": w for n, w in weights.items()}}


def _functional(case: Case, made: list[Any]) -> tuple[dict[str, Any], dict[str, str], Graph]:
    """Random weights, and the gradient of the gradient's weighted sum: names of its tensors and the graph."""
    weights = {n: case.random.normal(size=case.program.arrays[n].shape) for n in case.wrt}
    functional = gc.tensor("functional")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gc.GraphcWarning)
        for name, derivative in zip(case.wrt, made, strict=True):
            seed = gc.tensor(f"seed_{name}", *(case.names[name].shape or ((),)), dtype=case.program.dtype(name))
            loops = tuple(gc.index(n) for n in "ijklm"[: len(seed.shape)])
            functional[()] += derivative[loops] * seed[loops]
        second = gc.grad(functional, [case.names[n] for n in case.wrt])
    graph, names = _collected(case, second)
    return weights, names, graph


def check_second_order(case: Case) -> None:
    """The gradient of a random linear functional of the gradient is the complex-step derivative of the first gradient program."""
    made = case.made
    if not made:
        return
    graph, adjoints = case.first
    weights, second_names, result_graph = _functional(case, made)
    program = replace(case.program, arrays=_with_seeds(case.program, weights))
    result = evaluate(result_graph, program)
    direction = case.direction()
    moved = evaluate(graph, case.program, case.moved(direction), True)
    want = sum(float(np.sum(weights[n] * moved[adjoints[n]].imag / STEP)) for n in case.wrt)
    _compare({n: result[second_names[n]] for n in case.wrt}, direction, want, "second order")


def _changes(case: Case) -> tuple[dict[str, Any], RandomProgram]:
    """A random change of every input as a tensor of the notation, and the program with its data."""
    direction = case.direction()
    changes = {n: gc.tensor(f"change_{n}", tuple(case.names[n].shape)) for n in direction}
    given = {f"change_{n}": v for n, v in direction.items()}
    return changes, replace(case.program, arrays={**case.program.arrays, **given})


def _alongside(graph: Graph, case: Case, program: RandomProgram) -> dict[str, np.ndarray[Any, Any]]:
    """How the outputs of a graph change along the random change, by the complex step."""
    direction = {n: program.arrays[f"change_{n}"] for n in case.wrt}
    return {n: np.imag(v) / STEP for n, v in evaluate(graph, case.program, case.moved(direction), True).items()}


def check_jvp(case: Case) -> None:
    """The tangent of every tensor that the user named is its complex-step derivative."""
    if not case.wrt:
        return
    changes, program = _changes(case)
    named = [t.name for t in case.raw.tensors if not t.is_input and is_float(t.dtype)]
    dots = gc.jvp({n: case.names[n] for n in named}, {case.names[n]: v for n, v in changes.items()})
    collected = collect(list(dots.values()), "check")
    got = evaluate(collected.graph, program)
    want = _alongside(replace(case.raw, outputs=tuple(named)), case, program)
    for name, dot in dots.items():
        same(got[collected.name_of(dot)], want[name], f"{name}.dot")
    for name, value in evaluate(lowered(collected.graph, program), program).items():
        same(value, got[name], f"{name} as the target cpu gets it")


def check_hvp(case: Case) -> None:
    """The Hessian times a vector is the complex-step derivative of the gradient, and the gradient of the directional derivative."""
    made = case.made
    if not made:
        return
    changes, program = _changes(case)
    pairs = {case.names[n]: v for n, v in changes.items()}
    graph, adjoints = case.first
    want = _alongside(graph, case, program)
    ways = {
        "forward over reverse": list(gc.hvp(case.names["L"], pairs).values()),
        "reverse over forward": gc.grad(gc.jvp(case.names["L"], pairs), list(pairs)),
    }
    for way, products in ways.items():
        collected, names = _collected(case, products)
        got = evaluate(collected, program)
        for name in case.wrt:
            same(got[names[name]], want[adjoints[name]], f"Hessian times vector, {name}, {way}")


def check_jacobian(case: Case) -> None:
    """The Jacobian of a tensor, in forward and in reverse mode, times a random change is the complex-step derivative."""
    named = [t.name for t in case.raw.tensors if not t.is_input and is_float(t.dtype)]
    if not case.wrt or not named:
        return
    output = named[int(case.random.integers(len(named)))]
    for name in case.wrt:
        direction = {name: case.direction()[name]}
        raw = replace(case.raw, outputs=(output,))
        want = np.imag(evaluate(raw, case.program, case.moved(direction), True)[output]) / STEP
        if want.size * direction[name].size > LARGEST_MATRIX:
            continue
        for forward in (True, False):
            graph, made = swept(raw, output, name, forward)
            graph = replace(graph, outputs=(made,))
            matrix = evaluate(graph, case.program)[made]
            way = f"∂{output}/∂{name} in {'forward' if forward else 'reverse'} mode"
            if matrix.shape != want.shape + direction[name].shape:
                raise Mismatch(f"{way} has shape {matrix.shape}")
            same(np.tensordot(matrix, direction[name], direction[name].ndim), want, way)
            for other, value in evaluate(lowered(graph, case.program), case.program).items():
                same(value, matrix, f"{other}, {way}, as the target cpu gets it")


def check_hessian(case: Case) -> None:
    """The Hessian times a random change is the complex-step derivative of the gradient."""
    made = case.made
    if not made:
        return
    graph, adjoints = case.first
    small = [n for n in case.wrt if case.program.arrays[n].size ** 2 <= LARGEST_MATRIX]
    rows = gc.hessian(case.names["L"], [case.names[n] for n in small])
    for name, column in zip(small, zip(*rows, strict=True), strict=True):
        direction = {name: case.direction()[name]}
        want = evaluate(graph, case.program, case.moved(direction), True)
        collected = collect(list(column), "check")
        names = {n: collected.name_of(t) for n, t in zip(small, column, strict=True)}
        got = evaluate(collected.graph, case.program)
        for row in small:
            product = np.tensordot(got[names[row]], direction[name], direction[name].ndim)
            same(product, np.imag(want[adjoints[row]]) / STEP, f"∂²L/∂{row}∂{name}")


def check_vmap(case: Case) -> None:
    """The batched program and its batched gradient are the loop over programs."""
    names = [n for n in case.program.arrays if n in case.raw.by_name() and case.random.random() < 0.6]
    if not names:
        return
    outputs = [case.names["L"], *case.made]
    wanted = collect(outputs, "check")
    batched = gc.vmap(outputs, {case.names[n]: 2 for n in names})
    collected = collect(batched, "check")
    stacks = {n: [a, case.random.permutation(a.ravel()).reshape(a.shape)] for n, a in case.program.arrays.items()}
    given = {n: np.stack(stacks[n]) if n in names else a for n, a in case.program.arrays.items()}
    got = evaluate(collected.graph, case.program, given)
    for row in range(2):
        arrays = {n: stacks[n][row] if n in names else a for n, a in case.program.arrays.items()}
        want = evaluate(wanted.graph, case.program, arrays)
        for output, tensor in zip(outputs, batched, strict=True):
            same(got[collected.name_of(tensor)][row], want[wanted.name_of(output)], f"{output.name}, element {row} of the batch")


def check_custom_grad(case: Case) -> None:
    """A tensor whose hand-written gradient is its derived one: nothing changes, in either mode, to second order and in batches."""
    case = prepare(case.program)
    infos = case.raw.by_name()
    named = [t.name for t in case.raw.tensors if not t.is_input and is_float(t.dtype)]
    chosen = named[int(case.random.integers(len(named)))]
    wrt = [n for n in case.wrt if chosen in below(case.raw, [n])]
    if not wrt or any(infos[n].dtype != infos[chosen].dtype for n in wrt):
        return
    tensor = case.names[chosen]
    gc.custom_grad(tensor, {case.names[n]: lambda dT, n=n: gc.grad(tensor, case.names[n], seed=dT) for n in wrt})
    for check in (check_gradient, check_jvp, check_second_order, check_hvp, check_vmap):
        try:
            check(case)
        except Mismatch as error:
            raise Mismatch(f"{chosen} with a hand-written gradient: {error}") from error


OPTIONAL = ("stabilise", "narrow", "factor_contractions", "simplify", "gather", "prune", "merge", "inline_copies")


def pipeline(graph: Graph, wrt: tuple[str, ...], without: str = "", twice: bool = False) -> tuple[Graph, dict[str, str]]:
    """The derived and optimised graph, with one pass left out or every pass run twice."""

    def run(graph: Graph, passes: Sequence[Callable[[Graph], Graph]]) -> Graph:
        return undistributed(lambda: applied(graph, passes))  # type: ignore[no-any-return]

    def applied(graph: Graph, passes: Sequence[Callable[[Graph], Graph]]) -> Graph:
        for step in passes:
            if step.__name__ != without:
                graph = step(graph)
                if twice:
                    graph = step(graph)
        return graph

    graph, names = undistributed(lambda: differentiate(run(graph, BEFORE_GRADIENT), "L", wrt))
    return run(graph, (*AFTER_GRADIENT, prune, merge, inline_copies)), names


def check_passes(case: Case, without: Sequence[str] = OPTIONAL, twice: bool = True) -> None:
    """The gradient is the same with each optional pass left out, and with every pass applied twice."""
    if not case.wrt:
        return
    graph, names = pipeline(case.raw, case.wrt)
    want = evaluate(graph, case.program)
    for name in (*without, *([""] if twice else [])):
        graph, other = pipeline(case.raw, case.wrt, name, twice=not name)
        got = evaluate(graph, case.program)
        what = f"without {name}" if name else "with every pass twice"
        same(got["L"], want["L"], f"L {what}")
        for n in case.wrt:
            same(got[other[n]], want[names[n]], f"{n}.grad {what}")


def _tensors(program: RandomProgram) -> dict[str, Any]:
    kinds = {"f": torch.float64, "b": torch.bool}
    return {n: torch.tensor(a).to(kinds.get(a.dtype.kind, torch.int64)) for n, a in program.arrays.items() if n in program.used()}


def check_torch(case: Case) -> None:
    """PyTorch, which sees the raw graph alone, finds the same values, the same gradient, and the same derivative of its functional.

    The derived graphs are evaluated in PyTorch as well, in the form in which the target cpu gets them: nothing may be read or
    written outside of its tensor. Where PyTorch's own gradient is NaN, nothing is compared.
    """
    program, sizes = case.program, case.program.size_values()
    inputs = _tensors(program)
    for n in case.wrt:
        inputs[n].requires_grad_()
    theirs = evaluated(double(case.raw), sizes, inputs, differentiable=True)
    for name, value in case.values.items():
        same(theirs[name].detach().numpy(), value, f"{name} in PyTorch against the interpreter")
    made = case.made
    if not made:
        return
    slopes = _slopes(theirs["L"], [inputs[n] for n in case.wrt])
    _, adjoints = case.first
    fixed = {n: a.detach() for n, a in inputs.items()}
    mine = evaluated(double(case.target), sizes, fixed, strict=True)
    for n, slope in zip(case.wrt, slopes, strict=True):
        got = mine[adjoints[n]].numpy()
        want = _known(slope.detach().numpy(), got)
        try:
            same(got, want, f"{n}.grad against PyTorch")
        except Mismatch:
            for where in map(tuple, np.argwhere(np.abs(got - want) > TOLERANCE)) if got.shape == want.shape else ():
                if _kink(case, n, where, want[where]):
                    raise Unsuitable(f"kink at {n}{list(where)}") from None
            raise
    if program.seed % SECOND == 0 and not any(torch.isnan(s).any() for s in slopes):
        weights, second_names, second = _functional(case, made)
        total = sum((torch.tensor(weights[n]) * s).sum() for n, s in zip(case.wrt, slopes, strict=True))
        given = {**fixed, **{f"seed_{n}": torch.tensor(w) for n, w in weights.items()}}
        mine = evaluated(double(lowered(second, replace(program, arrays=_with_seeds(program, weights)))), sizes, given, strict=True)
        for n, want in zip(case.wrt, _slopes(total, [inputs[n] for n in case.wrt]), strict=True):
            got = mine[second_names[n]].numpy()
            same(got, _known(want.detach().numpy(), got), f"second order in {n} against PyTorch")


def _known(theirs: Any, mine: Any) -> Any:
    """Their derivative, and mine where theirs is NaN: PyTorch multiplies 0 by infinity where something overflows, the program may not."""
    return np.where(np.isnan(theirs), mine, theirs) if mine.shape == theirs.shape else theirs


SECOND = 8
"""Every such seed is compared to second order in PyTorch."""


def _slopes(value: Any, wrt: list[Any]) -> list[Any]:
    """Derivatives that can be differentiated again; zeros where there is no path."""
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in wrt]
    found = torch.autograd.grad(value, wrt, create_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, wrt, strict=True)]


def called(function: gc.Program, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    return function(**{n: a for n, a in arrays.items() if n in function.inputs})


def close(got: np.ndarray[Any, Any], rounded: np.ndarray[Any, Any], exact: np.ndarray[Any, Any]) -> bool:
    """Up to 2⁻¹⁵ of the largest element, or 30 times what rounding inputs and temporaries to float32 does.

    The first term covers a few hundred roundings of 2⁻²⁴ that are added up in another order; the second one covers ill-conditioned
    programs, whose error the interpreted float32 program shows without any of the target's rewriting. NaN and infinities are the same.
    """
    if got.shape != exact.shape:
        return False
    finite = np.isfinite(exact) & np.isfinite(rounded)
    scale = max(1.0, float(np.abs(exact[finite]).max(initial=0)))
    allowed = 2.0**-15 * scale + 30 * float(np.abs(rounded - exact)[finite].max(initial=0))
    near = bool((np.abs(got.astype("float64") - exact)[finite] <= allowed).all())
    return near and np.array_equal(got[~finite], rounded[~finite], equal_nan=bool(np.issubdtype(got.dtype, np.floating)))


def check_cpu(case: Case) -> None:
    """The target "cpu" computes L and its gradient in float32 as the interpreter does."""
    _check_machine(case, "cpu", lambda program, arrays: dict(called(program, arrays)))


def check_cuda(case: Case) -> None:
    """The same of the target "cuda" on a simulated GPU, which finds races and accesses outside of arrays."""
    _check_machine(case, "cuda", lambda program, arrays: dict(called(program, arrays)), gpu.compiled)


def check_gpu(case: Case) -> None:
    """The same on a GPU, or in the simulator that NUMBA_ENABLE_CUDASIM=1 chooses."""
    _check_machine(case, "the GPU", lambda program, arrays: dict(called(program, arrays)), partial(gc.compile, target="cuda"))


def check_unjitted(case: Case) -> None:
    """The same of the module generated for the target "cpu" where it runs as plain Python, with every access checked."""
    _check_machine(case, "the generated module", lambda program, arrays: program.signature.structure(unjitted.run(program, arrays)))


def check_outside(case: Case) -> None:
    """An integer input with one other value, which may point outside: the generated module leaves no array, and has no other complaints
    than the interpreter."""
    inputs = {t.name for t in case.raw.tensors if t.is_input}
    names = [n for n in case.program.arrays if n in inputs and np.size(case.program.arrays[n]) and is_integer(case.program.dtype(n))]
    if not names:
        return
    outputs = {"L": case.names["L"], **{f"{n}.grad": g for n, g in zip(case.wrt, case.made, strict=True)}}
    with patch.dict(fronts.SIZES, SMALL_TILES):
        program = gc.compile(outputs)
    rounded, exact = gc.compile(outputs, target="interpret"), gc.compile(outputs, target="interpret", precision="float64")
    for _ in range(4):
        arrays = {n: np.array(a) for n, a in case.program.typed().items()}
        changed = arrays[names[int(case.random.integers(len(names)))]]
        where = tuple(int(case.random.integers(n)) for n in changed.shape)
        values = [2, 3, 4, 5, 9, 100] + ([] if changed.dtype == np.uint8 else [-9, -2, -1])
        changed[where] = case.random.choice(values)
        try:
            want, near, refused = called(exact, arrays), called(rounded, arrays), ""
        except gc.GraphcError as error:
            want, near, refused = {}, {}, str(error)
        try:
            got = program.signature.structure(unjitted.run(program, arrays, complains=True))
        except gc.GraphcError as error:
            if not refused:
                raise Mismatch(f"{error}\nwhere nothing is wrong: {arrays}") from error
            continue
        except IndexError as error:
            raise Mismatch(f"the generated module leaves an array: {error}\n{arrays}") from error
        for name in () if refused else outputs:
            if not close(np.asarray(got[name]), near[name], want[name]):
                raise Mismatch(f"{name} is\n{got[name]}\ninstead of\n{want[name]}\nfor {arrays}")


def check_checkpoint(case: Case) -> None:
    """The same of the module where a recurrence is marked by `graphc.checkpoint`, unless that is refused; of one gradient or of all."""
    marked = sorted(n for n in cyclic(case.raw) if isinstance(case.names.get(n), gc.Tensor))
    if not marked:
        return
    seed = case.program.seed
    if case.wrt and seed // 4 % 2:
        case = replace(case, wrt=(case.wrt[seed // 8 % len(case.wrt)],))
    tensor = gc.checkpoint(case.names[marked[seed % len(marked)]], every=1 + seed % 3)
    try:
        check_unjitted(case)
    except gc.CompileError:
        return
    finally:
        tensor.every = 0


def check_c(case: Case) -> None:
    """The same of the program saved as C, compiled with gcc and with checks for undefined behaviour."""
    _check_machine(case, "C", lambda program, arrays: program.signature.structure(in_c(program, arrays)))


def in_c(program: gc.Program, arrays: Arrays) -> list[np.ndarray[Any, Any]]:
    """The results of a program saved as C."""
    with tempfile.TemporaryDirectory() as folder:
        made = c_programs.exported(program, Path(folder), flags=c_programs.UNDEFINED)
        return made.results({t.name: arrays[t.name] for t in program.signature.inputs})[: len(program.signature.outputs)]


def _check_machine(
    case: Case, what: str, run: Callable[[gc.Program, Arrays], dict[str, Any]], compiled: Callable[..., gc.Program] = gc.compile
) -> None:
    outputs = {"L": case.names["L"], **{f"{n}.grad": g for n, g in zip(case.wrt, case.made, strict=True)}}
    arrays, single = case.program.arrays, case.program.typed()
    with patch.dict(fronts.SIZES, SMALL_TILES):
        got = run(compiled(outputs), single)
    rounded = called(gc.compile(outputs, target="interpret"), single)
    exact = called(gc.compile(outputs, target="interpret", precision="float64"), dict(arrays))
    for name in outputs:
        if not close(np.asarray(got[name]), rounded[name], exact[name]):
            raise Mismatch(f"{name}: {what} gives\n{got[name]}\ninstead of\n{exact[name]}")


def check_exactly(case: Case) -> None:
    """The derived gradient is the derivative of the program written out element by element, at sizes of its own."""
    if case.wrt:
        gc.verify(case.names["L"], [case.names[n] for n in case.wrt], budget=1500)


CHECKS: dict[str, Callable[[Case], None]] = {
    "values": check_values,
    "gradient": check_gradient,
    "second order": check_second_order,
    "passes": check_passes,
    "jvp": check_jvp,
    "hvp": check_hvp,
    "torch": check_torch,
    "jacobian": check_jacobian,
    "hessian": check_hessian,
    "vmap": check_vmap,
    "custom_grad": check_custom_grad,
    "cpu": check_cpu,
    "cuda": check_cuda,
    "gpu": check_gpu,
    "unjitted": check_unjitted,
    "outside": check_outside,
    "checkpoint": check_checkpoint,
    "c": check_c,
    "verify": check_exactly,
}
if torch is None:
    del CHECKS["torch"]
QUICK = tuple(kind for kind in CHECKS if kind not in ("cpu", "cuda", "gpu", "unjitted", "checkpoint", "c", "verify"))
"""Everything that takes milliseconds: no waiting for Numba or SymPy."""


def on_cpu(program: gc.Program, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """The results of the target "cpu" itself."""
    return called(program, arrays)


def as_c(program: gc.Program, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """The results of the program saved as C."""
    return dict(program.signature.structure(in_c(program, arrays)))


def check_together(
    programs: Sequence[RandomProgram], run: Callable[[gc.Program, dict[str, np.ndarray[Any, Any]]], dict[str, Any]] = on_cpu
) -> tuple[RandomProgram, Mismatch] | None:
    """Programs and some of their gradients as the outputs of one compilation for the target "cpu"; the first one that is wrong."""
    together, arrays, single = [], {}, {}
    for program in programs:
        prefix = f"p{program.seed}_"
        try:
            case = prepare(program)
            names = program.build(prefix)
            wrt = case.random.permutation(case.wrt)[:3]
            made = gc.grad(names["L"], [names[n] for n in wrt]) if len(wrt) else []
            gc.compile([names["L"], *made], target="interpret")
        except (Refused, Unsuitable, gc.CompileError):
            continue
        together.append((program, [names["L"], *made], ["L", *(f"{n}.grad" for n in wrt)]))
        arrays.update({prefix + n: program.arrays[n] for n in program.used()})
        single.update({prefix + n: a for n, a in program.typed().items()})
    outputs = {f"{k} {label}": t for k, (_, tensors, labels) in enumerate(together) for t, label in zip(tensors, labels, strict=True)}
    if not outputs:
        return None
    got = run(gc.compile(outputs, target="cpu"), single)
    rounded = called(gc.compile(outputs, target="interpret"), single)
    exact = called(gc.compile(outputs, target="interpret", precision="float64"), arrays)
    for label in outputs:
        if not close(got[label], rounded[label], exact[label]):
            what = f"{label.split()[1]}: {run.__name__} gives\n{got[label]}\ninstead of\n{exact[label]}"
            return together[int(label.split()[0])][0], Mismatch(what)
    return None


def check(program: RandomProgram, kinds: Sequence[str] = QUICK) -> None:
    """Run the checks.

    Raises:
        Refused, Unsuitable: see there.
        Mismatch, or whatever a pass raises: a fault.
    """
    for kind in kinds:
        CHECKS[kind](prepare(program))
