"""From text to running code: the module cache and the team of threads that runs a program."""
