"""Layers with random numbers, and layers that make their parameters."""

from __future__ import annotations

import numpy as np

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
