"""Programs as JSON: what `gc.to_json` writes is what `gc.from_json` makes of it, and anything else is refused."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.frontend.collect import collect
from graphc.structure import flatten
from tests.cuda_layers import LAYERS
from tests.cuda_programs import PROGRAMS
from tests.programs import generate

ROOT = Path(__file__).parents[1]
N, D = gc.dims("N D")
i, j, t = gc.indices("i j t")


def same(tensors: Any) -> Any:
    """The tensors after a round trip; they have the same statements, and their text is the same."""
    text = gc.to_json(tensors)
    back = gc.from_json(text)
    before, after = flatten(tensors)[0], flatten(back)[0]
    old, new = (collect(list(outputs), "test").graph for outputs in (before, after))
    assert (old.tensors, old.statements, old.outputs) == (new.tensors, new.statements, new.outputs)
    assert [s.order for s in old.statements] == [s.order for s in new.statements]
    assert [c.violation for c in old.checks] == [c.violation for c in new.checks]
    assert gc.loops(*before) == gc.loops(*after)
    assert gc.to_json(back) == text
    return back


def values(tensors: Any, arrays: dict[str, Any], target: str = "interpret") -> list[np.ndarray]:
    return [np.asarray(a) for a in flatten(gc.compile(tensors, target=target)(arrays))[0]]


def inputs(*tensors: gc.Tensor) -> dict[str, gc.Tensor]:
    members = {t.name: t for t in collect(tensors, "test").handles.values()}
    return {name: tensor for name, tensor in members.items() if not tensor.statements}


# ----------------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("first", range(0, 20, 5))
def test_random_programs(first: int) -> None:
    for seed in range(first, first + 5):
        program = generate(seed, statements=2)
        try:
            names = program.build()
            wrt = [names[n] for n in program.float_inputs()]
            derived = [gc.vmap(names["L"], {wrt[0]: 3})] if seed % 6 == 5 else gc.grad(names["L"], wrt)
            collect([names["L"], *derived], "test")
        except gc.GraphcError:
            continue
        same(derived if seed % 6 == 5 else [names["L"], *derived])


@pytest.mark.parametrize("seed", [4, 17])
def test_values_and_derivatives_afterwards(seed: int) -> None:
    program = generate(seed)
    names, wrt = program.build(), list(program.float_inputs())
    loss, tensors = names["L"], {n: names[n] for n in wrt}
    back = gc.from_json(gc.to_json({"L": loss, "inputs": tensors}))
    old, new = gc.grad(loss, list(tensors.values())), gc.grad(back["L"], list(back["inputs"].values()))
    assert gc.loops(loss, *old) == gc.loops(back["L"], *new)
    arrays = program.typed()
    for a, b in zip(values([loss, *old], arrays), values([back["L"], *new], arrays), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    outputs, arrays = PROGRAMS[name]()
    back = same(outputs)
    if name in ("layer", "scatter", "random", "checkpointed"):
        for a, b in zip(values(outputs, arrays), values(back, arrays), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["batch_norm", "conv3d", "cross_entropy", "embedding", "gru", "max_pool2d", "attention", "softmax"])
def test_layers(name: str) -> None:
    same(LAYERS[name]()[0])


@pytest.mark.parametrize("name", ["layer", "wave"])
def test_kernels(name: str) -> None:
    outputs, _ = PROGRAMS[name]()
    assert gc.compile(gc.from_json(gc.to_json(outputs))).source == gc.compile(outputs).source


def test_training_step() -> None:
    net = gc.nn.Sequential(gc.nn.Linear(5), gc.nn.BatchNorm1d(), gc.nn.Tanh(), gc.nn.Dropout(0.5, gc.tensor("key", (), dtype="int64")))
    loss = gc.nn.mse_loss(net(gc.tensor("x", N, 3)), gc.tensor("t", N, 5))
    program = {"loss": loss, "updates": gc.optim.adam(loss, lr=0.1) | net.updates}
    back = same(program)
    results = []
    for p in (program, back):
        step = gc.compile(p["loss"], updates=p["updates"], target="interpret")
        state = step.init(seed=1)
        data = {"x": np.ones((4, 3), "float32"), "t": np.zeros((4, 5), "float32")}
        results.append([float(step(state, key=k, **data)) for k in range(2)])
    assert results[0] == results[1]
    assert [t.init for t in gc.parameters(loss)] == [t.init for t in gc.parameters(back["loss"])]


def test_initialisers() -> None:
    kinds: list[Any] = ["he_normal", "zeros", 0.5, np.float32(2.0), ("normal", 0.1), -1]
    total = gc.tensor("total")
    for k, init in enumerate(kinds):
        total[()] += gc.parameter(f"W{k}", 3, 2, init=init)[i, j]
    back = gc.parameters(same(total))
    assert [w.init for w in back] == kinds and type(back[5].init) is int


def test_structures() -> None:
    x = gc.tensor("x", 3)
    back = gc.from_json(gc.to_json({"a": [x, (x, x)], 1: x, x: {}}))
    assert list(back) == ["a", 1, back[1]] and back["a"] == [back[1], (back[1], back[1])] and back[back[1]] == {}


def test_functions_and_reductions() -> None:
    x, y = gc.tensor("x", N, D), gc.tensor("y")
    inner = gc.function("inner", lambda a: gc.exp(-a * a))
    outer = gc.function("outer", lambda a, b: inner(a) * gc.where(b > 0, b, 0), grad=(lambda a, b, v: -2 * a * v, lambda a, b, v: inner(a)))
    norm = gc.reduction("length", lambda a, b: gc.hypot(a, b), 0, grad=lambda a, v: a / v)
    least = gc.reduction("least", lambda a, b: gc.minimum(a, b), math.inf)
    y[i] = norm(outer(x[i, j], x[i, j] + 1), over=j) + least(x[i, j], over=j)
    seed = gc.tensor("seed", N)
    back = same([y, gc.grad(y, x, seed=seed)])
    arrays = {"x": np.float32([[0.5, -2.0, 1.0]]), "seed": np.ones(1, "float32")}
    for a, b in zip(values([y, gc.grad(y, x, seed=seed)], arrays), values(back, arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_meaning_of_a_name() -> None:
    """A function of the text that is called like another one of this process gets a number."""
    text = """{"format": "graphc program", "version": 1, "functions": [
    {"name": "twice", "arguments": 1, "value": ["*", FACTOR, ["argument", 0]]}],
    "tensors": {"x": {"shape": [2], "dtype": "float32"}, "y": {"shape": [2], "dtype": "float32", "statements": [
    {"at": ["i"], "op": "=", "value": ["call", "twice", ["read", "x", "i"]], "loops": [["i", 0, 2]]}]}}, "outputs": "y"}"""
    x = np.ones(2, "float32")
    assert [values(gc.from_json(text.replace("FACTOR", str(k))), {"x": x})[0][0] for k in (2, 3, 2)] == [2, 3, 2]


def test_hand_written_gradient() -> None:
    x, y, loss = gc.tensor("x", N), gc.tensor("y"), gc.tensor("L")
    y[i] = gc.round(x[i])

    def through(dy: gc.Tensor) -> gc.Tensor:
        dx = gc.tensor("dx")
        dx[i] = 3 * dy[i] * x[i]
        return dx

    gc.custom_grad(y, {x: through})
    loss[()] += y[i] ** 2
    back = gc.from_json(gc.to_json({"loss": loss, "x": x}))
    once, again = gc.grad(loss, x), gc.grad(back["loss"], back["x"])
    assert "3*" in str(gc.loops(once)) and gc.loops(loss, once) == gc.loops(back["loss"], again)
    same([loss, once])


def test_checkpoint_and_key() -> None:
    h, loss, key = gc.tensor("h"), gc.tensor("L"), gc.tensor("key", (), dtype="int64")
    h[t] = gc.sin(gc.where(t > 0, h[t - 1], 0) + gc.tensor("x", N)[t] * gc.normal(key[()], t))
    loss[()] += h[t] ** 2
    gc.checkpoint(h, every=4)
    back = same([h, loss])
    assert back[0].every == 4


def test_a_gradient_keeps_the_arguments_of_its_program() -> None:
    x, loss = gc.tensor("x", N), gc.tensor("L")
    loss[()] += 3 * x[i]
    (back,) = same([gc.grad(loss, x)])
    np.testing.assert_array_equal(gc.compile(back, target="interpret")(x=np.zeros(4, "float32")), np.full(4, 3, "float32"))


def test_a_long_expression() -> None:
    """Deep and shared parts are written once."""
    x, y, z = gc.tensor("x", N), *gc.tensors("y z")
    value = x[i]
    for k in range(200):
        value = gc.sin(value + k)
    y[i] = value
    value = x[i]
    for k in range(11):
        value = gc.sin(value + k) * gc.cos(value)
    z[i] = value
    text = gc.to_json([y, z])
    assert text.count('"parts"') == 2 and str(gc.loops(*gc.from_json(text))) == str(gc.loops(y, z))
    assert len(gc.to_json(z)) < 4000 < len(str(gc.loops(z)))


PROCESS = """
import graphc as gc
from tests.programs import generate
for seed in (1, 2, 5):
    names = generate(seed, statements=2).build()
    text = gc.to_json(names["L"])
    print(text, gc.loops(gc.from_json(text)))
