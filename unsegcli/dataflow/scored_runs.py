"""Score the label maps of a run image by image, in worker processes: what evaluate and compare share.

Ground truth is read by a function that the stage hands over: nothing here opens labels by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import sample_nearest
from unsegcli.core.scoring.confusion import CountMatrix, matrix_of_counts, nonzero_counts
from unsegcli.core.scoring.protocols import Protocol
from unsegcli.core.scoring.run_scores import (
    HALVES,
    VERSION,
    Bordered,
    Counted,
    Judged,
    bordered,
    counted,
    described,
    judged,
    scores_of_clusters,
    scores_of_objects,
    scores_of_superpixels,
)
from unsegcli.core.scoring.scores import Floats
from unsegcli.core.scoring.tally import ObjectTally, SuperpixelTally
from unsegcli.dataflow.dataset import release_artifacts
from unsegcli.dataflow.label_maps import ImageMap, Predictions, StoredMap, turned_like
from unsegcli.dataflow.score_files import write_metrics
from unsegcli.errors import ConfigError, DataError
from unsegcli.legend import Legend, Value
from unsegcli.parallel import ordered_map
from unsegcli.params import Evaluate

MANY = 2  # times as many clusters as classes, at which one-to-one matching is questioned
OFTEN_IGNORED = 255  # in labels of other tools: the value of a pixel without a label
BATCH = 32
MOST_VALUES = 4_000_000  # images x clusters x classes; above, only pairs that have pixels are stored
IMAGES_WORTH_A_TASK = 50  # scoring an image is so quick that few of them need no second process

# (file, legend, page, further values that are not scored) -> label maps, one for each annotator
ReadTruth = Callable[[Path, Legend | None, int, tuple[int, ...]], Sequence[NDArray[Any]]]


@dataclass(frozen=True)
class TruthFiles:
    """The ground truth of a run, and how it is read."""

    read: ReadTruth
    paths: Mapping[
        str, Sequence[str | Path]
    ]  # of each image by name, one for each annotator; images without are not scored
    legend: Legend | None
    ignore: tuple[int, ...]  # values that are not scored, beside those of the legend


@dataclass(frozen=True)
class ScoringTask:
    """One image to score."""

    map: ImageMap
    labels: tuple[str, ...]  # label files, one per annotator
    page: int
    read: ReadTruth
    legend: Legend | None
    ignore: tuple[int, ...]
    role: str
    params: Evaluate

    def truths(self) -> list[NDArray[Any]]:
        """Return the ground truth of each annotator: (height, width), negative = not scored."""
        found = [
            (path, truth)
            for path in self.labels
            for truth in self.read(Path(path), self.legend, self.page, self.ignore)
        ]
        return [turned_like(self.map, truth, f"{path}: the label map") for path, truth in found]


@dataclass(frozen=True)
class RunScores:
    """The scores of a run, of each of its images, and of each replicate of the bootstrap."""

    result: dict[str, Any]  # for the output
    matrix: CountMatrix | None = None  # pixels by cluster (and none) and class
    counts: Mapping[str, CountMatrix] = field(default_factory=dict)  # by image: (pairs, 3) cluster, class, pixels
    measured: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by image: scores that are averaged
    replicates: Mapping[str, Floats] = field(default_factory=dict)  # by score


def tasks_of(run: Predictions, truth: TruthFiles, params: Evaluate) -> list[ScoringTask]:
    """Return a task for each image with ground truth."""
    return [
        ScoringTask(
            item,
            tuple(map(str, truth.paths[item.name])),
            item.source.page if isinstance(item, StoredMap) else item.page,
            truth.read,
            truth.legend,
            truth.ignore,
            run.role,
            params,
        )
        for item in run.maps
        if item.name in truth.paths
    ]


def score_maps(tasks: Sequence[ScoringTask], run: Predictions, protocol: Protocol, workers: int) -> RunScores:
    """Score the images of a run: its clusters, object masks or superpixels, as its role says."""
    names, params = [task.map.name for task in tasks], tasks[0].params if tasks else Evaluate()
    tally: SuperpixelTally | ObjectTally
    if run.role == "superpixels":
        result, tally = scores_of_superpixels(each_image(tasks, _superpixels_of, workers, "scoring"), params)
    elif run.role == "mask":
        judge = partial(_object_of, protocol=protocol)
        result, tally = scores_of_objects(each_image(tasks, judge, workers, "scoring"), protocol, params)
    else:
        return _score_clusters(tasks, run, protocol, workers)
    return RunScores(result, measured=dict(zip(names, tally.each, strict=True)), replicates=tally.replicates)


def about_run(
    run: Predictions, found: RunScores, protocol: Protocol, params: Evaluate, ignore: Sequence[Value]
) -> dict[str, Any]:
    """Return what the output says of a run beside its scores; `ignore` are all values that are not scored."""
    return {
        "version": VERSION,
        "labels_used": f"{run.labels_used} and scoring" if run.labels_used else "scoring",
        "pretrained": list(run.pretrained),
        "input": run.name,
        "role": run.role,
        "protocol": described(protocol, params, run.role, ignore, found.matrix),
    }


def _score_clusters(tasks: Sequence[ScoringTask], run: Predictions, protocol: Protocol, workers: int) -> RunScores:
    params, legend = (tasks[0].params, tasks[0].legend) if tasks else (Evaluate(), None)
    clusters, classes = _numbers(tasks, run, legend, workers)
    if params.background is not None and params.background >= clusters:
        raise ConfigError(f"--background {params.background}: {run.name} has only the clusters 0 to {clusters - 1}")
    if protocol.matching == "one-to-one" and not params.protocol and clusters >= MANY * classes:
        console.note(
            f"{clusters} clusters for {classes} classes: matched one to one, {clusters - classes} of them have no "
            "class and count as wrong; --many-to-one gives each its best class"
        )
    names = list(legend.names) if legend else [str(number) for number in range(classes)]
    kept: list[CountMatrix] = []
    count = partial(_matrix_of, clusters=clusters, classes=classes)
    counts = _kept_as_well(each_image(tasks, count, workers, "scoring"), kept)
    result, tally = scores_of_clusters(counts, clusters, names, protocol, params)
    each = {task.map.name: pairs for task, pairs in zip(tasks, kept, strict=True)}
    scored = {name: each[name] for name in _scored_names(list(each), params)}
    return RunScores(result, tally.matrix, scored, replicates=tally.replicates)


def _numbers(tasks: Sequence[ScoringTask], run: Predictions, legend: Legend | None, workers: int) -> tuple[int, int]:
    """Return the number of clusters and of classes; where it is not known, the largest number decides."""
    clusters, classes = run.clusters, len(legend.classes) if legend else None
    if clusters is not None and classes is not None:
        return clusters, classes
    look = _largest_numbers if clusters is None else _largest_label
    largest = np.zeros(2, np.int64)
    for numbers in each_image(tasks, look, workers, "counting classes"):
        np.maximum(largest, numbers, out=largest)
    if legend is None and largest[1] == OFTEN_IGNORED:
        console.warn(
            f"label {OFTEN_IGNORED} is scored as a class, and all numbers below it count: if it means that a pixel "
            f"has no label, use --ignore {OFTEN_IGNORED}"
        )
    return clusters or int(largest[0]) + 1, classes or int(largest[1]) + 1


def _kept_as_well(found: Iterator[Counted], kept: list[CountMatrix]) -> Iterator[Counted]:
    """Yield the counts of each image, and keep the pairs that have pixels."""
    for one in found:
        kept.append(nonzero_counts(one[0]))
        yield one


def _scored_names(names: Sequence[str], params: Evaluate) -> Sequence[str]:
    """Return the images that are scored, without those whose labels name the clusters."""
    return [name for number, name in enumerate(names) if number % 2 != HALVES.get(params.named_on)]


# Files


def _tables_of_images(runs: Sequence[RunScores]) -> dict[str, Any]:
    """Return the datasets of a metrics file on each image of one or several runs."""
    names = list(dict.fromkeys(name for run in runs for name in (*run.counts, *run.measured)))
    matrix = runs[0].matrix if len(runs) == 1 else None
    tables: dict[str, Any] = {} if matrix is None else {"matrix": matrix}
    if not names:
        return tables
    tables["images/name"] = names
    if matrix is not None and len(names) * matrix.size <= MOST_VALUES:
        each = [matrix_of_counts(pairs, (matrix.shape[0], matrix.shape[1])) for pairs in runs[0].counts.values()]
        return {**tables, "per-image": np.stack(each)}
    return {**tables, **_pairs_of_images(runs, names), **_scores_of_images(runs, names)}


def hints_of(runs: Sequence[Predictions]) -> dict[str, dict[str, str]]:
    """Return path and fingerprint of what each run was read from."""
    return {f"{name}.{number}": hint for number, run in enumerate(runs) for name, hint in run.hints.items()}


def write_run_scores(
    target: store.Target,
    result: Mapping[str, Any],
    found: Sequence[RunScores],
    runs: Sequence[Predictions],
    labels_used: str,
) -> None:
    """Write the scores of runs, and those of each image.

    Args:
        target: the metrics file.
        result: the scores, as JSON has them.
        found: the scores of each run.
        runs: what was scored.
        labels_used: the command, and what it used labels for.
    """
    write_metrics(target, result, _tables_of_images(found), hints_of(runs), labels_used)


def _pairs_of_images(runs: Sequence[RunScores], names: Sequence[str]) -> dict[str, Any]:
    rows = {name: row for row, name in enumerate(names)}
    blocks = [
        np.column_stack([np.full((len(pairs), 2), (number, rows[name])), pairs])
        for number, run in enumerate(runs)
        for name, pairs in run.counts.items()
    ]
    return {"pairs": np.concatenate(blocks)} if blocks else {}


def _scores_of_images(runs: Sequence[RunScores], names: Sequence[str]) -> dict[str, Any]:
    scores = list(dict.fromkeys(score for run in runs for one in run.measured.values() for score in one))
    if not scores:
        return {}
    values = [[[run.measured.get(name, {}).get(score, np.nan) for score in scores] for name in names] for run in runs]
    return {"image-scores": np.array(values, np.float64), "images/score": scores}


def each_image(tasks: Sequence[Any], work: Callable[[Any], Any], workers: int, what: str) -> Iterator[Any]:
    """Yield the result of each task, in order, and show progress."""
    try:
        with console.progress(len(tasks), what) as bar:
            quick = len(tasks) // IMAGES_WORTH_A_TASK
            for result in ordered_map(work, tasks, workers, expected=quick, batch=BATCH):
                bar.update()
                yield result
    finally:
        release_artifacts()


# One image, in a worker


def truth_and_map(task: ScoringTask) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return labels and label map on the grid of the labels, so that each labelled pixel counts once."""
    truth = _truth_of(task)
    return truth, task.map.on((truth.shape[0], truth.shape[1]))


