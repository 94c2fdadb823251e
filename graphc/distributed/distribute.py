"""Data-parallel programs: `gc.distribute(step, comm, shard=b)`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy as sp

from graphc.analysis.sharding import places_of_index, places_of_size, sharding
from graphc.calls.binding import Binder
from graphc.calls.runner import Runner
from graphc.compile import optimised
from graphc.distributed.agreement import agree, differ, disagree
from graphc.distributed.exchange import SMALL, Array, Plan, announced, differing, planned
from graphc.distributed.mpi import Ranks, ranks_of
from graphc.errors import ArgumentError, GraphcError, NotationError, ShapeError
from graphc.frontend.expression import Expr
from graphc.frontend.location import here
from graphc.frontend.unindexed import shown
from graphc.interpret import size_value
from graphc.ir.distribution import Distribution
from graphc.ir.expr import Index, Size, undistributing
from graphc.ir.graph import Graph
from graphc.ir.show import expression, statement
from graphc.passes.distribute import distribute as divided
from graphc.passes.exchangeable import exchangeable
from graphc.program import Program
from graphc.views.text import Text

__all__ = ["Distributed", "distribute"]

WIDTH = 72
"""Characters of a statement up to which the reasons stand below each other."""

REMEMBERED = 8
"""Sets of sizes whose arrays are kept for the next call."""


def distribute(step: Program, comm: Any, shard: Any, *, overlap: bool = False) -> Distributed:
    """Run a compiled program on all ranks of a communicator, each with its own part of the examples.

    What every statement becomes is derived from the program: those with the sharded index on the left are computed for the rows of a rank,
    those that reduce over it become partial and are exchanged, everything else is computed on every rank. A size bound to the sharded index
    means the number of rows on all ranks together, so that a mean stays a mean; the value of the index itself, also in random numbers, is
    its position among all of them.

    Args:
        step: what `graphc.compile` returned; all ranks have to compile the same program.
        comm: a communicator of mpi4py; None for a process alone.
        shard: the index whose range is divided, or its name; or a size, ``gc.dim("N")``: whatever runs over arguments of this extent.
        overlap: whether large results are sent while others are still computed, instead of all at once.

    Returns:
        A callable with the arguments and results of `step`, except that arrays with the sharded index hold the rows of this rank only.
        Ranks may have different numbers of rows, also none.

    Raises:
        NotationError: the program has no such index, it runs over a parameter, or rows of different ranks meet otherwise than in a
            reduction or as neighbours at a constant distance.
        ArgumentError: `comm` is no communicator.
        RankError: the ranks have different programs, or one of them raised an error.

    >>> import numpy as np, graphc as gc
    >>> b, i = gc.indices("b i")
    >>> X, w, L = gc.tensor("X", gc.dim("N"), 3), gc.parameter("w", 3), gc.tensor("L")
    >>> L[()] = gc.mean((gc.sum(X[b,i]*w[i], over=i) - 1)**2, over=b)
    >>> step = gc.distribute(gc.compile(L, updates=gc.optim.sgd(L, lr=0.1)), None, shard=b)
    >>> print(step)
    local    for b,i:  L.sum.sum_2[b] += X[b,i]*w[i]                             # rows of b, each rank its own
    partial  for b:  L.sum[()] += (L.sum.sum_2[b] - 1)**2                        # sums over b
    local    L.sum.grad[()] += 1/N                                               # no b: equal on each rank
    local    for b:  L.sum.sum.grad[b] += 2*L.sum.grad[()]*(L.sum.sum_2[b] - 1)  # rows of b, each rank its own
    partial  for b,i:  w.grad[i] += L.sum.sum.grad[b]*X[b,i]                     # sums over b
    Allreduce sum of 4 float32:  w.grad, L.sum
    reduced  L[()] = L.sum[()]/N                                                 # L.sum of all ranks: equal on each
    reduced  for i:  w.new[i] = w[i] - 0.1*w.grad[i]                             # w.grad of all ranks: equal on each
    """
    ranks = ranks_of(comm)
    fault: Exception | None = None
    try:
        name = _name(step, shard)
    except GraphcError as error:
        fault, name = error, ""
    agree(ranks, fault, "")
    text = _text(step, name, overlap)
    number, lines = announced(text), text.splitlines()
    if len({int(row[0]) for row in ranks.announce(np.array([number], np.int64))}) > 1:
        disagree(ranks, lines)
    made = None
    try:
        made = Distributed(step, ranks, *_derived(step, shard, name, overlap))
    except Exception as error:
        fault = error
    agree(ranks, fault, "")
    assert made is not None
    return made


class Distributed:
    """A program of which every rank computes its share: called like the program, with the rows of this rank.

    Attributes:
        loops: all statements, each with what it is to a rank and why.
        program: that of one process.
        rank, size: of this process.
    """

    def __init__(self, program: Program, ranks: Ranks, distribution: Distribution, runners: tuple[tuple[Runner, ...], ...]) -> None:
        self.program, self._ranks, self._distribution, self._runners = program, ranks, distribution, runners
        self._tensors = {t.name: t for t in program.signature.inputs}
        self._divided = {n: d for n, d in distribution.dimensions.items() if n in self._tensors}
        self._binder = Binder(program.graph, self._tensors)
        self._plans: dict[Any, Plan] = {}
        self._retired: list[dict[sp.Basic, int]] = []
        """Sizes of plans that are gone: runners tell sizes apart by identity."""
        self._announced = np.zeros(3, np.int64)
        self._digests: dict[Any, tuple[int, list[str]]] = {}
        self._first = True

    @property
    def rank(self) -> int:
        return self._ranks.rank

    @property
    def size(self) -> int:
        return self._ranks.size

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arguments, in positional order."""
        return self.program.inputs

    @property
    def divided(self) -> dict[str, int]:
        """The dimension of each argument and result of which a rank has its rows only, by name; the others are the same on all ranks."""
        known = {*self._tensors, *self.program.signature.outputs}
        return {name: d for name, d in self._distribution.dimensions.items() if name in known}

    @property
    def loops(self) -> Text:
        return Text(_lines(self._distribution))

    def __repr__(self) -> str:
        return str(self.loops)

    def init(self, seed: int = 0, **sizes: int) -> dict[str, Any]:
        """New arrays for parameters and state, the same on all ranks for the same seed; see `Program.init`."""
        return self.program.init(seed, **sizes)

    def volume(self, **sizes: int) -> int:
        """Bytes of partial results that a rank hands to the exchanges of one call.

        Args:
            sizes: values of the symbolic sizes that the exchanged tensors have.

        Raises:
            ArgumentError: a size is missing, or it is none of the program's.
        """
        total = _volume(self._distribution)
        self.program.known_sizes(sizes)
        values: dict[sp.Basic, int] = {Size(name): value for name, value in sizes.items()}
        try:
            return size_value(total, values)
        except KeyError as missing:
            raise ArgumentError(f"The volume depends on the size {missing.args[0]}.", fix=f"call volume({missing.args[0]}=…).") from None

    def __call__(self, /, *arrays: Any, **named: Any) -> Any:
        """Run the program on all ranks; all of them have to call it.

        Args:
            arrays, named: as for the program, without ``out=``. What is updated, and all else without the sharded index, has to be equal
                on all ranks.

        Raises:
            RankError: a rank raised an error, or the arguments of two ranks do not fit together; nothing is updated on any of them.
            GraphcError: as the program, if all ranks raise it.
        """
        given, counts = self._given(arrays, named)
        plan = self._plan(given, counts)
        before = {name: given[name].copy() for name in self.program.signature.outputs if name in given}
        values = self._run(given, plan)
        for old, new in self.program.signature.updates:
            if values[new] is not given[old]:
                given[old][...] = values[new]
        results = [before[n] if n in before else plan.own(values[n]) for n in self.program.signature.outputs]
        return self.program.signature.structure(results)

    # ------------------------------------------------------------------------------------------------------------ arguments
    def _given(self, arrays: tuple[Any, ...], named: dict[str, Any]) -> tuple[dict[str, Array], tuple[int, ...]]:
        """The arguments, and how many rows each rank has."""
        fault, given, rows = None, {}, 0
        try:
            given = self.program.given(arrays, named)
            rows = self._own_rows(given)
        except Exception as error:
            fault = error
        self._announced[:] = fault is not None, rows, self._digest(given)
        table = self._ranks.announce(self._announced)
        failed, counts, digests = table.T.tolist()
        if any(failed):
            agree(self._ranks, fault)
        if len(set(digests)) > 1:
            differ(self._ranks, differing(given, self._divided, self._compared(given)))
        self._first = False
        return given, tuple(counts)

    def _compared(self, given: Mapping[str, Array]) -> list[str]:
        """Arguments whose values are compared between ranks: all that are not divided in the first call, small constants later."""
        updated = {old for old, _ in self.program.signature.updates}
        return [name for name, array in given.items() if name not in self._divided
                and (self._first or (array.nbytes <= SMALL and name not in updated))]

    def _digest(self, given: Mapping[str, Array]) -> int:
        """A number that is equal on ranks whose arguments fit together."""
        shapes = self._first, *(array.shape for array in given.values())
        if shapes not in self._digests:
            self._digests[shapes] = announced(repr(differing(given, self._divided, ()))), self._compared(given)
        number, compared = self._digests[shapes]
        for name in compared:
            number = zlib.crc32(np.ascontiguousarray(given[name]).data, number)
        return number

    def _own_rows(self, given: Mapping[str, Array]) -> int:
        found: dict[int, str] = {}
        for name, dimension in self._divided.items():
            if given[name].ndim != len(self._tensors[name].shape):
                self._binder.sizes({n: a.shape for n, a in given.items()})  # which refuses it
            found.setdefault(given[name].shape[dimension], name)
        if len(found) > 1:
            (one, first), (other, second) = list(found.items())[:2]
            raise ShapeError(f"{first} has {one} rows on this rank, but {second} has {other}.",
                             fix="pass the same rows of all arrays that are divided.")
        return next(iter(found), 0)

    def _plan(self, given: Mapping[str, Array], counts: tuple[int, ...]) -> Plan:
        key = counts, *(array.shape for array in given.values())
        if key not in self._plans:
            extent, total = self._distribution.extent, sum(counts)
            if self._divided and extent.is_Integer and total != extent:
                each = ", ".join(f"{count} on rank {rank}" for rank, count in enumerate(counts))
                raise ShapeError(f"{next(iter(self._divided))} has {total} rows on all ranks together instead of {extent}: {each}.",
                                 fix="divide the rows so that each is on one rank, or declare a symbolic size for them.")
            shapes = {name: list(array.shape) for name, array in given.items()}
            for name, dimension in self._divided.items():
                shapes[name][dimension] = total
            sizes = self._binder.sizes({name: tuple(shape) for name, shape in shapes.items()})
            if not self._divided:
                total = size_value(extent, sizes)
                counts = tuple(total // self.size + (rank < total % self.size) for rank in range(self.size))
            if len(self._plans) >= REMEMBERED:
                self._retired.append(self._plans.pop(next(iter(self._plans))).sizes)
            self._plans[key] = planned(self._distribution, sizes, counts, self.rank, self.program.signature.outputs)
        return self._plans[key]

    # ---------------------------------------------------------------------------------------------------------------- a call
    def _run(self, given: Mapping[str, Array], plan: Plan) -> dict[str, Array]:
        """All values that are results, or new values of what is updated."""
        values, ranks = dict(given), self._ranks
        fault: Exception | None = None
        for stage, runners, flats in zip(self._distribution.stages, self._runners, plan.flats, strict=True):
            if stage.halos:
                self._agreed(fault)
            for halo in stage.halos:
                values[halo.widened] = plan.widened(ranks, halo, values[halo.tensor])
            waiting: list[Callable[[], object]] = []
            for segment, runner, sent in zip(stage.segments, runners, flats, strict=True):
                if fault is None:
                    try:
                        read = plan.arguments(segment, values)
                        values |= plan.placed(runner.run(read, plan.sizes, plan.targets(segment)), read)
                    except Exception as error:
                        fault = error
                for flat in sent:
                    flat.mark(fault is not None)
                    waiting.append(ranks.reduce(flat.kind, flat.array))
            for wait in waiting:
                wait()
            if any(flat.failed for sent in flats for flat in sent):
                agree(ranks, fault)
            if stage.divided and not waiting:
                self._agreed(fault)
        if fault is not None:
            raise fault
        return values

    def _agreed(self, fault: Exception | None) -> None:
        """Raise on all ranks if one has met a fault."""
        if self._ranks.announce(np.array([fault is not None], np.int64)).any():
            agree(self._ranks, fault)


# --------------------------------------------------------------------------------------------------------------- derivation
def _refusal(what: str, culprit: str, fix: str) -> NotationError:
    return NotationError(what, at=((f"distribute(step, comm, shard={culprit})", culprit, here()),), fix=fix)


def _name(step: Any, shard: Any) -> str:
    """The name of the index or size, checked against the program."""
    if not isinstance(step, Program):
        raise NotationError(f"gc.distribute takes a compiled program, not {shown(step)}.",
                            at=((f"distribute({shown(step)}, comm)", shown(step), here()),),
                            fix="write gc.distribute(gc.compile(L, updates=…), comm, shard=b).")
    node = shard.node if isinstance(shard, Expr) else None
    if not isinstance(shard, str) and not isinstance(node, Index | Size):
        raise _refusal(f"shard={shown(shard)} is no index.", shown(shard), 'pass an index, gc.index("b"), or its name, "b".')
    name = shard if isinstance(shard, str) else str(node)
    indices = dict.fromkeys(str(r.index).split("@")[0] for s in step.graph.statements for r in s.ranges)
    sizes = dict.fromkeys(str(z) for t in step.graph.tensors if t.is_input for e in t.shape for z in e.free_symbols)
    if not (name in indices and not isinstance(node, Size)) and not (name in sizes and not isinstance(node, Index)):
        raise _refusal(f"No statement has an index {name}." if not isinstance(node, Size) else f"No argument has the size {name}.", name,
                       f"use one of the indices {', '.join(indices)}" + (f", or one of the sizes {', '.join(sizes)}." if sizes else "."))
    return name


@undistributing
def _derived(step: Program, shard: Any, name: str, overlap: bool) -> tuple[Distribution, tuple[tuple[Runner, ...], ...]]:
    node = shard.node if isinstance(shard, Expr) else None
    indices = {str(r.index).split("@")[0] for s in step.graph.statements for r in s.ranges}
    by_size = isinstance(node, Size) or (node is None and name not in indices)
    seeds = places_of_size(step.graph, Size(name)) if by_size else places_of_index(step.graph, name)
    updates = step.signature.updates
    fixed = {t.name for t in step.graph.tensors if t.kind == "parameter"} | {n for pair in updates for n in pair}
    graph = optimised(step.graph)
    graph = exchangeable(graph, sharding(graph, seeds, name, fixed))
    distribution = divided(graph, sharding(graph, seeds, name, fixed), overlap)
    return distribution, tuple(tuple(step.part(s.graph, _in_place(distribution, s.graph, updates)) for s in stage.segments)
                               for stage in distribution.stages)


def _in_place(distribution: Distribution, graph: Graph, updates: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """What the last graph may write over: nobody can fail after it, and nobody else reads it."""
    last = distribution.stages[-1]
    if last.divided or not last.segments or graph is not last.segments[-1].graph:
        return ()
    return tuple((old, new) for old, new in updates if new in graph.outputs and old in graph.by_name())


def _text(step: Program, name: str, overlap: bool) -> str:
    """The program and what it is distributed over, equal for equal programs."""
    import graphc as gc

    graph, options = step.graph, ", ".join(f"{key}={value}" for key, value in step.options.items() if key != "threads")
    tensors = [f"{t.name}({', '.join(map(expression, t.shape))}) {t.dtype}" for t in graph.tensors]
    results = [f"results {', '.join(step.signature.outputs)}", *(f"update of {old}: {new}" for old, new in step.signature.updates)]
    settings = f"graphc {gc.__version__}, shard={name}, overlap={overlap}, {options}"
    return "\n".join([settings, *tensors, *map(statement, graph.statements), *results])


def _volume(distribution: Distribution) -> sp.Expr:
    """Bytes of what is exchanged in one call."""
    total = sp.Integer(0)
    for stage in distribution.stages:
        for segment in stage.segments:
            tensors = segment.graph.by_name()
            for exchange in segment.exchanges:
                total += sum(sp.Mul(*tensors[n].shape) for n in exchange.tensors) * np.dtype(exchange.dtype).itemsize
    return sp.expand(total)


def _lines(distribution: Distribution) -> str:
    """Every statement with its mark, and between the stages what is exchanged."""
    text: list[str] = []
    width = max((n for n in (len(statement(line.statement)) for line in distribution.lines) if n <= WIDTH), default=0)
    for number, stage in enumerate(distribution.stages):
        text += [f"neighbours' rows:  {h.tensor}, {h.before} before and {h.behind} behind" for h in stage.halos]
        for line in distribution.lines:
            if line.stage == number:
                text.append(f"{line.mark:8} {statement(line.statement):{width}}  # {line.reason}")
        for segment in stage.segments:
            tensors = segment.graph.by_name()
            for exchange in segment.exchanges:
                count = sp.expand(sum(sp.Mul(*tensors[n].shape) for n in exchange.tensors))
                text.append(f"Allreduce {exchange.kind} of {expression(count)} {exchange.dtype}:  {', '.join(exchange.tensors)}")
    return "\n".join(text)
