"""Which pretrained networks went into a file: read, say, and pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unsegcli import console, store

Tables = dict[str, Any]


def pretrained_in(artifact: store.Artifact) -> Tables:
    """Return the tables `pretrained/*` of an open artifact; empty if no pretrained network went in."""
    return {name: artifact.table(name) for name in artifact.field_names() if name.startswith("pretrained/")}


def pretrained_of(path: str | Path) -> Tables:
    """Return the tables `pretrained/*` of an artifact; empty if no pretrained network went in."""
    with store.open_artifact(path) as artifact:
        return pretrained_in(artifact)


def say_pretrained(tables: Tables) -> None:
    """Say which pretrained networks went in, and which labels those learned from."""
    columns = [tables.get(f"pretrained/{one}", ()) for one in ("name", "labels", "licence")]
    for name, labels, licence in zip(*columns, strict=True):
        console.note(
            f"pretrained network: {name}, which learned from {labels or 'labels that are not known'}; "
            f"licence {licence or 'not known'}"
        )


def same_networks(one: Tables, other: Tables) -> bool:
    """Whether the same weights went into both."""
    return list(one.get("pretrained/digest", ())) == list(other.get("pretrained/digest", ()))
