"""Convolutions over one, two and three dimensions, and the transpose of one."""

from __future__ import annotations

from typing import Any

import graphc as gc
from graphc.nn.axes import check_groups, check_rank, check_shape, listed, per_dimension, refuse

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose2d"]


def conv1d(
    x: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    *, padding_mode: str = "zeros", name: str = "conv1d",
) -> gc.Tensor:
    """N×C×W images, out×(C/groups)×kw filters; as `conv2d`."""
    return _convolution(x, weight, bias, stride, padding, dilation, groups, padding_mode, name, 1)


def conv2d(
    x: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    *, padding_mode: str = "zeros", name: str = "conv2d",
) -> gc.Tensor:
    """Sums of products of N×C×H×W images with filters of shape out×(C/groups)×kh×kw.

    Args:
        x: the images.
        weight: the filters.
        bias: a number per filter.
        stride: steps of the filter, one integer or one per dimension.
        padding: rows and columns of zeros around; "valid" for none, "same" for as many as keep the size with stride 1.
        dilation: distance between what neighbouring weights are multiplied with.
        groups: how many parts of the channels do not mix.
        padding_mode: what the padding is: "zeros", or the image itself, by "reflect" (mirrored), "replicate" (its edge) or "circular".
        name: of the result.

    Returns:
        N×out×P×Q with ``P = (H + 2·padding - dilation·(kh - 1) - 1)//stride + 1``.

    Raises:
        ArgumentError: an argument is negative, the groups do not divide the channels, or a filter is larger than the padded image.

    >>> import graphc as gc
    >>> x, weight = gc.tensor("x", gc.dim("N"), 3, 32, 32), gc.tensor("weight", 10, 3, 5, 5)
    >>> y = gc.nn.conv2d(x, weight, padding=2)
    >>> print(gc.loops(y))
    for n,f,p,q:  conv2d[n,f,p,q] = sum(pad(x, 0)[n,c,p+r-2,q+s-2]*weight[f,c,r,s], over=(c,r,s))
    >>> y.shape
    (N, 10, 32, 32)
    """
    return _convolution(x, weight, bias, stride, padding, dilation, groups, padding_mode, name, 2)


def conv3d(
    x: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    *, padding_mode: str = "zeros", name: str = "conv3d",
) -> gc.Tensor:
    """N×C×D×H×W images, out×(C/groups)×kd×kh×kw filters; as `conv2d`."""
    return _convolution(x, weight, bias, stride, padding, dilation, groups, padding_mode, name, 3)


def _convolution(
    x: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int,
    padding_mode: str, name: str, rank: int,
) -> gc.Tensor:
    layer = f"conv{rank}d"
    check_rank(layer, x, rank + 2, rank + 2)
    check_rank(layer, weight, rank + 2, rank + 2)
    stride, dilation = per_dimension(layer, "stride", stride, rank), per_dimension(layer, "dilation", dilation, rank)
    before, after = _padding(layer, padding, weight.shape[2:], stride, dilation)
    (n, c), k = gc.indices("n c"), [gc.index(i) for i in "rst"[:rank]]
    p = [
        gc.index("pqo"[d], _extent(layer, x, weight, d, stride[d], before[d] + after[d], dilation[d])) for d in range(rank)
    ]
    place = [stride[d] * p[d] + dilation[d] * k[d] - before[d] for d in range(rank)]
    first, filters = _groups(layer, x, weight, groups)
    if bias is not None:
        check_shape(layer, "bias", bias, weight.shape[:1], weight)
    padded, y = _padded(layer, x, padding_mode), gc.tensor(name)
    image = padded if any(before) or any(after) else x
    product = gc.sum(image[n, first + c, *place] * weight[filters, c, *k], over=(c, *k))
    y[n, filters, *p] = product + bias[filters] if bias is not None else product
    return y


def _padded(layer: str, x: gc.Tensor, mode: str) -> Any:
    views: dict[str, Any] = {"zeros": lambda x: gc.pad(x, 0), "reflect": gc.reflect, "replicate": gc.clamp, "circular": gc.wrap}
    if mode not in views:
        raise refuse(layer, f"padding_mode={mode!r} is unknown", f"padding_mode={mode!r}", f"use one of {', '.join(map(repr, views))}.")
    return views[mode](x)


