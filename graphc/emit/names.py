"""Variables of generated text for names of the notation."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["safe", "variable_names"]

_PYTHON = """
    False None True and as assert async await break class continue def del elif else except finally for from global if import in is
    lambda nonlocal not or pass raise return try while with yield range min max abs bool f32 f64 i64 np view flat part fixed share
    wait launch contract checked fill total row best here place unset empty first last me team sync status memory sizes view_at
    table_at program start INFINITY NAN exp expm1 log log1p sqrt rsqrt sin cos tan tanh sigmoid softplus erf power hypot atan2 floor
    ceil round_ absolute sign maximum minimum choose draw uniform32 uniform64 normal32 normal64 polar math cuda grid stream half
    sums tiled parts sort behind segments each_a_block THREADS LANES BLOCKS ROWS MANY SHIFT SIDE DEPTH MEMBERS ENOUGH LEAST BLOCK ALONE
    lane_float32 lane_float64 tiles config WARP WARPS ALL warp beside add_one aligned get_four get_one put_four put_one
    large four_at_once multiply rounded CORES
"""
"""Python's words, and what generated modules define or import."""

_C = """
    auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return
    short signed sizeof static struct switch typedef union unsigned void volatile while alignas alignof bool constexpr false nullptr
    static_assert thread_local true typeof typeof_unqual asm main scratch
    and_eq bitand bitor catch char8_t char16_t char32_t class co_await co_return co_yield compl concept consteval constinit decltype delete
    explicit export friend mutable namespace new noexcept not_eq operator or_eq private protected public requires template this throw
    typename using virtual wchar_t xor xor_eq
"""
"""Words of C up to C23 and, for the header, of C++."""

_C_HEADERS = """
    size_t ptrdiff_t max_align_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t intmax_t uintmax_t
    NULL EOF NAN INFINITY HUGE_VAL HUGE_VALF HUGE_VALL RAND_MAX EXIT_SUCCESS EXIT_FAILURE MB_CUR_MAX SIZE_MAX PTRDIFF_MAX PTRDIFF_MIN
    INT8_MAX INT8_MIN INT16_MAX INT16_MIN INT32_MAX INT32_MIN INT64_MAX INT64_MIN UINT8_MAX UINT16_MAX UINT32_MAX UINT64_MAX INTPTR_MAX
    INTPTR_MIN UINTPTR_MAX INTMAX_MAX INTMAX_MIN UINTMAX_MAX MATH_ERRNO MATH_ERREXCEPT math_errhandling FP_NAN FP_INFINITE FP_ZERO
    FP_SUBNORMAL FP_NORMAL FP_ILOGB0 FP_ILOGBNAN M_E M_LOG2E M_LOG10E M_LN2 M_LN10 M_PI M_PI_2 M_PI_4 M_1_PI M_2_PI M_2_SQRTPI M_SQRT2
    M_SQRT1_2 WCHAR_MAX WCHAR_MIN WINT_MAX WINT_MIN SIG_ATOMIC_MAX SIG_ATOMIC_MIN FD_SETSIZE NFDBITS WCONTINUED WEXITED WNOHANG WNOWAIT
    WSTOPPED WUNTRACED BIG_ENDIAN BYTE_ORDER LITTLE_ENDIAN PDP_ENDIAN SCHED_FIFO SCHED_OTHER SCHED_RR sched_priority linux unix i386 errno
    free malloc memcpy memset omp_get_max_threads omp_get_num_threads omp_get_thread_num
"""
"""Types, numbers and functions of C's headers whose meaning generated text would lose."""

_RESERVED = frozenset((_PYTHON + _C + _C_HEADERS).split())
_KEPT = re.compile(r"(x_)*(gc_|GC_|_[A-Z_]|U?INT_(FAST|LEAST)\d)")
"""Beginnings of helpers, and of what belongs to C's compilers and headers."""
_LONGEST = 200
"""Characters of a variable: LLVM takes a thousand for the name of an argument."""


def safe(name: str) -> str:
    """A variable for a name of the notation, in every language that is written; another one for another identifier.

    >>> safe("conv1.weight"), safe("int"), safe("int_"), safe("gc_max"), safe("_Bool")
    ('conv1_weight', 'int_', 'int__', 'x_gc_max', 'x__Bool')
    """
    text = name.replace(".", "_").replace("'", "_")
    if text.rstrip("_") in _RESERVED:
        return text + "_"
    return f"x_{text}" if _KEPT.match(text) else text


def variable_names(names: Iterable[str], taken: Iterable[str] = (), kept: str = "") -> dict[str, str]:
    """Different variables for different names.

    Args:
        names: of the notation.
        taken: variables that are in use.
        kept: a beginning that no variable has, "" if any will do.
    """
    used = set(taken)
    given = {}
    for name in names:
        first = safe(name)[:_LONGEST]
        first = f"x_{first}" if kept and first.startswith(kept) else first
        text, count = first, 1
        while text in used:
            count += 1
            text = f"{first}_{count}"
        used.add(text)
        given[name] = text
    return given
