"""The elementary functions are accurate to a few ulp, right at the edges, of their argument's type, and vectorised."""

import functools
import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from llvmlite import binding, ir
from numba import njit, types
from numba.core.errors import TypingError

from graphc.kernels import elementary
from graphc.kernels.bits import Lane

INF, NAN = math.inf, math.nan
DTYPES = (np.float32, np.float64)
BINARY = {"difference", "power", "hypot", "atan2", "maximum", "minimum"}

EXACT: dict[str, Any] = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "erf": mpmath.erf,
    "sqrt": mpmath.sqrt,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "power": mpmath.power,
    "hypot": mpmath.hypot,
    "atan2": mpmath.atan2,
}

# The largest error in ulp, float32 and float64.
BOUNDS = {
    "exp": (1.0, 1.0),
    "expm1": (1.5, 2.3),
    "log": (1.0, 1.0),
    "log1p": (1.5, 1.5),
    "sin": (1.7, 1.9),
    "cos": (1.7, 1.9),
    "tan": (1.9, 1.9),
    "tanh": (1.7, 1.7),
    "sigmoid": (1.6, 1.6),
    "softplus": (1.5, 1.5),
    "erf": (1.0, 1.2),
    "sqrt": (0.5, 0.5),
    "rsqrt": (1.5, 1.5),
    "power": (1.3, 1.5),
    "hypot": (1.0, 1.0),
    "atan2": (1.3, 1.6),
}


@functools.cache
def loop(name: str, fastmath: bool = False) -> Any:
    """A compiled loop z[i] = name(x[i]) or name(x[i], y[i])."""
    call = f"{name}(x[i], y[i])" if name in BINARY else f"{name}(x[i])"
    scope: dict[str, Any] = {name: getattr(elementary, name)}
    exec(f"def apply(x, y, z):\n    for i in range(x.size):\n        z[i] = {call}\n", scope)
    return njit(scope["apply"], fastmath=fastmath, error_model="numpy")


def apply(name: str, x: Any, y: Any = None, dtype: Any = np.float32, fastmath: bool = False) -> Any:
    x = np.atleast_1d(np.asarray(x, dtype))
    y = x if y is None else np.broadcast_to(np.asarray(y, dtype), x.shape).copy()
    z = np.empty_like(x)
    loop(name, fastmath)(x, y, z)
    return z


def points(name: str, dtype: Any) -> tuple[Any, Any]:
    """Arguments over the whole useful range of a function, half of them where it bends."""
    rng, count = np.random.default_rng(0), 800
    single = dtype is np.float32
    top, tiny, wide = (88.0, 1e-30, 9e5) if single else (709.0, 1e-300, 9e12)

    def logarithmic(low: float, high: float) -> Any:
        return np.exp(rng.uniform(math.log(low), math.log(high), count))

    def signed(low: float, high: float) -> Any:
        return logarithmic(low, high) * rng.choice([-1.0, 1.0], count)

    def uniform(low: float, high: float) -> Any:
        return rng.uniform(low, high, count)

    parts = {
        "exp": [uniform(-0.98 * top, top), signed(tiny, 3)],
        "expm1": [uniform(-40, top), uniform(-2, 2), signed(tiny, 1)],
        "log": [logarithmic(tiny, 1 / tiny), uniform(0.5, 2), 1 + signed(1e-6, 0.3)],
        "log1p": [logarithmic(tiny, 1 / tiny), uniform(-0.9999, 3), signed(tiny, 0.99)],
        "tanh": [uniform(-10, 10), uniform(-1.5, 1.5), signed(tiny, 1)],
        "sigmoid": [uniform(-0.98 * top, 0.9 * top), uniform(-6, 6)],
        "softplus": [uniform(-0.98 * top, top), uniform(-3, 3)],
        "erf": [uniform(-6, 6), uniform(-2, 2), signed(tiny, 1)],
        "sqrt": [logarithmic(tiny, 1 / tiny)],
        "rsqrt": [logarithmic(tiny, 1 / tiny)],
        "power": [logarithmic(1e-5, 1e5), uniform(0.5, 2), uniform(0.9, 1.1)],
    }
    pairs = [signed(1e-10, 1e10), signed(0.1, 10)]
    x = np.concatenate(parts.get(name, pairs if name in BINARY else [uniform(-7, 7), uniform(-wide, wide), signed(1e-9, 3)]))
    y = x[::-1].copy()
    if name == "power":
        y = rng.uniform(-0.95, 0.95, x.size) * np.minimum(0.95 * top / np.abs(np.log(x)), 1e8)
    return x.astype(dtype), y.astype(dtype)


