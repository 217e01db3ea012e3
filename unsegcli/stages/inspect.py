"""`unseg inspect`: describe an artifact, how it was made, and from which images; read-only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unsegcli import console, store
from unsegcli.core.palette import hex_color
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import count_pixels, open_predictions
from unsegcli.dataflow.provenance import LABELS, networks, provenance, tables_of
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.params import Inputs, Inspect, Run
from unsegcli.recipe import recipe_digest
from unsegcli.views.categories import name_categories


def inspect(inputs: Inputs, params: Inspect | None = None, run: Run | None = None) -> dict[str, Any]:
    """Describe an artifact as plain data.

    Args:
        inputs: the artifact.
        params: whether to read every value and check every invariant.
        run: not used, since nothing is written.

    Returns:
        kind, version, attributes, recipe, sizes, provenance (the chain of inputs), pretrained networks, what labels
        were used for, and skipped images; of a segmentation also `categories`: number, name, colour, pixels and share
        of those that are not void, unless there are problems; with `verify` also `problems`, the list of violated
        invariants.
    """
    if len(inputs.paths) != 1:
        raise ConfigError(f"inspect needs exactly one file, but {len(inputs.paths)} are given")
    verify = (params or Inspect()).verify
    path = Path(inputs.paths[0])
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder; {_files_in(path)}")
    with store.open_artifact(path) as artifact:
        described: dict[str, Any] = {
            "path": str(path),
            "kind": artifact.kind,
            "kind_version": artifact.written_version,
            "fingerprint": artifact.fingerprint,
            "made_by": artifact.about["made-by"],
            "created": artifact.about["created"],
            "command": artifact.about["command"],
            "seconds": artifact.about["seconds"],
            "attributes": artifact.attributes,
            "recipe": artifact.recipe,
            "recipe_digest": recipe_digest(artifact.recipe),
            "environment": artifact.environment,
            "contents": list(_contents(artifact)),
            "provenance": list(provenance(artifact)),
            "pretrained": networks(tables_of(artifact)),
            "labels_used": tables_of(artifact).get(LABELS, []),
            "skipped": _skipped(artifact),
            "file_bytes": path.stat().st_size,
        }
        if artifact.has("sources/name"):
            described["sources"] = len(artifact.table("sources/name"))
            described["windows"] = artifact.window_count
        if verify:
            described["problems"] = _verify(artifact)
        if artifact.kind == "segmentation" and not described.get("problems"):  # reading would stop at the first
            described |= _categories(artifact)
    return described


def _files_in(folder: Path) -> str:
    """Say which files of a folder can be inspected."""
    found = [str(file) for file in sorted(folder.iterdir()) if is_artifact(file) and file.is_file()]
    return f"name a file in it: {', '.join(found)}" if found else "it holds no HDF5 file; name one"


def _categories(artifact: store.Artifact) -> dict[str, Any]:
    """Return the categories with their names, colours and pixels, and the number of void pixels."""
    run, count = open_predictions(artifact.path), int(artifact.attributes["clusters"])
    shown = name_categories(run, count, None, None)
    with console.progress(artifact.window_count, "counting pixels", unit="window") as bar:
        areas, void = count_pixels(artifact, lambda: bar.update())
    total = max(1, int(areas.sum()))
    rows = [
        {
            "number": number,
            "name": shown.names[number],
            "color": hex_color(shown.colors[number].tolist()),
            "pixels": int(areas[number]),
            "share": int(areas[number]) / total,
        }
        for number in range(count)
    ]
    return {"categories": rows, "void_pixels": void}


def _contents(artifact: store.Artifact) -> Iterator[dict[str, Any]]:
    for name in artifact.field_names():
        datasets, memory, disk = artifact.sizes(name)
        yield {"field": name, "datasets": datasets, "bytes": memory, "stored_bytes": disk}


def _skipped(artifact: store.Artifact) -> list[dict[str, str]]:
    if not artifact.has("skipped/name"):
        return []
    pairs = zip(artifact.table("skipped/name"), artifact.table("skipped/reason"), strict=True)
    return [{"name": name, "reason": reason} for name, reason in pairs]


def _verify(artifact: store.Artifact) -> list[str]:
    total = sum(artifact.sizes(name)[0] for name in artifact.field_names())
    with console.progress(total, "verifying", unit="dataset") as bar:
        return store.problems_of(artifact, lambda: bar.update())
