"""Layers with random numbers, and layers that make their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc

nn = gc.nn


def test_dropout_keeps_the_mean_and_its_mask() -> None:
    x, key = gc.tensor("x", 40, 50), gc.tensor("key", (), dtype="int64")
    y = nn.dropout(x, 0.2, key)
    seed = gc.tensor("seed", 40, 50)
    ones = np.ones((40, 50), "float32")
    value, slope = gc.compile([y, gc.grad(y, x, seed=seed)], target="interpret")(x=ones, key=3, seed=ones)
    assert set(np.unique(value)) == {np.float32(0), np.float32(1.25)}
    assert abs(value.mean() - 1) < 0.05
    np.testing.assert_array_equal(value, slope)


def test_stochastic_depth_drops_whole_examples() -> None:
    y = nn.stochastic_depth(gc.tensor("x", 30, 2, 3), 0.5, 7)
    value = gc.compile(y, target="interpret")(x=np.ones((30, 2, 3), "float32"))
    assert (value == value[:, :1, :1]).all() and set(np.unique(value)) == {np.float32(0), np.float32(2)}


def lenet() -> gc.nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(20, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(50, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(500), nn.ReLU(), nn.Linear(10),
    )


def test_lenet_has_the_sizes_of_the_table() -> None:
    scores = lenet()(gc.tensor("x", gc.dim("N"), 1, 28, 28))
    shapes = {t.name: t.shape for t in gc.parameters(scores)}
    assert shapes == {
        "conv1.weight": (20, 1, 5, 5), "conv1.bias": (20,), "conv2.weight": (50, 20, 5, 5), "conv2.bias": (50,),
        "linear1.weight": (500, 2450), "linear1.bias": (500,), "linear2.weight": (10, 500), "linear2.bias": (10,),
    }
    assert [str(extent) for extent in scores.shape] == ["N", "10"]


def test_parameters_of_vgg_16() -> None:
    plan = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0]
    features = [layer for f in plan for layer in ([nn.Conv2d(f, 3, padding=1), nn.ReLU()] if f else [nn.MaxPool2d(2)])]
    net = nn.Sequential(*features, nn.Flatten(), nn.Linear(4096), nn.ReLU(), nn.Linear(4096), nn.ReLU(), nn.Linear(1000))
    found = gc.parameters(net(gc.tensor("x", gc.dim("N"), 3, 224, 224)))
    assert sum(int(np.prod(t.shape)) for t in found) == 138_357_544


def test_parameters_of_alexnet() -> None:
    plan = [(64, 11, 4, 2), 0, (192, 5, 1, 2), 0, (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), 0]
    features = [layer for p in plan for layer in ([nn.Conv2d(*p[:3], padding=p[3]), nn.ReLU()] if p else [nn.MaxPool2d(3, 2)])]
    net = nn.Sequential(*features, nn.Flatten(), nn.Linear(4096), nn.ReLU(), nn.Linear(4096), nn.ReLU(), nn.Linear(1000))
    assert gc.summary(net(gc.tensor("x", gc.dim("N"), 3, 224, 224))).parameters == 61_100_840


def test_flatten_of_one_pixel() -> None:
    x = np.arange(6, dtype="float32").reshape(2, 3, 1, 1)
    y = gc.compile(nn.flatten(gc.tensor("x", gc.dim("N"), 3, 1, 1)), target="interpret")(x=x)
    assert y.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_costs_of_a_convolution() -> None:
    y = nn.Conv2d(10, 5, padding=2, name="conv1")(gc.tensor("x", 1, 3, 32, 32))
    text = str(gc.summary(y))
    assert y.shape == (1, 10, 32, 32) and "760" in text and "768,000" in text


def test_training_by_layers_and_optimiser() -> None:
    random = np.random.default_rng(0)
    label = gc.tensor("label", gc.dim("N"), dtype="int64")
    net = nn.Sequential(nn.Linear(8), nn.BatchNorm1d(), nn.Tanh(), nn.Dropout(0.1, gc.tensor("key", (), dtype="int64")), nn.Linear(2))
    x = gc.tensor("x", gc.dim("N"), 2)
    loss = nn.cross_entropy(net(x), label)
    step = gc.compile(loss, updates=gc.optim.adam(loss, lr=0.1) | net.updates, target="interpret")
    predict = gc.compile(net(x, training=False), target="interpret")
    state = step.init(seed=0)
    xs = random.normal(size=(16, 2)).astype("float32")
    ys = (xs[:, 0] * xs[:, 1] > 0).astype("int64")
    losses = [float(step(state, x=xs, label=ys, key=k)) for k in range(15)]
    assert losses[-1] < losses[0]
    assert {"norm1.running_mean", "norm1.running_var", "adam.step", "linear1.weight.exp_avg"} < set(state)
    assert ((predict(state, x=xs)).argmax(1) == ys).mean() > 0.7


def test_initialisers() -> None:
    y = nn.Linear(6, init="orthogonal", name="a")(nn.Linear(5, name="b")(gc.tensor("x", 1, 400)))
    state = gc.compile(y, target="interpret").init(seed=0)
    np.testing.assert_allclose(state["a.weight"].T @ state["a.weight"], np.eye(5), atol=1e-6)
    for name in ("b.weight", "b.bias"):
        assert 0.01 < np.abs(state[name]).max() <= 1 / 20


def test_a_layer_that_is_called_twice_has_one_weight() -> None:
    layer, x = nn.Linear(4, name="shared"), gc.tensor("x", 2, 4)
    assert len(gc.parameters(layer(layer(x)))) == 2


def test_recurrent_layer() -> None:
    y, (h, c) = nn.LSTM(3)(gc.tensor("x", gc.dim("T"), 2, 4))
    assert [str(e) for e in y.shape] == ["T", "2", "3"] and h.shape == c.shape == (2, 3)
    program = gc.compile([y, h], target="interpret")
    value, last = program(program.init(seed=0), x=np.ones((5, 2, 4), "float32"))
    np.testing.assert_array_equal(value[-1], last)


class Scale(nn.Layer):
    """A factor per channel."""

    default = "scale"

    def apply(self, x: gc.Tensor, *, training: bool) -> gc.Tensor:
        factor, y, (n, c) = self.parameter("factor", x, x.shape[1], init="ones"), gc.tensor(self.name), gc.indices("n c")
        y[n, c] = factor[c] * x[n, c]
        return y


def test_layer_of_ones_own() -> None:
    net = nn.Sequential(nn.Linear(3), Scale(), lambda x: nn.relu(x), Scale())
    y = net(gc.tensor("x", gc.dim("N"), 2))
    assert [t.name for t in gc.parameters(y)] == ["linear1.weight", "linear1.bias", "scale1.factor", "scale2.factor"]


def test_recurrent_layer_that_begins_with_a_state() -> None:
    before = gc.tensor("before", 2, 3)
    y, _ = nn.GRU(3)(gc.tensor("x", 5, 2, 4), hx=before)
    z, _ = nn.RNN(3, "relu", name="second")(y, before)
    program = gc.compile(z, target="interpret")
    assert "before" in program.inputs and "second.weight_ih" in program.inputs


def test_a_weight_may_be_defined_after_the_layer() -> None:
    x, v, weight, (i, j) = gc.tensor("x", 2, 3), gc.tensor("v", 4, 3), gc.tensor("weight"), gc.indices("i j")
    y = nn.linear(x, weight, gc.tensor("bias", 4))
    weight[i, j] = 2 * v[i, j]
    assert y.shape == (2, 4)


def test_a_batch_norm_that_is_called_twice_updates_twice() -> None:
    torch = pytest.importorskip("torch")
    norm, (a, b) = nn.BatchNorm1d(name="norm"), gc.tensors("a b", gc.dim("N"), 4)
    step = gc.compile([norm(a), norm(b)], updates=norm.updates, target="interpret")
    state, reference = step.init(seed=0), torch.nn.BatchNorm1d(4)
    arrays = {name: np.random.default_rng(k).normal(size=(3, 4)).astype("float32") for k, name in enumerate("ab")}
    for got, array in zip(step(state, **arrays), arrays.values(), strict=True):
        np.testing.assert_allclose(got, reference(torch.tensor(array)).detach(), rtol=1e-5, atol=1e-6)
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(state[f"norm.{name}"], getattr(reference, name), rtol=1e-5)


def test_pixels_of_one_image_have_a_variance() -> None:
    x = gc.tensor("x", gc.dim("N"), 2, gc.dim("H"))
    program = gc.compile(nn.batch_norm(x, None, None, training=True), target="interpret")
    np.testing.assert_allclose(program(x=np.float32([[[1, 3], [5, 5]]])), [[[-1, 1], [0, 0]]], atol=1e-4)
    with pytest.raises(gc.ArgumentError, match="fewer than two elements"):
        program(x=np.ones((1, 2, 1), "float32"))


@pytest.mark.parametrize("derived", [lambda y, x: gc.grad(y, x, seed=gc.tensor("seed", gc.dim("N"), 2)), lambda y, x: gc.vmap(y, {x: 3}),
                                     lambda y, x: gc.from_json(gc.to_json(y))])
def test_derived_programs_refuse_one_element_per_channel(derived: Any) -> None:
    x = gc.tensor("x", gc.dim("N"), 2)
    program = gc.compile(derived(nn.batch_norm(x, None, None, training=True), x), target="interpret")
    arrays = {t.name: np.ones((*(3,) * (len(t.shape) > 2), 1, 2), "float32") for t in program.signature.inputs}
    with pytest.raises(gc.ArgumentError, match="fewer than two elements"):
        program(**arrays)


def test_dropout_without_a_key_counts_steps() -> None:
    layer, x, w = nn.Dropout(0.5, name="drop"), gc.tensor("x", 50), gc.parameter("w", ())
    i, y, loss = gc.index("i"), gc.tensor("y"), gc.tensor("loss")
    y[i] = x[i] * w[()]
    first, second = layer(y), layer(y)
    loss[()] = gc.sum(first[i] * second[i], over=i)
    step = gc.compile([first, second], updates=gc.optim.sgd(loss) | layer.updates, target="interpret")
    state, ones = step.init(seed=0) | {"w": np.ones((), "float32")}, np.ones(50, "float32")
    masks = [mask > 0 for _ in range(2) for mask in step(state, x=ones)]
    assert state["drop.step"] == 4
    assert all((a != b).any() for k, a in enumerate(masks) for b in masks[:k])
    assert layer(x, training=False) is x


@pytest.mark.parametrize("p", [2.0, 3.0, 1.5, 0.5, 1.0, float("inf")])
def test_normalisation_of_zeros_has_the_slope_of_pytorch(p: float) -> None:
    torch = pytest.importorskip("torch")
    x, seed = gc.tensor("x", 3, 2, dtype="float64"), gc.tensor("seed", 3, 2, dtype="float64")
    array, weights = np.array([[0.0, 0.0], [3.0, -4.0], [0.0, 2.0]]), np.arange(6.0).reshape(3, 2)
    y = nn.normalize(x, p)
    value, slope = gc.compile([y, gc.grad(y, x, seed=seed)], target="interpret")(x=array, seed=weights)
    held = torch.tensor(array, requires_grad=True)
    expected = torch.nn.functional.normalize(held, p)
    expected.backward(torch.tensor(weights))
    np.testing.assert_allclose(value, expected.detach())
    np.testing.assert_allclose(slope, held.grad, rtol=1e-9, atol=1e-12)


def test_positive_examples_weighted_by_a_number() -> None:
    x, t, w = *gc.tensors("x t", 3, 4), gc.tensor("w", 4)
    losses = [nn.binary_cross_entropy_with_logits(x, t, pos_weight=weight) for weight in (2.5, w)]
    arrays = {name: np.random.default_rng(k).random((3, 4)).astype("float32") for k, name in enumerate("xt")}
    got = gc.compile(losses, target="interpret")(**arrays, w=np.full(4, 2.5, "float32"))
    assert got[0] == got[1]


def test_layers_take_the_place_of_pytorchs() -> None:
    x = gc.tensor("x", 2, 3)
    for layer in (nn.ReLU(inplace=True), nn.ReLU(True), nn.LeakyReLU(0.1, True), nn.ELU(1.0, inplace=True), nn.SiLU(inplace=True)):
        assert layer(x).shape == (2, 3)
    recurrent = nn.Sequential(nn.LSTM(4), lambda results: results[0], nn.Linear(3))
    assert recurrent(gc.tensor("s", 5, 2, 3)).shape == (5, 2, 3)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (2, 3)])
def test_softmax_of_large_numbers_is_the_same_on_all_targets(shape: tuple[int, int]) -> None:
    x, i, j, k = gc.tensor("x", *shape), *gc.indices("i j k")
    y = gc.tensor("y")
    y[i, j] = gc.exp(x[i, j]) / gc.sum(gc.exp(x[k, j]), over=k)
    array = np.full(shape, 1000, "float32") + np.arange(shape[0], dtype="float32")[:, None]
    got, wanted = (gc.compile([y, nn.softmax(x, 0)], target=target)(x=array) for target in ("interpret", "cpu"))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert np.isfinite(got).all()


def test_numbers_of_numpy_are_numbers() -> None:
    x, w = gc.tensor("x", 2, 1, 8, 8), gc.tensor("w", 4, 1, 2, 2)
    assert nn.conv2d(x, w, stride=np.int64(2), padding=np.int32(1)).shape == (2, 4, 5, 5)
    assert nn.Conv2d(np.int64(3), np.int64(3))(x).shape == (2, 3, 6, 6)
    assert nn.softmax(x, np.int64(1)).shape == nn.leaky_relu(x, np.float32(0.1)).shape == (2, 1, 8, 8)


def test_all_is_left_out() -> None:
    x = gc.tensor("x", 3, 2)
    value = gc.compile([nn.dropout(x, 1.0, 0), nn.stochastic_depth(x, 1, 0)], target="interpret")(x=np.full((3, 2), np.inf, "float32"))
    assert not np.any(value)


def test_division_by_how_many_are_not_zero() -> None:
    value = gc.compile(nn.normalize(gc.tensor("x", 1, 3), p=0), target="interpret")(x=np.float32([[3, 0, -5]]))
    np.testing.assert_array_equal(value, [[1.5, 0, -2.5]])


def test_pooling_in_one_direction() -> None:
    x = gc.tensor("x", 1, 1, 4, 5)
    array = np.arange(20, dtype="float32").reshape(1, 1, 4, 5)
    value = gc.compile(nn.adaptive_avg_pool2d(x, (2, None)), target="interpret")(x=array)
    np.testing.assert_allclose(value, array.reshape(1, 1, 2, 2, 5).mean(3))


def test_a_net_is_printed_as_it_was_made() -> None:
    net = nn.Sequential(nn.Conv2d(4, 3, padding=1), nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(10), name="head"))
    assert repr(net) == ("Sequential(\n  (0): Conv2d(4, 3, padding=1)\n  (1): ReLU()\n  (head): Sequential(\n    (0): Flatten()\n"
                         "    (1): Linear(10)\n  )\n)")
    net(gc.tensor("x", 2, 1, 8, 8))
    assert "(conv1): Conv2d" in repr(net) and "(head.linear1): Linear" in repr(net)


def test_integers_and_arrays_of_numpy_are_sizes() -> None:
    x, w = gc.tensor("x", gc.dim("N"), 4, 5, 5), gc.tensor("w", 6, 2, 3, 3)
    given = (1, 2), (np.array([1, 1]), np.int64(2)), (np.array(1), np.int8(2))
    texts = [gc.loops(nn.conv2d(x, w, padding=p, groups=g)) for p, g in given]
    assert texts[0] == texts[1] == texts[2]
    assert gc.loops(nn.group_norm(x, np.int64(2))) == gc.loops(nn.group_norm(x, 2))
    assert nn.adaptive_avg_pool2d(x, np.array([5, 1])).shape[1:] == (4, 5, 1)
    assert gc.loops(nn.layer_norm(x, np.array([5, 5]))) == gc.loops(nn.layer_norm(x, (5, 5)))


def test_softplus_with_a_threshold() -> None:
    v = gc.tensor("v", 3)
    assert gc.loops(nn.softplus(v, 1.0, 20)) == gc.loops(nn.softplus(v)) == gc.loops(nn.Softplus(1.0, threshold=20)(v))


@pytest.mark.parametrize("padding_idx", [0, 2, -1])
def test_embedding_with_a_row_that_fills_up(padding_idx: int) -> None:
    torch = pytest.importorskip("torch")
    token, table, seed = gc.tensor("token", gc.dim("N"), dtype="int64"), gc.tensor("E", gc.dim("M"), 3), gc.tensor("seed", gc.dim("N"), 3)
    y = nn.embedding(token, table, padding_idx)
    random, held = np.random.default_rng(0), np.array([0, 4, 2, 4, 2, 1])
    arrays = {"token": held, "E": random.normal(size=(5, 3)).astype("float32"), "seed": random.normal(size=(6, 3)).astype("float32")}
    value, slope = gc.compile([y, gc.grad(y, table, seed=seed)])(arrays)
    weight = torch.tensor(arrays["E"], requires_grad=True)
    expected = torch.nn.functional.embedding(torch.tensor(held), weight, padding_idx)
    expected.backward(torch.tensor(arrays["seed"]))
    np.testing.assert_allclose(value, expected.detach())
    np.testing.assert_allclose(slope, weight.grad, rtol=1e-6)


def test_layer_with_a_row_that_fills_up() -> None:
    y = nn.Embedding(5, 3, padding_idx=-1, name="table")(gc.tensor("token", 4, dtype="int64"))
    weight = gc.compile(y, target="interpret").init(seed=0)["table.weight"]
    assert (weight[-1] == 0).all() and (weight[:-1] != 0).all() and weight.dtype == np.float32


def test_cross_entropy_by_keywords() -> None:
    x, label = gc.tensor("x", gc.dim("N"), 3), gc.tensor("label", gc.dim("N"), dtype="int64")
    assert str(gc.loops(nn.cross_entropy(logits=x, labels=label))) == str(gc.loops(nn.cross_entropy(x, label)))
