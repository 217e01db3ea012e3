"""Write the tables of docs/results.md that are kept as data.

    python tests/benchmarks/render_results.py            write docs/results.md
    python tests/benchmarks/render_results.py --check    only say whether it is up to date

The data are lists of rows in `tests/benchmarks/rows/`, written by the script that measured them (its option --json), or
what `unseg benchmark` wrote, with the titles of `titles` instead of the names of folders, if the file has some. A table
stands between the lines `<!-- rows NAME MEASURE -->` and `<!-- end of rows -->`: one line for each row of
`NAME.json`, one column for each set, and the mean over sets; each value is the mean over seeds, accuracy / mIoU; a row
that is a ceiling has its own measure in every table. With
`NAME MEASURE ONE - OTHER` the table has the differences in accuracy between two rows for each seed. With `NAME
SET:MEASURE,MEASURE` it has one set and one column for each measure: mIoU, mean and deviation over seeds, or one number
if there is one seed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
ROWS = Path(__file__).with_name("rows")
MARKED = re.compile(r"(<!-- rows (\S+) (\S+)(?: ([^\n]+?) - ([^\n]+?))? -->\n).*?(<!-- end of rows -->)", re.DOTALL)
HEADS = {"probe": "probe of superpixels", "pixels": "probe of pixels", "retrieval": "retrieval of objects"}
CEILING = "ceiling"
Row = dict[str, Any]


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    page = PAGE.read_text(encoding="utf-8")
    made = rendered(page)
    if not parser.parse_args().check:
        PAGE.write_text(made, encoding="utf-8")
    elif made != page:
        raise SystemExit(f"{PAGE.name}: is not what the rows say; run {Path(__file__).name}")


def rendered(page: str) -> str:
    """Replace all tables of a page."""

    def replaced(found: re.Match[str]) -> str:
        start, name, measure, one, other, end = found.groups()
        rows = _rows_in(ROWS / f"{name}.json")
        if one:
            table = _differences(rows, measure, one, other)
        elif ":" in measure:
            table = _measures(rows, *measure.split(":"))
        else:
            table = _means(rows, measure)
        return f"{start}\n{table}\n\n{end}"

    return MARKED.sub(replaced, page)


def _rows_in(path: Path) -> list[Row]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, list):
        return found
    titles = found.get("titles", {})
    rows = [{**row, "set": titles.get(row["set"], row["set"])} for row in found["rows"]]
    return sorted(rows, key=lambda row: row["row"].startswith(CEILING))


def _measured(row: Row, measure: str) -> list[float] | None:
    """Return accuracy and mIoU of a row, if it has that measure."""
    score: list[float] | None = row.get("probe" if row["row"].startswith(CEILING) else measure)
    return score


def _means(rows: Sequence[Row], measure: str) -> str:
    sets = _in_order(row["set"] for row in rows)
    lines = []
    for name in _in_order(row["row"] for row in rows if _measured(row, measure)):
        cells, known = [], []
        for one in sets:
            own = [_measured(row, measure) for row in rows if (row["set"], row["row"]) == (one, name)]
            found = [score for score in own if score]
            cells.append(_pair(np.mean(found, axis=0)) if found else "")
            known += [np.mean(found, axis=0)] if found else []
        cells.append(_pair(np.mean(known, axis=0)) if len(known) == len(sets) else "")
        lines.append([name, *cells])
    return _table(["", *sets, "mean"], lines)


def _differences(rows: Sequence[Row], measure: str, one: str, other: str) -> str:
    lines = []
    for name in _in_order(row["set"] for row in rows):
        values = {(row["row"], row["seed"]): row[measure][0] for row in rows if row["set"] == name}
        seeds = sorted(seed for row, seed in values if row == one and (other, seed) in values)
        found = [values[one, seed] - values[other, seed] for seed in seeds]
        lines.append([name, ", ".join(f"{value:+.3f}" for value in found), f"{np.mean(found):+.3f}"])
    return _table(["set", "each seed", "mean"], lines)


def _measures(rows: Sequence[Row], name: str, measures: str) -> str:
    own = [row for row in rows if row["set"] == name]
    lines = []
    for title in _in_order(row["row"] for row in own):
        found = [[row[one][1] for row in own if row["row"] == title and one in row] for one in measures.split(",")]
        lines.append([title, *map(_spread, found)])
    return _table(["", *(HEADS.get(one, one) for one in measures.split(","))], lines)


def _spread(values: Sequence[float]) -> str:
    """Return mean and deviation."""
    if not values:
        return ""
    deviation = f" ± {_short(np.std(values, ddof=1))}" if len(values) > 1 else ""
    return _short(np.mean(values)) + deviation


def _in_order(values: Any) -> list[str]:
    return list(dict.fromkeys(values))


def _pair(score: Any) -> str:
    return " / ".join(map(_short, score))


def _short(value: Any) -> str:
    return f"{value:.3f}".lstrip("0")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
