"""`unseg inspect`."""

from __future__ import annotations

import os
import sys
from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.cli._tables import print_json
from unsegcli.console import printable
from unsegcli.errors import ArtifactError
from unsegcli.params import Inputs, Inspect, Run, Terminal

CATEGORY = ["number", "name", "pixels", "share", "colour"]


def _show(described: dict[str, Any], run: Run, terminal: Terminal) -> None:
    if terminal.json:
        print_json(described)
    else:
        _print(described)
    if described.get("problems"):
        count, path = len(described["problems"]), described["path"]
        raise ArtifactError(f"{path}: {count} invariants are violated (listed above); make the file again")


@command("inspect", Inspect, Takes(argument="An HDF5 file that unseg wrote.", run=(), terminal=("json",)), _show)
def inspect(inputs: Inputs, params: Inspect, run: Run) -> Any:
    """Show what a file contains and how it was made.

    Prints its kind, sizes and recipe, and the chain of files and images that it was made from; of a segmentation also
    its clusters, with their names, colours and areas.
    """
    from unsegcli.stages.inspect import inspect as stage

    return stage(inputs, params, run)


def _print(described: dict[str, Any]) -> None:
    from unsegcli.recipe import INPUTS

    counts = [f"{described[name]:,} {name}" for name in ("sources", "windows") if name in described]
    _say(f"{described['path']}: {described['kind']} version {described['kind_version']}")
    print(", ".join([*counts, f"{described['file_bytes'] / 1e6:,.2f} MB"]))
    names = ("made_by", "created", "seconds", "command", "fingerprint", "recipe_digest")
    facts = {name.replace("_", " "): described[name] for name in names}
    _print_columns([[*pair] for pair in {**facts, **described["attributes"], **_flat(described["recipe"])}.items()])
    if described.get("categories"):
        print(f"\ncategories, {described['void_pixels']:,} pixels are void")
        colors = [_block(row["color"]) for row in described["categories"]]
        _print_columns([CATEGORY, *map(_category, described["categories"])], ["", *colors])
    print("\ncontents")
    rows = [
        [row["field"], f"{row['datasets']:,}", f"{row['bytes']:,}", f"{row['stored_bytes']:,}"]
        for row in described["contents"]
    ]
    _print_columns([["field", "datasets", "bytes", "bytes stored"], *rows])
    print("\nmade from")
    for step in described["provenance"]:
        name = INPUTS.get(step["input"], step["input"])
        _say(f"{'  ' * (step['depth'] + 1)}{name}: {step['path']} ({step['state']})")
    for row in described["pretrained"]:
        known = [f"{name} {row[name] or 'not known'}" for name in ("licence", "labels")]
        _say(f"pretrained weights {row['name']}: {', '.join(known)}")
    for use in described["labels_used"]:
        _say(f"labels used by {use}")
    for row in described["skipped"]:
        _say(f"skipped {row['name']}: {row['reason']}")
    if "problems" in described:
        print()
        for line in described["problems"] or ["every invariant holds"]:
            _say(line)


def _say(line: str) -> None:
    """Print a line; what files say is printed so that no terminal obeys it."""
    print(printable(line))


def _category(row: dict[str, Any]) -> list[str]:
    """Return a row of the table of categories."""
    return [str(row["number"]), row["name"], f"{row['pixels']:,}", f"{row['share']:.1%}", row["color"]]


def _block(color: str) -> str:
    """Return a block of a colour for a terminal, else nothing."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return ""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f" \x1b[48;2;{red};{green};{blue}m    \x1b[0m"


def _print_columns(rows: list[list[Any]], ends: list[str] | None = None) -> None:
    """Print rows with aligned columns, never truncated, so that they can be searched and copied.

    Args:
        rows: the cells.
        ends: what is printed after each row as it is.
    """
    texts = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]) - 1)]
    for row, end in zip(texts, ends or [""] * len(texts), strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  " + "  ".join([*cells, row[-1]]) + end)


def _flat(values: dict[str, Any], prefix: str = "recipe") -> dict[str, Any]:
    """Flatten a nested table to dotted keys."""
    rows: dict[str, Any] = {}
    for key, value in values.items():
        rows |= _flat(value, f"{prefix}.{key}") if isinstance(value, dict) else {f"{prefix}.{key}": value}
    return rows