def worst_ulp(name: str, x: Any, y: Any, z: Any) -> float:
    """The largest distance of z from the exact result, in ulp of the exact result."""
    info, worst = np.finfo(z.dtype), 0.0
    with mpmath.workprec(160):
        for a, b, result in zip(x.tolist(), y.tolist(), z.tolist(), strict=True):
            exact = EXACT[name](mpmath.mpf(a), mpmath.mpf(b)) if name in BINARY else EXACT[name](mpmath.mpf(a))
            exponent = max(math.frexp(float(exact))[1] - 1, int(info.minexp))
            worst = max(worst, float(abs(result - exact) / mpmath.mpf(2) ** (exponent - info.nmant)))
    return worst


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_accuracy(name: str, dtype: Any) -> None:
    x, y = points(name, dtype)
    z = apply(name, x, y, dtype)
    assert worst_ulp(name, x, y, z) <= BOUNDS[name][DTYPES.index(dtype)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", elementary.__all__)
def test_fast_math_of_the_caller_stays_outside(name: str, dtype: Any) -> None:
    x, y = points(name, dtype)
    np.testing.assert_array_equal(apply(name, x, y, dtype), apply(name, x, y, dtype, fastmath=True))


DENSE = {
    "exp": (-87, 88.7), "tanh": (-9.5, 9.5), "tan": (-20, 20), "sigmoid": (-80, 80), "erf": (-4.2, 4.2), "log1p": (-0.99, 50),
}  # fmt: skip


@pytest.mark.parametrize("name, dense", DENSE.items())
def test_float32_on_a_dense_grid(name: str, dense: tuple[float, float]) -> None:
    """Against float64, which the test above checks: half a million points, no isolated failure."""
    x = np.linspace(*dense, 500_001).astype(np.float32)
    exact = apply(name, x.astype(np.float64), dtype=np.float64)
    error = np.abs(apply(name, x) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert error.max() <= 2.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fast_division_by_a_root_is_exact_at_its_ends(dtype: Any) -> None:
    """LLVM replaced it by an estimate that is NaN at 0 and at infinity."""

    @njit(fastmath={"contract", "reassoc", "nsz", "arcp", "afn"}, error_model="numpy")
    def inverse(x: Any, z: Any) -> None:
        for i in range(x.size):
            z[i] = x.dtype.type(1) / elementary.sqrt(x[i])

    x = np.array([0.0, INF, 4.0, 0.25] * 8, dtype)
    z = np.empty_like(x)
    inverse(x, z)
    np.testing.assert_array_equal(z, np.array([INF, 0.0, 0.5, 2.0] * 8, dtype))


EDGES: dict[str, list[tuple[float, ...]]] = {
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (NAN, NAN), (1e30, INF), (-1e30, 0)],
    "expm1": [(0, 0), (-0.0, -0.0), (INF, INF), (-INF, -1), (-1e30, -1), (1e30, INF), (NAN, NAN), (1e-30, 1e-30)],
    "log": [(1, 0), (0, -INF), (-0.0, -INF), (-1, NAN), (-INF, NAN), (INF, INF), (NAN, NAN)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -INF), (-2, NAN), (INF, INF), (-INF, NAN), (NAN, NAN), (1e-30, 1e-30)],
    "sin": [(0, 0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN), (1e20, NAN)],
    "cos": [(0, 1), (-0.0, 1), (INF, NAN), (NAN, NAN), (1e20, NAN)],
    "tan": [(0, 0), (-0.0, -0.0), (INF, NAN), (NAN, NAN), (1e20, NAN)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (100, 1), (-1e30, -1), (NAN, NAN), (1e-30, 1e-30)],
    "sigmoid": [(0, 0.5), (INF, 1), (-INF, 0), (1e30, 1), (-1e30, 0), (NAN, NAN)],
    "softplus": [(1000, 1000), (-1e30, 0), (INF, INF), (-INF, 0), (NAN, NAN)],
    "erf": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (7, 1), (-1e30, -1), (NAN, NAN)],
    "sqrt": [(4, 2), (0, 0), (-0.0, -0.0), (-1, NAN), (INF, INF), (NAN, NAN)],
    "rsqrt": [(4, 0.5), (0, INF), (-1, NAN), (INF, 0), (NAN, NAN)],
    "floor": [(1.5, 1), (-1.5, -2), (-0.0, -0.0), (1e20, 1e20), (INF, INF), (NAN, NAN)],
    "ceil": [(1.5, 2), (-1.5, -1), (-0.5, -0.0), (INF, INF), (NAN, NAN)],
    "round_": [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, -0.0), (-3.5, -4), (1e20, 1e20), (INF, INF), (NAN, NAN)],
    "absolute": [(-2, 2), (-0.0, 0), (-INF, INF), (NAN, NAN)],
    "sign": [(-3, -1), (1e-30, 1), (0, 0), (-0.0, -0.0), (INF, 1), (NAN, NAN)],
    "maximum": [(1, 2, 2), (2, 1, 2), (NAN, 1, NAN), (1, NAN, NAN), (-INF, INF, INF)],
    "minimum": [(1, 2, 1), (2, 1, 1), (NAN, 1, NAN), (1, NAN, NAN), (-INF, INF, -INF)],
    "hypot": [(3, 4, 5), (0, 0, 0), (INF, NAN, INF), (NAN, -INF, INF), (NAN, 1, NAN), (3e30, 4e30, 5e30), (3e-30, -4e-30, 5e-30)],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str, dtype: Any) -> None:
    x, y, expected = (np.array([row[k] for row in EDGES[name]], dtype) for k in (0, -2, -1))
    result = apply(name, x, y, dtype)
    np.testing.assert_allclose(result, expected, rtol=2 * np.finfo(dtype).eps, atol=0)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["power", "atan2"])
