"""A simulated GPU: the text of a module becomes Python whose threads wait by ``yield``, and launches run it."""

from __future__ import annotations

import ast
import itertools
import linecache
import math
import traceback
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.gpu.memory import Fault, Memory, typed
from tests.gpu.names import MATH, cuda_of
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
        tree = ast.parse(text)
        waiting = OF_A_BLOCK | OF_A_WARP
        while waiting:
            generators = _Requests(waiting)
            tree = generators.visit(tree)
            waiting = generators.found
        name = f"<module {id(self)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        self.module: dict[str, Any] = {"cuda": cuda_of(self), "math": MATH, "config": SimpleNamespace(ENABLE_CUDASIM=few)}
        exec(compile(ast.fix_missing_locations(tree), name, "exec"), self.module)

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


class _Requests(ast.NodeTransformer):
    """Calls that wait become ``yield``; `found` are functions that wait for that reason."""

    def __init__(self, names: set[str]) -> None:
        self.names, self.found, self.inside = names, set[str](), list[str]()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.inside.append(node.name)
        self.generic_visit(node)
        self.inside.pop()
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        node.names = [name for name in node.names if name.name not in ("cuda", "config")]
        return node if node.names else None

    def visit_Import(self, node: ast.Import) -> Any:
        return None if node.names[0].name == "math" else node

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        if ast.unparse(node.func) == "cuda.shared.array" and all(k.arg != "site" for k in node.keywords):
            node.keywords.append(ast.keyword("site", ast.Constant(f"{node.lineno}:{node.col_offset}")))
        if name not in self.names or not self.inside:
            return node
        self.found.add(self.inside[-1])
        if isinstance(node.func, ast.Name):
            return ast.copy_location(ast.YieldFrom(node), node)
        arguments = node.args or ([ast.Constant(2**WARP - 1)] if name == "syncwarp" else [])
        request = ast.Tuple([ast.Constant(name), ast.Constant(node.lineno), ast.Tuple(arguments, ast.Load())], ast.Load())
        return ast.copy_location(ast.Yield(request), node)
