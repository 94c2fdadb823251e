import numpy as np
import pytest

import graphc as gc
from graphc.compile import optimised
from graphc.frontend.collect import collect
from graphc.passes.pad_copy import copy_padded
from graphc.passes.read_padded import read_padded
from graphc.passes.tighten import tighten
from tests.notation import applied, text

SIZES = {"N": 2}


def net(skip=False):
    """Two convolutions with a relu between them, whose sign the gradient reads."""
    nn, n = gc.nn, gc.dim("N")
    image = gc.tensor("image", n, 1, 4, 5)
    first, second = gc.parameter("first", 2, 1, 3, 3), gc.parameter("second", 2, 2, 3, 3)
    hidden = nn.relu(nn.conv2d(image, first, padding=1))
    out = nn.conv2d(hidden, second, padding=1)
    loss, i, j, k, m = gc.tensor("loss"), *gc.indices("i j k m")
    loss[()] += (out[i, j, k, m] + (hidden[i, j, k, m] if skip else 0)) ** 2
    return loss, [first, second], hidden


def graph_of(*tensors):
    return copy_padded(tighten(optimised(collect(tensors, "compile").graph)))


@pytest.mark.parametrize("skip", [False, True], ids=["plain", "residual"])
def test_the_sign_is_read_from_the_padded_copy(skip):
    loss, weights, _ = net(skip)
    before = graph_of(loss, *gc.grad(loss, weights))
    after = applied(read_padded, before, SIZES)
    assert "relu[i,j,k,l] > 0" in text(before) and "relu.padded[i,j,k+1,l+1] > 0" in text(after)
    behind = text(after).split("conv2d_2")[1:] if skip else []
    assert all("+ relu[" not in part for part in behind)


def test_a_result_stays():
    loss, weights, hidden = net()
    before = graph_of(loss, hidden, *gc.grad(loss, weights))
    assert read_padded(before) is before


def test_gradients_of_the_compiled_program():
    loss, weights, _ = net(True)
    random = np.random.default_rng(0)
    shapes = {"image": (2, 1, 4, 5), "first": (2, 1, 3, 3), "second": (2, 2, 3, 3)}
    arrays = {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    outputs = [loss, *gc.grad(loss, weights)]
    for fast, slow in zip(gc.compile(outputs)(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-4)
