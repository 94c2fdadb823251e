"""Threshold units: 2^D of them recognise every binary input, one unit each; parity needs half of them in one layer, or 3(D - 1) in depth.

Soft thresholds σ(s·u) compute the same once s is large, and have a gradient. Writes pictures/threshold_units.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N, D, P = gc.dims("N D P")
n, d, p = gc.indices("n d p")
x, patterns = gc.tensor("x", N, D), gc.tensor("patterns", P, D)

# One unit per pattern: weight +1 where the pattern has a 1, -1 where it has a 0; only the pattern itself reaches its number of ones.
unit = gc.tensor("unit", dtype="float32")
unit[n, p] = gc.where(gc.sum((2 * patterns[p, d] - 1) * x[n, d] - patterns[p, d], over=d) + 0.5 > 0, 1, 0)
shallow = gc.tensor("shallow")
shallow[n] = gc.where(gc.sum(unit[n, p], over=p) - 0.5 > 0, 1, 0)  # OR of the units
print(gc.loops(shallow))


def deep_parity(threshold, x):
    """XOR of one more input in every step: OR, NAND, and AND of both, three units."""
    either, not_both, parity = gc.tensors("either not_both parity")
    either[d, n] = threshold(parity[d - 1, n] + x[n, d] - 0.5)
    not_both[d, n] = threshold(1.5 - parity[d - 1, n] - x[n, d])
    parity[-1, n] = 0 * x[n, 0]
    parity[d, n] = threshold(either[d, n] + not_both[d, n] - 1.5)
    return parity


sharpness = gc.tensor("sharpness", ())
hard = deep_parity(lambda u: gc.where(u > 0, 1, 0), x)
soft = deep_parity(lambda u: gc.sigmoid(sharpness[()] * u), x)
loss, t = gc.tensor("loss"), gc.tensor("t", N)
loss[()] += (soft[D - 1, n] - t[n]) ** 2
print(f"\n{gc.loops(hard)}\n")
recognise, one_layer, recurrent, smooth = (gc.compile(a) for a in (unit, shallow, hard, soft))

print(" D   inputs   one layer   deep   parity is")
for size in range(2, 11):
    inputs = ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).astype("float32")
    odd = inputs.sum(axis=1) % 2 == 1
    answers = [one_layer(x=inputs, patterns=inputs[odd]), recurrent(x=inputs)[-1], smooth(x=inputs, sharpness=30.0)[-1].round()]
    exact = all(np.array_equal(answer, odd) for answer in answers)
    print(f"{size:2} {2**size:8} {odd.sum():11} {3 * (size - 1):6}   {'exact' if exact else 'wrong'}")
    assert exact
    if size <= 8:
        assert np.array_equal(recognise(x=inputs, patterns=inputs), np.eye(2**size)), "each unit recognises its own input alone"

figure, axes = plt.subplots(1, 5, figsize=(16, 3.4), layout="constrained")
side = np.linspace(-0.3, 1.3, 150, dtype="float32")
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
for axis, s in zip(axes, (4, 8, 16, 64), strict=False):
    shown = axis.imshow(smooth(x=plane, sharpness=float(s))[-1].reshape(150, 150), extent=(-0.3, 1.3) * 2, origin="lower", cmap="RdBu_r",
                        vmin=0, vmax=1)
    axis.set(title=f"XOR of units σ({s}u)", xticks=[0, 1], yticks=[0, 1], xlabel="x1", ylabel="x2")
figure.colorbar(shown, ax=axes[3])
sizes = np.arange(2, 21)
axes[4].semilogy(sizes, 2.0 ** (sizes - 1), "o-", ms=4, label="one layer: $2^{D-1}$")
axes[4].semilogy(sizes, 3 * (sizes - 1), "o-", ms=4, label="deep: 3(D − 1)")
axes[4].set(title="threshold units for parity", xlabel="inputs D")
axes[4].legend(frameon=False)
axes[4].spines[["top", "right"]].set_visible(False)
figure.savefig(PICTURES / "threshold_units.png", dpi=120)

random = np.random.default_rng(0)
difference = gc.check_grad(loss, x, x=random.random((6, 4)), t=np.ones(6), sharpness=4.0)
print(f"numeric check of the soft net: {difference:.1e} relative difference")
