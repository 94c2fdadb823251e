"""Reverse-mode differentiation: a graph becomes the graph of its adjoints, made of the same loops.

Per distinct read ``X[g]`` of a statement ``T[f] op e``: ``X.grad[g] += T.grad[f] · R · ∂e/∂X[g]`` on the same loops and domain,
where R is 1 for sums and assignments, selects the extremum for max and min, is ``exp(e - T)`` for logsumexp and the product of the
other factors for prod. (Griewank and Walther, Evaluating Derivatives, 2008, chapter 3, for the reverse sweep over a statement.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from graphc.errors import DifferentiationError
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Call, Compare, Index, Logical, Where, accesses, build, postorder, substitute
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph, fresh_names, reads
from graphc.ir.show import expression, statement_body
from graphc.ir.statement import Range, Statement, plain_ranges, zeros
from graphc.ir.tensor import Tensor

__all__ = ["differentiate", "partials"]

_ONE, _ZERO = sp.Integer(1), sp.Integer(0)


def differentiate(graph: Graph, output: str, wrt: Sequence[str], seed: str | None = None) -> tuple[Graph, dict[str, str]]:
    """Extend a graph without nested reductions and boundary views by the adjoints of `wrt`.

    Args:
        graph: the forward program.
        output: the tensor that is differentiated; a scalar unless `seed` is given.
        wrt: tensors of the graph.
        seed: name of a tensor of the output's shape that is multiplied with the derivative; None stands for 1.

    Returns:
        The graph with additional tensors ``X.grad`` and statements, and the name of the adjoint of each tensor in `wrt`.
    """
    worker = _Reverse(graph, output, tuple(wrt), seed)
    worker.run()
    return worker.result(), {name: worker.adjoint_name(name) for name in wrt}


@dataclass
class _Reverse:
    graph: Graph
    output: str
    wrt: tuple[str, ...]
    seed: str | None
    statements: list[Statement] = field(default_factory=list)
    added: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = self.graph.by_name()
        self.definitions = self.graph.definitions()
        self.active = self._active()
        self.read_count = self._read_counts()
        self.tensors_reached: set[str] = {self.output}

    def _active(self) -> set[str]:
        """Float tensors that depend on `wrt` and that the output depends on."""
        users: dict[str, list[str]] = {}
        for s in self.graph.statements:
            for name in reads(s):
                users.setdefault(name, []).append(s.target)
        below = _closure(self.wrt, lambda n: users.get(n, ()))
        above = _closure([self.output], lambda n: (r for s in self.definitions[n] for r in reads(s)))
        return {n for n in below & above if is_float(self.tensors[n].dtype)}

    def _read_counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for s in self.graph.statements:
            if s.target in self.active:
                for access in accesses(s.value):
                    counts[access.tensor] = counts.get(access.tensor, 0) + 1
        return counts

    # ---------------------------------------------------------------------------------------------------- names
    def adjoint_name(self, name: str) -> str:
        if name not in self.names:
            self.names[name] = self.new_tensor(f"{name}.grad", self.tensors[name].shape, self.tensors[name].dtype, self.tensors[name].group)
        return self.names[name]

    def new_tensor(self, wanted: str, shape: tuple[sp.Expr, ...], dtype: str, group: str) -> str:
        name = fresh_names([wanted], (*self.tensors, *self.added))[wanted]
        self.added[name] = Tensor(name, shape, dtype, "defined", group)
        return name

    def adjoint(self, statement: Statement) -> sp.Expr:
        """``T.grad[f]`` for the left side of a statement."""
        if statement.target == self.output and self.seed is None and self.output not in self.wrt:
            return _ONE
        return Access(self.adjoint_name(statement.target), *statement.subscripts)

    # ---------------------------------------------------------------------------------------------------- sweep
    def run(self) -> None:
        self._start()
        waiting = [name for name in reversed(self.graph.order()) if name in self.active]
        progress = True
        while progress:
            # Outside of a recurrence one round suffices; inside, a tensor may be reached by one that is treated after it.
            progress = False
            for name in tuple(waiting):
                if name in self.tensors_reached:
                    for statement in self.definitions[name]:
                        self._statement(statement)
                    waiting.remove(name)
                    progress = True
        for name in self.wrt:
            if name not in self.tensors_reached:
                self._zero(name)

    def _start(self) -> None:
        if self.seed is None and self.output not in self.wrt:
            return
        ranges = plain_ranges(self.tensors[self.output].shape)
        subscripts = tuple(r.index for r in ranges)
        value: sp.Expr = _ONE if self.seed is None else Access(self.seed, *subscripts)
        self.statements.append(
            Statement(
                self.adjoint_name(self.output),
                subscripts,
                "+=" if ranges else "=",
                value,
                ranges,
                (),
                (value,) if isinstance(value, Access) else (),
                None,
                ("seed",),
            )
        )

    def _zero(self, name: str) -> None:
        self.statements.append(zeros(self.adjoint_name(name), self.tensors[name].shape, (f"{self.output} does not depend on {name}",)))

    def _statement(self, statement: Statement) -> None:
        targets = [a for a in accesses(statement.value) if isinstance(a, Access) and a.tensor in self.active]
        if not targets:
            return
        factor, extra_order = self._factor(statement)
        value = statement.value
        known = self._recovered(statement)
        shared = self._shared(statement, targets, factor, known)
        if shared is not None:
            return
        for access, partial in partials(value, targets, known).items():
            self._contribute(statement, access, factor(partial), extra_order)

    def _contribute(self, statement: Statement, access: Access, value: sp.Expr, extra_order: tuple[Access, ...]) -> None:
        if value == 0:
            return
        self.tensors_reached.add(access.tensor)
        adjoint = self.adjoint(statement)
        known = self._recovered(statement)
        order = tuple(a for a in (adjoint, *extra_order, *statement.order, *known.values()) if isinstance(a, Access))
        outer = self.output if adjoint == 1 else expression(adjoint)
        origin = f"from {statement_body(statement)}: {access.tensor}.grad += {outer} · ∂/∂{expression(access)}"
        self.statements.append(
            Statement(
                self.adjoint_name(access.tensor),
                access.subscripts,
                "+=",
                value,
                statement.loops,
                statement.domain,
                order,
                statement.location,
                (*statement.origin, origin),
            )
        )

    # ------------------------------------------------------------------------------------- sharing and recovery
    def _recovered(self, statement: Statement) -> dict[sp.Basic, sp.Expr]:
        """The value of the whole right side is the tensor itself, where that saves work: σ' = y(1-y)."""
        whole = statement.value
        single = statement.op == "=" and all(s.op == "=" for s in self.definitions[statement.target])
        costly = isinstance(whole, Call) or (isinstance(whole, sp.Pow) and not (whole.exp.is_Integer and whole.exp > 0))
        return {whole: Access(statement.target, *statement.subscripts)} if single and costly else {}

    def _shared(self, statement: Statement, targets: list[Access], factor: _Factor, known: dict[sp.Basic, sp.Expr]) -> _Factor | None:
        """Let several reads share the adjoint of the sum they enter together, if one of them is a tensor that is read nowhere else:
        its adjoint *is* that shared value."""
        if len(targets) < 2 or statement.op not in ("=", "+="):
            return None
        node = _pre_activation(statement.value, targets)
        if node is None or node is statement.value:
            return None
        loops = tuple(r.index for r in statement.loops)
        suitable = [
            a
            for a in targets
            if a in node.args
            and sum(a in accesses(part) for part in node.args) == 1
            and self.read_count[a.tensor] == 1
            and not self.tensors[a.tensor].is_input
            and a.tensor != self.output
            and set(a.subscripts) == set(loops)
            and len(a.subscripts) == len(loops)
        ]
        if not suitable:
            return None
        carrier = min(suitable, key=lambda a: statement.order.index(a) if a in statement.order else len(statement.order))
        outer = partials(statement.value, [node], known).get(node, _ZERO)
        self._contribute(statement, carrier, factor(outer), ())
        common = Access(self.adjoint_name(carrier.tensor), *carrier.subscripts)
        rest = [a for a in targets if a is not carrier]
        for access, partial in partials(node, rest, {}).items():
            if partial == 0:
                continue
            self.tensors_reached.add(access.tensor)
            origin = f"from {statement_body(statement)}: shares {expression(common)} with {expression(carrier)}"
            self.statements.append(
                Statement(
                    self.adjoint_name(access.tensor),
                    access.subscripts,
                    "+=",
                    _times(common, partial),
                    statement.loops,
                    statement.domain,
                    (common, *statement.order),
                    statement.location,
                    (*statement.origin, origin),
                )
            )
        return factor

    # ----------------------------------------------------------------------------------------------- reductions
    def _factor(self, statement: Statement) -> tuple[_Factor, tuple[Access, ...]]:
        """How a partial derivative becomes a contribution, depending on the reduction."""
        adjoint = self.adjoint(statement)
        op = statement.op
        if op in ("=", "+="):
            return _Factor(adjoint), ()
        result = Access(statement.target, *statement.subscripts)
        if op == "logsumexp":
            return _Factor(adjoint, build(lambda: Call("exp", statement.value - result))), (result,)
        if op in ("max", "min"):
            arg = self._argument(statement)
            return _Factor(adjoint, condition=Compare("==", arg, _position(statement))), (arg,)
        if op in ("max_split", "min_split"):
            count = self._ties(statement, result)
            return _Factor(build(lambda: adjoint / count), condition=Compare("==", statement.value, result)), (result, count)
        if op == "prod":
            others = self._exclusive(statement)
            return _Factor(adjoint, build(lambda: sp.Mul(*others))), tuple(others)
        raise DifferentiationError(f"The reduction {op} has no derivative.", at=((statement_body(statement), "", statement.location),))

    def _argument(self, statement: Statement) -> Access:
        target = self.tensors[statement.target]
        name = self.new_tensor(f"{statement.target}.arg", target.shape, "int64", target.group)
        self.statements.append(
            replace(statement, target=name, op=f"arg{statement.op}", origin=(*statement.origin, f"which element is the {statement.op}"))
        )
        found: Access = Access(name, *statement.subscripts)
        return found

    def _ties(self, statement: Statement, result: Access) -> Access:
        target = self.tensors[statement.target]
        name = self.new_tensor(f"{statement.target}.ties", target.shape, target.dtype, target.group)
        value = Where(Compare("==", statement.value, result), _ONE, _ZERO)
        self.statements.append(
            replace(statement, target=name, op="+=", value=value, origin=(*statement.origin, "how many elements share the extremum"))
        )
        found: Access = Access(name, *statement.subscripts)
        return found

    def _exclusive(self, statement: Statement) -> list[Access]:
        """Products over the terms before and behind the current one, in the lexicographic order of the reduced indices."""
        target = self.tensors[statement.target]
        reduced = [statement.range_of(i) for i in statement.reduced]
        fresh = {r.index: Index(f"{r.index}_") for r in reduced}
        inner = tuple(Range(fresh[r.index], r.lower, r.upper) for r in reduced)
        free = tuple(statement.range_of(i) for i in statement.free)
        found = []
        for label, sign in (("before", 1), ("after", -1)):
            for level in range(len(reduced)):
                domain: list[sp.Expr] = []
                for r in reduced[:level]:
                    domain += [r.index - fresh[r.index], fresh[r.index] - r.index]
                here = reduced[level].index
                domain.append(sign * (here - fresh[here]) - 1)
                outer = (*free, *reduced[: level + 1])
                inside = tuple(i for i, r in zip(inner, reduced, strict=True) if r in reduced)
                value = substitute(statement.value, dict(fresh))
                kept_domain = tuple(substitute(d, dict(fresh)) for d in statement.domain)
                shape = tuple(r.upper for r in outer)
                name = self.new_tensor(f"{statement.target}.{label}", shape, target.dtype, target.group)
                subscripts = tuple(r.index for r in outer)
                self.statements.append(
                    Statement(
                        name,
                        subscripts,
                        "prod",
                        value,
                        (*outer, *inside),
                        (*kept_domain, *(sp.expand(d) for d in domain)),
                        tuple(substitute(a, dict(fresh)) for a in statement.order),
                        statement.location,
                        (*statement.origin, f"the factors {label} the current one"),
                    )
                )
                found.append(Access(name, *subscripts))
        return found

    # --------------------------------------------------------------------------------------------------- result
    def result(self) -> Graph:
        return replace(
            self.graph,
            tensors=(*self.graph.tensors, *self.added.values()),
            statements=(*self.graph.statements, *self.statements),
            outputs=(*self.graph.outputs, *(self.adjoint_name(n) for n in self.wrt)),
        )


