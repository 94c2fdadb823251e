"""Pooling: the largest element or the mean of each window."""

from __future__ import annotations

from typing import Any

import graphc as gc
from graphc.nn.axes import check_rank, keys, listed, per_dimension, refuse
from graphc.requests import check_number

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "fractional_max_pool2d", "max_pool2d"]


class _Windows:
    """Indices p, q of windows, r, s inside of them, and the places that they look at."""

    def __init__(
        self, layer: str, x: gc.Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
    ) -> None:
        check_rank(layer, x, 4, 4)
        self.kernel = kernel = per_dimension(layer, "kernel_size", kernel_size, 2)
        stride = per_dimension(layer, "stride", kernel_size if stride is None else stride, 2)
        padding, dilation = per_dimension(layer, "padding", padding, 2, 0), per_dimension(layer, "dilation", dilation, 2)
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            raise refuse(layer, f"padding={padding} is more than half of kernel_size={kernel}", f"padding={padding}",
                         "give a smaller padding: windows would lie outside of the image.")
        room = [x.shape[2 + d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1 for d in (0, 1)]
        if any(isinstance(e, int) and e < 0 for e in room):
            raise refuse(layer, f"kernel_size={kernel} is larger than {x!r} with its padding", f"kernel_size={kernel}",
                         "give a smaller window or more padding.")
        if ceil_mode and not all(isinstance(e, int) for e in room):
            raise refuse(layer, f"{x!r} has no fixed size, so ceil_mode=True does not tell how many windows there are", "ceil_mode=True",
                         "declare height and width as integers.")
        ends = [x.shape[2 + d] + padding[d] for d in (0, 1)]
        more = [ceil_mode and room[d] % stride[d] > 0 and (room[d] // stride[d] + 1) * stride[d] < ends[d] for d in (0, 1)]
        self.p = tuple(gc.index("pq"[d], room[d] // stride[d] + 1 + more[d]) for d in (0, 1))
        self.r = tuple(gc.index("rs"[d], kernel[d]) for d in (0, 1))
        self.place = tuple(stride[d] * self.p[d] + dilation[d] * self.r[d] - padding[d] for d in (0, 1))
        self.padded, self.last_is_smaller = any(padding) or any(more), any(more)
        first = [stride[d] * self.p[d] - padding[d] for d in (0, 1)]
        self.sizes = [gc.minimum(first[d] + kernel[d], ends[d]) - first[d] for d in (0, 1)]


def max_pool2d(
    x: gc.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    *, name: str = "max_pool2d",
) -> gc.Tensor:
    """The largest element of each window of N×C×H×W images; the padding does not count.

    With `ceil_mode` there is a last window that is partly outside, if the others leave elements at the end.

    >>> import graphc as gc
    >>> print(gc.loops(gc.nn.max_pool2d(gc.tensor("x", gc.dim("N"), 3, 8, 8), 2)))
    for n,c,p,q:  max_pool2d[n,c,p,q] = max(x[n,c,2*p+r,2*q+s], over=(r,s))
    """
    w, (n, c), y = _Windows("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode), gc.indices("n c"), gc.tensor(name)
    y[n, c, *w.p] = gc.max((gc.skip(x) if w.padded else x)[n, c, *w.place], over=w.r)
    return y


def avg_pool2d(
    x: gc.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None, *, name: str = "avg_pool2d",
) -> gc.Tensor:
    """The mean of each window of N×C×H×W images, with the zeros of the padding unless `count_include_pad` is false.

    Args:
        x: the images.
        kernel_size, stride, padding: of the windows, one integer or two.
        ceil_mode: whether there is a last window that is partly outside, if the others leave elements at the end.
        count_include_pad: whether the padding counts.
        divisor_override: what the sums are divided by, in the place of the number of elements.
        name: of the result.
    """
    w, (n, c), y = _Windows("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode), gc.indices("n c"), gc.tensor(name)
    padded, skipped = (gc.pad(x, 0), gc.skip(x)) if w.padded else (x, x)
    if divisor_override is not None:
        check_number("nn.avg_pool2d", "divisor_override", divisor_override, 0, positive=True)
        y[n, c, *w.p] = gc.sum(padded[n, c, *w.place], over=w.r) / divisor_override
    elif count_include_pad and w.last_is_smaller:
        y[n, c, *w.p] = gc.sum(padded[n, c, *w.place], over=w.r) / (w.sizes[0] * w.sizes[1])
    else:
        y[n, c, *w.p] = gc.mean((padded if count_include_pad else skipped)[n, c, *w.place], over=w.r)
    return y


def adaptive_avg_pool2d(x: gc.Tensor, output_size: Any, *, name: str = "adaptive_avg_pool2d") -> gc.Tensor:
    """Means of windows such that there are ``output_size`` of them: window p covers ``⌊p·H/P⌋ … ⌈(p + 1)·H/P⌉ - 1``.

    None stands for as many as there are rows or columns, which have to be integers.
    """
    layer = "adaptive_avg_pool2d"
    check_rank(layer, x, 4, 4)
    size, output_size = x.shape[2:], listed(output_size)
    wanted = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * 2
    known = tuple(e if o is None and isinstance(e, int) else o for o, e in zip(wanted, size, strict=False))
    output = per_dimension(layer, "output_size", known if len(wanted) == 2 else output_size, 2)
    (n, c), p = gc.indices("n c"), [gc.index("pq"[d], output[d]) for d in (0, 1)]
    if output == (1, 1) or all(isinstance(e, int) and e % o == 0 for e, o in zip(size, output, strict=True)):
        steps = [e if o == 1 else e // o for e, o in zip(size, output, strict=True)]
        r, y = [gc.index("rs"[d], steps[d]) for d in (0, 1)], gc.tensor(name)
        place = [r[d] if output[d] == 1 else steps[d] * p[d] + r[d] for d in (0, 1)]
        y[n, c, *p] = gc.mean(x[n, c, *place], over=tuple(r))
        return y
    if not all(isinstance(e, int) for e in size):
        raise refuse(layer, f"{x!r} has no fixed size to divide into {output}", x.name, "declare height and width as integers.")
    h, w, y = gc.index("h"), gc.index("w"), gc.tensor(name)
    inside = [(p[d] * size[d] < (e + 1) * output[d]) & (e * output[d] < (p[d] + 1) * size[d]) for d, e in enumerate((h, w))]
    length = [((p[d] + 1) * size[d] + output[d] - 1) // output[d] - p[d] * size[d] // output[d] for d in (0, 1)]
    y[n, c, *p] = gc.sum(gc.where(inside[0] & inside[1], x[n, c, h, w], 0), over=(h, w)) / (length[0] * length[1])
    return y


def fractional_max_pool2d(
    x: gc.Tensor, kernel_size: Any, output_size: Any, key: Any, *, name: str = "fractional_max_pool2d"
) -> gc.Tensor:
    """The largest elements of windows at pseudorandom places, ``output_size`` per channel (Graham, 2014).

    Window p begins at ``⌊(p + u)·a⌋ - ⌊u·a⌋`` with ``a = (H - kernel)/(P - 1)``, u random for every image and channel; the last one ends
    with the image.
    """
    layer = "fractional_max_pool2d"
    check_rank(layer, x, 4, 4)
    kernel, output = per_dimension(layer, "kernel_size", kernel_size, 2), per_dimension(layer, "output_size", output_size, 2)
    n, c, size = gc.index("n", x.shape[0]), gc.index("c", x.shape[1]), x.shape[2:]
    if any(not isinstance(e, int) or k + o - 1 > e for e, k, o in zip(size, kernel, output, strict=True)):
        raise refuse(layer, f"{output} windows of {kernel} do not fit into {x!r}", f"output_size={output_size!r}",
                     "declare larger height and width, as integers.")
    place, p, r = [], [], []
    for d in (0, 1):
        p.append(gc.index("pq"[d], output[d]))
        r.append(gc.index("rs"[d], kernel[d]))
        u, step = gc.uniform(*keys(key), d, n, c), (size[d] - kernel[d]) / max(output[d] - 1, 1)
        place.append(gc.tensor(f"{name}.{('rows', 'columns')[d]}", dtype="int64"))
        start = gc.where(p[d] == output[d] - 1, size[d] - kernel[d], gc.floor((p[d] + u) * step) - gc.floor(u * step))
        place[d][n, c, p[d], r[d]] = start + r[d]
    y = gc.tensor(name)
    y[n, c, *p] = gc.max(x[n, c, place[0][n, c, p[0], r[0]], place[1][n, c, p[1], r[1]]], over=tuple(r))
    return y
