"""Strides and batches: the size of the output is not written down, it follows from the subscripts.

Writes pictures/strided_convolution.svg.
"""

from pathlib import Path

import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

n, f, c, p, q, r, s = gc.indices("n f c p q r s")


def strided(image: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor, stride: int) -> gc.Tensor:
    """N×C×H×W images, F×C×K×K filters: p and q run as far as stride·p + r stays inside of the image."""
    out = gc.tensor("out")
    out[n, f, p, q] = gc.sum(image[n, c, stride * p + r, stride * q + s] * weight[f, c, r, s], over=(c, r, s)) + bias[f]
    return out


def size(width: int, kernel: int, padding: int, stride: int) -> int:
    """Side of the output, as graphc infers it; the padding is a frame of zeros."""
    image, weight = gc.tensor("image", 1, 1, width + 2 * padding, width + 2 * padding), gc.tensor("weight", 1, 1, kernel, kernel)
    return int(strided(image, weight, gc.tensor("bias", 1), stride).shape[-1])


print("  W  K  P  S  output  (W − K + 2P)//S + 1")
for width, kernel, padding, stride in [(7, 3, 0, 1), (7, 3, 0, 2), (7, 3, 1, 1), (32, 5, 2, 1), (227, 11, 0, 4), (28, 2, 0, 2)]:
    found, formula = size(width, kernel, padding, stride), (width - kernel + 2 * padding) // stride + 1
    print(f"{width:3} {kernel:2} {padding:2} {stride:2}  {found:6}  {formula}")
    assert found == formula

N, C, F = gc.dims("N C F")
image, weight, bias = gc.tensor("image", N, C, 7, 7), gc.tensor("weight", F, C, 3, 3), gc.tensor("bias", F)
out = strided(image, weight, bias, 2)
loss = gc.tensor("loss")
loss[()] += gc.tanh(out[n, f, p, q])
gradients = gc.grad(loss, [image, weight, bias])
print(f"\n{gc.loops(loss, *gradients)}\n\nshape of the output: {out.shape}")
gc.draw(loss, *gradients).save(PICTURES / "strided_convolution.svg")

random = np.random.default_rng(0)
arrays = {"image": random.normal(size=(2, 2, 7, 7)), "weight": random.normal(size=(2, 2, 3, 3)), "bias": random.normal(size=2)}
one = {"image": arrays["image"][:1, :1], "weight": arrays["weight"][:1, :1], "bias": arrays["bias"][:1]}
difference = gc.check_grad(loss, [image, weight, bias], **one)
print(f"numeric check: {difference:.1e} relative difference")

singles = {name: a.astype("float32") for name, a in arrays.items()}
result = gc.compile(out)(**singles)
windows = np.lib.stride_tricks.sliding_window_view(arrays["image"], (3, 3), axis=(2, 3))[:, :, ::2, ::2]
expected = np.einsum("ncpqrs,fcrs->nfpq", windows, arrays["weight"]) + arrays["bias"][:, None, None]
np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
assert result.shape == (2, 2, 3, 3) and out.shape[2:] == (3, 3)