def test_edges_of_two_arguments_are_those_of_the_c_library(name: str, dtype: Any) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1e30, -1e30, 1e-30, INF, -INF, NAN, 1e-45, 2.5]
    x, y = (grid.ravel().astype(dtype) for grid in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        expected = (np.power if name == "power" else np.arctan2)(x, y)
    result = apply(name, x, y, dtype)
    np.testing.assert_allclose(result, expected, rtol=4 * np.finfo(dtype).eps, atol=0)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[numbers]), np.signbit(expected[numbers]))


def test_ends_of_the_range_of_exp() -> None:
    assert np.isfinite(apply("exp", 88.7)) and np.isinf(apply("exp", 89.0)) and apply("exp", -104.0) == 0
    assert np.isfinite(apply("exp", 709.7, dtype=np.float64)) and np.isinf(apply("exp", 709.8, dtype=np.float64))
    assert apply("exp", -745.0, dtype=np.float64) == 5e-324 and apply("exp", -746.0, dtype=np.float64) == 0
    assert np.isfinite(apply("expm1", 88.7)) and np.isinf(apply("expm1", 89.0))


def test_subnormal_numbers_are_gradual() -> None:
    x = np.linspace(-103.5, -86, 1000).astype(np.float32)
    np.testing.assert_allclose(apply("exp", x), np.exp(x.astype(np.float64)), rtol=0, atol=0.51 * 2.0**-149 + 1e-6 * 2.0**-126)
    assert 3e-44 < apply("sigmoid", -100.0) < 4e-44
    tiny = np.array([1e-45, 3e-45, 1e-40, -1e-40], np.float32)
    for name in ("expm1", "log1p", "tanh", "sin", "tan"):
        np.testing.assert_array_equal(apply(name, tiny), tiny)
    np.testing.assert_allclose(apply("log", tiny[:3]), np.log(tiny[:3].astype(np.float64)), rtol=2e-7)


def test_nan_of_any_payload_stays_nan() -> None:
    payloads = np.array([0x7F800001, 0x7FC00001, 0x7FFFFFFF, 0xFFC00001, 0xFF812345], np.uint32).view(np.float32)
    for name in elementary.__all__:
        assert np.isnan(apply(name, payloads, payloads)).all(), name


