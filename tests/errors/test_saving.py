"""Programs that cannot be saved, or not so."""

from __future__ import annotations

import graphc as gc

i = gc.index("i")
x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
y[i] = 2 * x[i]


def test_saved_under_no_name_of_a_module(rejects, tmp_path):
    with rejects(gc.ArgumentError, call=True):
        gc.compile(y).save(tmp_path / "y.cpp")


def test_saved_under_the_name_of_a_module_that_it_needs(rejects, tmp_path):
    with rejects(gc.ArgumentError, call=True):
        gc.compile(y).save(tmp_path / "numpy.py")
    assert not list(tmp_path.iterdir())


def test_saved_nowhere(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.compile(y).save(None)


def test_saved_for_another_target(rejects, tmp_path):
    with rejects(gc.CompileError, call=True):
        gc.compile(y, target="interpret").save(tmp_path / "y.c")


def test_no_c_compiler(rejects, tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with rejects(gc.TargetError, call=True):
        gc.compile(y).save(tmp_path / "y.so")
    assert not list(tmp_path.iterdir())


def test_no_such_c_compiler(rejects, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "mycc")
    with rejects(gc.TargetError, call=True):
        gc.compile(y).save(tmp_path / "y.so")


def test_c_compiler_that_fails(rejects, tmp_path, monkeypatch):
    compiler = tmp_path / "mycc"
    compiler.write_text("#!/bin/sh\necho 'y.c:1: error: no' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", "mycc")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with rejects(gc.CompileError, call=True):
        gc.compile(y).save(tmp_path / "y.so")
    assert not (tmp_path / "y.so").exists() and not (tmp_path / "y.h").exists()


def test_save_where_no_folder_is(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.compile(y).save("there is none/net.c")
