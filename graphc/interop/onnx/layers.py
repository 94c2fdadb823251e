"""Operators that are layers: products, convolutions, poolings, normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import graphc as gc
from graphc.interop.onnx.node import Node, Unsupported, axes_of, indices

__all__ = [
    "batch_normalization", "convolution", "convolution_transpose", "gemm", "global_pool", "group_normalization", "instance_normalization",
    "layer_normalization", "lp_normalization", "matmul", "padded", "pool", "softmax",
]


def gemm(node: Node) -> gc.Tensor:
    a, b = node.tensor(0), node.tensor(1)
    extents = (a.shape[1 if node.attribute("transA", 0) else 0], b.shape[0 if node.attribute("transB", 0) else 1])
    y, (i, j, k) = node.result(extents), gc.indices("i j k")
    left = a[k, i] if node.attribute("transA", 0) else a[i, k]
    right = b[j, k] if node.attribute("transB", 0) else b[k, j]
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    total = gc.sum(left * right, over=k)
    total = total if alpha == 1 else alpha * total
    if node.has(2):
        c: Any = node.operands(0, 2)[1]
        if isinstance(c, gc.Tensor):
            place = (i, j)[2 - len(c.shape) :]
            wide = extents[2 - len(c.shape) :]
            c = c[tuple(0 if _one(e) and not _one(w) else p for p, e, w in zip(place, c.shape, wide, strict=True))]
        total = total + (c if beta == 1 else beta * c)
    y[i, j] = total
    return y


def _one(extent: Any) -> bool:
    return isinstance(extent, int) and extent == 1


def matmul(node: Node) -> gc.Tensor:
    """As `numpy.matmul`: what comes before the last two dimensions is broadcast."""
    a, b = node.tensor(0), node.tensor(1)
    ranks = len(a.shape), len(b.shape)
    lead = max(ranks[0], ranks[1], 2) - 2
    if lead > 8:
        raise Unsupported(f"{lead + 2} dimensions (10 at most)")
    letters = "abcdefgh"[:lead]
    sides = [letters[lead - max(ranks[0] - 2, 0) :] + ("ik" if ranks[0] > 1 else "k"), letters[lead - max(ranks[1] - 2, 0) :]
             + ("kj" if ranks[1] > 1 else "k")]
    result = letters + ("i" if ranks[0] > 1 else "") + ("j" if ranks[1] > 1 else "")
    index = {letter: gc.index(letter) for letter in {*sides[0], *sides[1]}}
    pairs = [(letter, e) for side, x in zip(sides, (a, b), strict=True) for letter, e in zip(side, x.shape, strict=True)]
    extents = {**dict(pairs), **{letter: e for letter, e in pairs if not _one(e)}}
    left, right = (
        x[tuple(0 if _one(e) and letter in letters and not _one(extents[letter]) else index[letter]
                for letter, e in zip(side, x.shape, strict=True))]
        for side, x in zip(sides, (a, b), strict=True)
    )
    y = node.result([extents[letter] for letter in result])
    y[tuple(index[letter] for letter in result)] += left * right
    return y


# ------------------------------------------------------------------------------------------------------------------- windows


def _pads(
    node: Node, x: gc.Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Rows before and behind, per dimension."""
    rank, how = len(kernel), node.attribute("auto_pad", "NOTSET")
    if how in ("NOTSET", ""):
        pads = node.attribute("pads") or [0] * (2 * rank)
        return list(pads[:rank]), list(pads[rank:])
    if how == "VALID":
        return [0] * rank, [0] * rank
    before, after = [], []
    for d, (k, s, width) in enumerate(zip(kernel, stride, dilation, strict=True)):
        size = x.shape[2 + d]
        if not isinstance(size, int) and s != 1:
            raise Unsupported(f"auto_pad={how} with strides of an extent that is not known, {size}")
        total = width * (k - 1) if s == 1 else max((math.ceil(size / s) - 1) * s + width * (k - 1) + 1 - size, 0)
        less, more = total // 2, total - total // 2
        before.append(less if how == "SAME_UPPER" else more)
        after.append(more if how == "SAME_UPPER" else less)
    return before, after


def padded(x: gc.Tensor, before: Sequence[int], after: Sequence[int], name: str, mode: str = "constant", value: Any = 0) -> gc.Tensor:
    """The tensor with so many more elements at the beginning and end of each dimension."""
    views = {"constant": lambda: gc.pad(x, value), "edge": lambda: gc.clamp(x), "reflect": lambda: gc.reflect(x),
             "wrap": lambda: gc.wrap(x)}
    shape = [e + b + a for e, b, a in zip(x.shape, before, after, strict=True)]
    i = tuple(gc.index(str(k), e) if b or a else k for k, e, b, a in zip(indices(len(shape)), shape, before, after, strict=True))
    y = gc.tensor(name, tuple(shape), dtype=x.dtype)
    y[i] = views[mode]()[tuple(k - b if b else k for k, b in zip(i, before, strict=True))]
    return y


def _spatial(node: Node, rank: int, name: str, default: int = 1) -> list[int]:
    return list(node.attribute(name) or [default] * rank)


def _filters(node: Node) -> gc.Tensor:
    weight, kernel = node.tensor(1), node.attribute("kernel_shape")
    if kernel and any(isinstance(e, int) and e != k for e, k in zip(weight.shape[2:], kernel, strict=True)):
        raise Unsupported(f"kernel_shape={kernel} with a weight of shape {tuple(weight.shape)}")
    return weight


