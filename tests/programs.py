"""Random programs in the notation: the same seed gives the same program, its data included.

A program is generated as Python source and executed, so that ``str(program)`` is what a person would paste to reproduce it.
Every subscript is drawn together with its smallest and largest value (affine forms in the sizes); inputs get extents that fit,
existing tensors are read only where the subscript fits for the drawn sizes. Kinked functions get a random offset, so that values
that are equal by construction (zeros of padding, of relu, …) do not lie on the kink.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np

import graphc as gc
from graphc.ir.expr import Size

__all__ = ["RandomProgram", "generate", "programs"]

RECURRENCES = True
"""Whether tensors that refer to themselves are drawn."""

_NAMES = "ijkpqrsbcdefghlmnuvwxyz"


# ----------------------------------------------------------------------------------------------------------------- extents


@dataclass(frozen=True)
class Extent:
    """``Σ coefficient·size + constant``."""

    terms: tuple[tuple[str, int], ...]
    constant: int

    def __add__(self, other: Extent | int) -> Extent:
        if isinstance(other, int):
            return Extent(self.terms, self.constant + other)
        mixed = dict(self.terms)
        for name, factor in other.terms:
            mixed[name] = mixed.get(name, 0) + factor
        return Extent(tuple(sorted((n, f) for n, f in mixed.items() if f)), self.constant + other.constant)

    def __mul__(self, factor: int) -> Extent:
        return Extent(tuple((n, f * factor) for n, f in self.terms if factor), self.constant * factor)

    def __sub__(self, other: Extent | int) -> Extent:
        return self + other * -1

    def __str__(self) -> str:
        text = " + ".join(n if f == 1 else f"{f}*{n}" for n, f in self.terms)
        if not text:
            return str(self.constant)
        return text + (f" {'+' if self.constant > 0 else '-'} {abs(self.constant)}" if self.constant else "")

    def at(self, sizes: dict[str, int]) -> int:
        return sum(f * sizes[n] for n, f in self.terms) + self.constant


def literal(value: int) -> Extent:
    return Extent((), value)


# -------------------------------------------------------------------------------------------------------------- the result


@dataclass(frozen=True)
class RandomProgram:
    """A program, its data, and what to differentiate.

    Attributes:
        seed: what `generate` was called with.
        sizes: values of the symbolic sizes.
        inputs: declaration line by input name.
        blocks: groups of lines; each defines a tensor (or a part of L) and can be left out alone if nothing reads it.
        arrays: float64 and int64 data by input name.
    """

    seed: int
    sizes: dict[str, int]
    inputs: dict[str, str]
    blocks: tuple[tuple[str, ...], ...]
    arrays: dict[str, np.ndarray[Any, Any]] = field(compare=False)

    @property
    def source(self) -> str:
        head = [f'{", ".join(self.sizes)} = gc.dims("{" ".join(self.sizes)}")'] if self.sizes else []
        text = "\n".join(line for block in self.blocks for line in block)
        used = [line for name, line in self.inputs.items() if f"{name}[" in text or f"({name}" in text]
        return "\n".join([*head, *used, 'L = gc.tensor("L")', text])

    def __str__(self) -> str:
        text = self.source
        data = [f"    {n}=np.array({a.tolist()!r}, {a.dtype.name!r})," for n, a in self.arrays.items() if f'gc.tensor("{n}"' in text]
        sizes = ", ".join(f"{n}={v}" for n, v in self.sizes.items())
        return "\n".join([f"# seed {self.seed}; {sizes}", "import graphc as gc, numpy as np", text, "arrays = dict(", *data, ")"])

    def build(self, prefix: str = "") -> dict[str, Any]:
        """The names of the executed source; `prefix` goes before the names of tensors and sizes, so that programs can be compiled together.

        Raises:
            GraphcError: the program is refused where it is written.
        """
        names: dict[str, Any] = {"gc": gc}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gc.GraphcWarning)
            exec(compile(_prefixed(self.source, prefix), f"<program {self.seed}>", "exec"), names)
        return names

    def size_values(self) -> dict[Any, int]:
        return {Size(name): value for name, value in self.sizes.items()}

    def float_inputs(self) -> tuple[str, ...]:
        text = self.source
        return tuple(n for n, a in self.arrays.items() if a.dtype.kind == "f" and f'gc.tensor("{n}"' in text)

    def shrunk(self, fails: Callable[[RandomProgram], bool]) -> RandomProgram:
        """A program with fewer blocks for which `fails` still holds."""
        current, position = self, len(self.blocks) - 1
        while position >= 0:
            smaller = replace(current, blocks=(*current.blocks[:position], *current.blocks[position + 1 :]))
            if smaller.blocks and fails(smaller):
                current = smaller
            position -= 1
        return current


def _prefixed(source: str, prefix: str) -> str:
    source = re.sub(r'gc\.tensor\("', f'gc.tensor("{prefix}', source)
    return re.sub(r'gc\.dims\("([^"]*)"\)', lambda found: f'gc.dims("{" ".join(prefix + n for n in found[1].split())}")', source)


def programs(start: int, count: int) -> Iterator[RandomProgram]:
    for seed in range(start, start + count):
        yield generate(seed)


def generate(seed: int, statements: int | None = None) -> RandomProgram:
    """The random program of a seed."""
    return _Writer(seed).write(statements)


# --------------------------------------------------------------------------------------------------------------- the writer


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


class _Writer:
    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, Random(seed)
        r = self.random
        self.sizes = {name: r.choice((2, 2, 3, 3, 4)) for name in r.sample(("N", "M", "K"), r.randint(1, 2))} if r.random() < 0.75 else {}
        self.inputs: dict[str, str] = {}
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.known: list[Known] = []
        self.integers: list[Known] = []
        self.blocks: list[tuple[str, ...]] = []
        self.loops: list[Loop] = []
        self.closed: list[Loop] = []
        self.data = np.random.default_rng(seed)
        self.targets = 0

    # ---------------------------------------------------------------------------------------------------- pieces
    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def number(self, low: float = 0.2, high: float = 1.6) -> str:
        return repr(round(self.random.uniform(low, high), 3))

    def offset(self) -> str:
        return repr(round(self.random.uniform(0.02, 0.4), 4))

    def extent(self) -> Extent:
        if self.sizes and self.chance(0.6):
            return Extent(((self.pick(*self.sizes), 1),), 0)
        return literal(self.pick(2, 2, 3, 3, 4))

    def loop(self, upper: Extent | None = None, declared: bool | None = None) -> Loop:
        name = next(n for n in _NAMES if n not in {x.name for x in self.loops})
        found = Loop(name, upper or self.extent(), declared=self.chance(0.35) if declared is None else declared)
        if found.declared and upper is None and self.chance(0.2) and found.upper.at(self.sizes) > 2:
            found.lower = 1
        self.loops.append(found)
        return found

    def input(self, shape: tuple[Extent, ...], scale: float = 0.8, integers: int = 0) -> Known:
        name = f"{'t' if integers else 'X'}{len(self.inputs)}"
        values = tuple(max(e.at(self.sizes), 0) for e in shape)
        data = self.data.integers(0, integers, values) if integers else np.round(self.data.normal(0, scale, values), 4)
        self.arrays[name] = np.asarray(data, "int64" if integers else "float64")
        declared = ", ".join(map(str, shape)) or "()"
        self.inputs[name] = f'{name} = gc.tensor("{name}", {declared}{", dtype=" + repr("int64") if integers else ""})'
        found = Known(name, shape, integers)
        (self.integers if integers else self.known).append(found)
        return found

    # ------------------------------------------------------------------------------------------------ subscripts
    def subscript(self, scope: list[Loop]) -> Subscript:
        """An affine subscript whose values are not negative."""
        kinds = (
            ["plain"] * 8
            + ["shift", "back", "twice", "half", "mod", "constant"]
            + ["stride", "dilate", "sum", "difference", "halfsum"] * (len(scope) > 1)
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
        second_low, second_high = literal(b.lower), b.upper - 1
        if kind == "stride":
            return Subscript(f"2*{a.name} + {b.name}", low * 2 + second_low, high * 2 + second_high, (a, b))
        if kind == "dilate":
            return Subscript(f"{a.name} + 2*{b.name}", low + second_low * 2, high + second_high * 2, (a, b))
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
        made = self.input(tuple(s.high + 1 + (0 if s.plain or not self.chance(0.2) else 1) for s in subscripts))
        return self.shown(made, subscripts)

    def shown(self, tensor: Known, subscripts: list[Subscript]) -> str:
        self.use(subscripts)
        tensor.reads += 1
        return f"{tensor.name}[{', '.join(s.text for s in subscripts) or '()'}]"

    def read(self, tensor: Known, scope: list[Loop]) -> str | None:
        chosen = [self.fitting(scope, e) for e in tensor.shape]
        return None if any(s is None for s in chosen) else self.shown(tensor, chosen)  # type: ignore[arg-type]

    def pointer(self, scope: list[Loop], limit: int) -> str:
        """An element of an integer tensor with values below `limit`."""
        usable = [t for t in self.integers if t.limit <= limit]
        if usable and self.chance(0.6):
            found = self.read(self.pick(*usable), scope)
            if found is not None:
                return found
        loops = self.random.sample(scope, min(len(scope), self.pick(1, 1, 2)))
        subscripts = [Subscript(x.name, literal(x.lower), x.upper - 1, (x,), x) for x in loops]
        return self.shown(self.input(tuple(s.high + 1 for s in subscripts), integers=limit), subscripts)

    def gathered(self, scope: list[Loop]) -> str:
        tables = [t for t in self.known if t.shape and all(e.at(self.sizes) >= 2 for e in t.shape)]
        table = self.pick(*tables) if tables and self.chance(0.6) else self.input((self.extent(), self.extent())[: self.pick(1, 2)])
        where = self.random.randrange(len(table.shape))
        parts = []
        for d, extent in enumerate(table.shape):
            if d == where:
                parts.append(self.pointer(scope, extent.at(self.sizes)))
            else:
                s = self.fitting(scope, extent)
                assert s is not None
                self.use([s])
                parts.append(s.text)
        table.reads += 1
        return f"{table.name}[{', '.join(parts)}]"

    def viewed(self, scope: list[Loop], reducing: bool) -> str:
        """A boundary view; subscripts reach outside by up to one extent."""
        candidates = [t for t in self.known if t.shape and all(e.at(self.sizes) >= 2 for e in t.shape)]
        tensor = (
            self.pick(*candidates) if candidates and self.chance(0.7) else self.input((self.extent(), self.extent())[: self.pick(1, 2)])
        )
        mode = self.pick("pad", "pad", "clamp", "wrap", "reflect", *(["skip"] if reducing else []))
        rank = len(tensor.shape)
        dims = list(range(rank)) if self.chance(0.6) else [self.random.randrange(rank)]
        chosen = []
        for d, extent in enumerate(tensor.shape):
            s = self.reaching(scope, extent, mode) if d in dims else self.fitting(scope, extent)
            assert s is not None
            chosen.append(s)
        self.use(chosen)
        tensor.reads += 1
        extra = (f", {self.pick('0', '0', self.number(-1, 1))}" if mode == "pad" else "") + (f", dims={dims}" if len(dims) < rank else "")
        return f"gc.{mode}({tensor.name}{extra})[{', '.join(s.text for s in chosen)}]"

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
        return Subscript("1", literal(1), literal(1))

    # ----------------------------------------------------------------------------------------------- expressions
    def expression(self, scope: list[Loop], depth: int, reducing: bool = False) -> str:
        choice = self.random.random()
        if depth <= 0 or choice < 0.14:
            return self.leaf(scope, reducing)
        if choice < 0.36:
            return self.unary(scope, depth, reducing)
        if choice < 0.62:
            a, b = self.expression(scope, depth - 1, reducing), self.expression(scope, depth - 1, reducing)
            return self.pick(
                f"({a} + {b})",
                f"({a} - {b})",
                f"{_factor(a)}*{_factor(b)}",
                f"{_factor(a)}*{_factor(b)}",
                f"{_factor(a)}/(1.3 + {_factor(b)}**2)",
                f"gc.maximum({a}, {b} + {self.offset()})",
                f"gc.minimum({a}, {b} - {self.offset()})",
                f"gc.hypot({a}, 0.9 + {_factor(b)}**2)",
                f"gc.atan2({a}, 1.4 + {_factor(b)}**2)",
                f"(1.2 + {_factor(a)}**2)**gc.tanh({b})",
            )
        if choice < 0.76:
            return self.conditional(scope, depth, reducing)
        return self.reduction(scope, depth)

    def leaf(self, scope: list[Loop], reducing: bool) -> str:
        choice = self.random.random()
        if choice < 0.86:
            return self.access(scope, reducing)
        if choice < 0.93 and scope:
            loop = self.pick(*scope)
            loop.used = True
            if self.chance(0.3):
                return f"gc.{self.pick('uniform', 'normal')}({self.pick(3, 5)}, {loop.name})"
            return f"(0.3*{loop.name} - {self.number()})"
        return self.number(-1.5, 1.5) if self.chance(0.7) else "gc.exp(" + self.number(-1, 0.5) + ")"

    def unary(self, scope: list[Loop], depth: int, reducing: bool) -> str:
        e = self.expression(scope, depth - 1, reducing)
        f, c = _factor(e), self.offset()
        return self.pick(
            f"gc.tanh({e})",
            f"gc.tanh({e})",
            f"gc.sigmoid({e})",
            f"gc.sin({e})",
            f"gc.cos({e})",
            f"gc.softplus({e})",
            f"gc.erf({e})",
            f"gc.gelu({e})",
            f"gc.silu({e})",
            f"gc.exp(0.3*{f})",
            f"gc.expm1(gc.sin({e}))",
            f"gc.log(1.5 + {f}**2)",
            f"gc.log1p({f}**2)",
            f"gc.sqrt(0.6 + {f}**2)",
            f"gc.rsqrt(0.8 + {f}**2)",
            f"1/(1.1 + {f}**2)",
            f"{f}**2",
            f"gc.tanh({e})**3",
            f"gc.power(1.1 + {f}**2, 0.7)",
            f"(-{f})",
            f"gc.tan(0.4*gc.tanh({e}))",
            f"gc.relu({e} - {c})",
            f"gc.abs({e} + {c})",
            f"gc.leaky_relu({e} + {c}, 0.1)",
            f"gc.elu({e} - {c})",
            f"gc.clip({e}, -0.7{c[2:]}, 0.8{c[2:]})",
            f"gc.floor({e} + {c})",
            f"gc.sign({e} - {c})",
            f"gc.round({e} + {c})",
            f"1/(1 + gc.exp(-{f}))",
            f"gc.log(1 + gc.exp({e}))",
            f"(gc.exp(0.2*{f}) - 1)",
        )

    def conditional(self, scope: list[Loop], depth: int, reducing: bool) -> str:
        if scope and self.chance(0.25):
            return self.guarded(scope)
        if self.chance(0.2):
            e, other = self.expression(scope, depth - 1, reducing), self.expression(scope, depth - 1)
            return f"gc.where({e} > {self.offset()}, gc.{self.pick('log', 'sqrt', 'rsqrt')}({e}), {other})"
        a, b = self.expression(scope, depth - 1), self.pick("0", "1", self.expression(scope, depth - 1))
        a, b = self.pick((a, b), (b, a))
        return f"gc.where({self.condition(scope)}, {a}, {b})"

    def guarded(self, scope: list[Loop]) -> str:
        """An access that only its condition makes legal."""
        loop, k = self.pick(*scope), self.random.randint(1, 2)
        table = self.input((loop.upper,))
        loop.used = True
        table.reads += 1
        other = self.pick("0", self.number(-1, 1), self.access(scope))
        inside = self.pick("", f"*{self.access(scope)}")
        if self.chance(0.5):
            return f"gc.where({loop.name} >= {k}, {table.name}[{loop.name} - {k}]{inside}, {other})"
        return f"gc.where({loop.name} + {k} < {loop.upper}, {table.name}[{loop.name} + {k}]{inside}, {other})"

    def condition(self, scope: list[Loop], depth: int = 1) -> str:
        choice = self.random.random()
        if depth and choice < 0.2:
            a, b = self.condition(scope, 0), self.condition(scope, 0)
            return self.pick(f"({a}) & ({b})", f"({a}) | ({b})", f"~({a})", f"~(({a}) & ({b}))")
        if choice < 0.65 and scope:
            a = self.pick(*scope)
            b = self.pick(*scope)
            a.used = b.used = True
            sign = self.pick("<", "<=", ">", ">=", "==", "!=")
            return self.pick(
                f"{a.name} {sign} {self.random.randint(0, 2)}",
                f"{a.name} {sign} {b.name}" if a is not b else f"{a.name} > 0",
                f"{a.name}%2 {self.pick('==', '!=')} 0",
                f"{a.name} + {b.name} {sign} {a.upper} - 1",
                f"{b.name} - {a.name} {sign} 1",
                f"2*{a.name} {sign} {b.upper}",
            )
        if choice < 0.72:
            inner = self.loop()
            return self.close(f"gc.{self.pick('any', 'all')}({self.access([*scope, inner])} > {self.offset()}, over=", [inner], ")")
        return f"{self.access(scope)} {self.pick('<', '>', '<=', '>=')} {self.offset()}"

    def close(self, head: str, bound: list[Loop], tail: str) -> str:
        plain = _plain_names(head)
        for loop in bound:
            loop.declared = loop.declared or loop.name not in plain
        names = ", ".join(x.name for x in bound)
        return f"{head}{names if len(bound) == 1 else f'({names})'}{tail}"

    def reduction(self, scope: list[Loop], depth: int) -> str:
        size = len([x for x in self.loops if x in scope])
        if size >= 4:
            return self.leaf(scope, False)
        op = self.pick("sum", "sum", "sum", "mean", "prod", "max", "min", "logsumexp", "argmax", "softmax", "logsum", "norm")
        if op in ("softmax", "logsum", "norm"):
            return self.naive(op, scope)
        bound = [self.loop() for _ in range(2 if size < 3 and self.chance(0.25) else 1)]
        body = self.expression([*scope, *bound], depth - 1, op in ("sum", "prod"))
        if op == "argmax":
            return self.close(f"0.2*gc.{self.pick('argmax', 'argmin')}({body}, over=", bound, ")")
        ties = ', ties="split"' if op in ("max", "min") and self.chance(0.2) else ""
        if ties:
            body = f"({body} + 0.01*{self.input(tuple(b.upper for b in bound)).name}[{', '.join(b.name for b in bound)}])"
            self.use([Subscript(b.name, literal(b.lower), b.upper - 1, (b,), b) for b in bound])
        return self.close(f"gc.{op}({body}, over=", bound, f"{ties})")

    def naive(self, op: str, scope: list[Loop]) -> str:
        """Softmax, logsumexp and normalisation written as in a textbook."""
        inner = self.loop()
        e = self.access([*scope, inner])
        total = self.close(f"gc.sum({'gc.exp(' + e + ')' if op != 'norm' else e + '**2'}, over=", [inner], ")")
        if op == "logsum":
            return f"gc.log({total})"
        if op == "norm":
            return f"{self.access(scope)}/gc.sqrt({total} + 0.4)"
        return f"gc.exp({self.access(scope)})/{_factor(total)}"

    # ------------------------------------------------------------------------------------------------ statements
    def begin(self) -> None:
        self.loops = []

    def target(self, shape: tuple[Extent, ...], declare: bool = False) -> Known:
        name = f"T{self.targets}"
        self.targets += 1
        self.lines = [f'{name} = gc.tensor("{name}"{"".join(f", {e}" for e in shape) if declare else ""})']
        return Known(name, shape)

    def emit(self, left: str, op: str, value: str) -> None:
        """The index lines of a statement and the statement."""
        plain = _plain_names(value)
        present = [x for x in self.loops if re.search(rf"\b{x.name}\b", left + value)]
        for loop in present:
            loop.declared = loop.declared or loop.name not in plain
        self.lines += [x.line() for x in present]
        self.lines.append(f"{left} {op} {value}")

    def finish(self, made: Known, integer: bool = False) -> None:
        self.blocks.append(tuple(self.lines))
        (self.integers if integer else self.known).append(made)

    def plain_left(self, target: Known, loops: list[Loop]) -> str:
        for x in loops:
            x.used = True
        return f"{target.name}[{', '.join(x.name for x in loops) or '()'}]"

    def map(self) -> None:
        """``T[i, j] = e``."""
        self.begin()
        free = [self.loop(declared=None if self.chance(0.8) else True) for _ in range(self.pick(0, 1, 1, 2, 2, 3))]
        for x in free:
            x.lower = 0 if self.chance(0.8) else x.lower
        value = self.expression(free, 2)
        made = self.target(tuple(x.upper for x in free))
        self.emit(self.plain_left(made, free), "=", value)
        self.finish(made)

    def contraction(self) -> None:
        """``T[i, k] += A[i, j]*B[j, k]*…``."""
        self.begin()
        free = [self.loop() for _ in range(self.pick(0, 1, 2, 2))]
        summed = [self.loop() for _ in range(self.pick(1, 1, 2))]
        factors = [_factor(self.access([*free, *summed], True)) for _ in range(self.pick(2, 2, 3, 3, 4))]
        if self.chance(0.15):
            factors.append(_factor(self.unary([*free, *summed], 1, True)))
        if self.chance(0.2):
            factors.append(f"gc.where({self.condition([*free, *summed])}, 1, {self.pick('0', '0.5')})")
        value = "*".join(factors)
        if self.chance(0.2):
            value += f" {self.pick('+', '-')} {self.leaf([*free, *summed], True)}"
        made = self.target(tuple(x.upper for x in free))
        self.emit(self.plain_left(made, free), "+=", self.damped(value))
        self.finish(made)

    def damped(self, value: str) -> str:
        return self.pick(value, f"gc.tanh({value})", f"0.3*({value})")

    def accumulated(self) -> None:
        """``T[…] += e`` over free and summed indices, on a shifted, strided, diagonal or scattered left side."""
        self.begin()
        free = [self.loop() for _ in range(self.pick(1, 1, 2))]
        summed = [self.loop()] if self.chance(0.5) else []
        value = self.expression([*free, *summed], 2, True)
        kind = self.pick("affine", "affine", "scatter", "plain")
        if kind == "plain":
            subscripts = [Subscript(x.name, literal(x.lower), x.upper - 1, (x,), x) for x in free]
        else:
            subscripts = [self.subscript([*free, *summed]) for _ in range(self.pick(1, 2))]
        shape = tuple(s.high + 1 for s in subscripts)
        texts = [s.text for s in subscripts]
        declare = self.chance(0.4)
        for s in subscripts:
            for x in s.loops:
                x.used = True
                x.declared = x.declared or declare
        if kind == "scatter":
            limit = self.random.randint(2, 3)
            shape = (*shape[:1], literal(limit))
            texts = [*texts[:1], self.pointer([*free, *summed], limit)]
            declare = True
        made = self.target(shape, declare or any(not s.plain for s in subscripts))
        self.emit(f"{made.name}[{', '.join(texts)}]", "+=", value)
        self.finish(made)

    def pieces(self) -> None:
        """Several definitions: disjoint regions, interleaved elements, an assignment and contributions."""
        self.begin()
        outer = self.extent()
        kind = self.pick("regions", "interleaved", "added", "added", "corner")
        first = outer * 2 if kind == "interleaved" else outer
        second = self.extent()
        made = self.target((first, second), True)
        rank = self.pick(1, 2)
        if rank == 1:
            made.shape = (first,)
            self.lines = [f'{made.name} = gc.tensor("{made.name}", {first})']
        parts: list[tuple[str, Loop | None]] = []
        for part in range(2):
            self.begin()
            if kind == "regions":
                a = Loop(self.pick("i", "p"), literal(1) if part == 0 else outer, 0 if part == 0 else 1, True)
                self.loops.append(a)
                text = a.name
            elif kind == "interleaved":
                a = self.loop(outer, True)
                text = f"2*{a.name} + 1" if part else f"2*{a.name}"
            elif kind == "corner":
                a = self.loop(outer - 1, True) if part else Loop("i", literal(1), 0, True)
                text = f"{a.name} + 1" if part else "0"
                self.loops = [a] if part else []
            else:
                a = self.loop(outer, self.chance(0.5))
                text = a.name
            a.used = bool(self.loops)
            scope = [a] if self.loops else []
            column = [self.loop(second)] if rank == 2 else []
            value = self.expression([*scope, *column], 1)
            for x in column:
                x.used = x.plain = True
            if kind == "added" and not a.declared:
                a.plain = True
            left = f"{made.name}[{', '.join([text, *(x.name for x in column)])}]"
            self.emit(left, "=" if kind != "added" or part == 0 else "+=", value)
            parts.append((left, a))
        if self.chance(0.3):
            self.begin()
            a = self.loop(first, True)
            column = [self.loop(second, True)] if rank == 2 else []
            for x in (a, *column):
                x.used = True
            self.emit(f"{made.name}[{', '.join([a.name, *(x.name for x in column)])}]", "+=", self.expression([a, *column], 1))
        self.finish(made)

    def window(self) -> None:
        """A convolution or pooling along one or two dimensions: stride, dilation, padding."""
        self.begin()
        spatial = self.pick(1, 1, 2)
        channels = self.chance(0.6)
        out, taps, subscripts, extents = [], [], [], []
        mode = self.pick("valid", "valid", "pad", "pad", "clamp", "reflect", "wrap", "skip")
        for _ in range(spatial):
            stride, dilation, window = self.pick(1, 1, 2), self.pick(1, 1, 2), self.pick(2, 3)
            p = self.loop(declared=True)
            r = self.loop(literal(window), declared=mode != "valid" or self.chance(0.5))
            out.append(p)
            taps.append(r)
            p.lower = 0
            left = f"{'2*' if stride == 2 else ''}{p.name} + {'2*' if dilation == 2 else ''}{r.name}"
            reach = (p.upper - 1) * stride + (window - 1) * dilation + 1
            if mode == "valid":
                extents.append(reach)
            else:
                pad = self.random.randint(1, 1 if mode != "pad" else 2)
                left += f" - {pad}"
                extents.append(reach - 2 * pad if (reach - 2 * pad).at(self.sizes) >= 3 else reach)
            subscripts.append(left)
            p.used = r.used = True
        b, c, k = (self.loop(), self.loop(), self.loop()) if channels else (None, None, None)
        data = self.input(tuple(x.upper for x in (b, c) if x) + tuple(extents))
        head = [x.name for x in (b, c) if x]
        for x in (b, c):
            if x:
                x.used = x.plain = True
        name = (
            data.name
            if mode == "valid"
            else f"gc.{mode}({data.name}{', 0' if mode == 'pad' else ''}"
            f"{f', dims={list(range(len(head), len(head) + spatial))}' if head else ''})"
        )
        value = f"{name}[{', '.join([*head, *subscripts])}]"
        data.reads += 1
        free = [x for x in (b, k) if x]
        pooling = self.chance(0.35) and all("2*" not in s.split("+")[1] for s in subscripts)
        if pooling:
            free = [x for x in (b, c) if x]
            self.loops = [x for x in self.loops if x is not k]
            op = self.pick("max", "mean", "min", "sum", "logsumexp")
            made = self.target(tuple(x.upper for x in (*free, *out)))
            left = self.plain_left(made, [*free, *out])
            self.emit(left, "=", self.close(f"gc.{op}({value}, over=", taps, ")"))
        else:
            weight = self.input(tuple(x.upper for x in (k, c, *taps) if x))
            weight.reads += 1
            if k:
                k.used = k.plain = True
            for r in taps:
                r.plain = True
            made = self.target(tuple(x.upper for x in (*free, *out)))
            left = self.plain_left(made, [*free, *out])
            self.emit(left, "+=", f"{value}*{weight.name}[{', '.join(x.name for x in (k, c, *taps) if x)}]")
        self.finish(made)

    def chosen(self) -> None:
        """``a[i] = argmax(…)``: an integer tensor for later gathers."""
        self.begin()
        free, over = [self.loop() for _ in range(self.pick(1, 1, 2))], self.loop()
        over.lower = 0
        value = self.close(f"gc.{self.pick('argmax', 'argmin')}({self.expression([*free, over], 1)}, over=", [over], ")")
        made = self.target(tuple(x.upper for x in free))
        made.limit = over.upper.at(self.sizes)
        self.emit(self.plain_left(made, free), "=", value)
        self.finish(made, integer=True)

    def softmax(self) -> None:
        """Naive softmax through a named sum, and cross-entropy on labels."""
        self.begin()
        b, i = self.loop(declared=False), self.loop(declared=False)
        scores = self.input((b.upper, i.upper))
        scores.reads += 1
        z, total = f"{scores.name}[{b.name}, {i.name}]", f"S{self.targets}"
        for x in (b, i):
            x.used = x.plain = True
        made = self.target((b.upper, i.upper))
        self.lines.insert(0, f'{total} = gc.tensor("{total}")')
        self.emit(f"{total}[{b.name}]", "+=", f"gc.exp({z})")
        self.lines.append(f"{made.name}[{b.name}, {i.name}] = gc.exp({z})/{total}[{b.name}]")
        if self.chance(0.6):
            loss, label = f"H{self.targets}", self.input((b.upper,), integers=i.upper.at(self.sizes))
            self.lines.insert(0, f'{loss} = gc.tensor("{loss}")')
            self.lines.append(f"{loss}[{b.name}] = -gc.log({made.name}[{b.name}, {label.name}[{b.name}]])")
            self.known.append(Known(loss, (b.upper,)))
        self.finish(made)

    def recurrence(self) -> None:
        """A tensor that refers to itself at an earlier element."""
        self.begin()
        steps, width = self.loop(declared=False), self.loop(declared=False)
        kind = self.pick("network", "prefix", "suffix", "grid")
        made = self.target((steps.upper, width.upper))
        x = self.input((steps.upper, width.upper))
        t, i, name = steps.name, width.name, made.name
        lines = [steps.line(), width.line()]
        if kind == "network":
            w, start, j = self.input((width.upper, width.upper), 0.5), self.input((width.upper,)), self.loop(width.upper, False).name
            lines.append(f'{j} = gc.index("{j}")')
            before = f"gc.where({t} > 0, {name}[{t} - 1, {j}], {start.name}[{j}])"
            lines.append(f"{name}[{t}, {i}] = gc.tanh(gc.sum({w.name}[{i}, {j}]*{before}, over={j}) + {x.name}[{t}, {i}])")
        elif kind == "prefix":
            lines.append(
                f"{name}[{t}, {i}] = gc.where({t} > 0, {name}[{t} - 1, {i}]*{self.number(0.3, 0.9)}, {self.number()}) + {x.name}[{t}, {i}]"
            )
        elif kind == "suffix":
            lines.append(f"{name}[{t}, {i}] = gc.where({t} + 1 < {steps.upper}, gc.sin({name}[{t} + 1, {i}]), 0) + {x.name}[{t}, {i}]")
        else:
            lines.append(
                f"{name}[{t}, {i}] = {x.name}[{t}, {i}] + gc.where(({t} > 0) & ({i} > 0), "
                f"0.6*{name}[{t} - 1, {i} - 1] + 0.3*gc.tanh({name}[{t}, {i} - 1]), "
                f"{self.number()})"
            )
        self.lines += lines
        self.finish(made)

    # --------------------------------------------------------------------------------------------------- program
    def write(self, statements: int | None = None) -> RandomProgram:
        kinds = (
            [self.map] * 5
            + [self.contraction] * 5
            + [self.accumulated] * 3
            + [self.pieces] * 2
            + [self.window] * 3
            + [self.chosen, self.softmax, *[self.recurrence] * RECURRENCES]
        )
        for _ in range(statements or self.random.randint(1, 5)):
            self.pick(*kinds)()
        results = [t for t in self.known if t.name[0] in "TH"]
        unread = [t for t in results if not t.reads] or results[-1:]
        if not unread:
            self.map()
            unread = self.known[-1:]
        for tensor in unread:
            self.total(tensor)
        for name in self.sizes:
            self.bind(Extent(((name, 1),), 0))
        return RandomProgram(self.seed, self.sizes, self.inputs, tuple(self.blocks), self.arrays)

    def bind(self, size: Extent) -> None:
        """A contribution to L of an input that gives a size its value, whatever the rest of the program reads."""
        self.begin()
        loop, vector = self.loop(size, False), self.input((size,))
        self.lines = []
        self.emit("L[()]", "+=", f"{self.number()}*{vector.name}[{loop.name}]")
        self.blocks.append(tuple(self.lines))

    def total(self, tensor: Known) -> None:
        """A contribution to L that depends on every element of a tensor."""
        self.begin()
        loops = [self.loop(e, False) for e in tensor.shape]
        read = self.shown(tensor, [Subscript(x.name, literal(0), x.upper - 1, (x,), x) for x in loops])
        weight = self.input(tuple(x.upper for x in loops)).name + read[len(tensor.name) :]
        self.lines = []
        self.emit(
            "L[()]",
            "+=",
            self.pick(f"{weight}*{read}", f"{weight}*gc.sin({read})", f"({read} - {weight})**2", f"{weight}*{read}**2/(1 + {read}**2)"),
        )
        self.blocks.append(tuple(self.lines))


def _plain_names(text: str) -> set[str]:
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


def _factor(text: str) -> str:
    """The text in parentheses unless it binds tightly already."""
    depth = 0
    for position, letter in enumerate(text):
        depth += letter in "(["
        depth -= letter in ")]"
        if depth == 0 and (letter in " */+-" or (position == 0 and letter == "-")):
            return f"({text})"
    return text
