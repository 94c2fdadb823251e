"""What a convolution costs: ten 5×5 filters on a 3×32×32 picture, stride 1, padding 2.

`gc.summary` counts without making an array. Writes pictures/convolution_costs.svg.
"""

from pathlib import Path

import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)


def convolution(channels: int, size: int, kernels: int, width: int, padding: int) -> tuple[gc.Tensor, list[gc.Tensor]]:
    f, c, r, s = gc.indices("f c r s")
    p, q = gc.index("p", size + 2 * padding - width + 1), gc.index("q", size + 2 * padding - width + 1)
    image = gc.tensor("image", channels, size, size)
    weight, bias = gc.parameter("weight", kernels, channels, width, width), gc.parameter("bias", kernels)
    out = gc.tensor("out")
    out[f, p, q] = gc.sum(gc.pad(image, 0)[c, p + r - padding, q + s - padding] * weight[f, c, r, s], over=(c, r, s)) + bias[f]
    return out, [image, weight, bias]


out, _ = convolution(3, 32, 10, 5, 2)
table = gc.summary(out)
print(gc.loops(out))
print(table)
gc.draw(out).save(PICTURES / "convolution_costs.svg")

small, inputs = convolution(2, 4, 2, 3, 1)
f, p, q = gc.indices("f p q")
loss = gc.tensor("loss")
loss[()] += gc.tanh(small[f, p, q])
random = np.random.default_rng(0)
difference = gc.check_grad(loss, inputs, **{a.name: random.normal(size=a.shape) for a in inputs})
print(f"numeric check of a small one: {difference:.1e} relative difference")

assert out.shape == (10, 32, 32)
assert table.parameters == 760
assert table.multiply_adds == 768_000
