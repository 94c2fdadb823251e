"""What a picture of a graph consists of: nodes and edges as plain data, without any notion of how they are drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from graphc.ir.graph import Graph, reads
from graphc.ir.show import expression, statement
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor

__all__ = ["Edge", "Node", "Scene", "backward_names", "scene", "shape_text", "sole_scalar", "wrapped"]

_ADJOINT = re.compile(r"\.grad(_\d+)?$")
_WIDTH = {"lecture": 50, "compact": 72}


@dataclass(frozen=True, slots=True)
class Node:
    """A box.

    Attributes:
        key: unique in the scene.
        kind: "input", "parameter", "defined", "adjoint", "loop" or "seed".
        lines: its text; of a tensor the name, then what is known about it; of a loop its header, then the body.
        tooltip: what a browser shows under the mouse.
        backward: whether it belongs to the right half.
        group: the layer ("" for none).
        output: whether it was asked for.
        heat: its share of the cost, from 0 to 1; None where no cost is known.
    """

    key: str
    kind: str
    lines: tuple[str, ...]
    tooltip: str = ""
    backward: bool = False
    group: str = ""
    output: bool = False
    heat: float | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow; `kind` is "flow" (down on the left, up on the right) or "saved" (a forward value that the backward half reads)."""

    tail: str
    head: str
    kind: str = "flow"


