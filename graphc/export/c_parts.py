"""What exported C consists of besides its loops: parts of `graphc/kernels/*.c`, and elementary functions.

The functions are the formulas of `graphc.kernels.elementary`, operation by operation, or C99's own where there is no fast FMA. The formulas
are straight lines of float and integer operations without branches, so that C compilers vectorise the loops that call them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.emit.syntax import C_TYPES, C
from graphc.kernels import elementary
from graphc.kernels.bits import Lane

__all__ = ["parts"]

_OWN = {
    "exp": "exp{f}(x)", "expm1": "expm1{f}(x)", "log": "log{f}(x)", "log1p": "log1p{f}(x)", "power": "pow{f}(x, y)",
    "tanh": "tanh{f}(x)", "sigmoid": "1 / (1 + exp{f}(-x))", "softplus": "(x > 0 ? x : 0) + log1p{f}(exp{f}(-fabs{f}(x)))",
    "erf": "erf{f}(x)", "hypot": "hypot{f}(x, y)", "sin": "sin{f}(x)", "cos": "cos{f}(x)", "tan": "tan{f}(x)", "atan2": "atan2{f}(x, y)",
}  # fmt: skip
"""C99's spelling of the functions that have a formula."""

_SHORT = {
    "sqrt": "sqrt{f}(x)", "rsqrt": "1 / sqrt{f}(x)", "floor": "floor{f}(x)", "ceil": "ceil{f}(x)", "round_": "rint{f}(x)",
    "absolute": "fabs{f}(x)", "sign": "fabs{f}(x) > 0 ? copysign{f}(1, x) : x", "difference": "x - y",
    "maximum": "(x >= y) | (x != x) ? x : y", "minimum": "(x <= y) | (x != x) ? x : y", "choose": "condition ? x : y",
}  # fmt: skip
"""Functions of an instruction or two."""


_KERNELS = Path(__file__).parents[1] / "kernels"


def parts(program: str, used: Iterable[str], dtypes: Iterable[str]) -> list[str]:
    """Definitions that a text needs, each after those it needs itself.

    Args:
        program: the text.
        used: names of helpers without their prefix, among them elementary functions.
        dtypes: types for which there are contractions.
    """
    functions = [text for name in sorted(used) if (text := _elementary(name))]
    engine = list(_engine(sorted(dtypes)))
    return [*_support("\n\n".join([*engine, *functions, program])), *engine, *functions]


# ------------------------------------------------------------------------------------------------------------------ parts of files


def _elementary(used: str) -> str:
    """The definition of a function of floats; "" for another helper."""
    for dtype, suffix in C.suffixes.items():
        if used.endswith(suffix) and not used.startswith("contract"):
            return _function(used.removesuffix(suffix), dtype)
    return ""


def _engine(dtypes: Iterable[str]) -> Iterator[str]:
    """The contraction engine, for the types that are needed."""
    for number, dtype in enumerate(dtypes):
        if number == 0:
            yield (_KERNELS / "contraction.c").read_text(encoding="utf-8").strip()
        text = (_KERNELS / "tile.c").read_text(encoding="utf-8").strip()
        yield re.sub(r"\breal\b", C_TYPES[dtype], text.replace("_real", C.suffixes[dtype]))


@cache
def _paragraphs() -> tuple[tuple[str, frozenset[str], frozenset[str]], ...]:
    """Paragraphs of `support.c`, with the names that each defines and mentions."""
    text = (_KERNELS / "support.c").read_text(encoding="utf-8")
    found = []
    for part in _expanded(text.strip().split("\n\n")[1:]):
        defined = re.findall(r"^(?:static inline|static|#define)\s.*?\b([Gg][Cc]_\w+)", part, re.MULTILINE)
        found.append((part, frozenset(defined), frozenset(re.findall(r"\b[Gg][Cc]_\w+", part))))
    return tuple(found)


def _expanded(parts: Iterable[str]) -> Iterator[str]:
    """Paragraphs for several types as one for each."""
    for part in parts:
        if "INTEGER" in part:
            yield from (part.replace("INTEGER", kind) for kind in ("int8", "int16", "int32", "int64", "uint8"))
        else:
            yield part


def _support(text: str) -> list[str]:
    """The paragraphs that a text needs, in their order."""
    needed = set(re.findall(r"\b[Gg][Cc]_\w+", text))
    while True:
        more = {name for _, defined, mentioned in _paragraphs() if defined & needed for name in mentioned} - needed
        if not more:
            return [part for part, defined, _ in _paragraphs() if defined & needed]
        needed |= more


# ------------------------------------------------------------------------------------------------------------ elementary functions


