"""Train with several seeds, keep the best model by label-free criteria, and record the criteria of all runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unsegcli import console, store
from unsegcli.core.nn.precision import own_arithmetic
from unsegcli.dataflow.dataset import Dataset, relative_hints
from unsegcli.dataflow.provenance import tables_of
from unsegcli.dataflow.runner import Outcome, unchanged
from unsegcli.params import Run
from unsegcli.training.distributed import is_first
from unsegcli.training.job import TrainingJob
from unsegcli.training.signs import SIGNS, Signals, judge

SCORE = ("beyond-chance", "silhouette")  # the criterion and its tie-breaker; see docs/methods.md
PREFIX = "restart-"  # of the history entries about all runs
ALMOST = 1e-9  # tolerance for ties between scores


def best_of(
    job: TrainingJob,
    target: store.Target,
    dataset: Dataset,
    run: Run,
    train_into: Callable[[Path], list[Outcome]],
) -> list[Outcome]:
    """Train several models, keep the best by label-free criteria, and remove the others.

    Args:
        job: the training, with the number of restarts.
        target: the model to write.
        dataset: the images, not opened yet.
        run: how to run.
        train_into: trains one model per seed, with outputs next to this path.
    """
    earlier = unchanged(target)
    if earlier is not None:
        return [earlier] if is_first() else []
    count = job.params.restarts
    made = train_into(folder_of(target.path) / "run.h5")
    if run.dry_run:
        return [Outcome(target.path)]
    if not is_first():
        return []
    paths = [outcome.path for outcome in made]
    seeds = [job.params.seed + number for number in range(count)]
    with own_arithmetic():
        opened = dataset.opened(run.workers)
        found = judge(paths, opened, method=job.params.method, device=job.device.type, workers=run.workers)
    kept, sign = best_run(found)
    for line in table(found, seeds, kept):
        console.note(line)
    console.note(f"keeping the run with seed {seeds[kept]}, chosen by {sign}, without labels")
    content = content_with(paths[kept], as_history(found, seeds, kept))
    store.write_whole(target, **content, inputs=relative_hints(dataset.hints, target.path))
    clear(paths)
    return [Outcome(target.path, made[kept].skipped)]


def best_run(runs: Sequence[Signals]) -> tuple[int, str]:
    """Return the best run and the criterion that decided; the first run in a tie."""
    candidates = list(range(len(runs)))
    for sign in SCORE:
        values = {number: _known(runs[number][sign]) for number in candidates}
        largest = max(values.values())
        best = [number for number in candidates if values[number] >= largest - ALMOST]
        if len(best) < len(candidates):
            candidates, decided = best, sign
            if len(candidates) == 1:
                return candidates[0], decided
    return candidates[0], SCORE[0]


def table(runs: Sequence[Signals], seeds: Sequence[int], kept: int) -> list[str]:
    """Format the criteria as lines of text: one row per criterion, one column per run."""
    width = max(map(len, SIGNS))
    head = "  ".join(f"{f'seed {seed}':>9}" for seed in seeds)
    rows = ["  ".join(f"{run[sign]:>9.3f}" for run in runs) for sign in SIGNS]
    lines = [f"{'':{width}}  {head}", *(f"{sign:{width}}  {row}" for sign, row in zip(SIGNS, rows, strict=True))]
    marks = "  ".join(f"{'kept' if number == kept else '':>9}" for number in range(len(runs)))
    return [line.rstrip() for line in [*lines, f"{'':{width}}  {marks}"]]


def as_history(runs: Sequence[Signals], seeds: Sequence[int], kept: int) -> dict[str, list[float]]:
    """Return all criteria of all runs, as history entries of the kept model."""
    noted: dict[str, list[float]] = {sign: [run[sign] for run in runs] for sign in SIGNS}
    noted |= {"seed": [float(seed) for seed in seeds]}
    noted |= {"kept": [float(number == kept) for number in range(len(runs))]}
    return {f"{PREFIX}{name}": values for name, values in noted.items()}


def content_with(path: Path, more: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Read the content of a model file and add entries to its history."""
    with store.open_artifact(path, "model") as artifact:
        history = {name: artifact.entry("history", name) for name in artifact.entries("history")}
        names = ("scaling", "cutting", "vectors", "skipped/name", "skipped/reason")
        return {
            "tables": {name: artifact.table(name) for name in names if artifact.has(name)} | tables_of(artifact),
            "attributes": dict(artifact.attributes),
            "entries": {
                "weights": {name: artifact.entry("weights", name) for name in artifact.entries("weights")},
                "history": history | {name: np.asarray(values, np.float64) for name, values in more.items()},
            },
        }


def folder_of(output: Path) -> Path:
    """Return the folder of the runs until one is chosen."""
    return output.with_name(f"{output.name}.restarts")


def clear(runs: Sequence[Path]) -> None:
    """Remove the runs, and their folder if it is empty."""
    for path in runs:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        runs[0].parent.rmdir()


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value
