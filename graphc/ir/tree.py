"""Questions about expressions, and their replacement part by part: without recursion, or remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import sympy as sp

from graphc.ir.expr import Access, BoundaryAccess, Index, Size, rebuilt

__all__ = [
    "accesses", "altered", "contains", "deeper", "depths", "indices_of", "modes_of", "numeric", "postorder", "rewrite", "sizes_of",
    "substitute", "symbols_of",
]

R = TypeVar("R")


@lru_cache(maxsize=100_000)
def postorder(node: sp.Basic) -> tuple[sp.Basic, ...]:
    """Every distinct node below and including `node`, arguments first, in a fixed order, without recursion."""
    seen: set[sp.Basic] = set()
    found: list[sp.Basic] = []
    stack: list[tuple[sp.Basic, bool]] = [(node, False)]
    while stack:
        current, done = stack.pop()
        if done:
            found.append(current)
        elif current not in seen:
            seen.add(current)
            stack.append((current, True))
            stack.extend((argument, False) for argument in reversed(current.args))
    return tuple(found)


@lru_cache(maxsize=200_000)
def _accesses(node: sp.Basic) -> tuple[Access | BoundaryAccess, ...]:
    below = [found for argument in node.args for found in _accesses(argument)]
    return tuple(dict.fromkeys((*below, node) if isinstance(node, Access | BoundaryAccess) else below))


@lru_cache(maxsize=200_000)
def _indices_of(node: sp.Basic) -> tuple[Index, ...]:
    return (node,) if isinstance(node, Index) else tuple(dict.fromkeys(found for argument in node.args for found in _indices_of(argument)))


@lru_cache(maxsize=200_000)
def _symbols_of(node: sp.Basic) -> frozenset[sp.Symbol]:
    return frozenset((node,)) if isinstance(node, sp.Symbol) else frozenset[sp.Symbol]().union(*map(_symbols_of, node.args))


@lru_cache(maxsize=200_000)
def _kinds(node: sp.Basic) -> frozenset[type]:
    return frozenset((type(node),)).union(*map(_kinds, node.args))


def _asked(recursive: Callable[[sp.Basic], R], node: sp.Basic) -> R:
    """What a cached function that asks itself about arguments says; of a deeply nested node arguments first."""
    try:
        return recursive(node)
    except RecursionError:
        for part in postorder(node):
            recursive(part)
        return recursive(node)


def accesses(node: sp.Basic) -> tuple[Access | BoundaryAccess, ...]:
    """The distinct reads in `node`, in the order of its arguments."""
    return _asked(_accesses, node)


def modes_of(access: Access | BoundaryAccess) -> tuple[str, ...]:
    """What a read does outside of its tensor, by dimension: "" in all of them if it is no view.

    >>> modes_of(Access("X", 1, 2))
    ('', '')
    """
    return access.modes if isinstance(access, BoundaryAccess) else ("",) * len(access.subscripts)


def altered(
    access: Access | BoundaryAccess, *, tensor: str | None = None, modes: Iterable[str] | None = None,
    subscripts: Sequence[sp.Expr] | None = None,
) -> Any:
    """The same read of another tensor, at other subscripts, or in other modes, which only a view has.

    >>> altered(Access("X", 1), subscripts=(2,)), altered(BoundaryAccess("X", "pad", 0, 1), modes=("clamp",))
    (Access(X, 2), BoundaryAccess(X, clamp, 0, 1))
    """
    name = access.tensor if tensor is None else tensor
    places = access.subscripts if subscripts is None else subscripts
    if isinstance(access, Access):
        return Access(name, *places)
    return BoundaryAccess(name, ",".join(access.modes if modes is None else modes), access.fill, *places)


def indices_of(node: sp.Basic) -> tuple[Index, ...]:
    """The distinct indices in `node` (bound ones included), in the order of its arguments."""
    return _asked(_indices_of, node)


def symbols_of(node: sp.Basic) -> frozenset[sp.Symbol]:
    """The symbols in `node`, whatever they stand for: SymPy's `free_symbols`, which remembers nothing, of nodes that bind none."""
    return _asked(_symbols_of, node)


def contains(node: sp.Basic, kind: type | tuple[type, ...]) -> bool:
    return any(issubclass(found, kind) for found in _asked(_kinds, node))


def numeric(node: sp.Basic) -> bool:
    """Whether the node is made of numbers alone; SymPy's `is_number` recurses."""
    return all(issubclass(found, _ARITHMETIC) for found in _asked(_kinds, node))


_ARITHMETIC = (sp.Number, sp.NumberSymbol, sp.Add, sp.Mul, sp.Pow)


def deeper(node: sp.Basic, limit: int) -> bool:
    """Whether nodes are nested more than `limit` times."""
    return len(postorder(node)) > limit and _depth(node) > limit


@lru_cache(maxsize=20_000)
def _depth(node: sp.Basic) -> int:
    return depths(postorder(node))[node]


def depths(nodes: Iterable[sp.Basic]) -> dict[sp.Basic, int]:
    """How deeply nodes are nested, which come after their arguments: 1 for those without arguments."""
    found: dict[sp.Basic, int] = {}
    for node in nodes:
        found[node] = 1 + max((found[argument] for argument in node.args), default=0)
    return found


def sizes_of(node: sp.Basic) -> tuple[Size, ...]:
    return tuple(part for part in postorder(node) if isinstance(part, Size))


def rewrite(
    node: sp.Expr, rule: Callable[[sp.Basic], sp.Basic | None], done: dict[sp.Basic, sp.Basic] | None = None
) -> sp.Expr:
    """Rebuild `node` bottom-up, replacing every rebuilt part for which `rule` returns something else than None.

    Calls with the same rule may share `done`, what became of each part.
    """
    done = {} if done is None else done
    for part in postorder(node):
        if part not in done:
            new = rebuilt(part, done)
            replaced = rule(new)
            done[part] = new if replaced is None else replaced
    return done[node]


def substitute(node: sp.Expr, mapping: dict[Any, Any]) -> sp.Expr:
    """Simultaneous replacement of sub-expressions: what has been put in is not replaced again."""
    if not mapping:
        return node
    done: dict[sp.Basic, sp.Basic] = {}
    for part in postorder(node):
        done[part] = mapping[part] if part in mapping else rebuilt(part, done)
    return done[node]
