"""Named rewrites that remove overflow and cancellation: softmax, logsumexp, log1p, expm1, softplus, sigmoid.

All of them are identities of the real numbers. They run before differentiation, so that the derivative is stable as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import sympy as sp

from graphc.ir.expr import Access, Call, Index, build
from graphc.ir.graph import Graph, fresh_name
from graphc.ir.origin import Part
from graphc.ir.statement import Statement, revised
from graphc.ir.tensor import Tensor
from graphc.ir.tree import postorder, rewrite, substitute

__all__ = ["RULES", "Rule", "stabilise", "unstable"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite of one expression node; `apply` returns None where it does not match."""

    name: str
    example: str
    apply: Callable[[sp.Basic], sp.Expr | None]


def _call(node: sp.Basic, name: str) -> sp.Expr | None:
    return node.arguments[0] if isinstance(node, Call) and node.function == name else None


def _join_exp(node: sp.Basic) -> sp.Expr | None:
    """Only where it removes a quotient of exponentials: products of two positive powers stay as written."""
    if not isinstance(node, sp.Mul):
        return None
    powers = [(f, *_exponent(f)) for f in node.args if _exponent(f)[0] is not None]
    if len(powers) < 2 or all(sign > 0 for _, _, sign in powers):
        return None
    rest = [f for f in node.args if _exponent(f)[0] is None]
    exponent = build(lambda: sp.Add(*(sign * e for _, e, sign in powers)))  # type: ignore[operator]
    return build(lambda: sp.Mul(*rest, Call("exp", exponent)))


def _exponent(factor: sp.Basic) -> tuple[sp.Expr | None, int]:
    inner = _call(factor, "exp")
    if inner is not None:
        return inner, 1
    if isinstance(factor, sp.Pow) and factor.exp.is_Integer and factor.exp < 0:
        inner = _call(factor.base, "exp")
        return (inner * -factor.exp, -1) if inner is not None else (None, 1)
    return None, 1


def _sigmoid(node: sp.Basic) -> sp.Expr | None:
    """1/(1 + exp(u)) → sigmoid(-u)."""
    if (
        isinstance(node, sp.Pow)
        and node.exp == -1
        and isinstance(node.base, sp.Add)
        and len(node.base.args) == 2
        and sp.Integer(1) in node.base.args
    ):
        other = next(a for a in node.base.args if a != 1)
        inner, sign = _exponent(other)
        if inner is not None:
            return Call("sigmoid", build(lambda: -sign * inner))
    return None


def _sigmoid_quotient(node: sp.Basic) -> sp.Expr | None:
    """exp(u)*sigmoid(-u) → sigmoid(u)."""
    if not isinstance(node, sp.Mul):
        return None
    for factor in node.args:
        inner = _call(factor, "sigmoid")
        if inner is not None:
            for other in node.args:
                exponent = _call(other, "exp")
                if exponent is not None and sp.expand(exponent + inner) == 0:
                    rest = [f for f in node.args if f is not factor and f is not other]
                    return build(lambda: sp.Mul(*rest, Call("sigmoid", exponent)))  # noqa: B023
    return None


def _log_exp(node: sp.Basic) -> sp.Expr | None:
    inner = _call(node, "log")
    return None if inner is None else _call(inner, "exp")


def _log_sigmoid(node: sp.Basic) -> sp.Expr | None:
    inner = _call(node, "log")
    logit = None if inner is None else _call(inner, "sigmoid")
    return None if logit is None else build(lambda: -Call("softplus", -logit))


def _log_reciprocal(node: sp.Basic) -> sp.Expr | None:
    inner = _call(node, "log")
    return build(lambda: -Call("log", inner.base)) if isinstance(inner, sp.Pow) and inner.exp == -1 else None


def _log_product(node: sp.Basic) -> sp.Expr | None:
    inner = _call(node, "log")
    if not isinstance(inner, sp.Mul):
        return None
    known = [f for f in inner.args if _call(f, "exp") is not None or _call(f, "sigmoid") is not None]
    rest = [f for f in inner.args if f not in known]
    logs = [_log_of(Call("log", f)) for f in known] + ([Call("log", sp.Mul(*rest))] if rest else [])
    return build(lambda: sp.Add(*logs)) if known else None


