"""What notebooks show, and that those of the docs run and show what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def doubled() -> gc.Tensor:
    i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
    y[i] = gc.where(x[i] < 1, 2 * x[i], 0)
    return y


def shown(value: Any) -> dict[str, str]:
    """What IPython would send to the browser."""
    formatters = pytest.importorskip("IPython.core.formatters")
    bundle, _ = formatters.DisplayFormatter().format(value)
    return bundle


def test_a_tensor_is_shown_as_loops_beside_their_picture() -> None:
    bundle = shown(doubled())
    assert bundle["text/plain"] == "for i:  y[i] = where(x[i] < 1, 2*x[i], 0)"
    assert "where(x[i] &lt; 1, 2*x[i], 0)</pre>" in bundle["text/html"] and "<svg" in bundle["text/html"]
    assert bundle["image/svg+xml"].startswith("<svg")


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_program_is_shown_with_its_source(target: str) -> None:
    program = gc.compile(doubled(), target=target)
    bundle = shown(program)
    assert bundle["text/plain"] == repr(program)
    assert "<details><summary>source" in bundle["text/html"]
    assert "x[i]" in re.sub("<[^>]+>", "", bundle["text/html"])


def test_tables_are_shown_as_tables() -> None:
    y = doubled()
    profile = gc.compile(y).profile(x=np.ones(10, "float32"))
    for value, row in ((gc.summary(y), "y"), (profile, "map_0"), (gc.History({"loss": [2.0, 1.0]}), "loss")):
        assert f'<td style="text-align:left">{row}</td>' in shown(value)["text/html"]
        assert shown(value)["text/plain"] == str(value)


def test_a_training_is_shown_as_its_history() -> None:
    made = gc.Fit({"w": np.zeros(1000)}, gc.History({"loss": [2.0, 1.0]}))
    assert shown(made)["text/html"] == made.history._repr_html_()


def printed(notebook: Any) -> list[str]:
    """The texts of a notebook that are equal on every machine: what it prints, without pictures and tables."""
    texts = [output["text"] for cell in notebook.cells for output in cell.get("outputs", ()) if output["output_type"] == "stream"]
    return [re.sub(r"\d{5,}\.py", "cell.py", text) for text in texts]  # the name of a cell is up to the kernel


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """It runs in a kernel of its own; ``--update-golden`` keeps what it shows."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    before = printed(notebook)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    if request.config.getoption("--update-golden"):
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        nbformat.write(notebook, path)
        before = printed(notebook)
    assert printed(notebook) == before
