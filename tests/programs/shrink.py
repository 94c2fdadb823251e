"""Failing programs of a seed are made small: fewer definitions, smaller expressions, smaller sizes (hypothesis treats those it draws)."""

from __future__ import annotations

import ast
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

import graphc as gc
from tests.programs.program import RandomProgram

__all__ = ["shrunk"]


def shrunk(program: RandomProgram, fails: Callable[[RandomProgram], bool], seconds: float = 60) -> RandomProgram:
    """A smaller program for which `fails` still holds; no single step below makes it smaller, unless time ran out.

    If the program can be built, so can the smaller one: a step that leaves out what is still needed has not found the same failure.
    """
    stop = time.monotonic() + seconds
    built = _builds(program)
    changed = True
    while changed:
        changed = False
        for steps in (_without_blocks, _without_lines, _smaller_expressions, _smaller_sizes):
            position = 0
            while time.monotonic() < stop:
                candidates = list(steps(program))
                if position >= len(candidates):
                    break
                smaller = candidates[position]
                if smaller.blocks and (_builds(smaller) or not built) and fails(smaller):
                    program, changed = smaller, True
                else:
                    position += 1
    return program


def _builds(program: RandomProgram) -> bool:
    """Whether it is no mistake, and every tensor has an array or a definition."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            names = program.build()
        except Exception:
            return False
    return all(t.statements or name in program.inputs for name, t in names.items() if isinstance(t, gc.Tensor))


def _without_blocks(program: RandomProgram) -> Iterator[RandomProgram]:
    for k in reversed(range(len(program.blocks))):
        yield replace(program, blocks=(*program.blocks[:k], *program.blocks[k + 1 :]))


def _with_line(program: RandomProgram, block: int, line: int, *new: str) -> RandomProgram:
    lines = program.blocks[block]
    changed = (*lines[:line], *new, *lines[line + 1 :])
    return replace(program, blocks=(*program.blocks[:block], changed, *program.blocks[block + 1 :]))


def _without_lines(program: RandomProgram) -> Iterator[RandomProgram]:
    for b, lines in enumerate(program.blocks):
        for k in reversed(range(len(lines))):
            name = lines[k].split(" = ")[0]
            needed = name.isidentifier() and any(re.search(rf"\b{name}\b", other) for other in lines[k + 1 :])
            if len(lines) > 1 and not needed:
                yield _with_line(program, b, k)


def _smaller_expressions(program: RandomProgram) -> Iterator[RandomProgram]:
    for b, lines in enumerate(program.blocks):
        for k, line in enumerate(lines):
            if "gc.index(" in line or "gc.tensor(" in line:
                continue
            for text in _smaller(line):
                yield _with_line(program, b, k, text)


def _smaller(line: str) -> Iterator[str]:
    """The statement with one part of its right side replaced by a part of it or by a number, largest parts first."""
    found = [n for n in ast.walk(ast.parse(line).body[0].value) if isinstance(n, ast.expr)]  # type: ignore[attr-defined]
    for position in range(len(found)):
        if isinstance(found[position], ast.Constant | ast.Name | ast.Lambda) or not hasattr(found[position], "lineno"):
            continue
        options = [c for c in ast.walk(found[position]) if isinstance(c, ast.Subscript | ast.Call | ast.BinOp | ast.UnaryOp | ast.Compare)]
        texts = dict.fromkeys(["1", "0.5", *map(ast.unparse, options[1:])])
        whole = ast.unparse(found[position])
        for text in texts:
            if text != whole and len(text) < len(whole):
                yield ast.unparse(_Replaced(found[position], text).visit(ast.parse(line)))


class _Replaced(ast.NodeTransformer):
    def __init__(self, old: ast.expr, new: str) -> None:
        self.place, self.new = (old.lineno, old.col_offset, old.end_col_offset, type(old)), new

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr) and (node.lineno, node.col_offset, node.end_col_offset, type(node)) == self.place:
            return ast.parse(self.new, mode="eval").body
        return self.generic_visit(node)


def _smaller_sizes(program: RandomProgram) -> Iterator[RandomProgram]:
    for name, value in program.sizes.items():
        if value > 1:
            sizes = {**program.sizes, name: value - 1}
            arrays = dict(program.arrays)
            for n in program.used():
                declared = re.sub(r", dtype=.*", ")", program.inputs[n]).split(",", 1)
                shape = eval(f"({declared[1].strip()[:-1]},)", {}, dict(sizes)) if len(declared) > 1 else ()
                shape = () if shape == ((),) else shape
                if len(shape) == arrays[n].ndim and all(0 <= e <= had for e, had in zip(shape, arrays[n].shape, strict=True)):
                    arrays[n] = np.array(arrays[n][tuple(map(slice, shape))])  # np.ascontiguousarray would give a scalar a dimension
            yield replace(program, sizes=sizes, arrays=arrays)