def _softplus(node: sp.Basic) -> sp.Expr | None:
    rest = _beside_one(node) or _call(node, "log1p")
    if rest is None:
        return None
    logit = _call(build(lambda: -rest), "sigmoid")
    exponent = _call(rest, "exp")
    return build(lambda: -Call("softplus", logit)) if logit is not None else None if exponent is None else Call("softplus", exponent)


def _log1p(node: sp.Basic) -> sp.Expr | None:
    rest = _beside_one(node)
    return None if rest is None else Call("log1p", rest)


def _beside_one(node: sp.Basic) -> sp.Expr | None:
    """u of log(1 + u)."""
    inner = _call(node, "log")
    if isinstance(inner, sp.Add) and sp.Integer(1) in inner.args:
        return build(lambda: sp.Add(*(a for a in inner.args if a != 1)))
    return None


def _expm1(node: sp.Basic) -> sp.Expr | None:
    if isinstance(node, sp.Add) and sp.Integer(-1) in node.args:
        for term in node.args:
            inner = _call(term, "exp")
            if inner is not None:
                rest = [a for a in node.args if a != -1 and a is not term]
                return build(lambda: sp.Add(*rest, Call("expm1", inner)))  # noqa: B023
    return None


def _one_minus_sigmoid(node: sp.Basic) -> sp.Expr | None:
    if isinstance(node, sp.Add) and len(node.args) == 2 and sp.Integer(1) in node.args:
        other = next(a for a in node.args if a != 1)
        inner = _call(-other, "sigmoid")
        if inner is not None:
            return Call("sigmoid", build(lambda: -inner))
    return None


_LOGARITHMS = (
    Rule("log of exp", "log(exp(u)) → u", _log_exp),
    Rule("log of sigmoid", "log(sigmoid(u)) → -softplus(-u)", _log_sigmoid),
    Rule("log of reciprocal", "log(1/x) → -log(x)", _log_reciprocal),
    Rule("log of product", "log(exp(u)*x) → u + log(x)", _log_product),
    Rule("softplus", "log(1 + exp(u)) → softplus(u)", _softplus),
    Rule("log1p", "log(1 + u) → log1p(u)", _log1p),
)

RULES = (
    Rule("exp quotient", "exp(a)/exp(b) → exp(a - b)", _join_exp),
    Rule("sigmoid", "1/(1 + exp(-u)) → sigmoid(u)", _sigmoid),
    Rule("sigmoid quotient", "exp(u)/(1 + exp(u)) → sigmoid(u)", _sigmoid_quotient),
    *_LOGARITHMS,
    Rule("expm1", "exp(u) - 1 → expm1(u)", _expm1),
    Rule("one minus sigmoid", "1 - sigmoid(u) → sigmoid(-u)", _one_minus_sigmoid),
)


def _log_of(node: sp.Basic) -> sp.Expr | None:
    """A logarithm in another form."""
    return next((new for rule in _LOGARITHMS if (new := rule.apply(node)) is not None), None)


def _scalar_rules(statement: Statement) -> Statement:
    return _revised(statement, *_stable(statement.value))


@lru_cache(maxsize=20_000)
def _stable(value: sp.Expr) -> tuple[sp.Expr, tuple[Rule, ...]]:
    """Another form of an expression, and the rules that led to it; cached because grad and compile ask again."""
    applied: dict[Rule, None] = {}

    def rule(part: sp.Basic) -> sp.Basic | None:
        current: sp.Basic = part
        for _ in range(8):
            for candidate in RULES:
                new = candidate.apply(current)
                if new is not None and new != current:
                    current = new
                    applied.setdefault(candidate)
                    break
            else:
                break
        return None if current is part else current

    return rewrite(value, rule), tuple(applied)


