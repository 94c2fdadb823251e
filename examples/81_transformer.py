"""A small transformer reads some of Shakespeare's sonnets (examples/data/sonnets.txt) letter by letter, and writes on.

Two statements make attention what it is: the sum over `u <= t` sees the past only, and the distance `t - u`, times a slope for each head,
tells near from far (Press, Smith and Lewis, ICLR 2022), so that any length will do. Writes pictures/transformer.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import trange

import graphc as gc

PICTURES, TEXT = Path("pictures"), (Path(__file__).parent / "data" / "sonnets.txt").read_text(encoding="utf-8")
LETTERS, BATCH, LENGTH, STEPS = sorted(set(TEXT)), 16, 64, 500
B, T = gc.dims("B T")
b, t, u, h, e, i, k = gc.indices("b t u h e i k")


def attention(x, width, heads, name):
    """Every place asks those before it; what they answer is weighted by how well their keys fit, in each head by itself."""
    each = width // heads
    w = gc.parameter(f"{name}.weight", 3, heads, each, width, init=lambda shape, random: random.normal(0, width**-0.5, shape))
    w_out = gc.parameter(f"{name}.weight_out", width, heads, each, init=lambda shape, random: random.normal(0, 0.3 * width**-0.5, shape))
    p, score, total, share, answer, out = (gc.tensor(f"{name}.{part}") for part in ("p", "score", "total", "share", "answer", "y"))
    p[k, b, h, t, e] = gc.sum(w[k, h, e, i] * x[b, t, i], over=i)  # query, key and value
    score[b, h, t, u] = gc.sum(p[0, b, h, t, e] * p[1, b, h, u, e], over=e) / each**0.5 - (t - u) * gc.power(0.5, 2 * h + 1)
    total[b, h, t] = gc.sum(gc.where(u <= t, gc.exp(score[b, h, t, u]), 0), over=u)
    share[b, h, t, u] = gc.where(u <= t, gc.exp(score[b, h, t, u]) / total[b, h, t], 0)
    answer[b, h, t, e] = gc.sum(share[b, h, t, u] * p[2, b, h, u, e], over=u)
    out[b, t, i] = gc.sum(w_out[i, h, e] * answer[b, h, t, e], over=(h, e))
    return out, share


def add(x, y):
    out = gc.tensor(f"{y.name}.sum")
    out[b, t, i] = x[b, t, i] + y[b, t, i]
    return out


def transformer(text, letters, width=64, heads=4, depth=2):
    """Scores of the next letter at every place, the loss, and the weights of the last attention."""
    nn, x = gc.nn, gc.nn.Embedding(letters, width, name="letters")(text)
    for d in range(depth):
        y, share = attention(nn.LayerNorm(name=f"norm{d}a")(x), width, heads, f"attention{d}")
        x = add(x, y)
        y = nn.gelu(nn.Linear(4 * width, name=f"wide{d}")(nn.LayerNorm(name=f"norm{d}b")(x)))
        x = add(x, nn.Linear(width, name=f"narrow{d}")(y))
    scores = nn.Linear(letters, name="scores")(nn.LayerNorm(name="norm")(x))
    loss, t = gc.tensor("loss"), gc.index("t", text.shape[1] - 1)
    loss[()] = gc.mean(gc.logsumexp(scores[b, t, i], over=i) - scores[b, t, text[b, t + 1]], over=(b, t))
    return scores, loss, share


code = np.array([LETTERS.index(letter) for letter in TEXT])
text = gc.tensor("text", B, T, dtype="int64")
scores, loss, share = transformer(text, len(LETTERS))
step = gc.compile(loss, updates=gc.optim.adamw(loss, lr=gc.optim.cosine_annealing_lr(4e-3, T_max=STEPS)))
look = gc.compile([scores, share])
state, random = step.init(seed=0), np.random.default_rng(0)
starts = (random.integers(0, len(code) - LENGTH, BATCH) for _ in trange(STEPS))
losses = [float(step(state, text=code[start[:, None] + np.arange(LENGTH)])) for start in starts]

pairs = np.bincount(code[:-1] * len(LETTERS) + code[1:], minlength=len(LETTERS) ** 2).reshape(len(LETTERS), -1)
bigram = -(pairs[pairs > 0] * np.log((pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1))[pairs > 0])).sum() / pairs.sum()
final = float(np.mean(losses[-20:]))
print(f"{len(code)} letters, {len(LETTERS)} different; nats per letter: {losses[0]:.2f} → {final:.2f}, by pairs of letters {bigram:.2f}")
written = list(code[:LENGTH])
for _ in range(300):
    chances = np.exp(look(state, text=np.array([written[-LENGTH:]]))[0][0, -1] / 0.6)
    written.append(int(random.choice(len(LETTERS), p=chances / chances.sum())))
print("".join(LETTERS[c] for c in written[:LENGTH]) + "|" + "".join(LETTERS[c] for c in written[LENGTH:]), end="\n\n")

there, changed = code[None, :LENGTH], code[None, :LENGTH].copy()
changed[0, 40] = 0
a, shares = look(state, text=there)
assert np.array_equal(a[:, :40], look(state, text=changed)[0][:, :40]), "a letter has no influence on what comes before it"
tiny = gc.tensor("text", 2, 4, dtype="int64")
_, small, _ = transformer(tiny, 3, width=4, heads=2, depth=1)
point = {w.name: random.normal(size=w.shape) for w in gc.parameters(small)} | {"text": np.array([[0, 2, 1, 0], [1, 1, 2, 0]])}
print(f"numeric check: {gc.check_grad(small, gc.parameters(small), **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 4, figsize=(15, 4.2), width_ratios=(3, 3, 3, 3), layout="constrained")
axes[0].plot(losses)
axes[0].axhline(bigram, color="k", ls=":", label="pairs of letters")
axes[0].set(xlabel="step", ylabel="nats per letter")
axes[0].legend()
for axis, head in zip(axes[1:], (0, 2, 3), strict=True):
    axis.imshow(shares[0, head, :40, :40] ** 0.5, cmap="magma")
    axis.set_xticks(range(40), list(TEXT[:40]), fontsize=6)
    axis.set_yticks(range(40), list(TEXT[:40]), fontsize=6)
    axis.set_title(f"layer 2, head {head + 1}: who looks at whom")
figure.savefig(PICTURES / "transformer.png", dpi=120)
assert final < 1.5 < bigram < losses[0]