def _function(name: str, dtype: str) -> str:
    """The definition of ``gc_<name>_f32`` or ``_f64``."""
    kind, suffix, f = C_TYPES[dtype], C.suffixes[dtype], "f" if dtype == "float32" else ""
    if name == "choose":
        parameters = ["bool condition", f"{kind} x", f"{kind} y"]
    else:
        arity = getattr(elementary, name).formula.__code__.co_argcount
        parameters = [f"{kind} {letter}" for letter in "xy"[:arity]]
    head = f"static inline {kind} gc_{name}{suffix}({', '.join(parameters)})"
    if name in _SHORT:
        return f"{head}\n{{\n    return {_SHORT[name].format(f=f)};\n}}"
    described = (inspect.getdoc(getattr(elementary, name).formula) or "").partition("\n")[0]
    body = _straight_line(getattr(elementary, name).formula, dtype)
    own = f"    return {_OWN[name].format(f=f)};"
    return "\n".join([f"/* {described} */", head, "{", "#ifdef GC_FUSED", *body, "#else", own, "#endif", "}"])


# ------------------------------------------------------------------------------------------------------------------ the formulas


@dataclass
class _Value:
    """A variable of C with what `graphc.kernels.bits` asks of an LLVM value."""

    text: str
    type: Any
    flags: Any = None
    fastmath: Any = None


@dataclass
class _Builder:
    """Writes C in place of LLVM's instructions."""

    module: Any = field(default_factory=ir.Module)
    lines: list[str] = field(default_factory=list)

    def _new(self, kind: Any, text: str) -> _Value:
        name = f"t{len(self.lines)}"
        self.lines.append(f"    const {_type(kind)} {name} = {text};")
        return _Value(name, kind)

    def __getattr__(self, name: str) -> Any:
        signs = {"fadd": "+", "fsub": "-", "fmul": "*", "fdiv": "/", "add": "+", "sub": "-", "mul": "*", "and_": "&", "or_": "|",
                 "xor": "^", "shl": "<<", "lshr": ">>"}
        if name not in signs:
            raise AttributeError(name)
        return lambda x, y: self._new(x.type, f"{_text(x)} {signs[name]} {_text(y)}")

    def fneg(self, x: Any) -> _Value:
        return self._new(x.type, f"-{_text(x)}")

    def fcmp_ordered(self, relation: str, x: Any, y: Any) -> _Value:
        return self._new(ir.IntType(1), f"{_text(x)} {relation} {_text(y)}")

    def fcmp_unordered(self, relation: str, x: Any, y: Any) -> _Value:
        assert relation == "!=", "the only relation that holds for NaN in C as well"
        return self.fcmp_ordered(relation, x, y)

    def select(self, condition: Any, x: Any, y: Any) -> _Value:
        return self._new(x.type, f"{_text(condition)} ? {_text(x)} : {_text(y)}")

    def bitcast(self, x: Any, kind: Any) -> _Value:
        suffix = "f32" if _bits(kind) == 32 else "f64"
        return self._new(kind, f"gc_{'bits' if isinstance(kind, ir.IntType) else 'float'}_{suffix}({_text(x)})")

    def call(self, function: Any, arguments: Any) -> _Value:
        name = function.name.split(".")[1]
        spelled = {"fabs": "fabs", "copysign": "copysign", "fma": "fma", "sqrt": "sqrt", "roundeven": "rint"}[name]
        f = "f" if isinstance(arguments[0].type, ir.FloatType) else ""
        return self._new(arguments[0].type, f"{spelled}{f}({', '.join(map(_text, arguments))})")


def _bits(kind: Any) -> int:
    return int(kind.width) if isinstance(kind, ir.IntType) else 32 if isinstance(kind, ir.FloatType) else 64


def _type(kind: Any) -> str:
    if isinstance(kind, ir.IntType):
        return "bool" if kind.width == 1 else f"uint{kind.width}_t"
    return "float" if isinstance(kind, ir.FloatType) else "double"


def _text(value: Any) -> str:
    if isinstance(value, _Value):
        return value.text
    if isinstance(value.type, ir.IntType):
        return f"UINT{value.type.width}_C({value.constant % 2**value.type.width})"
    number = value.constant
    if not np.isfinite(number):
        return "NAN" if number != number else "INFINITY" if number > 0 else "-INFINITY"
    single = isinstance(value.type, ir.FloatType)
    return f"{np.float32(number)!s}f" if single else repr(float(number))


def _straight_line(formula: Any, dtype: str) -> list[str]:
    builder = _Builder()
    kind = ir.FloatType() if dtype == "float32" else ir.DoubleType()
    lanes = [Lane(builder, _Value(letter, kind)) for letter in "xy"[: formula.__code__.co_argcount]]
    result = formula(*lanes).value
    return [*builder.lines, f"    return {_text(result)};"]
