"""Tables of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["text_table"]


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
