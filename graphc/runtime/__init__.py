"""From text to running code: the module cache and the team of threads that runs a program."""

import graphc.runtime.forked  # noqa: F401  it has to know of forks from now on
