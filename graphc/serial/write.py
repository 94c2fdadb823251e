"""`gc.to_json`: tensors and everything that they depend on, as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.collect import collect, given, with_rules
from graphc.frontend.functions import meaning_of
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.ir.expr import Call, Reduce
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph
from graphc.ir.reductions import REDUCTIONS
from graphc.ir.show import Order
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor as TensorInfo
from graphc.ir.tree import postorder
from graphc.requests import check_tensors, listed, refusal
from graphc.serial.nodes import Json, Writer, shared_parts
from graphc.structure import flatten

__all__ = ["FORMAT", "VERSION", "to_json"]

FORMAT, VERSION = "graphc program", 1


def to_json(tensors: Any) -> str:
    """Tensors, with all that they depend on, as a JSON text that holds data only: no code, no values of inputs, no file names.

    Args:
        tensors: a tensor, or lists, tuples and dicts of them; keys of dicts are texts, integers or tensors (as `updates` are).

    Returns:
        The text, the same for the same program. `graphc.from_json` makes the program of it; docs/json.md says what is in it.

    Raises:
        NotationError: there is no tensor, or something else than tensors; or a parameter's initialiser is a Python function.
        GraphcError: the definitions do not make a program.

    >>> import graphc as gc
    >>> i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
    >>> y[i] = 2*gc.sin(x[i])
    >>> print(gc.to_json(y))
    {
    "format": "graphc program",
    "version": 1,
    "tensors": {
     "x": {"shape": [["size", "N"]], "dtype": "float32"},
     "y": {"shape": [["size", "N"]], "dtype": "float32", "statements": [
      {"at": ["i"], "op": "=", "value": ["*", 2, ["call", "sin", ["read", "x", "i"]]], "loops": [["i", 0, ["size", "N"]]]}]}
    },
    "outputs": "y"
    }
    """
    text = f"to_json({listed(tensors)})"
    outputs, _ = flatten(tensors)
    keys = [key for key in _keys(tensors) if isinstance(key, Tensor)]
    check_tensors(outputs, "to_json", text)
    if not outputs:
        raise refusal(NotationError, "gc.to_json got no tensor.", text, listed(tensors), "pass the results of the program.")
    wanted = [*outputs, *keys]
    wanted += [t for t in given(wanted) if t not in wanted]
    graph = collect(wanted, "to_json", rules=True).graph
    handles = dict(zip(with_rules(wanted), graph.tensors, strict=True))
    names = {tensor: info.name for tensor, info in handles.items()}
    used = [part for s in graph.statements for part in postorder(s.value)]
    arguments = {names[t]: [names[g] for g in given([t])] for t in outputs}
    written = {
        "functions": _functions(used), "reductions": _reductions(used),
        "tensors": {info.name: _tensor(tensor, info, graph, arguments, text) for tensor, info in handles.items()},
        "gradients": [
            {"of": rule.tensor, "with_respect_to": rule.wrt, "adjoint": rule.adjoint, "is": rule.result} for rule in graph.rules
        ],
        "outputs": _structure(tensors, names, text),
    }
    return _laid_out(written)


def _keys(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value, *(key for part in value.values() for key in _keys(part))]
    return [key for part in value for key in _keys(part)] if isinstance(value, list | tuple) else []


def _structure(value: Any, names: Mapping[Tensor, str], text: str) -> Json:
    if isinstance(value, Tensor):
        return names[value]
    if not isinstance(value, Mapping):
        return ["tuple" if isinstance(value, tuple) else "list", *(_structure(part, names, text) for part in value)]
    for key in value:
        if isinstance(key, bool) or not isinstance(key, str | int | Tensor):
            raise refusal(NotationError, f"The key {shown(key)} cannot be written as JSON.", text, shown(key),
                          "use texts, integers or tensors as keys.")
    return ["dict", *([["tensor", names[key]] if isinstance(key, Tensor) else key, _structure(part, names, text)]
                      for key, part in value.items())]


def _tensor(tensor: Tensor, info: TensorInfo, graph: Graph, arguments: Mapping[str, Sequence[str]], text: str) -> Json:
    statements = graph.definitions()[info.name]
    writer = Writer(Order())
    init: Any = info.init if info.kind == "parameter" else None
    if callable(init):
        raise refusal(NotationError, f"The initialiser of {info.name} is a Python function, and JSON holds no code.", text, text,
                      'give a name ("he_normal"), a number or ("uniform", bound) as init=.')
    found = {
        "name": tensor.name if tensor.name != info.name else None,
        "shape": [writer.write(extent) for extent in info.shape],
        "dtype": info.dtype,
        "kind": info.kind if info.kind in ("parameter", "adjoint") else None,
        "init": list(init) if isinstance(init, tuple) else init.item() if isinstance(init, np.generic) else init,
        "group": tensor.group or None,
        "checkpoint": info.every or None,
        "arguments": arguments.get(info.name) or None,
        "refused": [{"sizes": [writer.write(e) for e in c.violation], "what": c.message, "fix": c.fix} for c in tensor.required] or None,
        "statements": [_statement(s) for s in statements] or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _statement(statement: Statement) -> Json:
    parts = shared_parts([statement.value])
    writer = Writer(Order.of(statement), parts)
    found: dict[str, Json] = {}
    if parts:
        found["parts"] = [writer.write(part, whole=True) for part in parts]
    found |= {"at": [writer.write(s) for s in statement.subscripts], "op": statement.op, "value": writer.write(statement.value)}
    found["loops"] = [[str(r.index), writer.write(r.lower), writer.write(r.upper)] for r in statement.ranges]
    if statement.domain:
        found["where"] = [writer.write(d) for d in statement.domain]
    if tuple(writer.reads) != statement.order:
        plain = Writer(Order())
        found["reads"] = [plain.write(access) for access in statement.order]
    return found


# --------------------------------------------------------------------------------------------------- what the user has defined


def _rule(value: sp.Expr) -> Json:
    """An expression of arguments."""
    parts = shared_parts([value])
    writer = Writer(Order(), parts)
    written = writer.write(value)
    return {"parts": [writer.write(part, whole=True) for part in parts], "value": written} if parts else written


def _functions(used: Iterable[sp.Basic]) -> list[Json]:
    """The user's functions, each behind those that it is made of."""
    found: dict[str, Json] = {}
    waiting = [*dict.fromkeys(part.function for part in used if isinstance(part, Call))]
    waiting += [name for r in _user_reductions(used) for rule in _rules_of(r) for name in _calls(rule)]

    def visit(name: str) -> None:
        if name in found or name not in FUNCTIONS or FUNCTIONS[name].kind != "user":
            return
        value, *derivatives = meaning_of(name)
        for rule in (value, *derivatives):
            for inner in _calls(rule):
                visit(inner)
        found[name] = {"name": name, "arguments": FUNCTIONS[name].arity, "value": _rule(value)}
        if derivatives:
            found[name]["derivatives"] = [_rule(d) for d in derivatives]

    for name in waiting:
        visit(name)
    return list(found.values())


