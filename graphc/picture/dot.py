"""A scene as a DOT program (https://graphviz.org/doc/info/lang.html); equal scenes give equal text."""

from __future__ import annotations

from collections.abc import Iterable

from graphc.picture.scene import Edge, Node, Scene

__all__ = ["COLOURS", "dot"]

COLOURS = {
    "input": ("#e9f4ec", "#4f9a68"),
    "parameter": ("#fff3d1", "#d09a1c"),
    "defined": ("#ffffff", "#3c6ea8"),
    "adjoint": ("#ffffff", "#bf4d66"),
    "seed": ("#fbe9ed", "#bf4d66"),
}
"""Fill and line of each kind of tensor."""

_FORWARD_LOOP, _BACKWARD_LOOP = ("#edf3fa", "#d3e1f0"), ("#fcf0f2", "#f3d7dd")
_LAYER_FILL, _LAYER_LINE, _LAYER_TEXT = "#f9fafb", "#e2e5ea", "#8b94a3"
_HOT = (0xF0, 0x64, 0x3C)
_FORWARD_ARROW, _BACKWARD_ARROW, _SAVED_ARROW = "#5f7fa6", "#c77a8c", "#b9c0cb"


def dot(picture: Scene) -> str:
    """The DOT text of a scene: one cluster per half and layer, adjoints level with their tensors.

    Arrows of the backward half are declared head first (``dir=back``), so that its layers get the order of the forward half.
    """
    anchors = _anchors(picture)
    parts = [*_preamble(picture), *anchors]
    # First of all, because dot puts on the left what is named first.
    for left, right in picture.levels:
        parts.append(f"  {{ rank=same; {_quoted(left)} -> {_quoted(right)} [style=invis, weight=0]; }}")
    for backward in (False, True):
        half = [node for node in picture.nodes if node.backward is backward]
        if half:
            parts += [f"  subgraph cluster_{'backward' if backward else 'forward'} {{", "    style=invis;",
                      *([f"    {_quoted('>' if backward else '<')};"] if anchors else []), *_half(half, picture), "  }"]
    nodes = {node.key: node for node in picture.nodes}
    parts += [_edge(edge, nodes[edge.tail], nodes[edge.head], picture.sideways) for edge in picture.edges]
    return "\n".join([*parts, "}", ""])


def _preamble(picture: Scene) -> list[str]:
    close = picture.compact
    return [
        "digraph program {",
        f"  graph [rankdir={'LR' if picture.sideways else 'TB'}, newrank=true, bgcolor=white, pad=0.2, "
        f"nodesep={0.22 if close else 0.3}, ranksep={0.3 if close else 0.34}, fontname=Courier, fontsize=10"
        f"{f', label={_quoted(picture.caption)}' if picture.caption else ''}];",
        f"  node [shape=box, style=\"filled,rounded\", fontname=Courier, fontsize={10 if close else 11}, height=0.2, margin=\"0.1,0.06\"];",
        "  edge [arrowsize=0.6, penwidth=1.1];",
    ]


def _anchors(picture: Scene) -> list[str]:
    """Two invisible tops that keep the halves apart where the backward half is the higher one (second derivatives).

    The first halves of such pictures are not where dot begins, and it would put them on the right.
    """
    flow = [edge for edge in picture.edges if edge.kind == "flow"]
    read, defined, level = {e.tail for e in flow}, {e.head for e in flow}, {right for _, right in picture.levels}
    right = [node.key for node in picture.nodes if node.backward and node.key not in read]
    left = [node.key for node in picture.nodes if not node.backward and node.key not in defined]
    if picture.sideways or not left or level.issuperset(right):
        return []
    point = "[style=invis, shape=point, width=0, height=0, label=\"\"]"
    return [
        f"  \"<\" {point};", f"  \">\" {point};", "  { rank=min; \"<\" -> \">\" [style=invis]; }",
        *(f"  \"<\" -> {_quoted(key)} [style=invis, weight=0];" for key in left),
        *(f"  \">\" -> {_quoted(key)} [style=invis, weight=0];" for key in right),
    ]