@dataclass(frozen=True, slots=True)
class Scene:
    """Nodes and edges in reading order; `levels` are pairs that shall stand side by side, the first on the left; `caption` stands below."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    levels: tuple[tuple[str, str], ...] = ()
    compact: bool = False
    sideways: bool = False
    caption: str = ""


def scene(
    graph: Graph, compact: bool = False, notes: Mapping[str, tuple[str, str]] | None = None, told: Callable[[Statement], str] = statement,
    costs: Mapping[str, tuple[float, str]] | None = None,
) -> Scene:
    """Arrange a graph for drawing.

    Args:
        graph: any graph.
        compact: draw a tensor and the loops that define it as one box.
        told: what is said about a statement under the mouse.
        notes: a line above and a line below the name of each tensor, which replace its shape; the picture then runs from left to right.
        costs: by name of a tensor the share of the cost of its loops, from 0 to 1, and what is said about it.
    """
    return _Builder(graph, compact, notes, told, costs or {}).build()


class _Builder:
    def __init__(
        self, graph: Graph, compact: bool, notes: Mapping[str, tuple[str, str]] | None, told: Callable[[Statement], str],
        costs: Mapping[str, tuple[float, str]],
    ) -> None:
        self.graph, self.compact, self.notes, self.told, self.costs = graph, compact, notes, told, costs
        self.tensors = graph.by_name()
        self.definitions = graph.definitions()
        self.backward = backward_names(graph)
        self.right = self.backward | _inputs_of(graph, self.backward)
        self.nodes: list[Node] = []
        self.edges: dict[Edge, None] = {}
        self.loss = sole_scalar(graph, self.backward)

    def build(self) -> Scene:
        loops = 0
        for name in self.graph.order():
            if self.compact or not self.definitions[name]:
                self.nodes.append(self.tensor(name))
            for s in self.definitions[name]:
                loops += 1
                key = name if self.compact else f"loop {loops}"
                if not self.compact:
                    self.nodes.append(self.loop(s, key))
                    self.edges[Edge(key, name)] = None
                self.connect(s, key)
            if self.definitions[name] and not self.compact:
                self.nodes.append(self.tensor(name))
        if any(edge.tail == "seed" for edge in self.edges):
            told = f"The derivative of {self.loss} with respect to itself is 1."
            self.nodes.append(Node("seed", "seed", (f"{self.loss}.grad", "1"), told, True))
        return Scene(tuple(self.nodes), tuple(self.edges), self.levels(), self.compact, self.notes is not None)

    def connect(self, s: Statement, key: str) -> None:
        right = s.target in self.right
        sources = [source for source in reads(s) if source != key]
        for source in sources:
            self.edges[Edge(source, key, "saved" if right and source not in self.right else "flow")] = None
        if right and self.loss and f"{self.loss}.grad" not in self.tensors and not any(source in self.backward for source in sources):
            if _ADJOINT.search(s.target):
                self.edges[Edge("seed", key)] = None

    def tensor(self, name: str) -> Node:
        info, definitions = self.tensors[name], self.definitions[name]
        kind = "adjoint" if name in self.backward else info.kind
        facts = f"{name}: {info.dtype}, {'scalar' if not info.shape else 'shape ' + shape_text(info)}"
        lines: tuple[str, ...]
        if self.notes is not None:
            above, below = self.notes.get(name, ("", ""))
            lines = (above, name, below)
        elif self.compact:
            shape = shape_text(info) + (f" {info.dtype}" if info.dtype != "float32" else "")
            body = (line for s in definitions for line in wrapped(_tidy(statement(s)), _WIDTH["compact"]))
            lines = (f"{name}  {shape}".rstrip(), *body)
        else:
            lines = (name, " ".join(part for part in (shape_text(info), info.dtype) if part))
        told = "\n".join((facts, *(self.told(s) for s in definitions)))
        node = Node(name, kind, lines, told, name in self.right, self.group(info), name in self.graph.outputs)
        return self.warmed(node, name) if self.compact else node

    def loop(self, s: Statement, key: str) -> Node:
        header, found, body = statement(s).partition(":  ")
        if not found:
            header, body = "", header
        lines = (header, *wrapped(_tidy(body), _WIDTH["lecture"]))
        return self.warmed(Node(key, "loop", lines, self.told(s), s.target in self.right, self.group(self.tensors[s.target])), s.target)

    def warmed(self, node: Node, name: str) -> Node:
        """The node with the cost of the loops that define the tensor `name`, behind its first line."""
        if name not in self.costs:
            return node
        share, told = self.costs[name]
        first, *rest = node.lines
        return replace(node, lines=(f"{first}   {share:.0%}".lstrip(), *rest), heat=share, tooltip=f"{told}\n{node.tooltip}")

    def group(self, info: Tensor) -> str:
        """The layer; what the compiler named after a tensor belongs to the layer of that tensor."""
        path = info.group
        while path and path not in self.tensors and any(prefix in self.tensors for prefix in _prefixes(path)):
            path = path.rpartition(".")[0]
        return self.group(self.tensors[path]) if path in self.tensors and path != info.name else path

    def levels(self) -> tuple[tuple[str, str], ...]:
        keys = {node.key for node in self.nodes}
        pairs = [(name, f"{name}.grad") for name in self.tensors if name not in self.right and f"{name}.grad" in keys]
        return (*pairs, *([(self.loss, "seed")] if "seed" in keys else []))


def _prefixes(path: str) -> list[str]:
    """
    >>> _prefixes("a.b.c")
    ['a', 'a.b']
    """
    parts = path.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts))]


def backward_names(graph: Graph) -> frozenset[str]:
    """Adjoints, and the derived temporaries that only adjoints are computed from."""
    readers: dict[str, set[str]] = {t.name: set() for t in graph.tensors}
    for s in graph.statements:
        for source in reads(s):
            readers[source].add(s.target)
    definitions = graph.definitions()
    found = {t.name for t in graph.tensors if not t.is_input and _ADJOINT.search(t.name)}
    for name in reversed(graph.order()):
        derived = definitions[name] and all(s.origin is not None for s in definitions[name])
        if derived and name not in graph.outputs and readers[name] and readers[name] - {name} <= found:
            found.add(name)
    return frozenset(found)


def _inputs_of(graph: Graph, half: frozenset[str]) -> frozenset[str]:
    """The inputs that only statements of this half of the graph read."""
    inside = {source for s in graph.statements if s.target in half for source in reads(s)}
    outside = {source for s in graph.statements if s.target not in half for source in reads(s)}
    return frozenset(t.name for t in graph.tensors if t.is_input and t.name in inside - outside)


def sole_scalar(graph: Graph, backward: frozenset[str] = frozenset()) -> str:
    """What is (or was) differentiated: the only scalar that nothing in the forward half reads ("" if there is no such)."""
    read = {source for s in graph.statements if s.target not in backward for source in reads(s) if source != s.target}
    ends = [t.name for t in graph.tensors if not t.is_input and not t.shape and t.name not in backward and t.name not in read]
    return ends[0] if len(ends) == 1 else ""


def shape_text(info: Tensor) -> str:
    """``N×28×28``."""
    extents = [expression(e).replace(" ", "") for e in info.shape]
    return "×".join(f"({e})" if re.search(r"\W", e) and len(extents) > 1 else e for e in extents)


def _tidy(text: str) -> str:
    """A scalar is written without its empty subscripts."""
    return text.replace("[()]", "")


def wrapped(text: str, width: int) -> list[str]:
    """Break a statement before operators and after commas, as far out in its parentheses as possible.

    >>> wrapped("Y[b,i] = sigmoid(U[b,i] + c[i]) + first[b,i]*second[i,b]", 40)
    ['Y[b,i] = sigmoid(U[b,i] + c[i])', '    + first[b,i]*second[i,b]']
    """
    lines = []
    indent = ""
    while len(indent + text) > width:
        place = _break(text, width - len(indent))
        if place <= 0:
            break
        lines.append(indent + text[:place].rstrip())
        text, indent = text[place:].lstrip(), "    "
    return [*lines, indent + text]


def _break(text: str, room: int) -> int:
    """The best position at which a line may end: few parentheses open, loosely binding operator, not too short."""
    best, best_rank = 0, (99.0, 0)
    depth = brackets = 0
    for position, sign in enumerate(text[: room + 1]):
        brackets += (sign == "[") - (sign == "]")
        depth += (sign == "(") - (sign == ")")
        if brackets or position < 6:
            continue
        end, strength = position, 9.0
        if text.startswith((" + ", " - ", " & ", " | ", " == ", " > ", " < ", " >= ", " <= "), position):
            strength = 0
        elif text.startswith(":  ", position):
            end, strength = position + 3, -9
        elif text.startswith((" = ", " += "), position):
            end, strength = text.index("= ", position) + 2, 3.5
        elif text.startswith(", ", position):
            end, strength = position + 2, 1
        elif sign in "*/" and text[position - 1] not in "*/" and text[position + 1] not in "*/":
            strength = 1.5
        if strength < 9 and end <= room and (rank := (2 * depth + strength, -position)) < best_rank:
            best, best_rank = end, rank
    return best
