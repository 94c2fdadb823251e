"""Generated text becomes a module once, on disk and in a process, and its machine code is found by the next process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.runtime import cache

TEXT = """
from numba import njit
from graphc.kernels.team import launch, share
from graphc.kernels.view import view

@njit(nogil=True)
def program(me, team, sync, X, n):
    X = view(X)
    first, last = share(me, team, n)
    for i in range(first, last):
        X[i] += 1

@njit(nogil=True, cache=True)
def start(sync, X, n):
    launch(program, sync, (X, n))
"""

RUN = f"""
import json
import numpy as np
from graphc.runtime import cache
from graphc.runtime.pool import Team
module = cache.load({TEXT!r}, "add")
X = np.zeros(5)
Team(2).run(module.start, X, 5)
stats = module.start.stats
print(json.dumps([X.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), module.__file__]))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start_process(here: Path, **environment: str) -> "subprocess.Popen[str]":
    variables = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    variables |= {"GRAPHC_CACHE_DIR": str(here), **environment}
    return subprocess.Popen([sys.executable, "-c", RUN], env=variables, stdout=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> tuple[list[float], int, int, str]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    values, hits, misses, path = json.loads(output)
    return values, hits, misses, path


def test_the_second_process_finds_the_machine_code(here: Path) -> None:
    values, hits, misses, path = finish(start_process(here))
    assert (values, hits, misses) == ([1.0] * 5, 0, 1)
    assert Path(path).parent == here
    assert finish(start_process(here)) == ([1.0] * 5, 1, 0, path)
    # Checked code is other code, and stored apart.
    checked = finish(start_process(here, GRAPHC_CHECK="" if cache.MODE == "checked" else "1"))
    assert checked[:3] == ([1.0] * 5, 0, 1) and checked[3] != path


def test_processes_may_load_the_same_text_at_once(here: Path) -> None:
    processes = [start_process(here) for _ in range(4)]
    paths = set()
    for process in processes:
        values, _, _, path = finish(process)
        assert values == [1.0] * 5
        paths.add(path)
    assert len(paths) == 1
    assert finish(start_process(here))[1:3] == (1, 0)
    assert [path.suffix for path in here.iterdir() if path.is_file()] == [".py"]


def test_the_same_text_is_the_same_module(here: Path) -> None:
    first = cache.load("x = 1\n", "one")
    assert first.x == 1 and first is cache.load("x = 1\n", "one")
    assert first is sys.modules[first.__name__]
    assert cache.load("x = 2\n", "one") is not first
    assert first.__file__ is not None and Path(first.__file__).read_text() == "x = 1\n"


def test_a_written_file_is_left_alone_and_a_damaged_one_replaced(here: Path) -> None:
    path = Path(str(cache.load("x = 3\n").__file__))
    before = path.stat()
    del sys.modules[f"graphc_generated.{path.stem}"]
    assert cache.load("x = 3\n").x == 3
    assert path.stat().st_ino == before.st_ino and path.stat().st_mtime_ns == before.st_mtime_ns
    path.write_text("x = ")
    del sys.modules[f"graphc_generated.{path.stem}"]
    assert cache.load("x = 3\n").x == 3


def test_a_module_that_fails_is_not_kept(here: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.load("1 / 0\n", "broken")
    with pytest.raises(ValueError, match="stem"):
        cache.load("x = 1\n", "../evil")


def test_the_key_covers_text_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {cache.key("x = 1\n"), cache.key("x = 2\n")}
    monkeypatch.setenv("GRAPHC_SIMD", "8")
    keys.add(cache.key("x = 1\n"))
    assert len(keys) == 3
    assert cache.key("x = 1\n") in keys


def test_info_counts_and_clear_removes(here: Path) -> None:
    assert cache.info() == cache.CacheInfo(here, 0, 0, 0)
    finish(start_process(here))
    cache.load("x = 4\n")
    (here / "notes.txt").write_text("not ours")
    found = cache.info()
    assert found.modules == 2 and found.files >= 5 and found.bytes > 1000
    assert cache.clear() == 2
    assert [path.name for path in here.rglob("*") if path.is_file()] == ["notes.txt"]
    assert cache.info().modules == 0 and cache.clear() == 0


def test_an_unwritable_directory_is_replaced_with_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot write to .*file.cache") as warned:
        substitute = cache.directory()
        assert cache.load("x = 5\n").x == 5
        assert cache.directory() == substitute
    assert len(warned) == 1
    assert substitute.is_dir() and not substitute.is_relative_to(tmp_path)


def test_without_a_wish_the_directory_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAPHC_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    assert cache.directory() == tmp_path / "graphc"
