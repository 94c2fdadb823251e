"""Variables of generated text for names of the notation."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["safe", "variable_names"]

_PYTHON = """
    False None True and as assert async await break class continue def del elif else except finally for from global if import in is
    lambda nonlocal not or pass raise return try while with yield range min max abs bool f32 f64 i64 np view flat part fixed share
    wait launch contract checked fill total row best here place unset empty first last me team sync status memory sizes view_at
    table_at program start INFINITY NAN exp expm1 log log1p sqrt rsqrt sin cos tan tanh sigmoid softplus erf power hypot atan2 floor
    ceil round_ absolute sign maximum minimum choose draw uniform32 uniform64 normal32 normal64 polar math cuda grid stream half
    sums tiled parts sort behind segments each_a_block THREADS LANES BLOCKS ROWS SHIFT SIDE DEPTH MEMBERS ENOUGH LEAST BLOCK ALONE
    lane_float32 lane_float64 tiles config
"""
"""Python's words, and what generated modules define or import."""

_C = """
    auto case char const default do double enum extern float goto inline int long register restrict short signed sizeof static
    struct switch typedef union unsigned void volatile main NULL errno true false
    linux unix
"""

"""C's words, and what its headers define; helpers begin with ``gc_``."""

_RESERVED = frozenset((_PYTHON + _C).split())


def safe(name: str) -> str:
    """A variable for a name of the notation, in every language that is written."""
    text = name.replace(".", "_").replace("'", "_")
    return text + "_" if text in _RESERVED or text.startswith("gc_") else text


def variable_names(names: list[str], taken: Mapping[str, str] | None = None) -> dict[str, str]:
    """Different variables for different names."""
    used = set((taken or {}).values())
    given = {}
    for name in names:
        text, count = safe(name), 1
        while text in used:
            count += 1
            text = f"{safe(name)}_{count}"
        used.add(text)
        given[name] = text
    return given
