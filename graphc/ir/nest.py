"""Loop nests: what a kernel does, for every target. Two emitters walk this one form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from graphc.ir.expr import Index, Size

__all__ = [
    "Assign",
    "Barrier",
    "Combine",
    "Contract",
    "Fill",
    "For",
    "Group",
    "If",
    "Inner",
    "Kernel",
    "KernelRecord",
    "KernelTable",
    "Local",
    "Loop",
    "LoopPlan",
    "Moment",
    "Node",
    "Nest",
    "Outside",
    "Report",
    "Sort",
    "Step",
    "Store",
    "Unravel",
    "nodes_in",
    "single",
]


class Local(sp.Symbol):  # type: ignore[misc]
    """A scalar variable of a kernel."""

    __slots__ = ()

    def __new__(cls, name: str, **_: Any) -> Any:
        return sp.Symbol.__new__(cls, name, commutative=True)


class Moment(Size):
    """The variable of a sequential loop, seen from the loops inside of it: a number that is known there."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class For:
    """``for index in range(max(lower), min(upper), step): body``; a shared loop runs over a member's part, in portions of `grain`
    iterations, a descending one backwards; the iterations of a loop over `lanes` are divided among the threads of a block."""

    index: Index
    lower: tuple[sp.Expr, ...]
    upper: tuple[sp.Expr, ...]
    body: tuple[Node, ...]
    shared: bool = False
    descending: bool = False
    step: int = 1
    grain: int = 1
    lanes: bool = False


@dataclass(frozen=True, slots=True)
class Assign:
    """``name = value``, of a fixed type ("float32", "int64", "bool", …)."""

    name: Local
    value: sp.Expr
    dtype: str


@dataclass(frozen=True, slots=True)
class Store:
    """``tensor[subscripts] = value`` or ``+=``; integers can be added by many threads at once, in one indivisible (`atomic`) step."""

    tensor: str
    subscripts: tuple[sp.Expr, ...]
    value: sp.Expr
    accumulate: bool = False
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Unravel:
    """``i, j, … = position of the line-th element of a box``, the last part fastest."""

    line: Index | Local
    parts: tuple[tuple[Index, sp.Expr], ...]


