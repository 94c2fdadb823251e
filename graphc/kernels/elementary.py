"""Elementary functions that vectorise: exp, log, tanh, erf and the like for loops over float32 or float64.

`from graphc.kernels.elementary import exp` and call `exp(x)` in compiled code. Each call becomes
straight-line code of the argument's own type in the caller's loop, which LLVM then vectorises: **no
function here is a scalar library call**. The caller's fast-math flags do not reach inside.

Errors are in units in the last place (ulp) against exact results (see the tests). Subnormal results
are gradual, not flushed; NaN, infinities, signed zeros and domain errors follow C99.
`sin`, `cos` and `tan` are NaN beyond |x| = 1e6 (float32) and 1e14 (float64).

The reductions are the classical ones of Cody and Waite, *Software Manual for the Elementary
Functions* (1980), made exact by fused multiply-add.
"""

from __future__ import annotations

import math

from graphc.kernels.bits import Lane, evaluate, fused, on_floats, select
from graphc.kernels.coefficients import CONSTANTS

__all__ = [
    "absolute", "atan2", "ceil", "cos", "difference", "erf", "exp", "expm1", "floor", "hypot", "log", "log1p", "maximum",
    "minimum", "power", "round_", "rsqrt", "sigmoid", "sign", "sin", "softplus", "sqrt", "tan", "tanh",
]  # fmt: skip

_INFINITY = math.inf
_NAN = math.nan


# ------------------------------------------------------------------ reductions


def _exp_parts(x: Lane) -> tuple[Lane, Lane, Lane]:
    """Split e^x = 2^n e^r. Returns n plus the rounder, n, and r."""
    table = CONSTANTS[x.format]
    shifted = fused(x, 1.0 / math.log(2.0), x.format.rounder)
    n = shifted - x.format.rounder
    return shifted, n, fused(n, -table.ln2[1], fused(n, -table.ln2[0], x))


def _expm1_reduced(r: Lane) -> Lane:
    """e^r - 1 for |r| <= 0.35."""
    return fused(r * r, evaluate(CONSTANTS[r.format].exp, r), r)


def _power_of_two(shifted: Lane) -> Lane:
    """2^n, from n plus the rounder, if that is a normal number (else a meaningless one)."""
    return ((shifted.to_bits() << shifted.format.mantissa) + shifted.format.one).to_float()


def _exp_in_range(x: Lane) -> Lane:
    """e^x where the result is a normal number."""
    shifted, _, r = _exp_parts(x)
    scale = _power_of_two(shifted)
    return fused(scale, _expm1_reduced(r), scale)


def _exp(x: Lane, tail: Lane | None = None) -> Lane:
    """e^(x + tail) for every x, and a tail below an ulp of x."""
    table, form = CONSTANTS[x.format], x.format
    shifted, n, r = _exp_parts(x.at_least(table.exp_zero).at_most(table.exp_infinite))
    # At both ends of the range 2^n is not a normal number: scale in two steps, of which only the last one rounds.
    low = n < float(form.mantissa + 8 - form.bias)
    scale = _power_of_two(shifted + select(low, x.constant(2.0 * form.mantissa), -1.0))
    last = select(low, x.constant(2.0 ** (-2 * form.mantissa)), 2.0)
    return fused(scale, _expm1_reduced(r if tail is None else r + tail), scale) * last


def _half_expm1(x: Lane) -> Lane:
    """(e^x - 1)/2 for x up to exp_infinite and not subnormal."""
    shifted, _, r = _exp_parts(x)
    half_power = _power_of_two(shifted - 1.0)
    return fused(half_power, _expm1_reduced(r), half_power - 0.5)


def _log_parts(x: Lane) -> tuple[Lane, Lane]:
    """Split a positive finite x = 2^k (1+f) with sqrt(1/2) <= 1+f < sqrt(2). Returns k and f."""
    form = x.format
    subnormal = x < form.smallest_normal
    # A subnormal number's bits count its units; no operation on the number itself, which kernels take for 0.
    lift = form.bias - 1
    units = ((x.to_bits() & ((1 << form.mantissa) - 1)) | form.one).to_float() - 1.0
    bits = select(subnormal, units, x).to_bits()
    root_half = (form.one - (1 << form.mantissa)) + int((math.sqrt(2.0) - 1.0) * 2.0**form.mantissa)
    offset = bits + (form.one - root_half)
    # An exponent below 2^mantissa, or-ed into the rounder's bits, is converted to a float by a subtraction.
    magic = 2.0**form.mantissa
    exponent = ((offset >> form.mantissa) | ((form.bias + form.mantissa) << form.mantissa)).to_float()
    k = exponent - select(subnormal, x.constant(magic + form.bias + lift), magic + form.bias)
    return k, ((offset & ((1 << form.mantissa) - 1)) + root_half).to_float() - 1.0


