"""Who imports whom: the packages against the table of the house, by parsing the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "graphc"

BASE = {"errors", "ir", "analysis"}
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "ir": {"errors"},
    "analysis": {"errors", "ir"},
    "frontend": BASE,
    "passes": BASE,
    "arithmetic": {"errors", "ir"},
    "interpret": BASE | {"arithmetic"},
    "exact": BASE,
    "schedule": BASE,
    "picture": BASE,
    "emit": {"errors", "ir"},
    "kernels": set(),
    "runtime": {"errors", "kernels"},
    "nn": {"", "requests"},
    "optim": {"", "requests"},
    "interop": {"", "pullback", "requests", "structure"},
    "training": {"", "tables"},
    "serial": BASE | {"frontend", "passes", "reduction", "requests", "structure"},
}
"""What a layer sees beside itself; "" is the public API, "requests" the form of refusals.
Members of one row of the house never see each other."""

DOORS = {
    "",
    "agreement",
    "arrays",
    "batching",
    "binding",
    "c_compiler",
    "c_parts",
    "check_grad",
    "checkpoint",
    "cli",
    "compile",
    "custom_grad",
    "derivation",
    "distribute",
    "draw",
    "exchange",
    "explain",
    "export",
    "foreign",
    "export_c",
    "gradient",
    "layout",
    "memory",
    "named",
    "nonfinite",
    "notebook",
    "on_device",
    "profile",
    "program",
    "pullback",
    "reduction",
    "requests",
    "signature",
    "structure",
    "summary",
    "tables",
    "targets",
    "text",
    "transforms",
    "trial",
    "verify",
}
"""Single files at the top, which join the layers; each sees every layer."""

OUTSIDE: dict[str, set[str]] = {
    "errors": set(),
    "ir": {"sympy", "numpy"},
    "analysis": {"sympy"},
    "frontend": {"sympy", "numpy"},
    "passes": {"sympy"},
    "arithmetic": {"sympy", "numpy"},
    "interpret": {"sympy", "numpy"},
    "exact": {"sympy", "mpmath"},
    "schedule": {"sympy"},
    "emit": {"sympy"},
    "kernels": {"numpy", "numba", "llvmlite"},
    "runtime": {"numpy", "numba", "llvmlite", "platformdirs"},
}
"""What a layer needs from other distributions."""


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(("graphc", *(p for p in parts if p != "__init__"))), path


def layer(module: str) -> str:
    """The first part of the name behind ``graphc``."""
    return (*module.split("."), "")[1]


def imports(path: Path, package: str, top: bool = False) -> Iterator[str]:
    """Names of imported modules; with `top` only those imported when the module is loaded, outside of ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{package}: relative imports hide the layer"
            if node.module == "graphc":
                yield from (
                    f"graphc.{a.name}" if (PACKAGE / a.name).exists() or (PACKAGE / f"{a.name}.py").exists() else "graphc"
                    for a in node.names
                )
            elif node.module:
                yield node.module


ALL = dict(modules())


@pytest.mark.parametrize("module", ALL)
def test_layer(module: str) -> None:
    own = layer(module)
    assert own in LAYERS or own in DOORS, f"{module} has no place in the table of tests/test_layers.py"
    if own in DOORS:
        return
    for name in imports(ALL[module], module):
        if name.split(".")[0] == "graphc":
            assert layer(name) in LAYERS[own] | {own}, f"{module} imports {name}"


@pytest.mark.parametrize("module", [m for m in ALL if layer(m) in OUTSIDE])
def test_other_distributions(module: str) -> None:
    foreign = {name.split(".")[0] for name in imports(ALL[module], module)} - set(sys.stdlib_module_names) - {"graphc"}
    assert foreign <= OUTSIDE[layer(module)], f"{module} imports {foreign - OUTSIDE[layer(module)]}"


def test_no_module_needs_itself() -> None:
    """Modules form no cycle while they are loaded."""
    needs = {m: [n for n in imports(path, m, top=True) if n in ALL and n != "graphc"] for m, path in ALL.items() if m != "graphc"}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module not in done:
            for other in needs.get(module, ()):
                visit(other, (*path, module))
            done.add(module)

    for module in needs:
        visit(module, ())


def test_nothing_sees_the_tests() -> None:
    assert not [m for m, path in ALL.items() if any(n.split(".")[0] == "tests" for n in imports(path, m))]
