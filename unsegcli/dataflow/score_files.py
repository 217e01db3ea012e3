"""Files of scores: what evaluate and compare write of runs, and probe and retrieve of models and files of features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unsegcli import store
from unsegcli.core.scoring.run_scores import VERSION, plain
from unsegcli.dataflow.dataset import relative_hints
from unsegcli.dataflow.provenance import LABELS, carried, joined
from unsegcli.errors import as_unseg_writes


@dataclass(frozen=True)
class SubjectScores:
    """The scores of one or several subjects, and the file that holds them."""

    path: Path
    scores: dict[str, Any]
    unchanged: bool = field(default=False, compare=False)  # whether they are those of an earlier run

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The scores of each subject."""
        with as_unseg_writes(self.path, "scores"):
            found = self.scores.get("runs", [self.scores])
            return [dict(run) for run in found]

    @property
    def skipped(self) -> int:
        """Number of images that could not be read here; those that an earlier stage skipped do not count."""
        with as_unseg_writes(self.path, "scores"):
            return len({str(one["name"]) for run in self.runs for one in run["skipped"]})


def finished_scores(target: store.Target) -> SubjectScores | None:
    """Return the scores of an earlier run if they are up to date."""
    if target.finished() is None:
        return None
    with store.open_artifact(target.path) as artifact:
        return SubjectScores(target.path, json.loads(bytes(artifact.table("scores"))), unchanged=True)


def write_scores(
    target: store.Target,
    runs: Sequence[dict[str, Any]],
    more: Mapping[str, Any],
    hints: Mapping[str, Mapping[str, str]],
    labels_used: str,
) -> SubjectScores:
    """Write the scores of subjects to a file.

    Args:
        target: the file.
        runs: the scores of each subject.
        more: what is the same for all.
        hints: path and fingerprint of each input.
        labels_used: what labels were used for.
    """
    scores = runs[0] if len(runs) == 1 else {"version": VERSION, "labels_used": labels_used, "runs": list(runs)}
    scores = plain({**scores, **more})
    write_metrics(target, scores, {}, hints, labels_used)
    return SubjectScores(target.path, scores)


def write_metrics(
    target: store.Target,
    scores: Mapping[str, Any],
    tables: Mapping[str, Any],
    hints: Mapping[str, Mapping[str, str]],
    labels_used: str,
) -> None:
    """Write scores as JSON, further tables, and which networks and labels went in.

    Args:
        target: the file.
        scores: what becomes JSON.
        tables: further datasets of the file.
        hints: path and fingerprint of each input.
        labels_used: what labels were used for.
    """
    text = json.dumps(scores, ensure_ascii=False, allow_nan=False).encode()
    went_in = joined(carried(hints, target.kind), {LABELS: [labels_used]})
    every = {"scores": np.frombuffer(text, np.uint8), **tables, **went_in}
    store.write_whole(target, every, {}, relative_hints(hints, target.path))
