"""One net, ten learning rates from far too low to a million: the loss of every minibatch, and when training diverges.

The rate is an argument of the step, so all runs share one compiled program. Writes pictures/learning_rates.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import graphc as gc

PICTURES, BATCH, STEPS = Path("pictures"), 64, 600
RATES = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 10.0, 1e3, 1e6)


def net(x, hidden=32, classes=10):
    return gc.nn.Sequential(gc.nn.Linear(hidden), gc.nn.ReLU(), gc.nn.Linear(hidden), gc.nn.ReLU(), gc.nn.Linear(classes))(x)


def check():
    """The gradient of a smaller net of the same build against the complex step."""
    x, label, random = gc.tensor("x", 3, 4), gc.tensor("label", 3, dtype="int64"), np.random.default_rng(0)
    loss = gc.nn.cross_entropy(net(x, hidden=5, classes=3), label)
    weights = gc.parameters(loss)
    arrays = {w.name: random.normal(size=w.shape) for w in weights}
    return gc.check_grad(loss, weights, x=random.normal(size=(3, 4)), label=np.array([0, 2, 1]), **arrays)


digits = load_digits()
pixels, labels = (digits.data / 16).astype("float32"), digits.target.astype("int64")
x, label, rate = gc.tensor("x", gc.dim("N"), 64), gc.tensor("label", gc.dim("N"), dtype="int64"), gc.tensor("rate", ())
loss = gc.nn.cross_entropy(net(x), label)
step = gc.compile(loss, updates=gc.optim.sgd(loss, lr=rate))
print(f"numeric check: {check():.1e} relative difference\n\n     rate   loss at first   in the end (mean of 28 batches)")


def train(lr):
    """The loss of every minibatch; a run ends with the first that is not finite."""
    state, losses, random = step.init(seed=0), [], np.random.default_rng(0)
    for _ in range(STEPS):
        batch = random.choice(len(pixels), BATCH, replace=False)
        losses.append(float(step(state, x=pixels[batch], label=labels[batch], rate=lr)))
        if not np.isfinite(losses[-1]):
            break
    return np.array(losses)


runs = {lr: train(lr) for lr in RATES}
final = {lr: losses[-28:].mean() if np.isfinite(losses[-1]) else np.nan for lr, losses in runs.items()}
for lr, losses in runs.items():
    verdict = f"{final[lr]:12.4f}" if np.isfinite(final[lr]) else f"    diverged: the loss is {losses[-1]} after {len(losses) - 1} steps"
    print(f"{lr:9g} {losses[0]:15.4f} {verdict}")

PICTURES.mkdir(exist_ok=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), width_ratios=(3, 2), layout="constrained")
for colour, (lr, losses) in zip(plt.cm.turbo(np.linspace(0, 0.95, len(runs))), runs.items(), strict=True):
    smooth = np.convolve(losses, np.ones(20) / 20, "valid") if len(losses) == STEPS else losses[np.isfinite(losses)]
    left.semilogy(smooth, color=colour, lw=1.5, label=f"{lr:g}" + ("" if len(losses) == STEPS else " diverges"))
left.axhline(np.log(10), color="k", lw=0.8, ls=":")
left.set(ylim=(1e-2, 1e7), xlabel="step", ylabel="loss of the minibatch, mean of 20")
left.legend(title="learning rate", ncols=3, loc="upper right", bbox_to_anchor=(1, 0.92))
right.loglog(RATES, list(final.values()), "ko-")
right.axhline(np.log(10), color="k", lw=0.8, ls=":")
right.set(xlabel="learning rate", ylabel="loss in the end", title="dotted: guessing, ln 10")
figure.savefig(PICTURES / "learning_rates.png", dpi=120)

best = min((lr for lr in RATES if np.isfinite(final[lr])), key=final.get)
print(f"\nbest: {best:g}")
assert 0.03 <= best <= 0.3 and final[best] < 0.1
assert not np.isfinite(final[1e6]) and len(runs[1e6]) < STEPS, "a million diverges, and the run says so"
assert final[1e-4] > 2, "a rate that is too low does not get away from ln 10"
