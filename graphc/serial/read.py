"""`gc.from_json`: a text becomes tensors if it is a program, and an error if it is not; nothing in it is executed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Any

import sympy as sp

from graphc.errors import ArgumentError
from graphc.frontend.collect import collect, dependents, reachable
from graphc.frontend.declare import parameter
from graphc.frontend.expression import Expr, as_number, merged
from graphc.frontend.functions import as_condition, function
from graphc.frontend.location import here
from graphc.frontend.recorded import Recorded, check_statement
from graphc.frontend.tensor import HandWritten, Tensor
from graphc.ir.dtypes import is_float
from graphc.ir.expr import INFINITY, NAN, Access, BoundaryAccess, Index, undistributing
from graphc.ir.graph import Check
from graphc.ir.tree import indices_of, substitute
from graphc.passes.align import align_recurrences
from graphc.reduction import reduction
from graphc.serial.checks import Place, fields, listed_items, name_of_index, refuse, shown, text, whole
from graphc.serial.expressions import Reader
from graphc.serial.nodes import Json
from graphc.serial.write import FORMAT, VERSION

__all__ = ["from_json"]


@undistributing
def from_json(program: str) -> Any:
    """The tensors that `graphc.to_json` has written, in the structure that it was given.

    Args:
        program: the text.

    Returns:
        New tensors: they can be printed, drawn, differentiated and compiled as those that were written.

    Raises:
        ArgumentError: the text is no JSON, of another version, or has another form than docs/json.md allows; the message says where.
        GraphcError: what it describes is no program: a read outside of a tensor, two assignments to one element, a cycle, ….

    >>> import graphc as gc
    >>> i, x, y = gc.index("i"), gc.tensor("x", gc.dim("N")), gc.tensor("y")
    >>> y[i] = 2*gc.sin(x[i])
    >>> print(gc.loops(gc.from_json(gc.to_json(y))))
    for i:  y[i] = 2*sin(x[i])
    """
    data = fields(_parsed(program), ("format", "version"), ("functions", "reductions", "tensors", "gradients", "outputs"), ())
    if data["format"] != FORMAT:
        refuse(f"the format is {shown(data['format'])}, not {FORMAT!r}", ("format",))
    if data["version"] != VERSION or isinstance(data["version"], bool):
        refuse(f"the version is {shown(data['version'])}, and this graphc reads version {VERSION}", ("version",),
               "write the text again with gc.to_json of this graphc, or install the graphc that wrote it.")
    fields(data, ("tensors", "outputs"), data, ())
    loader = _Loader()
    loader.define(data.get("functions", []), data.get("reductions", []))
    loader.declare(data["tensors"])
    for name, entry in data["tensors"].items():
        for k, statement in enumerate(listed_items(entry.get("statements", []), ("tensors", name, "statements"))):
            loader.state(name, statement, ("tensors", name, "statements", k))
    loader.attach(data.get("gradients", []))
    outputs = loader.structure(data["outputs"], ("outputs",))
    loader.check()
    return outputs


def _parsed(program: Any) -> Any:
    if not isinstance(program, str):
        raise ArgumentError(f"gc.from_json takes a text, not {type(program).__name__}.", fix="read the file first: Path(…).read_text().")
    try:
        return json.loads(program, object_pairs_hook=_unambiguous, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        refuse("lists are nested too deeply", (), 'write parts of an expression under "parts".')
    except ValueError as error:
        refuse(f"the text is no JSON ({error})", ())


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} is there twice")
        found[key] = value
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    if math.isinf(float(digits)):
        raise ValueError(f"{digits} is too large")
    return float(digits)


@dataclass
class _Loader:
    """What has been read so far: names in the text → what they are here."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    reductions: dict[str, str] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list)

    # -------------------------------------------------------------------------------------------- functions and reductions
    def define(self, functions: Json, reductions: Json) -> None:
        """The user's functions and reductions, under other names where these are taken."""
        for k, entry in enumerate(listed_items(functions, ("functions",))):
            place: Place = ("functions", k)
            fields(entry, ("name", "arguments", "value"), ("derivatives",), place)
            name = self._new(entry, self.functions, place)
            arity = whole(entry["arguments"], (*place, "arguments"), least=1)
            if arity > 100:
                refuse("a function has more than 100 arguments", (*place, "arguments"))
            value = self._rule(entry["value"], arity, (*place, "value"))
            slopes = listed_items(entry.get("derivatives", []), (*place, "derivatives"))
            rules = [self._rule(s, arity + 1, (*place, "derivatives", n)) for n, s in enumerate(slopes)]
            if rules and len(rules) != arity:
                refuse(f"{arity} derivatives are needed", (*place, "derivatives"))
            made = function(name, _python(value, arity), tuple(_python(r, arity + 1) for r in rules) if rules else None)
            self.functions[name] = made.__name__
        for k, entry in enumerate(listed_items(reductions, ("reductions",))):
            place = ("reductions", k)
            fields(entry, ("name", "identity", "combine"), ("derivative",), place)
            name = self._new(entry, self.reductions, place)
            combine = self._rule(entry["combine"], 2, (*place, "combine"))
            slope = self._rule(entry["derivative"], 2, (*place, "derivative")) if "derivative" in entry else None
            identity = _number(Reader({}, {}, {}, 1).constant(entry["identity"], (*place, "identity")))
            made = reduction(name, _python(combine, 2), identity, None if slope is None else _python(slope, 2))
            self.reductions[name] = made.__name__

    def _new(self, entry: Mapping[str, Json], known: Mapping[str, str], place: Place) -> str:
        name = text(entry["name"], (*place, "name"))
        if name in known:
            refuse(f"{shown(name)} is defined twice", (*place, "name"))
        return name

    def _rule(self, value: Json, arguments: int, place: Place) -> sp.Expr:
        reader = Reader({}, self.functions, {}, arguments)
        if isinstance(value, dict):
            fields(value, ("parts", "value"), (), place)
            self._parts(reader, value["parts"], (*place, "parts"))
            value, place = value["value"], (*place, "value")
        return reader.number(value, place)

    def _parts(self, reader: Reader, parts: Json, place: Place) -> None:
        for k, part in enumerate(listed_items(parts, place)):
            reader.parts.append(reader.read(part, (*place, k)))

    # ---------------------------------------------------------------------------------------------------------------- tensors
    def declare(self, tensors: Json) -> None:
        """All tensors, without their statements."""
        for name, entry in fields(tensors, (), tensors if isinstance(tensors, dict) else (), ("tensors",)).items():
            self.tensors[name] = self._declared(name, entry, ("tensors", name))
        for name, entry in tensors.items():
            place = ("tensors", name, "arguments")
            arguments = [self.tensor(t, (*place, k)) for k, t in enumerate(listed_items(entry.get("arguments", []), place))]
            if any(tensors[t].get("statements") for t in entry.get("arguments", [])):
                refuse("an argument is defined by statements", place)
            self.tensors[name].given = tuple(arguments)

    def _declared(self, name: str, entry: Json, place: Place) -> Tensor:
        fields(entry, ("shape", "dtype"), ("name", "kind", "init", "group", "checkpoint", "arguments", "refused", "statements"), place)
        extents = [
            Reader({}, {}, {}).position(e, (*place, "shape", k), indices=False)
            for k, e in enumerate(listed_items(entry["shape"], (*place, "shape")))
        ]
        shape = [int(e) if e.is_Integer else Expr(e) for e in extents]
        kind, dtype = entry.get("kind", "input"), text(entry["dtype"], (*place, "dtype"))
        called = text(entry.get("name", name), (*place, "name"))
        if kind not in ("input", "parameter", "adjoint"):
            refuse(f"{shown(kind)} is no kind of tensor", (*place, "kind"))
        if kind != "input" and entry.get("statements"):
            refuse(f"a tensor of kind {kind} has statements", place)
        if ("init" in entry) != (kind == "parameter"):
            refuse("parameters, and no other tensors, have an initialiser", place)
        if kind == "parameter":
            init = tuple(entry["init"]) if isinstance(entry["init"], list) else entry["init"]
            made = parameter(called, tuple(shape), init=init, dtype=dtype)
        else:
            made = Tensor(called, tuple(shape), dtype, kind)
        made.group = text(entry.get("group", ""), (*place, "group"))
        made.every = whole(entry.get("checkpoint", 0), (*place, "checkpoint"))
        if made.every and not entry.get("statements"):
            refuse("an input has no steps to be kept", (*place, "checkpoint"))
        made.required = tuple(
            _required(c, (*place, "refused", k)) for k, c in enumerate(listed_items(entry.get("refused", []), (*place, "refused"))))
        return made

    def tensor(self, name: Json, place: Place) -> Tensor:
        if text(name, place) not in self.tensors:
            refuse(f"there is no tensor {shown(name)}", place)
        return self.tensors[name]

    # ------------------------------------------------------------------------------------------------------------- statements
    def state(self, name: str, entry: Json, place: Place) -> None:
        """One more statement of a tensor."""
        fields(entry, ("at", "op", "value", "loops"), ("parts", "where", "reads"), place)
        tensor, reader = self.tensors[name], Reader(self.tensors, self.functions, self.reductions)
        self._parts(reader, entry.get("parts", []), (*place, "parts"))
        at = listed_items(entry["at"], (*place, "at"), tensor.ndim or 0, tensor.ndim)
        subscripts = tuple(reader.subscript(s, (*place, "at", k)) for k, s in enumerate(at))
        op = self._operation(reader, entry["op"], tensor, (*place, "op"))
        value = reader.read(entry["value"], (*place, "value"))
        value = sp.Integer(int(bool(value))) if value in (sp.true, sp.false) else value
        value = value if op in ("=", "+=") else as_condition(value) if op in ("any", "all") else as_number(value)
        loops = [self._loop(reader, v, (*place, "loops", k)) for k, v in enumerate(listed_items(entry["loops"], (*place, "loops")))]
        where = listed_items(entry.get("where", []), (*place, "where"))
        domain = tuple(reader.position(v, (*place, "where", k)) for k, v in enumerate(where))
        reads = self._reads(reader, entry, place)
        statement = Recorded(
            tensor.key, subscripts, op, value, tuple(loops), reads, here(), domain, None, tuple(index for index, _, _ in loops),
        )
        _check_indices(statement, frozenset(reader.bound), place)
        _check_reduction(statement, frozenset(reader.bound), place)
        check_statement(statement, frozenset(reader.bound), warn=False)
        tensor.statements.append(statement)

    def _operation(self, reader: Reader, value: Json, tensor: Tensor, place: Place) -> str:
        """=, +=, or the reduction of the only statement of a tensor."""
        op = text(value, place)
        if op in ("sum", "mean"):
            refuse(f"{op} is no operation of a statement", place,
                   'write "+=" for a sum.' if op == "sum" else 'write "=" and the value ["reduce", "mean", …].')
        op = op if op in ("=", "+=") else reader.reduction(op, place)
        if any({s.op, op} - {"=", "+="} for s in tensor.statements):
            refuse("a tensor that is a reduction has another statement", place, 'write "=" and the value ["reduce", …].')
        return op

    def _loop(self, reader: Reader, loop: Json, place: Place) -> tuple[Index, sp.Expr, sp.Expr]:
        name, *limits = listed_items(loop, place, 3, 3)
        low, high = (reader.position(v, (*place, k), indices=False) for k, v in enumerate(limits, 1))
        return Index(name_of_index(name, (*place, 0))), low, high

    def _reads(self, reader: Reader, entry: Mapping[str, Json], place: Place) -> tuple[tuple[Access | BoundaryAccess, Tensor], ...]:
        """The reads in the order in which the statement is shown with, each with its tensor."""
        found = dict.fromkeys(reader.reads)
        if "reads" in entry:
            other = Reader(self.tensors, self.functions, self.reductions)
            first = [other.read(v, (*place, "reads", k)) for k, v in enumerate(listed_items(entry["reads"], (*place, "reads")))]
            if not all(isinstance(node, Access | BoundaryAccess) for node in first):
                refuse("something else than a read is listed", (*place, "reads"))
            found = dict.fromkeys((*first, *found))
        owners = {tensor.key: tensor for tensor in self.tensors.values()}
        return tuple((access, owners[access.tensor]) for access in found)

    # ----------------------------------------------------------------------------------------------------- gradients, outputs
    def attach(self, gradients: Json) -> None:
        """Hand-written gradients."""
        for k, entry in enumerate(listed_items(gradients, ("gradients",))):
            place: Place = ("gradients", k)
            keys = ("of", "with_respect_to", "adjoint", "is")
            fields(entry, keys, (), place)
            tensor, wrt, adjoint, result = (self.tensor(entry[key], (*place, key)) for key in keys)
            if not tensor.statements or wrt not in reachable([tensor]) or wrt is tensor:
                refuse(f"{entry['of']} does not depend on {entry['with_respect_to']}", place)
            if adjoint.kind != "adjoint" or any(rule.adjoint is not adjoint for rule in tensor.rules):
                refuse(f"{entry['adjoint']} is not the adjoint of {entry['of']}", (*place, "adjoint"))
            if any(rule.wrt is wrt for rule in tensor.rules):
                refuse(f"{entry['of']} has two gradients with respect to {entry['with_respect_to']}", place)
            if tensor.declared_shape != adjoint.declared_shape or wrt.declared_shape != result.declared_shape:
                refuse("the adjoint or the gradient has another shape than its tensor", place)
            if not all(is_float(t.declared_dtype or "") for t in (tensor, wrt, adjoint, result)):
                refuse("integer tensors are never differentiated", place)
            tensor.rules.append(HandWritten(wrt, adjoint, result))

    def structure(self, value: Json, place: Place) -> Any:
        if len(place) > 50:
            refuse("lists are nested too deeply", place[:3])
        if isinstance(value, str):
            self.outputs.append(self.tensor(value, place))
            return self.outputs[-1]
        head, *parts = listed_items(value, place, 1)
        if head in ("list", "tuple"):
            made = [self.structure(part, (*place, k)) for k, part in enumerate(parts, 1)]
            return tuple(made) if head == "tuple" else made
        if head != "dict":
            refuse(f"{shown(head)} is neither list, tuple nor dict", place)
        found = {}
        for k, part in enumerate(parts, 1):
            key, inner = listed_items(part, (*place, k), 2, 2)
            if isinstance(key, list):
                if listed_items(key, (*place, k, 0), 2, 2)[0] != "tensor":
                    refuse(f"{shown(key[0])} is no key", (*place, k, 0))
                key = self.tensor(key[1], (*place, k, 0))
                self.outputs.append(key)
            elif isinstance(key, bool) or not isinstance(key, str | int):
                refuse(f"{shown(key)} is no key", (*place, k, 0))
            if key in found:
                refuse("a key is there twice", (*place, k, 0))
            found[key] = self.structure(inner, (*place, k, 1))
        return found

    def check(self) -> None:
        """Refuse what is no program, whatever form it has."""
        if not self.outputs:
            refuse("there is no tensor", ("outputs",))
        everything = list(self.tensors.values())
        without = dependents(everything, (tensor for tensor in everything if tensor.kind == "adjoint"))
        if any(tensor in without for tensor in self.outputs):
            refuse("a result depends on an adjoint, which has no value of its own", ("outputs",))
        program = collect(everything, "from_json")
        align_recurrences(program.graph)


