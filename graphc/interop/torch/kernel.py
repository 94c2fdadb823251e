"""A compiled program on PyTorch's tensors: checked, run where they lie, and without a copy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

import graphc as gc
from graphc.calls.arrays import mismatch
from graphc.interop.often import Often
from graphc.interop.torch.quick import quick

__all__ = ["Kernel", "check", "check_kinds", "torch_dtype"]


def torch_dtype(tensor: gc.Tensor) -> torch.dtype:
    """PyTorch's name for the element type of a tensor."""
    found: torch.dtype = getattr(torch, tensor.dtype)
    return found


class Kernel:
    """Runs a program on tensors that need no gradient.

    Args:
        outputs, inputs: tensors of the program, all of its inputs.
        programs: those that are compiled already, by target.
    """

    def __init__(
        self, outputs: Sequence[gc.Tensor], inputs: Sequence[gc.Tensor], programs: Mapping[str, gc.Program] | None = None
    ) -> None:
        self.outputs, self.inputs = tuple(outputs), tuple(inputs)
        self.names = [tensor.name for tensor in inputs]
        self.dtypes = [torch_dtype(tensor) for tensor in inputs]
        self._programs = {**(programs or {})}
        self._lock = threading.Lock()
        self._often = Often()

    @cached_property
    def _quick(self) -> Callable[..., Sequence[torch.Tensor] | None]:
        return self.quick(lambda needed, tensors: None)

    def program(self, target: str = "cpu") -> gc.Program:
        """The program for a target, compiled when it is first asked for."""
        with self._lock:
            if target not in self._programs:
                self._programs[target] = gc.compile(list(self.outputs), target=target, inputs=list(self.inputs))
            return self._programs[target]

    def quick(
        self, differentiable: Callable[[int, tuple[torch.Tensor, ...]], Any]
    ) -> Callable[..., Sequence[torch.Tensor] | None]:
        """A function for shapes that come often, as `graphc.interop.torch.quick.quick`."""
        return quick(self._often.calls, self.dtypes, len(self.outputs), differentiable)

    def __call__(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The results as new tensors."""
        return self._quick(*tensors) or self._long(tensors)

    def _long(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        check(self.inputs, tensors)
        device = tensors[0].device.type
        if device == "cpu":
            return self._on_host(tensors)
        if device == "meta":
            return self.fake(tensors)
        if device != "cuda":
            raise gc.TargetError(f"graphc has no target for tensors on the device {device}.", fix='move them to "cpu" or "cuda".')
        named = {name: tensor.detach() for name, tensor in zip(self.names, tensors, strict=True)}
        results: list[torch.Tensor] = self.program("cuda")(named)
        return results

    def shapes(self, tensors: Sequence[torch.Tensor]) -> list[tuple[Any, ...]]:
        """Shapes of the results, for tensors that may be symbols of a trace."""
        check(self.inputs, tensors)
        return self.program().result_shapes({name: tuple(tensor.shape) for name, tensor in zip(self.names, tensors, strict=True)})

    def fake(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Results without values."""
        return [tensors[0].new_empty(shape, dtype=torch_dtype(t)) for t, shape in zip(self.outputs, self.shapes(tensors), strict=True)]

    # ------------------------------------------------------------------------------------------------------ on the CPU
    def _on_host(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        program = self.program()
        arrays = {name: _array(name, tensor) for name, tensor in zip(self.names, tensors, strict=True)}
        values = program(arrays)
        self._hasten(program, tensors, values)
        return [torch.from_numpy(np.asarray(value)) for value in values]

    def _hasten(self, program: gc.Program, tensors: Sequence[torch.Tensor], values: Sequence[Any]) -> None:
        """Have a compiled call for a small program that is called often with the same shapes."""
        key = tuple([tensor.shape for tensor in tensors])
        shapes = {name: tuple(shape) for name, shape in zip(self.names, key, strict=True)}
        self._often.counted(program, key, shapes, lambda call: (call, *(part for v in values for part in (v.shape, v.dtype))))


def _array(name: str, tensor: torch.Tensor) -> Any:
    """The memory of a tensor; its values where it is a view that negates, or zeros that have none."""
    if tensor.numel() and not tensor.data_ptr() and not tensor._is_zerotensor():
        raise gc.ArgumentError(f"The argument {name} has no memory: its storage was resized to 0.",
                               fix=f"call it while {name} has values, or pass a clone that was made then.")
    return tensor.detach().numpy(force=True)


def check(inputs: Sequence[gc.Tensor], tensors: Sequence[Any]) -> None:
    """Refuse tensors that no program can take: of another type, layout or device. Shapes are compared by the program.

    Raises:
        ArgumentError: something is no dense tensor, or tensors lie on several devices.
        DtypeError: a tensor has another dtype.
    """
    check_kinds(inputs, tensors)
    for declared, tensor in zip(inputs, tensors, strict=True):
        name = declared.name
        if tensor.is_nested:
            raise gc.ArgumentError(f"The argument {name} is a nested tensor, whose rows have different lengths.",
                                   fix=f"call it for each of {name}.unbind(), or pass {name}.to_padded_tensor(0.0).")
        if tensor.layout is not torch.strided:
            raise gc.ArgumentError(f"The argument {name} is a tensor with the layout {tensor.layout}.", fix=f"pass {name}.to_dense().")
        if tensor.dtype is not torch_dtype(declared):
            raise _mismatch(declared, tensor)
    first = tensors[0].device
    for declared, tensor in zip(inputs, tensors, strict=True):
        if tensor.device != first:
            raise gc.ArgumentError(f"The argument {inputs[0].name} is on the device {first}, but {declared.name} is on {tensor.device}.",
                                   fix=f'pass {declared.name}.to("{first}").')


def check_kinds(inputs: Sequence[gc.Tensor], tensors: Sequence[Any]) -> None:
    """Refuse what is no tensor."""
    for declared, tensor in zip(inputs, tensors, strict=True):
        if not isinstance(tensor, torch.Tensor):
            name = declared.name
            how = f"torch.from_numpy({name})" if isinstance(tensor, np.ndarray) else f"torch.tensor(…, dtype=torch.{declared.dtype})"
            raise gc.ArgumentError(f"The argument {name} is a {type(tensor).__name__}, not a tensor of PyTorch.", fix=f"pass {how}.")


def _mismatch(declared: Any, tensor: torch.Tensor) -> gc.DtypeError:
    error = mismatch(declared, str(tensor.dtype).removeprefix("torch."), tensor)
    integers = tensor.requires_grad and "float" not in declared.dtype
    return gc.DtypeError(f"{error.what} It requires a gradient, which integers do not have.", fix=error.fix) if integers else error
