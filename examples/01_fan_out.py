"""Fan-out: y feeds two functions, so its gradient is the sum of two contributions.

Writes pictures/fan_out.svg.
"""

from pathlib import Path

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

x = gc.tensor("x", ())
y, u, v, L = gc.tensors("y u v L")
y[()] = gc.sin(x[()])
u[()] = y[()] ** 2
v[()] = gc.exp(y[()])
L[()] = u[()] * v[()]

gradient = gc.grad(L, x)
text = str(gc.loops(L, gradient))
print(text)
gc.draw(L, gradient).save(PICTURES / "fan_out.svg")

lines = text.splitlines()
assert lines[:4] == ["y[()] = sin(x[()])", "u[()] = y[()]**2", "v[()] = exp(y[()])", "L[()] = u[()]*v[()]"]
backward = [line.split(" ")[0] for line in lines[4:]]
assert sorted(backward[:2]) == ["u.grad[()]", "v.grad[()]"] and backward[2:] == ["y.grad[()]", "y.grad[()]", "x.grad[()]"], backward

difference = gc.check_grad(L, x, x=0.7)
print(f"\ny.grad is written twice; numeric check at x = 0.7: {difference:.1e} relative difference")
