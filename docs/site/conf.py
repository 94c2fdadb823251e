"""How Sphinx builds the site: ``make docs``."""

from __future__ import annotations

import importlib.metadata
import re

project = "graphc"
author = "the authors of graphc"
copyright = author
release = importlib.metadata.version("graphc")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["site", "gallery/pictures", "notebooks/.ipynb_checkpoints"]
source_suffix = {".md": "markdown"}
root_doc = "index"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
default_role = "code"
pygments_style, pygments_dark_style = "friendly", "github-dark"

html_theme = "furo"
html_title = f"graphc {release}"
html_static_path = ["static"]
html_css_files = ["graphc.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp"

_EXAMPLE = re.compile(r"\]\((?:\.\./)+examples/(\w+)\.py\)")
_ELSEWHERE = r"(?:examples|tests/[\w/.]+|graphc/[\w/.]+|benchmarks/[\w/.]+|CHANGELOG\.md|LICENSE|README\.md)"
_REPOSITORY = re.compile(rf"\[([^\]]+)\]\((?:\.\./)+{_ELSEWHERE}\)")


def _links(app: object, name: str, source: list[str]) -> None:
    """Links to an example lead to its page in the gallery; those to files that are not on the site become their text."""
    root = "../" * name.count("/")
    source[0] = _REPOSITORY.sub(r"\1", _EXAMPLE.sub(rf"]({root}gallery/\1.md)", source[0]))


def setup(app: object) -> None:
    app.connect("source-read", _links)  # type: ignore[attr-defined]
