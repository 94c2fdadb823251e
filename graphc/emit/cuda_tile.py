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

__all__ = ["CORES", "TILES", "different", "launches", "on_cores", "tile_kernel", "tiled"]

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
    return sums, (max(blocks, 1), min(max(batches, 1), 65535), parts), parts


def four_at_once(*arrays):
    """Whether four neighbours can be read by one instruction: the simulator has tiles of another form."""
    return not config.ENABLE_CUDASIM and all(a.__cuda_array_interface__["data"][0] % 16 == 0 for a in arrays)'''
"""What modules with contractions begin with."""

CORES = """CORES = not config.ENABLE_CUDASIM  # the simulator has no tensor cores"""
"""And those whose large blocks use tensor cores."""

_SUMS = {"float32": (8, 2), "float64": (4, 2)}
"""Rows and columns of sums of a thread: in large blocks, and in small ones, of which there are more."""


def _sums(step: Contract, dtype: str) -> tuple[int, int]:
    large, small = _SUMS[dtype]
    calls = [part for part in postorder(step.inner.value) if isinstance(part, Call)] if step.inner is not None else []
    crowded = len(step.operands) > 3 or any(call.function not in _SHORT for call in calls)
    return (large // 2 if crowded else large), small


_ROW, _COLUMN = (f"{first} + j // GROUP * GROUP * SIDE + GROUP * {own} + j % GROUP" for first, own in (("m0", "y"), ("n0", "x")))
_ROW = _ROW.replace("j", "i")
"""Of a thread's sum: groups of neighbours, whose elements of a tile are read by one instruction."""

_SHORT = {"abs", "maximum", "minimum", "sign", "difference"}
"""Functions of a few instructions."""


_NAMES = frozenset((
    "rows", "columns", "depth", "batches", "left", "right", "sums", "above", "across", "next_left", "next_right", "from_left", "from_right",
    "from_left_of", "from_right_of", "left_inside", "right_inside", "across_warp", "down_warp", "group", "member",
    "me", "x", "y", "m0", "n0", "m", "n", "k", "k0", "z", "i", "j", "g", "r",
    "e", "down", "inside", "at", "to_column", "begin", "pitch", "stride", "here0", "here1", "scratch", "out", "whole", "parts", "part",
    "SUMS", "WIDE", "TALL", "GROUP", "SQUARE", "PITCH", "TILE", "LOADS", "QUADS", "count", "total",
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


def on_cores(step: Contract, dtype: str) -> bool:
    """Whether tensor cores can compute the large blocks of a contraction."""
    return dtype == "float32" and step.inner is None


def tile_kernel(
    name: str, step: Contract, tensors: Mapping[str, Tensor], writer: Writer, parameters: Sequence[str], cores: bool
) -> str:
    """The text of the kernel: a function that makes it for a number of sums, and two of its results.

    Args:
        name: of the kernel for large blocks.
        step: the contraction.
        tensors: by name.
        writer: of integer expressions.
        parameters: names of the operands, and of the sizes.
        cores: whether large blocks are computed by tensor cores.
    """
    dtype = tensors[step.writes].dtype
    text, f = _Text(step, tensors, writer), SHORT[dtype]
    multiplied = [
        f"for k in range({'DEPTH' if step.inner is None else 'min(DEPTH, depth - k0)'}):",
        *(f"    {line}" for line in _group("across", "right", "x", "0", "SUMS")),
        "    for r in range(0, SUMS, GROUP):",
        *(f"        {line}" for line in _group("above", "left", "y", "r", "r + GROUP")),
        "        for i in range(r, r + GROUP):",
        "            for j in range(SUMS):",
        f"                sums[SUMS * i + j] = {text.summing(dtype)[1]}",
    ]
    c, a, b, *others = parameters[: len(step.operands)]
    scale = "" if step.scale == 1 else writer.value(step.scale, dtype)
    scaled = "" if step.scale == 1 else f"{writer.value(step.scale, dtype)} * "
    start, _ = text.summing(dtype)
    batched = bool(step.batch.extents)
    comment = textwrap.wrap(step.plan.loop, 132, initial_indent="    # ", subsequent_indent="    #     ")
    body = [
        f"rows, columns, batches = {text.extent(step.rows)}, {text.extent(step.columns)}, {text.batches}",
        f"part = ({text.extent(step.depth)} + DEPTH * parts - 1) // (DEPTH * parts) * DEPTH",
        f"depth = min({text.extent(step.depth)}, (cuda.blockIdx.z + 1) * part)",
        f"left = cuda.shared.array(TILE, {f})",
        f"right = cuda.shared.array(TILE, {f})",
        *(f"{array} = cuda.local.array(SQUARE, {f})" for array in ("sums", *(f"here{k}" for k in range(len(others))))),
        f"above = cuda.local.array(SUMS, {f})",
        f"across = cuda.local.array(SUMS, {f})",
        f"next_left = cuda.local.array(LOADS, {f})",
        f"next_right = cuda.local.array(LOADS, {f})",
        "me = i64(cuda.threadIdx.x)",
        "x, y = me & (SIDE - 1), (me >> SHIFT) & (SIDE - 1)  # masks say that they are not negative",
        *(_LANES if cores else ()),
        "down = (rows + TALL - 1) // TALL",
        "m0, n0 = cuda.blockIdx.x % down * TALL, cuda.blockIdx.x // down * TALL",
    ]
    inner = [
        *text.starts(1, "left", step.rows, "m", "rows"),
        *text.starts(2, "right", step.columns, "n", "columns"),
        "for i in range(SQUARE):",
        f"    sums[i] = {start}",
        *(line for k, name in enumerate(others) for line in text.read_here(k, name, f)),
        "for k0 in range(cuda.blockIdx.z * part - DEPTH, depth if part > 0 else -DEPTH, DEPTH):",
        *(f"    {line}" for line in text.fetch(1, a, "left", step.rows, "m", "rows", f)),
        *(f"    {line}" for line in text.fetch(2, b, "right", step.columns, "n", "columns", f)),
        "    if k0 >= cuda.blockIdx.z * part:",
        *(f"        {line}" for line in _either(cores, _MULTIPLIED, multiplied)),
        *(f"    {line}" for line in _either(cores, _ROUNDED, [])),
        "    cuda.syncthreads()",
        *(f"    {line}" for line in text.keep(1, "left", step.rows)),
        *(f"    {line}" for line in text.keep(2, "right", step.columns)),
        "    cuda.syncthreads()",
        f"whole = (cuda.blockIdx.z * batches + {'z' if batched else '0'}) * rows",
        *text.written(scale, cores),
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
    kinds = tiled(name, step, tensors, writer)
    return "\n".join([
        f"def {name}_of(SUMS, WIDE):", *comment,
        "    TALL, GROUP, SQUARE = SIDE * SUMS, min(SUMS, 4), SUMS * SUMS",
        f"    PITCH = TALL + {'(8 if CORES else 4)' if cores else '4'}", "    TILE = DEPTH * PITCH",
        "    LOADS, QUADS = TALL * DEPTH // MEMBERS, DEPTH // 4", "",
        f"    @cuda.jit(**{'(BLOCK if WIDE else ALONE)' if text.crowded else 'BLOCK'})",
        f"    def {name}({given}):", *(f"        {line}" for line in (*body, *inner)), "", f"    return {name}",
        "", "", f"{', '.join(kinds)} = {', '.join(f'{name}_of({given})' for given in kinds.values())}",
        "", "", "@cuda.jit", f"def {name}_joined({sized}):", *(f"    {line}" for line in joined),
    ])  # fmt: skip


def tiled(name: str, step: Contract, tensors: Mapping[str, Tensor], writer: Writer) -> dict[str, str]:
    """The kernels of a contraction, and what they are made for: sums along each side, and whether tiles are read four elements at once."""
    dtype = tensors[step.writes].dtype
    large, small = _sums(step, dtype)
    wide = {f"{name}_wide": f"{large}, True"} if _Text(step, tensors, writer).wide(dtype) is not None else {}
    return wide | {name: f"{large}, False", f"{name}_small": f"{small}, False"}


def launches(
    name: str, step: Contract, tensors: Mapping[str, Tensor], writer: Writer, arrays: Sequence[str], sizes: Sequence[str]
) -> Iterator[str]:
    """Lines of the host function: large blocks if there are enough of them for all multiprocessors."""
    dtype = tensors[step.writes].dtype
    text = _Text(step, tensors, writer)
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
    wide = text.wide(dtype)
    if wide is not None:
        tests = [f"four_at_once({', '.join(views[1:3])})", *(f"{test} == 0" for test in wide)]
        yield f"{indent}large = {name}_wide if {' and '.join(tests)} else {name}"
    kernel = f"({'large' if wide is not None else name} if sums == {large} else {name}_small)"
    given = [f"{views[0]} if parts == 1 else {scratch}", *views[1:], "parts", *sizes]
    yield f"{indent}{kernel}[tiled, MEMBERS, stream]({', '.join(given)})"
    yield f"{indent}if parts > 1:"
    yield f"{indent}    {name}_joined[(*grid({count}), stream)]({', '.join([views[0], scratch, 'parts', *sizes])})"


_LANES = (
    "member, group = me & 3, (me >> 2) & 7",
    "across_warp, down_warp = (me >> 5) & 1, (me >> 6) & 3  # a warp has 32 rows and 64 columns",
)
_ROUNDED = ("for i in range(LOADS):", "    next_left[i] = rounded(next_left[i])", "    next_right[i] = rounded(next_right[i])")
_MULTIPLIED = (
    "at = member * PITCH + group",
    "for i in range(2):",
    "    for g in range(4):",
    "        above[4 * i + g] = left[at + 32 * down_warp + 16 * i + 8 * (g % 2) + 4 * PITCH * (g // 2)]",
    "for j in range(8):",
    "    for g in range(2):",
    "        across[g] = right[at + 64 * across_warp + 8 * j + 4 * PITCH * g]",
    "    for i in range(2):",
    "        multiply(sums, 4 * j + 32 * i, above, 4 * i, across, 0)",
)
_CORE_ROW = "m0 + 32 * down_warp + 16 * (i // 2) + group + 8 * (i % 2)"
_CORE_COLUMN = "n0 + 64 * across_warp + 8 * (j // 2) + 2 * member + j % 2"
_CORE_SUM = "sums[32 * (i // 2) + 4 * (j // 2) + 2 * (i % 2) + j % 2]"
"""What tensor cores multiply, and where they leave the sums (`graphc.kernels.tensor_cores`)."""


def _either(cores: bool, here: Sequence[str], otherwise: Sequence[str]) -> Iterator[str]:
    """Lines for blocks on tensor cores, and for others."""
    if not cores:
        yield from otherwise
        return
    yield "if CORES and SUMS == 8:"
    yield from (f"    {line}" for line in here)
    if otherwise:
        yield "else:"
        yield from (f"    {line}" for line in otherwise)


def _group(to: str, side: str, own: str, first: str, last: str) -> Iterator[str]:
    """Elements of a tile into registers: four neighbours by one instruction where there are so many."""
    place = f"k * PITCH + GROUP * {own} + SIDE * g"
    yield f"for g in range({first}, {last}, GROUP):"
    yield "    if GROUP == 4:"
    yield f"        get_four({to}, g, {side}, {place})"
    yield "    else:"
    yield "        for i in range(GROUP):"
    yield f"            {to}[g + i] = {side}[{place} + i]"


def _one_by_one(at: str, column: str, adding: str, cores: bool = False) -> Iterator[str]:
    """Lines that write the sums: into row m, whose place is `at`, and column n; `adding` tells whether they are added to what is there."""
    total = _CORE_SUM if cores else "sums[SUMS * i + j]"
    yield f"for j in range({16 if cores else 'SUMS'}):"
    yield f"    n = {_CORE_COLUMN if cores else _COLUMN}"
    yield f"    to_column = {column}"
    yield f"    for i in range({4 if cores else 'SUMS'}):"
    yield f"        m = {_CORE_ROW if cores else _ROW}"
    yield "        if m < rows and n < columns:"
    yield f"            at = {at}"
    indent = "            "
    if adding:
        yield f"{indent}if {adding}:"
        yield f"{indent}    add_one(out, at + to_column, {total})"
        yield f"{indent}else:"
        indent += "    "
    yield f"{indent}put_one(out, at + to_column, {total})"


class _Text:
    """Pieces of the kernel's text."""

    def __init__(self, step: Contract, tensors: Mapping[str, Tensor], writer: Writer) -> None:
        self.step, self.writer = step, writer
        self.shapes = [tensors[n].shape for n in step.operands]

    @property
    def batches(self) -> str:
        return self.extent(self.step.batch) if self.step.batch.extents else "1"

    def combined(self, total: Local, value: sp.Expr, dtype: str) -> str:
        self.writer.locals.update(dict.fromkeys([total, value], dtype))
        return self.writer.value(Call("plus" if self.step.inner is None else self.step.inner.combine, total, value), dtype)

    def summing(self, dtype: str) -> tuple[str, str]:
        """What the sums begin with, and how they go on."""
        inner, total = self.step.inner, Local("sums[SUMS * i + j]")
        names = [Local("above[i]"), Local("across[j]"), *(Local(f"here{k}[SUMS * i + j]") for k in range(len(self.step.operands) - 3))]
        self.writer.locals.update(dict.fromkeys([total, *names], dtype))
        if inner is None:
            return f"{SHORT[dtype]}(0.0)", "sums[SUMS * i + j] + above[i] * across[j]"
        value = substitute(inner.value, dict(zip(inner.parts, names, strict=True)))
        start = {"plus": sp.Integer(0), "maximum": -INFINITY, "minimum": INFINITY}[inner.combine]
        return self.writer.value(start, dtype), self.writer.value(Call(inner.combine, total, value), dtype)

    def written(self, scale: str, cores: bool) -> Iterator[str]:
        """The sums into the result, or into `scratch`: four at once where they are neighbours."""
        step = self.step
        if scale:
            yield "if parts == 1:"
            yield "    for i in range(SQUARE):"
            yield f"        sums[i] = {scale} * sums[i]"
        adding = "parts == 1" if step.accumulate else ""
        if len(step.rows.extents) > 1 or len(step.columns.extents) > 1:
            at = f"{self.place(0, step.rows, 'm', constant=True)} if parts == 1 else (whole + m) * columns"
            to_column = f"{self.place(0, step.columns, 'n')} if parts == 1 else n"
            yield from _either(cores, [*_one_by_one(at, to_column, adding, True)], [*_one_by_one(at, to_column, adding)])
            return
        begin = self.place(0, Group((), (), ((),) * len(step.operands)), "", constant=True)
        down, across = (self._product(self._strides(0, group)) if group.extents else "0" for group in (step.rows, step.columns))
        yield f"begin, pitch, stride = ({begin}, {down}, {across}) if parts == 1 else (whole * columns, columns, 1)"
        line, column = "begin + m * pitch", "n * stride"
        yield from _either(cores, [*_one_by_one(line, column, adding, True)], [*self._by_fours(line, column, adding)])

    def _by_fours(self, line: str, column: str, adding: str) -> Iterator[str]:
        yield "if GROUP == 4 and stride == 1 and n0 + TALL <= columns and begin % 4 == 0 and pitch % 4 == 0 and aligned(out):"
        yield "    at = begin + (m0 + 4 * y) * pitch + n0 + 4 * x"
        yield "    for i in range(SUMS):"
        yield "        if m0 + 4 * y + i % 4 + i // 4 * 4 * SIDE < rows:"
        yield "            for j in range(0, SUMS, 4):"
        if adding:
            yield f"                if {adding}:"
            yield "                    get_four(across, 0, out, at + SIDE * j)"
            yield "                    for g in range(4):"
            yield "                        sums[SUMS * i + j + g] += across[g]"
        yield "                put_four(out, at + SIDE * j, sums, SUMS * i + j)"
        yield "        at += (4 * SIDE - 3 if i % 4 == 3 else 1) * pitch"
        yield "else:"
        yield from (f"    {line}" for line in _one_by_one(line, column, adding))

    def read_here(self, number: int, array: str, kind: str) -> Iterator[str]:
        """The elements of an operand that does not move along the depth."""
        operand = number + 3
        yield "for i in range(SUMS):"
        yield f"    m = {_ROW}"
        yield f"    at = {self.place(operand, self.step.rows, 'm', constant=True)}"
        yield "    for j in range(SUMS):"
        yield f"        n = {_COLUMN}"
        yield "        inside = m < rows and n < columns"
        place = f"at + {self.place(operand, self.step.columns, 'n')}"
        yield f"        here{number}[SUMS * i + j] = get_one({array}, {place}) if inside else {kind}(0.0)"

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

    def wide(self, dtype: str) -> list[str] | None:
        """What must be multiples of 4 for large blocks whose threads read four neighbours at once; None if there are none."""
        found = [self.quads(1, self.step.rows), self.quads(2, self.step.columns)]
        if _sums(self.step, dtype)[0] < 8 or found == [None, None]:
            return None
        return list(dict.fromkeys(test for tests in found for test in tests or ()))

    @property
    def crowded(self) -> bool:
        """Whether two blocks on one multiprocessor have too few registers: a thread keeps many places in operands or in the result."""
        sides = [(1, self.step.rows), (2, self.step.columns)]
        apart = any(self._along_depth(*side) and not self._steady(*side) for side in sides)
        scattered = self.step.accumulate and len(self.step.columns.extents) > 1
        return apart or scattered or all(self._along_depth(*side) for side in sides)

    def quads(self, operand: int, group: Group) -> list[str] | None:
        """Expressions that are multiples of 4 where four neighbours of a tile can be read by one instruction; None if they never are."""
        own, deep = self._strides(operand, group), self._strides(operand, self.step.depth)
        along = self._along_depth(operand, group)
        line, moves = (self.step.depth, deep) if along else (group, own)
        if not moves or moves[-1] != 1:
            return None
        multiples = {*moves[:-1], *(own if along else deep), line.extents[-1], *self._fixed(operand)}
        if any(x.is_Integer and x % 4 for x in multiples):
            return None
        return [f"{self._product((x,))} % 4" for x in sorted(multiples, key=str) if not x.is_Integer]

    def _fixed(self, operand: int) -> Iterator[sp.Expr]:
        """Where all rows and columns of an operand begin, and how far batches lie apart."""
        if self.step.batch.extents:
            yield from self._strides(operand, self.step.batch)
        yield sp.expand(sp.Add(self.step.starts[operand], *self._lowers(operand)))

    def starts(self, operand: int, side: str, group: Group, letter: str, count: str) -> Iterator[str]:
        """Where the rows of an operand that a thread reads begin."""
        yield from self._either(operand, group, self._wide_start(operand, side, group, letter, count),
                                self._start(operand, side, group, letter, count))

    def _either(self, operand: int, group: Group, wide: Iterator[str], single: Iterator[str]) -> Iterator[str]:
        """Lines for four neighbours at once, and for single elements."""
        if self.quads(operand, group) is None:
            yield from single
            return
        yield "if WIDE:"
        yield from (f"    {line}" for line in wide)
        yield "else:"
        yield from (f"    {line}" for line in single)

    def _wide_start(self, operand: int, side: str, group: Group, letter: str, count: str) -> Iterator[str]:
        own = "me // QUADS" if self._along_depth(operand, group) else "4 * (me & (TALL // 4 - 1))"
        yield f"{letter} = min({letter}0 + {own}, {count} - 1)"
        yield f"{side}_inside = {letter}0 + {own} < {count}"
        yield f"from_{side} = {self.place(operand, group, letter, constant=True)}"

    def _start(self, operand: int, side: str, group: Group, letter: str, count: str) -> Iterator[str]:
        place = self.place(operand, group, letter, constant=True)
        if self._steady(operand, group):
            yield f"{letter} = {letter}0 + me // DEPTH"
            yield f"from_{side} = {place}"
        elif self._along_depth(operand, group):
            yield f"from_{side}_of = cuda.local.array(LOADS, i64)"
            yield "for i in range(LOADS):"
            yield f"    {letter} = min({letter}0 + me // DEPTH + MEMBERS // DEPTH * i, {count} - 1)"
            yield f"    from_{side}_of[i] = {place}"
        else:
            yield f"{letter} = min({letter}0 + (me & (TALL - 1)), {count} - 1)"
            yield f"from_{side} = {place}"

    def fetch(self, operand: int, array: str, side: str, group: Group, letter: str, count: str, kind: str) -> Iterator[str]:
        """The next tile of an operand into registers."""
        yield from self._either(operand, group, self._wide_fetch(operand, array, side, group, kind),
                                self._fetch(operand, array, side, group, letter, count, kind))

    def _wide_fetch(self, operand: int, array: str, side: str, group: Group, kind: str) -> Iterator[str]:
        own = "4 * (me & (QUADS - 1))" if self._along_depth(operand, group) else "me // (TALL // 4)"
        yield f"k = k0 + DEPTH + {own}"
        yield f"if {side}_inside and k < depth:"
        yield f"    get_four(next_{side}, 0, {array}, from_{side} + {self.place(operand, self.step.depth, 'k')})"
        yield "else:"
        yield "    for i in range(4):"
        yield f"        next_{side}[i] = {kind}(0.0)"

    def _fetch(self, operand: int, array: str, side: str, group: Group, letter: str, count: str, kind: str) -> Iterator[str]:
        place = self.place(operand, self.step.depth, "k")
        if self._along_depth(operand, group):
            here = f"from_{side}_of[i]"
            if self._steady(operand, group):
                here = f"from_{side} + MEMBERS // DEPTH * i * {self._product(self._strides(operand, group)[:1])}"
            yield "k = k0 + DEPTH + (me & (DEPTH - 1))"
            yield f"at = {place}"
            yield "for i in range(LOADS):"
            yield f"    inside = k < depth and {letter}0 + me // DEPTH + MEMBERS // DEPTH * i < {count}"
            yield f"    next_{side}[i] = get_one({array}, {here} + at) if inside else {kind}(0.0)"
        else:
            yield f"inside = {letter}0 + (me & (TALL - 1)) < {count}"
            yield "for i in range(LOADS):"
            yield "    k = k0 + DEPTH + me // TALL + MEMBERS // TALL * i"
            yield f"    next_{side}[i] = get_one({array}, from_{side} + {place}) if inside and k < depth else {kind}(0.0)"

    def keep(self, operand: int, side: str, group: Group) -> Iterator[str]:
        """The tile from registers into shared memory."""
        yield from self._either(operand, group, self._wide_keep(operand, side, group), self._keep(operand, side, group))

    def _wide_keep(self, operand: int, side: str, group: Group) -> Iterator[str]:
        if self._along_depth(operand, group):
            yield "for i in range(4):"
            yield f"    {side}[(4 * (me & (QUADS - 1)) + i) * PITCH + ((me // QUADS) & (TALL - 1))] = next_{side}[i]"
        else:
            yield f"put_four({side}, ((me // (TALL // 4)) & (DEPTH - 1)) * PITCH + 4 * (me & (TALL // 4 - 1)), next_{side}, 0)"

    def _keep(self, operand: int, side: str, group: Group) -> Iterator[str]:
        yield "for i in range(LOADS):"
        if self._along_depth(operand, group):
            yield f"    {side}[(me & (DEPTH - 1)) * PITCH + ((me // DEPTH) & (TALL - 1)) + MEMBERS // DEPTH * i] = next_{side}[i]"
        else:
            yield f"    {side}[(((me // TALL) & (DEPTH - 1)) + MEMBERS // TALL * i) * PITCH + (me & (TALL - 1))] = next_{side}[i]"
