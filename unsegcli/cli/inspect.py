"""`unseg inspect`."""

from __future__ import annotations

import os
import sys
from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.errors import ArtifactError
from unsegcli.params import Inputs, Inspect, Run, Terminal


def _show(described: dict[str, Any], run: Run, terminal: Terminal) -> None:
    if terminal.json:
        import json

        print(json.dumps(described, indent=2, ensure_ascii=False))
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
    print(f"{described['path']}: {described['kind']} version {described['kind_version']}")
    print(", ".join([*counts, f"{described['file_bytes'] / 1e6:,.2f} MB"]))
    names = ("made_by", "created", "seconds", "command", "fingerprint", "recipe_digest")
    facts = {name.replace("_", " "): described[name] for name in names}
    _print_columns([[*pair] for pair in {**facts, **described["attributes"], **_flat(described["recipe"])}.items()])
    if described.get("categories"):
        print(f"\ncategories, {described['void_pixels']:,} pixels are void")
        _print_columns([["number", "name", "pixels", "share", "colour"], *map(_category, described["categories"])])
    print("\ncontents")
    rows = [
        [row["field"], f"{row['datasets']:,}", f"{row['bytes']:,}", f"{row['stored_bytes']:,}"]
        for row in described["contents"]
    ]
    _print_columns([["field", "datasets", "bytes", "bytes stored"], *rows])
    print("\nmade from")
    for step in described["provenance"]:
        name = INPUTS.get(step["input"], step["input"])
        print(f"{'  ' * (step['depth'] + 1)}{name}: {step['path']} ({step['state']})")
    for row in described["pretrained"]:
        known = [f"{name} {row[name] or 'not known'}" for name in ("licence", "labels")]
        print(f"pretrained weights {row['name']}: {', '.join(known)}")
    for use in described["labels_used"]:
        print(f"labels used by {use}")
    for row in described["skipped"]:
        print(f"skipped {row['name']}: {row['reason']}")
    if "problems" in described:
        print("\n" + "\n".join(described["problems"] or ["every invariant holds"]))


def _category(row: dict[str, Any]) -> list[str]:
    """Return a row of the table of categories; on a terminal with a block of its colour."""
    color = row["color"]
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
        color += f" \x1b[48;2;{red};{green};{blue}m    \x1b[0m"
    return [str(row["number"]), row["name"], f"{row['pixels']:,}", f"{row['share']:.1%}", color]


def _print_columns(rows: list[list[Any]]) -> None:
    """Print rows with aligned columns, never truncated, so that they can be searched and copied."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [str(cell).ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  " + "  ".join([*cells, str(row[-1])]))


def _flat(values: dict[str, Any], prefix: str = "recipe") -> dict[str, Any]:
    """Flatten a nested table to dotted keys."""
    rows: dict[str, Any] = {}
    for key, value in values.items():
        rows |= _flat(value, f"{prefix}.{key}") if isinstance(value, dict) else {f"{prefix}.{key}": value}
    return rows
