"""gc.fit: what it does beside a loop that is written by hand, and that a resumed training is the uninterrupted one bit by bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc

N = gc.dim("N")
n, i = gc.indices("n i")


def net(dropout: float = 0.0) -> dict[str, Any]:
    """Two classes of points, by a layer with state of its own and one with random numbers."""
    x, label, key = gc.tensor("x", N, 3), gc.tensor("label", N, dtype="int64"), gc.tensor("key", (), dtype="int64")
    layers = gc.nn.Sequential(gc.nn.Linear(8), gc.nn.BatchNorm1d(), gc.nn.Tanh(), gc.nn.Dropout(dropout, key), gc.nn.Linear(2))
    trained, looked = ({"scores": layers(x, training=training)} for training in (True, False))
    for outputs in (trained, looked):
        right = gc.tensor("right")
        right[()] = gc.mean(gc.where(gc.argmax(outputs["scores"][n, i], over=i) == label[n], 1.0, 0.0), over=n)
        outputs |= {"loss": gc.nn.cross_entropy(outputs["scores"], label), "right": right}
    return {"trained": trained, "looked": looked, "updates": layers.updates}


def points(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(count, 3)).astype("float32")
    return {"x": x, "label": (x[:, 0] * x[:, 1] > 0).astype("int64")}


def train(target: str = "interpret", **options: Any) -> gc.Fit:
    """A training with everything that has a state: running statistics, Adam's averages, a schedule, dropout, validation."""
    made = net(0.2)
    updates = gc.optim.adam(made["trained"]["loss"], gc.optim.exponential_lr(0.05, 0.97)) | made["updates"]
    looked = {name: made["looked"][name] for name in ("loss", "right")}
    options = {"epochs": 4, "batch_size": 16, "seed": 3, "validation": points(20, 1), "target": target} | options
    return gc.fit(made["trained"]["loss"], updates, points(50), metrics={"right": made["trained"]["right"]}, validation_metrics=looked,
                  arguments={"key": lambda step: step}, **options)


def same(a: gc.Fit, b: gc.Fit) -> None:
    assert a.state.keys() == b.state.keys() and dict(a.history) == dict(b.history) and a.history.step_losses == b.history.step_losses
    for name, array in a.state.items():
        assert array.dtype == b.state[name].dtype and array.tobytes() == b.state[name].tobytes(), name


def by_hand(epochs: int, size: int) -> tuple[dict[str, Any], list[float]]:
    made, data, losses = net(), points(50), []
    step = gc.compile(made["trained"]["loss"], updates=gc.optim.sgd(made["trained"]["loss"], 0.1) | made["updates"], target="interpret")
    state = step.init(seed=0)
    for _ in range(epochs):
        for start in range(0, 50, size):
            losses.append(float(step(state, **{name: array[start : start + size] for name, array in data.items()}, key=0)))
    return state, losses


def test_it_is_the_loop_that_one_would_write() -> None:
    made = net()
    updates = made["updates"] | gc.optim.sgd(made["trained"]["loss"], 0.1)
    state, history = gc.fit(made["trained"]["loss"], updates, points(50), epochs=2, batch_size=16, shuffle=False, arguments={"key": 0},
                            target="interpret")
    expected, losses = by_hand(2, 16)
    assert history.step_losses == losses and len(losses) == 8
    assert history["loss"] == pytest.approx([np.average(losses[k : k + 4], weights=[16, 16, 16, 2]) for k in (0, 4)])
    assert history["lr"] == [0.1, 0.1]
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path, target: str) -> None:
    whole = train(target)
    file = tmp_path / "run.npz"
    for epochs in (1, 3, 3, 4):
        resumed = train(target, epochs=epochs, checkpoint=file, resume=True)
    same(resumed, whole)
    assert list(tmp_path.iterdir()) == [file]


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    def stop(epoch: gc.Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "run.npz", callbacks=stop)
    same(train(checkpoint=tmp_path / "run.npz", resume=True), train())


