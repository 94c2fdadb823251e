"""The slow interpreter: plain loops with strict bounds. It defines what a graph means and is the oracle of every test.

It evaluates any graph, as written or after any pass: nested reductions, boundary views, recurrences and scatters included.
Elements are evaluated on demand, so that the order of statements never matters. Arithmetic is in float64 (or complex128, for
the complex-step derivative); a value is converted to its tensor's dtype when it is stored.
"""

from graphc.interpret.machine import Machine, interpret
from graphc.interpret.sizes import size_value

__all__ = ["Machine", "interpret", "size_value"]