def _revised(statement: Statement, value: sp.Expr, applied: Iterable[Rule]) -> Statement:
    """The statement with another right side, which remembers the rules."""
    rules = tuple(applied)
    return revised(statement, " and ".join(r.name for r in rules), ", ".join(r.example for r in rules), value=value)


@lru_cache(maxsize=20_000)
def unstable(value: sp.Expr) -> bool:
    """Whether a rule may apply."""
    return any(isinstance(part, Call) and part.function in ("exp", "log", "sigmoid") for part in postorder(value))


def stabilise(graph: Graph) -> Graph:
    """Apply the rules to every statement, and across statements: a tensor ``S = Σ exp(e)`` that is divided by or whose logarithm is
    taken gets a companion ``S.log = logsumexp(e)``, and the logarithm of a tensor that is an exponential reads its exponent.

    Takes and returns a graph without nested reductions.
    """
    if not any(unstable(s.value) for s in graph.statements):
        return graph
    for _ in range(4):
        before = graph
        graph = replace(graph, statements=tuple(_scalar_rules(s) for s in graph.statements))
        graph = _across(graph)
        if graph == before:
            break
    return graph


def _across(graph: Graph) -> Graph:
    """Rewrites that need the definition of another tensor: an exponential that was stored, a sum of exponentials."""
    tensors = dict(graph.by_name())
    definitions = graph.definitions()
    written = {rule.tensor for rule in graph.rules}  # whose definition must not be read through
    single = {n: d[0] for n, d in definitions.items() if len(d) == 1 and n not in written}
    stored = {n: s for n, s in single.items() if _is_exponential(s, tensors[n])}
    sums = {n: replace(s, value=Call("exp", e)) for n, s in single.items() if (e := _summed_exponent(s, tensors[n], stored)) is not None}
    if not sums and not stored:
        return graph
    companions: dict[str, str] = {}
    new_statements: list[Statement] = []

    def companion(name: str) -> str:
        if name not in companions:
            existing = _existing_companion(name, sums[name], definitions)
            if existing is None:
                existing = fresh_name(f"{name}.log", tensors)
                source = tensors[name]
                tensors[existing] = Tensor(existing, source.shape, source.dtype, "defined", source.group)
                s = sums[name]
                value, origin = _log_of(Call("log", s.value)), Part(f"the logarithm of {name}, without overflow", s)
                new_statements.append(replace(s, target=existing, op="logsumexp", value=value, origin=origin))
            companions[name] = existing
        return companions[name]

    applied: dict[Rule, None] = {}

    def rule(part: sp.Basic) -> sp.Basic | None:
        for candidate in rules:
            new = candidate.apply(part)
            if new is not None:
                applied.setdefault(candidate)
                return new
        return None

    def treated(s: Statement) -> Statement:
        if stored.keys().isdisjoint(s.reads) and sums.keys().isdisjoint(s.reads):
            return s
        applied.clear()
        return _revised(s, rewrite(s.value, rule), applied)

    def log_of_sum(part: sp.Basic) -> sp.Expr | None:
        inner = _call(part, "log")
        if isinstance(inner, Access) and inner.tensor in sums:
            return Access(companion(inner.tensor), *inner.subscripts)
        return None

    def log_of_stored(part: sp.Basic) -> sp.Expr | None:
        inner = _call(part, "log")
        if isinstance(inner, Access) and inner.tensor in stored:
            return _log_of(Call("log", _defining_value(stored[inner.tensor], inner)))
        return None

    def log1p_of_stored(part: sp.Basic) -> sp.Expr | None:
        inner = _call(part, "log1p")
        if inner is not None and isinstance(inner, Access) and (exponent := _exponent_in(inner, stored)) is not None:
            return Call("softplus", exponent)
        return None

    def log1p_of_negative(part: sp.Basic) -> sp.Expr | None:
        inner = _call(part, "log1p")
        access = None if inner is None else -inner
        if not isinstance(access, Access) or access.tensor not in stored:
            return None
        logit = _call(_defining_value(stored[access.tensor], access), "sigmoid")
        return None if logit is None else build(lambda: -Call("softplus", logit))

    def softmax(part: sp.Basic) -> sp.Expr | None:
        return _quotient(part, sums, stored, companion) if isinstance(part, sp.Mul) else None

    rules = (
        Rule("logsumexp", "log(Σ exp(e)) → logsumexp(e)", log_of_sum),
        Rule("log of stored exp", "log(P) → e where P = exp(e)", log_of_stored),
        Rule("softplus of stored exp", "log(1 + P) → softplus(e) where P = exp(e)", log1p_of_stored),
        Rule("softplus of stored sigmoid", "log(1 - P) → -softplus(e) where P = sigmoid(e)", log1p_of_negative),
        Rule("softmax", "exp(e)/Σ exp(f) → exp(e - logsumexp(f))", softmax),
    )
    statements = tuple(map(treated, graph.statements))
    return replace(graph, tensors=tuple(tensors.values()), statements=(*statements, *new_statements))


