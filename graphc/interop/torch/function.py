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
    """A program as a function on PyTorch tensors: ``f(x, w)``, ``f(x, w=w)`` or ``f(params, x)``.

    The dictionary may hold more than is needed.

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
        self.inputs = program.inputs
        self._usual = len(self.inputs) if program.signature.positional == len(self.inputs) else -1
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

    def __call__(self, /, *tensors: Any, **named: torch.Tensor) -> Any:
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
            results = self._operator.dispatched(self._plain(tensors))
        else:
            results = self._quick(*tensors) or self._operator(self._plain(tensors))
        return self._structure([results[k] for k in self._order]) if self._order else results[0]

    def _plain(self, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
        """All arguments in order, of as many as there are: the first of them may still be a dictionary."""
        return self._bound(tensors, {}) if isinstance(tensors[0], Mapping) else tensors

    def _bound(self, tensors: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """All arguments in order."""
        given = self.program.signature.complete(tensors, named, "module(seed=0) makes a module that has the parameters")
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
