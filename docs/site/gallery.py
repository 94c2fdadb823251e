"""The pages of the gallery, one per example: ``python docs/site/gallery.py [beginnings of names]`` writes them to docs/gallery.

Each example runs as a user runs it. Beside its text, what it prints and its pictures, a page shows the program whose gradient the example
checks: its picture, its loops forward and backward, their derivation, and the text that is generated for a CPU and for a GPU.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))
PAGES = ROOT / "docs" / "gallery"
CHAPTERS = {
    "0": "Graphs and loops", "1": "Linear models and losses", "2": "Features", "34": "Multi-layer perceptrons", "5": "Optimisation",
    "67": "Convolutional networks", "89": "Beyond the lectures",
}
"""By the first digits of the examples' numbers."""
_NAMES = ("ALiBi", "AlexNet", "DeepDream", "DTW", "HDRnet", "HOG", "LeNet", "LSTM", "MLP", "ReLU", "SGD", "SVM", "VGG", "XOR")
WORDS = {name.lower(): name for name in _NAMES}
LINES = 400
"""Of a generated text that a page shows."""


def page(script: Path, text: str, printed: str, pictures: Sequence[str], parts: dict[str, str]) -> str:
    """The page as Markdown; `parts` are what `described` has found, by name."""
    about = re.sub(r"Writes pictures/.*?(?=\n\n|\Z)", "", text.split('"""')[1], flags=re.DOTALL).strip()
    lines = [f"# {_title(script.stem)}", "", about, "",
             "## The notation", "", _block(text.split('"""', 2)[2].strip(), "python"), "",
             "## What it prints", "", _block(printed, "text"), ""]
    lines += [line for name in pictures for line in (*_picture(f"pictures/{script.stem}/{name}"), "")]
    if "loops" in parts:
        lines += ["## Forward and backward", "", "The program whose gradient the example checks, and the gradient:", "",
                  _block(parts["loops"], "text"), ""]
        if "picture" in parts:
            lines += ["```{raw} html", f":file: pictures/{script.stem}/program.html", "```", ""]
        lines += [":::{dropdown} How each line of the gradient was derived", _block(parts["derivation"], "text"), ":::", "",
                  "## What is generated", "", "::::{tab-set}", ":::{tab-item} CPU", _block(parts["cpu"], "python"), ":::",
                  ":::{tab-item} CUDA", _block(parts["cuda"], "python"), ":::", "::::", ""]
    return "\n".join(lines)


def _title(name: str) -> str:
    """
    >>> _title("33_relu_by_hand")
    'ReLU by hand'
    """
    words = " ".join(WORDS.get(word, word) for word in name[3:].split("_"))
    return words[0].upper() + words[1:]


def _block(text: str, language: str) -> str:
    """A fenced block of not too many lines."""
    lines = text.rstrip().splitlines()
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"{'# ' if language == 'python' else ''}… and {len(lines) - LINES} more lines"]
    return "\n".join((f"````{language}", *lines, "````"))


def _picture(path: str) -> Iterator[str]:
    yield '<div class="picture">' if path.endswith(".svg") else '<div class="picture fit">'
    yield ""
    yield f"![{Path(path).stem.replace('_', ' ')}]({path})"
    yield ""
    yield "</div>"


def described(run: Callable[[], None]) -> dict[str, str]:
    """Run an example, and describe the first program whose gradient it checks."""
    import graphc as gc

    checked: list[tuple[Any, Any]] = []
    check = gc.check_grad

    def recording(loss: Any, wrt: Any, *arguments: Any, **arrays: Any) -> Any:
        checked.append((loss, wrt))
        return check(loss, wrt, *arguments, **arrays)

    gc.check_grad = recording
    try:
        run()
    finally:
        gc.check_grad = check
    if not checked:
        return {}
    loss, wrt = checked[0]
    wrt = list(wrt) if isinstance(wrt, list | tuple) else [wrt]
    gradients = gc.grad(loss, wrt)
    outputs = [loss, *gradients]
    parts = {"loops": str(gc.loops(*outputs)), "derivation": str(gc.explain(*gradients)), "cpu": gc.compile(outputs).source,
             "cuda": _for_cuda(outputs)}
    if parts["loops"].count("\n") < 80:
        parts["picture"] = gc.draw(*outputs).svg()
    return parts


