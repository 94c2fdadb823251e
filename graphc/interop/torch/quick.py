"""Calls of small programs with little around them: text that is made for a number of tensors.

A small program takes less time than Python needs to loop over its arguments, or PyTorch's dispatcher to find its kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

__all__ = ["PLAIN", "TRANSFORMS", "Bound", "batched", "dual", "quick", "watched"]

PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Types of tensors that are nothing but memory."""

Bound = Mapping[tuple[Any, ...], tuple[Any, ...]]
"""Shapes of the arguments → a call by addresses, then shape and element type of each result."""

TRANSFORMS = torch._C._are_functorch_transforms_active
"""Whether a transform of torch.func is being applied."""


def dual() -> bool:
    """Whether tensors may have tangents, of forward-mode differentiation."""
    return forward_ad._current_level >= 0


WATCHERS = {
    "dispatch_modes": torch._C._len_torch_dispatch_stack, "function_modes": torch._C._len_torch_function_stack,
    "transforms": TRANSFORMS, "autocast": torch._C._is_any_autocast_enabled,
    "profiled": torch._C._autograd._profiler_enabled, "traced": torch._C._get_tracing_state, "dual": dual,
}
"""What sees the operators that run, or changes what they mean: all have to be called through the dispatcher while one is there."""


@lru_cache
def _made(inputs: int, outputs: int) -> Callable[..., Callable[..., Sequence[torch.Tensor] | None]]:
    names, results = [f"x{k}" for k in range(inputs)], [f"r{k}" for k in range(outputs)]
    made = "".join(f", s{k}, e{k}" for k in range(outputs))
    text = [
        "def bind(bound, dtypes, plain, graded, differentiable, empty, from_numpy):",
        f"    {''.join(f'd{k}, ' for k in range(inputs))}= dtypes",
        f"    def call({', '.join(names)}):",
        f"        if {' or '.join(f'{name}()' for name in WATCHERS)}:",
        "            return None",
        f"        if not ({' and '.join(f'type({name}) in plain' for name in names)}):",
        "            return None",
        f"        if graded() and ({' or '.join(f'{name}.requires_grad' for name in names)}):",
        f"            return differentiable({' + '.join(f'{name}.requires_grad * {1 << k}' for k, name in enumerate(names))}, "
        f"({', '.join(names)},))",
        "        try:",
        f"            run{made} = bound[{''.join(f'{name}.shape, ' for name in names)}]",
        *(line for k, name in enumerate(names) for line in (
            f"            if {name}.dtype is not d{k} or not {name}.is_cpu or {name}.is_neg() or not (p{k} := {name}.data_ptr()):",
            "                return None",
            f"            if not {name}.is_contiguous():",
            f"                {name} = {name}.contiguous()",
            f"                p{k} = {name}.data_ptr()",
        )),
        "        except (KeyError, RuntimeError):",  # what has no such shape, layout or memory raises the latter
        "            return None",
        *(f"        {name} = from_numpy(empty(s{k}, e{k}))" for k, name in enumerate(results)),
        f"        if run({', '.join([*(f'p{k}' for k in range(inputs)), *(f'{name}.data_ptr()' for name in results)])}):",
        f"            return [{', '.join(results)}]",
        "        return None",
        "    return call",
    ]
    namespace: dict[str, Any] = dict(WATCHERS)
    exec(compile("\n".join(text), "<graphc.interop.torch.quick>", "exec"), namespace)
    found: Callable[..., Any] = namespace["bind"]
    return found


def quick(
    bound: Bound, dtypes: list[torch.dtype], outputs: int, differentiable: Callable[[int, tuple[torch.Tensor, ...]], Any]
) -> Callable[..., Sequence[torch.Tensor] | None]:
    """A function of tensors that gives the results, or None if that is for others to do.

    It is for dense tensors of the CPU of shapes in `bound`, while nothing watches. Where a gradient is required, `differentiable` does
    it, of the arguments that require one, as binary digits, and all arguments.
    """
    return _made(len(dtypes), outputs)(bound, dtypes, PLAIN, torch.is_grad_enabled, differentiable, np.empty, torch.from_numpy)


def batched(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether one of the tensors stands for many, of ``torch.autograd.grad(…, is_grads_batched=True)``: nothing else tells."""
    return any(map(torch._C._functorch.is_legacy_batchedtensor, tensors))


def watched() -> bool:
    """Whether operators have to be called through the dispatcher."""
    return any(watcher() for watcher in WATCHERS.values())
