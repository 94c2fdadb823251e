"""`gc.from_einsum` against `numpy.einsum`."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import graphc as gc

SIZES = dict(zip("abcijkBI", (2, 3, 1, 4, 2, 3, 5, 2), strict=True))

TABLE = (
    "bij,bjk->bik", "ij,jk", "ij,jk->ki", "ba", "ii", "ii->i", "iii->i", "iij->ij", "ij->", "ij->j", "i,j->ij", "i,i", "i,i,i->",
    "bi, bi -> b", "iB,Bj->ij", "Bi", "ij,ij,ij->ij",
    "ab,bc,ci->ai", "i->i", "->", ",->", "a,->a", "bIi,bjI->bij", "ijb,bk,k->ij", "abij,bcij->ac",
)

DOTS = (
    ("...i,i->...", [(2, 3, 4), (4,)]), ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 2)]), ("...ij,...jk", [(5, 2, 3, 4), (1, 4, 2)]),
    ("i...->...i", [(3, 4, 2)]), ("...,...", [(2, 3), (3,)]), ("i...i->...", [(3, 4, 3)]), ("...ii->...i", [(2, 3, 3)]), ("...", [()]),
    ("ij,jk->i...k", [(2, 3), (3, 4)]), ("...i,...i", [(3,), (2, 3)]), ("i,i->i", [(1,), (4,)]), ("bi,bi->b", [(3, 1), (3, 4)]),
    ("ij->i", [(3, 1)]),
)


def data(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(-3, 4, shape).astype("float32") for shape in shapes]


def check(spec: str, shapes: list[tuple[int, ...]], target: str = "interpret") -> None:
    arrays = data(shapes)
    tensors = [gc.tensor(f"X{k}", shape) for k, shape in enumerate(shapes)]
    result = gc.compile(gc.from_einsum(spec, *tensors), target=target)({t.name: a for t, a in zip(tensors, arrays, strict=True)})
    expected = np.einsum(spec, *arrays)
    assert np.shape(result) == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def shapes_of(spec: str) -> list[tuple[int, ...]]:
    parts = spec.replace(" ", "").split("->")[0].split(",")
    return [tuple(SIZES[letter] for letter in part) for part in parts]


@pytest.mark.parametrize("spec", TABLE)
def test_table(spec: str) -> None:
    check(spec, shapes_of(spec))


@pytest.mark.parametrize("spec", TABLE)
def test_without_operands(spec: str) -> None:
    arrays = data(shapes_of(spec))
    result = gc.compile(gc.from_einsum(spec), target="interpret")(dict(zip("ABC", arrays, strict=False)))
    np.testing.assert_allclose(result, np.einsum(spec, *arrays), rtol=1e-6)


@pytest.mark.parametrize(("spec", "shapes"), DOTS)
def test_ellipsis_and_ones(spec: str, shapes: list[tuple[int, ...]]) -> None:
    check(spec, shapes)


def drawn(random: Random) -> str:
    letters = random.sample("abcijkBI", random.randint(1, 5))
    parts = ["".join(random.choices(letters, k=random.randint(0, 3))) for _ in range(random.randint(1, 3))]
    used = sorted({*"".join(parts)})
    arrow = random.random() < 0.8
    return ",".join(parts) + ("->" + "".join(random.sample(used, random.randint(0, min(3, len(used))))) if arrow else "")


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_random(start: int) -> None:
    for seed in range(start, start + 20):
        spec = drawn(Random(seed))
        check(spec, shapes_of(spec))


@pytest.mark.parametrize("spec", ["bij,bjk->bik", "iij,jk->ik", "ii"])
def test_compiled(spec: str) -> None:
    check(spec, shapes_of(spec), "cpu")


def test_gradient_and_names() -> None:
    y = gc.from_einsum("Ab,bA->A", name="y")
    loss = gc.from_einsum("i,i", y, y, name="loss")
    a, b = (next(t for t in loops_inputs(loss) if t.name == n) for n in "AB")
    arrays = dict(zip("AB", data([(3, 2), (2, 3)]), strict=True))
    gradient = gc.compile(gc.grad(loss, a), target="interpret")(arrays)
    product = np.einsum("ab,ba->a", arrays["A"], arrays["B"])
    np.testing.assert_allclose(gradient, 2 * product[:, None] * arrays["B"].T)
    assert b.shape[0].node.name == "N_b"


def loops_inputs(tensor: gc.Tensor) -> list[gc.Tensor]:
    return [t for s in tensor.statements for _, source in s.reads for t in (loops_inputs(source) if source.statements else [source])]


def test_integers() -> None:
    k = gc.tensor("k", 3, dtype="int32")
    assert gc.compile(gc.from_einsum("i,i", k, k))(k=np.arange(3, dtype="int32")) == 5
