"""C files as shared objects, by the compiler of the system."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path

from graphc.errors import CompileError, TargetError

__all__ = ["FLAGS", "shared_object"]

FLAGS = ("-std=c99", "-O3", "-march=native", "-fno-math-errno", "-ffp-contract=fast", "-shared", "-fPIC")
"""Of the C compiler, with -fopenmp where it has that."""


def shared_object(target: Path, source: str, header: str) -> None:
    """Compile a program for this machine, by the compiler of the environment variable CC, which may have options behind it.

    Args:
        target: the shared object; its source and header are called like it.
        source, header: of the program.

    Raises:
        TargetError: there is no C compiler.
        CompileError: it fails.
    """
    wanted, *options = shlex.split(os.environ.get("CC", "")) or [""]
    compiler = next((found for name in ([wanted] if wanted else ["cc", "gcc", "clang"]) if (found := shutil.which(name))), None)
    if compiler is None:
        missing = f"The C compiler {wanted!r} of the environment variable CC" if wanted else "A C compiler (cc, gcc or clang)"
        raise TargetError(f"{missing} was not found, which a shared object needs.",
                          fix='install one ("apt install gcc", "dnf install gcc", "xcode-select --install" on a Mac) or say where it is in '
                              'the environment variable CC; or save "net.c", which needs none.')
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        (Path(folder) / f"{target.stem}.c").write_text(source, encoding="utf-8")
        (Path(folder) / f"{target.stem}.h").write_text(header, encoding="utf-8")
        for parallel in (["-fopenmp"], []):
            command = [compiler, *options, *FLAGS, *parallel, f"{target.stem}.c", "-o", "made.so", "-lm"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode == 0:
                os.replace(Path(folder) / "made.so", target)
                return
    raise CompileError(f"The C compiler {Path(compiler).name} fails:\n\n{textwrap.indent(done.stderr.strip()[-2000:], '    ')}",
                       fix="use another C compiler, by the environment variable CC; gcc 12 is known to work.")
