"""Recording of launches, with imitations of what records them: nothing here needs a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from graphc.runtime.cuda_graph import Graphs, Recorder, recorder


class Device:
    """cuda.core's, as far as it is used."""

    log: list[str] = []

    def create_graph_builder(self) -> Any:
        def graph() -> Any:
            return SimpleNamespace(launch=lambda stream: self.log.append(f"launch on {stream}"))

        builder = SimpleNamespace(begin_building=lambda: self.log.append("begin"), close=lambda: self.log.append("close"))
        builder.end_building = lambda: SimpleNamespace(complete=graph)
        return builder


core = SimpleNamespace(Device=Device, Stream=SimpleNamespace(from_handle=lambda address: f"stream {address}"))


@pytest.fixture
def log() -> list[str]:
    Device.log = []
    return Device.log


def kernels(log: list[str]) -> Callable[[Any], None]:
    return lambda stream: log.append("kernels")


def test_recorded_when_a_call_comes_back(log: list[str]) -> None:
    graphs = Graphs(Recorder(core))
    assert not graphs.launch("a", 0, kernels(log)) and log == []
    assert graphs.launch("a", 0, kernels(log))
    assert log == ["begin", "kernels", "close", "launch on stream 0"]
    assert graphs.launch("a", 5, kernels(log))
    assert log[4:] == ["launch on stream 5"] and not graphs.reason


def test_every_combination_of_addresses_has_its_graph(log: list[str]) -> None:
    graphs = Graphs(Recorder(core))
    assert [graphs.launch(key, 0, kernels(log)) for key in "abababcb"] == [False, False, True, True, True, True, False, True]
    assert log.count("kernels") == 2


def test_the_oldest_go(log: list[str]) -> None:
    graphs = Graphs(Recorder(core))
    for key in range(17):
        graphs.launch(key, 0, kernels(log))
        graphs.launch(key, 0, kernels(log))
    assert log.count("kernels") == 17
    graphs.launch(16, 0, kernels(log))
    assert log.count("kernels") == 17
    graphs.launch(0, 0, kernels(log))
    assert log.count("kernels") == 18


def test_what_cannot_be_recorded_is_launched_one_by_one(log: list[str]) -> None:
    def refuse(stream: Any) -> None:
        raise RuntimeError("not while capturing")

    graphs = Graphs(Recorder(core))
    graphs.launch("a", 0, refuse)
    assert not graphs.launch("a", 0, refuse)
    assert log == ["begin", "close"] and graphs.reason == "they cannot be recorded: not while capturing"
    assert not graphs.launch("a", 0, kernels(log)) and log == ["begin", "close"]


@pytest.mark.parametrize(("modules", "reason"), [
    ({"cuda.core": None}, "cuda.core is not installed"),
    ({"cuda.core": core, "numba.cuda.cudadrv.driver": SimpleNamespace()}, "numba.cuda launches into no graphs"),
    ({"cuda.core": SimpleNamespace(), "numba.cuda.cudadrv.driver": SimpleNamespace(GraphBuilder=1)}, "numba.cuda launches into no graphs"),
    ({"cuda.core": core, "numba.cuda.cudadrv.driver": SimpleNamespace(GraphBuilder=1)}, None),
])  # fmt: skip
def test_why_there_are_none(monkeypatch: pytest.MonkeyPatch, modules: dict[str, Any], reason: str | None) -> None:
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace())
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    found = recorder()
    assert isinstance(found, Recorder) if reason is None else found == reason
    assert Graphs(found).reason == (reason or "")
