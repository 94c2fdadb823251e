"""How each line of a derived program came about, as text and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import sympy as sp

from graphc.compile import optimised
from graphc.frontend.collect import Program, collect
from graphc.ir.expr import Access, undistributing
from graphc.ir.graph import Graph, reads
from graphc.ir.origin import Derivative, Exported, Given, Origin, Part, Rewrite, Solution, Tangent
from graphc.ir.show import statement
from graphc.ir.statement import Statement
from graphc.ir.tree import rewrite
from graphc.picture.scene import wrapped
from graphc.requests import shown_tensors
from graphc.views.derivation import LABEL, WIDTH, Step, body_of, formula_of, in_words, left_side, ranges, result, steps_of, words
from graphc.views.text import Formulas, Text

__all__ = ["Entry", "Explanation", "Step", "derivations", "explain"]



@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a program, in loop notation and in LaTeX, and the steps that led to it."""

    line: str
    latex: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [self.line]
        for step in self.steps:
            for position, part in enumerate(wrapped(step.text, WIDTH - 4 - LABEL)):
                lines.append(f"    {'' if position else step.label:<{LABEL}}{part}".rstrip())
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
                steps = " \\\\\n".join(rf"  & {words(step.label)} && {step.latex}" for step in entry.steps)
                rows.append("& \\quad \\begin{aligned}\n" + steps + "\n\\end{aligned}")
        return Formulas("\n".join([r"\begin{aligned}", " \\\\\n".join(rows), r"\end{aligned}"]))

    def _repr_latex_(self) -> str:
        return self.latex()._repr_latex_()


@undistributing
def explain(*tensors: Any) -> Explanation:
    """How the lines that define the tensors came about.

    For each derived line: the statement and the read that it comes from, the factor of the chain rule, the equation of a left subscript
    with its solution, the resulting ranges, and each rewrite with its result. Of what the user wrote, the lines that the compiler
    rewrites are shown (softmax without overflow, for example), for the given tensors and what they are computed from.

    Args:
        tensors: gradients, other derived tensors, or tensors that the user defined; also lists, tuples and dicts of them.

    Returns:
        A text with the attribute `entries` and the method ``latex()``.

    Raises:
        NotationError: there is no tensor.
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
    program = collect(shown_tensors(tensors, "explain"), "explain")
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
            entries.append(Entry(f"{name} is an input of the program", rf"{words(f'{name} is an input of the program')}", ()))
    return Explanation(entries)


def derivations(program: Program, brief: bool = False) -> Callable[[Statement], str]:
    """What `explain` says about a line of a program, without what the compiler makes of it; if `brief`, only what it comes from."""
    writer = _Explainer(program, compiled=False)
    return cache(writer.brief if brief else lambda line: str(writer.entry(line)))


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
        self.lines = set(program.graph.statements)
        """What is explained in an entry, or has been as the origin of one."""
        self.names = {tensor.key: name for name, tensor in program.handles.items()}
        self.mappings: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}
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
            steps += steps_of([s for s in chain if id(s) not in seen], True)
            seen |= set(map(id, chain))
            self.shown |= {(body_of(line), body_of(s)) for s in chain if line.origin is None}
        if self.kept and line.target not in self.kept:
            steps.append(in_words("unused", f"nothing reads {line.target} any more, so it is not computed"))
        where = f"   ({line.location.short})" if line.origin is None and line.location else ""
        return Entry(statement(line) + where, formula_of(line), tuple(steps))

    def brief(self, line: Statement) -> str:
        """A line of the program and what it comes from."""
        root, *rest = self.chain(line)
        where = f"   ({root.location.short})" if root.location else ""
        return statement(line) + (f"\nfrom {body_of(root)}" if rest else "") + where

    def chain(self, line: Statement) -> list[Statement]:
        """The statements that led to a line of the program, in the names of the program."""
        origin: Origin | None = line.origin
        mapping: Mapping[str, str] = {}
        if isinstance(origin, Exported):
            mapping = self.mapping(origin.keys)
            origin = origin.origin
        return _renamed(_chain(replace(line, origin=origin)), mapping)

    def mapping(self, keys: Mapping[str, str]) -> Mapping[str, str]:
        """The names of another program → those of this one, where they differ; found once for each other program."""
        if id(keys) not in self.mappings:
            self.mappings[id(keys)] = keys, {old: new for old, key in keys.items() if (new := self.names.get(key, old)) != old}
        return self.mappings[id(keys)][1]

    def before(self, line: Statement) -> list[Step]:
        """What led to a line of the program."""
        root, *rest = self.chain(line)
        if not rest and isinstance(root.origin, Given):
            return [in_words("given", root.origin.what)]
        if not rest:
            return []
        where = f"   ({root.location.short})" if root.location else ""
        steps = [Step("from", body_of(root) + where, formula_of(root) + words(where))]
        if root.origin is not None and root not in self.lines:
            if self.kept:
                self.lines |= {root}
            steps = [*self.before(root), result(root)]
        birth = next((k for k, s in enumerate(rest) if isinstance(s.origin, Derivative)), 0)
        if birth:
            pair = body_of(root), body_of(rest[birth - 1])
            if pair in self.shown:
                steps += [result(rest[birth - 1], "as above")] if len(set(pair)) == 2 else []
                rest = rest[birth:]
            elif self.kept:
                self.shown.add(pair)
        steps += steps_of(rest, False)
        if any(isinstance(s.origin, Derivative) for s in rest):
            steps += [*left_side(line), *ranges(line)]
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
