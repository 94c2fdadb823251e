"""Random statements: maps, contractions, scatters, windows, several definitions of one tensor."""

from __future__ import annotations

import re

from tests.programs.expressions import Expressions, factor
from tests.programs.extents import Extent, literal
from tests.programs.scope import Known, Loop, Subscript, plain_names

__all__ = ["Statements"]


class Statements(Expressions):
    def begin(self) -> None:
        self.loops = []

    def target(self, shape: tuple[Extent, ...], declare: bool = False) -> Known:
        name = f"T{self.targets}"
        self.targets += 1
        self.lines = [f'{name} = gc.tensor("{name}"{"".join(f", {e}" for e in shape) if declare else ""})']
        return Known(name, shape)

    def emit(self, left: str, op: str, value: str) -> None:
        """The index lines of a statement and the statement."""
        plain = plain_names(value)
        present = [x for x in self.loops if re.search(rf"\b{x.name}\b", left + value)]
        for loop in present:
            loop.declared = loop.declared or loop.name not in plain
        lines = {x.name: x.line() for x in present}
        movable = [x for x in present if x.declared and not re.search(rf"over=[^)]*\b{x.name}\b|gc\.(uniform|normal)", value)]
        if movable and self.moves.random() < 0.05:
            loop, by = self.moves.choice(movable), self.moves.choice((1, 2))
            lines[loop.name] = f'{loop.name} = gc.index("{loop.name}", {loop.lower - by}, {loop.upper - by})'
            left, value = (re.sub(rf"\b{loop.name}\b", f"({loop.name} + {by})", text) for text in (left, value))
        self.lines += lines.values()
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
        factors = [factor(self.access([*free, *summed], True)) for _ in range(self.pick(2, 2, 3, 3, 4))]
        if self.chance(0.15):
            factors.append(factor(self.unary([*free, *summed], 1, True)))
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
            pointer = self.pointer([*free, *summed], limit)
            if self.rarely(0.3):
                pointer, value = self.masked_pointer([*free, *summed], limit, value)
            texts = [*texts[:1], pointer]
            declare = True
        made = self.target(shape, declare or any(not s.plain for s in subscripts))
        self.emit(f"{made.name}[{', '.join(texts)}]", "+=", value)
        self.finish(made)

    def masked_pointer(self, scope: list[Loop], limit: int, value: str) -> tuple[str, str]:
        """An integer that points outside where what is added is 0, and the value with its conditions."""
        loop = self.masks.choice(scope)
        loop.used = loop.plain = True
        pointer = f"{self.input((loop.upper,), integers=limit + 2, lowest=-2).name}[{loop.name}]"
        tests = [f"{pointer} >= 0", f"{pointer} < {limit}", self.condition(scope)]
        self.masks.shuffle(tests)
        if self.rarely(0.5):
            tests = [" & ".join(f"({x})" for x in tests)]
        for test in tests:
            value = f"gc.where({test}, {value}, 0)"
        return pointer, value

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

    def counted(self) -> None:
        """A tensor of integers or booleans that is used as numbers."""
        self.begin()
        free, summed = [self.loop() for _ in range(self.pick(1, 1, 2))], [self.loop()]
        kind = self.pick("sum", "bool", "where", "max")
        first = self.number_input(tuple(x.upper for x in (*free, *summed)))
        first.reads += 1
        read = f"{first.name}[{', '.join(x.name for x in (*free, *summed))}]"
        for x in (*free, *summed):
            x.used = x.plain = True
        made = self.target(tuple(x.upper for x in free))
        left = self.plain_left(made, free)
        if kind == "sum":
            self.emit(left, "+=", self.pick(read, f"2*{read}", f"{read}*{read}", f"({self.access([*free, *summed])} > {self.offset()})"))
        else:
            value = {
                "bool": f"gc.{self.pick('any', 'all')}({self.pick(read + ' > 0', self.condition([*free, *summed]))}, over=",
                "where": f"gc.sum(gc.where({read} > 1, {self.pick('1', summed[0].name)}, 0), over=",
                "max": f"gc.{self.pick('max', 'min', 'prod')}({read}, over=",
            }[kind]
            self.emit(left, "=", self.close(value, summed, ")"))
        self.finish(made)

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
