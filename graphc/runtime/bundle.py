"""Parts of several modules as one text: what a saved program needs of the kernels and the runtime.

A part is a top-level definition. Those that the program reaches are kept, in the order of their modules, with their comments; roots
keep their names, and of others that two modules define the later one is renamed. A module that is reached at all keeps its
registrations with Numba.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from graphc.errors import InternalError

__all__ = ["Bundle", "bundle", "rename"]

_REGISTRATIONS = {"infer_global", "lower_builtin", "overload", "overload_attribute", "register_model"}
"""Decorators that change Numba: what they decorate is needed though nobody names it."""

_DOCTEST = re.compile(r"\n?(?:^[ \t]*>>> .*\n(?:^[ \t]*(?!\"\"\")\S.*\n)*\n?)+", re.MULTILINE)
_HOME = "graphc."


@dataclass(frozen=True, slots=True)
class Bundle:
    """The text of a bundle.

    Attributes:
        imports: lines, sorted.
        sections: (module, its docstring, its definitions), each after those it needs.
        names: everything that is defined or imported at top level.
        renamed: the new name of (module, name) where it is not the old one.
    """

    imports: tuple[str, ...]
    sections: tuple[tuple[str, str, str], ...]
    names: frozenset[str]
    renamed: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class _Part:
    """One top-level statement: its text with the comments before it, the names it defines and those it mentions."""

    text: str
    defines: tuple[str, ...]
    mentions: frozenset[str]
    always: bool


@dataclass(frozen=True, slots=True)
class _Module:
    """A module in parts; an import maps the name it gives to (module, name), or (module, "") for a whole module."""

    name: str
    docstring: str
    parts: tuple[_Part, ...]
    imports: Mapping[str, tuple[str, str]]


def bundle(roots: Iterable[tuple[str, str]], taken: Iterable[str]) -> Bundle:
    """The definitions that the roots, pairs (module, name), reach.

    Args:
        taken: names that nothing else may have at top level.
    """
    kept: dict[str, set[_Part]] = {}
    external: dict[str, tuple[str, str]] = {}

    def reach(module: _Module, part: _Part) -> None:
        if module.name not in kept:
            kept[module.name] = set()
            for other in module.parts:
                if other.always:
                    reach(module, other)
        if part in kept[module.name]:
            return
        kept[module.name].add(part)
        for name in sorted(part.mentions):
            demand(module, name)

    def demand(module: _Module, name: str) -> None:
        source, original = module.imports.get(name, ("", ""))
        if source.startswith(_HOME):
            demand(_module(source), original)
        elif source:
            external.setdefault(name, (source, original))
        for part in module.parts:
            if name in part.defines:
                reach(module, part)

    roots = tuple(roots)
    for source, name in roots:
        if not any(name in part.defines for part in _module(source).parts):
            raise InternalError(f"{source} does not define {name}.")
        demand(_module(source), name)
    order = _ordered(kept)
    renamed, names = _names(order, kept, {*taken, *external}, roots)
    sections = tuple((source, _local(_module(source).docstring), _text(_module(source), kept[source], renamed)) for source in order)
    return Bundle(tuple(_import_lines(external)), sections, frozenset(names), renamed)


# ----------------------------------------------------------------------------------------------------------------- reading


@cache
def _module(name: str) -> _Module:
    """A module of this package, taken apart."""
    source = inspect.getsource(importlib.import_module(name))
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    imports: dict[str, tuple[str, str]] = {}
    parts: list[_Part] = []
    end, described = 0, False
    for node in tree.body:
        text = "".join(lines[end : node.end_lineno])
        end = node.end_lineno or end
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= dict(_imported(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if described:
                parts[-1] = replace(parts[-1], text=parts[-1].text + text)
        elif (alias := _alias(node, imports)) is not None:
            imports |= alias
        elif "__all__" not in _defined(node):
            parts.append(_Part(text, _defined(node), _mentioned(node), _always(node)))
        described = bool(parts) and parts[-1].text.endswith(text)
    return _Module(name, ast.get_docstring(tree) or "", tuple(parts), imports)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str]]]:
    for item in node.names:
        if isinstance(node, ast.ImportFrom):
            yield item.asname or item.name, (node.module or "", item.name)
        else:
            yield item.asname or item.name.partition(".")[0], (item.name, "")


def _alias(node: ast.stmt, imports: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]] | None:
    """``name: Any = module.name`` is an import."""
    match node:
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Attribute(value=ast.Name(id=owner), attr=attribute)) if owner in imports:
            source, member = imports[owner]
            return {name: (f"{source}.{member}" if member else source, attribute)} if name == attribute else None
    return None


def _defined(node: ast.stmt) -> tuple[str, ...]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Assign(targets=targets):
            return tuple(part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            return (name,)
    return ()


def _mentioned(node: ast.stmt) -> frozenset[str]:
    return frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def _always(node: ast.stmt) -> bool:
    """Whether a statement does something besides defining a name."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        called = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
        return any((d.attr if isinstance(d, ast.Attribute) else getattr(d, "id", "")) in _REGISTRATIONS for d in called)
    return not isinstance(node, ast.Assign | ast.AnnAssign)


