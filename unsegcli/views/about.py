"""What stands at the foot of the page: what was run, from which files, and which labels and weights went in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.dataflow.provenance import LABELS, in_words, networks, provenance, tables_of
from unsegcli.recipe import INPUTS


def short(name: str) -> str:
    """Return the name of a file or folder without its parents."""
    return Path(name).resolve().name


def seen(path: str) -> str:
    """Return an absolute path below the working folder, or else its name: more of it may reveal a user's name."""
    here, whole = Path.cwd(), Path(path)
    if not whole.is_absolute():
        return path
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else whole.name or path


def _seen_in(command: str) -> str:
    try:
        return shlex.join(seen(word) for word in shlex.split(command))
    except ValueError:  # an unclosed quote
        return command


def facts(run: Predictions, more: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the settings of a result and of the page as rows of name and text."""
    found: dict[str, Any] = {"input": seen(run.name), "role": run.role}
    if is_artifact(run.name):
        with store.open_artifact(run.name) as artifact:
            found = {"input": seen(run.name), "kind": artifact.kind, "role": run.role}
            found |= {name.replace("-", " "): artifact.about[name] for name in ("made-by", "created", "command")}
            found["command"] = _seen_in(found["command"])
            found |= _flat({name: value for name, value in artifact.recipe.items() if name != "inputs"})
            found["pretrained weights"] = in_words(networks(tables_of(artifact))).partition(": ")[2]
            found["labels used by"] = "; ".join(tables_of(artifact).get(LABELS, []))
    rows = found | {name: seen(str(value)) for name, value in more.items() if value not in (None, "")}
    return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested table; joined keys are separated by spaces."""
    rows: dict[str, Any] = {}
    for key, value in values.items():
        rows |= _flat(value, f"{prefix}{key} ") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return rows


def chain(run: Predictions) -> list[dict[str, Any]]:
    """Return the files that a result was made from, each below what it went into."""
    if not is_artifact(run.name):
        return []
    with store.open_artifact(run.name) as artifact:
        steps = list(provenance(artifact))
    for step in steps:
        step["input"] = INPUTS.get(step["input"], step["input"])
        step["path"] = seen(step["path"])
    return steps


def pretrained(runs: Sequence[Predictions]) -> list[str]:
    """Say which pretrained networks went in, what they learned from, and their licence."""
    rows = [row for run in runs for row in run.pretrained]
    return [_network(row) for number, row in enumerate(rows) if row not in rows[:number]]


def _network(row: Mapping[str, str]) -> str:
    learned = f"learned from {row['labels']} labels" if row["labels"] else "what it learned from is not known"
    licence = f"its licence is {row['licence']}" if row["licence"] else "its licence is not known"
    return f"Pretrained weights were used: {row['name']}; {learned}; {licence}."