def _quotient(
    product: sp.Mul, sums: dict[str, Statement], stored: dict[str, Statement], companion: Callable[[str], str]
) -> sp.Expr | None:
    """exp(e)/S → exp(e - S.log) for a sum S of exponentials."""
    for factor in product.args:
        if isinstance(factor, sp.Pow) and factor.exp == -1 and isinstance(factor.base, Access) and factor.base.tensor in sums:
            found = [(f, e) for f in product.args if (e := _exponent_in(f, stored)) is not None]
            if found:
                exponential, exponent = found[0]
                log = Access(companion(factor.base.tensor), *factor.base.subscripts)
                rest = [f for f in product.args if f is not factor and f is not exponential]
                return build(lambda: sp.Mul(*rest, Call("exp", exponent - log)))  # noqa: B023
    return None


def _exponent_in(node: sp.Basic, stored: dict[str, Statement]) -> sp.Expr | None:
    """e if the node is exp(e), or reads a tensor that holds exp(e)."""
    if isinstance(node, Access) and node.tensor in stored:
        return _call(_defining_value(stored[node.tensor], node), "exp")
    return _call(node, "exp")


def _summed_exponent(statement: Statement, target: Tensor, stored: dict[str, Statement]) -> sp.Expr | None:
    """e of a statement ``S[i] += exp(e)`` over the whole tensor: the logarithm of what nothing is added to is not 0."""
    if statement.op != "+=" or not statement.reduced or not _is_whole(statement, target):
        return None
    return _exponent_in(statement.value, stored)


def _is_exponential(statement: Statement, target: Tensor) -> bool:
    """``P[i, j] = exp(e)`` or ``sigmoid(e)`` on distinct plain indices over the whole tensor."""
    exponential = _call(statement.value, "exp") is not None or _call(statement.value, "sigmoid") is not None
    return statement.op == "=" and exponential and _is_whole(statement, target)


def _is_whole(statement: Statement, target: Tensor) -> bool:
    """Whether the left side is of distinct plain indices and hits every element of the tensor once."""
    if statement.domain or len(set(statement.subscripts)) != len(statement.subscripts):
        return False
    if not all(isinstance(s, Index) for s in statement.subscripts):
        return False
    ranges = [statement.range_of(s) for s in statement.subscripts]
    return all(r.lower == 0 and sp.expand(r.upper - e) == 0 for r, e in zip(ranges, target.shape, strict=True))


def _defining_value(statement: Statement, access: Access) -> sp.Expr:
    return substitute(statement.value, dict(zip(statement.subscripts, access.subscripts, strict=True)))


def _existing_companion(name: str, statement: Statement, definitions: Mapping[str, tuple[Statement, ...]]) -> str | None:
    wanted = _log_of(Call("log", statement.value))
    for other, found in definitions.items():
        if (
            other != name
            and len(found) == 1
            and found[0].op == "logsumexp"
            and found[0].value == wanted
            and found[0].subscripts == statement.subscripts
            and found[0].ranges == statement.ranges
            and found[0].domain == statement.domain
        ):
            return other
    return None
