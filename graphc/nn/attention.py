"""Attention: means of values, weighted by how well their keys fit a query."""

from __future__ import annotations

import math
from typing import Any

import graphc as gc
from graphc.nn.axes import axes, check_rank, check_shape, refuse
from graphc.nn.noise import dropout

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: gc.Tensor, key: gc.Tensor, value: gc.Tensor, attn_mask: gc.Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: Any = None, *, dropout_key: Any = None, name: str = "attention",
) -> gc.Tensor:
    """``softmax(query·key/√E)·value`` (Vaswani et al., NeurIPS 2017).

    Args:
        query: …×T×E.
        key, value: …×U×E and …×U×V.
        attn_mask: …×T×U or T×U: bools (False is not looked at), or numbers that are added to the scores (-inf is not looked at). A query
            that looks at nothing gets zeros.
        dropout_p: the probability to leave out a weight, by `dropout_key` as in `dropout`.
        is_causal: whether the query at t sees the keys at u ≤ t only.
        scale: instead of 1/√E.
        dropout_key: see `dropout_p`; there is none unless it is given.
        name: of the result.
    """
    layer = "scaled_dot_product_attention"
    (*b, _, _), (t, u, e, v), width = axes(layer, query, "bhgklmnp", 2), gc.indices("t u e v"), query.shape[-1]
    check_shape(layer, "key", key, (*query.shape[:-2], "U", width), query)
    check_shape(layer, "value", value, (*query.shape[:-2], key.shape[-2], "V"), key)
    score, total, share, y = (gc.tensor(n) for n in (f"{name}.score", f"{name}.total", f"{name}.share", name))
    if scale is None:
        scale = 1 / math.sqrt(width) if isinstance(width, int) else 1 / gc.sqrt(width)
    fit, seen = gc.sum(query[*b, t, e] * key[*b, u, e], over=e) * scale, t >= u if is_causal else None
    if attn_mask is not None:
        rank = check_rank(layer, attn_mask, 2, len(b) + 2)
        check_shape(layer, "attn_mask", attn_mask, (*query.shape[len(b) + 2 - rank : -1], key.shape[-2]), query)
        mask = attn_mask[*b[len(b) + 2 - rank :], t, u]
        if attn_mask.dtype == "bool":
            seen = mask if seen is None else seen & mask
        else:
            fit = fit + mask
    score[*b, t, u] = fit
    if attn_mask is not None and attn_mask.dtype != "bool":
        finite = score[*b, t, u] > -math.inf
        seen = finite if seen is None else seen & finite
    total[*b, t] = gc.logsumexp(score[*b, t, u] if seen is None else gc.where(seen, score[*b, t, u], -math.inf), over=u)
    weight = gc.exp(score[*b, t, u] - total[*b, t])
    share[*b, t, u] = weight if seen is None else gc.where(seen, weight, 0)
    if dropout_p and dropout_key is None:
        raise refuse(layer, f"dropout_p={dropout_p!r} has no key, by which each step leaves out something else", f"dropout_p={dropout_p!r}",
                     'pass dropout_key=, a scalar integer tensor: gc.tensor("key", (), dtype="int64").')
    if dropout_p:
        share = dropout(share, dropout_p, dropout_key, name=f"{name}.dropout")
    y[*b, t, v] += share[*b, t, u] * value[*b, u, v]
    return y
