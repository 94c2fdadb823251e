"""How accurate the scalar functions and their derivatives are: ``python -m tests.accuracy`` prints the table of docs/accuracy.md.

Every function is compiled as a user would and compared with mpmath, at points over the whole range of the type: signed zeros,
infinities, NaN, and both sides of every overflow among them. Errors are in ulp of the exact result. Arguments are no subnormal
numbers, which kernels take for 0, and results that are subnormal may be 0.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mpf

import graphc as gc

__all__ = ["FUNCTIONS", "Errors", "measured"]

Array = np.ndarray[Any, Any]
Exact = Callable[..., Any]


def _normal_density(x: Any) -> Any:
    return mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)


def _normal_cdf(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def _sigmoid(x: Any) -> Any:
    return mpf(0) if x < -700000 else 1 / (1 + mpmath.exp(-x))


def _both_halves(a: Any, b: Any) -> Any:
    return mpf(1) if a > b else mpf("0.5") if a == b else mpf(0)


def _power(a: Any, b: Any) -> Any:
    return mpf(1) if a == 1 or b == 0 else a**b


def _chosen(of: Exact, a: Any, b: Any) -> Any:
    return mpmath.nan if mpmath.isnan(a) or mpmath.isnan(b) else of(a, b)


@dataclass(frozen=True)
class Row:
    """A function, its exact value and derivatives, and where its arguments lie: below `low` and above `high` nothing is asked."""

    call: Callable[..., Any]
    value: Exact
    slopes: tuple[Exact, ...]
    low: float = -math.inf
    high: float = math.inf
    angle: bool = False


FUNCTIONS: dict[str, Row] = {
    "exp": Row(gc.exp, mpmath.exp, (mpmath.exp,)),
    "expm1": Row(gc.expm1, mpmath.expm1, (mpmath.exp,)),
    "log": Row(gc.log, mpmath.log, (lambda x: 1 / x,), 0),
    "log1p": Row(gc.log1p, mpmath.log1p, (lambda x: 1 / (1 + x),), -1),
    "sqrt": Row(gc.sqrt, mpmath.sqrt, (lambda x: 1 / (2 * mpmath.sqrt(x)),), 0),
    "rsqrt": Row(gc.rsqrt, lambda x: 1 / mpmath.sqrt(x), (lambda x: -1 / (2 * x * mpmath.sqrt(x)),), 0),
    "abs": Row(gc.abs, abs, (mpmath.sign,)),
    "sign": Row(gc.sign, mpmath.sign, (lambda x: mpf(0),)),
    "sin": Row(gc.sin, mpmath.sin, (mpmath.cos,), angle=True),
    "cos": Row(gc.cos, mpmath.cos, (lambda x: -mpmath.sin(x),), angle=True),
    "tan": Row(gc.tan, mpmath.tan, (lambda x: 1 + mpmath.tan(x) ** 2,), angle=True),
    "tanh": Row(gc.tanh, mpmath.tanh, (lambda x: mpmath.sech(x) ** 2,)),
    "sigmoid": Row(gc.sigmoid, _sigmoid, (lambda x: _sigmoid(x) * _sigmoid(-x),)),
    "softplus": Row(gc.softplus, lambda x: max(x, mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x))), (_sigmoid,)),
    "relu": Row(gc.relu, lambda x: max(x, mpf(0)), (lambda x: mpf(int(x > 0)),)),
    "leaky_relu": Row(lambda x: gc.leaky_relu(x, 0.25), lambda x: x if x > 0 else x / 4, (lambda x: mpf(1 if x > 0 else 0.25),)),
    "elu": Row(gc.elu, lambda x: x if x > 0 else mpmath.expm1(x), (lambda x: mpf(1) if x > 0 else mpmath.exp(x),)),
    "gelu": Row(gc.gelu, lambda x: x * _normal_cdf(x), (lambda x: _normal_cdf(x) + x * _normal_density(x),)),
    "silu": Row(gc.silu, lambda x: x * _sigmoid(x), (lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x)),)),
    "erf": Row(gc.erf, mpmath.erf, (lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x),)),
    "floor": Row(gc.floor, mpmath.floor, (lambda x: mpf(0),)),
    "ceil": Row(gc.ceil, mpmath.ceil, (lambda x: mpf(0),)),
    "round": Row(gc.round, mpmath.nint, (lambda x: mpf(0),)),
    "maximum": Row(gc.maximum, lambda a, b: _chosen(max, a, b), (_both_halves, lambda a, b: _both_halves(b, a))),
    "minimum": Row(gc.minimum, lambda a, b: _chosen(min, a, b), (lambda a, b: _both_halves(b, a), _both_halves)),
    "power": Row(gc.power, _power, (lambda a, b: b * a ** (b - 1), lambda a, b: a**b * mpmath.log(a)), 0),
    "hypot": Row(gc.hypot, mpmath.hypot, (lambda a, b: a / mpmath.hypot(a, b), lambda a, b: b / mpmath.hypot(a, b))),
    "atan2": Row(gc.atan2, mpmath.atan2, (lambda a, b: b / (a * a + b * b), lambda a, b: -a / (a * a + b * b))),
}  # fmt: skip
BINARY = ("maximum", "minimum", "power", "hypot", "atan2")


def _arguments(name: str, dtype: str, count: int) -> tuple[Array, ...]:
    """Special values, powers of ten, and random numbers around 1 and where exponentials overflow."""
    info, random = np.finfo(dtype), np.random.default_rng(len(name))
    row = FUNCTIONS[name]
    edge = math.log(float(info.max))
    special = [0.0, float(info.tiny), float(info.max), math.inf, 0.5, 1.0,
               2.0, 2.5, edge * 0.999999, edge * 1.000001, edge / 2]  # fmt: skip
    top = 4.0 if row.angle else 0.9 * math.log10(float(info.max))
    parts = [np.array(special), 10 ** random.uniform(-top, top, count), random.uniform(0, 4, count), random.uniform(0, edge, count)]
    x = np.concatenate(parts)
    if row.angle:
        x = x[(x < 1e4) | ~np.isfinite(x)]
    x = np.concatenate([x, -x, [math.nan]]).astype(dtype)
    x = x[~((x < row.low) | (x > row.high))]
    # mpmath has no -0, on which side of the cut atan2 would be.
    return (x + 0.0 if name == "atan2" else x, random.permutation(x)) if name in BINARY else (x,)


@dataclass
class Errors:
    """The largest errors of a function: of the value and of the derivatives, in ulp of the result and in ulp of max(1, result)."""

    value: float = 0.0
    value_of_one: float = 0.0
    slope: float = 0.0
    slope_of_one: float = 0.0


def _distances(got: float, exact: Any, info: Any) -> tuple[float, float]:
    """In ulp of `exact` and in ulp of the larger one of `exact` and 1; infinite if one of them is no number and the other is."""
    if mpmath.isnan(exact) or math.isnan(got):
        return (0.0, 0.0) if mpmath.isnan(exact) and math.isnan(got) else (math.inf, math.inf)
    near, largest, smallest, ulp = float(exact), float(info.max), float(info.tiny), float(info.eps)
    if math.isinf(got) or abs(exact) >= mpf(largest) * (1 + mpf(ulp) / 4):
        same = math.isinf(got) and (got > 0) == (exact > 0) and abs(exact) >= mpf(largest) * (1 - 2 * mpf(ulp))
        return (0.0, 0.0) if same else (math.inf, math.inf)
    if got == exact or (abs(near) < smallest and got == 0):
        return 0.0, 0.0
    # A float64 has digits enough beyond those of a float32.
    error = abs(got - near) if info.bits == 32 else float(abs(mpf(got) - exact))
    unit = math.ldexp(1.0, max(math.frexp(near)[1] - 1 if near else -(10**9), int(info.minexp)) - int(info.nmant))
    return error / unit, error / max(unit, ulp)


def _exactly(function: Exact, point: tuple[float, ...]) -> Any:
    try:
        result = function(*map(mpf, point))
    except (ZeroDivisionError, ValueError, OverflowError):
        return None
    return None if isinstance(result, mpmath.mpc) else mpf(result)


def measured(target: str, dtype: str, count: int, names: tuple[str, ...] = tuple(FUNCTIONS)) -> dict[str, Errors]:
    """The errors of functions on a target, all of them in one program."""
    i = gc.index("i")
    outputs, arrays = {}, {}
    for name in names:
        points = _arguments(name, dtype, count)
        inputs = [gc.tensor(f"{name}_{k}", len(points[0]), dtype=dtype) for k in range(len(points))]
        seed, y = gc.tensor(f"{name}_seed", len(points[0]), dtype=dtype), gc.tensor(f"{name}_value")
        y[i] = FUNCTIONS[name].call(*(x[i] for x in inputs))
        outputs[name] = [y, *gc.grad(y, inputs, seed=seed)]
        arrays |= {x.name: a for x, a in zip(inputs, points, strict=True)} | {seed.name: np.ones(len(points[0]), dtype)}
    flat = [t for found in outputs.values() for t in found]
    function = gc.compile(flat, target=target)
    results = iter(function(**{n: a for n, a in arrays.items() if n in function.inputs}))
    return {name: _compared(name, [next(results) for _ in found], arrays, dtype) for name, found in outputs.items()}


def _compared(name: str, results: list[Array], arrays: dict[str, Array], dtype: str) -> Errors:
    row, info, errors = FUNCTIONS[name], np.finfo(dtype), Errors()
    points = [arrays[f"{name}_{k}"].tolist() for k in range(len(row.slopes))]
    with mpmath.workprec(200):
        for position, point in enumerate(zip(*points, strict=True)):
            for k, function in enumerate((row.value, *row.slopes)):
                exact = _exactly(function, point)
                if exact is None or (k and not all(map(math.isfinite, point))):
                    continue
                got = float(results[k][position])
                found, of_one = _distances(got, exact, info)
                if k == 0:
                    errors.value, errors.value_of_one = max(errors.value, found), max(errors.value_of_one, of_one)
                else:
                    errors.slope, errors.slope_of_one = max(errors.slope, found), max(errors.slope_of_one, of_one)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=2000, help="of each kind, for each function")
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--names", nargs="+", default=list(FUNCTIONS))
    options = parser.parse_args()
    single, double = (measured(options.target, dtype, options.points, tuple(options.names)) for dtype in ("float32", "float64"))
    print("| function | float32 | float64 | derivative, float32 | derivative, float64 |\n|---|---|---|---|---|")
    for name in options.names:
        both = single[name], double[name]
        cells = [_shown(e.value, e.value_of_one) for e in both] + [_shown(e.slope, e.slope_of_one) for e in both]
        print(f"| `{name}` | {' | '.join(cells)} |")


def _shown(error: float, of_one: float) -> str:
    return f"{error:.2f}" if error <= LIMIT else f"{of_one:.2f} of 1" if of_one <= LIMIT else "overflow"


LIMIT = 4.0
"""Above it, the error is stated in ulp of 1."""


if __name__ == "__main__":
    main()
