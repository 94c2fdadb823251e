"""Random programs in the notation: the same seed gives the same program, its data included.

A program is generated as Python source and executed, so that ``str(program)`` is what a person would paste to reproduce it.
Every subscript is drawn together with its smallest and largest value (affine forms in the sizes); inputs get extents that fit,
existing tensors are read only where the subscript fits for the drawn sizes. Kinked functions get a random offset, so that values
that are equal by construction (zeros of padding, of relu, …) do not lie on the kink.
"""

from tests.programs.program import RandomProgram
from tests.programs.shrink import shrunk
from tests.programs.writer import generate, programs

__all__ = ["RandomProgram", "generate", "programs", "shrunk"]
