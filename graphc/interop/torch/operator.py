"""A program as a custom operator of PyTorch: kernels for every dispatch key, and the derived gradient.

Three operators are registered for a program. ``name`` is what the user calls. ``name_forward`` gives, beside the results, the values that
the gradient reads, and ``name_backward`` the gradient; the binary digits of numbers, written as text because there may be more than 64,
say with respect to what and from which adjoints. Autograd runs these two, so that they are what ``torch.compile`` sees. The gradient of
the gradient is an operator of its own, made when it is first needed.
"""

from __future__ import annotations

import keyword
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from itertools import count
from typing import Any

import torch
from torch._functorch.utils import enable_single_level_autograd_function

import graphc as gc
from graphc.interop.torch.gradient import Backward, Gradient, bits, places
from graphc.interop.torch.kernel import Kernel, check, check_kinds, torch_dtype
from graphc.interop.torch.quick import PLAIN, TRANSFORMS, batched, dual, watched
from graphc.transforms.pullback import arguments

__all__ = ["Operator"]

_library = torch.library.Library("graphc", "FRAGMENT")
_AUTOCAST = {"cpu": torch._C.DispatchKey.AutocastCPU, "cuda": torch._C.DispatchKey.AutocastCUDA}
_LOW = (torch.float16, torch.bfloat16)

MOST = 60
"""Arguments or results up to which each is one of the operator's; PyTorch has no operators of more than 64."""


