"""One step after the other of a derivation, put into words and into formulas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from graphc.analysis.injectivity import injective
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, FloorDiv, Index
from graphc.ir.latex import expression_latex, statement_latex
from graphc.ir.origin import Derivative, Part, Rewrite, Solution, Tangent
from graphc.ir.show import Order, conditions, expression, statement, statement_body
from graphc.ir.statement import Statement
from graphc.ir.tree import indices_of, substitute

__all__ = ["LABEL", "WIDTH", "Step", "body_of", "formula_of", "in_words", "left_side", "ranges", "result", "steps_of", "words"]

LABEL, WIDTH = 13, 110
"""Columns of the label of a step, and of a line."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a derivation: what it is called, and what it says, in loop notation and in LaTeX."""

    label: str
    text: str
    latex: str


def steps_of(chain: Sequence[Statement], complete: bool) -> Iterator[Step]:
    """What the records of the statements say, and the statements themselves; the last one only if `complete`."""
    for position, s in enumerate(chain):
        following = chain[position + 1].origin if position + 1 < len(chain) else None
        if isinstance(s.origin, Rewrite) and body_of(s) == body_of(s.origin.source):
            continue
        if not (position and _same_rule(s, chain[position - 1])):
            yield from _record(s)
        if following is None and not complete:
            return
        if not isinstance(following, Solution) and not (following and _same_rule(chain[position + 1], s)):
            yield result(s)


def _same_rule(s: Statement, before: Statement) -> bool:
    match s.origin, before.origin:
        case Rewrite(name, rule, _), Rewrite(other, its, _):
            return name == other and rule is its
    return False


def result(s: Statement, label: str = "") -> Step:
    return Step(label, f"→ {body_of(s)}", rf"\to\ {formula_of(s)}")


def _record(s: Statement) -> Iterator[Step]:
    """One step of the derivation of a statement, without its result."""
    match s.origin:
        case Rewrite(name, rule, _):
            if isinstance(rule, str):
                yield in_words("rewrite", f"{name}: {rule}")
            else:
                yield from (Step("rewrite", f"{name}: {body_of(r)}", rf"{words(f'{name}: ')} {formula_of(r)}") for r in rule)
        case Part(what, _):
            yield in_words("part", what)
        case Derivative() as record:
            yield from _chain_rule(s, record)
        case Tangent(source, changes):
            yield from _change(s, source, changes)
        case Solution(source, subscript, fresh, index, solution):
            order = Order.of(source)
            if fresh == index:
                yield _math("shift", "{} → {}", r"{} \to {}", order, index, solution)
                return
            old = source.range_of(index)
            where = conditions(((solution - old.lower).expand(), (old.upper - 1 - solution).expand()), Order.of(s))
            yield _math("equation", "{} = {}  ⇒  {} = {}", r"{} = {} \;\Rightarrow\; {} = {}", order, fresh, subscript, index, solution)
            yield Step("condition", " and ".join(where), r" \text{ and } ".join(map(_inequality, where)))


def _chain_rule(s: Statement, record: Derivative) -> Iterator[Step]:
    order = Order.of(s)
    left = Access(s.target, *record.access.subscripts)
    whole: sp.Expr = Access(record.source.target, *record.source.subscripts)
    yield _math("read", "{}", "{}", order, record.access)
    if record.carrier is not None and record.inner is not None:
        whole = record.inner
        yield _math("shared", "{} enters the same sum as {}, so {} is the adjoint of that sum",
                    r"{} \text{{ enters the same sum as }} {}, \text{{ so }} {} \text{{ is the adjoint of that sum}}",
                    order, record.access, record.carrier, record.adjoint)
    above, over = ("({})", r"\left({}\right)") if isinstance(whole, sp.Add) else ("{}", "{}")
    ratio, fraction = f"∂{above}/∂{{}}", rf"\frac{{{{\partial {over}}}}}{{{{\partial {{}}}}}}"
    outer = () if record.adjoint == 1 else (record.adjoint,)
    yield _math("chain rule", "{} += " + "{} · " * len(outer) + ratio, r"{} \mathrel{{+}}= " + r"{} \cdot " * len(outer) + fraction,
                order, left, *outer, whole, record.access)
    slope = substitute(record.value, {record.adjoint: sp.Integer(1)}) if outer else record.value
    yield _math("factor", ratio + " = {}", fraction + " = {}", order, whole, record.access, slope)


def _change(s: Statement, source: Statement, changes: Sequence[tuple[Access, Access]]) -> Iterator[Step]:
    """The chain rule of forward mode, whose sum may be spread over several lines."""
    whole = Access(source.target, *source.subscripts)
    ratio, fraction = "∂{}/∂{} · {}", r"\frac{{\partial {}}}{{\partial {}}} \cdot {}"
    op, sign = ("=", "=") if s.op == "=" else ("+=", r"\mathrel{{+}}=")
    yield _math("chain rule", f"{{}} {op} " + " + ".join([ratio] * len(changes)), f"{{}} {sign} " + " + ".join([fraction] * len(changes)),
                Order.of(s), Access(s.target, *s.subscripts), *(node for read, change in changes for node in (whole, read, change)))