def _truth_of(task: ScoringTask) -> NDArray[Any]:
    """Return the labels of an image with one annotator, on the grid on which it is scored."""
    truths = task.truths()
    if len(truths) > 1:
        raise DataError(
            f"{task.labels[0]}: has {len(truths)} annotators, which is only for superpixels; give one label map per "
            "image"
        )
    return sample_nearest(truths[0], task.map.grid) if task.params.grid == "working" else truths[0]


def _matrix_of(task: ScoringTask, clusters: int, classes: int) -> Counted:
    truth, predicted = truth_and_map(task)
    return counted(predicted, truth, clusters, classes, task.params)


def _largest_numbers(task: ScoringTask) -> tuple[int, int]:
    truth, predicted = truth_and_map(task)
    return int(predicted.max(initial=0)), int(truth.max(initial=0))


def _largest_label(task: ScoringTask) -> tuple[int, int]:
    """Return the largest number of the labels alone, where that of clusters is known."""
    return 0, int(_truth_of(task).max(initial=0))


def _object_of(task: ScoringTask, protocol: Protocol) -> Judged:
    truth, predicted = truth_and_map(task)
    return judged(predicted, truth, task.map.confidence(truth.shape), protocol)


def _superpixels_of(task: ScoringTask) -> Bordered:
    truths = task.truths()
    return bordered(task.map.on(truths[0].shape), truths, task.map.pixels(), task.params)