def test_early_stopping_gives_the_best_state_also_when_resumed(tmp_path: Path) -> None:
    options = {"patience": 2, "monitor": "val_right", "maximize": True, "epochs": 30}
    states: list[dict[str, np.ndarray]] = []
    whole = train(**options, callbacks=lambda epoch: states.append({n: a.copy() for n, a in epoch.state.items()}))
    best, value = whole.history.best("val_right", maximize=True)
    assert whole.history.epochs == best + 2 < 30 and value == max(whole.history["val_right"])
    for epochs in range(1, 12, 3):
        resumed = train(**options | {"epochs": epochs}, checkpoint=tmp_path / "run.npz", resume=True)
    resumed = train(**options, checkpoint=tmp_path / "run.npz", resume=True)
    same(resumed, whole)
    for name, array in gc.load_checkpoint(tmp_path / "run.npz").best.items():
        np.testing.assert_array_equal(array, whole.state[name])
        np.testing.assert_array_equal(array, states[best - 1][name])


def test_validation_is_without_dropout_and_by_running_statistics() -> None:
    made = net(0.2)
    state, history = train(epochs=2)
    program = gc.compile([made["looked"]["loss"], made["looked"]["right"]], target="interpret")
    loss, right = program(state, **points(20, 1))
    assert history["val_loss"][-1] == pytest.approx(float(loss), rel=1e-6) and history["val_right"][-1] == pytest.approx(float(right))
    assert history["lr"] == pytest.approx([0.05 * 0.97**3, 0.05 * 0.97**7])


def test_seeds_tell_apart() -> None:
    same(train(epochs=1), train(epochs=1))
    assert train(epochs=1, seed=4).history["loss"] != train(epochs=1).history["loss"]


def test_callbacks_are_told_and_stop() -> None:
    told: list[gc.Epoch] = []
    _, history = train(callbacks=[told.append, lambda epoch: "stop" if epoch.number == 2 else None])
    assert [(epoch.number, epoch.epochs, epoch.steps) for epoch in told] == [(1, 4, 4), (2, 4, 8)]
    assert [epoch["val_loss"] for epoch in told] == history["val_loss"] and set(told[0].values) == set(history)


def test_another_state_to_begin_with() -> None:
    first = train(epochs=1)
    before = {name: array.copy() for name, array in first.state.items()}
    second = train(epochs=1, state=first.state)
    assert all((before[name] == first.state[name]).all() for name in before)
    assert second.state["adam.step"] == 8


def test_without_examples_an_epoch_is_a_step() -> None:
    w, target, loss = gc.parameter("w", gc.dim("K")), gc.tensor("target", gc.dim("K")), gc.tensor("loss")
    loss[()] = gc.sum((w[i] - target[i]) ** 2, over=i)
    rate = gc.tensor("rate", ())
    state, history = gc.fit(loss, gc.optim.sgd(loss, rate), epochs=50, target="interpret",
                            arguments={"target": np.arange(3, dtype="float32"), "rate": lambda step: 0.2 / (1 + step / 100)})
    np.testing.assert_allclose(state["w"], [0, 1, 2], atol=1e-4)
    assert history["lr"][0] == 0.2 and history["lr"][-1] < 0.14


def test_batches_of_the_same_size() -> None:
    assert len(train(epochs=1, drop_last=True).history.step_losses) == 3
    assert len(train(epochs=2, batch_size=None).history.step_losses) == 2


def test_an_error_of_a_shuffled_batch_names_its_examples() -> None:
    loss, data = net()["trained"]["loss"], points(50)
    data["label"][7] = 2
    with pytest.raises(gc.ArgumentError) as caught:
        gc.fit(loss, gc.optim.sgd(loss), data, batch_size=16, arguments={"key": 0}, target="interpret")
    assert "epoch 1, batch" in caught.value.__notes__[0] and "7" in caught.value.__notes__[0]


def test_two_optimisers_have_two_rates() -> None:
    a, b, loss = gc.parameter("a", 2, init="ones"), gc.parameter("b", 2, init="ones"), gc.tensor("loss")
    loss[()] = gc.sum(a[i] ** 2 + b[i] ** 2, over=i)
    da, db = gc.grad(loss, [a, b])
    updates = gc.optim.sgd({a: da}, 0.1, name="first") | gc.optim.sgd({b: db}, gc.optim.exponential_lr(0.2, 0.5), name="second")
    _, history = gc.fit(loss, updates, epochs=3, target="interpret")
    assert history["first.lr"] == [0.1] * 3 and history["second.lr"] == pytest.approx([0.2, 0.1, 0.05])


