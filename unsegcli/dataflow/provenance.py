"""Trace what went into an artifact: the files that it was made from, pretrained networks, and labels.

Files are traced by the paths and fingerprints recorded in each artifact. Pretrained networks and labels are listed in
tables, which every stage copies from its inputs to its output, so that they are never lost on the way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from unsegcli import console, store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.errors import ArtifactError

DEEPEST = 20  # a longer chain was not made by unseg and may be circular
MOST = 10_000  # files that name each other in circles could give millions
UNCHANGED = "unchanged"
OF_A_NETWORK = ("name", "digest", "licence", "labels")  # columns of the table pretrained/
LABELS = "labels/used"

Tables = dict[str, list[str]]


class Behind(NamedTuple):
    """What is known of an input: why it cannot be followed, or its fingerprint and its own inputs."""

    state: str
    fingerprint: str = ""
    inputs: Mapping[str, Any] = {}


def provenance(artifact: store.Artifact) -> Iterator[dict[str, Any]]:
    """Yield the inputs of an artifact, recursively down to the images: depth, input, path, fingerprint, state."""
    return islice(_chain((artifact.path.resolve(),), artifact.inputs, {}), MOST)


def _chain(above: tuple[Path, ...], hints: Mapping[str, Any], known: dict[Path, Behind]) -> Iterator[dict[str, Any]]:
    """Yield the inputs of the last of the files above, which were made from each other; each file is read once."""
    depth = len(above) - 1
    for name, hint in hints.items():
        given = Path(os.path.normpath(above[-1].parent / hint["path"]))
        if given not in known:
            known[given] = _behind(given)
        behind = known[given]
        same = behind.fingerprint == hint["fingerprint"]
        state = behind.state or (UNCHANGED if same else "has been made again since")
        yield {"depth": depth, "input": name, "path": str(given), "fingerprint": hint["fingerprint"], "state": state}
        if state == UNCHANGED and len(above) < DEEPEST and given.resolve() not in above:
            yield from _chain((*above, given.resolve()), behind.inputs, known)


def _behind(path: Path) -> Behind:
    if not path.exists():
        return Behind("no longer exists")
    if not is_artifact(path):
        return Behind("image files")
    try:
        with store.open_artifact(path) as before:
            return Behind("", before.fingerprint, before.inputs)
    except ArtifactError as error:
        return Behind(f"cannot be read ({error})")


def carried(hints: Mapping[str, Mapping[str, str]], kind: str) -> Tables:
    """Return the tables of pretrained networks and used labels that an output has from its inputs.

    Args:
        hints: path and fingerprint of each input, as recorded in the output.
        kind: of the output; only tables that this kind has are returned.
    """
    paths = [hint["path"] for hint in hints.values() if is_artifact(hint["path"]) and Path(hint["path"]).is_file()]
    found = joined(*map(_tables_of_file, paths))
    return {name: values for name, values in found.items() if name in store.KINDS[kind].fields}


def joined(*tables: Mapping[str, list[str]]) -> Tables:
    """Join tables of pretrained networks and of used labels; each network and each use is listed once."""
    names = [f"pretrained/{column}" for column in OF_A_NETWORK]
    networks = dict.fromkeys(row for one in tables for row in zip(*(one.get(name, ()) for name in names), strict=True))
    uses = dict.fromkeys(use for one in tables for use in one.get(LABELS, ()))
    found = {name: [row[at] for row in networks] for at, name in enumerate(names)} if networks else {}
    return found | ({LABELS: list(uses)} if uses else {})


def network_tables(name: str, digest: str, licence: str, labels: str) -> Tables:
    """Return the tables of one pretrained network; a licence or labels that are not known are empty."""
    values = (name, digest, licence, labels)
    return {f"pretrained/{column}": [value] for column, value in zip(OF_A_NETWORK, values, strict=True)}


def tables_of(artifact: store.Artifact) -> Tables:
    """Return the tables of pretrained networks and used labels of an artifact."""
    names = [*(f"pretrained/{column}" for column in OF_A_NETWORK), LABELS]
    present = [name for name in names if name in store.KINDS[artifact.kind].fields and artifact.has(name)]
    return {name: artifact.table(name) for name in present}


def networks(tables: Mapping[str, list[str]]) -> list[dict[str, str]]:
    """Return the pretrained networks as rows for JSON: name, licence and labels; not known = ""."""
    columns = ("name", "licence", "labels")
    rows = zip(*(tables.get(f"pretrained/{column}", ()) for column in columns), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def in_words(rows: list[dict[str, str]]) -> str:
    """Describe pretrained networks in one line; "" if there are none."""
    if not rows:
        return ""
    named = [f"{row['name']} ({row['labels']} labels)" if row["labels"] else row["name"] for row in rows]
    return f"pretrained weights: {', '.join(named)}"


def note_networks(hints: Mapping[str, Mapping[str, str]], kind: str) -> None:
    """Say which pretrained networks went into the inputs, if any did."""
    said = in_words(networks(carried(hints, kind)))
    if said:
        console.note(said)


def _tables_of_file(path: str) -> Tables:
    try:
        with store.open_artifact(path) as artifact:
            return tables_of(artifact)
    except ArtifactError:
        return {}  # the stage itself reports what is wrong with its input
