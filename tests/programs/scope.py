"""The pieces of a random program: loops, inputs, subscripts and reads that are in range for the drawn sizes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from tests.programs.extents import Extent, literal

__all__ = ["Known", "Loop", "Scope", "Subscript", "plain_names"]

_NAMES = "ijkpqrsbcdefghlmnuvwxyz"


@dataclass
class Loop:
    """An index of the statement that is being written."""

    name: str
    upper: Extent
    lower: int = 0
    declared: bool = False
    used: bool = False
    plain: bool = False

    def line(self) -> str:
        if not self.declared:
            return f'{self.name} = gc.index("{self.name}")'
        return f'{self.name} = gc.index("{self.name}", {f"{self.lower}, " if self.lower else ""}{self.upper})'


@dataclass(frozen=True)
class Subscript:
    """A subscript with its smallest and largest value; `plain` is the loop it consists of."""

    text: str
    low: Extent
    high: Extent
    loops: tuple[Loop, ...] = ()
    plain: Loop | None = None


@dataclass
class Known:
    """A tensor that can be read; integer tensors hold values below `limit`."""

    name: str
    shape: tuple[Extent, ...]
    limit: int = 0
    reads: int = 0


class Scope:
    def __init__(self, seed: int, random: Random, masks: Random | None = None) -> None:
        self.seed, self.random = seed, random
        self.moves = Random(seed)  # of its own, so that what it decides leaves the rest of the program as it is
        self.masks = masks or Random(f"masks of {seed}")  # likewise, for what was added to the generator later
        r = self.random
        names = r.sample(("N", "M", "K"), r.randint(1, 2)) if r.random() < 0.75 else []
        self.sizes = {name: r.choice((1, 2, 2, 2, 3, 3, 3, 4, 4)) for name in names}
        self.inputs: dict[str, str] = {}
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.known: list[Known] = []
        self.integers: list[Known] = []
        self.blocks: list[tuple[str, ...]] = []
        self.loops: list[Loop] = []
        self.closed: list[Loop] = []
        self.data = np.random.default_rng(seed)
        self.targets = 0
        self.mixed = self.chance(0.15)
        self.numbers = self.chance(0.25)

    # ---------------------------------------------------------------------------------------------------- pieces
    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def rarely(self, probability: float) -> bool:
        """The same from another source; a small choice is the simple one."""
        return self.masks.random() >= 1 - probability

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def number(self, low: float = 0.2, high: float = 1.6) -> str:
        return repr(round(self.random.uniform(low, high), 3))

    def offset(self) -> str:
        return repr(round(self.random.uniform(0.02, 0.4), 4))

    def extent(self) -> Extent:
        if self.sizes and self.chance(0.6):
            return Extent(((self.pick(*self.sizes), 1),), 0)
        return literal(self.pick(1, 2, 2, 2, 3, 3, 3, 4, 4))

    def loop(self, upper: Extent | None = None, declared: bool | None = None) -> Loop:
        name = next(n for n in _NAMES if n not in {x.name for x in self.loops})
        found = Loop(name, upper or self.extent(), declared=self.chance(0.35) if declared is None else declared)
        if found.declared and upper is None and self.chance(0.2) and found.upper.at(self.sizes) > 2:
            found.lower = 1
        self.loops.append(found)
        return found

    def input(self, shape: tuple[Extent, ...], scale: float = 0.8, integers: int = 0, lowest: int = 0) -> Known:
        """A new input of floats (of both types if they are mixed), or of integers below a limit that are used as subscripts.

        Those with negative values are subscripts of boundary views only, and numbers elsewhere.
        """
        name = f"{'t' if integers else 'X'}{len(self.inputs)}"
        values = tuple(max(e.at(self.sizes), 0) for e in shape)
        if integers:
            dtype = self.pick("int64", "int64", "int32", "int8" if lowest else "uint8")
            data = self.data.integers(lowest, integers, values)
        else:
            data, dtype = np.round(self.data.normal(0, scale, values), 4), "float64" if self.mixed and self.chance(0.4) else "float32"
        return self.declared(name, shape, np.asarray(data, dtype if integers else "float64"), dtype, 0 if lowest else integers)

    def number_input(self, shape: tuple[Extent, ...]) -> Known:
        """A new input of integers or booleans that are used as numbers."""
        dtype = self.pick("int64", "int32", "int8", "uint8", "bool")
        low, high = {"bool": (0, 2), "uint8": (0, 4)}.get(dtype, (-2, 4))
        data = self.data.integers(low, high, tuple(max(e.at(self.sizes), 0) for e in shape))
        return self.declared(f"N{len(self.inputs)}", shape, np.asarray(data, dtype), dtype)

    def declared(self, name: str, shape: tuple[Extent, ...], data: np.ndarray[Any, Any], dtype: str, limit: int = 0) -> Known:
        self.arrays[name] = data
        declared = ", ".join(map(str, shape)) or "()"
        self.inputs[name] = f'{name} = gc.tensor("{name}", {declared}{"" if dtype == "float32" else f", dtype={dtype!r}"})'
        found = Known(name, shape, limit)
        (self.integers if limit else self.known).append(found)
        return found

    # ------------------------------------------------------------------------------------------------ subscripts
    def subscript(self, scope: list[Loop]) -> Subscript:
        """An affine subscript whose values are not negative."""
        kinds = (
            ["plain"] * 8
            + ["shift", "back", "twice", "half", "mod", "constant", "nested"]
            + ["stride", "dilate", "sum", "difference", "halfsum", "coupled"] * (len(scope) > 1)
        )
        kind = self.pick(*kinds) if scope else "constant"
        if kind == "constant":
            value = self.random.randint(0, 1)
            return Subscript(str(value), literal(value), literal(value))
        a = self.pick(*scope)
        b = self.pick(*(x for x in scope if x is not a)) if len(scope) > 1 else a
        low, high = literal(a.lower), a.upper - 1
        if kind == "plain":
            return Subscript(a.name, low, high, (a,), a)
        if kind == "shift":
            k = self.random.randint(1, 2)
            return Subscript(f"{a.name} + {k}", low + k, high + k, (a,))
        if kind == "back":
            return Subscript(f"{a.upper} - 1 - {a.name}", literal(0), high - low, (a,))
        if kind == "twice":
            k = self.random.randint(0, 1)
            return Subscript(f"2*{a.name}" + (f" + {k}" if k else ""), low * 2 + k, high * 2 + k, (a,))
        if kind == "half":
            return Subscript(f"{a.name}//2", literal(a.lower // 2), high, (a,))
        if kind == "mod":
            k = self.random.randint(2, 3)
            return Subscript(f"{a.name}%{k}", literal(0), literal(k - 1), (a,))
        if kind == "nested":
            i = a.name
            text, most = self.pick((f"({i}//2)%2", 1), (f"({i}%3)//2", 1), (f"({i} + 1)%4//2", 1), (f"(2*{i} + 1)%3", 2))
            return Subscript(text, literal(0), literal(most), (a,))
        second_low, second_high = literal(b.lower), b.upper - 1
        if kind == "stride":
            return Subscript(f"2*{a.name} + {b.name}", low * 2 + second_low, high * 2 + second_high, (a, b))
        if kind == "dilate":
            return Subscript(f"{a.name} + 2*{b.name}", low + second_low * 2, high + second_high * 2, (a, b))
        if kind == "coupled":
            return Subscript(f"2*{a.name} + 3*{b.name}", low * 2 + second_low * 3, high * 2 + second_high * 3, (a, b))
        if kind == "halfsum":
            return Subscript(f"({a.name} + {b.name})//2", literal(0), high + second_high, (a, b))
        if kind == "difference":
            return Subscript(f"{a.name} - {b.name} + {second_high}", low, high + second_high, (a, b))
        return Subscript(f"{a.name} + {b.name}", low + second_low, high + second_high, (a, b))

    def use(self, subscripts: list[Subscript]) -> None:
        for s in subscripts:
            for loop in s.loops:
                loop.used = True
            if s.plain is not None:
                s.plain.plain = True

    def fits(self, s: Subscript, extent: Extent) -> bool:
        if s.plain is not None and not s.plain.declared:
            return s.plain.upper == extent
        return s.low.at(self.sizes) >= 0 and s.high.at(self.sizes) < extent.at(self.sizes)

    def fitting(self, scope: list[Loop], extent: Extent, tries: int = 8) -> Subscript | None:
        """A subscript for a dimension of an existing tensor."""
        equal = [x for x in scope if x.upper == extent]
        if equal and self.chance(0.5):
            chosen = self.pick(*equal)
            return Subscript(chosen.name, literal(chosen.lower), chosen.upper - 1, (chosen,), chosen)
        for _ in range(tries):
            s = self.subscript(scope)
            if self.fits(s, extent):
                return s
        return Subscript("0", literal(0), literal(0)) if extent.at(self.sizes) > 0 else None

    def access(self, scope: list[Loop], reducing: bool = False) -> str:
        """A read of one element."""
        choice = self.random.random()
        if choice < 0.12 and scope:
            return self.gathered(scope)
        if choice < 0.3 and scope:
            return self.viewed(scope, reducing)
        if choice < 0.7 and self.known:
            found = self.read(self.pick(*self.known[-6:]), scope)
            if found is not None:
                return found
        rank = min(self.pick(1, 1, 2, 2, 2, 3), len(scope) + 1) if scope else self.pick(0, 1)
        subscripts = [self.subscript(scope) for _ in range(rank)]
        if scope and not any(s.loops for s in subscripts):
            x = self.pick(*scope)
            subscripts[:1] = [Subscript(x.name, literal(x.lower), x.upper - 1, (x,), x)]
        shape = tuple(s.high + 1 + (0 if s.plain or not self.chance(0.2) else 1) for s in subscripts)
        made = self.number_input(shape) if self.numbers and self.chance(0.2) else self.input(shape)
        return self.shown(made, subscripts)

    def shown(self, tensor: Known, subscripts: list[Subscript]) -> str:
        self.use(subscripts)
        tensor.reads += 1
        return f"{tensor.name}[{', '.join(s.text for s in subscripts) or '()'}]"

    def read(self, tensor: Known, scope: list[Loop]) -> str | None:
        chosen = [self.fitting(scope, e) for e in tensor.shape]
        return None if any(s is None for s in chosen) else self.shown(tensor, chosen)  # type: ignore[arg-type]

    def pointer(self, scope: list[Loop], limit: int, lowest: int = 0) -> str:
        """An element of an integer tensor with values from `lowest` on, below `limit`."""
        usable = [t for t in self.integers if t.limit <= limit]
        if usable and self.chance(0.6):
            found = self.read(self.pick(*usable), scope)
            if found is not None:
                return found
        loops = self.random.sample(scope, min(len(scope), self.pick(1, 1, 2)))
        subscripts = [Subscript(x.name, literal(x.lower), x.upper - 1, (x,), x) for x in loops]
        return self.shown(self.input(tuple(s.high + 1 for s in subscripts), integers=limit, lowest=lowest), subscripts)

    def gathered(self, scope: list[Loop]) -> str:
        tables = [t for t in self.known if t.shape and all(e.at(self.sizes) >= 2 for e in t.shape)]
        table = self.pick(*tables) if tables and self.chance(0.6) else self.input((self.extent(), self.extent())[: self.pick(1, 2)])
        where = self.random.randrange(len(table.shape))
        n = table.shape[where].at(self.sizes)
        mode = self.pick("pad", "clamp", "wrap", "reflect") if self.chance(0.25) else ""
        lowest, limit = {"": (0, n), "wrap": (-n, 2 * n), "reflect": (1 - n, 2 * n - 1)}.get(mode, (-3, n + 3))
        parts = []
        for d, extent in enumerate(table.shape):
            if d == where:
                parts.append(self.pointer(scope, limit, lowest))
            else:
                s = self.fitting(scope, extent)
                assert s is not None
                self.use([s])
                parts.append(s.text)
        table.reads += 1
        view = f"gc.{mode}({table.name}, {'0.25, ' if mode == 'pad' else ''}dims=[{where}])" if mode else table.name
        return f"{view}[{', '.join(parts)}]"

    def viewed(self, scope: list[Loop], reducing: bool) -> str:
        """A boundary view; subscripts reach outside by up to one extent."""
        candidates = [t for t in self.known if t.shape and all(e.at(self.sizes) >= 2 for e in t.shape)]
        tensor = (
            self.pick(*candidates) if candidates and self.chance(0.7) else self.input((self.extent(), self.extent())[: self.pick(1, 2)])
        )
        modes = ("pad", "pad", "clamp", "wrap", "reflect", *(["skip"] if reducing else []))
        rank = len(tensor.shape)
        dims = list(range(rank)) if self.chance(0.6) else [self.random.randrange(rank)]
        own = [self.pick(*modes)] * rank if self.chance(0.7) else [self.pick(*modes) for _ in range(rank)]
        chosen = []
        for d, extent in enumerate(tensor.shape):
            s = self.reaching(scope, extent, own[d]) if d in dims else self.fitting(scope, extent)
            assert s is not None
            chosen.append(s)
        self.use(chosen)
        tensor.reads += 1
        view, fill = tensor.name, self.pick("0", "0", self.number(-1, 1))
        for mode in dict.fromkeys(own[d] for d in dims):
            with_mode = [d for d in dims if own[d] == mode]
            view = f"gc.{mode}({view}{f', {fill}' if mode == 'pad' else ''}{f', dims={with_mode}' if len(with_mode) < rank else ''})"
        return f"{view}[{', '.join(s.text for s in chosen)}]"

    def reaching(self, scope: list[Loop], extent: Extent, mode: str) -> Subscript:
        for _ in range(10):
            s = self.subscript(scope)
            k = 0 if s.plain and not s.plain.declared and self.chance(0.5) else self.random.randint(-2, 1)
            if k and s.text == f"{s.loops[0].name if s.loops else ''} + {-k}":
                continue
            if k:
                s = Subscript(f"{s.text} {'+' if k > 0 else '-'} {abs(k)}", s.low + k, s.high + k, s.loops)
            low, high, n = s.low.at(self.sizes), s.high.at(self.sizes), extent.at(self.sizes)
            inside = {"wrap": (-n, 2 * n - 1), "reflect": (1 - n, 2 * n - 2)}.get(mode, (-99, 99))
            vote = s.plain is None or s.plain.declared or s.plain.upper == extent
            if inside[0] <= low and high <= inside[1] and vote:
                return s
        return Subscript("0", literal(0), literal(0))


def plain_names(text: str) -> set[str]:
    """The subscripts in a text that are a name alone."""
    found: set[str] = set()
    stack: list[tuple[str, int]] = []
    for position, letter in enumerate(text):
        if letter in "),]" and stack and stack[-1][0] == "[":
            found.add(text[stack[-1][1] + 1 : position].strip())
        if letter in "([":
            stack.append((letter, position))
        elif letter in ")]":
            stack.pop()
        elif letter == "," and stack:
            stack[-1] = (stack[-1][0], position)
    return {name for name in found if name.isidentifier()}