def _log_reduced(k: Lane, f: Lane) -> Lane:
    """k log 2 + log(1+f), from log(1+f) = f - f²/2 + s(f²/2 + R(s²)), s = f/(2+f)."""
    table = CONSTANTS[f.format]
    s = f / (2.0 + f)
    z = s * s
    half_square = 0.5 * f * f
    rest = z * fused(evaluate(table.log, z), z, table.two_thirds[0])
    correction = fused(s, half_square + rest, k * table.ln2[1])
    return fused(k, table.ln2[0], f - (half_square - correction))


def _log_pair(x: Lane) -> tuple[Lane, Lane]:
    """log x for positive finite x as an unevaluated sum of two numbers, to a dozen bits beyond the format."""
    table = CONSTANTS[x.format]
    k, f = _log_parts(x)
    denominator = 2.0 + f
    reciprocal = 1.0 / denominator
    s = f * reciprocal
    s_low = reciprocal * (fused(-s, denominator, f) - s * (f - (denominator - 2.0)))
    z = s * s
    z_low = fused(s, s, -z) + (s + s) * s_low
    cube = s * z
    cube_low = fused(s, z, -cube) + (s * z_low + s_low * z)
    tail = z * evaluate(table.log, z)
    factor = table.two_thirds[0] + tail
    factor_low = (table.two_thirds[0] - factor) + tail + table.two_thirds[1]
    rest = cube * factor
    rest_low = fused(cube, factor, -rest) + (cube * factor_low + cube_low * factor)
    double = s + s
    high = double + rest
    low = (double - high) + rest + (rest_low + (s_low + s_low))
    whole = k * table.ln2[0]
    total = whole + high
    return total, (whole - total) + high + fused(k, table.ln2[1], low)


def _log_edges(x: Lane, value: Lane) -> Lane:
    """The logarithm of x: `value` if x is positive and finite, else its IEEE result."""
    edge = select(x < 0.0, x.constant(_NAN), x)
    edge = select(x.equals(0.0), x.constant(-_INFINITY), edge)
    return select((x > 0.0) & (x < _INFINITY), value, edge)


def _sin_reduced(r: Lane) -> Lane:
    """sin r for |r| <= 1.62."""
    z = r * r
    return fused(r * z, evaluate(CONSTANTS[r.format].sin, z), r)


def _minus_turns(x: Lane, half_turns: Lane) -> Lane:
    """x - half_turns pi; exact to the last place also where it cancels."""
    for part in CONSTANTS[x.format].pi:
        x = fused(half_turns, -part, x)
    return x


def _odd_to_sign(shifted: Lane) -> Lane:
    """The sign bit if the integer left by the rounder is odd, else 0."""
    return shifted.to_bits() << (shifted.format.bits - 1)


def _flipped_sin(x: Lane, r: Lane, flip: Lane) -> Lane:
    """sin r, never beyond 1, with the sign flipped by the bits of `flip`; NaN where x is too large."""
    value = _sin_reduced(r).at_least(-1.0).at_most(1.0)
    return _within_angle(x, (value.to_bits() ^ flip).to_float())


def _within_angle(x: Lane, value: Lane) -> Lane:
    """`value`, or NaN where x is too large to know its angle."""
    return select(x.absolute() <= CONSTANTS[x.format].angle, value, _NAN)


# --------------------------------------------------- exponentials and logarithms


@on_floats
def exp(x: Lane) -> Lane:
    """e^x."""
    return _exp(x)


@on_floats
def expm1(x: Lane) -> Lane:
    """e^x - 1, accurate near 0."""
    half = _half_expm1(x.at_least(-2.0 * CONSTANTS[x.format].tanh_one).at_most(CONSTANTS[x.format].exp_infinite))
    return select(x.absolute() < 0.25 * x.format.epsilon, x, half + half)


@on_floats
def log(x: Lane) -> Lane:
    """The natural logarithm; log(0) = -inf, NaN below."""
    return _log_edges(x, _log_reduced(*_log_parts(x)))


