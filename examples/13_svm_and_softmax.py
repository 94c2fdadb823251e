"""Two losses on the same scores: the multiclass SVM is content with a margin of 1, softmax never is.

Writes pictures/svm_and_softmax.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N, C = gc.dims("N C")
n, c = gc.indices("n c")
scores, label = gc.tensor("scores", N, C, dtype="float64"), gc.tensor("label", N, dtype="int64")
svm, softmax, L = gc.tensors("svm softmax L")
svm[n] = gc.sum(gc.where(c != label[n], gc.maximum(0, scores[n, c] - scores[n, label[n]] + 1), 0), over=c)
softmax[n] = -gc.log(gc.exp(scores[n, label[n]]) / gc.sum(gc.exp(scores[n, c]), over=c))
L[()] += svm[n] + softmax[n]
print(gc.loops(L, gc.grad(L, scores)))

losses = gc.compile([svm, softmax])
examples = np.array([[10, -2, 3], [10, 9, 9], [10, -100, -100]], float)
hinge, entropy = losses(scores=examples, label=np.zeros(3, "int64"))
print("\nscores             SVM    softmax")
for row, a, b in zip(examples, hinge, entropy, strict=True):
    print(f"{row.astype(int).tolist()!s:18} {a:4.0f}    {b:.7f}")

zero = {classes: float(losses(scores=np.zeros((1, classes)), label=np.zeros(1, "int64"))[1][0]) for classes in (2, 3, 10)}
print("softmax loss at zero weights:", ", ".join(f"{value:.6f} = ln {classes}" for classes, value in zero.items()))

random = np.random.default_rng(0)
difference = gc.check_grad(L, scores, scores=random.normal(size=(3, 4)) * 3, label=np.array([0, 3, 1]))
print(f"numeric check: {difference:.1e} relative difference")

margin = np.linspace(-4, 6, 201)
curves = losses(scores=np.stack([margin, np.zeros_like(margin)], axis=1), label=np.zeros(201, "int64"))
for name, curve in zip(("multiclass SVM", "softmax"), curves, strict=True):
    plt.plot(margin, curve, label=name)
plt.xlabel("score of the right class − score of the other")
plt.ylabel("loss")
plt.legend()
plt.savefig(PICTURES / "svm_and_softmax.png", dpi=120)

assert hinge.tolist() == [0, 0, 0]
np.testing.assert_allclose(entropy[:2], [np.log1p(np.exp(-12) + np.exp(-7)), np.log1p(2 * np.exp(-1))], rtol=1e-10)
assert f"{entropy[0]:.6f}"[:8] == "0.000918" and f"{entropy[1]:.4f}" == "0.5514" and 0 <= entropy[2] <= 1e-30
for classes, value in zero.items():
    np.testing.assert_allclose(value, np.log(classes), rtol=1e-12)