class Operator:
    """A custom operator.

    Args:
        name: unique for what it computes.
        outputs, inputs: tensors of the program, all of its inputs.
        programs: those that are compiled already, by target.
        title: what errors call it.
    """

    def __init__(
        self, name: str, outputs: Sequence[gc.Tensor], inputs: Sequence[gc.Tensor], programs: Mapping[str, gc.Program] | None = None,
        title: str = "",
    ) -> None:
        self.title = title or name
        self.name, self.outputs, self.inputs = name, tuple(outputs), tuple(inputs)
        self.kernel = Kernel(outputs, inputs, programs)
        self.lock = threading.RLock()
        self._gradients: dict[int, Gradient] = {}
        self._children: dict[str, Operator] = {}
        self._batched: dict[str, tuple[Operator, list[int]]] = {}
        self._overload: Any = None
        self._listed = max(len(inputs), len(outputs)) > MOST

    def gradient(self, needed: int, tensors: Sequence[Any] = ()) -> Gradient:
        """The forward program that keeps what a gradient reads, derived when it is first needed, for tensors that have been checked."""
        found = self._gradients.get(needed)
        if found is None:
            if tensors:
                check(self.inputs, tensors)
            with self.lock:
                found = self._gradients.get(needed) or Gradient(self, needed)
                self._gradients[needed] = found
        return found

    def child(
        self, name: str, outputs: Sequence[gc.Tensor], inputs: Sequence[gc.Tensor], programs: Mapping[str, gc.Program] | None = None
    ) -> Operator:
        """An operator that is derived from this one."""
        return self._children.setdefault(name, Operator(f"{self.name}_{name}", outputs, inputs, programs, self.title))

    def batched(
        self, name: str, outputs: Sequence[gc.Tensor], dims: Sequence[int | None], tensors: Sequence[torch.Tensor]
    ) -> tuple[Operator, list[torch.Tensor]]:
        """An operator for many values of some inputs, and its arguments.

        Args:
            name: of the operator, among those that are derived from this one.
            outputs: what it computes many times, with the new dimension in front.
            dims: the dimension of each input along which there are many values; None if there is one.
            tensors: the inputs.
        """
        which = [k for k, d in enumerate(dims) if d is not None]
        key = f"{name}_{bits([d is not None for d in dims])}"
        with self.lock:
            if key not in self._batched:
                size = gc.index("batch")
                many = gc.vmap(list(outputs), {self.inputs[k]: size for k in which})
                program = gc.compile(many)
                child = self.child(key, many, arguments(many, program.inputs), {"cpu": program})
                self._batched[key] = child, [self.kernel.names.index(n) for n in program.inputs]
            operator, order = self._batched[key]
        moved = [t if d is None else t.movedim(d, 0) for t, d in zip(tensors, dims, strict=True)]
        return operator, [moved[k] for k in order]

    # ------------------------------------------------------------------------------------------------------------ calls
    def __call__(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The results, with a gradient where one is required."""
        results = self.quick(*tensors)
        if results is not None:
            return results
        if TRANSFORMS() or dual():
            check_kinds(self.inputs, tensors)
            return self.transformed(tensors)
        if watched() or any(type(tensor) not in PLAIN for tensor in tensors) or batched(tensors):
            check_kinds(self.inputs, tensors)
            return self.dispatched(tensors)
        if torch.is_grad_enabled() and (needed := _needed(tensors)):
            return self.differentiable(needed, tensors)
        return self.kernel(tensors)

    def dispatched(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The results by way of PyTorch's dispatcher."""
        results = self.overload([*tensors]) if self._listed else self.overload(*tensors)
        return (results,) if isinstance(results, torch.Tensor) else results

    def differentiable(self, needed: int, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The results with a gradient with respect to some tensors, given as binary digits."""
        return _apply(self.gradient(needed, tensors), False, *tensors)[: len(self.outputs)]

    def transformed(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The results under transforms of torch.func, which do not tell what requires a gradient."""
        floats = bits([tensor.dtype.startswith("float") for tensor in self.inputs])
        results = _Differentiable.apply(self.gradient(floats, tensors), True, *tensors)
        return results[: len(self.outputs)]

    @cached_property
    def quick(self) -> Callable[..., Sequence[torch.Tensor] | None]:
        """The usual call: the results, or None if `__call__` has to look closer."""
        return self.kernel.quick(self.differentiable)

    # ----------------------------------------------------------------------------------------------------- registration
    @property
    def overload(self) -> Any:
        """The operator as PyTorch calls it, registered when it is first asked for."""
        if self._overload is None:
            with self.lock:  # another thread may have registered it meanwhile, and PyTorch takes a name once
                self._overload = self._overload or self._registered()
        return self._overload

    def _registered(self) -> Any:
        schema = "(Tensor[] inputs) -> Tensor[]" if self._listed else f"({_arguments(self.inputs)}) -> {_returns(len(self.outputs))}"
        self._define(self.name, schema, self._unlisted(self._run), self._unlisted(self._fake))
        self._define(f"{self.name}_forward", "(Tensor[] inputs, str needed) -> Tensor[]", self._forward, self._fake_forward)
        self._define(f"{self.name}_backward", "(Tensor[] inputs, str kept, str needed, str defined) -> Tensor[]",
                     self._backward, self._fake_backward)
        _library.impl(self.name, self._unlisted(self._autograd), "Autograd")
        for device, key in _AUTOCAST.items():
            _library.impl(self.name, self._unlisted(partial(self._autocast, key)), f"Autocast{device.upper()}")
        for suffix, rule in (("", self._vmap), ("_forward", self._vmap_forward), ("_backward", self._vmap_backward)):
            torch.library.register_vmap(f"graphc::{self.name}{suffix}", rule, lib=_library)
        return getattr(torch.ops.graphc, self.name).default

    def _unlisted(self, kernel: Callable[..., Sequence[torch.Tensor]]) -> Callable[..., Any]:
        """A kernel as PyTorch calls it."""
        if self._listed:
            return lambda inputs: [*kernel(*inputs)]
        return lambda *tensors: _returned(kernel(*tensors))

    def companion(self, name: str) -> Any:
        """The registered operator "forward" or "backward"."""
        with self.lock:
            return self.overload and getattr(torch.ops.graphc, f"{self.name}_{name}").default

    @staticmethod
    def _define(name: str, schema: str, run: Any, fake: Any) -> None:
        _library.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
        _library.impl(name, run, "CompositeExplicitAutograd")
        torch.library.register_fake(f"graphc::{name}", fake, lib=_library)

    def _run(self, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.kernel(tensors)

    def _fake(self, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.kernel.fake(tensors)

    def _vmap(self, info: Any, in_dims: Sequence[Any], *inputs: Any) -> Any:
        """Many calls at once, where a transform is compiled: outside of that, it finds `_Differentiable`."""
        if self._listed:
            return self._many("vmap", self.outputs, in_dims[0], inputs[0])
        return tuple(map(_returned, self._many("vmap", self.outputs, in_dims, inputs)))

    def _vmap_forward(self, info: Any, in_dims: Sequence[Any], inputs: list[torch.Tensor], needed: str) -> Any:
        return self._many(f"vmap_{needed}", self.gradient(int(needed)).results, in_dims[0], inputs)

    def _vmap_backward(self, info: Any, in_dims: Sequence[Any], inputs: list[torch.Tensor], kept: str, needed: str, defined: str) -> Any:
        step = self.gradient(int(kept)).backward(int(needed), int(defined)).operator
        return step._many("vmap", step.outputs, in_dims[0], inputs)

    def _many(self, name: str, outputs: Sequence[gc.Tensor], dims: Any, tensors: Sequence[torch.Tensor]) -> Any:
        """Results of many calls and, for each, the new dimension."""
        operator, moved = self.batched(name, outputs, dims, tensors)
        results = [*operator.dispatched(moved)]
        return results, [0] * len(results)

    def _forward(self, inputs: list[torch.Tensor], needed: str) -> list[torch.Tensor]:
        return [*self.gradient(int(needed)).kernel(inputs)]

    def _fake_forward(self, inputs: list[torch.Tensor], needed: str) -> list[torch.Tensor]:
        return self.gradient(int(needed)).kernel.fake(inputs)

    def _backward(self, inputs: list[torch.Tensor], kept: str, needed: str, defined: str) -> list[torch.Tensor]:
        return [*self.gradient(int(kept)).backward(int(needed), int(defined)).operator.kernel(inputs)]

    def _fake_backward(self, inputs: list[torch.Tensor], kept: str, needed: str, defined: str) -> list[torch.Tensor]:
        return self.gradient(int(kept)).backward(int(needed), int(defined)).operator.kernel.fake(inputs)

    def _autograd(self, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
        if torch.is_grad_enabled() and (needed := _needed(tensors)):
            with enable_single_level_autograd_function():  # the dispatcher has divided nested transforms already
                return _apply(self.gradient(needed, tensors), True, *tensors)[: len(self.outputs)]
        with torch._C._AutoDispatchBelowAutograd():
            return self.dispatched(tensors)

    def _autocast(self, key: Any, *tensors: torch.Tensor) -> Sequence[torch.Tensor]:
        """Low-precision floats become what the program computes in."""
        cast = [t.to(torch_dtype(declared)) if t.dtype in _LOW and declared.dtype.startswith("float") else t
                for declared, t in zip(self.inputs, tensors, strict=True)]
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(key)):
            return self.dispatched(cast)


class _Differentiable(torch.autograd.Function):
    """The forward program and the derived gradient."""

    @staticmethod
    def forward(gradient: Gradient, dispatched: bool, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not dispatched:
            return tuple(gradient.kernel(inputs))
        with torch._C._AutoDispatchBelowAutograd():
            return tuple(gradient.operator.companion("forward")(list(inputs), str(gradient.needed)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        gradient: Gradient = inputs[0]
        tensors = inputs[2:]
        ctx.gradient = gradient
        ctx.set_materialize_grads(False)
        ctx.shapes = [tensor.shape for tensor in tensors] if gradient.asks_shapes else (), [tensor.shape for tensor in output]
        if gradient.keeps:
            ctx.save_for_backward(*[tensors[k] for k in gradient.kept_inputs], *[output[k] for k in gradient.kept_results])
        if gradient.integers:
            ctx.mark_non_differentiable(*[output[k] for k in gradient.integers])

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> Any:
        """Forward mode: refused, because programs for it are made by `gc.jvp`."""
        raise gc.DifferentiationError(
            f"The operator {ctx.gradient.operator.title} has no forward mode in PyTorch (jvp).",
            fix="use reverse mode (torch.func.vjp, torch.func.jacrev), or make the program: gc.to_torch(gc.jvp(Y, {X: V}), inputs=[X, V])."
        )

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], gradient: Gradient, dispatched: bool, *inputs: torch.Tensor) -> Any:
        """Many calls at once are the program with one loop more."""
        operator, tensors = gradient.operator.batched(f"vmap_{gradient.needed}", gradient.results, in_dims[2:], inputs)
        results = tuple(operator(tensors))
        return results, (0,) * len(results)

    @staticmethod
    def backward(ctx: Any, *seeds: torch.Tensor | None) -> tuple[Any, ...]:
        gradient: Gradient = ctx.gradient
        wanted = ctx.needs_input_grad[2:]
        made: list[Any] = [None] * (2 + len(wanted))
        defined = bits([seed is not None for seed in seeds])
        if not defined:
            return tuple(made)
        saved, count = _saved(ctx, gradient), len(gradient.kept_inputs)
        step = gradient.backward(bits(wanted), defined)
        tensors = step.arguments(dict(zip(gradient.kept_inputs, saved[:count], strict=True)),
                                 dict(zip(gradient.kept_results, saved[count:], strict=True)), seeds, ctx.shapes)
        for k, result in zip(places(step.needed), _run_backward(gradient, step, tensors), strict=True):
            made[2 + k] = result if wanted[k] else None
        return tuple(made)


_apply = super(torch.autograd.Function, _Differentiable).apply
"""``_Differentiable.apply`` where no transform of torch.func is active, which it would look for."""


def _saved(ctx: Any, gradient: Gradient) -> tuple[torch.Tensor, ...]:
    try:
        saved: tuple[torch.Tensor, ...] = ctx.saved_tensors
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        operator = gradient.operator
        names = [operator.inputs[k].name for k in gradient.kept_inputs] + [gradient.results[k].name for k in gradient.kept_results
                                                                            if k < len(operator.outputs)]
        raise gc.ArgumentError(
            f"The gradient of {operator.title} reads {', '.join(names)}, of which one was changed in place after the call.",
            fix="change a copy (x = x + 1 instead of x += 1), or call backward() before.",
        ) from error
    return saved


def _run_backward(gradient: Gradient, step: Backward, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    if torch.is_grad_enabled():
        return step.operator.dispatched(tensors) if batched(tensors) else step.operator(tensors)
    if not watched() and all(type(tensor) in PLAIN for tensor in tensors):
        return step.operator(tensors)
    masks = (str(mask) for mask in (gradient.needed, step.needed, step.defined))
    results: list[torch.Tensor] = gradient.operator.companion("backward")(list(tensors), *masks)
    return results


def _needed(tensors: Sequence[torch.Tensor]) -> int:
    """Which tensors require a gradient, as binary digits."""
    needed = 0
    for k, tensor in enumerate(tensors):
        if tensor.requires_grad:
            needed |= 1 << k
    return needed


def _returned(results: Sequence[Any]) -> Any:
    """As operators return them."""
    return results[0] if len(results) == 1 else tuple(results)


def _returns(count: int) -> str:
    return "Tensor" if count == 1 else f"({', '.join(['Tensor'] * count)})"


def _arguments(inputs: Sequence[gc.Tensor]) -> str:
    """The arguments of a schema; names that have another meaning there are numbered."""
    names: list[str] = []
    for tensor in inputs:
        name = re.sub(r"\W", "_", tensor.name)
        plain = name.isascii() and not keyword.iskeyword(name) and name not in (*names, "self", "out") and not name.startswith("_")
        names.append(name if plain else next(numbered for k in count(len(names)) if (numbered := f"x{k}") not in names))
    return ", ".join(f"Tensor {name}" for name in names)
