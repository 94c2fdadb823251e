"""The perceptron: on a mistake, add the example to the weights. One pass over the data is a recurrence.

The number of mistakes stays below (R/γ)² for data of radius R that some unit vector separates with margin γ (Novikoff, 1962).
Writes pictures/perceptron.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N, K, C = gc.dims("N K C")
n, k, c = gc.indices("n k c")

# Two classes: v[n] are the weights after example n, and the mistake is a test inside of the recurrence.
x, y = gc.tensor("x", N, K), gc.tensor("y", N)
w = gc.parameter("w", K, init="zeros")
v, s, mistakes, w_new = gc.tensors("v s mistakes w_new")
s[n] = y[n] * gc.sum(v[n - 1, k] * x[n, k], over=k)
v[-1, k] = w[k]
v[n, k] = v[n - 1, k] + gc.where(s[n] <= 0, y[n] * x[n, k], 0)
mistakes[()] += gc.where(s[n] <= 0, 1, 0)
w_new[k] = v[N - 1, k]
print(gc.loops(mistakes, w_new))
epoch = gc.compile(mistakes, updates={w: w_new})

# Several classes: the weights of the right class gain x, those of the class that scored highest lose it.
label = gc.tensor("label", N, dtype="int64")
W = gc.parameter("W", C, K, init="zeros")
V, guess, errors, W_new = gc.tensors("V guess errors W_new")
V[-1, c, k] = W[c, k]
guess[n] = gc.argmax(gc.sum(V[n - 1, c, k] * x[n, k], over=k), over=c)
V[n, c, k] = V[n - 1, c, k] + gc.where(c == label[n], x[n, k], 0) - gc.where(c == guess[n], x[n, k], 0)
errors[()] += gc.where(guess[n] != label[n], 1, 0)
W_new[c, k] = V[N - 1, c, k]
print(f"\n{gc.loops(errors, W_new)}\n")
multiclass_epoch = gc.compile(errors, updates={W: W_new})

# The rule is gradient descent with rate 1 on max(0, −y·w·x): its gradient is −y·x on a mistake, 0 elsewhere, and the mean of both at 0.
loss = gc.tensor("loss")
loss[()] += gc.maximum(0, -y[n] * gc.sum(w[k] * x[n, k], over=k))
print(gc.loops(gc.grad(loss, w)))


def until_right(program, state, **data):
    """Epochs until one passes without a mistake: mistakes of each, and the weights after each."""
    counts, weights = [], []
    while not counts or counts[-1]:
        counts.append(int(program(state, **data)))
        weights.append(next(iter(state.values())).copy())
    return counts, weights


random = np.random.default_rng(3)
normal = np.array([0.6, 0.8, 0.1], "float32") / np.linalg.norm([0.6, 0.8, 0.1])
points = np.column_stack([random.uniform(-1, 1, (400, 2)), np.ones(400)]).astype("float32")
points = points[np.abs(points @ normal) > 0.05]
signs = np.sign(points @ normal).astype("float32")
counts, lines = until_right(epoch, epoch.init(K=3), x=points, y=signs)
radius, margin = np.linalg.norm(points, axis=1).max(), np.abs(points @ normal).min()
print(f"\ntwo classes: {sum(counts)} mistakes in {len(counts)} epochs {counts}, (R/γ)² = {(radius / margin) ** 2:.0f}")

centres = np.array([[0, 1.5], [1.4, -0.6], [-1.4, -0.6]])
kinds = random.integers(0, 3, 300)
blobs = np.column_stack([centres[kinds] + 0.3 * random.normal(size=(300, 2)), np.ones(300)]).astype("float32")
blob_counts, blob_weights = until_right(multiclass_epoch, multiclass_epoch.init(C=3, K=3), x=blobs, label=kinds)
print(f"three classes: {sum(blob_counts)} mistakes in {len(blob_counts)} epochs {blob_counts}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
left.scatter(*points[:, :2].T, c=signs, cmap="RdBu_r", vmin=-1.3, vmax=1.3, s=14)
for number, (a, b, d) in enumerate(lines, 1):
    last = number == len(lines)
    left.axline((0, -d / b), slope=-a / b, color="black" if last else "gray", lw=2 if last else 0.8, alpha=1 if last else 0.6)
left.set(title=f"after each of {len(lines)} epochs", xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
side = np.linspace(-2.6, 2.6, 300)
plane = np.stack([*np.meshgrid(side, side), np.ones((300, 300))], axis=-1)
three = ["tab:blue", "tab:orange", "tab:green"]
right.contourf(side, side, (plane @ blob_weights[-1].T).argmax(-1), levels=[-0.5, 0.5, 1.5, 2.5], colors=three, alpha=0.3)
right.scatter(*blobs[:, :2].T, c=np.array(three)[kinds], s=16, edgecolors="black", linewidths=0.4)
right.set(title="three classes", aspect="equal")
figure.savefig(PICTURES / "perceptron.png", dpi=120)

difference = gc.check_grad(loss, w, x=points[:9], y=signs[:9], w=random.normal(size=3))
print(f"numeric check: {difference:.1e} relative difference")
assert counts[-1] == 0 and sum(counts) <= (radius / margin) ** 2
assert np.array_equal(np.sign(points @ lines[-1]), signs)
assert blob_counts[-1] == 0 and np.array_equal((blobs @ blob_weights[-1].T).argmax(1), kinds)