@on_floats
def log1p(x: Lane) -> Lane:
    """log(1 + x), accurate near 0."""
    u = 1.0 + x
    k, f = _log_parts(u)
    # 2^-k (1+x) - 1 in one rounding; from 2^60 on (1+x = x) 2^-k might not be a number of the format.
    power = _power_of_two(x.format.rounder - k)
    f = select(x < 2.0**60, fused(x, power, power - 1.0), f)
    return _log_edges(u, _log_reduced(k, f)).copysign(x)


@on_floats
def power(x: Lane, y: Lane) -> Lane:
    """x^y; NaN for negative x and fractional y, 1 for y = 0 or x = 1 whatever the other."""
    base = x.absolute()
    high, low = _log_pair(base)
    high = _log_edges(base, high)
    product = y * high
    tail = fused(y, high, -product) + y * low
    tail = select(product.absolute() < 2.0 * x.format.bias, tail, 0.0)
    magnitude = select(y.equals(0.0) | base.equals(1.0), x.constant(1.0), _exp(product, tail))
    half = 0.5 * y
    whole = y.intrinsic("roundeven").equals(y)
    odd = whole & half.intrinsic("roundeven").differs(half)
    signed = select(odd, magnitude.copysign(x), magnitude)
    negative = (x < 0.0) & (x > -_INFINITY)
    return select(negative, select(whole, signed, _NAN), signed)


# ------------------------------------------------------- activations and erf


@on_floats
def tanh(x: Lane) -> Lane:
    """The hyperbolic tangent."""
    bounded = x.absolute().at_most(CONSTANTS[x.format].tanh_one)
    half = _half_expm1(bounded + bounded)
    above = half + 1.0
    value = half / above
    # What rounding took from the sum moves the quotient by value/above, and 1/above is 1 - value; from 1/2 on it does not matter.
    lost = select(bounded < 0.5, (above - 1.0) - half, 0.0)
    return fused(value * lost, 1.0 - value, value).copysign(x)


@on_floats
def sigmoid(x: Lane) -> Lane:
    """1/(1 + e^-x), also where e^-x overflows."""
    small = _exp(-x.absolute())
    above, top = 1.0 + small, select(x < 0.0, small, 1.0)
    value = top / above
    # What rounding took from the sum moves the quotient by value/above; it matters below 0, where 1/above is 1 - value.
    return fused(value * ((above - 1.0) - small), 1.0 - value, value)


@on_floats
def softplus(x: Lane) -> Lane:
    """log(1 + e^x), also where e^x overflows."""
    small = _exp(-x.absolute())
    upper = small > math.sqrt(2.0) - 1.0
    f = select(upper, fused(small, 0.5, -0.5), small)
    return x.at_least(0.0) + _log_reduced(select(upper, x.constant(1.0), 0.0), f)


@on_floats
def erf(x: Lane) -> Lane:
    """The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to x."""
    table = CONSTANTS[x.format]
    inner = fused(x, evaluate(table.erf_inner, x * x), x)
    size = x.absolute()
    outer = 1.0 - _exp_in_range(evaluate(table.erf_outer, size.at_most(table.erf_one) - 1.0))
    return select(size < 1.0, inner, outer.copysign(x))


# ------------------------------------------------------- roots and angles


@on_floats
def sqrt(x: Lane) -> Lane:
    """The square root, correctly rounded.

    Zero is chosen, not computed, so that a caller's division by it, which LLVM may approximate, stays a division by a number:
    estimates of 1/sqrt are NaN at 0 and infinity.
    """
    return select(x.equals(0.0), x, x.intrinsic("sqrt"))


@on_floats
def rsqrt(x: Lane) -> Lane:
    """1/sqrt(x)."""
    return 1.0 / x.intrinsic("sqrt")


@on_floats
def hypot(x: Lane, y: Lane) -> Lane:
    """sqrt(x² + y²) without overflow or underflow on the way; infinite if either is."""
    form = x.format
    a, b = x.absolute(), y.absolute()
    large, small = select(a > b, a, b), select(a > b, b, a)
    # Scale by a power of two, the exponent of the larger one, kept away from both ends of its range.
    exponent = large.at_least(form.smallest_normal * 4.0).at_most(2.0 ** (form.bias - 1)).to_bits()
    exponent = exponent & (((1 << (form.bits - 1 - form.mantissa)) - 1) << form.mantissa)
    up, down = exponent.to_float(), (2 * form.one - exponent).to_float()
    large, small = large * down, small * down
    length = fused(large, large, small * small).intrinsic("sqrt") * up
    return select(a.equals(_INFINITY) | b.equals(_INFINITY), x.constant(_INFINITY), length)


