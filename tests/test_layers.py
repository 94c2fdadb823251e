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
    "structure": set(),
    "tables": set(),
    "requests": {"errors", "ir", "frontend", "structure"},
    "calls": {*BASE, "frontend", "interpret", "arithmetic", "emit", "kernels", "runtime", "structure", "tables"},
    "targets": {*BASE, "passes", "schedule", "emit", "interpret", "runtime", "calls"},
    "export": {"errors", "ir", "emit", "kernels", "runtime", "calls", "targets"},
    "program": {"errors", "ir", "interpret", "runtime", "calls", "export"},
    "compile": {*BASE, "frontend", "passes", "interpret", "runtime", "calls", "targets", "program"},
    "reduction": {"errors", "ir", "frontend", "compile"},
    "transforms": {*BASE, "frontend", "passes", "calls", "compile", "requests", "structure"},
    "views": {*BASE, "frontend", "passes", "picture", "requests", "calls", "program", "compile", "tables", "transforms"},
    "checks": {*BASE, "frontend", "exact", "interpret", "arithmetic", "calls", "compile", "structure", "transforms"},
    "serial": {*BASE, "frontend", "passes", "reduction", "requests", "structure"},
    "distributed": {"", *BASE, "frontend", "passes", "interpret", "calls", "program", "compile", "views"},
    "nn": {"", "requests"},
    "optim": {"", "requests"},
    "interop": {"", "calls", "transforms", "requests", "structure"},
    "training": {"", "calls", "tables"},
    "cli": {*BASE, "frontend", "interpret", "kernels", "runtime", "picture", "calls", "program", "compile", "transforms", "views"},
    "": {*BASE, "frontend", "calls", "program", "compile", "reduction", "transforms", "views", "checks", "serial", "distributed", "nn",
         "optim", "interop", "training"},
}
"""What a layer sees beside itself, from the data to what people touch; "" is the public API, "requests" the form of refusals.
A row sees only rows above it; what is written on the public API sees that as well."""

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


def test_order() -> None:
    """A row names only rows above it, and perhaps the public API."""
    order = [*LAYERS]
    assert not [(own, seen) for own in LAYERS for seen in LAYERS[own] - {""} if order.index(seen) >= order.index(own)]


@pytest.mark.parametrize("module", ALL)
def test_layer(module: str) -> None:
    own = layer(module)
    assert own in LAYERS, f"{module} has no place in the table of tests/test_layers.py"
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
