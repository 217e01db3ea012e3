"""Print scores: as JSON, or as tables for people, other programs and papers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsegcli import console
from unsegcli.errors import as_unseg_writes
from unsegcli.params import Terminal


@dataclass(frozen=True)
class Spread:
    """A mean and its standard deviation."""

    mean: float | None
    deviation: float


@dataclass(frozen=True)
class Interval:
    """The two ends of an interval."""

    low: float | None
    high: float | None


Cell = str | int | float | Spread | Interval | None
Row = Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """Rows of results; and below a line, what they are to be compared with, such as chance.

    Its columns are the keys of the rows, in the order in which they appear.
    """

    rows: Sequence[Row]
    title: str = ""
    compare: Sequence[Row] = ()
    decimals: int = 3  # of numbers below 100

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(dict.fromkeys(name for row in self.every_row for name in row))

    @property
    def every_row(self) -> list[Row]:
        """The rows above and below the line."""
        return [*self.rows, *self.compare]


UNLIMITED = 10_000  # characters in a line
Part = Table | str  # of what is printed: a table, or a line of text
Described = Callable[[dict[str, Any]], Iterable[Part]]


def print_scores(scores: dict[str, Any], terminal: Terminal, described: Described, file: Path | None = None) -> None:
    """Print scores as JSON if that was asked for, or if nobody is looking; else what a function makes of them.

    Args:
        scores: what is printed.
        terminal: how to print it.
        described: makes tables and lines of text of it.
        file: that they were read from; None = they were computed just now.
    """
    if terminal.json or not (terminal.table or sys.stdout.isatty()):
        print_json(scores)
    else:
        with nullcontext() if file is None else as_unseg_writes(file, "scores"):
            print_parts(described(scores), terminal.table or "text")


def print_json(values: dict[str, Any]) -> None:
    """Print JSON; control characters in its texts, which JSON allows in part, are printed as its escapes."""
    import json

    text = json.dumps(values, indent=2, ensure_ascii=False)
    print(console.CONTROL.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text))


def print_parts(parts: Iterable[Part], form: str = "text") -> None:
    """Print tables and lines of text as `text`, `csv`, `markdown` or `latex`."""
    if form == "text":
        _print_text(parts)
        return
    from unsegcli.cli._table_forms import FORMS

    text = FORMS[form](list(parts))
    sys.stdout.write(console.printable_lines(text) if sys.stdout.isatty() else text)


def _print_text(parts: Iterable[Part]) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() else UNLIMITED  # a file has no width
    out = Console(highlight=False, markup=False, emoji=False, width=width)
    for number, part in enumerate(parts):
        if isinstance(part, str):
            out.print(console.printable(part), style="bold" if number == 0 else None)
            continue
        if part.title:
            out.print(console.printable(part.title), style="italic")
        out.print(_drawn(part))


def _drawn(table: Table) -> Any:
    """Return a table for a terminal, without its title."""
    from rich.table import Table as Drawn

    drawn = Drawn()
    for name in table.columns:
        drawn.add_column(console.printable(heading(name)), overflow="fold")
    for number, row in enumerate(table.every_row, start=1):
        cells = (cell(row[name], table.decimals) if name in row else "" for name in table.columns)
        drawn.add_row(*map(console.printable, cells), end_section=number == len(table.rows))
    return drawn


def heading(column: str) -> str:
    """Return the heading of a column."""
    return column.replace("_", " ").replace("interval", "95 % interval")


def cell(value: Cell, decimals: int = 3) -> str:
    """Format a value of a table for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, Spread):
        return f"{number(value.mean, decimals)} ± {value.deviation:.{decimals}f}"
    if isinstance(value, Interval):
        return "" if value.low is None else f"{number(value.low, decimals)} to {number(value.high, decimals)}"
    return number(value, decimals)


def number(value: float | None, decimals: int = 3) -> str:
    """Format a number of a table."""
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{decimals}f}" if abs(value) < 100 else f"{value:,.1f}"


def with_spread(rows: Iterable[tuple[str, float]], spread: Mapping[str, float]) -> dict[str, Cell]:
    """Return scores with their standard deviation, where there is one."""
    return {name: Spread(value, spread[name]) if name in spread else value for name, value in rows}


def networks_said(run: dict[str, Any], before: str = "") -> list[str]:
    """Return a line on pretrained networks that went into scored maps or vectors, if any did."""
    from unsegcli.dataflow.provenance import in_words

    said = in_words(run.get("pretrained", []))  # missing in files of earlier versions
    return [f"{before}{said}"] if said else []