def test_history_is_read_plotted_and_shown(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made = train(epochs=3)
    history = made.history
    assert repr(made).startswith("21 arrays after 3 epochs\nloss ") and made._repr_html_() == history._repr_html_()
    assert list(history) == ["loss", "right", "lr", "val_loss", "val_right"] and history.epochs == len(history.seconds) == 3
    history.plot(tmp_path / "loss.svg")
    assert "<svg" in (tmp_path / "loss.svg").read_text()
    axes = history.plot(None, "right", "val_right")
    assert [line.get_label() for line in axes.lines] == ["right", "val_right"]
    assert history.plot(axes) is axes and len(axes.lines) == 4
    assert history._repr_html_().count("<tr>") == 6 and str(history).startswith("3 epochs\nloss ")


def test_a_bar_is_shown_where_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    train(epochs=1)
    assert capfd.readouterr() == ("", "")
    train(epochs=1, progress=True)
    assert "epoch 1" in capfd.readouterr().err


def test_import_needs_no_matplotlib() -> None:
    code = "import sys, graphc; print([m for m in ('matplotlib', 'tqdm', 'torch', 'IPython', 'typer') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_what_ends_a_training_carries_it(kind: type[BaseException]) -> None:
    def stop(epoch: gc.Epoch) -> None:
        if epoch.number == 2:
            raise kind

    with pytest.raises(kind) as caught:
        train(callbacks=stop)
    same(caught.value.fit, train(epochs=2))  # type: ignore[attr-defined]
    assert "2 whole epochs" in caught.value.__notes__[-1]


def test_callbacks_end_a_training_by_true_alone() -> None:
    for answer, epochs in ((1.0, 2), (np.zeros(3), 2), (np.bool_(True), 1), (True, 1), (np.bool_(False), 2)):
        assert train(epochs=2, callbacks=lambda epoch, answer=answer: answer).history.epochs == epochs


def test_numbers_of_numpy_and_lists_of_numbers() -> None:
    w, x, t, loss = gc.parameter("w", ()), *gc.tensors("x t", N), gc.tensor("loss")
    loss[()] = gc.mean((w[()] * x[n] - t[n]) ** 2, over=n)
    data = {"x": [1, 2, 3, 4], "t": [2.0, 4.0, 6.0, 8.0]}
    state, _ = gc.fit(loss, gc.optim.sgd(loss, np.float32(0.05)), data, epochs=np.int64(50), batch_size=np.int32(2), target="interpret")
    assert state["w"] == pytest.approx(2, rel=1e-5)


def test_arguments_are_functions_of_the_steps_taken_in_validation_as_well() -> None:
    asked: list[int] = []
    x, key, w, loss = gc.tensor("x", N), gc.tensor("key", (), dtype="int64"), gc.parameter("w", ()), gc.tensor("loss")
    loss[()] = gc.mean((w[()] * x[n] - 1) ** 2, over=n) + 1e-9 * key[()]
    gc.fit(loss, gc.optim.sgd(loss), {"x": np.ones(6, "float32")}, batch_size=2, epochs=2, validation={"x": np.ones(4, "float32")},
           arguments={"key": lambda step: asked.append(step) or step}, target="interpret")
    assert asked == [0, 1, 2, 3, 3, 3, 4, 5, 6, 6]


def test_dropout_without_a_key_is_another_one_in_each_step(tmp_path: Path) -> None:
    net = gc.nn.Sequential(gc.nn.Dropout(0.5), gc.nn.Linear(1, bias=False))
    x, loss = gc.tensor("x", N, 6), gc.tensor("loss")
    y = net(x)
    loss[()] = gc.mean(y[n, i] ** 2, over=(n, i))
    options = {"data": {"x": np.ones((4, 6), "float32")}, "batch_size": None, "target": "interpret"}
    whole = gc.fit(loss, gc.optim.sgd(loss, 0.0) | net.updates, epochs=4, **options)
    assert len(set(whole.history.step_losses)) == 4
    for epochs in (2, 4):
        updates = gc.optim.sgd(loss, 0.0) | net.updates
        resumed = gc.fit(loss, updates, epochs=epochs, checkpoint=tmp_path / "run.npz", resume=True, **options)
    same(resumed, whole)