"""


def test_text_does_not_depend_on_the_hash_seed() -> None:
    texts = set()
    for seed in ("0", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROCESS], env=environment, capture_output=True, text=True, check=True)
        texts.add(done.stdout)
    assert len(texts) == 1


def test_nothing_of_the_machine_is_written() -> None:
    text = gc.to_json(LAYERS["linear"]()[0])
    assert ".py" not in text and str(ROOT) not in text and "lambda" not in text


# ---------------------------------------------------------------------------------------------------------------- what is no program

POOL: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 1.5, 1e300, 10**40, "", "i", "j", "N", "X0", "T0", "L", "=", "+=", "max", "float64", "int64", "bool",
    [], {}, ["size", "N"], ["+"], ["inf"], ["nan"], ["*", -1, "i"], ["read", "X0", "i"], ["list"], ["part", 0], ["argument", 0],
    "parameter", "adjoint", ["**", 0, -1], ["**", -1, ["ratio", 1, 2]], ["where", True, 0, 1], ["compare", "<", "i", 0], ["uniform"],
]  # fmt: skip
KEYS = ["name", "kind", "init", "where", "reads", "parts", "checkpoint", "arguments", "gradients", "x"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def mutated(data: Any, random: Random) -> Any:
    """One or two values are deleted, replaced or added."""
    data = copy.deepcopy(data)
    for _ in range(random.randint(1, 2)):
        paths = list(places(data))[1:]
        (*above, key), action = random.choice(paths), random.random()
        parent = at(data, tuple(above))
        if action < 0.25:
            del parent[key]
        elif action < 0.6:
            parent[key] = copy.deepcopy(random.choice(POOL))
        elif action < 0.9:
            parent[key] = copy.deepcopy(at(data, random.choice(paths)))
        elif isinstance(parent, list):
            parent.insert(key, copy.deepcopy(random.choice(POOL)))
        else:
            parent[random.choice(KEYS)] = copy.deepcopy(random.choice(POOL))
    return data


@pytest.mark.parametrize("first", [0, 4, 8])
def test_mutated_texts(first: int) -> None:
    """Each is refused, or it is a program that can be shown, written again and compiled."""
    outcome: Counter[str] = Counter()
    for seed in range(first, first + 4):
        program, random = generate(seed, statements=2), Random(seed)
        names = program.build()
        try:
            gradients = gc.grad(names["L"], [names[n] for n in program.float_inputs()[:1]]) if seed % 2 else []
            data = json.loads(gc.to_json([names["L"], *gradients]))
        except gc.RangeError:  # a random program need not be right for all sizes
            continue
        for _ in range(40):
            text = json.dumps(mutated(data, random))
            try:
                outputs = flatten(gc.from_json(text))[0]
                gc.to_json(outputs)
                gc.loops(*outputs)
                gc.compile(outputs, target="interpret")
                outcome["program"] += 1
            except gc.GraphcError:
                outcome["refused"] += 1
            except Exception as error:
                raise AssertionError(text) from error
    assert outcome["refused"] > 100


def test_broken_texts() -> None:
    """A text that is cut, or in which a character is another one."""
    text, random = gc.to_json(PROGRAMS["layer"]()[0]), Random(0)
    for _ in range(60):
        k = random.randrange(len(text))
        for broken in (text[:k], text[:k] + random.choice('{}[]",:0e') + text[k + 1 :]):
            try:
                gc.from_json(broken)
            except gc.GraphcError:
                continue


@pytest.mark.parametrize("depth", [150, 3000, 200_000])
def test_deep_lists(depth: int) -> None:
    text = gc.to_json(PROGRAMS["layer"]()[0])
    for place in ('["read", "X", "b", "j"]', '"outputs": ["list"', '["size", "N"]'):
        assert place in text
        deep = '["+", 1, ' * depth + "1" + "]" * depth
        value = f'"outputs": {deep[:-1]}], "x": ["list"' if "outputs" in place else deep
        with pytest.raises(gc.GraphcError):
            gc.from_json(text.replace(place, value, 1))


def test_many_parts_do_not_take_forever() -> None:
    """A thousand parts that each use the one before twice."""
    parts: list[Any] = [["call", "sin", ["read", "x", "i"]]]
    for k in range(1000):
        parts.append(["+", ["call", "sin", ["part", k]], ["call", "cos", ["part", k]]])
    statement = {"parts": parts, "at": ["i"], "op": "=", "value": ["part", 1000], "loops": [["i", 0, 3]]}
    tensors = {"x": {"shape": [3], "dtype": "float32"}, "y": {"shape": [3], "dtype": "float32", "statements": [statement]}}
    with pytest.raises(gc.NotationError, match="written out"):
        gc.from_json(json.dumps({"format": "graphc program", "version": 1, "tensors": tensors, "outputs": "y"}))


@pytest.mark.parametrize("power", [["**", 10, 10**9], ["**", ["**", 10, 200], 200], ["**", ["ratio", 1, 3], 10**12], ["**", 1.5, 1e300],
                                   ["**", 2, ["inf"]], ["**", ["**", 2, ["ratio", 1, 2]], 10**12], ["*", 1e300, 10**200, 10**200]])
def test_large_powers_are_not_computed(power: Any) -> None:
    statement = {"at": [], "op": "=", "value": power, "loops": []}
    tensors = {"y": {"shape": [], "dtype": "float32", "statements": [statement]}}
    text = json.dumps({"format": "graphc program", "version": 1, "tensors": tensors, "outputs": "y"})
    if power[2] == ["inf"]:
        gc.from_json(text)
    else:
        with pytest.raises(gc.ArgumentError):
            gc.from_json(text)


@pytest.mark.parametrize("op", ["any", "all", "max"])
def test_reductions_of_numbers_and_conditions(op: str) -> None:
    """What a statement reduces is read as the argument of the same reduction in an expression."""
    for value in (["read", "x", "j"], ["compare", ">", ["read", "x", "j"], 1], True):
        text = json.dumps({"format": "graphc program", "version": 1, "outputs": "y", "tensors": {
            "x": {"shape": [2], "dtype": "float32"},
            "y": {"shape": [], "dtype": "bool", "statements": [{"at": [], "op": op, "value": value, "loops": [["j", 0, 2]]}]}}})
        back = gc.from_json(text)
        x = {"x": np.array([0, 2], "float32")}
        want = getattr(np, op)(np.array([True, True]) if value is True else np.array([0, 1], bool))
        assert all(bool(gc.compile(back, target=target)(x)) == want for target in ("interpret", "cpu"))
