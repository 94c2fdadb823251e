"""The arguments of a call: by position, by name or from a dictionary, where they lie, and what is updated among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.calls.arrays import host_of
from graphc.calls.on_device import Device
from graphc.calls.signature import Signature
from graphc.errors import ArgumentError
from graphc.runtime.device import on_device

__all__ = ["Arguments"]


class Arguments:
    """What calls of one program take.

    Args:
        signature: of the program.
        runner: for arrays on a GPU, None if it runs on the host.

    Attributes:
        updated: inputs that the program writes.
    """

    def __init__(self, signature: Signature, runner: Any) -> None:
        self._signature, self._runner = signature, runner
        self._has_device = runner is not None
        self._inputs = {t.name: t for t in signature.inputs}
        self.updated = tuple(name for name, _ in signature.updates)
        self._separate: tuple[Any, ...] = ()

    def of(self, arrays: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Where the arrays of a call lie, and the arguments by name."""
        if not self.updated:
            if not arrays and named.keys() == self._inputs.keys():
                return self._place(named), named
            if not named and len(arrays) == 1 and type(arrays[0]) is dict and self._inputs.keys() <= arrays[0].keys():
                named = {name: arrays[0][name] for name in self._inputs} if self._has_device else arrays[0]
                return self._place(named), named
        state: Mapping[str, Any] = {}
        if arrays and isinstance(arrays[0], Mapping):
            state, arrays = arrays[0], arrays[1:]
        given: dict[str, Any] = {name: state[name] for name in self._inputs if name in state}
        others = self._signature.by_name(arrays, named)
        given.update((name, array) for name, array in others.items() if name in self._inputs)
        self._signature.check_complete(given, state)
        place = self._place(given)
        if self.updated:
            self._check_state(place, state, others)
        return place, given

    def _check_state(self, place: Any, state: Mapping[str, Any], others: Mapping[str, Any]) -> None:
        """Refuse a call in which what is updated is no writable array of the dictionary given first."""
        for name in self.updated:
            if isinstance(place, Device) and isinstance(state.get(name), np.ndarray):
                continue  # refused together with all others that are not on the GPU
            array = place.array(name, state.get(name))
            if array is None or place.fault(array) or name in others:
                how = ("it is not there" if name not in state else "it is given outside of the dictionary as well" if name in others
                       else f"it is {place.fault(array)}" if array is not None else f"it is a {type(state[name]).__name__}")
                raise ArgumentError(f"{name} is updated by the program, so it must be a writable array in the first dictionary; {how}.",
                                    fix="call step(state, X=…) with state = step.init(seed=0), or a dictionary of your own arrays.")

    def unshare(self, place: Any, arrays: dict[str, Any]) -> None:
        """Copy inputs that lie in the memory of arrays that are updated; refuse updated arrays that share memory."""
        if not self.updated:
            return
        state = {name: arrays[name] for name in self.updated}
        key = tuple(map(place.key, state.values()))
        if key != self._separate:
            names = list(state)
            for k, name in enumerate(names):
                for other in names[:k]:
                    if place.overlap(state[name], state[other], exactly=True):
                        raise ArgumentError(f"{other} and {name} are both updated, but they share memory.",
                                            fix="give each an array of its own.")
            self._separate = key
        for name, array in arrays.items():
            if name not in state and any(place.overlap(array, updated) for updated in state.values()):
                arrays[name] = place.copy(array)

    def _place(self, given: Mapping[str, Any]) -> Any:
        """Where the arrays of a call lie, as `graphc.calls.arrays.Host` or `graphc.calls.on_device.Device`."""
        if self._has_device and any(map(on_device, given.values())):
            return Device(self._runner, given)
        return host_of(self._inputs, given)