@dataclass(frozen=True)
class _Factor:
    """Turns ∂e/∂X into the contribution: ``adjoint · scale · partial`` where `condition` holds."""

    adjoint: sp.Expr
    scale: sp.Expr = _ONE
    condition: sp.Expr | None = None

    def __call__(self, partial: sp.Expr) -> sp.Expr:
        value = _under_condition(partial, lambda p: build(lambda: self.adjoint * self.scale * p))
        return value if self.condition is None else Where(self.condition, value, _ZERO)


def _times(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return build(lambda: a * b)


def _under_condition(partial: sp.Expr, function: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    """Apply a product inside of a lazy condition: ``where(c, g·p, 0)``, so that what is not taken is not evaluated."""
    if isinstance(partial, Where):
        return Where(partial.condition, _under_condition(partial.value, function), _under_condition(partial.other, function))
    return _ZERO if partial == 0 else function(partial)


def _position(statement: Statement) -> sp.Expr:
    """The row-major position of the reduced indices."""
    position: sp.Expr = _ZERO
    for index in statement.reduced:
        r = statement.range_of(index)
        position = sp.expand(position * r.extent + index - r.lower)
    return position


def _closure(start: Iterable[str], neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(neighbours(name))
    return found


def _pre_activation(value: sp.Expr, targets: list[Access]) -> sp.Expr | None:
    """The smallest sum that contains all targets and enters the rest of the expression once."""
    best: sp.Expr | None = None
    for part in postorder(value):
        if isinstance(part, sp.Add) and set(targets) <= set(accesses(part)):
            best = part
            break
    if best is None:
        return None
    rest = substitute(value, {best: sp.Symbol("_pre")})
    return None if any(t in accesses(rest) for t in targets) else best


# ------------------------------------------------------------------------------------------------------ scalar reverse sweep


def partials(value: sp.Expr, targets: Sequence[sp.Expr], known: dict[sp.Basic, sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    """∂value/∂t for every target sub-expression, by one reverse sweep over the expression.

    Args:
        value: an expression without reductions.
        targets: sub-expressions that are treated as independent variables.
        known: values that have been computed already and replace a recomputation.
    """
    return _sweep(value, set(targets), known, list(targets))


def _sweep(value: sp.Expr, targets: set[sp.Expr], known: dict[sp.Basic, sp.Expr], order: list[sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    adjoint: dict[sp.Basic, list[sp.Expr]] = {value: [_ONE]}
    result: dict[sp.Expr, list[sp.Expr]] = {}
    relevant: dict[sp.Basic, bool] = {}
    nodes = list(postorder(value))
    for node in nodes:
        relevant[node] = node in targets or any(relevant[a] for a in node.args)
    for node in reversed(nodes):
        if node not in adjoint or not relevant[node]:
            continue
        total = _added(adjoint.pop(node))
        if node in targets:
            result.setdefault(node, []).append(total)
            continue
        if isinstance(node, Where):
            for branch, wrapped in ((node.value, True), (node.other, False)):
                for target, partial in _sweep(branch, targets, known, order).items():
                    product = _chained(total, partial)
                    pair = (product, _ZERO) if wrapped else (_ZERO, product)
                    result.setdefault(target, []).append(Where(node.condition, *pair))
            continue
        for argument, local in _locals(node, known):
            if relevant[argument] and local != 0:
                adjoint.setdefault(argument, []).append(_chained(total, local))
    return {t: _added(result[t]) for t in order if t in result}


def _chained(total: sp.Expr, local: sp.Expr) -> sp.Expr:
    return _under_condition(local, lambda p: _scaled(total, p))


def _scaled(total: sp.Expr, local: sp.Expr) -> sp.Expr:
    return _under_condition(total, lambda t: build(lambda: t * local)) if isinstance(total, Where) else build(lambda: total * local)


def _added(terms: list[sp.Expr]) -> sp.Expr:
    """The sum of contributions; conditions with equal tests are joined so that they stay lazy."""
    rest = list(terms)
    first = rest[0]
    for other in rest[1:]:
        if isinstance(first, Where) and isinstance(other, Where) and first.condition == other.condition:
            first = Where(first.condition, _added([first.value, other.value]), _added([first.other, other.other]))
        else:
            first = build(lambda a=first, b=other: a + b)  # type: ignore[misc]
    return first


def _locals(node: sp.Basic, known: dict[sp.Basic, sp.Expr]) -> list[tuple[sp.Basic, sp.Expr]]:
    """(argument, ∂node/∂argument) pairs."""
    y: sp.Expr = known.get(node, node)
    if isinstance(node, sp.Add):
        return [(a, _ONE) for a in node.args]
    if isinstance(node, sp.Mul):
        return [(a, build(lambda k=k: sp.Mul(*node.args[:k], *node.args[k + 1 :]))) for k, a in enumerate(node.args)]  # type: ignore[misc]
    if isinstance(node, sp.Pow):
        return _power_locals(node, y)
    if isinstance(node, Call):
        row = FUNCTIONS[node.function]
        if row.derivative is not None:
            return [(a, build(lambda r=rule: r(*node.arguments, y))) for a, rule in zip(node.arguments, row.derivative, strict=True)]  # type: ignore[misc]
        assert row.expansion is not None
        symbols = [sp.Symbol(f"_argument{k}") for k in range(row.arity)]
        body = build(lambda: row.expansion(*symbols))  # type: ignore[misc]
        slopes = _sweep(body, set(symbols), {}, list(symbols))
        back = dict(zip(symbols, node.arguments, strict=True))
        return [(a, substitute(slopes.get(s, _ZERO), back)) for s, a in zip(symbols, node.arguments, strict=True)]
    if isinstance(node, Compare | Logical | Index) or not node.args:
        return []
    return [(a, _ZERO) for a in node.args]


def _power_locals(node: sp.Pow, y: sp.Expr) -> list[tuple[sp.Basic, sp.Expr]]:
    base, exponent = node.base, node.exp
    if y is not node and exponent == sp.Rational(1, 2):
        slope = build(lambda: 1 / (2 * y))
    elif y is not node and exponent == -1:
        slope = build(lambda: -(y**2))
    elif y is not node and exponent == sp.Rational(-1, 2):
        slope = build(lambda: -(y**3) / 2)
    else:
        slope = build(lambda: exponent * base ** (exponent - 1))
    pairs: list[tuple[sp.Basic, sp.Expr]] = [(base, slope)]
    if not exponent.is_number:
        grows = build(lambda: y * Call("log", base))
        pairs.append((exponent, Where(Compare("==", base, _ZERO), _ZERO, grows)))
    return pairs
