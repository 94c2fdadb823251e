"""A decoder of twelve layers as a plain program: every line is a loop, every size a symbol."""

from __future__ import annotations

import graphc as gc

__all__ = ["transformer"]


class _Model:
    """The sizes, and the parameters in the order in which they are made."""

    def __init__(self) -> None:
        self.width, self.heads, self.depth, self.hidden = gc.dims("D H E F")
        self.parameters: list[gc.Tensor] = []

    def weight(self, name: str, *shape: object, init: str = "glorot_uniform") -> gc.Tensor:
        self.parameters.append(gc.parameter(name, *shape, init=init))
        return self.parameters[-1]

    def norm(self, name: str, x: gc.Tensor) -> gc.Tensor:
        """Layer norm over the last dimension."""
        b, t, d = gc.indices("b t d")
        scale, bias = self.weight(f"{name}.scale", self.width, init="ones"), self.weight(f"{name}.bias", self.width, init="zeros")
        mean, variance, y = gc.tensors(f"{name}.mean {name}.variance {name}.out")
        mean[b, t] = gc.mean(x[b, t, d], over=d)
        variance[b, t] = gc.mean((x[b, t, d] - mean[b, t])**2, over=d)
        y[b, t, d] = (x[b, t, d] - mean[b, t])*gc.rsqrt(variance[b, t] + 1e-5)*scale[d] + bias[d]
        return y

    def projection(self, name: str, x: gc.Tensor) -> gc.Tensor:
        """Queries, keys or values of all heads."""
        b, h, t, e, d = gc.indices("b h t e d")
        weight, bias = self.weight(f"{name}.weight", self.heads, self.depth, self.width), self.weight(
            f"{name}.bias", self.heads, self.depth, init="zeros")
        y = gc.tensor(f"{name}.out")
        y[b, h, t, e] = gc.sum(x[b, t, d]*weight[h, e, d], over=d) + bias[h, e]
        return y

    def attention(self, name: str, x: gc.Tensor) -> gc.Tensor:
        """Causal attention: the query at t sees the keys at u ≤ t."""
        b, h, t, u, e, d = gc.indices("b h t u e d")
        query, key, value = (self.projection(f"{name}.{role}", x) for role in ("query", "key", "value"))
        score, total, share, mixed, y = (gc.tensor(f"{name}.{part}") for part in ("score", "total", "share", "mixed", "out"))
        score[b, h, t, u] = gc.sum(query[b, h, t, e]*key[b, h, u, e], over=e)/gc.sqrt(self.depth)
        total[b, h, t] = gc.logsumexp(gc.where(u <= t, score[b, h, t, u], -float("inf")), over=u)
        share[b, h, t, u] = gc.where(u <= t, gc.exp(score[b, h, t, u] - total[b, h, t]), 0)
        mixed[b, h, t, e] += share[b, h, t, u]*value[b, h, u, e]
        weight, bias = self.weight(f"{name}.weight", self.width, self.heads, self.depth), self.weight(
            f"{name}.bias", self.width, init="zeros")
        y[b, t, d] = gc.sum(mixed[b, h, t, e]*weight[d, h, e], over=(h, e)) + bias[d]
        return y

    def perceptron(self, name: str, x: gc.Tensor) -> gc.Tensor:
        """Two linear layers around a gelu."""
        b, t, d, f = gc.indices("b t d f")
        inner, outer = self.weight(f"{name}.inner.weight", self.hidden, self.width), self.weight(
            f"{name}.outer.weight", self.width, self.hidden)
        a, c = self.weight(f"{name}.inner.bias", self.hidden, init="zeros"), self.weight(f"{name}.outer.bias", self.width, init="zeros")
        u, g, y = (gc.tensor(f"{name}.{part}") for part in ("inner", "gelu", "out"))
        u[b, t, f] = gc.sum(x[b, t, d]*inner[f, d], over=d) + a[f]
        g[b, t, f] = gc.gelu(u[b, t, f])
        y[b, t, d] = gc.sum(g[b, t, f]*outer[d, f], over=f) + c[d]
        return y


def transformer(layers: int = 12) -> tuple[gc.Tensor, list[gc.Tensor]]:
    """The loss and the parameters: embedding, `layers` blocks of attention and perceptron with layer norm first, cross-entropy."""
    model = _Model()
    b, t, d, v = gc.indices("b t d v")
    batch, length, words = gc.dims("B T V")
    token = gc.tensor("token", batch, length, dtype="int64")
    label = gc.tensor("label", batch, length, dtype="int64")
    embedding, position = model.weight("embedding", words, model.width), model.weight("position", length, model.width)
    x = gc.tensor("x0")
    x[b, t, d] = embedding[token[b, t], d] + position[t, d]
    for layer in range(layers):
        for part, block in (("attention", model.attention), ("mlp", model.perceptron)):
            name = f"layer{layer}.{part}"
            change, following = block(name, model.norm(f"{name}.norm", x)), gc.tensor(f"{name}.sum")
            following[b, t, d] = x[b, t, d] + change[b, t, d]
            x = following
    last, logit, loss = model.norm("norm", x), gc.tensor("logit"), gc.tensor("loss")
    logit[b, t, v] = gc.sum(last[b, t, d]*embedding[v, d], over=d)
    loss[()] = gc.mean(gc.logsumexp(logit[b, t, v], over=v) - logit[b, t, label[b, t]], over=(b, t))
    return loss, model.parameters
