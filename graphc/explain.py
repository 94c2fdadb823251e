"""How each line of a derived program came about, as text and as LaTeX: the only file that puts derivations into words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.analysis.injectivity import injective
from graphc.compile import optimised
from graphc.frontend.collect import Program, collect
from graphc.frontend.tensor import Tensor
from graphc.ir.affine import linear, nonnegative
from graphc.ir.expr import Access, FloorDiv, Index, indices_of, rewrite, substitute, undistributing
from graphc.ir.graph import Graph, reads
from graphc.ir.latex import expression_latex, statement_latex
from graphc.ir.origin import Derivative, Exported, Given, Part, Rewrite, Solution, Tangent
from graphc.ir.show import Order, conditions, expression, statement, statement_body
from graphc.ir.statement import Statement
from graphc.picture.scene import wrapped
from graphc.text import Formulas, Text

__all__ = ["Entry", "Explanation", "Step", "derivations", "explain"]

_LABEL, _WIDTH = 13, 110


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a derivation: what it is called, and what it says, in loop notation and in LaTeX."""

    label: str
    text: str
    latex: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a program, in loop notation and in LaTeX, and the steps that led to it."""

    line: str
    latex: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [self.line]
        for step in self.steps:
            for position, part in enumerate(wrapped(step.text, _WIDTH - 4 - _LABEL)):
                lines.append(f"    {'' if position else step.label:<{_LABEL}}{part}".rstrip())
        return "\n".join(lines)


class Explanation(Text):
    """The derivations of some lines; its text is what is printed, a notebook typesets its formulas.

    Attributes:
        entries: the lines with their steps, in the order of `graphc.loops`.
    """

    entries: tuple[Entry, ...]

    def __new__(cls, entries: Sequence[Entry]) -> Explanation:
        made = super().__new__(cls, "\n\n".join(map(str, entries)))
        made.entries = tuple(entries)
        return made

    def latex(self) -> Formulas:
        """The same as LaTeX."""
        rows = []
        for entry in self.entries:
            rows.append(f"& {entry.latex}")
            if entry.steps:
                steps = " \\\\\n".join(rf"  & {_words(step.label)} && {step.latex}" for step in entry.steps)
                rows.append("& \\quad \\begin{aligned}\n" + steps + "\n\\end{aligned}")
        return Formulas("\n".join([r"\begin{aligned}", " \\\\\n".join(rows), r"\end{aligned}"]))

    def _repr_latex_(self) -> str:
        return self.latex()._repr_latex_()


@undistributing
def explain(*tensors: Tensor) -> Explanation:
    """How the lines that define the tensors came about.

    For each derived line: the statement and the read that it comes from, the factor of the chain rule, the equation of a left subscript
    with its solution, the resulting ranges, and each rewrite with its result. Of what the user wrote, the lines that the compiler
    rewrites are shown (softmax without overflow, for example), for the given tensors and what they are computed from.

    Args:
        tensors: gradients, other derived tensors, or tensors that the user defined.

    Returns:
        A text with the attribute `entries` and the method ``latex()``.

    Raises:
        GraphcError: the definitions do not make a program.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, y, L = gc.tensor("x", gc.dim("N")), gc.tensor("y"), gc.tensor("L")
    >>> y[i] = gc.tanh(x[i])
    >>> L[()] += y[i]**2
    >>> print(gc.explain(gc.grad(L, x)).entries[1])  # doctest: +ELLIPSIS
    for i:  x.grad[i] += y.grad[i]*(1 - y[i]**2)
        from         y[i] = tanh(x[i])   (...)
        read         x[i]
        chain rule   x.grad[i] += y.grad[i] · ∂y[i]/∂x[i]
        factor       ∂y[i]/∂x[i] = 1 - y[i]**2
        range        0 <= i < N
    """
    chosen = [t for given in tensors for t in (given if isinstance(given, list | tuple) else [given])]
    program = collect(chosen, "explain")
    graph = program.graph
    asked = dict.fromkeys(graph.outputs)
    forward = _below(graph, [name for name in asked if not _derived(graph, name)])
    definitions = graph.definitions()
    writer = _Explainer(program)
    entries = []
    for name in graph.order():
        for s in definitions[name]:
            entry = writer.entry(s)
            if s.origin is not None or name in asked or (name in forward and entry.steps):
                entries.append(entry)
        if not definitions[name] and name in asked:
            entries.append(Entry(f"{name} is an input of the program", rf"{_words(f'{name} is an input of the program')}", ()))
    return Explanation(entries)


def derivations(program: Program) -> Callable[[Statement], str]:
    """What `explain` says about a line of a program, without what the compiler makes of it."""
    writer = _Explainer(program, compiled=False)
    return lambda line: str(writer.entry(line))


def _derived(graph: Graph, name: str) -> bool:
    return any(s.origin is not None for s in graph.statements if s.target == name)


def _below(graph: Graph, names: Sequence[str]) -> set[str]:
    """The tensors and all that they are computed from."""
    definitions = graph.definitions()
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(source for s in definitions[name] for source in reads(s))
    return found


# ------------------------------------------------------------------------------------------------------------------ derivations


class _Explainer:
    """Puts the records of statements into words, in the names of one program."""

    def __init__(self, program: Program, compiled: bool = True) -> None:
        self.graph = program.graph
        self.names = {tensor.key: name for name, tensor in program.handles.items()}
        self.later: dict[int, list[list[Statement]]] = {}
        self.shown: set[tuple[str, str]] = set()
        """Pairs (a line, what it was rewritten into) of earlier entries."""
        self.kept: set[str] = set()
        if compiled:
            final = optimised(self.graph)
            self.kept = {s.target for s in final.statements}
            lines = frozenset(map(id, self.graph.statements))
            for name in final.order():
                for s in final.definitions()[name]:
                    chain = _chain(s, lines)
                    self.later.setdefault(id(chain[0]), []).append(chain)

    def entry(self, line: Statement) -> Entry:
        steps = list(self.before(line))
        seen = {id(line)}
        for chain in self.later.get(id(line), ()):
            steps += _steps([s for s in chain if id(s) not in seen], True)
            seen |= set(map(id, chain))
            self.shown |= {(_body(line), _body(s)) for s in chain if line.origin is None}
        if self.kept and line.target not in self.kept:
            steps.append(_told("unused", f"nothing reads {line.target} any more, so it is not computed"))
        where = f"   ({line.location.short})" if line.origin is None and line.location else ""
        return Entry(statement(line) + where, _formula(line), tuple(steps))

    def before(self, line: Statement) -> list[Step]:
        """What led to a line of the program."""
        origin, mapping = line.origin, {}
        if isinstance(origin, Exported):
            mapping = {old: new for old, key in origin.keys.items() if (new := self.names.get(key, old)) != old}
            origin = origin.origin
        if isinstance(origin, Given):
            return [_told("given", origin.what)]
        root, *rest = _renamed(_chain(replace(line, origin=origin)), mapping)
        if not rest:
            return []
        where = f"   ({root.location.short})" if root.location else ""
        steps = [Step("from", _body(root) + where, _formula(root) + _words(where))]
        birth = next((k for k, s in enumerate(rest) if isinstance(s.origin, Derivative)), 0)
        if birth:
            pair = _body(root), _body(rest[birth - 1])
            if pair in self.shown:
                steps += [_result(rest[birth - 1], "as above")] if len(set(pair)) == 2 else []
                rest = rest[birth:]
            elif self.kept:
                self.shown.add(pair)
        steps += _steps(rest, False)
        if any(isinstance(s.origin, Derivative) for s in rest):
            steps += [*_left_side(line), *_ranges(line)]
        return steps


def _chain(last: Statement, lines: frozenset[int] = frozenset()) -> list[Statement]:
    """The statements that led to one; the first is a line of a program (the ids of those that are known to be are in `lines`)."""
    chain = [last]
    while id(chain[-1]) not in lines and isinstance(origin := chain[-1].origin, Rewrite | Part | Derivative | Tangent | Solution):
        chain.append(origin.source)
    return chain[::-1]


def _renamed(chain: list[Statement], mapping: Mapping[str, str]) -> list[Statement]:
    """The statements with tensors called by other names; the last one has them already, except in its record."""
    if not mapping:
        return chain

    def named(node: sp.Expr) -> sp.Expr:
        return rewrite(node, lambda p: Access(mapping.get(p.tensor, p.tensor), *p.subscripts) if isinstance(p, Access) else None)

    found: list[Statement] = []
    for s in chain:
        origin = s.origin
        if isinstance(origin, Derivative):
            carrier, inner = (part and named(part) for part in (origin.carrier, origin.inner))
            origin = Derivative(found[-1], named(origin.access), named(origin.adjoint), named(origin.value), carrier, inner)
        elif isinstance(origin, Tangent):
            origin = Tangent(found[-1], tuple((named(read), named(change)) for read, change in origin.changes))
        if s is not chain[-1]:
            s = replace(s, target=mapping.get(s.target, s.target), subscripts=tuple(map(named, s.subscripts)), value=named(s.value),
                        order=tuple(map(named, s.order)))
        found.append(replace(s, origin=origin))
    return found


def _steps(chain: Sequence[Statement], complete: bool) -> Iterator[Step]:
    """What the records of the statements say, and the statements themselves; the last one only if `complete`."""
    for position, s in enumerate(chain):
        following = chain[position + 1].origin if position + 1 < len(chain) else None
        if isinstance(s.origin, Rewrite) and _body(s) == _body(s.origin.source):
            continue
        if not (position and _same_rule(s, chain[position - 1])):
            yield from _record(s)
        if following is None and not complete:
            return
        if not isinstance(following, Solution) and not (following and _same_rule(chain[position + 1], s)):
            yield _result(s)


def _same_rule(s: Statement, before: Statement) -> bool:
    match s.origin, before.origin:
        case Rewrite(name, rule, _), Rewrite(other, its, _):
            return name == other and rule is its
    return False


def _result(s: Statement, label: str = "") -> Step:
    return Step(label, f"→ {_body(s)}", rf"\to\ {_formula(s)}")


def _record(s: Statement) -> Iterator[Step]:
    """One step of the derivation of a statement, without its result."""
    match s.origin:
        case Rewrite(name, rule, _):
            if isinstance(rule, str):
                yield _told("rewrite", f"{name}: {rule}")
            else:
                yield from (Step("rewrite", f"{name}: {_body(r)}", rf"{_words(f'{name}: ')} {_formula(r)}") for r in rule)
        case Part(what, _):
            yield _told("part", what)
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


def _left_side(line: Statement) -> Iterator[Step]:
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


def _ranges(line: Statement) -> Iterator[Step]:
    """The loops over the left side, then those that are summed over, as many as fit into a line."""
    outer: list[Index] = []
    for label, indices in (("range", line.free), ("sum over", line.reduced)):
        row: list[tuple[str, str]] = []
        for index in indices:
            told = _limits(line, index, outer)
            outer.append(index)
            if row and sum(len(text) + 2 for text, _ in (*row, told)) > _WIDTH - _LABEL - 4:
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


def _body(s: Statement) -> str:
    return statement(s) if s.domain else statement_body(s)


def _formula(s: Statement) -> str:
    """The statement as LaTeX, without the mark at which equations are aligned."""
    return statement_latex(s).replace(" &", " ", 1)


def _told(label: str, text: str) -> Step:
    return Step(label, text, _words(text))


def _math(label: str, text: str, latex: str, order: Order, *nodes: sp.Basic) -> Step:
    """A step whose text and LaTeX have the same parts; a scalar is written without its empty subscripts."""
    return Step(label, text.format(*(expression(n, order).replace("[()]", "") for n in nodes)),
                latex.format(*(expression_latex(n, order) for n in nodes)))


_SIGNS = {"→": r"$\to$", "Σ": r"$\Sigma$", "±": r"$\pm$", "_": r"\_", "^": r"\^{}", "%": r"\%", "&": r"\&", "#": r"\#"}


def _words(text: str) -> str:
    """Words inside of a formula."""
    return rf"\text{{{''.join(_SIGNS.get(sign, sign) for sign in text)}}}" if text else ""


def _inequality(text: str) -> str:
    return text.replace("<=", r" \le ").replace("==", " = ").replace("<", " < ").replace("*", " ")
