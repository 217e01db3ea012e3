"""Trace the files that an artifact was made from, by the paths and fingerprints recorded in each artifact.

Reads only the attributes of artifacts, not their pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.errors import ArtifactError

DEEPEST = 20  # a longer chain was not made by unseg and may be circular
UNCHANGED = "unchanged"


def provenance(artifact: store.Artifact, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the inputs of an artifact, recursively down to the images: depth, input, path, fingerprint, state."""
    folder = artifact.path.resolve().parent
    if depth == DEEPEST:
        return
    for name, hint in artifact.inputs.items():
        path = Path(os.path.normpath(folder / hint["path"]))
        entry = {"depth": depth, "input": name, "path": str(path), "fingerprint": hint["fingerprint"]}
        if not path.exists():
            yield {**entry, "state": "no longer exists"}
        elif not is_artifact(path):
            yield {**entry, "state": "image files"}
        else:
            yield from _of_artifact(path, entry, depth)


def _of_artifact(path: Path, entry: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    try:
        with store.open_artifact(path) as before:
            same = before.fingerprint == entry["fingerprint"]
            yield {**entry, "state": UNCHANGED if same else "has been made again since"}
            if same:
                yield from provenance(before, depth + 1)
    except ArtifactError as error:
        yield {**entry, "state": f"cannot be read ({error})"}
