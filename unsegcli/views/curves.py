"""The curves of the training behind a segmentation, from the history of its model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.dataflow.provenance import UNCHANGED, provenance

MOST_POINTS = 200  # of a curve; longer ones show the mean of several steps as one point
WATCH, TRIED, RESTART = "watch-", "classes-", "restart-"  # what names of the history start with
STEP = "watch-step"


def curves_behind(run: Predictions) -> list[dict[str, Any]]:
    """Return each curve: its name, its points (step, value), and as unit what is counted if it is not steps.

    There are none if no unchanged model is behind the result.
    """
    if not is_artifact(run.name):
        return []
    with store.open_artifact(run.name) as artifact:
        models = [
            step["path"]
            for step in provenance(artifact)
            if step["input"].partition(".")[0] == "model" and step["state"] == UNCHANGED
        ]
    if not models:
        return []
    with store.open_artifact(models[0], "model") as model:
        return curves_of({name: model.entry("history", name) for name in model.entries("history")})


def curves_of(history: dict[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Turn the history of a model into curves: loss terms of every step, and what was watched now and then."""
    return [
        {"name": name, "unit": unit, "points": _thinned(steps, values)}
        for name, unit, steps, values in _series(history)
        if len(values) > 1 and np.isfinite(values).any()
    ]


def _series(history: dict[str, NDArray[np.float64]]) -> Iterator[tuple[str, str, NDArray[Any], NDArray[np.float64]]]:
    watched = history.get(STEP, np.zeros(0))
    for name, values in history.items():
        if name == STEP or name.startswith((TRIED, RESTART)):
            continue
        if not name.startswith(WATCH):
            yield _in_words(name), "", np.arange(1, len(values) + 1), values
        elif len(values) == len(watched):
            yield _in_words(name.removeprefix(WATCH)), "", watched, values
    tried, stability = history.get("classes-tried"), history.get("classes-stability")
    if tried is not None and stability is not None:
        yield "stability by number of clusters", "clusters", tried, stability


def _in_words(name: str) -> str:
    return name.replace("-", " ").replace("_", " ")


def _thinned(steps: NDArray[Any], values: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Average several steps into one point where there are too many; steps without a value are left out."""
    known = np.isfinite(values)
    groups = min(MOST_POINTS, int(known.sum()))
    chosen = zip(np.array_split(steps[known], groups), np.array_split(values[known], groups), strict=True)
    return [(int(at[-1]), float(f"{some.mean():.6g}")) for at, some in chosen]
