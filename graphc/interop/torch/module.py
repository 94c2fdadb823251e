"""Programs with parameters as modules of PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import graphc as gc
from graphc.interop.torch.kernel import torch_dtype

if TYPE_CHECKING:
    from graphc.interop.torch.function import TorchFunction

__all__ = ["TorchModule"]


class TorchModule(torch.nn.Module):
    """A program whose parameters are `torch.nn.Parameter`; ``conv1.weight`` is the ``weight`` of a submodule ``conv1``.

    Args:
        function: the program.
        seed, initial, sizes: as for `TorchFunction.module`.
    """

    def __init__(self, function: TorchFunction, seed: int, initial: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        super().__init__()
        names = [t.name for t in function.parameters]
        if not names:
            raise gc.ArgumentError(f"{function.title} has no parameters.", fix='declare them with gc.parameter("W", …).')
        unknown = [name for name in initial if name not in names]
        if unknown:
            raise gc.ArgumentError(f"{function.title} has no parameter {unknown[0]}; it has {', '.join(names)}.", fix="check the name.")
        self.function = function
        self.names = tuple(names)
        self.arguments = tuple(name for name in function.inputs if name not in names)
        made = {} if initial.keys() >= set(names) else _initial(function, seed, sizes)
        for name in names:
            self._add(name, _value(function, name, initial[name]) if name in initial else torch.from_numpy(np.array(made[name])))

    def _add(self, name: str, value: torch.Tensor) -> None:
        *path, leaf = name.split(".")
        owner: torch.nn.Module = self
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, torch.nn.Module())
            owner = getattr(owner, part)
        if not isinstance(owner, torch.nn.Module) or hasattr(owner, leaf):
            raise gc.ArgumentError(f"A module of PyTorch cannot have a parameter {name}: it has another attribute of that name.",
                                   fix="give the parameter another name.")
        owner.register_parameter(leaf, torch.nn.Parameter(value, requires_grad=value.is_floating_point()))

    def forward(self, *tensors: Any, **named: torch.Tensor) -> Any:
        """The outputs of the program, from the inputs that are no parameters; a dictionary may come first, as for the function."""
        state: Mapping[str, Any] = {}
        if tensors and isinstance(tensors[0], Mapping):
            state, tensors = tensors[0], tensors[1:]
        if len(tensors) > len(self.arguments):
            raise gc.ArgumentError(f"{len(tensors)} arguments are given, but the module takes {len(self.arguments)}: "
                                   f"{', '.join(self.arguments)}.", fix="leave the parameters out.")
        given = dict(zip(self.arguments, tensors))
        for name in named:
            if name in given:
                raise gc.ArgumentError(f"The argument {name} is given by position and by name.", fix="give it once.")
        for name in (*state, *named):
            if name in self.names:
                raise gc.ArgumentError(f"The argument {name} is a parameter, whose value the module has.",
                                       fix=f'leave it out; torch.func.functional_call(module, {{"{name}": value}}, …) uses another value.')
        return self.function({**state, **{name: _found(self, name) for name in self.names}}, **given, **named)

    def extra_repr(self) -> str:
        return f"{self.function.name}({', '.join(self.arguments)})"


def _found(module: torch.nn.Module, name: str) -> Any:
    """A parameter, or what takes its place: pruned, parametrised, or given to torch.func.functional_call."""
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _initial(function: TorchFunction, seed: int, sizes: Mapping[str, int]) -> dict[str, Any]:
    try:
        return function.program.init(seed, **sizes)
    except gc.ArgumentError as error:
        raise gc.ArgumentError(error.what, fix=error.fix.replace("init(", "module(")) from None


def _value(function: TorchFunction, name: str, value: Any) -> torch.Tensor:
    declared = next(t for t in function.parameters if t.name == name)
    dtype = torch_dtype(declared)
    try:
        tensor = value.detach().clone() if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
    except (TypeError, ValueError) as error:
        raise gc.ArgumentError(f"The initial value of {name} is a {type(value).__name__} that cannot become a tensor: {error}",
                               fix="pass a tensor, an array, or lists of numbers.") from None
    shape = tuple(declared.shape)
    if len(shape) != tensor.dim() or any(isinstance(e, int) and e != n for e, n in zip(shape, tensor.shape)):
        raise gc.ShapeError(f"The initial value of {name} has shape {tuple(tensor.shape)}, but the parameter is {declared!r}.",
                            fix=f"pass a tensor with the extents of {name}.")
    made = tensor.to(dtype) if torch.can_cast(tensor.dtype, dtype) else None
    if made is None or not (dtype.is_floating_point or torch.equal(made.to(tensor.dtype), tensor)):
        given = str(tensor.dtype).removeprefix("torch.")
        raise gc.DtypeError(f"The initial value of {name} has dtype {given} and values that the parameter's dtype {declared.dtype} "
                            "does not have.", fix=f"pass values of dtype {declared.dtype}.")
    return made
