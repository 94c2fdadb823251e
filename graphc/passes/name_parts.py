"""Parts of expressions that a gradient would repeat get names: nodes are shared in memory, but not in a text."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import sympy as sp

from graphc.analysis.legality import ensured
from graphc.analysis.touches import Path
from graphc.ir.dtypes import dtype_of, is_float
from graphc.ir.expr import Access, Call, Compare, Logical, Where
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.statement import Statement, rename, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, indices_of, postorder, substitute
from graphc.passes.part import either, part, paths
from graphc.passes.partials import partials

__all__ = ["LONG", "name_parts", "name_repeated"]

LONG = 60
"""Reads and operations in one line of a derivative up to which it stays whole."""
HUGE = 3000
"""The same, from which even parts are stored that have more elements than all that the statement reads and writes."""
_SMALL = 4
"""Reads and operations of a part that is worth a name."""


def name_parts(graph: Graph, active: Collection[str]) -> Graph:
    """Give parts that a derivative with respect to the `active` tensors repeats tensors of their own: ``y.exp``, ``y.sum`` …

    That is done where one line of the derivative would have more than 60 reads and operations, and twice as many as the right side has
    different ones: one part after the other, until the lines are short or nothing is repeated. Takes and returns a graph without nested
    reductions and boundary views.
    """
    tensors, known = dict(graph.by_name()), ensured(graph.checks)
    statements: list[Statement] = []
    for statement in graph.statements:
        if statement.target in active and _slopes(statement.value) > LONG:
            statements += _Naming(statement, active, tensors, known).run()
        else:
            statements.append(statement)
    if len(statements) == len(graph.statements):
        return graph
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(statements))


def name_repeated(graph: Graph) -> Graph:
    """Give parts that right sides repeat tensors of their own where written out they have more than 3,000 reads and operations, and four
    times as many as different ones. Takes and returns a graph without nested reductions and boundary views.
    """
    tensors, known = dict(graph.by_name()), ensured(graph.checks)
    statements: list[Statement] = []
    for statement in graph.statements:
        repeats = _written(statement.value) > max(HUGE, 4 * len(postorder(statement.value)))
        statements += _Naming(statement, (), tensors, known).run() if repeats else [statement]
    if len(statements) == len(graph.statements):
        return graph
    return replace(graph, tensors=tuple(tensors.values()), statements=tuple(statements))


class _Naming:
    """Takes one statement apart: the parts come first, the statement last."""

    def __init__(self, statement: Statement, active: Collection[str], tensors: dict[str, Tensor], known: tuple[sp.Expr, ...]) -> None:
        self.statements, self.active, self.tensors, self.known = [statement], {*active}, tensors, known
        self.parts: dict[str, Access] = {}
        self.words: dict[str, str] = {}
        self.room = [set(indices_of(a)) for a in accesses(statement.value)] + [set(statement.free)]

    def run(self) -> list[Statement]:
        found: tuple[sp.Expr, Path] | None
        while True:
            lines = self._lines()
            longest = max(_written(line) for line in lines)
            if longest <= max(LONG, 2 * self._distinct()):
                break
            right = [s.value for s in self.statements]
            found = self._repeated(right, longest > HUGE) or self._repeated(lines, longest > HUGE)
            if found is None:
                break
            self._name(*found)
        return self._numbered()

    def _numbered(self) -> list[Statement]:
        """The parts in the order in which they are computed, which their names count."""
        made = {s.target: s for s in self.statements[:-1]}
        done: dict[str, None] = {}
        while len(done) < len(made):
            done.update(dict.fromkeys(n for n, s in made.items() if n not in done and all(r in done for r in s.reads if r in made)))
        infos = {name: self.tensors.pop(name) for name in made}
        names = {}
        for name in done:
            names[name] = fresh_name(self.words[name], self.tensors)
            self.tensors[names[name]] = replace(infos[name], name=names[name])
        reads = {self.parts[n]: Access(names[n], *self.parts[n].subscripts) for n in done}
        renamed = (rename(s, reads) for s in (*(made[n] for n in done), self.statements[-1]))
        return [replace(s, target=names.get(s.target, s.target), order=_order(s, reads.values())) for s in renamed]

    def _distinct(self) -> int:
        return len({node for s in self.statements for node, size in _sizes(s.value).items() if size})

    def _lines(self) -> list[sp.Expr]:
        """The right sides, and the derivatives of those that are not too long themselves."""
        lines = [s.value for s in self.statements]
        if max(map(_written, lines)) > HUGE:
            return lines
        for s in self.statements:
            lines += partials(s.value, [a for a in accesses(s.value) if a.tensor in self.active], {}).values()
        return lines

    def _repeated(self, lines: list[sp.Expr], anything: bool) -> tuple[sp.Expr, Path] | None:
        """The part of the right sides whose name shortens the lines most, and the conditions under which it is evaluated."""
        times = _occurrences(lines)
        around: dict[sp.Basic, Path | None] = {}
        for s in self.statements:
            for node, path in paths(s.value).items():
                around[node] = either(around[node], path) if node in around else path
        whole = {node for s in self.statements for node in _named(s.value)}
        best: tuple[int, sp.Expr, Path] | None = None
        for node, path in around.items():
            if path is None or node in whole or not self._nameable(node, path, anything):
                continue
            saved = (times.get(node, 0) - 1) * (_written(node) - 1)
            if saved > 0 and (best is None or saved > best[0]):
                best = saved, node, path
        return best and best[1:]

    def _nameable(self, node: sp.Basic, path: Path, anything: bool) -> bool:
        if isinstance(node, Access | Compare | Logical) or _written(node) < _SMALL or (node.is_Mul and node.args[0].is_Number):
            return False
        needed = set(indices_of(node)).union(*(indices_of(c) for c, _ in path))
        return (anything or any(needed <= room for room in self.room)) and is_float(dtype_of(node, lambda n: self.tensors[n].dtype))

    def _name(self, node: sp.Expr, path: Path) -> None:
        last = self.statements[-1]
        why = "a part that would be repeated"
        made, read = part(node, path, last, _word(node), why, (), self.tensors, self.known)
        if self.active & {a.tensor for a in accesses(node)}:
            self.active.add(made.target)
        self.parts[made.target] = read
        self.words[made.target] = f"{last.target}.{_word(node)}"
        told = "a part that would be repeated has a tensor"
        self.statements = [made, *(revised(s, "name", told, value=substitute(s.value, {node: read})) for s in self.statements)]


def _order(statement: Statement, parts: Iterable[Access]) -> tuple[Access, ...]:
    found = set(accesses(statement.value))
    return tuple(dict.fromkeys(a for a in (*statement.order, *parts) if a in found))


def _named(value: sp.Expr) -> list[sp.Expr]:
    """The right side of a statement without the conditions under which it is not 0, one after the other."""
    found = [value]
    while isinstance(value, Where) and sp.Integer(0) in (value.value, value.other):
        value = value.other if value.value == 0 else value.value
        found.append(value)
    return found


def _word(node: sp.Expr) -> str:
    """What a part is called."""
    if isinstance(node, Call):
        return node.function
    if isinstance(node, sp.Pow):
        return {-1: "reciprocal", sp.Rational(1, 2): "sqrt", 2: "square"}.get(node.exp, "power")
    return "sum" if isinstance(node, sp.Add) else "product" if isinstance(node, sp.Mul) else "value"


def _sizes(value: sp.Basic) -> dict[sp.Basic, int]:
    """How many reads and operations the text of each part shows; what depends on no read, as the test of a boundary, is free."""
    sizes: dict[sp.Basic, int] = {}
    for node in postorder(value):
        inner = 0 if isinstance(node, Access) else sum(sizes[a] for a in node.args)
        boundary = isinstance(node, Where) and sizes[node.condition] == 0
        sizes[node] = inner + (isinstance(node, Access) or (inner > 0 and not boundary))
    return sizes


def _written(value: sp.Basic) -> int:
    return _sizes(value)[value]


def _slopes(value: sp.Expr) -> int:
    """An estimate from above of the nodes in a line of the derivative: each node's slope repeats the node about twice."""
    sizes, total = _sizes(value), dict[sp.Basic, int]()
    for node, size in sizes.items():
        total[node] = 0 if size <= 1 else 2 * size + sum(total[a] for a in node.args)
    return total[value]


def _occurrences(lines: Iterable[sp.Expr]) -> dict[sp.Basic, int]:
    """How often the texts of all lines together show each node."""
    times: dict[sp.Basic, int] = {}
    for line in lines:
        here = {line: 1}
        for node in reversed(postorder(line)):
            count = here.get(node, 0)
            if count and not isinstance(node, Access):
                for argument in node.args:
                    here[argument] = here.get(argument, 0) + count
        for node, count in here.items():
            times[node] = times.get(node, 0) + count
    return times
