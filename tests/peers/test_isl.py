"""Proofs, solved subscripts and loop bounds against isl, on thousands of random maps.

What is proved must hold (soundness); how much of what holds is proved (completeness) is printed with -rP and may not fall.
"""

from __future__ import annotations

import os
from random import Random

import pytest

pytest.importorskip("islpy")

from dataclasses import replace

import sympy as sp

from graphc.analysis.injectivity import disjoint, injective
from graphc.analysis.legality import in_range
from graphc.interpret import size_value
from graphc.ir.affine import infeasible, linear, nonnegative
from graphc.ir.expr import Access, FloorDiv, Modulo
from graphc.ir.graph import Graph
from graphc.ir.nest import For, If, Store
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor
from graphc.ir.tree import contains
from graphc.passes.gather import gather
from graphc.passes.split_quotients import split_quotients
from graphc.schedule.classify import loop_order
from graphc.schedule.lower import _Scheduler
from graphc.schedule.target import CPU
from tests.peers import isl

MAPS = int(os.environ.get("GRAPHC_TEST_MAPS", "400"))
"""Random maps per test; `make soak` takes more."""


def report(name: str, proved: int, true: int, least: float) -> None:
    print(f"{name}: {proved} of {true} proved ({proved / max(true, 1):.1%})")
    assert proved >= least * true


def test_empty() -> None:
    proved = true = 0
    for seed in range(MAPS):
        case = isl.affine(Random(seed))
        empty = isl.points([r.index for r in case.ranges], case.constraints).is_empty()
        claim = infeasible([linear(c) for c in case.constraints])
        assert empty or not claim, case
        proved, true = proved + claim, true + empty
    report("emptiness", proved, true, 0.98)


def test_nonnegative() -> None:
    proved = true = 0
    for seed in range(MAPS):
        case = isl.affine(Random(seed))
        goal = case.subscripts[0]
        indices = [r.index for r in case.ranges]
        holds = isl.points(indices, (*case.constraints, -goal - 1)).is_empty()
        claim = nonnegative(goal, case.constraints)
        assert holds or not claim, case
        proved, true = proved + claim, true + holds
    report("nonnegative", proved, true, 0.97)


def test_in_range() -> None:
    proved = true = 0
    for seed in range(MAPS):
        random = Random(seed)
        case = isl.affine(random)
        indices = [r.index for r in case.ranges]
        extent = sp.expand(random.choice([isl.SIZES[0], sp.Integer(0)]) + random.randint(1, 24))
        subscript = case.subscripts[0]
        outside = (isl.points(indices, (*case.constraints, e)) for e in (-subscript - 1, subscript - extent))
        holds = all(o.is_empty() for o in outside)
        claim = in_range(subscript, extent, case.constraints)
        assert holds or not claim, case
        proved, true = proved + claim, true + holds
    report("in range", proved, true, 0.96)


def test_injective() -> None:
    proved = true = 0
    for seed in range(MAPS):
        case = isl.affine(Random(seed))
        holds = isl.relation([r.index for r in case.ranges], case.constraints, case.subscripts).is_injective()
        claim = injective(case.subscripts, case.ranges, case.domain)
        assert holds or not claim, case
        proved, true = proved + claim, true + holds
    report("injective", proved, true, 0.9)


def statement_of(case: isl.Affine) -> Statement:
    value = Access("X", *(r.index for r in case.ranges))
    return Statement("Y", case.subscripts, "+=", value, case.ranges, case.domain)


def test_disjoint() -> None:
    proved = true = 0
    for seed in range(MAPS // 2):
        random = Random(seed)
        first = isl.affine(random)
        second = isl.affine(random)
        second = replace(second, subscripts=(*second.subscripts, *first.subscripts)[: len(first.subscripts)])
        second = replace(second, ranges=second.ranges + first.ranges[len(second.ranges) :])
        a, b = statement_of(first), statement_of(second)
        holds = isl.touched(a, ()).intersect(isl.touched(b, ())).is_empty()
        claim = disjoint(a, b)
        assert holds or not claim, (first, second)
        proved, true = proved + claim, true + holds
    report("disjoint", proved, true, 0.96)


def graph_of(case: isl.Affine) -> Graph:
    tensors = (Tensor("X", tuple(sp.expand(r.upper) for r in case.ranges), "float32"),
               Tensor("Y", tuple(sp.Integer(40) for _ in case.subscripts), "float32", "defined"))
    return Graph(tensors, (statement_of(case),), ("Y",))


def _readable(statement: Statement, case: isl.Affine) -> Statement:
    """The statement where its read is inside: what cannot be proved with new indices is guarded, and these programs are not proved."""
    ends = [c for s, r in zip(statement.value.subscripts, case.ranges, strict=True) for c in (s, sp.expand(r.upper - 1 - s))]
    return replace(statement, domain=(*statement.domain, *ends))


@pytest.mark.parametrize("quotients", [0.0, 0.3])
def test_gathers(quotients: float) -> None:
    """The loops touch the same pairs of elements after their variables have been changed; affine left sides become race-free."""
    proved = true = 0
    for seed in range(MAPS // 2):
        case = isl.affine(Random(seed), quotients=quotients)
        graph = graph_of(case)
        (before,), (after,) = graph.statements, gather(split_quotients(graph)).statements
        inside = [c for s in case.subscripts for c in (s, sp.Integer(39) - s)]
        want = isl.touched(_readable(replace(before, domain=(*before.domain, *inside)), case), before.value.subscripts)
        assert isl.touched(_readable(after, case), after.value.subscripts).is_equal(want), (case, after)
        quotient = any(contains(s, FloorDiv | Modulo) for s in after.subscripts)
        if not injective(case.subscripts, [r for r in case.ranges if r.index in before.free], case.domain):
            assert quotient or isl.race_free(after), (case, after)
            proved, true = proved + (not quotient), true + 1
    report("scatters that became gathers", proved, true, 0.95 if quotients else 1)


def visited(nodes: tuple[object, ...], values: dict[sp.Basic, int]) -> list[tuple[int, ...]]:
    """The elements that the loops store to, one entry per iteration."""
    found = []
    for node in nodes:
        match node:
            case For():
                low, high = max(size_value(e, values) for e in node.lower), min(size_value(e, values) for e in node.upper)
                for v in range(low, high):
                    found += visited(node.body, values | {node.index: v})
            case If():
                tests = node.condition.operands if hasattr(node.condition, "operands") else (node.condition,)
                if all(size_value(t.left, values) >= 0 for t in tests):
                    found += visited(node.body, values)
            case Store():
                found.append(tuple(size_value(s, values) for s in node.subscripts))
    return found


def test_loop_bounds() -> None:
    """Every point of the domain is visited once, and nothing else."""
    for seed in range(MAPS):
        random = Random(seed)
        case = isl.affine(random, sizes=0)
        statement = replace(statement_of(case), subscripts=tuple(r.index for r in case.ranges), op="=", value=sp.Integer(1))
        tensors = (Tensor("Y", tuple(r.upper for r in case.ranges), "float32", "defined"),)
        worker = _Scheduler(Graph(tensors, (statement,), ("Y",)), CPU, None)
        points = visited(worker.bodies.mapped(statement, loop_order(statement), False), {})
        assert sorted(points) == isl.all_points(case), case
