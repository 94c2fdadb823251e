"""Calls of small programs in one compiled function: arrays in, without Python looking at each of them.

Looking at an array from Python costs about a microsecond, which is more than a program of ten elements needs. The function made here
is given the arrays themselves, compares their shapes with those of the call it was made from, and runs the program on the calling
thread. What it is not made for, other types, layouts or shapes, it leaves to `CpuRunner.run`, as well as every complaint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from graphc.kernels.team import TEAM, slots
from graphc.runtime.cache import kept, load

__all__ = ["Call", "by_address", "quick"]

Array = NDArray[Any]
Call = Callable[[tuple[Any, ...], dict[str, Any]], list[Array] | None]
"""Positional and named arguments → results; None if the call has to go the long way.

Raises `KeyError` if an argument is missing, and `TypeError` if there is no code for the arrays.
"""


def quick(
    module: ModuleType, inputs: Sequence[str], outputs: Sequence[str], arrays: Mapping[str, tuple[tuple[int, ...], str]],
    memory: NDArray[np.int64], sizes: NDArray[np.int64], positional: bool, alive: object, compiling: bool,
) -> Call | None:
    """Compile or load the function for a generated module, and bind it to shapes.

    Args:
        module: the generated module of the program.
        inputs, outputs: tensors, in the order of the arguments.
        arrays: shape and element type of every tensor, in the order of their addresses in ``memory``.
        memory, sizes: arguments of the program, the addresses of inputs and outputs not yet known.
        positional: whether all arguments may be given by position.
        alive: arrays whose addresses are in ``memory``.
        compiling: whether to compile; if not, the result is None where there is no machine code on disk.
    """
    made = load(_text(module, inputs, outputs, arrays, len(memory), len(sizes)), "quick")
    if not (compiling or kept(made, "quick")):
        return None
    function: Any = made.quick
    if not function.overloads:
        function.compile((types.int64[::1], *(_type(*arrays[name]) for name in (*inputs, *outputs))))
        function.disable_compile()
    extents = np.array([extent for name in inputs for extent in arrays[name][0]], np.int64)
    sync = np.zeros(slots(1), np.int64)
    sync[TEAM] = 1
    frame = np.concatenate([extents, sync, np.zeros(2, np.int64), memory, sizes])
    call: Call = made.bound(frame, [(shape, np.dtype(dtype)) for shape, dtype in map(arrays.__getitem__, outputs)], positional, alive)
    return call


def by_address(
    module: ModuleType, arguments: Sequence[str], arrays: Sequence[str], memory: NDArray[np.int64], sizes: NDArray[np.int64],
    alive: object, compiling: bool,
) -> Callable[..., bool] | None:
    """As `quick`, a function of addresses instead of arrays, for callers that look at their arrays themselves.

    It returns False if the program found a fault. None if it has to be compiled and must not be.

    Args:
        arguments: inputs and outputs in the order of the function's arguments.
        arrays: every tensor, in the order of their addresses in ``memory``.
    """
    names = {name: f"a{k}" for k, name in enumerate(arguments)}
    made = load("\n".join((*_function(module, names, (), list(arrays), names, len(memory), len(sizes)), "")), "quick")
    if not (compiling or kept(made, "quick")):
        return None
    function: Any = made.quick
    if not function.overloads:
        function.compile((types.int64[::1], *(types.int64 for _ in names)))
        function.disable_compile()
    sync = np.zeros(slots(1), np.int64)
    sync[TEAM] = 1
    frame = np.concatenate([sync, np.zeros(2, np.int64), memory, sizes])

    def call(*addresses: int, alive: object = alive) -> bool:
        done: bool = function(frame, *addresses)
        return done

    return call


def _type(shape: tuple[int, ...], dtype: str) -> Any:
    return types.Array(types.boolean if dtype == "bool" else getattr(types, dtype), len(shape), "C")


def _text(
    module: ModuleType, inputs: Sequence[str], outputs: Sequence[str], arrays: Mapping[str, tuple[tuple[int, ...], str]],
    length: int, sizes: int,
) -> str:
    """The module with the function; ``memory`` has the `length` given, and there are so many `sizes`."""
    names = {name: f"a{k}" for k, name in enumerate((*inputs, *outputs))}
    extents = [f"{names[name]}.shape[{d}]" for name in inputs for d in range(len(arrays[name][0]))]
    own = "".join(f"{names[name]}, " for name in inputs).rstrip()
    addresses = {name: f"{argument}.ctypes.data" for name, argument in names.items()}
    return "\n".join([
        *_function(module, names, extents, list(arrays), addresses, length, sizes),
        "",
        "",
        "def bound(frame, results, positional, alive):",
        f"    ({', '.join(f's{k}' for k in range(len(outputs)))},), ({', '.join(f'd{k}' for k in range(len(outputs)))},) = zip(*results)",
        "    empty, array = np.empty, np.ndarray",
        "",
        "    def call(arrays, named, alive=alive):",
        f"        if positional and len(arrays) == {len(inputs)}:",
        "            if named:",
        "                return None",
        f"            {own} = arrays",
        "        else:",
        "            if not arrays:",
        f"                if len(named) != {len(inputs)}:",
        "                    return None",
        "            elif named or len(arrays) != 1 or type(arrays[0]) is not dict:",
        "                return None",
        "            else:",
        "                named = arrays[0]",
        f"            {own} = {''.join(f'named[{name!r}], ' for name in inputs).rstrip()}",
        *(f"        {names[name]} = empty(s{k}, d{k})" for k, name in enumerate(outputs)),
        f"        if not ({' and '.join(f'type({names[name]}) is array' for name in inputs)}):",
        "            return None",
        f"        if quick(frame, {', '.join(names.values())}):",
        f"            return [{', '.join(names[name] for name in outputs)}]",
        "        return None",
        "",
        "    return call",
        "",
    ])


def _function(
    module: ModuleType, names: Mapping[str, str], extents: Sequence[str], places: Sequence[str], addresses: Mapping[str, str],
    length: int, sizes: int,
) -> list[str]:
    """The lines of a module with a function ``quick`` that compares `extents` with those in the frame and runs the program."""
    status = len(extents) + slots(1)
    memory = status + 2
    last = memory + length
    wrong = " or ".join(f"{extent} != frame[{k}]" for k, extent in enumerate(extents))
    return [
        '"""Generated by graphc: a program of few operations, called with its arrays."""',
        "",
        "import numpy as np",
        "from numba import njit",
        "",
        "from graphc.kernels.team import launch",
        f"from {module.__name__} import FLAGS, program",
        "",
        "",
        "@njit(cache=True, **FLAGS | dict(nogil=False))",
        f"def quick(frame, {', '.join(names.values())}):",
        *([f"    if {wrong}:", "        return False"] if wrong else []),
        f"    sync, status = frame[{len(extents)}:{status}], frame[{status}:{memory}]",
        f"    memory, sizes = frame[{memory}:{last}], frame[{last}:{last + sizes}]",
        *(f"    memory[{places.index(name)}] = {address}" for name, address in addresses.items()),
        "    status[0] = 0",
        "    launch(program, sync, (status, memory, sizes))",
        "    return status[0] == 0",
    ]
