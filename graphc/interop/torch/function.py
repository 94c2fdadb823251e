"""What `gc.to_torch` returns: a function on tensors, and modules made of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

import graphc as gc
from graphc.interop.torch.module import TorchModule
from graphc.interop.torch.operator import Operator
from graphc.interop.written import Written, read, written
from graphc.transforms.pullback import arguments, fingerprint

__all__ = ["TorchFunction"]

_operators: dict[str, Operator] = {}
_lock = threading.Lock()


class TorchFunction:
    """A program as a function on PyTorch tensors: ``f(x, w)`` or ``f(x, w=w)``.

    Attributes:
        name: of the operator.
        inputs: names of the arguments.
        operator: what is registered with PyTorch, for `torch.library.opcheck` and graphs.
        program: for the CPU.
    """

    def __init__(
        self, program: gc.Program, outputs: Sequence[gc.Tensor], structure: Callable[[Sequence[Any]], Any], name: str,
        asked: tuple[Any, Sequence[gc.Tensor] | None],
    ) -> None:
        self.program, self._structure, self._asked = program, structure, asked
        self.inputs, self._positional = program.inputs, program.signature.positional
        self._usual = self._positional if self._positional == len(self.inputs) else -1
        tensors = arguments(outputs, program.inputs)
        self.parameters = tuple(t for t in tensors if t.kind == "parameter")
        single = list(dict.fromkeys(outputs))
        self._order = [single.index(t) for t in outputs] if len(outputs) > 1 or structure([None]) is not None else []
        text = "\n".join([gc.__version__, name, program.source])  # what is kept for gradients may differ between versions
        self.title, self.name = name, f"{re.sub(r'[^0-9A-Za-z]', '_', name)}_{fingerprint(single, tensors, text)}"
        with _lock:
            if self.name not in _operators:
                _operators[self.name] = Operator(self.name, single, tensors, {"cpu": program} if len(single) == len(outputs) else {}, name)
            self._operator = _operators[self.name]
        self.operator = self._operator.overload
        self._quick = self._operator.quick

    def __repr__(self) -> str:
        return f"<operator {self.name}: {', '.join(self.inputs)} → {', '.join(t.name for t in self._operator.outputs)}>"

    def __deepcopy__(self, memo: Any) -> TorchFunction:
        return self

    def __reduce__(self) -> Any:
        return _read, (written(*self._asked), self.title)

    def __call__(self, /, *tensors: torch.Tensor, **named: torch.Tensor) -> Any:
        """Compute the outputs.

        Raises:
            ArgumentError: an argument is missing, unknown or no tensor, tensors lie on several devices, or one that the gradient reads was
                changed in place before `backward`.
            DtypeError: a tensor has another dtype than it was declared with.
            ShapeError: shapes do not fit the program or each other.
        """
        if named or len(tensors) != self._usual:
            tensors = self._bound(tensors, named)
        if torch.compiler.is_compiling():
            results = self._operator.dispatched(tensors)
        else:
            results = self._quick(*tensors) or self._operator(tensors)
        return self._structure([results[k] for k in self._order]) if self._order else results[0]

    def _bound(self, tensors: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """All arguments in order."""
        if len(tensors) > self._positional:
            takes = f"only {self._positional}: {', '.join(self.inputs[: self._positional])}" if self._positional else "none"
            raise gc.ArgumentError(f"{len(tensors)} arguments are given to {self.title} by position, which takes {takes}.",
                                   fix=f"pass arguments by name ({', '.join(f'{n}=…' for n in self.inputs)}), or name them in inputs=[…].")
        given = dict(zip(self.inputs, tensors))
        unknown = [name for name in named if name not in self.inputs]
        if unknown:
            raise gc.ArgumentError(f"{self.title} has no argument {unknown[0]}; it takes {', '.join(self.inputs)}.", fix="check the name.")
        twice = [name for name in named if name in given]
        if twice:
            raise gc.ArgumentError(f"The argument {twice[0]} is given by position and by name.", fix="give it once.")
        given.update(named)
        missing = [name for name in self.inputs if name not in given]
        if missing:
            (one, *more) = missing
            what = f"argument {one} of {self.title} is" if not more else f"arguments {', '.join(missing)} of {self.title} are"
            raise gc.ArgumentError(f"The {what} missing.",
                                   fix=f"call it with {', '.join(f'{n}=…' for n in missing)}.")
        return tuple([given[name] for name in self.inputs])

    def module(self, seed: int = 0, initial: Mapping[str, Any] | None = None, **sizes: int) -> TorchModule:
        """A module that holds the parameters of the program and is called with the other arguments.

        Args:
            seed: of the initialisers; equal seeds give equal parameters.
            initial: values of parameters by name, tensors or arrays, instead of what their initialisers give.
            sizes: values of the symbolic sizes in the shapes of parameters, by name.

        Raises:
            ArgumentError: the program has no parameters, a size is missing, or a value does not fit.
        """
        return TorchModule(self, seed, initial or {}, sizes)


def _read(program: Written, name: str) -> TorchFunction:
    """What a pickle holds, as a function again."""
    outputs, inputs = read(program)
    return gc.to_torch(outputs, inputs, name)
