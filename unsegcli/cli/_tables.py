"""Print scores: as JSON, or as tables on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from unsegcli.params import Terminal


def print_scores(scores: dict[str, Any], terminal: Terminal, show: Callable[[dict[str, Any]], None]) -> None:
    """Print scores as JSON if that was asked for, or if nobody is looking; else by a function that makes tables."""
    if terminal.json or not sys.stdout.isatty():
        import json

        print(json.dumps(scores, indent=2, ensure_ascii=False))
    else:
        show(scores)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], compare: Sequence[Mapping[str, Any]] = ()) -> None:
    """Print a table of results, and below a line what they are to be compared with, such as chance.

    Its columns are the keys of the rows, in the order in which they appear.
    """
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys(name for row in (*rows, *compare) for name in row))
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    for number, row in enumerate((*rows, *compare), start=1):
        cells = (cell(row[name]) if name in row else "" for name in columns)
        table.add_row(*cells, end_section=number == len(rows))
    Console(highlight=False, markup=False, emoji=False).print(table)


def cell(value: Any) -> str:
    """Format a value of a table."""
    if isinstance(value, str):
        return value
    return number(value)


def number(value: float | None) -> str:
    """Format a number of a table."""
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def with_spread(rows: Iterable[tuple[str, float]], spread: Mapping[str, float]) -> dict[str, str]:
    """Format scores with their standard deviation, where there is one."""
    return {name: number(value) + (f" ± {spread[name]:.3f}" if name in spread else "") for name, value in rows}


def print_networks(run: dict[str, Any], before: str = "") -> None:
    """Print which pretrained networks went into scored maps or vectors, if any did."""
    from unsegcli.dataflow.provenance import in_words

    said = in_words(run.get("pretrained", []))  # missing in files of earlier versions
    if said:
        print(f"{before}{said}")
