"""Tables, as text and for notebooks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

__all__ = ["html_table", "text_table"]


def text_table(heads: Sequence[str], lines: Sequence[Sequence[str]], foot: Sequence[str], right: Collection[int] = ()) -> str:
    """A table with a head and a foot; the columns in `right` are flush right.

    >>> print(text_table(("name", "count"), [("x", "12")], ("all", "12"), right=(1,)))
     name   count
     ────────────
     x         12
     all       12
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    for column, (head, end) in enumerate(zip(heads, foot, strict=True)):
        table.add_column(head, end, justify="right" if column in right else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    width = sum(max(len(line[k]) for line in (heads, foot, *lines)) + 3 for k in range(len(heads)))
    console = Console(width=width + 4, color_system=None, force_terminal=False, force_jupyter=False, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def html_table(heads: Sequence[str], lines: Sequence[Sequence[str]], foot: Sequence[str] = (), right: Collection[int] = ()) -> str:
    """The same for a notebook.

    >>> print(html_table(("name", "n"), [("x", "12")], right=(1,)))
    <table>
    <thead><tr><th style="text-align:left">name</th><th style="text-align:right">n</th></tr></thead>
    <tbody>
    <tr><td style="text-align:left">x</td><td style="text-align:right">12</td></tr>
    </tbody>
    </table>
    """

    def line(cells: Sequence[str], tag: str) -> str:
        made = (f'<{tag} style="text-align:{"right" if k in right else "left"}">{escape(cell)}</{tag}>' for k, cell in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    body = "\n".join(line(cells, "td") for cells in lines)
    last = f"<tfoot>{line(foot, 'th')}</tfoot>\n" if foot else ""
    return f"<table>\n<thead>{line(heads, 'th')}</thead>\n<tbody>\n{body}\n</tbody>\n{last}</table>"
