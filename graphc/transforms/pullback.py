"""Derivatives in two halves: a program that keeps what its derivative reads, and the derivative from there.

`graphc.grad` and `graphc.jvp` make one program of both. Where the caller runs them apart, as PyTorch and JAX do, the second half begins at
tensors that the first one has computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from graphc.calls.signature import sizing
from graphc.frontend.collect import Program, collect, export, given
from graphc.frontend.expression import IndexVariable
from graphc.frontend.functions import meaning_of
from graphc.frontend.tensor import Tensor
from graphc.ir.dtypes import promote
from graphc.ir.expr import Call, Index, Reduce, undistributing
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph, fresh_name, reads
from graphc.ir.reductions import REDUCTIONS
from graphc.ir.tree import contains, postorder
from graphc.passes.extension import below
from graphc.passes.prune import prune
from graphc.transforms.gradient import grad
from graphc.transforms.products import jvp

__all__ = ["Pullback", "alike", "arguments", "fingerprint", "gradients", "inputs_of", "pullback", "pushforward", "values_read"]


@dataclass(frozen=True)
class Pullback:
    """The gradient of a program, or its forward mode, as a program of its own.

    Attributes:
        gradients: of ``Σ seed·output`` with respect to each tensor that was asked for; in forward mode, changes of the outputs.
        inputs: what they are computed from, all of them inputs.
        sources: where the value of each input comes from: an input of the first half, one of `saved`, or a seed.
        only_sizes: which inputs are there for their shapes alone.
        saved: tensors of the first half that the gradients read, as they are there.
        seeds: the adjoints of the outputs; in forward mode, changes of inputs.
    """

    gradients: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    sources: tuple[Tensor, ...]
    only_sizes: frozenset[Tensor]
    saved: tuple[Tensor, ...]
    seeds: tuple[Tensor, ...]


@undistributing
def pullback(outputs: Sequence[Tensor], wrt: Sequence[Tensor], seeded: Sequence[int], known: Collection[Tensor] | None = None) -> Pullback:
    """Derive a gradient that begins at values of the first half.

    Args:
        outputs: of the first half.
        wrt: float inputs of it.
        seeded: positions of the outputs whose adjoints are given; those of all others are zero.
        known: the tensors whose values may be read; by default whatever is worth keeping.
    """
    seeds = alike([outputs[k] for k in seeded], "seed", [*outputs, *given(outputs), *wrt])
    return _divided(gradients([outputs[k] for k in seeded], wrt, seeds), outputs, seeds, known)


@undistributing
def pushforward(outputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Pullback:
    """Derive forward mode that begins at values of the first half.

    Args:
        outputs: of the first half, float tensors.
        changed: float inputs of it.

    Returns:
        The changes of the outputs in the place of gradients, the changes of the inputs in the place of seeds.
    """
    changes = alike(changed, "change", [*outputs, *given(outputs), *changed])
    return _divided(jvp(list(outputs), dict(zip(changed, changes, strict=True))), outputs, changes)


def _divided(
    derivatives: Sequence[Tensor], outputs: Sequence[Tensor], seeds: Sequence[Tensor], known: Collection[Tensor] | None = None
) -> Pullback:
    """The half that depends on the seeds."""
    whole = collect([*derivatives, *outputs], "grad")
    names = [whole.name_of(d) for d in derivatives]
    graph = replace(whole.graph, outputs=tuple(dict.fromkeys(names)))
    there = _found(whole, known) if known is not None else None
    kept = _kept(graph, {whole.name_of(s) for s in seeds}, {whole.name_of(t) for t in outputs}, there)
    return _cut(whole, graph, names, kept, seeds, there or {})


def fingerprint(outputs: Sequence[Tensor], inputs: Sequence[Tensor], text: str = "") -> str:
    """A short text that differs for programs that differ, and for texts that do.

    Hand-written gradients, and what the user's functions and reductions mean, belong to the program.
    """
    graph = collect([*outputs, *inputs], "compile", rules=True).graph
    parts = [text, repr(graph.outputs), repr(graph.rules)]
    for tensor in graph.tensors:
        parts.append(repr((tensor.name, tensor.dtype, tensor.kind, tensor.every, [sp.srepr(extent) for extent in tensor.shape])))
    for s in graph.statements:
        ranges = [part for r in s.ranges for part in (r.index, r.lower, r.upper)]
        parts.append(repr((s.target, s.op, [sp.srepr(part) for part in (*s.subscripts, s.value, *ranges, *s.domain)])))
    parts += _meanings([s.value for s in graph.statements])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _meanings(values: Sequence[sp.Basic]) -> list[str]:
    """What the user's functions and reductions in expressions mean, and those in their definitions."""
    found: dict[tuple[type, str], list[sp.Expr]] = {}
    waiting: list[sp.Basic] = list(values)
    while waiting:
        for part in postorder(waiting.pop()):
            if isinstance(part, Call | Reduce):
                key = type(part), part.function if isinstance(part, Call) else part.op
                if key not in found:
                    found[key] = _rules(part)
                    waiting += found[key]
    return sorted(repr((kind.__name__, name, [sp.srepr(rule) for rule in rules])) for (kind, name), rules in found.items() if rules)


