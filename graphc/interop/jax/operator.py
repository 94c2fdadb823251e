"""The primitive of JAX behind `gc.to_jax`: one program per operator, its derivatives and batches derived as programs when JAX asks.

JAX needs five rules: types of results, code, forward mode, transposition of what is linear, and batches. Each derives another operator
by `gc.jvp`, `gc.grad` and `gc.vmap`, whose programs have the same five rules, so that all transforms of JAX compose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.extend
from jax.interpreters import ad as _ad
from jax.interpreters import batching, mlir

import graphc as gc
from graphc.interop.jax.handler import CALL, register
from graphc.transforms.pullback import alike, arguments, gradients, pushforward, values_read

__all__ = ["Operator", "primitive"]

primitive: Any = jax.extend.core.Primitive("graphc")
primitive.multiple_results = True

ad: Any = _ad


class Operator:
    """A program that JAX calls.

    Args:
        outputs: its results.
        inputs: the order of arguments, if it matters.
    """

    def __init__(self, outputs: Sequence[gc.Tensor], inputs: Sequence[gc.Tensor] | None = None) -> None:
        self.outputs = tuple(outputs)
        self.program = gc.compile(list(outputs), inputs=inputs)
        self.inputs = arguments(outputs, self.program.inputs)
        self.floats = tuple(k for k, t in enumerate(self.outputs) if t.dtype.startswith("float"))
        self._derived: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return ", ".join(t.name for t in self.outputs)

    @cached_property
    def key(self) -> str:
        """Tells the program apart from all others; equal programs have equal keys in all processes."""
        text = "\n".join([repr(self.program.signature.inputs), repr(self.program.signature.outputs), self.program.source])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def compiled(self) -> Any:
        """The operator as a function that JAX has compiled, for calls outside of ``jit``."""

        def call(*arrays: Any) -> Any:
            return primitive.bind(*arrays, operator=self)

        call.__name__ = call.__qualname__ = f"graphc({self})"
        call._apply_primitive = True  # type: ignore[attr-defined]  # jax_debug_nans looks for NaNs inside of other functions
        return jax.jit(call)

    def types(self, arguments: Sequence[Any]) -> list[Any]:
        """Shapes and types of the results.

        Raises:
            ShapeError: shapes do not fit the program or each other, or JAX does not know whether they do.
        """
        shapes = {t.name: a.shape for t, a in zip(self.inputs, arguments, strict=True)}
        try:
            found = self.program.result_shapes(shapes)
        except jax.errors.InconclusiveDimensionOperation as error:
            raise gc.ShapeError(
                f"Whether symbolic shapes fit the program of {self} is not known: {str(error).splitlines()[0]}",
                fix='tell JAX more about them: jax.export.symbolic_shape("n", constraints=["n >= 3"]).',
            ) from None
        return [jax.core.ShapedArray(shape, t.dtype) for shape, t in zip(found, self.outputs, strict=True)]

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is derived for a key, derived when it is first asked for."""
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]

    # --------------------------------------------------------------------------------------------------------- transforms
    def tangent(self, changed: tuple[int, ...]) -> Tangent:
        """How the float results change when some inputs do."""

        def make() -> Tangent:
            half = pushforward([self.outputs[k] for k in self.floats], [self.inputs[k] for k in changed])
            first = (*self.outputs, *(t for t in half.saved if t not in self.outputs))
            sources = (*self.inputs, *first, *half.seeds)
            found = dict(zip(half.inputs, half.sources, strict=True))
            second = Operator(half.gradients)
            kept = self if len(first) == len(self.outputs) else Operator(first, self.inputs)
            return Tangent(kept, Derived(second, tuple(sources.index(found[t]) for t in second.inputs)))

        return self.once(("tangent", changed), make)  # type: ignore[no-any-return]

    def transposed(self, linear: tuple[int, ...], seeded: tuple[int, ...]) -> Derived:
        """The gradients with respect to inputs in which the results are linear, from adjoints of some results behind the inputs."""

        def make() -> Derived:
            outputs = [self.outputs[k] for k in seeded]
            seeds = alike(outputs, "seed", self.inputs)
            results = gradients(outputs, [self.inputs[k] for k in linear], seeds)
            read = values_read(results)
            for tensor in (self.inputs[k] for k in linear):
                if tensor.name in read:
                    raise gc.DifferentiationError(f"{self} is not linear in {tensor.name}, and only linear functions can be transposed.",
                                                  fix="call jax.vjp, or linearise the function first: jax.linearize.")
            return Derived.of(results, [*self.inputs, *seeds])

        return self.once(("transposed", linear, seeded), make)  # type: ignore[no-any-return]

    def batched(self, chosen: tuple[int, ...]) -> Derived:
        """The program for many values of some inputs, the new dimension in front."""

        def make() -> Derived:
            taken = {str(s) for t in self.program.graph.tensors for e in t.shape for s in e.free_symbols}
            size = next(name for k in range(len(taken) + 1) if (name := f"Batch{k or ''}") not in taken)
            before = [self.inputs[k] for k in chosen]
            after = [gc.Tensor(t.name, (gc.dim(size), *t.shape), t.dtype) for t in before]
            results = gc.vmap(list(self.outputs), dict(zip(before, after, strict=True)))
            inputs = list(self.inputs)
            for k, tensor in zip(chosen, after, strict=True):
                inputs[k] = tensor
            return Derived.of(results, inputs)

        return self.once(("batched", chosen), make)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Derived:
    """An operator whose arguments are some of those that a rule has.

    Attributes:
        operator: the operator.
        places: where its arguments are among those of the rule.
    """

    operator: Operator
    places: tuple[int, ...]

    @staticmethod
    def of(results: Sequence[gc.Tensor], candidates: Sequence[gc.Tensor]) -> Derived:
        """The operator of these results, which depend on these inputs at most."""
        operator = Operator(results)
        position = {t.name: k for k, t in enumerate(candidates)}
        return Derived(operator, tuple(position[t.name] for t in operator.inputs))

    def bind(self, arguments: Sequence[Any]) -> list[Any]:
        """Call it with the arguments of the rule."""
        made: list[Any] = primitive.bind(*(arguments[k] for k in self.places), operator=self.operator)
        return made


