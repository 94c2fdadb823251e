"""Penalties: L2 shrinks all weights, L1 makes most of them exactly zero, the elastic net does some of both.

A step goes along the gradient of the smooth part and then towards zero by the L1 part (Daubechies et al., 2004): an update of our own.
All strengths of a penalty are trained at once, they are one more index. Writes pictures/penalties.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

S, N, K = gc.dims("S N K")  # strengths, patients, features
s, n, k = gc.indices("s n k")
x, t = gc.tensor("x", N, K), gc.tensor("t", N)
alpha, beta, rate = gc.tensor("alpha", S), gc.tensor("beta", S), gc.tensor("rate", ())
w = gc.parameter("w", S, K, init="zeros")
y, smooth, v, w_new, moved = gc.tensors("y smooth v w_new moved")
y[s, n] += w[s, k] * x[n, k]
smooth[()] += (y[s, n] - t[n]) ** 2 / (2 * N)
smooth[()] += beta[s] * w[s, k] ** 2
slope = gc.grad(smooth, w)
v[s, k] = w[s, k] - rate[()] * slope[s, k]
w_new[s, k] = gc.sign(v[s, k]) * gc.relu(gc.abs(v[s, k]) - rate[()] * alpha[s])
moved[()] = gc.max(gc.abs(w_new[s, k] - w[s, k]), over=(s, k))
print(gc.loops(w_new))
step = gc.compile(moved, updates={w: w_new})

diabetes = load_diabetes()
names = diabetes.feature_names
features = (diabetes.data / diabetes.data.std(axis=0)).astype("float32")
progress = ((diabetes.target - diabetes.target.mean()) / diabetes.target.std()).astype("float32")
strengths = np.geomspace(1e-3, 1, 40).astype("float32")
lipschitz = float(np.linalg.eigvalsh(features.T @ features / len(features)).max()) + 2


def path(l1, l2):
    """The weights for each strength, with that share of Σ|w| and of Σw²."""
    state, steps = {"w": np.zeros((len(strengths), 10), "float32")}, 0
    given = {"x": features, "t": progress, "alpha": l1 * strengths, "beta": l2 * strengths, "rate": 1 / lipschitz}
    while step(state, **given) > 1e-6 and steps < 20_000:
        steps += 1
    return state["w"]


paths = {"L2: Σw²": path(0, 1), "L1: Σ|w|": path(1, 0), "elastic net: ½Σ|w| + ½Σw²": path(0.5, 0.5)}
figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained", sharey=True)
zeros = {}
for axis, (title, weights) in zip(axes, paths.items(), strict=True):
    zeros[title] = (weights == 0).sum(axis=1)
    axis.axhline(0, color="black", lw=0.5)
    axis.semilogx(strengths, weights, lw=1.8, label=names)
    axis.set(title=title, xlabel="strength of the penalty")
    axis.spines[["top", "right"]].set_visible(False)
    print(f"{title:26} weights that are exactly 0 at strengths 0.001, 0.02, 0.17, 1: {zeros[title][[0, 18, 29, 39]]}")
axes[0].set_ylabel("weight")
axes[2].legend(ncols=2, frameon=False, fontsize=9)
figure.savefig(PICTURES / "penalties.png", dpi=120)

# The same penalties as summands of a loss: gc.nn.l1, gc.nn.l2, gc.nn.elastic_net.
vector, loss = gc.tensor("vector", 10), gc.tensor("loss")
penalty, one, two = gc.nn.elastic_net(vector, 0.5, 0.25), gc.nn.l1(vector), gc.nn.l2(vector)
loss[()] = penalty[()] + one[()] + two[()]
difference = gc.check_grad(loss, vector, vector=np.random.default_rng(0).normal(size=10))
print(f"\n{gc.loops(loss)}\n\nnumeric check: {difference:.1e} relative difference")
small = {"x": features[:9], "t": progress[:9], "alpha": np.zeros(2), "beta": np.array([0.1, 1])}
print(f"numeric check of the smooth part: {gc.check_grad(smooth, w, w=np.ones((2, 10)), **{a: small[a] for a in ('x', 't', 'beta')}):.1e}")

for title, l1, l2 in (("L1: Σ|w|", 1, 0), ("elastic net: ½Σ|w| + ½Σw²", 0.5, 0.5)):
    for at in (5, 18, 29):  # scikit-learn's objective: |error|²/2N + a·r·Σ|w| + a·(1 - r)/2·Σw²
        a = strengths[at] * (l1 + 2 * l2)
        peer = ElasticNet(alpha=a, l1_ratio=l1 / (l1 + 2 * l2), fit_intercept=False, tol=1e-8)
        np.testing.assert_allclose(paths[title][at], peer.fit(features.astype(float), progress.astype(float)).coef_, atol=2e-3)
lengths = {title: np.linalg.norm(weights, axis=1) for title, weights in paths.items()}
assert all((np.diff(length) < 1e-4).all() for length in lengths.values()), "a stronger penalty leaves shorter weights"
assert not zeros["L2: Σw²"].any() and zeros["L1: Σ|w|"][-1] == 10 and zeros["L1: Σ|w|"][18] >= 2
