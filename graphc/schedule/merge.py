"""Loops over the same range become one, and elements that one iteration writes and reads stay in variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.ir.affine import nonnegative
from graphc.ir.expr import Access
from graphc.ir.nest import Assign, For, If, Local, Node, Report, Store
from graphc.ir.tree import accesses, contains, postorder, substitute, symbols_of

__all__ = ["distinct_locals", "is_subscript", "merged", "read_tensors", "scalarised", "written_tensors"]

Element = tuple[str, tuple[sp.Expr, ...]]


def _parts(node: Node) -> tuple[sp.Basic, ...]:
    """The expressions of one node, without those of its body."""
    match node:
        case For():
            return (*node.lower, *node.upper)
        case Assign():
            return (node.value,)
        case Store():
            return (*node.subscripts, node.value)
        case If():
            return (node.condition,)
    return ()


def _all(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        if isinstance(node, For | If):
            yield from _all(node.body)


def _reads(node: Node) -> Iterator[Access]:
    for part in _parts(node):
        yield from (a for a in accesses(part) if isinstance(a, Access))
    if isinstance(node, Store) and node.accumulate:
        yield Access(node.tensor, *node.subscripts)


def read_tensors(nodes: Iterable[Node]) -> set[str]:
    """Tensors that are read."""
    return {a.tensor for n in _all(nodes) for a in _reads(n)}


def written_tensors(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Tensors that are written, in order."""
    return tuple(dict.fromkeys(n.tensor for n in _all(nodes) if isinstance(n, Store)))


def mapped(nodes: Sequence[Node], mapping: dict[sp.Basic, sp.Expr]) -> tuple[Node, ...]:
    """The nodes with parts of their expressions, variables included, replaced."""
    if not mapping:
        return tuple(nodes)
    new: list[Node] = []
    for node in nodes:
        match node:
            case For():
                lower, upper = (tuple(substitute(e, mapping) for e in bounds) for bounds in (node.lower, node.upper))
                index = mapping.get(node.index, node.index)
                new.append(replace(node, index=index, lower=lower, upper=upper, body=mapped(node.body, mapping)))
            case Assign():
                name = mapping.get(node.name, node.name)
                assert isinstance(name, Local)
                new.append(Assign(name, substitute(node.value, mapping), node.dtype))
            case Store():
                subscripts = tuple(substitute(s, mapping) for s in node.subscripts)
                new.append(replace(node, subscripts=subscripts, value=substitute(node.value, mapping)))
            case If():
                new.append(If(substitute(node.condition, mapping), mapped(node.body, mapping)))
            case _:
                new.append(node)
    return tuple(new)


def distinct_locals(nodes: Sequence[Node], taken: set[str]) -> tuple[Node, ...]:
    """The nodes with variables renamed that are called as one in `taken`; the new names are added to it."""
    mapping: dict[sp.Basic, sp.Expr] = {}
    for node in _all(nodes):
        if isinstance(node, Assign) and node.name not in mapping:
            mapping[node.name] = _fresh(node.name.name, taken)
    return mapped(nodes, {old: new for old, new in mapping.items() if old != new})


def _fresh(name: str, taken: set[str]) -> Local:
    text, count = name, 1
    while text in taken:
        count += 1
        text = f"{name}{count}"
    taken.add(text)
    local: Local = Local(text)
    return local


# ------------------------------------------------------------------------------------------------------------------- loops
@dataclass(frozen=True, slots=True)
class _Effects:
    reads: frozenset[Element]
    writes: frozenset[Element]
    uses: frozenset[Local]
    sets: frozenset[Local]
    fails: bool


