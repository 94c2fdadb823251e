"""Operators that move elements: every one is a statement with other subscripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

import graphc as gc
from graphc.interop.onnx.layers import padded
from graphc.interop.onnx.node import Constant, Node, Unsupported, axes_of, indices

__all__ = [
    "concat", "depth_to_space", "expand", "filled", "flatten", "gather", "pad", "reshape", "resize", "shape_of", "slice_", "space_to_depth",
    "split", "squeeze", "tile", "transpose", "unsqueeze",
]

Extents = Sequence[Any]

NUMBERS = "sizes= makes numbers of sizes"


def shape_of(node: Node) -> Constant:
    """Extents are known when the file is read, as numbers or as sizes."""
    value = node.scope.values[node.inputs[0]]
    shape = value.array.shape if isinstance(value, Constant) else node.tensor(0).shape
    part = list(shape)[slice(node.attribute("start", 0), node.attribute("end", None))]
    if all(isinstance(e, int) for e in part):
        return Constant(np.array(part, np.int64))
    found = np.empty(len(part), object)
    for k, extent in enumerate(part):
        found[k] = extent
    return Constant(found)


# ------------------------------------------------------------------------------------------------------------------- reshape


def reshape(node: Node) -> gc.Tensor:
    x, wanted = node.tensor(0), [v if not isinstance(v, np.integer) else int(v) for v in node.constant(1)]
    shape = [x.shape[d] if _is(e, 0) and not node.attribute("allowzero", 0) else e for d, e in enumerate(wanted)]
    return reshaped(x, _completed(x.shape, shape), node.name, node)


def flatten(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    axis = node.attribute("axis", 1)
    axis += len(x.shape) if axis < 0 else 0
    halves = [_completed(part, [-1]) for part in (x.shape[:axis], x.shape[axis:])]
    return reshaped(x, [e for half in halves for e in half], node.name, node)


def _is(extent: Any, number: int) -> bool:
    return isinstance(extent, int) and extent == number


def _same(extent: Any, other: Any) -> bool:
    return repr(extent) == repr(other)


def _product(extents: Extents) -> tuple[int, Counter[str]]:
    """A product as an integer and the texts of sizes."""
    number, sizes = 1, Counter[str]()
    for extent in extents:
        factor, size = (extent, None) if isinstance(extent, int) else extent.node.as_coeff_Mul()
        number *= int(factor)
        sizes.update([str(size)] if size is not None else [])
    return number, sizes


def _completed(shape: Extents, wanted: list[Any]) -> list[Any]:
    """The wanted extents with what -1 stands for."""
    if not any(_is(e, -1) for e in wanted):
        return wanted
    number, sizes = _product(shape)
    known = {str(e.node.as_coeff_Mul()[1]): e // int(e.node.as_coeff_Mul()[0]) for e in shape if not isinstance(e, int)}
    other, taken = _product([e for e in wanted if not _is(e, -1)])
    left = sizes - taken
    if taken - sizes or not other or number % other or sum(left.values()) > 1:
        raise Unsupported(f"from {tuple(shape)} to {tuple(wanted)}: the extent of -1 is no integer multiple of a size")
    rest: Any = next((known[name] for name in left), 1)
    return [number // other * rest if _is(e, -1) else e for e in wanted]


def reshaped(x: gc.Tensor, shape: Extents, name: str, node: Node) -> gc.Tensor:
    """The elements in row-major order with other extents; dimensions go in groups of equal products.

    Those that are neither split nor joined are joined first.
    """
    if list(map(repr, x.shape)) == list(map(repr, shape)):
        return x
    groups = _groups(list(x.shape), list(shape))
    if any(_several(old) and _several(new) for old, new in groups):
        between = [e for old, new in groups for e in (_completed(old, [-1]) if _several(old) and _several(new) else old)]
        x = reshaped(x, between, node.scope.name(f"{name}.flat"), node)
        groups = _groups(between, list(shape))
    source: list[Any] = []
    target: list[Any] = []
    for old, new in groups:
        here, there = _places(old, new, max(len(source), len(target)))
        source += here
        target += there
    y = gc.tensor(name, tuple(shape), dtype=x.dtype)
    y[tuple(target)] = x[tuple(source)]
    return y


def _groups(old: list[Any], new: list[Any]) -> list[tuple[list[Any], list[Any]]]:
    """The shortest runs of dimensions that have equal products."""
    found, first, second = [], 0, 0
    while first < len(old) or second < len(new):
        k, m = first + (first < len(old)), second + (second < len(new))
        while _product(old[first:k]) != _product(new[second:m]):
            (a, names), (b, others) = _product(old[first:k]), _product(new[second:m])
            more_old = k < len(old) and (bool(others - names) or a < b or m == len(new))
            if not more_old and m == len(new):
                raise Unsupported(f"from {tuple(old)} to {tuple(new)}")
            k, m = (k + 1, m) if more_old else (k, m + 1)
        while k == len(old) and m < len(new) and _is(new[m], 1):
            m += 1
        while m == len(new) and k < len(old) and _is(old[k], 1):
            k += 1
        found.append((old[first:k], new[second:m]))
        first, second = k, m
    return found


def _places(old: list[Any], new: list[Any], first: int) -> tuple[list[Any], list[Any]]:
    """Subscripts of the same element before and after, of which one side has one dimension apart from those of extent 1."""
    several, one = (old, new) if _several(old) else (new, old)
    names = [gc.index("ijklmnopqrst"[first + d], e) for d, e in enumerate(several)]
    parts = [0 if _is(e, 1) else i for i, e in zip(names, several, strict=True)]
    row: Any = 0
    for part, extent in zip(parts, several, strict=True):
        if not isinstance(row, int) and not isinstance(extent, int):
            change = f"from {tuple(old)} to {tuple(new)}"
            raise Unsupported(f"{change}: the product of an index and a size is not affine ({NUMBERS})")
        row = row * extent + part if not isinstance(row, int) else part
    single = [0 if _is(e, 1) else row for e in one]
    return (parts, single) if several is old else (single, parts)


def _several(extents: Extents) -> bool:
    return sum(not _is(e, 1) for e in extents) > 1


# ------------------------------------------------------------------------------------------------------- order of dimensions


def transpose(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    order = node.attribute("perm") or list(range(len(x.shape)))[::-1]
    i, y = indices(len(x.shape)), gc.tensor(node.name)
    y[tuple(i[d] for d in order)] = x[i]
    return y


def squeeze(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    axes = node.given("axes", 1)
    gone = [d for d, e in enumerate(x.shape) if _is(e, 1)] if axes is None else axes_of(axes, len(x.shape))
    if not all(_is(x.shape[d], 1) for d in gone):
        raise Unsupported(f"dimensions {gone} of {tuple(x.shape)} are not 1")
    i, y = indices(len(x.shape)), gc.tensor(node.name)
    y[tuple(k for d, k in enumerate(i) if d not in gone)] = x[tuple(0 if d in gone else k for d, k in enumerate(i))]
    return y


def unsqueeze(node: Node) -> gc.Tensor:
    x, axes = node.tensor(0), node.given("axes", 1)
    new = axes_of(axes, len(x.shape) + (1 if isinstance(axes, int) else len(axes)))
    i, y = list(indices(len(x.shape))), gc.tensor(node.name)
    old = tuple(i)
    for d in sorted(new):
        i.insert(d, 0)
    y[tuple(i)] = x[old]
    return y


def concat(node: Node) -> gc.Tensor:
    parts = [node.tensor(k) for k in range(len(node.inputs))]
    (axis,) = axes_of(node.attribute("axis"), len(parts[0].shape))
    total: Any = 0
    for x in parts:
        if any(d != axis and not _same(e, parts[0].shape[d]) for d, e in enumerate(x.shape)):
            shapes = f"{tuple(parts[0].shape)} and {tuple(x.shape)}"
            raise Unsupported(f"{shapes} along dimension {axis}: the other extents are not known to be equal ({NUMBERS})")
        total = total + x.shape[axis]
    shape = tuple(total if d == axis else e for d, e in enumerate(parts[0].shape))
    i, y, start = indices(len(shape)), gc.tensor(node.name, shape, dtype=parts[0].dtype), 0
    for x in parts:
        y[tuple(start + k if d == axis else k for d, k in enumerate(i))] = x[i]
        start = start + x.shape[axis]
    return y


def split(node: Node) -> tuple[gc.Tensor, ...]:
    x, parts = node.tensor(0), node.given("split", 1)
    (axis,) = axes_of(node.attribute("axis", 0), len(x.shape))
    if parts is None:
        count, size = node.attribute("num_outputs", len(node.outputs)), x.shape[axis]
        if not isinstance(size, int):
            raise Unsupported(f"parts of an extent that is not known, {size}")
        each = -(-size // count)
        parts = [min(each, size - k * each) for k in range(count)]
    i, found, start = indices(len(x.shape)), [], 0
    for name, length in zip(node.outputs, parts, strict=True):
        y = gc.tensor(node.scope.name(name or f"{node.outputs[0]}.rest"))
        k = gc.index(str(i[axis]), length)
        y[(*i[:axis], k, *i[axis + 1 :])] = x[(*i[:axis], start + k, *i[axis + 1 :])]
        found.append(y)
        start += length
    return tuple(found)


# --------------------------------------------------------------------------------------------------------- parts and repeats


def slice_(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    starts, ends = node.given("starts", 1), node.given("ends", 2)
    axes = axes_of(node.given("axes", 3) or list(range(len(starts))), len(x.shape))
    steps = node.constant(4).tolist() if node.has(4) else [1] * len(starts)
    place: list[Any] = list(indices(len(x.shape)))
    left = list(place)
    for start, end, d, step in zip(starts, ends, axes, steps, strict=True):
        first, count = _run(start, end, step, x.shape[d])
        left[d] = gc.index(str(place[d]), count)
        place[d] = first + step * left[d]
    y = gc.tensor(node.name)
    y[tuple(left)] = x[tuple(place)]
    return y


def _run(start: Any, end: Any, step: int, size: Any) -> tuple[Any, Any]:
    """The first element and their number."""
    if isinstance(size, int) and all(isinstance(v, int) for v in (start, end)):
        found = range(size)[start:end:step] if step > 0 or end > -size - 1 else range(size)[start::step]
        return found.start, len(found)
    if step != 1 or not all(isinstance(v, int) for v in (start, end)):
        raise Unsupported("steps or computed limits in a dimension of unknown extent")
    first, last = (v if 0 <= v < 2**31 - 1 else size if v >= 0 else size + v for v in (start, end))
    return first, last - first


def gather(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    (axis,) = axes_of(node.attribute("axis", 0), len(x.shape))
    value, i, y = node.scope.values[node.inputs[1]], indices(len(x.shape)), gc.tensor(node.name)
    size = x.shape[axis]
    if isinstance(value, Constant) and isinstance(size, int) and ((value.array < -size) | (value.array >= size)).any():
        raise Unsupported(f"positions {value.array.tolist()} in an extent of {size}")
    if isinstance(value, Constant) and value.array.ndim == 0:
        position = value.array.item()
        y[(*i[:axis], *i[axis + 1 :])] = x[(*i[:axis], position if position >= 0 else size + position, *i[axis + 1 :])]
        return y
    name = node.inputs[1]
    if isinstance(value, Constant) and (value.array < 0).any():
        if not isinstance(size, int):
            raise Unsupported("negative positions in a dimension of unknown extent")
        name = f"{name}.of_{size}"  # the constant itself may have other readers
        node.scope.values[name] = Constant(np.where(value.array < 0, value.array + size, value.array))
    where = node.scope.tensor(name, trained=False)
    k = tuple(gc.index("uvwxyz"[d]) for d in range(len(where.shape)))
    y[(*i[:axis], *k, *i[axis + 1 :])] = x[(*i[:axis], where[k], *i[axis + 1 :])]
    return y


def filled(node: Node) -> gc.Tensor:
    """ConstantOfShape with sizes among the extents."""
    shape, value = node.constant(0).tolist(), np.asarray(node.attribute("value", np.zeros(1, np.float32)))
    y = gc.tensor(node.name, tuple(shape), dtype=value.dtype)
    y[indices(len(shape))] = value.reshape(-1)[0].item()
    return y


def expand(node: Node) -> gc.Tensor:
    x, wanted = node.tensor(0), [int(w) if isinstance(w, np.integer) else w for w in node.constant(1)]
    rank = max(len(x.shape), len(wanted))
    old, new = (1,) * (rank - len(x.shape)) + tuple(x.shape), [1] * (rank - len(wanted)) + wanted
    if not all(_is(e, 1) or _is(w, 1) or _same(e, w) for e, w in zip(old, new, strict=True)):
        raise Unsupported(f"{tuple(x.shape)} to {tuple(wanted)}: extents that are neither 1 nor known to be equal ({NUMBERS})")
    i = tuple(gc.index(str(k), w if _is(e, 1) else e) for k, e, w in zip(indices(rank), old, new, strict=True))
    y, first = gc.tensor(node.name), rank - len(x.shape)
    y[i] = x[tuple(0 if _is(e, 1) else i[first + d] for d, e in enumerate(x.shape))]
    return y


def tile(node: Node) -> gc.Tensor:
    x, repeats = node.tensor(0), [int(r) for r in node.constant(1)]
    if any(r != 1 and not isinstance(e, int) for e, r in zip(x.shape, repeats, strict=True)):
        raise Unsupported("a dimension of unknown extent is repeated")
    i = tuple(gc.index(str(k), e * r) for k, e, r in zip(indices(len(x.shape)), x.shape, repeats, strict=True))
    y = gc.tensor(node.name)
    y[i] = x[tuple(k if r == 1 else k % e for k, e, r in zip(i, x.shape, repeats, strict=True))]
    return y


def pad(node: Node) -> gc.Tensor:
    x, pads = node.tensor(0), node.given("pads", 1)
    value = node.constant(2).item() if node.has(2) else node.attribute("value", 0)
    rank = len(x.shape)
    axes = axes_of(node.constant(3).tolist(), rank) if node.has(3) else list(range(rank))
    before, after = [0] * rank, [0] * rank
    for k, d in enumerate(axes):
        before[d], after[d] = pads[k], pads[len(axes) + k]
    mode = node.attribute("mode", "constant")
    if min(*before, *after, 0) < 0:
        raise Unsupported("negative paddings")
    return padded(x, before, after, node.name, mode, value)


def depth_to_space(node: Node) -> gc.Tensor:
    x, b, y = node.tensor(0), node.attribute("blocksize"), gc.tensor(node.name)
    channels = _part(x.shape[1], b * b)
    n, h, w = gc.indices("n h w")
    c, u, v = gc.index("c", channels), gc.index("u", b), gc.index("v", b)
    depth = (u * b + v) * channels + c if node.attribute("mode", "DCR") == "DCR" else (c * b + u) * b + v
    y[n, c, b * h + u, b * w + v] = x[n, depth, h, w]
    return y


def space_to_depth(node: Node) -> gc.Tensor:
    x, b, y = node.tensor(0), node.attribute("blocksize"), gc.tensor(node.name)
    n, c, u, v = gc.index("n"), gc.index("c"), gc.index("u", b), gc.index("v", b)
    h, w = (gc.index(k, _part(x.shape[d], b)) for k, d in (("h", 2), ("w", 3)))
    y[n, (u * b + v) * x.shape[1] + c, h, w] = x[n, c, b * h + u, b * w + v]
    return y


def _part(extent: Any, number: int) -> Any:
    if isinstance(extent, int) and extent % number:
        raise Unsupported(f"blocks of {number} elements in an extent of {extent}")
    return extent // number


def resize(node: Node) -> gc.Tensor:
    """Nearest neighbours, by integers: every element is repeated, if places are rounded so that none moves to its neighbour."""
    x = node.tensor(0)
    place = 1 if node.kind == "Upsample" else 2
    scales = node.attribute("scales") or (node.constant(place).tolist() if node.has(place) else None)
    if scales is None and node.has(3):
        scales = [1 if repr(new) == repr(old) else new / old if isinstance(old, int) else 0.5
                  for new, old in zip(node.constant(3).tolist(), x.shape, strict=True)]
    rounding = node.attribute("coordinate_transformation_mode", "half_pixel"), node.attribute("nearest_mode", "round_prefer_floor")
    if node.kind == "Resize" and rounding not in (("half_pixel", "round_prefer_floor"), ("asymmetric", "floor")):
        raise Unsupported(f"places that are {rounding[0]} and {rounding[1]}")
    if node.attribute("mode", "nearest") != "nearest" or not scales or any(s != int(s) or s < 1 for s in scales):
        raise Unsupported("another mode than nearest, or scales that are no integers")
    i = tuple(gc.index(str(k), e * int(s)) for k, e, s in zip(indices(len(x.shape)), x.shape, scales, strict=True))
    y = gc.tensor(node.name)
    y[i] = x[tuple(k // int(s) for k, s in zip(i, scales, strict=True))]
    return y
