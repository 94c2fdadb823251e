"""graphc: tensor programs written as loops over indices — declare, see, compile."""

from graphc.calls.nonfinite import NonFinite
from graphc.checks.check_grad import check_grad
from graphc.checks.verify import Verification, verify
from graphc.compile import compile_program as compile
from graphc.errors import (
    ArgumentError,
    CompileError,
    DifferentiationError,
    DivergenceError,
    DtypeError,
    GradientError,
    GraphcError,
    InternalError,
    NotationError,
    RangeError,
    RankError,
    ShapeError,
    TargetError,
)
from graphc.frontend.boundaries import clamp, pad, reflect, skip
from graphc.frontend.boundaries import wrap_around as wrap
from graphc.frontend.collect import parameters
from graphc.frontend.declare import dim, dims, index, indices, parameter, tensor, tensors
from graphc.frontend.functions import function, power, rsqrt, scalar, sqrt, where
from graphc.frontend.random import normal, uniform
from graphc.frontend.reductions import all_ as all
from graphc.frontend.reductions import any_ as any
from graphc.frontend.reductions import argmax, argmin, logsumexp, mean, prod
from graphc.frontend.reductions import max_ as max
from graphc.frontend.reductions import min_ as min
from graphc.frontend.reductions import sum_ as sum
from graphc.frontend.tensor import GraphcWarning, Tensor
from graphc.program import Program
from graphc.reduction import reduction
from graphc.serial.read import from_json
from graphc.serial.write import to_json
from graphc.transforms.batching import vmap
from graphc.transforms.checkpoint import checkpoint
from graphc.transforms.custom_grad import custom_grad
from graphc.transforms.gradient import grad
from graphc.transforms.products import hessian, hvp, jacobian, jvp
from graphc.views.draw import Drawing, draw
from graphc.views.explain import Explanation, explain
from graphc.views.notebook import register as _register
from graphc.views.summary import Summary, summary
from graphc.views.text import latex, loops

_register()

exp, expm1, log, log1p = scalar("exp"), scalar("expm1"), scalar("log"), scalar("log1p")
sin, cos, tan, tanh = scalar("sin"), scalar("cos"), scalar("tan"), scalar("tanh")
sigmoid, softplus, erf, gelu, silu, relu = (
    scalar("sigmoid"),
    scalar("softplus"),
    scalar("erf"),
    scalar("gelu"),
    scalar("silu"),
    scalar("relu"),
)
leaky_relu, elu = scalar("leaky_relu", ("x", "negative_slope"), negative_slope=0.01), scalar("elu", ("x", "alpha"), alpha=1.0)
abs, sign, floor, ceil, round = scalar("abs"), scalar("sign"), scalar("floor"), scalar("ceil"), scalar("round")
maximum, minimum, clip = scalar("maximum"), scalar("minimum"), scalar("clip", ("x", "min", "max"))
hypot, atan2, stop_gradient = scalar("hypot"), scalar("atan2", ("y", "x")), scalar("stop_gradient")

from graphc import nn, optim  # noqa: E402 (written in the notation above)
from graphc.distributed.distribute import Distributed, distribute  # noqa: E402
from graphc.interop.einsum import from_einsum  # noqa: E402
from graphc.interop.jax.to_jax import to_jax  # noqa: E402
from graphc.interop.onnx.load import OnnxModel, from_onnx  # noqa: E402
from graphc.interop.scipy import to_scipy  # noqa: E402
from graphc.interop.torch.to_torch import to_torch  # noqa: E402
from graphc.training import Epoch, Fit, History, fit, load_checkpoint  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "CompileError",
    "DifferentiationError",
    "DivergenceError",
    "Distributed",
    "Drawing",
    "DtypeError",
    "Epoch",
    "Explanation",
    "Fit",
    "GradientError",
    "GraphcError",
    "GraphcWarning",
    "History",
    "InternalError",
    "NonFinite",
    "NotationError",
    "OnnxModel",
    "Program",
    "RangeError",
    "RankError",
    "ShapeError",
    "Summary",
    "TargetError",
    "Tensor",
    "Verification",
    "abs",
    "all",
    "any",
    "argmax",
    "argmin",
    "atan2",
    "ceil",
    "check_grad",
    "checkpoint",
    "clamp",
    "clip",
    "compile",
    "cos",
    "custom_grad",
    "dim",
    "dims",
    "distribute",
    "draw",
    "elu",
    "erf",
    "exp",
    "explain",
    "expm1",
    "fit",
    "floor",
    "from_einsum",
    "from_json",
    "from_onnx",
    "function",
    "gelu",
    "grad",
    "hessian",
    "hvp",
    "hypot",
    "index",
    "indices",
    "jacobian",
    "jvp",
    "latex",
    "leaky_relu",
    "load_checkpoint",
    "log",
    "log1p",
    "logsumexp",
    "loops",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "nn",
    "normal",
    "optim",
    "pad",
    "parameter",
    "parameters",
    "power",
    "prod",
    "reduction",
    "reflect",
    "relu",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "skip",
    "softplus",
    "sqrt",
    "stop_gradient",
    "sum",
    "summary",
    "tan",
    "tanh",
    "tensor",
    "tensors",
    "to_jax",
    "to_scipy",
    "to_json",
    "to_torch",
    "uniform",
    "verify",
    "vmap",
    "where",
    "wrap",
]