def _half(nodes: list[Node], picture: Scene) -> Iterable[str]:
    groups = dict.fromkeys(node.group for node in nodes)
    boxed = len([group for group in groups if group]) > 1
    for group in groups:
        members = [node for node in nodes if node.group == group]
        inside = [f"      {_node(node, picture.compact, picture.sideways)}" for node in members]
        if group and boxed:
            name = _quoted(f"cluster_{'backward' if members[0].backward else 'forward'}_{group}")
            yield f"    subgraph {name} {{"
            yield (f"      graph [style=\"filled,rounded\", fillcolor=\"{_LAYER_FILL}\", color=\"{_LAYER_LINE}\", label={_quoted(group)}, "
                   f"labeljust=l, fontcolor=\"{_LAYER_TEXT}\", margin=8, class=layer];")
            yield from inside
            yield "    }"
        else:
            yield from (line[2:] for line in inside)


def _node(node: Node, compact: bool, sideways: bool) -> str:
    if node.kind == "loop":
        fill, line = _BACKWARD_LOOP if node.backward else _FORWARD_LOOP
        width, end, lines = 0.8, "\\l", [text for text in node.lines if text]
    else:
        fill, line = COLOURS[node.kind]
        width, end, lines = (2.4 if node.output else 1.3), "\\n", [text for text in node.lines if text]
        if compact and len(lines) > 1:
            end = "\\l"
    if node.heat is not None:
        fill = _warm(node.heat)
    label = "".join(_escaped(text) + end for text in lines) if end == "\\l" else end.join(map(_escaped, lines))
    marks = _marks(node, compact, sideways)
    return (f"{_quoted(node.key)} [label=\"{label}\", fillcolor=\"{fill}\", color=\"{line}\", penwidth={width}, class=\"{marks}\", "
            f"tooltip=\"{_escaped(node.tooltip)}\"];")


def _warm(heat: float) -> str:
    """White to red by a share from 0 to 1; the root makes small shares visible.

    >>> _warm(0.0), _warm(1.0)
    ('#ffffff', '#f0643c')
    """
    return "#" + "".join(f"{round(255 + (hot - 255) * heat**0.5):02x}" for hot in _HOT)


def _marks(node: Node, compact: bool, sideways: bool) -> str:
    """The SVG classes from which the renderer tells how to set the lines."""
    if node.kind == "loop":
        return "loop headed" if node.lines[0] else "loop"
    return f"tensor {node.kind}{' valued' if sideways else ' whole' if compact and node.kind != 'seed' else ''}"


def _edge(edge: Edge, tail: Node, head: Node, sideways: bool) -> str:
    if edge.kind == "saved":
        return (f"  {_quoted(edge.tail)} -> {_quoted(edge.head)} [constraint=false, style=dashed, color=\"{_SAVED_ARROW}\", penwidth=0.8, "
                f"arrowsize=0.45, tooltip={_quoted(f'the value of {edge.tail} is kept for the backward pass')}, class=saved];")
    # The parameters of a layer lie below the layer before it: two frames never share a level, so they can stand above each other.
    apart = tail.group != head.group and tail.kind in ("defined", "adjoint")
    if head.backward and not sideways:
        far = f", minlen={3 if head.kind == 'loop' else 2}" if apart else ""
        return f"  {_quoted(edge.head)} -> {_quoted(edge.tail)} [dir=back, color=\"{_BACKWARD_ARROW}\", tooltip=\" \"{far}];"
    far = ", minlen=2" if apart and not sideways else ""
    heavy = ", weight=4" if "defined" in (tail.kind, head.kind) else ""
    return f"  {_quoted(edge.tail)} -> {_quoted(edge.head)} [color=\"{_FORWARD_ARROW}\", tooltip=\" \"{heavy}{far}];"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
