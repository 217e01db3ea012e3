"""`unseg inspect`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import guarded
from unsegcli.errors import ArtifactError


@guarded
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An HDF5 file that unseg wrote.")],
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every value and check every invariant; exit with 1 if one is broken."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what a file is: kind, sizes, recipe, and the chain of files and pictures that it came from."""
    from unsegcli import talk
    from unsegcli.stages.inspect import inspect as run

    talk.to_stderr()
    described = run(file, verify=verify)
    if json:
        import json as json_format

        print(json_format.dumps(described, indent=2, ensure_ascii=False))
    else:
        _show(described)
    if described.get("problems"):
        raise ArtifactError(f"{file}: {len(described['problems'])} invariants are broken (listed above); make it again")


def _show(described: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    counts = [f"{described[name]:,} {name}" for name in ("sources", "windows") if name in described]
    size = f"{described['file_bytes'] / 1e6:,.2f} MB"
    console.print(f"{described['path']}: {described['kind']} version {described['kind_version']}", style="bold")
    console.print(", ".join([*counts, size]))
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name in ("made_by", "created", "seconds", "command", "fingerprint", "recipe_digest"):
        facts.add_row(name.replace("_", " "), str(described[name]))
    for name, value in {**described["attributes"], **_flat(described["recipe"])}.items():
        facts.add_row(name, str(value))
    console.print(facts)
    contents = Table("field", "datasets", "bytes", "stored", box=None, pad_edge=False)
    for row in described["contents"]:
        contents.add_row(row["field"], f"{row['datasets']:,}", f"{row['bytes']:,}", f"{row['stored_bytes']:,}")
    console.print("\ncontents", style="bold")
    console.print(contents)
    console.print("\nmade from", style="bold")
    for step in described["provenance"]:
        console.print(f"{'  ' * step['depth']}{step['input']}: {step['path']} ({step['state']})")
    for row in described["skipped"]:
        console.print(f"skipped {row['name']}: {row['reason']}")
    if "problems" in described:
        for problem in described["problems"] or ["every invariant holds"]:
            console.print(problem)


def _flat(values: dict[str, Any], prefix: str = "recipe") -> dict[str, Any]:
    """A nested table with dotted keys."""
    rows: dict[str, Any] = {}
    for key, value in values.items():
        rows |= _flat(value, f"{prefix}.{key}") if isinstance(value, dict) else {f"{prefix}.{key}": value}
    return rows
