"""A random program, its data, and how it is printed and executed."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphc as gc
from graphc.ir.expr import Size

__all__ = ["RandomProgram"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class RandomProgram:
    """A program, its data, and what to differentiate.

    Attributes:
        seed: what `generate` was called with.
        sizes: values of the symbolic sizes.
        inputs: declaration line by input name.
        blocks: groups of lines; each defines a tensor (or a part of L) and can be left out alone if nothing reads it.
        arrays: float64, integer and bool data by input name; a float32 input has float64 data, too.
    """

    seed: int
    sizes: dict[str, int]
    inputs: dict[str, str]
    blocks: tuple[tuple[str, ...], ...]
    arrays: dict[str, Array] = field(compare=False)

    @property
    def text(self) -> str:
        return "\n".join(line for block in self.blocks for line in block)

    def used(self) -> tuple[str, ...]:
        """The inputs that are read."""
        words = set(re.findall(r"\w+", self.text))
        return tuple(n for n in self.inputs if n in words)

    @property
    def source(self) -> str:
        head = [f'{", ".join(self.sizes)} = gc.dims("{" ".join(self.sizes)}")'] if self.sizes else []
        return "\n".join([*head, *(self.inputs[n] for n in self.used()), 'L = gc.tensor("L")', self.text])

    def __str__(self) -> str:
        data = [f"    {n}=np.array({self.arrays[n].tolist()!r}, {self.arrays[n].dtype.name!r})," for n in self.used()]
        sizes = ", ".join(f"{n}={v}" for n, v in self.sizes.items())
        return "\n".join([f"# seed {self.seed}; {sizes}", "import graphc as gc, numpy as np", self.source, "arrays = dict(", *data, ")"])

    __repr__ = __str__

    def build(self, prefix: str = "") -> dict[str, Any]:
        """The names of the executed source; `prefix` goes before the names of tensors and sizes, so that programs can be compiled together.

        Raises:
            GraphcError: the program is refused where it is written.
        """
        names: dict[str, Any] = {"gc": gc}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gc.GraphcWarning)
            exec(compile(_prefixed(self.source, prefix), f"<program {self.seed}>", "exec"), names)
        return names

    def size_values(self) -> dict[Any, int]:
        return {Size(name): value for name, value in self.sizes.items()}

    def float_inputs(self) -> tuple[str, ...]:
        return tuple(n for n in self.used() if self.arrays[n].dtype.kind == "f")

    def typed(self) -> dict[str, Array]:
        """The arrays of the types that the program declares."""
        return {n: self.arrays[n].astype(self.dtype(n)) for n in self.used()}

    def dtype(self, name: str) -> str:
        found = re.search(r"dtype='(\w+)'", self.inputs[name])
        return found[1] if found else "float32"


def _prefixed(source: str, prefix: str) -> str:
    source = re.sub(r'gc\.tensor\("', f'gc.tensor("{prefix}', source)
    return re.sub(r'gc\.dims\("([^"]*)"\)', lambda found: f'gc.dims("{" ".join(prefix + n for n in found[1].split())}")', source)