# ----------------------------------------------------------------------------------------------------------------- writing


def _ordered(kept: Mapping[str, set[_Part]]) -> list[str]:
    """The modules, each after those that it imports from."""
    order: list[str] = []

    def append(source: str) -> None:
        if source not in order:
            mentioned = {name for part in kept[source] for name in part.mentions}
            for name, (where, _) in _module(source).imports.items():
                if name in mentioned and where in kept:
                    append(where)
            order.append(source)

    for source in kept:
        append(source)
    return order


def _names(
    order: Iterable[str], kept: Mapping[str, set[_Part]], taken: set[str], roots: Collection[tuple[str, str]]
) -> tuple[dict[tuple[str, str], str], set[str]]:
    """New names for definitions whose name is taken, and all names. The text that the bundle is for calls the roots by theirs."""
    renamed: dict[tuple[str, str], str] = {}
    if clash := sorted({name for _, name in roots} & taken):
        raise InternalError(f"A bundle cannot define {', '.join(clash)}, which is taken.")
    taken |= {name for _, name in roots}
    for source in order:
        for part in _module(source).parts:
            if part in kept[source]:
                for name in part.defines:
                    final = name
                    while final in taken and (source, name) not in roots:
                        stem = source.rpartition(".")[2]
                        final = f"{final}_{stem.upper() if name.isupper() else stem}"
                    taken.add(final)
                    if final != name:
                        renamed[source, name] = final
    return renamed, taken


def _text(module: _Module, kept: set[_Part], renamed: Mapping[tuple[str, str], str]) -> str:
    changes = {name: new for (source, name), new in renamed.items() if source == module.name}
    for name, (source, original) in module.imports.items():
        if source.startswith(_HOME) and renamed.get((source, original), original) != name:
            changes[name] = renamed.get((source, original), original)
    text = "".join(part.text for part in module.parts if part in kept)
    text = re.sub(r"\n{4,}", "\n\n\n", text).strip("\n") + "\n"
    return rename(_local(_DOCTEST.sub("", text)), changes)


def _local(text: str) -> str:
    """References to other modules as references to sections."""
    text = re.sub(r"graphc\.kernels\.contraction\.load", "load", text)
    return re.sub(r"graphc\.(?:kernels\.|runtime\.)?([a-z]+)(?![a-z_])", r"\1", text)


def rename(text: str, changes: Mapping[str, str]) -> str:
    """Replace names, but not attributes that are spelt alike."""
    if not changes:
        return text
    lines = text.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for k, token in reversed(list(enumerate(tokens))):
        if token.type == tokenize.NAME and token.string in changes and (k == 0 or tokens[k - 1].string != "."):
            row, column = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:column] + changes[token.string] + line[column + len(token.string) :]
    return "".join(lines)


def _import_lines(external: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """``import`` and ``from … import`` lines."""
    whole = {name: source for name, (source, member) in external.items() if not member}
    yield from sorted(f"import {source}" + f" as {name}" * (name != source.partition(".")[0]) for name, source in whole.items())
    members: dict[str, list[str]] = {}
    for name, (source, member) in external.items():
        if member:
            members.setdefault(source, []).append(member if member == name else f"{member} as {name}")
    for source in sorted(members):
        yield f"from {source} import {', '.join(sorted(members[source]))}"
