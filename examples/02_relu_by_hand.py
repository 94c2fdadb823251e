"""A net of one input, one hidden ReLU unit and one output, small enough for a blackboard.

Each node of pictures/relu_by_hand.{svg,png} carries its value above and its gradient below.
"""

from pathlib import Path

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

x, t, w1, b1, w2, b2 = gc.tensors("x t w1 b1 w2 b2", ())
h, y, L = gc.tensors("h y L")
h[()] = gc.relu(w1[()] * x[()] + b1[()])
y[()] = w2[()] * h[()] + b2[()]
L[()] = (y[()] - t[()]) ** 2

weights = [w1, b1, w2, b2]
gradients = gc.grad(L, weights)
print(gc.loops(L, *gradients))

values = {"x": 1, "t": 1, "w1": 3, "b1": 1, "w2": 2, "b2": -5}
arrays = {name: float(value) for name, value in values.items()}
hidden, output, loss, *found = (float(a) for a in gc.compile([h, y, L, *gradients])(**arrays))
print(f"\nh = {hidden:g}, y = {output:g}, L = {loss:g}")
print("gradients (w1, b1, w2, b2) =", tuple(found))

stepped = {}
for w, g in zip(weights, gradients, strict=True):  # gradient descent with α = 1/4, as a program
    new = gc.tensor(f"{w.name}.new")
    new[()] = w[()] - g[()] / 4
    stepped[w.name] = new
after = {name: float(a) for name, a in gc.compile(stepped)(**arrays).items()}
print("after a step with α = 1/4:", tuple(after.values()))

drawing = gc.draw(L, values=values)
drawing.save(PICTURES / "relu_by_hand.svg")
drawing.save(PICTURES / "relu_by_hand.png")
print(f"numeric check: {gc.check_grad(L, weights, **arrays):.1e} relative difference")

assert (hidden, output, loss) == (4, 3, 4)
assert found == [8, 8, 16, 4]
assert list(after.values()) == [1, -1, -2, -6]