def test_values_stay_in_range() -> None:
    x = np.concatenate([np.linspace(-20, 20, 200_001), np.linspace(-1e-3, 1e-3, 20_001)]).astype(np.float32)
    for name in ("sin", "cos", "tanh", "erf"):
        assert np.abs(apply(name, x)).max() <= 1, name
    assert apply("sigmoid", x).min() >= 0 and apply("sigmoid", x).max() <= 1 and apply("softplus", x).min() >= 0


def test_powers_of_integers() -> None:
    x = np.array([-3.0, -2.0, -1.0, 2.0, 5.0], np.float32)
    for exponent in (-2, -1, 0, 1, 2, 3):
        np.testing.assert_allclose(apply("power", x, float(exponent)), x.astype(np.float64) ** exponent, rtol=1.3e-7)


@pytest.mark.parametrize("kind", [types.float32, types.float64])
@pytest.mark.parametrize("name", elementary.__all__)
def test_result_has_the_type_of_the_argument(name: str, kind: Any) -> None:
    stub, arguments = getattr(elementary, name), (kind,) * (2 if name in BINARY else 1)
    function = njit((lambda x, y: stub(x, y)) if name in BINARY else (lambda x: stub(x)))
    function.compile(arguments)
    assert function.nopython_signatures[0].return_type == kind


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", elementary.__all__)
def test_loops_are_vectorised(name: str, dtype: Any) -> None:
    one = np.ones(4, dtype)
    function = loop(name)
    function(one, one, one.copy())
    kind = types.float32 if dtype is np.float32 else types.float64
    signature = next(s for s in function.signatures if s[0].dtype == kind)
    text = function.inspect_llvm(signature)
    element = "float" if dtype is np.float32 else "double"
    body = re.search(r"^define [^\n]*i32 @.*?^}", text, re.MULTILINE | re.DOTALL)
    assert body and re.search(rf"store <\d+ x {element}>", body[0])
    assert not [callee for callee in re.findall(r"call [^\n]*@([\w.]+)", body[0]) if not callee.startswith("llvm.")]
    assert element == "double" or "double" not in body[0]
    # An LLVM intrinsic without an instruction becomes a library call only in the assembly.
    library = {*EXACT, "pow", "fma", "fmod", "floor", "ceil", "rint", "roundeven", "fmax", "fmin"}
    symbols = set(re.findall(r"[a-z]\w+", function.inspect_asm(signature)))
    assert not symbols & {symbol + suffix for symbol in library for suffix in ("", "f")}


def test_formulas_apply_to_explicit_vectors() -> None:
    module, vector = ir.Module(), ir.VectorType(ir.FloatType(), 16)
    function = ir.Function(module, ir.FunctionType(vector, [vector]), "exp16")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(elementary.exp.formula(Lane(builder, function.args[0])).value)
    assert 'call <16 x float> @"llvm.fma.v16f32"' in str(module)
    binding.parse_assembly(str(module)).verify()


def test_misuse_is_refused() -> None:
    with pytest.raises(NotImplementedError):
        elementary.exp(1.0)
    with pytest.raises(TypingError, match="exp takes float32 or float64"):
        njit(lambda x: elementary.exp(x))(1)
    with pytest.raises(TypingError, match="of one type"):
        njit(lambda x, y: elementary.power(x, y))(np.float32(1), 1.0)
    assert all(getattr(elementary, name).__doc__ for name in elementary.__all__)


USER = """
from numba import njit
from graphc.kernels.elementary import exp, tanh

@njit(cache=True)
def apply(x):
    for i in range(x.size):
        x[i] = exp(tanh(x[i]))
"""


def test_callers_can_be_cached(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    script = (
        "import numpy as np, user; x = np.full(3, 0.5, np.float32); user.apply(x); print(x[0], sum(user.apply.stats.cache_hits.values()))"
    )
    root = str(Path(importlib.util.find_spec("graphc").submodule_search_locations[0]).parent)  # type: ignore[union-attr, index]
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{root}:{tmp_path}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert [output[1] for output in outputs] == ["0", "1"]
    assert outputs[0][0] == outputs[1][0] and abs(float(outputs[0][0]) - math.exp(math.tanh(0.5))) < 1e-6