def _calls(rule: sp.Basic) -> list[str]:
    return [part.function for part in postorder(rule) if isinstance(part, Call)]


def _user_reductions(used: Iterable[sp.Basic]) -> list[str]:
    return [*dict.fromkeys(part.op for part in used if isinstance(part, Reduce) and part.op in REDUCTIONS)]


def _rules_of(name: str) -> list[sp.Expr]:
    arguments = sp.symbols("argument:2")
    made = REDUCTIONS[name]
    return [made.combine(*arguments), *([made.slope(*arguments)] if made.slope else [])]


def _reductions(used: Iterable[sp.Basic]) -> list[Json]:
    found = []
    for name in _user_reductions(used):
        combine, *slope = map(_rule, _rules_of(name))
        row = {"name": name, "identity": _rule(REDUCTIONS[name].identity), "combine": combine}
        found.append(row | ({"derivative": slope[0]} if slope else {}))
    return found


# --------------------------------------------------------------------------------------------------------------------- layout


def _laid_out(program: Mapping[str, Json]) -> str:
    """A line for each tensor and each statement."""
    lines = [f'"format": {_flat(FORMAT)}', f'"version": {VERSION}']
    for key in ("functions", "reductions"):
        if program[key]:
            lines.append(f'"{key}": [\n ' + ",\n ".join(map(_flat, program[key])) + "\n]")
    tensors = [f" {_flat(name)}: {_tensor_lines(tensor)}" for name, tensor in program["tensors"].items()]
    lines.append('"tensors": {\n' + ",\n".join(tensors) + "\n}")
    if program["gradients"]:
        lines.append('"gradients": [\n ' + ",\n ".join(map(_flat, program["gradients"])) + "\n]")
    lines.append(f'"outputs": {_flat(program["outputs"])}')
    return "{\n" + ",\n".join(lines) + "\n}"


def _tensor_lines(tensor: Mapping[str, Json]) -> str:
    flat = _flat({key: value for key, value in tensor.items() if key != "statements"})
    if "statements" not in tensor:
        return flat
    return flat[:-1] + ', "statements": [\n  ' + ",\n  ".join(map(_flat, tensor["statements"])) + "]}"


def _flat(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