def _effects(node: Node, same: Mapping[str, str]) -> _Effects:
    nodes = list(_all([node]))
    return _Effects(
        frozenset((same.get(a.tensor, a.tensor), a.subscripts) for n in nodes for a in _reads(n)),
        frozenset((same.get(n.tensor, n.tensor), n.subscripts) for n in nodes if isinstance(n, Store)),
        frozenset(p for n in nodes for e in _parts(n) for p in postorder(e) if isinstance(p, Local)),
        frozenset(n.name for n in nodes if isinstance(n, Assign)),
        any(isinstance(n, Report) for n in nodes),
    )


def _independent(a: _Effects, b: _Effects) -> bool:
    """Whether two nodes may change places."""
    touched = [{t for t, _ in (*e.reads, *e.writes)} for e in (a, b)]
    written = [{t for t, _ in e.writes} for e in (a, b)]
    return not (written[0] & touched[1] or written[1] & touched[0] or a.sets & (b.uses | b.sets) or b.sets & a.uses)


def merged(nodes: Sequence[Node], same: Mapping[str, str], long: bool = False) -> tuple[Node, ...]:
    """Join loops with equal bounds wherever the result is the same; `same` names tensors that share an array.

    Innermost loops that read other elements of a tensor than they write are joined only if the body may be `long`: the vectoriser tests
    whether any two of its arrays overlap.
    """
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, Assign) and node.name not in symbols_of(node.value):
            effects = _effects(node, same)
            early = len(result)
            while early and _independent(_effects(result[early - 1], same), effects):
                early -= 1
            result.insert(early, node)
            continue
        position = _partner(node, result, same, long) if isinstance(node, For) else None
        if position is None:
            result.append(node)
            continue
        first = result[position]
        assert isinstance(first, For) and isinstance(node, For)
        result[position] = replace(first, body=(*first.body, *mapped(node.body, {node.index: first.index})))
    return tuple(replace(n, body=merged(n.body, same, long)) if isinstance(n, For) else n for n in result)


def _partner(node: For, before: Sequence[Node], same: Mapping[str, str], long: bool) -> int | None:
    """The loop that this one can be joined to, if nothing between them is in the way."""
    effects = _effects(node, same)
    for position in range(len(before) - 1, -1, -1):
        candidate = before[position]
        if isinstance(candidate, For) and _joinable(candidate, node, same, long):
            return position
        if not _independent(_effects(candidate, same), effects):
            return None
    return None


def _joinable(first: For, second: For, same: Mapping[str, str], long: bool) -> bool:
    if (first.shared, first.descending) != (second.shared, second.descending):
        return False
    if first.lower != second.lower or first.upper != second.upper or not (_smooth(first) and _smooth(second)):
        return False
    if first.index != second.index and first.index in {n.index for n in _all(second.body) if isinstance(n, For)}:
        return False
    (moved,) = mapped((second,), {second.index: first.index})
    a, b = _effects(first, same), _effects(moved, same)
    if a.sets & (b.uses | b.sets) or b.sets & a.uses:
        return False
    for tensor in {t for t, _ in a.writes} & {t for t, _ in b.reads | b.writes} | {t for t, _ in b.writes} & {t for t, _ in a.reads}:
        elements = {s for t, s in (*a.reads, *a.writes, *b.reads, *b.writes) if t == tensor}
        if len(elements) > 1 and not (long or _outer(first)):
            return False
        if not all(_apart(x, y, first) for x in elements for y in elements):
            return False
    return True


def _apart(x: Sequence[sp.Expr], y: Sequence[sp.Expr], node: For) -> bool:
    """Whether two iterations of a loop never meet at one element, which one calls x and the other y."""
    if len(node.lower) > 1 or len(node.upper) > 1:
        return x == y and node.index in x
    extent = node.upper[0] - node.lower[0]
    inside = list(_all(node.body))
    moving = {n.index for n in inside if isinstance(n, For)} | {n.name for n in inside if isinstance(n, Assign)}
    for p, q in zip(x, y, strict=True):
        if (symbols_of(p) | symbols_of(q)) & moving or contains(p, Access) or contains(q, Access):
            continue
        distance = sp.expand(p - q)
        if any(node.index in symbols_of(sp.expand(e - node.index)) for e in (p, q)):
            continue  # the subscript does not move by one from iteration to iteration
        if distance == 0 or any(nonnegative(sp.expand(sign * distance - extent)) for sign in (1, -1)):
            return True
    return False


