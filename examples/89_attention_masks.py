"""Attention of your own: causal, in a sliding window, with ALiBi's slopes; each is one condition or one term.

A condition on the indices inside of a sum narrows the loop. Written by distance, `K[t-d]`, a window costs what it looks at and no more:
time and memory grow with T·w instead of T². Writes pictures/attention_masks.png.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES, HEADS, EACH, WINDOW = Path("pictures"), 4, 32, 16
T = gc.dim("T")
h, t, u, e, d = gc.indices("h t u e d")


def attention(q, k, v, seen, bias=lambda h, t, u: 0):
    """softmax(q·k/√E + bias)·v over the places u that are seen from t."""
    score, total, weight, out = gc.tensors("score total weight out")
    score[h, t, u] = gc.sum(q[h, t, e] * k[h, u, e], over=e) / EACH**0.5 + bias(h, t, u)
    total[h, t] = gc.sum(gc.where(seen(t, u), gc.exp(score[h, t, u]), 0), over=u)
    weight[h, t, u] = gc.where(seen(t, u), gc.exp(score[h, t, u]) / total[h, t], 0)
    out[h, t, e] += weight[h, t, u] * v[h, u, e]
    return out, weight


def alibi(h, t, u):
    """Far is less: a slope for each head (Press, Smith and Lewis, ICLR 2022)."""
    return -(0.5 ** (2 * h + 1)) * (t - u)


KINDS = {
    "everything": {"seen": lambda t, u: u >= 0},
    "causal": {"seen": lambda t, u: u <= t},
    "causal, ALiBi": {"seen": lambda t, u: u <= t, "bias": alibi},
    f"window of {WINDOW}": {"seen": lambda t, u: (u <= t) & (u > t - WINDOW)},
    "dilated": {"seen": lambda t, u: (u <= t) & ((t - u) % 4 == 0)},
}


def banded(q, k, v):
    """The sliding window by distance d = t - u: a band of T·w scores instead of a square of T²."""
    (score, total, weight, out), d = gc.tensors("score total weight out"), gc.index("d", WINDOW)
    score[h, t, d] = gc.sum(q[h, t, e] * gc.pad(k, 0)[h, t - d, e], over=e) / EACH**0.5
    total[h, t] = gc.sum(gc.where(d <= t, gc.exp(score[h, t, d]), 0), over=d)
    weight[h, t, d] = gc.where(d <= t, gc.exp(score[h, t, d]) / total[h, t], 0)
    out[h, t, e] = gc.sum(weight[h, t, d] * gc.pad(v, 0)[h, t - d, e], over=d)
    return out


def squared(out):
    loss = gc.tensor("loss")
    loss[()] += out[h, t, e] ** 2
    return loss


def reference(q, k, v, seen, bias=lambda h, t, u: 0):
    """The same in NumPy, with a mask of T×T."""
    h, t, u = np.ogrid[:HEADS, : q.shape[1], : q.shape[1]]
    score = np.where(seen(t, u), q @ k.transpose(0, 2, 1) / EACH**0.5 + bias(h, t, u), -np.inf)
    weight = np.exp(score - score.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True) @ v


def arrays(length):
    random = np.random.default_rng(0)
    return {name: random.normal(size=(HEADS, length, EACH)).astype("float32") for name in "qkv"}


q, k, v = inputs = gc.tensors("q k v", HEADS, T, EACH)
print(gc.loops(*attention(q, k, v, **KINDS["causal, ALiBi"])), end="\n\n")
data, weights = arrays(48), {}
for name, options in KINDS.items():
    out, weight = gc.compile(attention(q, k, v, **options))(**data)
    worst = np.abs(out - reference(*data.values(), **options)).max()
    weights[name] = weight[1]
    print(f"{name:14} largest difference from NumPy {worst:.1e}")
    assert worst < 1e-5
    assert not (weight * ~options["seen"](*np.ogrid[:48, :48])).any(), "what is not seen has no weight at all"

losses = {"square": squared(attention(q, k, v, **KINDS[f"window of {WINDOW}"])[0]), "band": squared(banded(q, k, v))}
programs = {name: gc.compile([loss, *gc.grad(loss, inputs)]) for name, loss in losses.items()}
lengths, times, value = (512, 1024, 2048), {"square": [], "band": []}, {}
for length in lengths:
    given = arrays(length)
    for name, run in programs.items():
        value[name] = run(**given)[0]
        started = time.perf_counter()
        run(**given)
        times[name].append(time.perf_counter() - started)
    a, b = (times[name][-1] * 1e3 for name in ("square", "band"))
    print(f"T = {length:4}: a window, forward and backward: {a:7.1f} ms as a square, {b:6.1f} ms as a band")
worst = max(gc.check_grad(loss, inputs, **{name: a[:, :5] for name, a in data.items()}) for loss in losses.values())
print(f"numeric check: {worst:.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 6, figsize=(16, 3), layout="constrained")
for axis, (name, weight) in zip(axes, weights.items(), strict=False):
    axis.imshow(weight**0.5, cmap="magma")
    axis.set(title=name, xticks=[], yticks=[])
for name, seconds in times.items():
    axes[5].loglog(lengths, np.array(seconds) * 1e3, "o-", label=name)
axes[5].set(title="a window, ms", xlabel="length")
axes[5].legend()
figure.savefig(PICTURES / "attention_masks.png", dpi=120)
np.testing.assert_allclose(value["band"], value["square"], rtol=1e-4)
assert times["band"][-1] < times["square"][-1]