def _groups(layer: str, x: gc.Tensor, weight: gc.Tensor, groups: int) -> tuple[Any, Any]:
    """The first channel that a filter sees, and the number of the filter."""
    channels, seen, filters = x.shape[1], weight.shape[1], weight.shape[0]
    groups = check_groups(layer, groups, channels=channels, filters=filters)
    if all(isinstance(e, int) for e in (channels, seen)) and seen * groups != channels:
        raise refuse(layer, f"{weight!r} has filters for {seen} channels, but {x!r} has {channels}"
                     + (f" in {groups} groups" if groups > 1 else ""), weight.name,
                     f"declare the weight with {channels // groups} channels.")
    if groups == 1:
        return 0, gc.index("f")
    g = gc.index("g", groups)
    return g * seen, g * (filters // groups) + gc.index("f", filters // groups)


def _padding(
    layer: str, padding: Any, kernel: tuple[Any, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before the first element and behind the last one, per dimension."""
    padding = listed(padding)
    if padding == "valid":
        padding = 0
    if padding != "same":
        values = per_dimension(layer, "padding", padding, len(kernel), least=0)
        return values, values
    if any(s != 1 for s in stride) or not all(isinstance(k, int) for k in kernel):
        raise refuse(layer, 'padding="same" needs stride 1 and filters of known size', 'padding="same"', "give the padding as integers.")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


def _extent(layer: str, x: gc.Tensor, weight: gc.Tensor, d: int, stride: int, padding: int, dilation: int) -> Any:
    """How often a filter fits into an image along one dimension."""
    room = x.shape[2 + d] + padding - dilation * (weight.shape[2 + d] - 1) - 1
    if isinstance(room, int) and room < 0:
        raise refuse(layer, f"{weight!r} is larger than {x!r} with its padding in dimension {2 + d}", weight.name,
                     "give a smaller filter, less dilation or more padding.")
    return room // stride + 1


def conv_transpose2d(
    x: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1, *, name: str = "conv_transpose2d",
) -> gc.Tensor:
    """The gradient of `conv2d` with respect to its images: every element is spread over a filter.

    Args:
        x: N×C×H×W.
        weight: C×(out/groups)×kh×kw.
        bias: a number per output channel.
        stride, padding, dilation: of the convolution.
        output_padding: rows and columns more at the end.
        groups: how many parts of the channels do not mix.
        name: of the result.
    """
    layer = "conv_transpose2d"
    check_rank(layer, x, 4, 4)
    check_rank(layer, weight, 4, 4)
    stride, dilation = per_dimension(layer, "stride", stride, 2), per_dimension(layer, "dilation", dilation, 2)
    pad, extra = per_dimension(layer, "padding", padding, 2, 0), per_dimension(layer, "output_padding", output_padding, 2, 0)
    (_, channels, *size), (_, each, *kernel) = x.shape, weight.shape
    groups = check_groups(layer, groups, channels=channels)
    check_shape(layer, "weight", weight, (channels, "out", "kh", "kw"), x)
    if bias is not None:
        check_shape(layer, "bias", bias, (each * groups,), weight)
    if any(e >= max(a, b) for e, a, b in zip(extra, stride, dilation, strict=True)):
        raise refuse(layer, f"output_padding={extra} is not less than stride={stride} or dilation={dilation}", f"output_padding={extra}",
                     "give less: a convolution of these strides would not come back to this size.")
    n, f, c, p, q, r, s = gc.indices("n f c p q r s")
    full = [stride[d] * (size[d] - 1) + dilation[d] * (kernel[d] - 1) + 1 + extra[d] for d in (0, 1)]
    if any(isinstance(e, int) and e <= 2 * p for e, p in zip(full, pad, strict=True)):
        raise refuse(layer, f"padding={pad} leaves nothing of {full[0]}×{full[1]} elements, which {x!r} and {weight!r} give",
                     f"padding={pad}", "give less padding.")
    spread = gc.tensor(f"{name}.spread", x.shape[0], each * groups, *full)
    g = gc.index("g", groups) if groups > 1 else 0
    if groups > 1:
        c, f = gc.index("c", channels // groups), gc.index("f", each)
    source, filters = g * (channels // groups) + c if groups > 1 else c, g * each + f if groups > 1 else f
    u, v = stride[0] * p + dilation[0] * r, stride[1] * q + dilation[1] * s
    spread[n, filters, u, v] += x[n, source, p, q] * weight[source, f, r, s]
    p, q = (gc.index("pq"[d], full[d] - 2 * pad[d]) for d in (0, 1))
    f, y = gc.index("f"), gc.tensor(name)
    y[n, f, p, q] = spread[n, f, p + pad[0], q + pad[1]] + (bias[f] if bias is not None else 0)
    return y