def _for_cuda(outputs: list[Any]) -> str:
    """What would run on a GPU, without one."""
    import graphc as gc
    from graphc.compile import optimised
    from graphc.targets import cuda_module

    return str(cuda_module(optimised(gc.compile(outputs, target="interpret").graph), "")[1].text)


def make(script: Path) -> None:
    """Run one example in this process, and write its page."""
    folder = PAGES / "pictures" / script.stem
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    printed = io.StringIO()
    sys.path.insert(0, str(script.parent))
    with contextlib.redirect_stdout(printed):
        parts = described(lambda: runpy.run_path(str(script), run_name="__main__"))
    for path in sorted((folder / "pictures").glob("*")):
        path.rename(folder / path.name)
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    pictures = sorted(path.name for path in folder.iterdir() if path.suffix in (".png", ".svg"))
    pictures = [name for name in pictures if not (name.endswith(".png") and name.replace(".png", ".svg") in pictures)]
    if "picture" in parts:
        (folder / "program.html").write_text(f'<div class="picture">{parts["picture"]}</div>', encoding="utf-8")
    text = script.read_text(encoding="utf-8")
    (PAGES / f"{script.stem}.md").write_text(page(script, text, printed.getvalue(), pictures, parts), encoding="utf-8")


def index() -> str:
    """The page of all pages: a card with a picture for each."""
    lines = ["# Gallery", "", "What stands on these pages was printed and drawn by the examples when the site was built.", ""]
    written = {script.stem: PAGES / f"{script.stem}.md" for script in SCRIPTS if (PAGES / f"{script.stem}.md").exists()}
    for digits, chapter in CHAPTERS.items():
        cards = [line for name, path in written.items() if name[0] in digits for line in _card(name, path.read_text(encoding="utf-8"))]
        if cards:
            lines += [f"## {chapter}", "", "::::{grid} 1 2 3 3", ":gutter: 2", ":class-container: gallery", "", *cards, "::::", ""]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *written, "```", ""])


def _card(name: str, text: str) -> Iterator[str]:
    yield f":::{{grid-item-card}} {text.splitlines()[0].removeprefix('# ')}"
    yield f":link: {name}"
    yield ":link-type: doc"
    yield from (f":img-top: {shown}" for shown in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)[:1])
    yield ":::"


def main(arguments: Sequence[str]) -> int:
    """Write the pages whose examples have changed since (or all that are named), two at a time; the number of failures."""
    if len(arguments) == 2 and arguments[0] == "--one":
        make(Path(arguments[1]))
        return 0
    chosen = [s for s in SCRIPTS if s.stem.startswith(tuple(arguments) or "") and (arguments or _is_old(s))]
    environment = {**os.environ, "MPLBACKEND": "Agg"}

    def run(script: Path) -> str:
        command = [sys.executable, __file__, "--one", str(script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
        return f"{script.name}\n{done.stderr}" if done.returncode else ""

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        failures = [text for text in tqdm(pool.map(run, chosen), total=len(chosen), desc="gallery", unit="page", disable=None) if text]
    print("\n".join(failures), file=sys.stderr, end="")
    PAGES.mkdir(exist_ok=True)
    (PAGES / "index.md").write_text(index(), encoding="utf-8")
    return len(failures)


def _is_old(script: Path) -> bool:
    written = PAGES / f"{script.stem}.md"
    return not written.exists() or written.stat().st_mtime < max(script.stat().st_mtime, Path(__file__).stat().st_mtime)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
