"""Kernels as machine code for three generations of GPUs: nothing spills, and float32 programs compute in float32 (`tests.cuda_check`)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cuda_check import of_program
from tests.cuda_programs import PROGRAMS
from tests.gpu import module_of
from tests.gpu.sass import Assembled, assembled, complaints, missing

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module", autouse=True)
def toolchain() -> None:
    """Skip without NVIDIA's packages."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.mark.parametrize("name", ["layer", "gather", "counts", "running_sum"])
def test_programs(name: str, folder: Path) -> None:
    assert name in PROGRAMS
    for kernel in of_program(f"program {name}", cached=folder):
        assert set(kernel.made) == {75, 80, 90} and not kernel.complaints(), f"{kernel.complaints()}\n{kernel.source}"
        assert all(made.registers and made.instructions for made in kernel.made.values())


def test_products_on_tensor_cores(folder: Path) -> None:
    """32 instructions for 8×8×8 products of a thread's sums; nothing spills."""
    module = module_of(PROGRAMS["product"]()[0], cores=True)
    for name, made in assembled(module, [80, 90], folder).items():
        assert all(not list(complaints("cuda.", m)) and bool(m.cores) == (name in ("contract_0", "contract_0_wide")) for m in made.values())


def test_maps_read_and_write_four_elements_at_once(folder: Path) -> None:
    kernels = {kernel.kernel: kernel for kernel in of_program("program empty_products", [90], folder)}
    assert kernels["map_0"].made[90].wide >= 0.25 and "put_four(" in kernels["map_0"].source


@pytest.mark.parametrize("program", ["program product", "layer conv2d"])
def test_sums_of_products_are_in_registers(program: str, folder: Path) -> None:
    """And most of what the innermost loop of large blocks does is multiply and add."""
    kernels = {kernel.kernel: kernel for kernel in of_program(program, [80], folder)}
    assert not any(kernel.complaints() for kernel in kernels.values())
    large = kernels["contract_0"].made[80]
    assert large.fused > (0.75 if program == "program product" else 0.45)
    if program == "program product":
        wide = kernels["contract_0_wide"].made[80]
        assert wide.fused > 0.75 and wide.wide == 1 and wide.registers <= 128


HEAD = """\
import math
import numpy as np
from numba import cuda
f32 = np.float32


@cuda.jit
def kernel(X, Y, n):
"""
GOOD = """\
    for k in range(cuda.grid(1), n, cuda.gridsize(1)):
        total = f32(0)
        for i in range(16):
            total = total + X[k, i] * X[k, i]
        Y[k] = total
"""
WRONG = {
    "float64": GOOD.replace("X[k, i] * X", "0.5 * X"),
    "local memory": GOOD.replace("for i", "part = cuda.local.array(64, f32)\n        for i").replace("X[k, i] * X[k, i]", "part[n % 64]"),
    "spilled": GOOD.replace("f32(0)\n", "f32(0)\n" + "".join(f"        x{k} = X[k, {k}]\n" for k in range(96))).replace(
        "X[k, i] * X[k, i]", " + ".join(f"math.exp(x{k} * total)" for k in range(96))),
}  # fmt: skip


def made_of(body: str, decorator: str = "@cuda.jit", folder: Path | None = None) -> Assembled:
    text = HEAD.replace("@cuda.jit", decorator) + body
    module: Any = SimpleNamespace(text=text, parameters={"kernel": (("float32", 2), ("float32", 1), None)})
    return assembled(module, [80], folder)["kernel"][80]


def test_what_is_right_is_counted() -> None:
    made = made_of(GOOD)
    assert not list(complaints(GOOD, made))
    assert made.fused > 0 and made.wide == 0 and not made.shared


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_found(kind: str) -> None:
    decorator = "@cuda.jit(launch_bounds=(1024, 2))" if kind == "spilled" else "@cuda.jit"
    assert any(kind in text for text in complaints(WRONG[kind], made_of(WRONG[kind], decorator)))


def test_equal_kernels_are_assembled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and comments do not matter."""
    first = made_of(GOOD, folder=folder)
    monkeypatch.setattr("tests.gpu.sass._ptx", None)
    assert made_of("    # a comment\n" + GOOD.replace("total", "row"), folder=folder) == first
    with pytest.raises(TypeError):
        made_of(GOOD.replace("range(16)", "range(17)"), folder=folder)
