"""What the languages of generated text write differently: loops, conditions, casts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["C", "C_TYPES", "PYTHON", "SHORT", "Syntax"]

SHORT = {"float32": "f32", "float64": "f64", "int64": "i64", "bool": "bool"}
"""Types in modules for Numba."""

C_TYPES = {
    "float32": "float", "float64": "double", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t",
    "uint8": "uint8_t", "bool": "bool",
}
"""Types in C."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """Templates for one language.

    Attributes:
        types: names of types.
        cast: of an expression {1} to a type {0}.
        literal: a float {0} of each type.
        conditional: the value {1} where the condition {0} holds, else {2}.
        floor_divide, modulo: of {0} by {1}, as Python does.
        power: the integer {0} multiplied {1} times.
        divide: sign of a division of what is not negative.
        words: signs of "and", "or" and "not", and of what is always true or false.
        not_binds: whether "not" binds more strongly than a comparison.
        prefix: of the helpers that generated text calls.
        suffixes: of those that exist for several types.
        extremes: functions for the largest and the smallest integer.
        plural: whether those take any number of arguments.
        end: of a statement.
        close: of a block, "" where the indentation tells.
        condition: header of a block under the condition {0}.
        least: the least integer, "" where it is a literal as any other one.
        whole: the integer {0} of a float, which may be none; "" where a cast does.
        loop: header of a loop of {0} from {1} to {2}; `from_zero` the same from 0; `strided` the same in steps of {3}; `descending`.
    """

    types: Mapping[str, str]
    cast: str
    literal: Mapping[str, str]
    conditional: str
    floor_divide: str
    modulo: str
    power: str
    divide: str
    words: Mapping[str, str]
    not_binds: bool
    prefix: str
    suffixes: Mapping[str, str]
    extremes: tuple[str, str]
    plural: bool
    end: str
    close: str
    condition: str
    loop: str
    from_zero: str
    strided: str
    descending: str
    least: str = ""
    whole: str = ""

    def number(self, dtype: str, text: str) -> str:
        """A float literal."""
        shown = self.literal[dtype].format(text)
        return f"({shown})" if shown.startswith("-") else shown

    def integer(self, value: int) -> str:
        """An integer literal; in C the least one is an expression."""
        return self.least if self.least and value == -(2**63) else str(value)

    def converted(self, dtype: str, text: str, atom: bool) -> str:
        """A value in another type."""
        if self.plain_cast and dtype in self.literal and text.isdigit():
            return self.number(dtype, f"{text}.0")
        return self.cast.format(self.types[dtype], text if atom and self.plain_cast else f"({text})")

    @property
    def plain_cast(self) -> bool:
        """Whether a cast needs no parentheses around an atom."""
        return self.cast.startswith("(")

    def extreme(self, largest: bool, parts: list[str]) -> str:
        """The largest or the smallest of integers."""
        name = self.extremes[not largest]
        if self.plural and len(parts) > 1:
            return f"{name}({', '.join(parts)})"
        text = parts[0]
        for part in parts[1:]:
            text = f"{name}({text}, {part})"
        return text

    def header(self, name: str, low: str, high: str, step: int = 1, descending: bool = False) -> str:
        """The header of a loop."""
        if descending:
            return self.descending.format(name, low, high)
        if step != 1:
            return self.strided.format(name, low, high, step)
        return (self.from_zero if low == "0" else self.loop).format(name, low, high)


PYTHON = Syntax(
    types=SHORT,
    cast="{0}{1}",
    literal={"float32": "f32({0})", "float64": "f64({0})"},
    conditional="({1} if {0} else {2})",
    floor_divide="{0} // {1}",
    modulo="{0} % {1}",
    power="{0} ** {1}",
    divide="//",
    words={"and": "and", "or": "or", "not": "not ", "true": "True", "false": "False"},
    not_binds=False,
    prefix="",
    suffixes={"float32": "", "float64": ""},
    extremes=("max", "min"),
    plural=True,
    end="",
    close="",
    condition="if {0}:",
    loop="for {0} in range({1}, {2}):",
    from_zero="for {0} in range({2}):",
    strided="for {0} in range({1}, {2}, {3}):",
    descending="for {0} in range({2} - 1, {1} - 1, -1):",
)

C = Syntax(
    types=C_TYPES,
    cast="({0}){1}",
    literal={"float32": "{0}f", "float64": "{0}"},
    conditional="({0} ? {1} : {2})",
    floor_divide="gc_floor_divide({0}, {1})",
    modulo="gc_modulo({0}, {1})",
    power="gc_integer_power({0}, {1})",
    divide="/",
    words={"and": "&&", "or": "||", "not": "!", "true": "true", "false": "false"},
    not_binds=True,
    prefix="gc_",
    suffixes={"float32": "_f32", "float64": "_f64"},
    extremes=("gc_max", "gc_min"),
    plural=False,
    end=";",
    close="}",
    condition="if ({0}) {{",
    loop="for (int64_t {0} = {1}; {0} < {2}; {0}++) {{",
    from_zero="for (int64_t {0} = {1}; {0} < {2}; {0}++) {{",
    strided="for (int64_t {0} = {1}; {0} < {2}; {0} += {3}) {{",
    descending="for (int64_t {0} = {2} - 1; {0} >= {1}; {0}--) {{",
    least="INT64_MIN",
    whole="gc_whole({0})",
)
