"""`unseg inspect`: what an artifact is, how it was made, and from which pictures; changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unsegcli import store, talk
from unsegcli.errors import ArtifactError
from unsegcli.recipe import recipe_digest

DEEPEST = 20  # a chain that is longer was not made by us, and may run in a circle


def inspect(path: str | Path, *, verify: bool = False) -> dict[str, Any]:
    """Describe an artifact as plain data.

    Args:
        path: the artifact.
        verify: read every value and check every invariant; `problems` lists what is broken.

    Returns:
        kind, version, attributes, recipe, sizes, provenance (the chain of inputs), skipped pictures, and with
        `verify` the list `problems`.
    """
    path = Path(path)
    with store.open_artifact(path) as artifact:
        described: dict[str, Any] = {
            "path": str(path),
            "kind": artifact.kind,
            "kind_version": artifact.about["kind-version"],
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
            "provenance": list(_provenance(artifact)),
            "skipped": _skipped(artifact),
            "file_bytes": path.stat().st_size,
        }
        if artifact.has("sources/name"):
            described["sources"] = len(artifact.table("sources/name"))
            described["windows"] = artifact.window_count
        if verify:
            described["problems"] = _verify(artifact)
    return described


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
    with talk.progress(total, "verifying", unit="dataset") as bar:
        return store.problems_of(artifact, lambda: bar.update())


def _provenance(artifact: store.Artifact, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The inputs of an artifact, and theirs, down to the pictures."""
    folder = artifact.path.resolve().parent
    if depth == DEEPEST:
        return
    for name, hint in artifact.inputs.items():
        path = Path(os.path.normpath(folder / hint["path"]))
        entry = {"depth": depth, "input": name, "path": str(path), "fingerprint": hint["fingerprint"]}
        if not path.exists():
            yield {**entry, "state": "is no longer there"}
        elif name not in store.KINDS:
            yield {**entry, "state": "picture files"}
        else:
            try:
                with store.open_artifact(path) as before:
                    same = before.fingerprint == hint["fingerprint"]
                    yield {**entry, "state": "unchanged" if same else "has been made anew since"}
                    if same:
                        yield from _provenance(before, depth + 1)
            except ArtifactError as error:
                yield {**entry, "state": f"cannot be read ({error})"}
