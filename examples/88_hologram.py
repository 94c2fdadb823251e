"""A hologram: which phase must a plate give to a laser beam, so that its far field is a picture?

Far away, light is the Fourier transform of what leaves the plate: two products with exp(−2πi·kx/N), written with the indices themselves.
The phase is found by descent from noise; light outside of the picture's window is free. Writes pictures/hologram.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import graphc as gc

PICTURES, SIZE, WINDOW, STEPS = Path("pictures"), 160, 100, 400
x, y, k, m, p, q = gc.indices("x y k m p q")


def far_field(phase, beam, size):
    """The intensity of the Fourier transform of beam·exp(i·phase), with frequency 0 in the middle."""
    wave, out = 2 * np.pi / size * (k - size // 2) * x, gc.tensor("intensity")
    (c, s), re, im = gc.tensors("c s", size, size), *gc.tensors("re im")
    row_re, row_im, field_re, field_im = gc.tensors("row_re row_im field_re field_im")
    c[k, x], s[k, x] = gc.cos(wave), gc.sin(wave)
    re[y, x], im[y, x] = beam[y, x] * gc.cos(phase[y, x]), beam[y, x] * gc.sin(phase[y, x])
    row_re[y, k] = gc.sum(re[y, x] * c[k, x] + im[y, x] * s[k, x], over=x)
    row_im[y, k] = gc.sum(im[y, x] * c[k, x] - re[y, x] * s[k, x], over=x)
    field_re[m, k] = gc.sum(row_re[y, k] * c[m, y] + row_im[y, k] * s[m, y], over=y)
    field_im[m, k] = gc.sum(row_im[y, k] * c[m, y] - row_re[y, k] * s[m, y], over=y)
    out[m, k] = (field_re[m, k] ** 2 + field_im[m, k] ** 2) / size**2
    return out


def program(size, window):
    """The phase, the far field, and how far it is from the wanted picture within the window."""
    phase = gc.parameter("phase", size, size, init=lambda shape, random: random.uniform(-np.pi, np.pi, shape))
    beam, wanted, loss = gc.tensor("beam", size, size), gc.tensor("wanted", window, window), gc.tensor("loss")
    intensity, edge = far_field(phase, beam, size), (size - window) // 2
    loss[()] = gc.mean((intensity[p + edge, q + edge] - wanted[p, q]) ** 2, over=(p, q))
    return phase, intensity, loss


def rings(flower):
    """The photograph as brightness, in a soft round frame."""
    grey = flower[20:420, 110:510].mean(axis=2).reshape(WINDOW, 4, WINDOW, 4).mean(axis=(1, 3)) / 255
    radius = np.hypot(*np.mgrid[-1 : 1 : WINDOW * 1j, -1 : 1 : WINDOW * 1j])
    return grey**2 / (1 + np.exp((radius - 0.9) * 40))


phase, intensity, loss = program(SIZE, WINDOW)
print(gc.loops(loss), end="\n\n")
radius = np.hypot(*np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j])
beam = np.exp(-(radius**2)).astype("float32")
picture = rings(load_sample_image("flower.jpg"))
wanted = (picture * 0.6 * (beam**2).sum() / picture.sum()).astype("float32")  # 60 % of the light

rate = gc.optim.cosine_annealing_lr(0.3, T_max=STEPS)
step, see = gc.compile(loss, updates=gc.optim.adam(loss, lr=rate)), gc.compile(intensity)
state = step.init(seed=0)
first = see(state, beam=beam)
losses = [float(step(state, beam=beam, wanted=wanted)) for _ in range(STEPS)]
found, edge = see(state, beam=beam), (SIZE - WINDOW) // 2
inside = (slice(edge, edge + WINDOW),) * 2
match = {name: float(np.corrcoef(field[inside].ravel(), wanted.ravel())[0, 1]) for name, field in (("noise", first), ("hologram", found))}
share = found[inside].sum() / found.sum()
print(f"correlation with the picture: {match['noise']:.3f} of the phase at first, {match['hologram']:.4f} after {STEPS} steps")
print(f"{share:.0%} of the light is in the window; as much leaves the plate as arrives: {found.sum() / (beam**2).sum():.6f}")

small, _, error = program(6, 4)
random = np.random.default_rng(0)
point = {"phase": random.normal(size=(6, 6)), "beam": random.random((6, 6)), "wanted": random.random((4, 4))}
print(f"numeric check: {gc.check_grad(error, small, **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 4, figsize=(14, 3.8), layout="constrained")
shown = [("laser beam", beam, "inferno"), ("phase of the plate", np.angle(np.exp(1j * state["phase"])), "twilight"),
         ("far field", np.minimum(found, wanted.max()), "inferno"), ("its window", found[inside], "inferno")]
for axis, (title, image, colours) in zip(axes, shown, strict=True):
    axis.imshow(image, cmap=colours)
    axis.set_title(title)
    axis.axis("off")
figure.savefig(PICTURES / "hologram.png", dpi=120)

reference = np.abs(np.fft.fftshift(np.fft.fft2(beam * np.exp(1j * state["phase"].astype("float64"))))) ** 2 / SIZE**2
np.testing.assert_allclose(found, reference, atol=1e-3 * reference.max())
assert match["hologram"] > 0.99 > 0.3 > match["noise"]
