"""Rows of results: the scores of a method with one seed on one set, and their means over seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.method_commands import MATCHED, NAMED, PROBE, Job, title_of
from unsegcli.dataflow.provenance import in_words

PAIR = ("accuracy", "miou")
MAJORITY = "majority"
PRETRAINED = "pretrained"  # key of what went into a row that was learned elsewhere, in words
MEASURES = {
    MATCHED: "as many clusters as classes, matched one to one",
    NAMED: "{clusters} clusters, each named by its most frequent class in every second image, scored on the others",
    PROBE: "a linear classifier of regions, learned from the labels of one half of the images, scored on the other",
}
NAMES = ("set", "row", "seed")
Row = dict[str, Any]  # set, row (the title of the method), seed; each measure with accuracy and mIoU


def scores_in(metrics: Path) -> dict[str, Any]:
    """Read what `evaluate` or `probe` wrote."""
    with store.open_artifact(metrics, "metrics") as artifact:
        found: dict[str, Any] = json.loads(bytes(artifact.table("scores")))
    return found


def rows_of(jobs: Iterable[Job]) -> list[Row]:
    """Return the rows of jobs that have been done; and what one gets for nothing on each set."""
    rows: dict[tuple[str, str, int], Row] = {}
    for job in jobs:
        majority = _row(rows, job.name, MAJORITY, 0)
        for step in job.steps:
            if step.measure:
                found = scores_in(step.output)
                own = _row(rows, job.name, job.method, job.seed)
                own[step.measure] = [found["scores"][one] for one in PAIR]
                if found.get("pretrained"):
                    own[PRETRAINED] = in_words(found["pretrained"])
                majority.setdefault(step.measure, _for_nothing(found["chance"]))
    return [row for row in rows.values() if len(row) > len(NAMES)]


def _row(rows: dict[tuple[str, str, int], Row], name: str, method: str, seed: int) -> Row:
    return rows.setdefault((name, method, seed), dict(zip(NAMES, (name, title_of(method), seed), strict=True)))


def _for_nothing(chance: dict[str, float]) -> list[float]:
    """Return accuracy and mIoU of the largest class everywhere."""
    miou = chance.get("constant_miou", chance.get("largest_class_miou", 0.0))
    return [chance["largest_class"], miou]


def mean_and_spread(rows: Sequence[Row], measure: str, number: int) -> tuple[float, float | None] | None:
    """Return mean and standard deviation over seeds of a score; None = not measured, no deviation with one seed."""
    values = [row[measure][number] for row in rows if measure in row]
    if not values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def in_order(rows: Iterable[Row], key: str) -> list[str]:
    """Return the different values of a key, in the order of the rows."""
    return list(dict.fromkeys(row[key] for row in rows))
