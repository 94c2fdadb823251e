"""The operators that can be imported: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphc.interop.onnx import elementwise, layers, recurrent, reductions, shapes
from graphc.interop.onnx.node import Node

__all__ = ["OPERATORS", "Operator"]


@dataclass(frozen=True, slots=True)
class Operator:
    """How a node of one kind is imported.

    Attributes:
        build: makes the tensor of a node, a constant, or a tuple of results.
        attributes: those that are looked at, or do not matter.
        only: attributes of which one value is supported, or those of a tuple.
        results: how many results can be used.
    """

    build: Callable[[Node], Any]
    attributes: tuple[str, ...] = ()
    only: tuple[tuple[str, Any], ...] = ()
    results: int = 1


_WINDOW = ("dilations", "kernel_shape", "pads", "strides")
_AUTOMATIC = (("auto_pad", ("NOTSET", "SAME_LOWER", "SAME_UPPER", "VALID", "")),)
_REDUCED = ("axes", "keepdims", "noop_with_empty_axes")
_ALWAYS = (("direction", ("forward", "reverse", "bidirectional")), ("layout", 0))

OPERATORS: dict[str, Operator] = {
    **{kind: Operator(elementwise.unary) for kind in elementwise.PLAIN},
    **{kind: Operator(elementwise.unary, attributes) for kind, (_, attributes) in elementwise.FORMULAS.items()},
    "Gelu": Operator(elementwise.unary, (), (("approximate", ("none", "tanh")),)),
    **{kind: Operator(elementwise.binary) for kind in elementwise.BINARY},
    **{kind: Operator(elementwise.variadic) for kind in ("Max", "Mean", "Min", "Sum")},
    **{kind: Operator(reductions.reduction, _REDUCED) for kind in reductions.REDUCTIONS},
    "ArgMax": Operator(reductions.arg_reduction, ("axis", "keepdims"), (("select_last_index", 0),)),
    "ArgMin": Operator(reductions.arg_reduction, ("axis", "keepdims"), (("select_last_index", 0),)),
    "AveragePool": Operator(layers.pool, (*_WINDOW, "ceil_mode", "count_include_pad"), _AUTOMATIC),
    "BatchNormalization": Operator(layers.batch_normalization, ("epsilon", "momentum"), (("training_mode", 0), ("spatial", 1))),
    "Cast": Operator(elementwise.cast, ("to", "saturate", "round_mode")),
    "Clip": Operator(elementwise.clip, ("max", "min")),
    "Concat": Operator(shapes.concat, ("axis",)),
    "ConstantOfShape": Operator(shapes.filled, ("value",)),
    "Conv": Operator(layers.convolution, (*_WINDOW, "group"), _AUTOMATIC),
    "ConvTranspose": Operator(layers.convolution_transpose, (*_WINDOW, "group", "output_padding"), _AUTOMATIC),
    "DepthToSpace": Operator(shapes.depth_to_space, ("blocksize",), (("mode", ("DCR", "CRD")),)),
    "Dropout": Operator(elementwise.dropout, ("ratio", "seed")),
    "Einsum": Operator(layers.einsum, ("equation",)),
    "Expand": Operator(shapes.expand),
    "Flatten": Operator(shapes.flatten, ("axis",)),
    "GRU": Operator(recurrent.recurrent, ("hidden_size", "linear_before_reset"), (*_ALWAYS, ("activations", ["Sigmoid", "Tanh"])), 2),
    "Gather": Operator(shapes.gather, ("axis",)),
    "Gemm": Operator(layers.gemm, ("alpha", "beta", "transA", "transB")),
    "GlobalAveragePool": Operator(layers.global_pool),
    "GlobalMaxPool": Operator(layers.global_pool),
    "GroupNormalization": Operator(layers.group_normalization, ("epsilon", "num_groups", "stash_type")),
    "Identity": Operator(elementwise.identity),
    "InstanceNormalization": Operator(layers.instance_normalization, ("epsilon",)),
    "LSTM": Operator(
        recurrent.recurrent, ("hidden_size",), (*_ALWAYS, ("input_forget", 0), ("activations", ["Sigmoid", "Tanh", "Tanh"])), 3
    ),
    "LayerNormalization": Operator(layers.layer_normalization, ("axis", "epsilon", "stash_type")),
    "LogSoftmax": Operator(layers.softmax, ("axis",)),
    "LpNormalization": Operator(layers.lp_normalization, ("axis",), (("p", (1, 2)),)),
    "MatMul": Operator(layers.matmul),
    "MaxPool": Operator(layers.pool, (*_WINDOW, "ceil_mode", "storage_order"), _AUTOMATIC),
    "PRelu": Operator(elementwise.prelu),
    "Pad": Operator(shapes.pad, ("pads", "value"), (("mode", ("constant", "reflect", "edge", "wrap")),)),
    "Pow": Operator(elementwise.power),
    "RNN": Operator(recurrent.recurrent, ("activations", "hidden_size"), _ALWAYS, 2),
    "Reshape": Operator(shapes.reshape, ("allowzero",)),
    "Resize": Operator(
        shapes.resize, ("coordinate_transformation_mode", "cubic_coeff_a", "extrapolation_value", "mode", "nearest_mode"),
        (("antialias", 0), ("exclude_outside", 0), ("keep_aspect_ratio_policy", "stretch")),
    ),
    "Shape": Operator(shapes.shape_of, ("end", "start")),
    "Slice": Operator(shapes.slice_, ("axes", "ends", "starts")),
    "Softmax": Operator(layers.softmax, ("axis",)),
    "SpaceToDepth": Operator(shapes.space_to_depth, ("blocksize",)),
    "Split": Operator(shapes.split, ("axis", "num_outputs", "split"), (), 1000),
    "Squeeze": Operator(shapes.squeeze, ("axes",)),
    "Tile": Operator(shapes.tile),
    "Transpose": Operator(shapes.transpose, ("perm",)),
    "Unsqueeze": Operator(shapes.unsqueeze, ("axes",)),
    "Upsample": Operator(shapes.resize, ("mode", "scales")),
    "Where": Operator(elementwise.where),
}  # fmt: skip