@dataclass(frozen=True, slots=True)
class If:
    """``if condition: body``."""

    condition: sp.Expr
    body: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The call fails: the reduction of this statement is over an empty range and has no value."""

    loop: str


@dataclass(frozen=True, slots=True)
class Combine:
    """``name = value`` of the names of two threads, `name` and `other`, again and again, until all threads of a block have the same."""

    name: Local
    other: Local
    value: sp.Expr
    dtype: str


@dataclass(frozen=True, slots=True)
class Outside:
    """The call fails: an integer of `tensor` is a subscript of `target`, and lies outside of it."""

    tensor: str
    target: str
    dimension: int
    value: sp.Expr
    loop: str


@dataclass(frozen=True, slots=True)
class Barrier:
    """The threads of a block wait for each other: what each of them has stored, all of them see."""


Node = For | Assign | Store | If | Report | Outside | Unravel | Combine | Barrier


def nodes_in(body: Sequence[Node]) -> Iterator[Node]:
    """All nodes, those of loops and conditions included."""
    for node in body:
        yield node
        if isinstance(node, For | If):
            yield from nodes_in(node.body)


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """How one statement is executed, and why; printed by ``print(f.kernels)``.

    Attributes:
        loop: the statement in notation.
        kind: "map", "reduction", "contraction", "gather", "scatter", "rows" (several statements, row by row), "scan" or "fill".
        order: loop indices from the outermost to the innermost.
        shared: the index that is divided among threads ("" runs on one).
        strategy: what the kernel does, in words.
        reason: why this order.
    """

    loop: str
    kind: str
    order: tuple[str, ...]
    shared: str
    strategy: str
    reason: str = ""

    def __str__(self) -> str:
        shared = f", {self.shared} shared among threads" if self.shared else ", one thread"
        return f"{self.loop}\n    {self.kind}: {' '.join(self.order) or 'scalar'}{shared}; {self.strategy}" + (
            f" ({self.reason})" if self.reason else ""
        )


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of arrays and sizes.

    Attributes:
        kind: prefix of its name.
        comment: the statement in notation.
        arrays: tensors that it touches, the written one first.
        body: the loops.
        extent: number of iterations of the shared loop, None for a kernel that one member runs.
        flat: whether the arrays are addressed as one-dimensional.
        lanes: whether a block of threads runs each iteration of the shared loop, or all of the kernel.
    """

    kind: str
    comment: str
    arrays: tuple[str, ...]
    body: tuple[Node, ...]
    extent: sp.Expr | None
    flat: bool = False
    lanes: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Indices of a contraction that play one role; ``strides[k]`` gives, per index, its coefficients in each dimension of operand k."""

    extents: tuple[sp.Expr, ...]
    lowers: tuple[sp.Expr, ...]
    coefficients: tuple[tuple[tuple[int, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class Nest:
    """A step that runs a kernel."""

    kernel: Kernel
    plan: LoopPlan
    reads: tuple[str, ...]
    writes: str
    cost: sp.Expr
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inner:
    """What a contraction sums in place of products.

    Attributes:
        combine: of two results: "plus", "maximum" or "minimum".
        value: an expression in `parts`: the elements of A and B, and of further operands, which have the rows and columns of C.
        parts: a name for each operand but C.
    """

    combine: str
    value: sp.Expr
    parts: tuple[Local, ...]


@dataclass(frozen=True, slots=True)
class Contract:
    """A step that calls the contraction engine: ``C += scale · Σ A·B`` with affine subscripts.

    Operands are C, A, B (and those of an `inner` function); `constants` holds per operand the constant part of each subscript. In a
    loop of steps, `starts` holds per operand the element at which the step begins, and the step is left out unless every expression
    of `when` is ≥ 0. Where the depth is divided among blocks of threads, their sums wait in `scratch`.
    """

    operands: tuple[str, ...]
    batch: Group
    rows: Group
    columns: Group
    depth: Group
    constants: tuple[tuple[sp.Expr, ...], ...]
    scale: sp.Expr
    accumulate: bool
    plan: LoopPlan
    cost: sp.Expr
    starts: tuple[sp.Expr, ...] = (sp.Integer(0), sp.Integer(0), sp.Integer(0))
    when: tuple[sp.Expr, ...] = ()
    inner: Inner | None = None
    scratch: str = ""

    @property
    def also(self) -> tuple[str, ...]:
        return (self.scratch,) if self.scratch else ()

    @property
    def reads(self) -> tuple[str, ...]:
        return self.operands[1:]

    @property
    def writes(self) -> str:
        return self.operands[0]


@dataclass(frozen=True, slots=True)
class Fill:
    """A step that sets a tensor to 0."""

    writes: str
    plan: LoopPlan
    reads: tuple[str, ...] = ()
    cost: sp.Expr = field(default_factory=lambda: sp.Integer(0))
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sort:
    """A step that puts the numbers of items in the order of their keys, and finds where the items of each key begin.

    Attributes:
        items: tensor with ``key · 2³² + number`` for each item.
        order: tensor for the numbers.
        starts: tensor for the places where the keys begin, and the number of items that have a key.
        count: of the items.
        keys: number of keys; items with a larger one count for nothing.
    """

    items: str
    order: str
    starts: str
    count: sp.Expr
    keys: sp.Expr
    plan: LoopPlan

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.items,)

    @property
    def writes(self) -> str:
        return self.order

    @property
    def also(self) -> tuple[str, ...]:
        return self.starts, self.items

    @property
    def cost(self) -> sp.Expr:
        return self.count


@dataclass(frozen=True, slots=True)
class Loop:
    """Steps that are repeated, by all threads together: for `moment` from `first` up to the least of `ends`, or backwards."""

    moment: Moment
    ends: tuple[sp.Expr, ...]
    descending: bool
    steps: tuple[Step, ...]
    first: sp.Expr = field(default_factory=lambda: sp.Integer(0))

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for s in self.steps for name in s.reads))

    @property
    def writes(self) -> str:
        return self.steps[0].writes

    @property
    def also(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for s in self.steps for n in (s.writes, *s.also)))


Step = Nest | Contract | Fill | Sort | Loop


def single(steps: Sequence[Step]) -> Iterator[Nest | Contract | Fill | Sort]:
    """The steps, and those of loops one by one."""
    for step in steps:
        if isinstance(step, Loop):
            yield from single(step.steps)
        else:
            yield step


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """One entry of `f.kernels`.

    Attributes:
        name: of the function in the source.
        loop: the statement in notation.
        plan: how it is executed.
        cost: scalar operations, an expression in sizes.
        tensors: that it reads or writes.
        targets: that it writes.
        time: seconds in one call, filled by `f.profile`.
        choice: how the contraction engine computes it, filled by the first call with each set of sizes.
    """

    name: str
    loop: str
    plan: LoopPlan
    cost: sp.Expr
    tensors: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    time: float | None = None
    choice: str = ""

    @classmethod
    def of(cls, name: str, step: Nest | Contract | Fill | Sort) -> KernelRecord:
        """The record of a step that is executed by the function `name`."""
        targets = (step.writes, *step.also)
        return cls(name, step.plan.loop, step.plan, step.cost, tuple(dict.fromkeys((*targets, *step.reads))), targets)

    @property
    def how(self) -> str:
        """The plan, and the choice if there is one."""
        return f"{self.plan}; {self.choice}" if self.choice else str(self.plan)

    def __str__(self) -> str:
        return f"{self.name}: {self.how}" + ("" if self.time is None else f"; {1e6 * self.time:.4g} µs")


class KernelTable(tuple[KernelRecord, ...]):
    """The kernels of a program, printed one below the other."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))
