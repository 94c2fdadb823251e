"""Programs divided among ranks, as text; what they compute is tested in tests/distributed/test_distribute.py."""

from __future__ import annotations

from collections.abc import Callable

import graphc as gc
from graphc.distributed.distribute import Distributed

N = gc.dim("N")
n, c, i = gc.indices("n c i")


def divided(*outputs: gc.Tensor, updates: dict[gc.Tensor, gc.Tensor] | None = None, overlap: bool = False) -> Distributed:
    return gc.distribute(gc.compile(list(outputs), "interpret", updates=updates), None, shard="n", overlap=overlap)


def test_batch_norm(golden: Callable[[str], None]) -> None:
    x, w, L = gc.tensor("x", N, 3), gc.parameter("w", 3), gc.tensor("L")
    y = gc.nn.batch_norm(x, None, None, w, training=True)
    L[()] = gc.mean(y[n, c] ** 3, over=(n, c))
    golden(str(divided(L, updates=gc.optim.sgd(L, lr=0.1))))


def test_extrema(golden: Callable[[str], None]) -> None:
    x, top, first, soft = gc.tensor("x", N, 3), *gc.tensors("top first soft")
    top[c] = gc.max(x[n, c], over=n)
    first[()] = gc.argmin(x[n, c], over=(n, c))
    soft[c] = gc.logsumexp(x[n, c], over=n)
    golden(str(divided(top, first, soft)))


def test_neighbours(golden: Callable[[str], None]) -> None:
    x, y, S = gc.tensor("x", N, 3), *gc.tensors("y S")
    y[n, c] = x[n, c] - gc.pad(x, 0)[n - 1, c]
    S[c] += y[n, c] * n / N
    S[c] += 1
    golden(str(divided(S)))


def test_what_ranks_compute_in_terms_of_their_rows(golden: Callable[[str], None]) -> None:
    from graphc.ir.show import statement

    x, key, y, S = gc.tensor("x", N, 3), gc.tensor("key", (), dtype="int64"), *gc.tensors("y S")
    y[n, c] = gc.where(n > 2, x[n, c] - gc.pad(x, 0)[n - 1, c], gc.uniform(key[()], n))
    S[c] = gc.mean(y[n, c] * n, over=n)
    found = divided(S)._distribution
    golden("\n\n".join("\n".join(map(statement, s.graph.statements)) for stage in found.stages for s in stage.segments))
