"""Plain Python text around generated programs: expressions in sizes, literals, long calls."""

from __future__ import annotations

import io
import json
import tokenize
from collections.abc import Mapping
from typing import Any

import sympy as sp

from graphc.errors import CompileError, InternalError
from graphc.ir.expr import FloorDiv, Modulo, Size

__all__ = ["quoted", "size_text", "structured", "wrapped_call"]

_WIDTH = 115
_SUM, _PRODUCT, _ATOM = 0, 1, 2


def size_text(node: sp.Basic, names: Mapping[sp.Basic, str], strength: int = _SUM) -> str:
    """An integer expression in sizes; `strength` 1 puts it in parentheses where a term stands, 2 where a factor stands.

    >>> N, M = Size("N"), Size("M")
    >>> size_text(3 * N * M**2 - N + 1, {N: "N", M: "M"})
    '3 * M**2 * N - N + 1'
    """

    def text(part: sp.Basic, at: int) -> str:
        return size_text(part, names, at)

    match node:
        case sp.Integer():
            shown, own = str(int(node)), _ATOM if node >= 0 else _SUM
        case Size():
            shown, own = names[node], _ATOM
        case sp.Add():
            terms = sorted(node.args, key=lambda term: (bool(term.is_Integer), bool(term.as_coeff_Mul()[0] < 0), str(term)))
            shown, own = " + ".join(text(term, _PRODUCT) for term in terms).replace("+ -", "- "), _SUM
        case sp.Mul():
            number, rest = node.as_coeff_Mul()
            factors = [*([abs(number)] if abs(number) != 1 else []), *sorted(sp.Mul.make_args(rest), key=str)]
            shown, own = "-" * bool(number < 0) + " * ".join(text(factor, _ATOM) for factor in factors), _PRODUCT
        case FloorDiv() | Modulo():
            shown, own = f"{text(node.numerator, _ATOM)} {'//' if isinstance(node, FloorDiv) else '%'} {node.divisor}", _SUM
        case sp.Pow():
            shown, own = f"{text(node.base, _ATOM)}**{int(node.exp)}", _ATOM
        case _:
            raise InternalError(f"{node} is not an integer expression in sizes.")
    return f"({shown})" if own < strength else shown


def quoted(text: str) -> str:
    """A string literal."""
    return json.dumps(text, ensure_ascii=False)


def structured(names: Any) -> str:
    """Variables in lists, tuples and dicts, as Python text.

    >>> structured(["L"]), structured(("L",)), structured({"loss": "L"}), structured("L")
    ('[L]', '(L,)', '{"loss": L}', 'L')
    """
    if isinstance(names, Mapping):
        if not all(isinstance(key, str | int | float | bool) for key in names):
            raise CompileError("Results in a dict can only be saved when its keys are strings or numbers.", fix="use names as keys.")
        return "{" + ", ".join(f"{quoted(key) if isinstance(key, str) else key}: {structured(name)}" for key, name in names.items()) + "}"
    if isinstance(names, list):
        return f"[{', '.join(map(structured, names))}]"
    return f"({', '.join(map(structured, names))}{',' * (len(names) == 1)})" if isinstance(names, tuple) else str(names)


def wrapped_call(line: str) -> list[str]:
    """A line of a function body, one level deeper; a long one breaks after commas."""
    code = line.lstrip()
    indent = " " * (4 + len(line) - len(code)) if code else ""
    if len(code) < _WIDTH:
        return [indent + code]
    commas = [token.end[1] for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.string == ","]
    parts, start = [], 0
    while len(code) - start > _WIDTH and any(c > start for c in commas):
        later = [c for c in commas if c > start]
        end = max((c for c in later if c <= start + _WIDTH), default=later[0])
        parts.append(code[start:end].strip())
        start = end
    parts.append(code[start:].strip())
    return [indent + "    " * (k > 0) + part for k, part in enumerate(parts) if part]