def _rules(node: Call | Reduce) -> list[sp.Expr]:
    """The definition of the user's function or reduction that a node calls, and its derivatives where they are given."""
    if isinstance(node, Call):
        return meaning_of(node.function) if node.function in FUNCTIONS and FUNCTIONS[node.function].kind == "user" else []
    if node.op not in REDUCTIONS:
        return []
    row, arguments = REDUCTIONS[node.op], sp.symbols("argument:2")
    return [row.identity, row.combine(*arguments), *([row.slope(*arguments)] if row.slope else [])]


def arguments(outputs: Sequence[Tensor], names: Sequence[str]) -> tuple[Tensor, ...]:
    """The input tensors behind the names of a program's arguments."""
    handles = collect([*outputs, *given(outputs)], "compile").handles
    return tuple(handles[name] for name in names)


def inputs_of(tensors: Sequence[Tensor]) -> frozenset[Tensor]:
    """The inputs that tensors are computed from."""
    return frozenset(t for t in collect(tensors, "grad").handles.values() if not t.statements) if tensors else frozenset()


def alike(tensors: Sequence[Tensor], suffix: str, others: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """New inputs with the shapes and types of tensors, with names of their own that none of the others has."""
    taken = {t.name for t in others}
    made = []
    for tensor in tensors:
        made.append(Tensor(fresh_name(f"{tensor.name}.{suffix}", taken), tensor.shape, tensor.dtype))
        taken.add(made[-1].name)
    return tuple(made)


def values_read(tensors: Sequence[Tensor]) -> frozenset[str]:
    """Names of the tensors whose values, not only their extents, are read for others."""
    return frozenset(name for s in collect(tensors, "grad").graph.statements for name in reads(s))


def gradients(outputs: Sequence[Tensor], wrt: Sequence[Tensor], seeds: Sequence[Tensor]) -> list[Tensor]:
    """Of ``Σ seed·output`` with respect to float inputs."""
    if len(outputs) == 1:
        found: list[Tensor] = grad(outputs[0], list(wrt), seed=seeds[0])
        return found
    total = Tensor("total", (), promote(*(t.dtype for t in outputs)))
    for output, seed in zip(outputs, seeds, strict=True):
        indices = tuple(IndexVariable(Index(f"i{d}")) for d in range(len(output.shape)))
        total[indices and ()] += output[indices] * seed[indices]
    made: list[Tensor] = grad(total, list(wrt))
    return made


def _found(whole: Program, known: Collection[Tensor]) -> dict[str, Tensor]:
    """The known tensors by the names that they, or tensors with the same definition, have in a program."""
    defined = {_definition(t): t for t in known}
    pairs = ((name, t if t in known else defined.get(_definition(t))) for name, t in whole.handles.items() if t.statements)
    return {name: t for name, t in pairs if t is not None}


def _definition(tensor: Tensor) -> tuple[object, ...]:
    """Equal for tensors that are equal: what they read is named by keys, which are unique."""
    return tensor.dtype, tuple((s.subscripts, s.op, s.value, s.declared, s.domain) for s in tensor.statements)


def _kept(graph: Graph, seeds: Collection[str], outputs: Collection[str], known: Collection[str] | None) -> set[str]:
    """Names of the defined tensors at which the gradients begin.

    Everything that does not depend on a seed belongs to the first half. Of that, what is read is kept, except what one loop over
    arguments and outputs gives again.
    """
    definitions, backward = graph.definitions(), below(graph, seeds)
    kept: set[str] = set()
    seen: set[str] = set()
    waiting = list(graph.outputs)
    while waiting:
        name = waiting.pop()
        if name in seen or not definitions[name]:
            continue
        seen.add(name)
        if name not in backward and _worth(graph, name, outputs) and (known is None or name in known):
            kept.add(name)
        else:
            waiting += [source for s in definitions[name] for source in reads(s)]
    return kept


def _worth(graph: Graph, name: str, outputs: Collection[str]) -> bool:
    """Whether a tensor of the first half is kept rather than computed again."""
    definitions = graph.definitions()
    if graph.tensor(name).every:
        return False
    if name in outputs or len(definitions[name]) != 1:
        return True
    (only,) = definitions[name]
    simple = only.op == "=" and not contains(only.value, Reduce)
    return not (simple and all(not definitions[source] or (source in outputs and source != name) for source in reads(only)))


def _cut(
    whole: Program, graph: Graph, names: Sequence[str], kept: Collection[str], seeds: Sequence[Tensor], known: Mapping[str, Tensor]
) -> Pullback:
    """The gradients with the tensors in `kept` as inputs."""
    cut = prune(replace(
        graph, tensors=tuple(replace(t, kind="input") if t.name in kept else t for t in graph.tensors),
        statements=tuple(s for s in graph.statements if s.target not in kept),
    ))
    others = [t for t in graph.tensors if t.is_input and t.name not in cut.by_name()]
    arguments = [t.name for t in cut.tensors if t.is_input] + sizing(cut, others)
    handles = {name: whole.handles[name] for name in arguments if name not in kept}
    made = export(replace(cut, tensors=(*cut.tensors, *(t for t in others if t.name in arguments))), handles, [*names, *arguments])
    gradients, inputs = made[: len(names)], made[len(names) :]
    collect(gradients, "grad")
    sources = tuple(known.get(name, whole.handles[name]) for name in arguments)
    saved = tuple(source for name, source in zip(arguments, sources, strict=True) if name in kept)
    read = {name for s in cut.statements for name in reads(s)}
    only_sizes = frozenset(source for name, source in zip(arguments, sources, strict=True) if name not in read)
    return Pullback(tuple(gradients), tuple(inputs), sources, only_sizes, saved, tuple(seeds))