def left_side(line: Statement) -> Iterator[Step]:
    """Why a left side that is no list of indices stays as it is."""
    data = [s for s in line.subscripts if linear(s) is None]
    if data:
        yield _math("scatter", "{} is data, so there is no equation to solve: it stays a scatter",
                    r"{} \text{{ is data, so there is no equation to solve: it stays a scatter}}", Order.of(line), data[0])
        return
    compound = [s for s in line.subscripts if indices_of(s) and not isinstance(s, Index)]
    if compound:
        once = injective(line.subscripts, [r for r in line.ranges if r.index in line.free], line.domain)
        told = "hits each element once: the loops stay" if once else "may hit an element several times: the loops stay, and run in order"
        order = Order.of(line)
        yield Step("left side", f"{', '.join(expression(s, order) for s in compound)} {told}",
                   rf"{', '.join(expression_latex(s, order) for s in compound)} \text{{ {told}}}")


# ----------------------------------------------------------------------------------------------------------------------- ranges


def ranges(line: Statement) -> Iterator[Step]:
    """The loops over the left side, then those that are summed over, as many as fit into a line."""
    outer: list[Index] = []
    for label, indices in (("range", line.free), ("sum over", line.reduced)):
        row: list[tuple[str, str]] = []
        for index in indices:
            told = _limits(line, index, outer)
            outer.append(index)
            if row and sum(len(text) + 2 for text, _ in (*row, told)) > WIDTH - LABEL - 4:
                yield _row(label, row)
                label, row = "", []
            row.append(told)
        if row:
            yield _row(label, row)


def _row(label: str, told: Sequence[tuple[str, str]]) -> Step:
    return Step(label, ", ".join(text for text, _ in told), r",\; ".join(formula for _, formula in told))


def _limits(line: Statement, index: Index, outer: Sequence[Index]) -> tuple[str, str]:
    """The bounds of a loop inside of other loops, as text and as LaTeX."""
    r = line.range_of(index)
    facts = tuple(c for other in line.loops if other.index in outer for c in other.constraints())
    lower, upper = [r.lower], [r.upper]
    for condition in line.domain:
        form = linear(condition)
        if form is None or not form.coefficient(index) or not set(indices_of(condition)) <= {*outer, index}:
            continue
        factor = form.coefficient(index)
        rest = sp.expand(condition - factor * index)
        if factor > 0:
            lower.append(FloorDiv(factor - 1 - rest, factor))
        else:
            upper.append(FloorDiv(rest, -factor) + 1)
    order = Order.of(line)
    texts, formulas = [], []
    for name, bounds, sign in (("max", lower, 1), ("min", upper, -1)):
        kept = _strongest([sp.expand(b) for b in bounds], sign, facts)
        text, formula = (", ".join(show(b, order) for b in kept) for show in (expression, expression_latex))
        texts.append(f"{name}({text})" if len(kept) > 1 else text)
        formulas.append(rf"\{name}({formula})" if len(kept) > 1 else formula)
    symbol = expression_latex(index)
    return f"{texts[0]} <= {index} < {texts[1]}", rf"{formulas[0]} \le {symbol} < {formulas[1]}"


def _strongest(bounds: Sequence[sp.Expr], sign: int, facts: tuple[sp.Expr, ...]) -> list[sp.Expr]:
    """The bounds that no other one implies; the largest of lower bounds (sign 1), the smallest of upper ones."""
    kept = list(dict.fromkeys(bounds))
    for b in tuple(kept):
        if any(nonnegative(sign * (other - b), facts) for other in kept if other is not b):
            kept.remove(b)
    return kept


# ------------------------------------------------------------------------------------------------------------------------- words


def body_of(s: Statement) -> str:
    return _body(s, s.order)


def formula_of(s: Statement) -> str:
    """The statement as LaTeX, without the mark at which equations are aligned."""
    return _formula(s, s.order)


@lru_cache(maxsize=20_000)
def _body(s: Statement, _: tuple[Access, ...]) -> str:
    """Kept, because a statement stands in the derivations of all that comes from it; the order of its reads shows."""
    return statement(s) if s.domain else statement_body(s)


@lru_cache(maxsize=20_000)
def _formula(s: Statement, _: tuple[Access, ...]) -> str:
    return statement_latex(s).replace(" &", " ", 1)


def in_words(label: str, text: str) -> Step:
    return Step(label, text, words(text))


def _math(label: str, text: str, latex: str, order: Order, *nodes: sp.Basic) -> Step:
    """A step whose text and LaTeX have the same parts; a scalar is written without its empty subscripts."""
    return Step(label, text.format(*(expression(n, order).replace("[()]", "") for n in nodes)),
                latex.format(*(expression_latex(n, order) for n in nodes)))


_SIGNS = {"→": r"$\to$", "Σ": r"$\Sigma$", "±": r"$\pm$", "_": r"\_", "^": r"\^{}", "%": r"\%", "&": r"\&", "#": r"\#"}


def words(text: str) -> str:
    """Words inside of a formula."""
    return rf"\text{{{''.join(_SIGNS.get(sign, sign) for sign in text)}}}" if text else ""


def _inequality(text: str) -> str:
    return text.replace("<=", r" \le ").replace("==", " = ").replace("<", " < ").replace("*", " ")
