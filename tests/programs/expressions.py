"""Random expressions over the loops of a statement."""

from __future__ import annotations

from tests.programs.extents import literal
from tests.programs.scope import Loop, Scope, Subscript, plain_names

__all__ = ["Expressions", "factor"]


class Expressions(Scope):
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
                f"{factor(a)}*{factor(b)}",
                f"{factor(a)}*{factor(b)}",
                f"{factor(a)}/(1.3 + {factor(b)}**2)",
                f"gc.maximum({a}, {b} + {self.offset()})",
                f"gc.minimum({a}, {b} - {self.offset()})",
                f"gc.hypot({a}, 0.9 + {factor(b)}**2)",
                f"gc.atan2({a}, 1.4 + {factor(b)}**2)",
                f"(1.2 + {factor(a)}**2)**gc.tanh({b})",
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
        f, c = factor(e), self.offset()
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
            f"gc.ceil({e} - {c})",
            f"gc.clip({e}, -{f}**2 - {c}, {f}**2 + 0.1)",
            f"gc.leaky_relu({e} + {c}, gc.sin({f}))",
            f"gc.elu({e} - {c}, 1.3)",
            f'gc.function("swish", lambda x: x*gc.sigmoid(x))({e})',
            f'gc.function("cube", lambda x: x**3, grad=lambda x, y: 3*x**2)(gc.tanh({e}))',
        )

    def conditional(self, scope: list[Loop], depth: int, reducing: bool) -> str:
        if scope and self.rarely(0.1):
            return self.masked(scope, depth)
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

    def masked(self, scope: list[Loop], depth: int) -> str:
        """A gather that only conditions make legal, one within another; the integer points outside elsewhere, or is no element itself."""
        table = self.input((self.extent(),))
        n, loop = table.shape[0].at(self.sizes), self.masks.choice(scope)
        early = self.rarely(0.4)
        loop.used = True
        loop.plain = loop.plain or not early
        table.reads += 1
        integers = self.input((loop.upper,), integers=n + 2, lowest=-2)
        pointer = f"{integers.name}[{loop.name}{' - 1' if early else ''}]"
        tests = [f"{pointer} >= 0", f"{pointer} < {table.shape[0]}"]
        self.masks.shuffle(tests)
        tests = [" & ".join(f"({x})" for x in tests)] if self.rarely(0.4) else tests
        if early:
            loop.declared = True
            tests.insert(0, f"{loop.name} >= 1")
        read = f"{table.name}[{pointer}]"
        value = self.masks.choice((read, f"{factor(self.access(scope))}*{read}", f"gc.sin({read})"))
        if self.rarely(0.4):
            tests.append(self.masks.choice((f"{read} > {self.offset()}", self.condition(scope, 0))))
        elif self.rarely(0.3):
            tests.insert(self.masks.randrange(len(tests)), self.condition(scope, 0))
        other = self.masks.choice(("0", "0", self.number(-1, 1), self.access(scope)))
        for test in reversed(tests):
            value = f"gc.where({test}, {value}, {other})"
        return value

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
        plain = plain_names(head)
        for loop in bound:
            loop.declared = loop.declared or loop.name not in plain
        names = ", ".join(x.name for x in bound)
        return f"{head}{names if len(bound) == 1 else f'({names})'}{tail}"

    def reduction(self, scope: list[Loop], depth: int) -> str:
        size = len([x for x in self.loops if x in scope])
        if size >= 4:
            return self.leaf(scope, False)
        op = self.pick("sum", "sum", "sum", "mean", "prod", "max", "min", "logsumexp", "argmax", "softmax", "logsum", "norm", "any")
        if op in ("softmax", "logsum", "norm"):
            return self.naive(op, scope)
        bound = [self.loop() for _ in range(2 if size < 3 and self.chance(0.25) else 1)]
        if op == "any":
            inner = self.condition([*scope, *bound])
            return "(0.3*" + self.close(f"gc.{self.pick('any', 'all')}({inner}, over=", bound, ")") + ")"
        skipping = op in ("sum", "prod", "mean", "logsumexp") and self.chance(0.5)
        body = self.expression([*scope, *bound], depth - 1, op in ("sum", "prod") or (skipping and op != "mean"))
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
        return f"gc.exp({self.access(scope)})/{factor(total)}"


def factor(text: str) -> str:
    """The text in parentheses unless it binds tightly already."""
    depth = 0
    for position, letter in enumerate(text):
        depth += letter in "(["
        depth -= letter in ")]"
        if depth == 0 and (letter in " */+-" or (position == 0 and letter == "-")):
            return f"({text})"
    return text
