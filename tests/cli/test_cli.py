"""The command line, in this process."""

import subprocess
import sys

import numpy as np
import pytest

from graphc.cli.main import main

FILE = """
import graphc as gc

N, D, M = gc.dims("N D M")
b, i, j = gc.indices("b i j")
X, A, c = gc.tensor("X", N, D), gc.tensor("A", D, M), gc.tensor("c", M)
U, L = gc.tensors("U L")
U[b, i] += X[b, j] * A[j, i]
L[()] += (U[b, i] + c[i]) ** 2 / N
both = [L, U]
i0, table, kind = gc.index("i0"), gc.parameter("table", 5, D), gc.tensor("kind", N, dtype="int64")
R = gc.tensor("R")
R[()] = gc.sum(table[kind[b], j] * X[b, j], over=(b, j))
step = gc.compile(R, updates=gc.optim.sgd(R, 0.1), threads=1)
number = 3

def model():
    return {"loss": L}

def broken():
    return [][0]

if __name__ == "__main__":
    raise SystemExit("the file was run as a program")
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def graphc(net, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["graphc", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        text = capsys.readouterr()
        return end.value.code or 0, text.out, text.err
    return run


def test_loops(graphc):
    code, out, _ = graphc("loops", "net.py:L")
    assert code == 0
    assert out.splitlines() == ["for b,i,j:  U[b,i] += X[b,j]*A[j,i]", "for b,i:  L[()] += (U[b,i] + c[i])**2/N"]
    assert graphc("loops", "net.py:both")[1] == graphc("loops", "net.py:model")[1] == out
    assert r"\sum_{j} X_{b,j} A_{j,i}" in graphc("loops", "net.py:U", "--latex")[1]


def test_grad(graphc):
    code, out, _ = graphc("grad", "net.py:L", "--wrt", "A, c")
    assert code == 0
    assert "A.grad[j,i] +=" in out
    assert "c.grad[i] +=" in out
    assert "X.grad" not in out
    assert "X.grad[b,j] +=" in graphc("grad", "net.py:L")[1]


def test_gradient_of_what_is_no_scalar(graphc):
    code, _, err = graphc("grad", "net.py:U")
    assert code == 2
    assert err.splitlines() == [
        "DifferentiationError: U(N, M) is not a scalar, so it has no gradient.", "", "    for b,i,j:  U[b,i] += X[b,j]*A[j,i]",
        "  at net.py, line 8", "    U[b, i] += X[b, j] * A[j, i]", "",
        "  How to fix: name a scalar, or define a sum in the file: L[()] += U[i,j].",
    ]
    assert "at net.py, line 6" in graphc("grad", "net.py:X")[2]


def test_no_line_of_the_command_itself(graphc):
    err = graphc("grad", "net.py:R", "--wrt", "kind")[2]
    assert "integer tensors are never differentiated" in err and "  at " not in err


def test_explain(graphc):
    code, out, _ = graphc("explain", "net.py:L", "--wrt", "A")
    assert code == 0
    assert "    factor       ∂U[b,i]/∂A[j,i] = X[b,j]" in out.splitlines()
    assert "    from         U[b,i] += X[b,j]*A[j,i]   (net.py, line 8)" in out.splitlines()
    assert r"\frac{\partial U_{b,i}}{\partial A_{j,i}} = X_{b,j}" in graphc("explain", "net.py:L", "--wrt", "A", "--latex")[1]
    assert graphc("explain", "net.py:U")[1] == "for b,i,j:  U[b,i] += X[b,j]*A[j,i]   (net.py, line 8)\n"


@pytest.mark.parametrize("name", ["net.svg", "net.png", "net.dot"])
def test_draw(graphc, net, name):
    code, out, _ = graphc("draw", "net.py:L", "--wrt", "A,c", "-o", name)
    assert code == 0
    assert out.startswith(f"{name} (")
    assert (net / name).stat().st_size > 1000


def test_draw_names_the_picture_after_the_tensor(graphc, net):
    assert graphc("draw", "net.py:U")[0] == 0
    assert (net / "U.svg").read_text().startswith("<svg")


def test_summary(graphc):
    code, out, _ = graphc("summary", "net.py:U", "--size", "N=2", "--size", "D=3", "--size", "M=5", "--parameters", "A")
    assert code == 0
    assert out.splitlines()[-1].split() == ["total", "15", "30"]


def test_compile(graphc):
    code, out, _ = graphc("compile", "net.py:L", "--target", "interpret")
    assert code == 0
    assert "U[b,i] += X[b,j]*A[j,i]" in out


def test_profile(graphc, net):
    code, out, _ = graphc("profile", "net.py:step", "--size", "N=8", "--size", "D=4")
    assert code == 0
    assert "GFLOP/s" in out and "one call" in out and "R[()]" in out
    np.savez(net / "data.npz", kind=np.full(8, 4))
    assert graphc("profile", "net.py:step", "--size", "N=8", "--size", "D=4", "--arrays", "data.npz")[0] == 0
    np.savez(net / "data.npz", kind=np.full(8, 5))
    code, _, err = graphc("profile", "net.py:step", "--size", "N=8", "--size", "D=4", "--arrays", "data.npz")
    assert code == 2 and "kind[0] is 5" in err


def test_draw_by_time(graphc, net):
    assert graphc("draw", "net.py:R", "--grad", "--by", "bytes", "--size", "N=8", "--size", "D=4", "-o", "net.svg")[0] == 0
    assert "share of bytes" in (net / "net.svg").read_text()


def test_compile_with_gradient(graphc, net):
    code, out, _ = graphc("compile", "net.py:L", "--wrt", "A", "--threads", "1", "-o", "made.py")
    assert (code, out) == (0, "made.py\n") and "def made(" in (net / "made.py").read_text()
    assert "A.grad" in graphc("compile", "net.py:L", "--grad", "--target", "interpret")[1]


def test_version(graphc):
    assert graphc("--version")[:2] == (0, "graphc 0.1.0\n")


def test_cache(graphc, net):
    code, out, _ = graphc("cache", "info")
    assert code == 0
    assert str(net / "cache") in out
    assert "0 programs" in out
    assert graphc("cache", "clear")[1].startswith("0 programs removed")


def test_info(graphc):
    code, out, _ = graphc("info")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "graphc", "Python", "packages", "targets", "threads", "SIMD", "GPU", "renderer", "cache",
    ]


@pytest.mark.parametrize(("arguments", "message"), [
    (("loops", "net.py"), "does not say which tensor"),
    (("loops", "other.py:L"), "There is no file other.py."),
    (("loops", "net.py:Q"), "net.py has no variable Q."),
    (("loops", "net.py:number"), "gives a int, not a tensor"),
    (("loops", "net.py:broken"), "IndexError: list index out of range"),
    (("grad", "net.py:L", "--wrt", "Q"), "L does not depend on a tensor Q."),
    (("grad", "net.py:U"), "U(N, M) is not a scalar"),
    (("summary", "net.py:L", "--size", "N"), "'N' is not a size."),
    (("summary", "net.py:L", "--size", "K=3"), "no size K"),
    (("profile", "net.py:L", "--size", "N=3"), "The size D is not given."),
    (("profile", "net.py:step", "--size", "N=3", "--size", "D=2", "--size", "K=2"), "The program has no size K."),
    (("profile", "net.py:step", "--grad", "--size", "N=3"), "step of net.py is compiled already"),
    (("profile", "net.py:step", "--arrays", "net.py"), "net.py holds no arrays"),
    (("loops", "net.py:step"), "step of net.py gives a Program, not a tensor."),
    (("draw", "net.py:L", "-o", "net.jpg"), "cannot be saved as 'net.jpg'"),
    (("compile", "net.py:L", "--target", "abacus"), "abacus"),
])
def test_errors_have_no_traceback_and_code_2(graphc, arguments, message):
    code, out, err = graphc(*arguments)
    assert code == 2
    assert message in err
    assert "How to fix" in err
    assert "Traceback" not in err + out


def test_a_fault_in_the_file_names_its_line(graphc, net):
    (net / "bad.py").write_text("import graphc as gc\nx = gc.tensor('x', 3)\nx[-1]\n")
    code, _, err = graphc("loops", "bad.py:x")
    assert code == 2
    assert "bad.py, line 3" in err
    (net / "worse.py").write_text("1\n2\nundefined\n")
    assert "worse.py, line 3" in graphc("loops", "worse.py:x")[2]


def test_help_is_worth_reading(graphc):
    out = graphc("--help")[1]
    for word in ("draw", "loops", "grad", "summary", "compile", "profile", "info", "cache", "FILE.py:NAME", "Example"):
        assert word in out
    assert "--wrt" in graphc("draw", "--help")[1]
    assert "Example: graphc profile net.py:loss" in graphc("profile", "--help")[1]


def test_the_module_is_an_entry_point(net):
    done = subprocess.run([sys.executable, "-m", "graphc.cli", "loops", "net.py:U"],
                          cwd=net, capture_output=True, text=True, check=True)
    assert done.stdout == "for b,i,j:  U[b,i] += X[b,j]*A[j,i]\n"