def _outer(node: For) -> bool:
    """Whether the loop contains others."""
    return any(isinstance(n, For) for n in _all(node.body))


def _smooth(node: For) -> bool:
    """Whether the loop contains others, or no branches and no gathers that change in it, which keep a loop from being a vector loop."""
    inside = list(_all(node.body))
    if _outer(node):
        return True
    if any(isinstance(n, If | Report) for n in inside):
        return False
    changing = {node.index, *(n.name for n in inside if isinstance(n, Assign))}
    gathered = (p for n in inside for a in _reads(n) for s in a.subscripts for p in postorder(s) if isinstance(p, Access))
    return not any(changing & symbols_of(p) for p in gathered)


# ----------------------------------------------------------------------------------------------------------------- scalars
def scalarised(
    nodes: Sequence[Node], dtype_of: Callable[[str], str], private: set[str], taken: set[str]
) -> tuple[Node, ...]:
    """Keep elements that are written and then read in variables.

    Args:
        nodes: a body whose variables are distinct.
        dtype_of: element type of a tensor.
        private: tensors that nobody reads outside of `nodes`; their stores go when no read is left.
        taken: names of variables.
    """
    types = {n.name: n.dtype for n in _all(nodes) if isinstance(n, Assign)}
    kept = _forwarded(nodes, dtype_of, types, taken)
    dead = private - read_tensors(kept)
    return _without(kept, dead)


def _forwarded(
    nodes: Sequence[Node], dtype_of: Callable[[str], str], types: dict[Local, str], taken: set[str]
) -> tuple[Node, ...]:
    result: list[Node] = []
    pending = list(nodes)
    while pending:
        node = pending.pop(0)
        if isinstance(node, For | If):
            result.append(replace(node, body=_forwarded(node.body, dtype_of, types, taken)))
            continue
        if not isinstance(node, Store) or node.accumulate or dtype_of(node.tensor) not in ("float32", "float64", "int64", "bool"):
            result.append(node)
            continue
        element = Access(node.tensor, *node.subscripts)
        until = next((k for k, n in enumerate(pending) if node.tensor in written_tensors([n])), len(pending))
        whole = dtype_of(node.tensor) == "int64"
        if not any(element in set(_reads(n)) for n in _all(pending[:until])) or (whole and is_subscript(element, pending[:until])):
            result.append(node)
            continue
        if isinstance(node.value, Local) and types[node.value] == dtype_of(node.tensor):
            local = node.value
        else:
            local = _fresh(_short(node.tensor), taken)
            types[local] = dtype_of(node.tensor)
            result.append(Assign(local, node.value, types[local]))
        result.append(replace(node, value=local))
        pending[:until] = mapped(pending[:until], {element: local})
    return tuple(result)


def is_subscript(element: Access, nodes: Iterable[Node]) -> bool:
    """Whether the element is a subscript anywhere: the value of a tensor is checked there, that of a variable is not."""
    for node in _all(nodes):
        left = node.subscripts if isinstance(node, Store) else ()
        inner = (s for part in _parts(node) for a in accesses(part) for s in a.subscripts)
        if any(element in accesses(s) for s in (*left, *inner)):
            return True
    return False


def _short(tensor: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in tensor) + "_"


def _without(nodes: Sequence[Node], dead: set[str]) -> tuple[Node, ...]:
    """The nodes without stores to dead tensors and without what only served them."""
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, Store) and node.tensor in dead:
            continue
        if isinstance(node, For | If):
            body = _without(node.body, dead)
            if not body:
                continue
            node = replace(node, body=body)
        result.append(node)
    return tuple(result)