def convolution(node: Node) -> gc.Tensor:
    x, weight = node.tensor(0), _filters(node)
    rank = len(x.shape) - 2
    if rank not in (1, 2, 3):
        raise Unsupported(f"windows over {rank} dimensions (1, 2 or 3 are supported)")
    stride, dilation = _spatial(node, rank, "strides"), _spatial(node, rank, "dilations")
    before, after = _pads(node, x, weight.shape[2:], stride, dilation)
    name = node.name
    if before != after:
        x, before = padded(x, [0, 0, *before], [0, 0, *after], node.scope.name(f"{name}.padded")), [0] * rank
    function = (gc.nn.conv1d, gc.nn.conv2d, gc.nn.conv3d)[rank - 1]
    return function(x, weight, node.optional(2), stride, before, dilation, node.attribute("group", 1), name=name)


def convolution_transpose(node: Node) -> gc.Tensor:
    x, weight = node.tensor(0), _filters(node)
    if len(x.shape) != 4:
        raise Unsupported(f"windows over {len(x.shape) - 2} dimensions (2 are supported)")
    stride, dilation = _spatial(node, 2, "strides"), _spatial(node, 2, "dilations")
    if node.attribute("auto_pad", "").startswith("SAME"):
        raise Unsupported(f"auto_pad={node.attribute('auto_pad')}")
    before, after = _pads(node, x, weight.shape[2:], stride, dilation)
    if before != after:
        raise Unsupported("different paddings before and behind")
    extra = _spatial(node, 2, "output_padding", 0)
    group = node.attribute("group", 1)
    return gc.nn.conv_transpose2d(x, weight, node.optional(2), stride, before, extra, group, dilation, name=node.name)


def pool(node: Node) -> gc.Tensor:
    """MaxPool and AveragePool over windows."""
    x, kernel = node.tensor(0), list(node.attribute("kernel_shape"))
    rank = len(kernel)
    stride, dilation = _spatial(node, rank, "strides"), _spatial(node, rank, "dilations")
    before, after = _pads(node, x, kernel, stride, dilation)
    n, c, place, p, r = gc.index("n"), gc.index("c"), [], [], []
    for d in range(rank):
        room = x.shape[2 + d] + before[d] + after[d] - dilation[d] * (kernel[d] - 1) - 1
        if node.attribute("ceil_mode", 0) and not (isinstance(room, int) and room % stride[d] == 0):
            raise Unsupported("ceil_mode=1 with windows that do not fit")
        p.append(gc.index("pqo"[d], room // stride[d] + 1))
        r.append(gc.index("rst"[d], kernel[d]))
        place.append(stride[d] * p[d] + dilation[d] * r[d] - before[d])
    y, outside = gc.tensor(node.name), any(before) or any(after)
    zeros = node.kind == "AveragePool" and node.attribute("count_include_pad", 0)
    image = (gc.pad(x, 0) if zeros else gc.skip(x)) if outside else x
    y[n, c, *p] = (gc.max if node.kind == "MaxPool" else gc.mean)(image[n, c, *place], over=tuple(r))
    return y


def global_pool(node: Node) -> gc.Tensor:
    x, y = node.tensor(0), gc.tensor(node.name)
    n, c, *p = indices(len(x.shape))
    y[n, c, *(0 for _ in p)] = (gc.max if node.kind == "GlobalMaxPool" else gc.mean)(x[n, c, *p], over=tuple(p))
    return y


# ------------------------------------------------------------------------------------------------------------- normalisation


def batch_normalization(node: Node) -> gc.Tensor:
    x, scale, bias = (node.tensor(k) for k in range(3))
    mean, variance = (node.tensor(k, trained=False) for k in (3, 4))
    return gc.nn.batch_norm(x, mean, variance, scale, bias, eps=node.attribute("epsilon", 1e-5), name=node.name)


def layer_normalization(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    (axis,) = axes_of(node.attribute("axis", -1), len(x.shape))
    scale, bias, rank = node.tensor(1), node.optional(2), len(x.shape) - axis
    if any(t is not None and len(t.shape) != rank for t in (scale, bias)):
        raise Unsupported("a scale that is broadcast")
    return gc.nn.layer_norm(x, x.shape[axis:], scale, bias, node.attribute("epsilon", 1e-5), name=node.name)


def instance_normalization(node: Node) -> gc.Tensor:
    x = node.tensor(0)
    return gc.nn.group_norm(x, x.shape[1], node.tensor(1), node.tensor(2), node.attribute("epsilon", 1e-5), name=node.name)


def group_normalization(node: Node) -> gc.Tensor:
    x, scale, bias = (node.tensor(k) for k in range(3))
    if scale.shape[0] != x.shape[1]:
        raise Unsupported("a scale per group (version 18)")
    return gc.nn.group_norm(x, node.attribute("num_groups"), scale, bias, node.attribute("epsilon", 1e-5), name=node.name)


def lp_normalization(node: Node) -> gc.Tensor:
    return gc.nn.normalize(node.tensor(0), float(node.attribute("p", 2)), node.attribute("axis", -1), name=node.name)


def softmax(node: Node) -> gc.Tensor:
    """Before version 13 over all dimensions from the axis on, which is the same if it is the last one."""
    x = node.tensor(0)
    axis = node.attribute("axis", -1 if node.scope.opset >= 13 else 1) % len(x.shape)
    if node.scope.opset < 13 and axis != len(x.shape) - 1:
        raise Unsupported("an axis that is not the last one, before version 13")
    return (gc.nn.softmax if node.kind == "Softmax" else gc.nn.log_softmax)(x, axis, name=node.name)


def einsum(node: Node) -> gc.Tensor:
    return gc.from_einsum(node.attribute("equation"), *(node.tensor(k) for k in range(len(node.inputs))), name=node.name)
