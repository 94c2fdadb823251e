"""From what the user wrote to a graph, and back: derived graphs become ordinary tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import sympy as sp

from graphc.analysis.legality import check_program
from graphc.analysis.recurrence import hidden_slices
from graphc.errors import NotationError
from graphc.frontend.expression import shown
from graphc.frontend.infer import Inference
from graphc.frontend.location import here
from graphc.frontend.random import settled
from graphc.frontend.recorded import Exported, Recorded, warn
from graphc.frontend.rows import read_rows
from graphc.frontend.tensor import Contribution, Element, Tensor
from graphc.frontend.tensor import HandWritten as Written
from graphc.ir import origin
from graphc.ir.expr import Access, BoundaryAccess, undistributing
from graphc.ir.graph import Graph, HandWritten, fresh_name
from graphc.ir.show import expression, statement_body
from graphc.ir.statement import Range, Statement
from graphc.ir.tensor import Tensor as TensorInfo
from graphc.ir.tree import accesses, altered, rewrite

__all__ = ["Program", "collect", "current", "dependents", "export", "given", "parameters", "reachable", "shape_and_dtype", "with_rules"]


@dataclass(frozen=True, slots=True)
class Program:
    """A graph and the user's tensors behind its names."""

    graph: Graph
    handles: dict[str, Tensor]

    def name_of(self, tensor: Tensor) -> str:
        """The name in the graph of a tensor, or of what `graphc.vmap` made of it ("" if the graph contains neither)."""
        same = next((name for name, handle in self.handles.items() if handle is tensor), "")
        return same or next((name for name, handle in self.handles.items() if _descends(handle, tensor)), "")


def _sources(tensor: Tensor) -> list[Tensor]:
    return list(dict.fromkeys(source for s in tensor.statements for _, source in s.reads if source is not tensor))


def reachable(outputs: Iterable[Tensor]) -> list[Tensor]:
    """The outputs and what they depend on, each after what it reads where that is possible."""
    done: dict[Tensor, None] = {}
    entered: set[Tensor] = set()
    for root in outputs:
        stack: list[tuple[Tensor, bool]] = [(root, False)]
        while stack:
            tensor, complete = stack.pop()
            if complete:
                done.setdefault(tensor)
            elif tensor not in entered:
                entered.add(tensor)
                stack.append((tensor, True))
                stack.extend((source, False) for source in reversed(_sources(tensor)) if source not in entered)
    return list(done)


def given(outputs: Iterable[object]) -> list[Tensor]:
    """Inputs that the outputs do not read, of the programs from which they were derived: a gradient need not depend on what it is for.

    One of each name, and none with the name of an input that they do read.
    """
    members = reachable(t for t in outputs if isinstance(t, Tensor))
    taken = {t.name for t in members if not t.statements}
    found: dict[str, Tensor] = {}
    for tensor in dict.fromkeys(t for group in dict.fromkeys(m.given for m in members) for t in group):
        if tensor.name not in taken:
            found.setdefault(tensor.name, tensor)
    return list(found.values())


