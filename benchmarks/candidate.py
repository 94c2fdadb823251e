"""graphc's programs for an external harness, whose module ``benchlib`` this file needs; `peers.py` measures without one."""

from benchlib import register
from comparison.programs import PROGRAMS

for name, program in PROGRAMS.items():
    register(name, "graphc")(lambda inputs, case, peer, program=program: program(inputs, case.name).timed(inputs))