def _required(value: Json, place: Place) -> Check:
    """Sizes that calls are refused with."""
    fields(value, ("sizes", "what", "fix"), (), place)
    reader = Reader({}, {}, {})
    sizes = [reader.position(e, (*place, "sizes", k), indices=False) for k, e in enumerate(listed_items(value["sizes"], (*place, "sizes")))]
    return Check(tuple(sizes), text(value["what"], (*place, "what")), "required", text(value["fix"], (*place, "fix")))


def _check_indices(statement: Recorded, bound: frozenset[Index], place: Place) -> None:
    """Every index has one loop, and = has loops over the indices of its left side alone."""
    loops = statement.indices
    left = {i for s in statement.subscripts for i in indices_of(s)}
    used = {*left, *indices_of(statement.value), *(i for d in statement.domain for i in indices_of(d)), *bound}
    for index in sorted(used, key=str):
        if index not in loops:
            refuse(f"the index {index} has no loop", (*place, "loops"))
    if len(set(loops)) != len(loops):
        refuse("an index has two loops", (*place, "loops"))
    if statement.op == "=" and set(loops) - left - bound:
        refuse("= has a loop over an index that is not on its left", (*place, "loops"), "use += to sum.")
    if bound & {i for d in statement.domain for i in indices_of(d)}:
        refuse("a condition of the statement contains an index of a reduction", (*place, "where"))


def _check_reduction(statement: Recorded, bound: frozenset[Index], place: Place) -> None:
    """A reduction has a loop to reduce over."""
    left = {i for s in statement.subscripts for i in indices_of(s)}
    if statement.op not in ("=", "+=") and not set(statement.indices) - left - bound:
        refuse(f"{statement.op} has no loop over an index that is not on its left", (*place, "loops"))


def _number(node: sp.Expr) -> float:
    number = float(node.xreplace({INFINITY: sp.oo, NAN: sp.nan}))
    return int(number) if isinstance(node, sp.Integer) else number


def _python(rule: sp.Expr, arity: int) -> Callable[..., Expr]:
    """The rule as a function of expressions."""
    symbols = sp.symbols(f"argument:{arity}")

    def value(*operands: Expr) -> Expr:
        mapping = dict(zip(symbols, (o.node for o in operands), strict=True))
        return Expr(substitute(rule, mapping), *merged(operands))

    value.__signature__ = Signature([Parameter(str(s), Parameter.POSITIONAL_ONLY) for s in symbols])  # type: ignore[attr-defined]
    return value