def current(outputs: Sequence[Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, or what the outputs read in the place of inputs to which `gc.vmap` gave a dimension."""
    members = dict.fromkeys(reachable(outputs))
    return [tensor if tensor in members else next((m for m in members if _descends(m, tensor)), tensor) for tensor in tensors]


def _descends(tensor: Tensor | None, ancestor: Tensor) -> bool:
    while tensor is not None and tensor is not ancestor:
        tensor = tensor.batched_from
    return tensor is ancestor


def shape_and_dtype(tensor: Tensor) -> tuple[tuple[sp.Expr, ...], str]:
    """Shape and dtype of one tensor, remembered until it is defined further."""
    if tensor.declared_shape is not None and (tensor.declared_dtype or not tensor.statements):
        return tensor.declared_shape, tensor.declared_dtype or "float32"
    if tensor.inferred is not None and tensor.inferred[0] == len(tensor.statements):
        return tensor.inferred[1:]
    members = reachable([tensor])
    found = Inference({member.key: member for member in members})
    for member in members:
        if member is not tensor and member.inferred is not None and member.inferred[0] == len(member.statements):
            found.shapes[member.key], found.dtypes[member.key] = member.inferred[1:]
    found.settle([member for member in members if member.key not in found.dtypes])
    for member in members:
        member.inferred = (len(member.statements), found.shapes[member.key], found.dtypes[member.key])
    return found.shapes[tensor.key], found.dtypes[tensor.key]


def with_rules(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs, what they depend on, and the hand-written gradients of these tensors."""
    members = reachable(outputs)
    while True:
        needed = [t for member in members for rule in member.rules for t in (rule.wrt, rule.adjoint, rule.result)]
        if set(needed) <= set(members):
            return members
        members = reachable([*members, *needed])


def _within_rules(members: Sequence[Tensor]) -> set[Tensor]:
    """The members that depend on what their hand-written gradients get: they stand for other tensors in every use."""
    return dependents(members, (rule.adjoint for member in members for rule in member.rules))


def dependents(members: Iterable[Tensor], sources: Iterable[Tensor]) -> set[Tensor]:
    """The sources, and the members whose statements read one of them, also where it does not count: under a condition that never holds."""
    users: dict[Tensor, list[Tensor]] = {}
    for member in members:
        for source in _sources(member):
            users.setdefault(source, []).append(member)
    found: set[Tensor] = set()
    waiting = [*sources]
    while waiting:
        tensor = waiting.pop()
        if tensor not in found:
            found.add(tensor)
            waiting += users.get(tensor, ())
    return found


def _check_pending(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        if tensor._open:
            tensor._open[0]._misused()


def _graph_names(tensors: Sequence[Tensor], verb: str) -> dict[str, str]:
    """Key → name; arguments keep their names, temporaries that share one are numbered."""
    names: dict[str, str] = {}
    inputs: dict[str, Tensor] = {}
    for tensor in tensors:
        if not tensor.statements and tensor.kind != "adjoint":
            other = inputs.setdefault(tensor.name, tensor)
            if other is not tensor:
                at = tuple((repr(t), t.name, t.location) for t in (other, tensor))
                raise NotationError(f"Two different inputs are called {tensor.name}.", at=at,
                                    fix="give one another name, or use one tensor for both.")
            if tensor.name == "out" and verb == "compile":
                raise NotationError("An input cannot be called out: f(…, out=…) names the arrays for the results.",
                                    at=((repr(tensor), "out", tensor.location),), fix="give it another name.")
            names[tensor.key] = tensor.name
    taken = set(names.values())
    for tensor in tensors:
        if tensor.key not in names:
            adjoint = tensor.kind == "adjoint"  # leaves the name T.grad to what takes its place
            name = fresh_name(f"{tensor.name.removesuffix('.grad')}.adjoint" if adjoint else tensor.name, taken)
            taken.add(name)
            names[tensor.key] = name
    return names


@dataclass(frozen=True, slots=True)
class _Renaming:
    """Gives tensors other names."""

    names: dict[str, str]

    def __call__(self, node: sp.Expr) -> sp.Expr:
        old = [a.tensor for a in accesses(node)]
        new = [self.names[name] for name in old]
        return node if old == new else _renamed(node, tuple(new))


@lru_cache(maxsize=50_000)
def _renamed(node: sp.Expr, names: tuple[str, ...]) -> sp.Expr:
    """The expression with other tensors in its accesses; cached because grad, loops and compile collect the same statements."""
    new = dict(zip((a.tensor for a in accesses(node)), names, strict=True))

    def rule(part: sp.Basic) -> sp.Basic | None:
        return altered(part, tensor=new[part.tensor]) if isinstance(part, Access | BoundaryAccess) else None

    return rewrite(node, rule)


def collect(outputs: Sequence[Tensor], verb: str, rules: bool = False) -> Program:
    """The graph of everything that `outputs` depend on, with ranges inferred and every access proved; freezes the tensors.

    With `rules`, also of hand-written gradients.

    Raises:
        NotationError, ShapeError, RangeError: the definitions do not make a program.
    """
    for output in outputs:
        _check_tensor(output, verb)
    members = with_rules(outputs) if rules else reachable(outputs)
    _check_pending(members)
    found = Inference({t.key: t for t in members})
    found.settle(members)
    names = _graph_names(members, verb)
    infos = tuple(
        TensorInfo(
            names[t.key], found.shapes[t.key], found.dtypes[t.key], "defined" if t.statements else t.kind, t.group or _group(t.name),
            t.init, t.every,
        )
        for t in members
    )
    graph = _checked(infos, members, names, found, tuple(names[o.key] for o in outputs))
    for tensor in members:
        tensor.frozen_by = tensor.frozen_by or verb
    if not rules:
        return Program(graph, {names[t.key]: t for t in members})
    written = tuple(
        HandWritten(names[t.key], *(names[part.key] for part in (rule.wrt, rule.adjoint, rule.result))) for t in members for rule in t.rules
    )
    inside = _within_rules(members)
    return Program(replace(graph, rules=written), {names[t.key]: t for t in members if t not in inside})


@undistributing
def _checked(
    infos: tuple[TensorInfo, ...], members: Sequence[Tensor], names: dict[str, str], found: Inference, outputs: tuple[str, ...]
) -> Graph:
    renamed = _Renaming(names)
    statements = tuple(
        _statement(s, renamed, found.ranges[t.key, position], found.dtypes[t.key])
        for t in members
        for position, s in enumerate(t.statements)
    )
    graph = read_rows(Graph(infos, statements, outputs))
    for s, view, dimension in hidden_slices(graph):
        warn(f"{statement_body(s)}\n  the initial slice is never read: {expression(view)} reads a view that covers dimension {dimension} "
             f"as well.\n  say which dimensions the view is for: dims=[…] without {dimension}.\n  at {s.location}", s.location)
    required = dict.fromkeys(check for t in members for check in t.required)
    return replace(graph, checks=(*check_program(graph), *required))


def parameters(*tensors: Tensor) -> list[Tensor]:
    """The tensors made by `graphc.parameter` that the given ones depend on, in the order in which they were made.

    >>> import graphc as gc
    >>> i, W, L = gc.index("i"), gc.parameter("W", 3), gc.tensor("L")
    >>> L[()] += W[i]**2
    >>> gc.parameters(L)
    [W(3)]
    """
    for tensor in tensors:
        _check_tensor(tensor, "parameters")
    found = [t for t in reachable(tensors) if t.kind == "parameter" and not t.statements]
    return sorted(found, key=lambda t: t.serial)


def _check_tensor(output: object, verb: str) -> None:
    if isinstance(output, Tensor):
        return
    if isinstance(output, Contribution):
        output._misused()
    text = f"{verb}({shown(output)})"
    whole = output.owner.name if isinstance(output, Element) else "L"
    raise NotationError(f"gc.{verb} takes tensors, not {shown(output)}.", at=((text, shown(output), here()),),
                        fix=f"pass the tensor itself, without subscripts: gc.{verb}({whole}).")


def _group(name: str) -> str:
    while name.endswith(".grad"):
        name = name[: -len(".grad")]
    return name.rpartition(".")[0]


def _statement(recorded: Recorded, renamed: _Renaming, ranges: tuple[Range, ...], dtype: str) -> Statement:
    known = recorded.exported
    if known is not None and known.in_names(renamed.names):
        return replace(known.statement, ranges=ranges, origin=recorded.origin)
    return Statement(
        renamed.names[recorded.target],
        tuple(map(renamed, recorded.subscripts)),
        recorded.op,
        settled(renamed(recorded.value), dtype),
        ranges,
        recorded.domain,
        tuple(renamed(a) for a, _ in recorded.reads if a.tensor in renamed.names),
        recorded.location,
        recorded.origin,
    )


@undistributing
def export(
    graph: Graph, handles: dict[str, Tensor], wanted: Sequence[str], verb: str = "grad", display: dict[str, str] | None = None
) -> list[Tensor]:
    """Make ordinary tensors of the statements of a derived graph; names in `handles` stay the user's tensors.

    `display` says how tensors are called where not by their names in the graph.
    """
    made = dict(handles)
    infos = graph.by_name()
    definitions = graph.definitions()
    given = tuple(dict.fromkeys(t for h in handles.values() for t in (h.given if h.statements or h.kind == "adjoint" else (h,))))
    for name in graph.order():
        if name not in made:
            info = infos[name]
            tensor = Tensor((display or {}).get(name, name), None, info.dtype, info.kind, info.init, info.group)
            tensor.declared_shape, tensor._rank, tensor.every = info.shape, len(info.shape), info.every
            made[name] = tensor
    renamed = _Renaming({name: tensor.key for name, tensor in made.items()})
    for name, statements in definitions.items():
        if name in handles:
            continue
        tensor = made[name]
        tensor.given = given
        for s in statements:
            found = _all_reads(s)
            order = tuple(dict.fromkeys((*(a for a in s.order if a in found), *found)))
            reads = {renamed(a): made[a.tensor] for a in order}
            tensor.statements.append(Recorded(
                tensor.key, tuple(map(renamed, s.subscripts)), s.op, renamed(s.value),
                tuple((r.index, r.lower, r.upper) for r in s.ranges), tuple(reads.items()), s.location, s.domain,
                s.origin and origin.Exported(s.origin, renamed.names),
                tuple(r.index for r in s.ranges), exported=Exported(replace(s, order=order), renamed.names),
            ))
        tensor.frozen_by = verb
    for rule in graph.rules:
        if rule.tensor in made and rule.tensor not in handles:
            made[rule.tensor].rules.append(Written(made[rule.wrt], made[rule.adjoint], made[rule.result]))
    required = tuple(check for check in graph.checks if check.kind == "required")
    for name in wanted:
        made[name].required = tuple(dict.fromkeys((*made[name].required, *required)))
    return [made[name] for name in wanted]


def _all_reads(statement: Statement) -> list[Access | BoundaryAccess]:
    return [a for part in (statement.value, *statement.subscripts) for a in accesses(part)]
