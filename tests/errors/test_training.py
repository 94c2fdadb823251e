"""Trainings that are asked for wrongly."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N = gc.dim("N")
n, i, c = gc.indices("n i c")
x, label, w, loss, scores = gc.tensor("x", N, 3), gc.tensor("label", N, dtype="int64"), gc.parameter("w", 2, 3), *gc.tensors("loss scores")
scores[n, c] = gc.sum(w[c, i] * x[n, i], over=i)
loss[()] = gc.mean(gc.logsumexp(scores[n, c], over=c) - scores[n, label[n]], over=n)
updates = gc.optim.sgd(loss, lr=0.1)
data = {"x": np.ones((10, 3), "float32"), "label": np.zeros(10, "int64")}


def train(data=data, updates=updates, loss=loss, **options):
    return gc.fit(loss, updates, data, target="interpret", **options)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_fit_with_arrays_of_different_length(rejects):
    with rejects(gc.ShapeError, call=True):
        train({"x": data["x"], "label": data["label"][:7]})


def test_fit_without_labels(rejects):
    with rejects(gc.ArgumentError, call=True):
        train({"x": data["x"]})


def test_fit_with_unknown_data(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(data | {"weights": data["x"]})


def test_fit_with_data_for_a_parameter(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(data | {"w": data["x"]})


def test_fit_with_a_number_as_data(rejects):
    with rejects(gc.ShapeError, call=True):
        train(data | {"x": np.float32(3)})


def test_fit_with_no_examples(rejects):
    with rejects(gc.ArgumentError, call=True):
        train({name: array[:0] for name, array in data.items()})


def test_fit_without_data_for_validation(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(validation={"x": data["x"]})


def test_fit_with_batches_of_nothing(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(batch_size=0)


def test_fit_with_half_an_epoch(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(epochs=0.5)


def test_fit_without_patience(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(patience=0)


def test_fit_that_watches_something_unknown(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(monitor="val_loss", patience=3)


def test_fit_of_what_is_no_scalar(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(metrics={"scores": scores})


def test_fit_of_a_metric_called_loss(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(metrics={"loss": loss})


def test_fit_with_an_unknown_validation_metric(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(validation=data, validation_metrics={"accuracy": loss})


def test_fit_with_validation_metrics_alone(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(validation_metrics={"loss": loss})


def test_fit_without_updates(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(updates={})


def test_fit_with_a_callback_that_is_none(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(callbacks=[print, "stop"])


def test_fit_with_a_state_of_another_shape(rejects):
    with rejects(gc.ShapeError, call=True):
        train(state={"w": np.zeros((3, 2))})


def test_fit_with_the_state_of_another_program(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(state={"W": np.zeros((2, 3))})


def test_fit_in_batches_of_another_size(rejects):
    y, loss = gc.tensor("y", 4, 3), gc.tensor("loss")
    loss[()] = gc.sum((w[c, i] - y[n, i]) ** 2, over=(n, c, i))
    with rejects(gc.ShapeError, call=True):
        gc.fit(loss, gc.optim.sgd(loss), {"y": np.ones((10, 3), "float32")}, batch_size=4, target="interpret")


def test_fit_that_forgets_running_statistics(rejects):
    norm = gc.nn.BatchNorm1d(name="norm")
    y, looked = gc.tensor("y"), gc.tensor("looked")
    y[()] = gc.sum(norm(scores)[n, c] ** 2, over=(n, c))
    looked[()] = gc.sum(norm(scores, training=False)[n, c] ** 2, over=(n, c))
    with rejects(gc.ArgumentError, call=True):
        gc.fit(y, gc.optim.sgd(y), {"x": data["x"]}, validation={"x": data["x"]}, validation_metrics={"loss": looked}, target="interpret")


def test_fit_with_a_label_out_of_range(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(data | {"label": np.full(10, 2)}, shuffle=False)


def test_fit_that_diverges(rejects):
    square = gc.tensor("square")
    square[()] = gc.sum(w[c, i] ** 4, over=(c, i))
    with rejects(gc.DivergenceError, call=True):
        gc.fit(square, gc.optim.sgd(square, lr=50.0), epochs=10, target="interpret")


def test_fit_to_data_with_a_nan(rejects):
    bad = data["x"].copy()
    bad[6, 1] = np.nan
    with rejects(gc.DivergenceError, call=True):
        train(data | {"x": bad}, batch_size=4, shuffle=False)


def test_resume_from_nothing(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(resume=True)


def test_checkpoint_of_another_kind(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(checkpoint="run.pkl")


def test_checkpoint_in_no_folder(rejects, here):
    with rejects(gc.ArgumentError, call=True):
        train(checkpoint="runs/first.npz")


def test_a_checkpoint_of_another_program(rejects, here):
    train(checkpoint="run.npz")
    with rejects(gc.ArgumentError, call=True):
        train(updates=gc.optim.sgd(loss, lr=0.1, momentum=0.9), checkpoint="run.npz", resume=True)


def test_a_checkpoint_with_unknown_names(rejects, here):
    train(updates=gc.optim.adam(loss), checkpoint="run.npz")
    with rejects(gc.ArgumentError, call=True):
        train(checkpoint="run.npz", resume=True)


def test_a_checkpoint_with_another_shape(rejects, here):
    train(checkpoint="run.npz")
    v, y = gc.parameter("w", 4, 3), gc.tensor("loss")
    y[()] = gc.mean(gc.sum(v[c, i] * x[n, i], over=(c, i)) + label[n], over=n)
    with rejects(gc.ShapeError, call=True):
        train(loss=y, updates=gc.optim.sgd(y), checkpoint="run.npz", resume=True)


def test_a_checkpoint_of_another_batch_size(rejects, here):
    train(checkpoint="run.npz")
    with rejects(gc.ArgumentError, call=True):
        train(checkpoint="run.npz", resume=True, batch_size=5)


def test_a_file_that_is_no_checkpoint(rejects, here):
    np.savez("run.npz", w=np.zeros((2, 3)))
    with rejects(gc.ArgumentError, call=True):
        train(checkpoint="run.npz", resume=True)


def test_a_checkpoint_that_is_not_there(rejects, here):
    with rejects(gc.ArgumentError, call=True):
        gc.load_checkpoint("run.npz")


def test_load_checkpoint_of_something_else_than_a_path(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.load_checkpoint(None)


def test_fit_with_a_list_of_data(rejects):
    with rejects(gc.ArgumentError, call=True):
        train([data["x"], data["label"]])


def test_fit_with_a_list_of_metrics(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(metrics=[loss])


def test_fit_with_labels_that_are_no_integers(rejects):
    with rejects(gc.DtypeError, call=True):
        train(data | {"label": [0.9, 1.7] * 5})


def test_fit_with_an_unknown_argument(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(arguments={"key": 3})


def test_fit_with_a_complex_state(rejects):
    with rejects(gc.DtypeError, call=True):
        train(state={"w": np.zeros((2, 3), "complex64")})


def test_fit_with_a_folder_as_checkpoint(rejects, here, tmp_path):
    (tmp_path / "run.npz").mkdir()
    with rejects(gc.ArgumentError, call=True):
        train(checkpoint="run.npz")


def test_fit_with_a_number_as_checkpoint(rejects):
    with rejects(gc.ArgumentError, call=True):
        train(checkpoint=3)


def test_fit_of_batch_norm_with_one_example_left(rejects):
    norm, y = gc.nn.BatchNorm1d(name="norm"), gc.tensor("y")
    y[()] = gc.mean(norm(scores)[n, c] ** 2, over=(n, c))
    with rejects(gc.ArgumentError, call=True):
        gc.fit(y, gc.optim.sgd(y) | norm.updates, {"x": data["x"]}, batch_size=3, target="interpret")


def test_fit_that_forgets_what_dropout_counts(rejects):
    dropped, y = gc.nn.Dropout(name="drop")(scores), gc.tensor("y")
    y[()] = gc.mean(dropped[n, c] ** 2, over=(n, c))
    with rejects(gc.ArgumentError, call=True):
        gc.fit(y, gc.optim.sgd(y), {"x": data["x"]}, target="interpret")


def test_a_checkpoint_of_another_learning_rate(rejects, here):
    train(checkpoint="run.npz")
    with rejects(gc.ArgumentError, call=True):
        train(updates=gc.optim.sgd(loss, lr=0.2), checkpoint="run.npz", resume=True, epochs=2)
