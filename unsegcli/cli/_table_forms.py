"""Tables as csv for programs, and as Markdown and LaTeX for papers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from unsegcli.cli._tables import Cell, Interval, Part, Row, Spread, Table, cell, heading

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def as_csv(parts: Sequence[Part]) -> str:
    """Return the tables, with an empty line between two; numbers in full, each in a column of its own."""
    written = []
    for table in _tables(parts):
        out = io.StringIO()
        rows = [_plain_row(row) for row in table.every_row]
        columns = _csv_columns(table)
        writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        written.append(out.getvalue())
    return "\n".join(written)


def _csv_columns(table: Table) -> list[str]:
    found = []
    for name in table.columns:
        values = [row[name] for row in table.every_row if name in row]
        longest = max((list(_plain(name, value)) for value in values), key=len)
        found += [column for column, _ in longest]
    return found


def _plain_row(row: Row) -> dict[str, str | float | None]:
    return {column: plain for name, value in row.items() for column, plain in _plain(name, value)}


def _plain(name: str, value: Cell) -> Iterator[tuple[str, str | float | None]]:
    """Yield the columns of a cell, with a number or a text each."""
    if isinstance(value, Spread):
        yield from ((name, value.mean), (f"{name}_deviation", value.deviation))
    elif isinstance(value, Interval):
        yield from ((f"{name}_low", value.low), (f"{name}_high", value.high))
    else:
        yield name, value


def as_markdown(parts: Sequence[Part]) -> str:
    """Return text and tables for a Markdown page."""
    return "\n".join(_markdown(part) if isinstance(part, Table) else f"{part}\n" for part in parts)


def _markdown(table: Table) -> str:
    rows = [[heading(name) for name in table.columns]]
    rows.append(["---" if _has_text(table, name) else "---:" for name in table.columns])
    rows += [
        [_shown(row, name, table.decimals).replace("|", r"\|") for name in table.columns] for row in table.every_row
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*([f"**{table.title}**", ""] if table.title else []), *lines, ""])


def as_latex(parts: Sequence[Part]) -> str:
    """Return tables for LaTeX, which need no package; lines of text become comments."""
    return "".join(_latex(part) if isinstance(part, Table) else f"% {part}\n" for part in parts)


def _latex(table: Table) -> str:
    sides = "".join("l" if _has_text(table, name) else "r" for name in table.columns)
    lines = [r"\begin{table}", *([rf"\caption{{{_escaped(table.title)}}}"] if table.title else [])]
    lines += [rf"\begin{{tabular}}{{{sides}}}", r"\hline", _latex_row(map(heading, table.columns)), r"\hline"]
    for rows in (table.rows, table.compare):
        if rows:
            lines += [
                *(_latex_row(_shown(row, name, table.decimals) for name in table.columns) for row in rows),
                r"\hline",
            ]
    return "\n".join([*lines, r"\end{tabular}", r"\end{table}", ""])


def _latex_row(cells: Iterator[str]) -> str:
    return f"{' & '.join(map(_escaped, cells))} \\\\"


def _escaped(text: str) -> str:
    """Replace characters that mean something else in LaTeX."""
    return "".join(LATEX.get(sign, sign) for sign in text).replace("±", r"$\pm$")


def _tables(parts: Sequence[Part]) -> list[Table]:
    return [part for part in parts if isinstance(part, Table)]


def _has_text(table: Table, name: str) -> bool:
    return any(isinstance(row.get(name), str) for row in table.every_row)


def _shown(row: Row, name: str, decimals: int) -> str:
    return cell(row[name], decimals) if name in row else ""


FORMS: dict[str, Callable[[Sequence[Part]], str]] = {"csv": as_csv, "markdown": as_markdown, "latex": as_latex}
