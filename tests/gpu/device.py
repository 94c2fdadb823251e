"""A simulated GPU: the text of a module becomes Python whose threads wait by ``yield``, and launches run it."""

from __future__ import annotations

import ast
import itertools
import linecache
import math
import re
import traceback
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import CodeType, SimpleNamespace
from typing import Any

import numpy as np

from tests.gpu.memory import Fault, Memory, typed
from tests.gpu.names import HELPERS, MATH, cuda_of
from tests.gpu.threads import OF_A_BLOCK, OF_A_WARP, WARP, Block, settled

__all__ = ["Device"]

Array = np.ndarray[Any, Any]
MOST_THREADS = 1024


class Device:
    """The memory, and the module as Python.

    Args:
        text: of the module.
        few: whether the module makes do with a few threads, as in the simulator of Numba.
    """

    def __init__(self, text: str, few: bool = False) -> None:
        self.text, self.unwritten, self.memories = text, set[int](), list[Memory]()
        self.here: Any = None
        code = _python(text)
        linecache.cache[code.co_filename] = (len(text), None, text.splitlines(keepends=True), code.co_filename)
        self.module: dict[str, Any] = {"cuda": cuda_of(self), "math": MATH, "config": SimpleNamespace(ENABLE_CUDASIM=few), **HELPERS}
        exec(code, self.module)

    def array(self, array: Array, name: str, racing: bool = False) -> Memory:
        self.memories.append(Memory(self, array, name, racing))
        return self.memories[-1]

    def empty(self, shape: Any, dtype: Any, name: str) -> Memory:
        memory = self.array(np.full(shape, 77, typed(dtype)), name)
        self.unwritten.update(memory.addresses())
        return memory

    def element(self, address: int) -> str:
        return next(m.element(address) for m in self.memories if address in m.addresses())

    def launch(self, function: Callable[..., Any], bounds: Any, configuration: Sequence[Any], arguments: Sequence[Any]) -> None:
        grid, shape = (((*c, 1, 1) if isinstance(c, tuple) else (c, 1, 1))[:3] for c in configuration[:2])
        most = (bounds[0] if isinstance(bounds, tuple) else bounds) or MOST_THREADS
        if math.prod(shape) > most or min(*grid, *shape) < 1:
            raise Fault(f"{function.__name__} cannot be launched with {grid} blocks of {shape} threads")
        kept, blocks = len(self.memories), [Block(p, shape, grid, self) for p in itertools.product(*map(range, grid))]
        runs = [block.run(function, arguments) for block in blocks]
        try:
            with np.errstate(all="ignore"):
                while len(waiting := [r for r in runs if next(r, None)]) == len(runs):
                    settled(blocks, self)
            if waiting:
                raise Fault("divergence: some blocks wait for all others, which have ended")
            settled(blocks, self)
        except Fault as fault:
            lines = [f.lineno for f in traceback.extract_tb(fault.__traceback__) if f.filename.startswith("<module")]
            place = f", line {lines[-1]}: {self.text.splitlines()[lines[-1] - 1].strip()}" if lines else ""
            raise Fault(f"{function.__name__}{place}\n{fault}") from None
        for memory in self.memories[kept:]:
            self.unwritten.difference_update(memory.addresses())
        del self.memories[kept:]


@lru_cache(maxsize=16)
def _python(text: str) -> CodeType:
    """The module with ``yield`` where threads wait; without what `Device` puts in the place of imports."""
    tree, lines, name = ast.parse(text), text.splitlines(), f"<module {hash(text)}>"
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [n for n in node.names if n.name not in ("cuda", "config", "math", *HELPERS, "multiply")]
    tree.body = [n for n in tree.body if not isinstance(n, ast.Import | ast.ImportFrom) or n.names]
    waiting = OF_A_BLOCK | OF_A_WARP | {"array"}
    while waiting:
        calls, requests = re.compile(rf"\b({'|'.join(waiting)})\("), _Requests(waiting)
        for node in tree.body:
            if calls.search("\n".join(lines[node.lineno - 1 : node.end_lineno])):
                requests.visit(node)
        waiting = {n for n in requests.found if text.count(f"{n}(") > 1}
    return compile(tree, name, "exec")


class _Requests(ast.NodeTransformer):
    """Calls that wait become ``yield``; `found` are functions that wait for that reason."""

    def __init__(self, names: set[str]) -> None:
        self.names, self.found, self.inside = names, set[str](), list[str]()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.inside.append(node.name)
        self.generic_visit(node)
        self.inside.pop()
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in self.names or not self.inside:
            return node
        new: ast.expr = node
        if name == "array":
            node.keywords.append(ast.keyword("site", ast.Constant(f"{node.lineno}:{node.col_offset}")))
        else:
            self.found.add(self.inside[-1])
            whole = name == "multiply" or (name == "syncwarp" and not node.args)
            arguments = [ast.Constant(2**WARP - 1), *node.args] if whole else node.args
            request = ast.Tuple([ast.Constant(name), ast.Constant(node.lineno), ast.Tuple(arguments, ast.Load())], ast.Load())
            new = ast.YieldFrom(node) if isinstance(node.func, ast.Name) and name not in OF_A_WARP else ast.Yield(request)
        return ast.fix_missing_locations(ast.copy_location(new, node))