@on_floats
def sin(x: Lane) -> Lane:
    """The sine of x radians."""
    size = x.absolute()
    shifted = fused(size, 1.0 / math.pi, x.format.rounder)
    r = _minus_turns(size, shifted - x.format.rounder)
    return _flipped_sin(x, r, _odd_to_sign(shifted) ^ (x.to_bits() & x.format.sign))


@on_floats
def cos(x: Lane) -> Lane:
    """The cosine of x radians."""
    shifted = fused(x.absolute(), 1.0 / math.pi, -0.5) + x.format.rounder
    r = _minus_turns(x.absolute(), (shifted - x.format.rounder) + 0.5)
    return _flipped_sin(x, r, _odd_to_sign(shifted) ^ x.format.sign)


@on_floats
def tan(x: Lane) -> Lane:
    """The tangent of x radians."""
    size = x.absolute()
    shifted = fused(size, 2.0 / math.pi, x.format.rounder)
    r = _minus_turns(size, 0.5 * (shifted - x.format.rounder))
    z = r * r
    # Sine and cosine as unevaluated sums of two numbers.
    bend = r * z * evaluate(CONSTANTS[x.format].sin, z)
    sine = r + bend
    sine_low = bend - (sine - r)
    fall = fused(z * z, evaluate(CONSTANTS[x.format].cos, z), -0.5 * z)
    cosine = 1.0 + fall
    cosine_low = fall - (cosine - 1.0)
    odd = _odd_to_sign(shifted)
    swap = x.constant(1.0).copysign(odd.to_float()) < 0.0
    above, below = select(swap, cosine, sine), select(swap, sine, cosine)
    value = above / below
    lost = fused(-value, below, above) + (select(swap, cosine_low, sine_low) - value * select(swap, sine_low, cosine_low))
    value = select(below.equals(0.0) | r.equals(0.0), value, value + lost / below)
    return _within_angle(x, (value.to_bits() ^ odd ^ (x.to_bits() & x.format.sign)).to_float())


@on_floats
def atan2(y: Lane, x: Lane) -> Lane:
    """The angle of the point (x, y), from -pi to pi."""
    table = CONSTANTS[x.format]
    a, b = x.absolute(), y.absolute()
    steep = b > a
    small, large = select(steep, a, b), select(steep, b, a)
    t = select(small.equals(large), x.constant(1.0), small / large)
    t = select(large.equals(0.0), small, t)
    z = t * t
    angle = fused(t * z, evaluate(table.atan, z), t)
    angle = select(steep, table.half_pi[0] - (angle - table.half_pi[1]), angle)
    left = x.constant(1.0).copysign(x) < 0.0
    angle = select(left, table.pi[0] - (angle - table.pi[1]), angle)
    return select(x.is_nan() | y.is_nan(), x + y, angle.copysign(y))


# ------------------------------------------------------- rounding and order


@on_floats
def floor(x: Lane) -> Lane:
    """The largest integer not above x."""
    return x.intrinsic("floor")


@on_floats
def ceil(x: Lane) -> Lane:
    """The smallest integer not below x."""
    return x.intrinsic("ceil")


@on_floats
def round_(x: Lane) -> Lane:
    """The nearest integer, half to even."""
    return x.intrinsic("roundeven")


@on_floats
def absolute(x: Lane) -> Lane:
    """|x|."""
    return x.absolute()


@on_floats
def sign(x: Lane) -> Lane:
    """-1, 0 or 1 with the sign of x; zeros keep theirs, NaN stays NaN."""
    return select(x.absolute() > 0.0, x.constant(1.0).copysign(x), x)


@on_floats
def difference(x: Lane, y: Lane) -> Lane:
    """x - y, which the caller's sums are not reassociated with."""
    return x - y


@on_floats
def maximum(x: Lane, y: Lane) -> Lane:
    """The larger one; NaN if either is. LLVM takes vectors for the largest of many, which it would not with a selection."""
    return x.intrinsic("maximum", y)


@on_floats
def minimum(x: Lane, y: Lane) -> Lane:
    """The smaller one; NaN if either is."""
    return x.intrinsic("minimum", y)
