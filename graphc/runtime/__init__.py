"""From text to running code: the module cache and the team of threads that runs a program."""

from graphc.runtime.forked import in_forked_child

__all__ = ["in_forked_child"]
