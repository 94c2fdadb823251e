"""Contractions on a GPU: tiles of the operands in shared memory, square blocks of sums in registers.

One kernel serves products in any layout, batches and convolutions: an operand is read as ``A[row part + depth part]`` through its affine
subscripts, without a copy. While a tile is multiplied the next one is on its way into registers (Volkov and Demmel, "Benchmarking GPUs to
tune dense linear algebra", 2008). Elements beyond the edges count as 0, and are neither read nor written.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import sympy as sp

from graphc.emit.expression import SHORT, Writer
from graphc.ir.expr import INFINITY, Call
from graphc.ir.nest import Contract, Group, Local
from graphc.ir.tensor import Tensor
from graphc.ir.tree import postorder, substitute

__all__ = ["TILES", "different", "launches", "tile_kernel"]

TILES = '''SHIFT, DEPTH = (3, 8) if config.ENABLE_CUDASIM else (4, 8)
SIDE = 1 << SHIFT
MEMBERS = SIDE * SIDE
ENOUGH, LEAST = (4, 16) if config.ENABLE_CUDASIM else (128, 256)
BLOCK, ALONE = ({}, {}) if config.ENABLE_CUDASIM else ({"launch_bounds": (MEMBERS, 2)}, {"launch_bounds": MEMBERS})


def tiles(rows, columns, batches, depth, room, large, small):
    """Sums of a thread along each side; blocks, of which small ones and parts of the depth fill all multiprocessors; those parts."""
    for sums in (large, small):
        blocks = -(-rows // (SIDE * sums)) * -(-columns // (SIDE * sums))
        if blocks * batches >= ENOUGH:
            break
    parts = 1
    while parts * blocks * batches < ENOUGH and depth > 2 * parts * LEAST and 2 * parts * rows * columns * batches <= room:
        parts *= 2
    return sums, (max(blocks, 1), min(max(batches, 1), 65535), parts), parts'''
"""What modules with contractions begin with."""

_SUMS = {"float32": (8, 2), "float64": (4, 2)}
"""Rows and columns of sums of a thread: in large blocks, and in small ones, of which there are more."""


def _sums(step: Contract, dtype: str) -> tuple[int, int]:
    large, small = _SUMS[dtype]
    calls = [part for part in postorder(step.inner.value) if isinstance(part, Call)] if step.inner is not None else []
    crowded = len(step.operands) > 3 or any(call.function not in _SHORT for call in calls)
    return (large // 2 if crowded else large), small


_SHORT = {"abs", "maximum", "minimum", "sign", "difference"}
"""Functions of a few instructions."""


_NAMES = frozenset((
    "rows", "columns", "depth", "batches", "left", "right", "sums", "above", "across", "next_left", "next_right", "from_left", "from_right",
    "me", "x", "y", "m0", "n0", "m", "n", "k", "k0", "z", "i", "j", "e", "down", "inside", "at", "to_column", "here0", "here1", "scratch",
    "out", "whole", "parts", "part", "SUMS", "TALL", "TILE", "LOADS", "count", "total",
))  # fmt: skip


def different(names: Sequence[str]) -> list[str]:
    """The names, changed where two are equal or the kernel uses one for something else."""
    used, found = set(_NAMES), []
    for name in names:
        while name in used:
            name += "_"
        used.add(name)
        found.append(name)
    return found


def tile_kernel(name: str, step: Contract, tensors: Mapping[str, Tensor], writer: Writer, parameters: Sequence[str]) -> str:
    """The text of the kernel: a function that makes it for a number of sums, and two of its results.

    Args:
        name: of the kernel for large blocks.
        step: the contraction.
        tensors: by name.
        writer: of integer expressions.
        parameters: names of the operands, and of the sizes.
    """
    dtype = tensors[step.writes].dtype
    text, f = _Text(step, tensors, writer), SHORT[dtype]
    c, a, b, *others = parameters[: len(step.operands)]
    large, small = _sums(step, dtype)
    scale = "" if step.scale == 1 else f"({writer.value(step.scale, dtype)} if parts == 1 else {f}(1.0)) * "
    scaled = "" if step.scale == 1 else f"{writer.value(step.scale, dtype)} * "
    start, added = text.summing(dtype)
    batched = bool(step.batch.extents)
    comment = textwrap.wrap(step.plan.loop, 132, initial_indent="    # ", subsequent_indent="    #     ")
    body = [
        f"rows, columns, batches = {text.extent(step.rows)}, {text.extent(step.columns)}, {text.batches}",
        f"part = ({text.extent(step.depth)} + DEPTH * parts - 1) // (DEPTH * parts) * DEPTH",
        f"depth = min({text.extent(step.depth)}, (cuda.blockIdx.z + 1) * part)",
        f"left = cuda.shared.array(TILE, {f})",
        f"right = cuda.shared.array(TILE, {f})",
        *(f"{array} = cuda.local.array((SUMS, SUMS), {f})" for array in ("sums", *(f"here{k}" for k in range(len(others))))),
        f"across = cuda.local.array(SUMS, {f})",
        f"next_left = cuda.local.array(LOADS, {f})",
        f"next_right = cuda.local.array(LOADS, {f})",
        "me = i64(cuda.threadIdx.x)",
        "x, y = me & (SIDE - 1), (me >> SHIFT) & (SIDE - 1)  # masks say that they are not negative",
        "down = (rows + TALL - 1) // TALL",
        "m0, n0 = cuda.blockIdx.x % down * TALL, cuda.blockIdx.x // down * TALL",
    ]
    inner = [
        *text.starts(1, "left", step.rows, "m", "rows"),
        *text.starts(2, "right", step.columns, "n", "columns"),
        "for i in range(SUMS):",
        "    for j in range(SUMS):",
        f"        sums[i, j] = {start}",
        *(line for k, name in enumerate(others) for line in text.read_here(k, name, f)),
        "for k0 in range(cuda.blockIdx.z * part - DEPTH, depth if part > 0 else -DEPTH, DEPTH):",
        *(f"    {line}" for line in text.fetch(1, a, "left", step.rows, "m", "rows", f)),
        *(f"    {line}" for line in text.fetch(2, b, "right", step.columns, "n", "columns", f)),
        "    if k0 >= cuda.blockIdx.z * part:",
        f"        for k in range({'DEPTH' if step.inner is None else 'min(DEPTH, depth - k0)'}):",
        "            for j in range(SUMS):",
        "                across[j] = right[k, x + SIDE * j]",
        "            for i in range(SUMS):",
        "                above = left[k, y + SIDE * i]",
        "                for j in range(SUMS):",
        f"                    sums[i, j] = {added}",
        "    cuda.syncthreads()",
        *(f"    {line}" for line in text.keep(1, "left", step.rows)),
        *(f"    {line}" for line in text.keep(2, "right", step.columns)),
        "    cuda.syncthreads()",
        f"whole = (cuda.blockIdx.z * batches + {'z' if batched else '0'}) * rows",
        "for j in range(SUMS):",
        "    n = n0 + x + SIDE * j",
        f"    to_column = {text.place(0, step.columns, 'n')} if parts == 1 else n",
        "    for i in range(SUMS):",
        "        m = m0 + y + SIDE * i",
        "        if m < rows and n < columns:",
        f"            at = {text.place(0, step.rows, 'm', constant=True)} if parts == 1 else (whole + m) * columns",
        f"            out[at + to_column] = {scale}sums[i, j]" if not step.accumulate else
        f"            out[at + to_column] = {scale}sums[i, j] + (out[at + to_column] if parts == 1 else {f}(0.0))",
    ]
    if batched:
        body += ["for z in range(i64(cuda.blockIdx.y), batches, i64(cuda.gridDim.y)):"]
        inner = [f"    {line}" for line in inner]
    given = ", ".join(["out", *parameters[1 : len(step.operands)], "parts", *parameters[len(step.operands) :]])
    total = Local("total")
    joined = [
        f"rows, columns, batches = {text.extent(step.rows)}, {text.extent(step.columns)}, {text.batches}",
        "count = batches * rows * columns",
        "for e in range(cuda.grid(1), count, cuda.gridsize(1)):",
        f"    total = {start}",
        "    for part in range(parts):",
        f"        total = {text.combined(total, Local('scratch[part * count + e]'), dtype)}",
        "    z, m, n = e // (rows * columns), e // columns % rows, e % columns",
        f"    at = {text.place(0, step.rows, 'm', constant=True)}",
        f"    {c}[at + {text.place(0, step.columns, 'n')}] {'+=' if step.accumulate else '='} {scaled}total",
    ]
    sized = ", ".join([c, "scratch", "parts", *parameters[len(step.operands) :]])
    return "\n".join([
        f"def {name}_of(SUMS):", *comment,
        "    TALL = SIDE * SUMS", "    TILE = DEPTH, TALL + 4", "    LOADS = TALL * DEPTH // MEMBERS", "",
        f"    @cuda.jit(**{'ALONE' if text.crowded else 'BLOCK'})",
        f"    def {name}({given}):", *(f"        {line}" for line in (*body, *inner)), "", f"    return {name}",
        "", "", f"{name}, {name}_small = {name}_of({large}), {name}_of({small})",
        "", "", "@cuda.jit", f"def {name}_joined({sized}):", *(f"    {line}" for line in joined),
    ])  # fmt: skip


def launches(name: str, step: Contract, writer: Writer, dtype: str, arrays: Sequence[str], sizes: Sequence[str]) -> Iterator[str]:
    """Lines of the host function: large blocks if there are enough of them for all multiprocessors."""
    text = _Text(step, {}, writer)
    large, small = _sums(step, dtype)
    rows, columns, depth = (text.extent(group) for group in (step.rows, step.columns, step.depth))
    indent, scratch = "        ", arrays[-1]
    counts = [part for part in (text.batches, rows, columns) if not part.isdigit() or part == "0"]
    count = " * ".join(part for part in (text.batches, rows, columns) if part != "1") or "1"
    tests = [*(f"{writer.integer(x)} >= 0" for x in step.when), *([f"{count} > 0"] if counts else [])]
    if tests:
        yield f"    if {' and '.join(tests)}:"
    else:
        indent = "    "
    views = [f"{a}.reshape(-1)" for a in arrays[:-1]]
    yield f"{indent}sums, tiled, parts = tiles({rows}, {columns}, {text.batches}, {depth}, {scratch}.size, {large}, {small})"
    kernel = f"({name} if sums == {large} else {name}_small)"
    given = [f"{views[0]} if parts == 1 else {scratch}", *views[1:], "parts", *sizes]
    yield f"{indent}{kernel}[tiled, MEMBERS, stream]({', '.join(given)})"
    yield f"{indent}if parts > 1:"
    yield f"{indent}    {name}_joined[(*grid({count}), stream)]({', '.join([views[0], scratch, 'parts', *sizes])})"


class _Text:
    """Pieces of the kernel's text."""

    def __init__(self, step: Contract, tensors: Mapping[str, Tensor], writer: Writer) -> None:
        self.step, self.writer = step, writer
        self.shapes = [tensors[n].shape for n in step.operands] if tensors else []

    @property
    def batches(self) -> str:
        return self.extent(self.step.batch) if self.step.batch.extents else "1"

    def combined(self, total: Local, value: sp.Expr, dtype: str) -> str:
        self.writer.locals.update(dict.fromkeys([total, value], dtype))
        return self.writer.value(Call("plus" if self.step.inner is None else self.step.inner.combine, total, value), dtype)

    def summing(self, dtype: str) -> tuple[str, str]:
        """What the sums begin with, and how they go on."""
        inner, total = self.step.inner, Local("sums[i, j]")
        names = [Local("above"), Local("across[j]"), *(Local(f"here{k}[i, j]") for k in range(len(self.step.operands) - 3))]
        self.writer.locals.update(dict.fromkeys([total, *names], dtype))
        if inner is None:
            return f"{SHORT[dtype]}(0.0)", "sums[i, j] + above * across[j]"
        value = substitute(inner.value, dict(zip(inner.parts, names, strict=True)))
        start = {"plus": sp.Integer(0), "maximum": -INFINITY, "minimum": INFINITY}[inner.combine]
        return self.writer.value(start, dtype), self.writer.value(Call(inner.combine, total, value), dtype)

    def read_here(self, number: int, array: str, kind: str) -> Iterator[str]:
        """The elements of an operand that does not move along the depth."""
        operand = number + 3
        yield "for i in range(SUMS):"
        yield "    m = m0 + y + SIDE * i"
        yield f"    at = {self.place(operand, self.step.rows, 'm', constant=True)}"
        yield "    for j in range(SUMS):"
        yield "        n = n0 + x + SIDE * j"
        yield "        inside = m < rows and n < columns"
        yield f"        here{number}[i, j] = {array}[at + {self.place(operand, self.step.columns, 'n')}] if inside else {kind}(0.0)"

    def extent(self, group: Group) -> str:
        return self._product(group.extents)

    def _product(self, factors: Sequence[sp.Expr]) -> str:
        text = self.writer.integer(sp.Mul(*factors))
        return text if text.isidentifier() or text.isdigit() else f"({text})"

    def _strides(self, operand: int, group: Group) -> list[sp.Expr]:
        """How many elements each index of a group moves an operand."""
        shape = self.shapes[operand]
        along = [sp.Mul(*shape[d + 1 :]) for d in range(len(shape))]
        return [sp.Add(*(c * s for c, s in zip(coefficients, along, strict=True))) for coefficients in group.coefficients[operand]]

    def place(self, operand: int, group: Group, number: str, constant: bool = False) -> str:
        """Where the `number`-th point of a group lies in an operand; with the constant part of its subscripts, and that of the batch."""
        parts = []
        for position, (stride, extent) in enumerate(zip(self._strides(operand, group), group.extents, strict=True)):
            if stride == 0:
                continue
            behind = group.extents[position + 1 :]
            index = number if not behind else f"{number} // {self._product(behind)}"
            if position:
                index = f"{index} % {self._product((extent,))}"
            index = index if index.isidentifier() else f"({index})"
            parts.append(index if stride == 1 else f"{index} * {self._product((stride,))}")
        if constant:
            start = sp.Add(self.step.starts[operand], *self._lowers(operand))
            if start != 0:
                parts.append(self._product((sp.expand(start),)))
            if self.step.batch.extents:
                parts.append(f"({self.place(operand, self.step.batch, 'z')})")
        return " + ".join(parts) or "0"

    def _lowers(self, operand: int) -> Iterator[sp.Expr]:
        """Where the first point of all groups lies."""
        shape = self.shapes[operand]
        for d, c in enumerate(self.step.constants[operand]):
            yield c * sp.Mul(*shape[d + 1 :])
        for group in (self.step.batch, self.step.rows, self.step.columns, self.step.depth):
            if group.coefficients and len(group.coefficients) > operand:
                for stride, lower in zip(self._strides(operand, group), group.lowers, strict=True):
                    yield stride * lower

    def _along_depth(self, operand: int, group: Group) -> bool:
        """Whether neighbours in memory differ in the depth: then they are read by neighbouring threads."""
        depth, own = self._strides(operand, self.step.depth), self._strides(operand, group)
        return bool(depth) and depth[-1] == 1 and not (own and own[-1] == 1)

    def _steady(self, operand: int, group: Group) -> bool:
        """Whether the rows of a thread lie at equal distances."""
        return self._along_depth(operand, group) and len(group.extents) == 1

    @property
    def crowded(self) -> bool:
        """Whether two blocks on one multiprocessor have too few registers: each thread keeps its place in many rows of both operands."""
        return self._along_depth(1, self.step.rows) and self._along_depth(2, self.step.columns)

    def starts(self, operand: int, side: str, group: Group, letter: str, count: str) -> Iterator[str]:
        """Where the rows of an operand that a thread reads begin."""
        place = self.place(operand, group, letter, constant=True)
        if self._steady(operand, group):
            yield f"{letter} = {letter}0 + me // DEPTH"
            yield f"from_{side} = {place}"
        elif self._along_depth(operand, group):
            yield f"from_{side} = cuda.local.array(LOADS, i64)"
            yield "for i in range(LOADS):"
            yield f"    {letter} = min({letter}0 + me // DEPTH + MEMBERS // DEPTH * i, {count} - 1)"
            yield f"    from_{side}[i] = {place}"
        else:
            yield f"{letter} = min({letter}0 + (me & (TALL - 1)), {count} - 1)"
            yield f"from_{side} = {place}"

    def fetch(self, operand: int, array: str, side: str, group: Group, letter: str, count: str, kind: str) -> Iterator[str]:
        """The next tile of an operand into registers."""
        place = self.place(operand, self.step.depth, "k")
        if self._along_depth(operand, group):
            here = f"from_{side}[i]"
            if self._steady(operand, group):
                here = f"from_{side} + MEMBERS // DEPTH * i * {self._product(self._strides(operand, group)[:1])}"
            yield "k = k0 + DEPTH + (me & (DEPTH - 1))"
            yield f"at = {place}"
            yield "for i in range(LOADS):"
            yield f"    inside = k < depth and {letter}0 + me // DEPTH + MEMBERS // DEPTH * i < {count}"
            yield f"    next_{side}[i] = {array}[{here} + at] if inside else {kind}(0.0)"
        else:
            yield f"inside = {letter}0 + (me & (TALL - 1)) < {count}"
            yield "for i in range(LOADS):"
            yield "    k = k0 + DEPTH + me // TALL + MEMBERS // TALL * i"
            yield f"    next_{side}[i] = {array}[from_{side} + {place}] if inside and k < depth else {kind}(0.0)"

    def keep(self, operand: int, side: str, group: Group) -> Iterator[str]:
        """The tile from registers into shared memory."""
        yield "for i in range(LOADS):"
        if self._along_depth(operand, group):
            yield f"    {side}[me & (DEPTH - 1), ((me // DEPTH) & (TALL - 1)) + MEMBERS // DEPTH * i] = next_{side}[i]"
        else:
            yield f"    {side}[((me // TALL) & (DEPTH - 1)) + MEMBERS // TALL * i, me & (TALL - 1)] = next_{side}[i]"
