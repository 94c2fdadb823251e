"""All launches of a call as one CUDA graph: recorded when the same arrays come back, and queued as one from then on.

A launch takes the host tens of microseconds, a graph about ten for all of them. What a graph contains are addresses; so it is found by
these, and steps of a training loop find theirs, since memory that is used again has the same addresses.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Graphs", "Recorder", "recorder"]

_GRAPHS = 16
"""Graphs that a program keeps: for a few addresses of batches and results."""

_SEEN = 256
"""Calls that it remembers."""


class Recorder:
    """What of cuda.core makes graphs (https://nvidia.github.io/cuda-python/cuda-core)."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self._streams: dict[int, Any] = {}

    def record(self, queue: Callable[[Any], None]) -> Any:
        """The graph of what `queue` launches on the stream that it gets; nothing runs."""
        builder = self._core.Device().create_graph_builder()
        try:
            builder.begin_building()
            queue(builder)
            return builder.end_building().complete()
        finally:
            builder.close()

    def launch(self, graph: Any, stream: int) -> None:
        """Queue a graph on the stream with that address."""
        found = self._streams.get(stream)
        if found is None:
            found = self._streams.setdefault(stream, self._core.Stream.from_handle(stream))
        graph.launch(found)


def recorder() -> Recorder | str:
    """What records graphs, or why nothing does."""
    try:
        core, driver = importlib.import_module("cuda.core"), importlib.import_module("numba.cuda.cudadrv.driver")
    except ImportError:
        return "cuda.core is not installed"
    if not hasattr(driver, "GraphBuilder") or not hasattr(getattr(core, "Device", None), "create_graph_builder"):
        return "numba.cuda launches into no graphs"
    return Recorder(core)


class Graphs:
    """The graphs of one program.

    Args:
        recorder: what records them, or why nothing does.

    Attributes:
        reason: why launches are queued one by one; empty if they are not.
    """

    def __init__(self, recorder: Recorder | str) -> None:
        self._recorder = None if isinstance(recorder, str) else recorder
        self.reason = recorder if isinstance(recorder, str) else ""
        self._recorded: OrderedDict[Hashable, Any] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def launch(self, key: Hashable, stream: int, queue: Callable[[Any], None]) -> bool:
        """Queue the graph of a call, recorded now if it comes for the second time; whether there is one.

        Args:
            key: of everything that `queue` hands to kernels.
            stream: address of the stream.
            queue: launches the kernels on the stream that it gets.
        """
        if self._recorder is None:
            return False
        graph = self._recorded.get(key)
        if graph is None:
            if key not in self._seen:
                _remember(self._seen, key, None, _SEEN)
                return False
            try:
                graph = self._recorder.record(queue)
            except Exception as error:
                self._recorder, self.reason = None, f"they cannot be recorded: {error}"
                return False
            _remember(self._recorded, key, graph, _GRAPHS)
        self._recorded.move_to_end(key)
        self._recorder.launch(graph, stream)
        return True


def _remember(known: OrderedDict[Hashable, Any], key: Hashable, value: Any, most: int) -> None:
    known[key] = value
    if len(known) > most:
        known.popitem(last=False)
