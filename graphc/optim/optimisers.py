"""Optimisers: a loss in, new values for parameters and state out.

All take, beside their own arguments,

- loss: a scalar tensor, whose parameters (`graphc.parameters`) are trained; or a dict from parameters to gradients: what
  `clip_grad_norm` and `clip_grad_value` return, or ``{W: dW}`` to train some only;
- lr: a number, a scalar tensor that is an argument of the step, or a schedule, a function of the number of steps taken;
- weight_decay: times the parameter, added to the gradient (in `adamw` apart from it);
- maximize: whether to climb;
- name: of the state that belongs to no parameter; give one to each where a program has several optimisers;

and return the `updates` of `graphc.compile`, state included: ``W.momentum_buffer``, ``adam.step``. They raise ArgumentError where the
loss depends on no parameter or a number is outside of its range.
"""

from __future__ import annotations

from typing import Any

import graphc as gc
from graphc.optim.step import Step, Updates
from graphc.requests import check_number, refusal

__all__ = ["adagrad", "adam", "adamw", "rmsprop", "sgd"]


def sgd(
    loss: Any, lr: Any = 1e-3, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0, dampening: float = 0.0,
    *, maximize: bool = False, name: str = "sgd",
) -> Updates:
    """Steps along the gradient, with momentum if wanted (Sutskever et al., ICML 2013).

    >>> import graphc as gc
    >>> i, w, L = gc.index("i"), gc.parameter("w", 3), gc.tensor("L")
    >>> L[()] += w[i]**2
    >>> print(gc.loops(*gc.optim.sgd(L, lr=0.1, momentum=0.9).values()))
    for i:  w.grad[i] += 2*w[i]
    for i:  w.momentum_buffer.new[i] = 0.9*w.momentum_buffer[i] + w.grad[i]
    for i:  w.new[i] = w[i] - 0.1*w.momentum_buffer.new[i]
    """
    check_number(f"optim.{name}", "dampening", dampening, float("-inf"))
    step = Step(name, loss, lr, maximize, momentum=momentum, weight_decay=weight_decay)
    if nesterov and (not momentum or dampening):
        raise refusal(gc.ArgumentError, f"nesterov=True of gc.optim.sgd needs momentum and no dampening, but momentum={momentum!r} and "
                      f"dampening={dampening!r}.", "sgd(…, nesterov=True)", "nesterov=True", "write momentum=0.9, nesterov=True.")
    for w, w_new, i, g in step.parameters(weight_decay):
        if momentum:
            v, v_new = step.state(w, "momentum_buffer")
            v_new[i] = momentum * v[i] + (g if not dampening else gc.where(step.count() == 0, 1, 1 - dampening) * g)
            g = g + momentum * v_new[i] if nesterov else v_new[i]
        w_new[i] = w[i] - step.rate() * g
    return step.updates


def adagrad(
    loss: Any, lr: Any = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0, initial_accumulator_value: float = 0.0, eps: float = 1e-10,
    *, maximize: bool = False, name: str = "adagrad",
) -> Updates:
    """Each element has its own rate, smaller the more it has moved (Duchi, Hazan and Singer, JMLR 2011)."""
    step = Step(name, loss, lr, maximize, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
    for w, w_new, i, g in step.parameters(weight_decay):
        v, v_new = step.state(w, "sum", init=initial_accumulator_value)
        v_new[i] = v[i] + g**2
        rate = step.rate() / (1 + lr_decay * step.count()) if lr_decay else step.rate()
        w_new[i] = w[i] - rate * g / (gc.sqrt(v_new[i]) + eps)
    return step.updates


def rmsprop(
    loss: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0, momentum: float = 0.0,
    centered: bool = False, *, maximize: bool = False, name: str = "rmsprop",
) -> Updates:
    """The gradient over the root of a moving average of its square (Tieleman and Hinton, Coursera lecture 6.5, 2012)."""
    step = Step(name, loss, lr, maximize, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
    for w, w_new, i, g in step.parameters(weight_decay):
        v, v_new = step.state(w, "square_avg")
        v_new[i] = alpha * v[i] + (1 - alpha) * g**2
        if centered:
            m, m_new = step.state(w, "grad_avg")
            m_new[i] = alpha * m[i] + (1 - alpha) * g
        variance = v_new[i] - m_new[i] ** 2 if centered else v_new[i]
        move = g / (gc.sqrt(variance) + eps)
        if momentum:
            b, b_new = step.state(w, "momentum_buffer")
            b_new[i] = momentum * b[i] + move
            move = b_new[i]
        w_new[i] = w[i] - step.rate() * move
    return step.updates


def adam(
    loss: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
    amsgrad: bool = False, *, maximize: bool = False, name: str = "adam",
) -> Updates:
    """Moving averages of the gradient and of its square, corrected for their start at 0 (Kingma and Ba, ICLR 2015).

    `amsgrad` divides by the largest average so far (Reddi, Kale and Kumar, ICLR 2018).

    >>> import graphc as gc
    >>> i, w, L = gc.index("i"), gc.parameter("w", 3), gc.tensor("L")
    >>> L[()] += w[i]**2
    >>> step = gc.compile(L, updates=gc.optim.adam(L, lr=0.1), target="interpret")
    >>> state = step.init(seed=0)
    >>> list(state)
    ['w', 'adam.step', 'w.exp_avg', 'w.exp_avg_sq']
    >>> for _ in range(200):
    ...     loss = step(state)
    >>> float(loss) < 1e-6
    True
    """
    return _adam(loss, lr, betas, eps, weight_decay, 0.0, amsgrad, maximize, name)


def adamw(
    loss: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2,
    amsgrad: bool = False, *, maximize: bool = False, name: str = "adamw",
) -> Updates:
    """`adam` whose weight decay does not pass through the averages (Loshchilov and Hutter, ICLR 2019)."""
    return _adam(loss, lr, betas, eps, 0.0, weight_decay, amsgrad, maximize, name)


def _adam(
    loss: Any, lr: Any, betas: tuple[float, float], eps: float, weight_decay: float, decoupled: float, amsgrad: bool, maximize: bool,
    name: str,
) -> Updates:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise refusal(gc.ArgumentError, f"betas={betas!r} of gc.optim.{name} are not two numbers.", f"{name}(…, betas={betas!r})",
                      f"betas={betas!r}", "write betas=(0.9, 0.999).")
    for k, beta in enumerate(betas):
        check_number(f"optim.{name}", f"betas[{k}]", beta, below=1)
    step = Step(name, loss, lr, maximize, eps=eps, weight_decay=weight_decay or decoupled)
    first, second = (step.correction(f"correction{k}", beta) for k, beta in enumerate(betas, 1))
    for w, w_new, i, g in step.parameters(weight_decay):
        (m, m_new), (v, v_new) = step.state(w, "exp_avg"), step.state(w, "exp_avg_sq")
        m_new[i] = betas[0] * m[i] + (1 - betas[0]) * g
        v_new[i] = betas[1] * v[i] + (1 - betas[1]) * g**2
        if amsgrad:
            v, v_max = step.state(w, "max_exp_avg_sq")
            v_max[i] = gc.maximum(v[i], v_new[i])
            v_new = v_max
        move = m_new[i] / first[()] / (gc.sqrt(v_new[i] / second[()]) + eps)
        w_new[i] = w[i] - step.rate() * (move + decoupled * w[i] if decoupled else move)
    return step.updates
