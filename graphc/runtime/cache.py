"""The module cache on disk: generated text becomes a file that is imported, so that Numba can cache its machine code.

A module is stored under a key that covers everything its machine code depends on; Numba keeps that code in the
``__pycache__`` beside it.  Files are never changed once written, so any number of processes may share a directory.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import tempfile
import threading
import types
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
import numpy as np
import platformdirs

from graphc import kernels
from graphc.kernels.view import MODE

_PACKAGE = "graphc_generated"
"""Prefix of the names in ``sys.modules``."""

_NOTE = "choice_"
"""Prefix of the files of `remember`."""

_loading = threading.RLock()


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What the cache directory holds: generated modules, files of machine code and others, and their size."""

    directory: Path
    modules: int
    files: int
    bytes: int


def directory() -> Path:
    """Where modules are stored: ``GRAPHC_CACHE_DIR``, or the user's cache directory; a temporary one if unwritable."""
    wish = os.environ.get("GRAPHC_CACHE_DIR") or platformdirs.user_cache_dir("graphc")
    return _writable(Path(wish).expanduser().absolute())


def load(text: str, stem: str = "program") -> types.ModuleType:
    """Import a generated module; the same text gives the same module.

    ``stem`` begins its file name, for people who read the directory.  Raises what executing the text raises.
    """
    if not stem.isidentifier():
        raise ValueError(f"the stem of a module is a Python name, not {stem!r}")
    name = f"{stem}_{key(text)[:16]}"
    qualified = f"{_PACKAGE}.{name}"
    with _loading:
        module = sys.modules.get(qualified)
        return _import(_store(directory() / f"{name}.py", text), qualified) if module is None else module


def kept(module: types.ModuleType, function: str) -> bool:
    """Whether there is machine code on disk for a function of a generated module, whatever its arguments."""
    here = Path(getattr(module, function).stats.cache_path)
    return any(here.glob(f"{Path(str(module.__file__)).stem}.{function}-*.nbi"))


def key(text: str) -> str:
    """The sha256 of all that machine code made from this text depends on, in hexadecimal digits."""
    return hashlib.sha256("\0".join((text, os.environ.get("GRAPHC_SIMD", ""), *_surroundings())).encode()).hexdigest()


def remember(subject: str, text: str) -> None:
    """Keep a text about a subject for other processes: as long as the machine and the versions are the same."""
    _store(_note(subject), text)


def remembered(subject: str) -> str | None:
    """What was kept about a subject, if anything."""
    content = _content(_note(subject))
    return None if content is None else content.decode(errors="replace")


def _note(subject: str) -> Path:
    return directory() / f"{_NOTE}{key(subject)[:16]}.json"


def info() -> CacheInfo:
    """Count what the directory holds."""
    here = directory()
    sizes = [size for path in here.rglob("*") if (size := _size(path)) is not None]
    return CacheInfo(here, len(_modules(here)), len(sizes), sum(sizes))


def clear() -> int:
    """Remove all stored modules with their machine code, and what is remembered; returns the number of modules.

    Modules that are loaded, in this or another process, go on working.
    """
    here = directory()
    modules = _modules(here)
    for path in modules:
        for made in (here / "__pycache__").glob(f"{path.stem}.*"):
            made.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    for path in here.glob(f"{_NOTE}*.json"):
        path.unlink(missing_ok=True)
    return len(modules)


def _import(path: Path, name: str) -> types.ModuleType:
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(specification)
    # Numba unpickles cached functions by the name of their module: it must be found from the start.
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _store(path: Path, text: str) -> Path:
    """Write the file in one step unless it is there; a file that was damaged is replaced."""
    content = text.encode()
    if _content(path) != content:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    return path


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _size(path: Path) -> int | None:
    """The size of a file; None for a directory or a file that another process has just removed."""
    try:
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        return None


_MODULE_FILE = re.compile(r"\w+_[0-9a-f]{16}\.py")


def _modules(here: Path) -> list[Path]:
    return sorted(path for path in here.glob("*.py") if _MODULE_FILE.fullmatch(path.name))


@cache
def _writable(wish: Path) -> Path:
    try:
        wish.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wish):
            return wish
    except OSError as error:
        substitute = Path(tempfile.mkdtemp(prefix="graphc-"))
        warnings.warn(f"cannot write to {wish} ({error.strerror}): compiled programs go to {substitute}", stacklevel=3)
        return substitute


@cache
def _surroundings() -> tuple[str, ...]:
    """What machine code depends on besides its module's text; the same for the life of a process."""
    try:
        version = importlib.metadata.version("graphc")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    return (
        version,
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        sys.version,
        llvmlite.binding.get_process_triple(),
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
        os.environ.get("NUMBA_CPU_NAME", ""),
        os.environ.get("NUMBA_CPU_FEATURES", ""),
        MODE,
        *_kernel_digests(),
    )


def _kernel_digests() -> list[str]:
    """Generated code contains code of the kernels, and Numba does not notice when those change."""
    sources = sorted(path for folder in kernels.__path__ for path in Path(folder).rglob("*.py"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
