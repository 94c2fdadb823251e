"""Operators made by gc.to_torch inside PyTorch: what a call costs, and training steps beside the best formulation in PyTorch.

    python benchmarks/interop_torch.py [--threads 1] [--compile] [--only overhead|l1|bilateral|soft_dtw]

With one thread both sides are measured by the processor time of that thread, so that a busy machine harms neither; with more, by the clock.
The sides alternate and the fastest of each counts. `--compile` adds the formulations under torch.compile. A training step is forward,
squared error, backward and an update of the parameter; the gradients are compared first.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

RADIUS, SHARPNESS, WIDTH = 4, 0.15, 2.0
ELEMENTS, CALLS = 10, 20_000
TURN = 3


@dataclass(frozen=True)
class Case:
    """An operator of a parameter and other tensors, as a program and as functions in PyTorch."""

    title: str
    ours: Any
    theirs: dict[str, Callable[..., Any]]
    parameter: Any
    others: tuple[Any, ...]
    target: Any


def fastest(sides: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of each side, whose turn is a few calls in a row, as in a training loop."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, call in sides.items():
            for _ in range(TURN):
                start = clock()
                call()
                best[name] = min(best[name], clock() - start)
    return best


# ------------------------------------------------------------------------------------------------------------------ overhead


def overhead(clock: Callable[[], float]) -> None:
    import torch

    import graphc as gc

    i, N = gc.index("i"), gc.dim("N")
    x, z, y = gc.tensor("x", N), gc.tensor("z", N), gc.tensor("y")
    y[i] = x[i] + z[i]
    operator = gc.to_torch(y, inputs=[x, z], name="add")
    a, b, w, seed = torch.randn(ELEMENTS), torch.randn(ELEMENTS), torch.randn(ELEMENTS, requires_grad=True), torch.ones(ELEMENTS)

    def both(f: Any) -> None:
        f(a, w).backward(seed)

    def repeated(call: Callable[..., object], *arguments: Any) -> Callable[[], None]:
        def run() -> None:
            for _ in range(CALLS):
                call(*arguments)

        return run

    rows = {
        "no gradient": (repeated(torch.add, a, b), repeated(operator, a, b)),
        "forward, recorded": (repeated(torch.add, a, w), repeated(operator, a, w)),
        "forward and backward": (repeated(both, torch.add), repeated(both, operator)),
    }
    print(f"{f'a + b, {ELEMENTS} elements, µs':24} {'torch.add':>10} {'gc.to_torch':>12} {'ratio':>6}")
    for name, (theirs, ours) in rows.items():
        ours()
        best = fastest({"theirs": theirs, "ours": ours}, 5, clock)
        print(f"{name:24} {best['theirs'] / CALLS * 1e6:10.2f} {best['ours'] / CALLS * 1e6:12.2f} {best['ours'] / best['theirs']:6.2f}")


# ------------------------------------------------------------------------------------------------------------------ operators


def l1() -> Case:
    import torch

    import graphc as gc

    n, m, k = gc.indices("n m k")
    N, M, K = gc.dims("N M K")
    X, Y, D = gc.tensor("X", N, K), gc.tensor("Y", M, K), gc.tensor("D")
    D[n, m] += gc.abs(X[n, k] - Y[m, k])
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(512, 64, generator=generator) for _ in range(2))
    theirs = {"torch.cdist": lambda x, y: torch.cdist(x, y, p=1), "broadcast": lambda x, y: (x[:, None] - y).abs().sum(-1)}
    return Case("L1 distances, 512²×64", gc.to_torch(D, inputs=[X, Y], name="l1"), theirs, x, (y,),
                torch.rand(512, 512, generator=generator) * 100)


def bilateral() -> Case:
    import torch

    import graphc as gc

    p, q, r, s = *gc.indices("p q"), gc.index("r", 2 * RADIUS + 1), gc.index("s", 2 * RADIUS + 1)
    image, near, Y = gc.tensor("image", *gc.dims("H W")), gc.tensor("near"), gc.tensor("Y")
    total, weight = gc.tensors("total weight")
    near[r, s] = gc.exp(-((r - RADIUS) ** 2 + (s - RADIUS) ** 2) / (2 * WIDTH**2))
    seen = image[p + r, q + s]
    likeness = gc.exp(-((seen - image[p + RADIUS, q + RADIUS]) ** 2) / (2 * SHARPNESS**2)) * near[r, s]
    total[p, q] = gc.sum(likeness * seen, over=(r, s))
    weight[p, q] = gc.sum(likeness, over=(r, s))
    Y[p, q] = total[p, q] / weight[p, q]

    def shifted(image: Any) -> Any:
        rows, columns = image.shape[0] - 2 * RADIUS, image.shape[1] - 2 * RADIUS
        middle = image[RADIUS:-RADIUS, RADIUS:-RADIUS]
        total, weight = 0, 0
        for r in range(2 * RADIUS + 1):
            for s in range(2 * RADIUS + 1):
                seen = image[r : r + rows, s : s + columns]
                distance = ((r - RADIUS) ** 2 + (s - RADIUS) ** 2) / (2 * WIDTH**2)
                like = torch.exp((seen - middle).square() * (-1 / (2 * SHARPNESS**2)) - distance)
                total, weight = total + like * seen, weight + like
        return total / weight

    def unfolded(image: Any) -> Any:
        span = torch.arange(2 * RADIUS + 1) - RADIUS
        near = torch.exp(-(span[:, None] ** 2 + span**2) / (2 * WIDTH**2))
        windows = image.unfold(0, 2 * RADIUS + 1, 1).unfold(1, 2 * RADIUS + 1, 1)
        like = torch.exp((windows - image[RADIUS:-RADIUS, RADIUS:-RADIUS, None, None]).square() * (-1 / (2 * SHARPNESS**2))) * near
        return (like * windows).sum((2, 3)) / like.sum((2, 3))

    generator = torch.Generator().manual_seed(0)
    side = 256 + 2 * RADIUS
    picture = torch.rand(side, side, generator=generator)
    return Case("bilateral filter, 256², radius 4", gc.to_torch(Y, inputs=[image], name="bilateral"),
                {"shifts": shifted, "unfold": unfolded}, picture, (), torch.rand(256, 256, generator=generator))


def soft_dtw() -> Case:
    import torch

    import graphc as gc

    B, N, M = gc.dims("B N M")
    b, i, j = gc.indices("b i j")
    x, y, cost, loss = gc.tensor("x", B, N), gc.tensor("y", B, M), *gc.tensors("cost loss")
    far = gc.pad(cost, 1e8, dims=[1, 2])
    near = [-far[b, i - 1, j - 1], -far[b, i - 1, j], -far[b, i, j - 1]]
    least = gc.maximum(gc.maximum(near[0], near[1]), near[2])
    soft = -least - gc.log(sum(gc.exp(v - least) for v in near))
    cost[b, gc.index("i", N), gc.index("j", M)] = (x[b, i] - y[b, j]) ** 2 + gc.where((i == 0) & (j == 0), 0, soft)
    loss[b] = cost[b, N - 1, M - 1]

    def diagonals(x: Any, y: Any) -> Any:
        """The entries of one diagonal depend on the two before, not on each other."""
        rows, columns = x.shape[1], y.shape[1]
        i = torch.arange(rows)
        last = x.new_full((x.shape[0], rows + 1), 1e8)
        older = torch.cat([x.new_zeros(x.shape[0], 1), last[:, 1:]], 1)
        for d in range(rows + columns - 1):
            inside = (d - i >= 0) & (d - i < columns)
            costs = (x - y[:, (d - i).clamp(0, columns - 1)]).square()
            near = torch.stack([older[:, :-1], last[:, :-1], last[:, 1:]])
            now = torch.where(inside, costs - torch.logsumexp(-near, 0), 1e8)
            older, last = last, torch.nn.functional.pad(now, (1, 0), value=1e8)
        return last[:, -1]

    generator = torch.Generator().manual_seed(0)
    walks = (torch.randn(2, 32, 64, generator=generator) / 3).cumsum(2)
    return Case("soft-DTW, 32 of 64×64", gc.to_torch(loss, inputs=[x, y], name="soft_dtw"), {"diagonals": diagonals},
                walks[0], (walks[1],), torch.zeros(32))


# --------------------------------------------------------------------------------------------------------------- training step


def step(f: Callable[..., Any], case: Case) -> Callable[[], Any]:
    """A training step on a copy of the parameter; it returns the gradient."""
    import torch

    parameter = case.parameter.clone().requires_grad_()

    def run() -> Any:
        parameter.grad = None
        (f(parameter, *case.others) - case.target).square().mean().backward()
        with torch.no_grad():
            parameter.sub_(parameter.grad, alpha=1e-6)
        return parameter.grad

    return run


def alone(f: Callable[..., Any], case: Case) -> Callable[[], None]:
    """The operator of a step, forward and backward, without the loss and the update."""
    import torch

    parameter, adjoint = case.parameter.clone().requires_grad_(), torch.ones_like(case.target)

    def run() -> None:
        parameter.grad = None
        f(parameter, *case.others).backward(adjoint)

    return run


def sides(case: Case, compiled: bool) -> Iterator[tuple[str, Callable[..., Any]]]:
    import torch

    yield "gc.to_torch", case.ours
    for name, f in case.theirs.items():
        yield name, f
        if compiled:
            yield f"{name}, torch.compile", torch.compile(f)


def trained(case: Case, compiled: bool, clock: Callable[[], float]) -> None:
    import torch

    print(f"\n{case.title:30} {'a training step':>20} {'the operator alone':>25}")
    steps = {name: step(f, case) for name, f in sides(case, compiled)}
    wanted = step(case.ours, case)()
    for name, run in steps.items():
        found = run()
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max())), f"gradients of {name} differ"
    best, operators = fastest(steps, 7, clock), fastest({name: alone(f, case) for name, f in sides(case, compiled)}, 7, clock)
    for name in best:
        columns = (f"{s[name] * 1e3:9.2f} ms {s[name] / s['gc.to_torch']:6.1f} times" for s in (best, operators))
        print(f"  {name:28} {'   '.join(columns)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="also under torch.compile, which takes minutes for soft-DTW")
    parser.add_argument("--only", choices=("overhead", "l1", "bilateral", "soft_dtw"))
    options = parser.parse_args()
    os.environ["GRAPHC_NUM_THREADS"] = str(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    if options.only in (None, "overhead"):
        overhead(clock)
    for make in (l1, bilateral, soft_dtw):
        if options.only in (None, make.__name__):
            trained(make(), options.compile, clock)


if __name__ == "__main__":
    main()