@dataclass(frozen=True, eq=False)
class Tangent:
    """Forward mode in two halves.

    Attributes:
        first: the operator with the same inputs, whose results are followed by what the other half reads.
        second: changes of the float results, from the inputs, the results of `first`, and changes of inputs.
    """

    first: Operator
    second: Derived


# ------------------------------------------------------------------------------------------------------------------- rules


def _run(*arrays: Any, operator: Operator) -> Any:
    config: Any = jax.config
    if config.jax_disable_jit:  # which would call this function again
        with jax.disable_jit(False):
            return operator.compiled(*arrays)
    return operator.compiled(*arrays)


def _types(*arguments: Any, operator: Operator) -> list[Any]:
    return operator.types(arguments)


def _code(context: Any, *operands: Any, operator: Operator) -> Any:
    register(operator.key, operator.program)
    return jax.ffi.ffi_lowering(CALL)(context, *operands, program=operator.key)


def _no_code(context: Any, *operands: Any, operator: Operator) -> Any:
    places = ", ".join(context.module_context.platforms)
    raise gc.TargetError(f"{operator} was made by gc.to_jax, which computes on the CPU, but JAX compiles for {places}.",
                         fix='compute it there: with jax.default_device(jax.devices("cpu")[0]), on arrays that are on the CPU.')


def _forward(primals: Sequence[Any], tangents: Sequence[Any], operator: Operator) -> tuple[list[Any], list[Any]]:
    changed = tuple(k for k, t in enumerate(tangents) if type(t) is not ad.Zero)
    if not operator.floats:
        results = primitive.bind(*primals, operator=operator)
        return results, [ad.Zero(jax.typeof(r).to_tangent_aval()) for r in results]
    halves = operator.tangent(changed)
    first = primitive.bind(*primals, operator=halves.first)
    changes = iter(halves.second.bind([*primals, *first, *(tangents[k] for k in changed)]))
    results = first[: len(operator.outputs)]
    return results, [next(changes) if k in operator.floats else ad.Zero(jax.typeof(r).to_tangent_aval()) for k, r in enumerate(results)]


def _backward(cotangents: Sequence[Any], *arguments: Any, operator: Operator) -> list[Any]:
    linear = tuple(k for k, a in enumerate(arguments) if ad.is_undefined_primal(a))
    seeded = tuple(k for k, c in enumerate(cotangents) if type(c) is not ad.Zero)
    # What is linear is not known, but its shape may be: there, zeros stand for it.
    known = [jax.numpy.zeros(a.aval.shape, a.aval.dtype) if k in linear else a for k, a in enumerate(arguments)]
    found = iter(operator.transposed(linear, seeded).bind([*known, *(cotangents[k] for k in seeded)]) if seeded else ())
    return [None if k not in linear else next(found) if seeded else ad.Zero(a.aval) for k, a in enumerate(arguments)]


def _batched(arguments: Sequence[Any], dimensions: Sequence[Any], operator: Operator) -> tuple[list[Any], list[int]]:
    chosen = tuple(k for k, d in enumerate(dimensions) if d is not None)
    moved = [jax.numpy.moveaxis(a, d, 0) if k in chosen else a for k, (a, d) in enumerate(zip(arguments, dimensions, strict=True))]
    results = operator.batched(chosen).bind(moved)
    return results, [0] * len(results)


primitive.def_impl(_run)
primitive.def_abstract_eval(_types)
ad.primitive_jvps[primitive] = _forward
ad.primitive_transposes[primitive] = _backward
batching.primitive_batchers[primitive] = _batched
mlir.register_lowering(primitive, _no_code)
mlir.register_lowering(primitive, _code, platform="cpu")
