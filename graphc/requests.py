"""What transforms are asked for: the forms of their arguments, and the refusals that they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

from graphc.errors import ArgumentError, DifferentiationError, DtypeError, GraphcError, NotationError
from graphc.frontend.collect import collect, shape_and_dtype
from graphc.frontend.expression import Expr
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.ir.dtypes import is_float
from graphc.ir.graph import Check
from graphc.ir.show import expression
from graphc.structure import flatten

__all__ = [
    "check_changes", "check_floats", "check_number", "check_scalar", "check_tensors", "listed", "pairs", "refusal", "refuse_calls",
    "shown_tensors",
]

Refusal = TypeVar("Refusal", bound=GraphcError)


def listed(value: Any) -> str:
    """What was passed, as an error message writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{shown(k)}: {listed(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(listed, value)) + "]"
    return shown(value)


def refusal(kind: type[Refusal], what: str, text: str, culprit: Any, fix: str) -> Refusal:
    """An error of that kind about a call, whose `text` is shown with carets under the culprit (a part, or several), at the user's line."""
    parts = isinstance(culprit, tuple) and culprit and all(isinstance(part, str) for part in culprit)
    return kind(what, at=((text, culprit if parts or isinstance(culprit, str) else shown(culprit), here()),), fix=fix)


def check_number(
    verb: str, name: str, value: Any, least: float = 0.0, most: float = math.inf, *, below: float = math.inf, positive: bool = False,
    infinite: bool = False,
) -> None:
    """Refuse what is no number in [least, most] and less than `below`, is `least` if it has to be `positive`, or is not finite.

    Args:
        verb: what is called, as ``nn.softplus``.
        name, value: of the argument.
        infinite: an infinite one is as good.

    Raises:
        ArgumentError: it is not.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    inside = real and least <= value <= most and (value < below or infinite) and (math.isfinite(value) or infinite)
    if not inside or (positive and value == least):
        limits = [f"{'greater than' if positive else 'at least'} {least:g}"] if least > -math.inf else []
        limits += [f"at most {most:g}"] if most < math.inf else []
        limits += [f"less than {below:g}"] if below < math.inf else []
        wanted = f" that is {' and '.join(limits)}" if limits else ""
        given = f"{name}={value!r}"
        raise refusal(ArgumentError, f"{given} of gc.{verb} is no number{wanted}.", f"{verb.rpartition('.')[2]}(…, {given})", given,
                      f"give a number{wanted}.")


def refuse_calls(tensor: Tensor, violation: Sequence[Expr], what: str, fix: str) -> None:
    """Let calls of every program that computes the tensor be refused if all these expressions in sizes are ≥ 0."""
    tensor.required += (Check(tuple(e.node for e in violation), what, "required", fix),)


def shown_tensors(given: Sequence[Any], verb: str) -> list[Any]:
    """What a view is about: its arguments, which may be lists, tuples and dicts of tensors.

    Raises:
        NotationError: there is none.
    """
    tensors, _ = flatten(list(given))
    if not tensors:
        text = f"{verb}({', '.join(map(listed, given))})"
        raise refusal(NotationError, f"gc.{verb} is given no tensor.", text, text, f"name at least one: gc.{verb}(L).")
    return tensors


def pairs(given: Any, verb: str, form: str, text: str) -> tuple[list[Any], list[Any]]:
    if not isinstance(given, Mapping) or not given:
        raise refusal(NotationError, f"gc.{verb} takes a dict from tensors, not {listed(given)}.", text, listed(given),
                       f"write gc.{verb}(…, {form}) with a tensor X of the program.")
    return list(given), list(given.values())


def check_tensors(tensors: Sequence[Any], verb: str, text: str) -> None:
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise refusal(NotationError, f"gc.{verb} takes tensors, not {shown(tensor)}.", text, tensor,
                           "pass the tensors themselves, without subscripts.")


def check_scalar(output: Tensor, verb: str, text: str) -> None:
    if shape_and_dtype(output)[0]:
        raise refusal(DifferentiationError, f"{output.name} is not a scalar; gc.{verb} is about second derivatives of a scalar.", text,
                       output, "sum it to a scalar first.")


def check_floats(tensors: Sequence[Tensor], text: str) -> None:
    for tensor in tensors:
        dtype = shape_and_dtype(tensor)[1]
        if not is_float(dtype):
            raise refusal(DtypeError, f"{tensor.name} has dtype {dtype}; integer tensors are never differentiated.", text, tensor,
                           "differentiate float tensors with respect to float tensors only.")


def check_changes(tensors: Sequence[Tensor], keys: Sequence[Tensor], changes: Sequence[Tensor], verb: str, text: str) -> None:
    collect([*tensors, *keys, *changes], verb)
    check_floats([*tensors, *keys, *changes], text)
    for key, change in zip(keys, changes, strict=True):
        wanted, given = (shape_and_dtype(t)[0] for t in (key, change))
        if wanted != given:
            shapes = [f"({', '.join(map(expression, shape))})" for shape in (given, wanted)]
            raise refusal(DifferentiationError, f"The change {change.name} of {key.name} has shape {shapes[0]}, but {key.name} has shape "
                           f"{shapes[1]}.", text, f"{key.name}: {change.name}", f"declare it with the extents of {key.name}.")
