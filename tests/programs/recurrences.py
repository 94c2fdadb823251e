"""Random recurrences: backwards and forwards in time, mutual, windows, two-dimensional, with initial slices."""

from __future__ import annotations

from tests.programs.expressions import Expressions
from tests.programs.extents import literal
from tests.programs.scope import Known, Loop

__all__ = ["Recurrences"]


class Recurrences(Expressions):
    """Tensors that refer to themselves at another element."""

    def recurrence(self) -> None:
        loops = (self._network, self._network, self._shifted, self._stepped, self._suffix)
        kind = self.pick(*loops, self._grid, self._window, self._gates, self._wave, self._staggered)
        (self._corner if self.rarely(0.15) else kind)()
        if self.rarely(0.3):
            self._sums(self.known[-1])

    def _sums(self, steps: Known) -> None:
        """A sum over the steps of a recurrence, and one whose terms need all of the first."""
        self.begin()
        loops = [self.loop(e, False) for e in steps.shape]
        for x in loops:
            x.used = x.plain = True
        names = [x.name for x in loops]
        read, rest = f"{steps.name}[{', '.join(names)}]", f"[{', '.join(names[1:]) or '()'}]"
        first = self.target(steps.shape[1:])
        self.emit(f"{first.name}{rest}", "+=", self.masks.choice((f"{read}**2", f"gc.tanh({read})", f"0.4*{read}")))
        first.reads += self.rarely(0.5)
        self.finish(first)
        self.begin()
        self.loops = loops
        second = self.target(self.masks.choice((steps.shape, steps.shape[1:], steps.shape[:1])))
        left = {steps.shape: read[len(steps.name) :], steps.shape[1:]: rest}.get(second.shape, f"[{names[0]}]")
        whole = f"{first.name}{rest}"
        self.emit(f"{second.name}{left}", "+=", self.masks.choice((f"{read}*gc.sin({whole})", f"({read} - 0.3*{whole})**2")))
        steps.reads += 1
        self.finish(second)

    def _begun(self, vector: bool | None = None) -> tuple[Known, list[Loop], str, str]:
        """The tensor, its loops, ``, i`` (or nothing) and a term that does not depend on the recurrence."""
        self.begin()
        loops = [self.loop(declared=False) for _ in range(1 + (self.chance(0.6) if vector is None else vector))]
        made = self.target(tuple(x.upper for x in loops))
        x = self.input(tuple(x.upper for x in loops))
        rest = "".join(f", {x.name}" for x in loops[1:])
        term = f"{x.name}[{loops[0].name}{rest}]"
        for loop in loops:
            loop.used = loop.plain = True
        if self.chance(0.3):
            term += f" + 0.4*gc.tanh({self.expression(loops, 1)})"
        return made, loops, rest, term

    def _network(self) -> None:
        """``h[t, i] = tanh(Σ W[i, j]*h[t-1, j] + x[t, i])`` with a condition or an initial slice."""
        made, (steps, width), _, term = self._begun(True)
        w, start, j = self.input((width.upper, width.upper), 0.5), self.input((width.upper,)), self.loop(width.upper, False)
        t, i, h = steps.name, width.name, made.name
        sliced = self.chance(0.5)
        before = f"{h}[{t} - 1, {j.name}]" if sliced else f"gc.where({t} > 0, {h}[{t} - 1, {j.name}], {start.name}[{j.name}])"
        value = f"gc.tanh({self.close(f'gc.sum({w.name}[{i}, {j.name}]*{before}, over=', [j], ')')} + {term})"
        if self.chance(0.3):
            value = f"0.7*{value} + 0.3*{before.replace(j.name + ']', i + ']')}"
        self.emit(f"{h}[{t}, {i}]", "=", value)
        if sliced:
            self.lines.append(f"{h}[-1, {i}] = {start.name}[{i}]")
        self.finish(made)

    def _stepped(self) -> None:
        """A prefix, with a condition, padding or an initial slice; the element ``lag`` steps before."""
        made, loops, rest, term = self._begun()
        t, h, lag = loops[0].name, made.name, self.pick(1, 1, 2)
        kind = self.pick("where", "pad", "slice")
        before = {
            "where": f"gc.where({t} >= {lag}, {h}[{t} - {lag}{rest}], {self.number()})",
            "pad": f"gc.pad({h}, {self.number()}{', dims=[0]' if rest else ''})[{t} - {lag}{rest}]",
            "slice": f"{h}[{t} - {lag}{rest}]",
        }[kind]
        damped = self.pick(f"{self.number(0.3, 0.9)}*{before}", f"gc.sin({before})", f"gc.maximum({before}, {self.offset()})")
        self.emit(f"{h}[{t}{rest}]", self.pick("=", "+="), f"{damped} + {term}")
        if kind == "slice":
            start = self.input(tuple(x.upper for x in loops[1:]))
            for k in range(1, lag + 1):
                self.lines.append(f"{h}[-{k}{rest}] = {self.number()}*{start.name}[{rest[2:] or '()'}]")
        self.finish(made)

    def _suffix(self) -> None:
        """Descending time."""
        made, loops, rest, term = self._begun()
        t, h = loops[0].name, made.name
        after = self.pick(
            f"gc.where({t} + 1 < {loops[0].upper}, gc.sin({h}[{t} + 1{rest}]), 0)",
            f"{self.number()}*gc.pad({h}, {self.number()}{', dims=[0]' if rest else ''})[{t} + 1{rest}]",
        )
        self.emit(f"{h}[{t}{rest}]", "=", f"{after} + {term}")
        self.finish(made)

    def _grid(self) -> None:
        """Dynamic programming over two indices."""
        made, (a, b), _, term = self._begun(True)
        i, j, r = a.name, b.name, made.name
        far = f"gc.pad({r}, {self.number(1, 3)})"
        value = self.pick(
            f"gc.where(({i} > 0) & ({j} > 0), 0.6*{r}[{i} - 1, {j} - 1] + 0.3*gc.tanh({r}[{i}, {j} - 1]), {self.number()})",
            f"gc.minimum(gc.minimum({far}[{i} - 1, {j}], {far}[{i}, {j} - 1] + {self.offset()}), {far}[{i} - 1, {j} - 1] - 0.07)",
            f"-gc.log(gc.exp(-{far}[{i} - 1, {j}]) + gc.exp(-{far}[{i}, {j} - 1]) + gc.exp(-{far}[{i} - 1, {j} - 1]))",
            f"0.5*gc.pad({r}, 0)[{i} - 1, {j} + 1] + 0.4*gc.pad({r}, 0)[{i} - 1, {j} - 1]",
        )
        self.emit(f"{r}[{i}, {j}]", "=", f"{value} + {term}")
        self.finish(made)

    def _corner(self) -> None:
        """Dynamic programming with initial slices in both dimensions, and the corner in one of three places."""
        made, (a, b), _, term = self._begun(True)
        i, j, r, choice = a.name, b.name, made.name, self.masks.choice
        value = choice((
            f"0.6*{r}[{i} - 1, {j} - 1] + 0.3*gc.tanh({r}[{i}, {j} - 1])",
            f"0.5*gc.minimum(gc.minimum({r}[{i} - 1, {j}], {r}[{i}, {j} - 1] + {self.offset()}), {r}[{i} - 1, {j} - 1] - 0.07)",
            f"gc.where({j} > 0, 0.7*{r}[{i} - 1, {j} - 1], {self.number()}) + 0.2*{r}[{i} - 1, {j}]",
            f"0.4*gc.sin({r}[{i} - 1, {j} - 1]) - 0.2*{r}[{i} - 2, {j} - 1]",
        ))
        older = "- 2, " in value
        self.emit(f"{r}[{i}, {j}]", choice(("=", "=", "+=")), f"{value} + {term}")
        place = choice(("own", "row", "column"))
        for k in range(1, 2 + older):
            row = self.input((b.upper + int(place == "row"),))
            if place == "row":
                self.lines += [f'e = gc.index("e", -1, {b.upper})', f"{r}[-{k}, e] = {row.name}[e + 1]"]
            else:
                self.lines.append(f"{r}[-{k}, {j}] = {row.name}[{j}]")
            if place == "own":
                self.lines.append(f"{r}[-{k}, -1] = {self.number()}")
        column = self.input((a.upper + (1 + older if place == "column" else 0),))
        if place == "column":
            self.lines += [f'e = gc.index("e", {-1 - older}, {a.upper})', f"{r}[e, -1] = {column.name}[e + {1 + older}]"]
        else:
            self.lines.append(f"{r}[{i}, -1] = {column.name}[{i}]")
        self.finish(made)

    def _window(self) -> None:
        """``y[t] = x[t] + Σ a[k]*y[t-1-k]``."""
        made, loops, rest, term = self._begun()
        t, y, k = loops[0].name, made.name, self.loop(literal(self.pick(2, 3)), False)
        a = self.input((k.upper,), 0.4)
        read = f"{a.name}[{k.name}]*gc.pad({y}, 0{', dims=[0]' if rest else ''})[{t} - 1 - {k.name}{rest}]"
        self.emit(f"{y}[{t}{rest}]", "=", f"{term} + {self.close('gc.sum(' + read + ', over=', [k], ')')}")
        self.finish(made)

    def _gates(self) -> None:
        """Two tensors that refer to each other."""
        made, loops, rest, term = self._begun()
        other = Known(f"G{self.targets}", made.shape)
        t, h, c = loops[0].name, made.name, other.name
        self.lines.insert(0, f'{c} = gc.tensor("{c}")')
        self.emit(f"{c}[{t}{rest}]", "=", f"gc.sigmoid({term})*{c}[{t} - 1{rest}] + 0.5*gc.tanh({h}[{t} - 1{rest}])")
        x = self.input(made.shape)
        self.lines.append(f"{h}[{t}{rest}] = gc.tanh({c}[{t}{rest}])*{x.name}[{t}{rest}]")
        for name in (h, c):
            start = self.input(made.shape[1:])
            self.lines.append(f"{name}[-1{rest}] = {start.name}[{rest[2:] or '()'}]")
        self.known.append(other)
        self.finish(made)

    def _shifted(self) -> None:
        """``h[t+1] = f(h[t])`` from ``h[0]``."""
        self.begin()
        loops = [self.loop(declared=True)]
        loops[0].lower = 0
        if self.chance(0.5):
            loops.append(self.loop(declared=False))
            loops[1].plain = True
        made = self.target((loops[0].upper + 1, *(x.upper for x in loops[1:])))
        rest = "".join(f", {x.name}" for x in loops[1:])
        t, h = loops[0].name, made.name
        x, start = self.input(made.shape), self.input(made.shape[1:])
        self.emit(f"{h}[{t} + 1{rest}]", "=", f"gc.sin({h}[{t}{rest}])*{self.number(0.3, 0.9)} + {x.name}[{t}{rest}]")
        self.lines.append(f"{h}[0{rest}] = {start.name}[{rest[2:] or '()'}]")
        self.finish(made)

    def _wave(self) -> None:
        """A stencil in time of second order."""
        made, (steps, space), _, term = self._begun(True)
        u, q, i = made.name, steps.name, space.name
        mode = self.pick("clamp", "wrap", "reflect", "pad")
        view = f"gc.{mode}({u}{', 0' if mode == 'pad' else ''}, dims=[1])"
        start = self.input((space.upper,))
        laplace = f"{view}[{q} - 1, {i} - 1] - 2*{u}[{q} - 1, {i}] + {view}[{q} - 1, {i} + 1]"
        self.emit(f"{u}[{q}, {i}]", "=", f"2*{u}[{q} - 1, {i}] - {u}[{q} - 2, {i}] + 0.1*({laplace}) + {term}")
        self.lines += [f"{u}[-1, {i}] = {start.name}[{i}]", f"{u}[-2, {i}] = {self.number()}*{start.name}[{i}]"]
        self.finish(made)

    def _staggered(self) -> None:
        """Two stencils in time that look aside at each other, in the same step and in steps before."""
        made, (steps, space), _, term = self._begun(True)
        other = Known(f"G{self.targets}", made.shape)
        t, i, p, v = steps.name, space.name, made.name, other.name

        def near(name: str, *ages: int) -> str:
            view = self.pick(f"gc.pad({name}, 0)", f"gc.pad(gc.clamp({name}, dims=[1]), 0, dims=[0])")
            return f"{self.number(0.1, 0.4)}*{view}[{t} - {self.pick(*ages)}, {i} + {self.pick(-2, -1, 0, 1, 2)}]"

        self.lines.insert(0, f'{v} = gc.tensor("{v}")')
        self.emit(f"{v}[{t}, {i}]", "=", f"{near(p, 1)} - {near(p, 1, 2)} + {near(v, 1)} + {term}")
        x = self.input(made.shape)
        self.lines.append(f"{p}[{t}, {i}] = gc.sin({near(v, 0)}) - {near(v, 0, 1)} + {near(p, 1)} + {x.name}[{t}, {i}]")
        self.known.append(other)
        self.finish(made)
