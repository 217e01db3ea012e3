"""`unseg evaluate`: score label maps against ground truth, with the same protocol for every method.

Labels are used only for scoring, which the output states; the scores never influence training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import sample_nearest
from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.core.scoring.davis import FrameScore, VideoTally, frame_scores
from unsegcli.core.scoring.protocols import Protocol
from unsegcli.core.scoring.run_scores import (
    HALVES,
    VERSION,
    Bordered,
    Counted,
    Judged,
    bordered,
    check_evaluate,
    counted,
    described,
    judged,
    plain,
    protocol_for,
    scores_of_clusters,
    scores_of_objects,
    scores_of_superpixels,
)
from unsegcli.core.scoring.tally import mean_and_deviation
from unsegcli.dataflow.dataset import relative_hints, release_artifacts
from unsegcli.dataflow.label_maps import (
    ImageMap,
    Predictions,
    StoredMap,
    check_same_classes,
    open_predictions,
    turned_like,
)
from unsegcli.dataflow.provenance import LABELS, carried, joined, note_networks
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.labels import LabelMatch, labels_digest, labels_of, legend_of, match_labels, read_labels
from unsegcli.legend import Legend, read_legend
from unsegcli.parallel import ordered_map
from unsegcli.params import Evaluate, Inputs, Run, recorded
from unsegcli.recipe import Recipe, make_recipe

REVISION = 2  # no mean over runs with different numbers of clusters
SHOWN = 5
MANY = 2  # times as many clusters as classes, at which one-to-one matching is questioned
OFTEN_IGNORED = 255  # in labels of other tools: the value of a pixel without a label
BATCH = 32
MOST_VALUES = 4_000_000  # images x clusters x classes; above, the matrix of each image is not stored
IMAGES_WORTH_A_TASK = 50  # scoring an image is so quick that few of them need no second process


@dataclass(frozen=True)
class Task:
    """One image to score."""

    map: ImageMap
    labels: tuple[str, ...]  # label files, one per annotator
    page: int
    legend: Legend | None
    ignore: tuple[int, ...]
    role: str
    clusters: int
    classes: int
    params: Evaluate


@dataclass(frozen=True)
class Matrices:
    """Pixels by cluster and class."""

    whole: CountMatrix  # of all scored images
    each: Mapping[str, CountMatrix]  # of each scored image by name; none if there are too many

    def tables(self) -> dict[str, Any]:
        """Return the datasets of a metrics file."""
        if not self.each:
            return {"matrix": self.whole}
        return {"matrix": self.whole, "per-image": np.stack(list(self.each.values())), "images/name": list(self.each)}


@dataclass(frozen=True)
class Evaluated:
    """The scores and the file that holds them."""

    path: Path
    scores: dict[str, Any]
    unchanged: bool = field(default=False, compare=False)  # whether they are those of an earlier run


def evaluate(inputs: Inputs, params: Evaluate | None = None, run: Run | None = None) -> Evaluated:
    """Score label maps against ground truth.

    Args:
        inputs: artifacts, or folders of label maps; several inputs are scored one by one; with as many clusters
            each, they are runs of one method, such as different seeds.
        params: the protocol, and the paths of labels and legend.
        run: how to run, and the metrics file to write.
    """
    params, run = params or Evaluate(), (run or Run()).of("evaluate")
    check_evaluate(params)
    scored = _open_inputs(inputs, params)
    note_networks(_hints(scored.runs), "metrics")
    target = store.Target(run.output, "metrics", _recipe(params, scored), force=run.force, reads=inputs.paths)
    if target.finished() is not None:
        for one, match in zip(scored.runs, scored.matches, strict=True):
            _report_unmatched(one, match)
        with store.open_artifact(target.path) as artifact:
            return Evaluated(target.path, json.loads(bytes(artifact.table("scores"))), unchanged=True)
    legend = None if scored.legend is None else read_legend(scored.legend)
    for one in scored.runs:
        check_same_classes(one, legend)
    results = [
        _score_run(one, match, legend, params, run.workers)
        for one, match in zip(scored.runs, scored.matches, strict=True)
    ]
    result, matrices = _combined(results)
    legend_path = None if scored.legend is None else str(scored.legend)
    result = plain({**result, "labels": str(scored.folder), "legend": legend_path})
    _write(target, result, matrices, scored.runs)
    return Evaluated(target.path, result)


@dataclass(frozen=True)
class Scored:
    """The label maps to score, and the ground truth."""

    runs: Sequence[Predictions]
    matches: Sequence[LabelMatch]  # one for each run
    folder: Path  # of labels
    legend: Path | None


def _open_inputs(inputs: Inputs, params: Evaluate) -> Scored:
    runs = [open_predictions(given, params.role) for given in inputs.paths]
    folder = labels_of(runs[0].images, params.labels, runs[0].name)
    legend = legend_of(runs[0].images, params.legend, folder)
    matches = [match_labels([item.name for item in one.maps], folder) for one in runs]
    return Scored(runs, matches, folder, legend)


def _recipe(params: Evaluate, scored: Scored) -> Recipe:
    inputs = {"labels": labels_digest(scored.matches, scored.folder)}
    if scored.legend is not None:
        inputs["legend"] = file_digest(scored.legend)
    for number, run in enumerate(scored.runs):
        inputs |= {f"{name}.{number}": digest for name, digest in run.inputs.items()}
    roles = {f"role.{number}": run.role for number, run in enumerate(scored.runs)}
    return make_recipe("evaluate", REVISION, [recorded(params), roles], inputs)


# One run


def _score_run(
    run: Predictions, match: LabelMatch, legend: Legend | None, params: Evaluate, workers: int
) -> tuple[dict[str, Any], Matrices | None]:
    _report_unmatched(run, match)
    protocol = protocol_for(params, run.role, run.name)
    # A legend says itself what is void in labels of videos.
    void = () if protocol.name == "davis" and legend is not None else protocol.ignore
    ignore = tuple(sorted({*params.ignore, *void} - (set(legend.ignore) if legend else set())))
    base = Task(run.maps[0], (), 0, legend, ignore, run.role, 0, 0, params)
    tasks = [
        replace(base, map=item, labels=tuple(map(str, match.paths[item.name])), page=_page(item))
        for item in run.maps
        if item.name in match.paths
    ]
    if protocol.name == "davis":
        result, matrices = _score_videos(tasks, run, workers), None
    elif run.role == "superpixels":
        result, matrices = scores_of_superpixels(_each(tasks, _superpixels_of, workers, "scoring"), params), None
    elif run.role == "mask":
        judge = partial(_object_of, protocol=protocol)
        result, matrices = scores_of_objects(_each(tasks, judge, workers, "scoring"), protocol, params), None
    else:
        result, matrices = _score_clusters(tasks, run, legend, params, protocol, workers)
    matrix = None if matrices is None else matrices.whole
    return {
        "version": VERSION,
        "labels_used": f"{run.labels_used} and scoring" if run.labels_used else "scoring",
        "pretrained": list(run.pretrained),
        "input": run.name,
        "role": run.role,
        "protocol": described(protocol, params, run.role, [*(legend.ignore if legend else ()), *ignore], matrix),
        **result,
        "images": len(tasks),
        "missing": match.missing,
    }, matrices


def _report_unmatched(run: Predictions, match: LabelMatch) -> None:
    if match.missing:
        shown = ", ".join(match.missing[:SHOWN])
        console.warn(f"{len(match.missing)} of {len(run.maps)} images have no label and are not scored: {shown}")
    if match.extra:
        console.note(f"{len(match.extra)} label files match no image: {', '.join(match.extra[:SHOWN])}")


def _score_clusters(
    tasks: Sequence[Task],
    run: Predictions,
    legend: Legend | None,
    params: Evaluate,
    protocol: Protocol,
    workers: int,
) -> tuple[dict[str, Any], Matrices]:
    clusters, classes = run.clusters, len(legend.classes) if legend else None
    if clusters is None or classes is None:
        numbers = list(_each(tasks, _largest_numbers, workers, "counting classes"))
        largest = np.max(numbers, axis=0)
        clusters = clusters or int(largest[0]) + 1
        classes = classes or int(largest[1]) + 1
        if legend is None and largest[1] == OFTEN_IGNORED:
            console.warn(
                f"label {OFTEN_IGNORED} is scored as a class, and all numbers below it count: if it means that a pixel "
                f"has no label, use --ignore {OFTEN_IGNORED}"
            )
    if params.background is not None and params.background >= clusters:
        raise ConfigError(f"--background {params.background}: {run.name} has only the clusters 0 to {clusters - 1}")
    if protocol.matching == "one-to-one" and not params.protocol and clusters >= MANY * classes:
        console.note(
            f"{clusters} clusters for {classes} classes: matched one to one, {clusters - classes} of them have no "
            "class and count as wrong; --many-to-one gives each its best class"
        )
    names = list(legend.names) if legend else [str(number) for number in range(classes)]
    sized = [replace(task, clusters=clusters, classes=classes) for task in tasks]
    kept: list[CountMatrix] = []
    few = len(tasks) * (clusters + 1) * classes <= MOST_VALUES
    counts = _kept_as_well(_each(sized, _matrix_of, workers, "scoring"), kept if few else None)
    result, whole = scores_of_clusters(counts, clusters, names, protocol, params)
    each = {task.map.name: matrix for task, matrix in zip(tasks, kept, strict=few)}
    return result, Matrices(whole, {name: each[name] for name in _scored_names(list(each), params)})


def _kept_as_well(found: Iterator[Counted], kept: list[CountMatrix] | None) -> Iterator[Counted]:
    """Yield the counts of each image, and keep its matrix if there is a list for it."""
    for one in found:
        if kept is not None:
            kept.append(one[0])
        yield one


def _scored_names(names: Sequence[str], params: Evaluate) -> Sequence[str]:
    """Return the images that are scored, without those whose labels name the clusters."""
    return [name for number, name in enumerate(names) if number % 2 != HALVES.get(params.named_on)]


# Videos


@dataclass(frozen=True)
class FirstLabels:
    """The first labelled frame of a sequence."""

    task: Task
    single: bool  # every number above 0 is the same object

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers of the objects in a map; negative = void."""
        return np.sign(values) if self.single else values

    def truth(self) -> NDArray[Any]:
        """Read its labels: (height, width), numbers of objects; negative = not scored."""
        return self.numbers(_truth_and_map(self.task)[0])

    def objects(self) -> list[int]:
        """Return the numbers of its objects, in ascending order."""
        present = np.unique(self.truth())
        return [int(value) for value in present[present > 0]]


@dataclass(frozen=True)
class ScoredFrame:
    """The scores of the objects of one frame, and those of the labels of the first frame in their place."""

    found: dict[int, FrameScore]
    copied: dict[int, FrameScore]
    pixels: tuple[int, int]  # scored, ignored


def _score_videos(tasks: Sequence[Task], run: Predictions, workers: int) -> dict[str, Any]:
    """Score the objects of each sequence: the images of one folder, without the first and the last."""
    inner = _inner_frames(run)
    labelled: dict[PurePosixPath, list[Task]] = {}
    for task in tasks:
        labelled.setdefault(_sequence_of(task.map), []).append(task)
    tally = VideoTally()
    for folder, given in labelled.items():
        first = _first_labels(given[0])
        scored = [replace(task, ignore=first.task.ignore) for task in given if task.map.name in inner]
        name = run.name if folder == PurePosixPath(".") else str(folder)
        if not scored:
            raise DataError(f"{name}: no frame between the first and the last has labels")
        frames = list(_each(scored, partial(_scored_frame, first=first), workers, f"scoring {name}"))
        tally.add(name, first.objects(), [frame.found for frame in frames], [frame.copied for frame in frames])
        tally.add_pixels([frame.pixels for frame in frames])
    return tally.result()


def _inner_frames(run: Predictions) -> set[str]:
    """Return the names of all frames but the first and the last of each sequence."""
    folders: dict[PurePosixPath, list[str]] = {}
    for item in run.maps:
        folders.setdefault(_sequence_of(item), []).append(item.name)
    return {name for names in folders.values() for name in names[1:-1]}


def _sequence_of(item: ImageMap) -> PurePosixPath:
    return PurePosixPath(item.name.partition("#")[0]).parent


def _first_labels(first: Task) -> FirstLabels:
    """Return the first labelled frame of a sequence; where its labels are only 0 and 255, 255 is the object."""
    if OFTEN_IGNORED in first.ignore and OFTEN_IGNORED not in first.params.ignore:
        every = replace(first, ignore=tuple(value for value in first.ignore if value != OFTEN_IGNORED))
        if set(np.unique(_truth_and_map(every)[0]).tolist()) == {0, OFTEN_IGNORED}:
            return FirstLabels(every, True)
    return FirstLabels(first, first.role == "mask")


def _each(tasks: Sequence[Any], work: Callable[[Any], Any], workers: int, what: str) -> Iterator[Any]:
    try:
        with console.progress(len(tasks), what) as bar:
            quick = len(tasks) // IMAGES_WORTH_A_TASK
            for result in ordered_map(work, tasks, workers, expected=quick, batch=BATCH):
                bar.update()
                yield result
    finally:
        release_artifacts()


# One image, in a worker


def _matrix_of(task: Task) -> Counted:
    truth, predicted = _truth_and_map(task)
    return counted(predicted, truth, task.clusters, task.classes, task.params)


def _largest_numbers(task: Task) -> tuple[int, int]:
    truth, predicted = _truth_and_map(task)
    return int(predicted.max(initial=0)), int(truth.max(initial=0))


def _object_of(task: Task, protocol: Protocol) -> Judged:
    truth, predicted = _truth_and_map(task)
    return judged(predicted, truth, task.map.confidence(truth.shape), protocol)


def _scored_frame(task: Task, first: FirstLabels) -> ScoredFrame:
    truth, predicted = map(first.numbers, _truth_and_map(task))
    copied = sample_nearest(first.truth(), (truth.shape[0], truth.shape[1]))
    known = int((truth >= 0).sum())
    return ScoredFrame(frame_scores(predicted, truth), frame_scores(copied, truth), (known, truth.size - known))


def _superpixels_of(task: Task) -> Bordered:
    truths = [truth for path in task.labels for truth in _labels(task, path)]
    return bordered(task.map.on(truths[0].shape), truths, task.map.pixels(), task.params)


def _truth_and_map(task: Task) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return labels and label map on the grid of the labels, so that each labelled pixel counts once."""
    truths = [truth for path in task.labels for truth in _labels(task, path)]
    if len(truths) > 1:
        raise DataError(
            f"{task.labels[0]}: has {len(truths)} annotators, which is only for superpixels; give one label map per "
            "image"
        )
    truth = truths[0]
    if task.params.grid == "working":
        truth = sample_nearest(truth, task.map.grid)
    return truth, task.map.on((truth.shape[0], truth.shape[1]))


def _labels(task: Task, path: str) -> list[NDArray[Any]]:
    found = read_labels(Path(path), task.legend, task.page, task.ignore)
    return [turned_like(task.map, truth, f"{path}: the label map") for truth in found]


def _page(item: ImageMap) -> int:
    return item.source.page if isinstance(item, StoredMap) else item.page


# The output


def _combined(
    found: Sequence[tuple[dict[str, Any], Matrices | None]],
) -> tuple[dict[str, Any], Matrices | None]:
    """Combine several runs into a list, with mean and deviation if all have as many clusters; keep a single run."""
    if len(found) == 1:
        return found[0]
    runs = [result for result, _ in found]
    went_in = [row for run in runs for row in run["pretrained"]]
    result = {"version": VERSION, "labels_used": "scoring", "protocol": runs[0]["protocol"], "runs": runs}
    result["pretrained"] = [row for number, row in enumerate(went_in) if row not in went_in[:number]]
    if len({run["protocol"]["clusters"] for run in runs}) == 1:  # a mean over numbers of clusters means nothing
        means, deviations = mean_and_deviation([run["scores"] for run in runs])
        result |= {"mean": means, "standard_deviation": deviations}
    return result, None


def _hints(runs: Sequence[Predictions]) -> dict[str, dict[str, str]]:
    """Return path and fingerprint of what each run was read from."""
    return {f"{name}.{number}": hint for number, run in enumerate(runs) for name, hint in run.hints.items()}


def _write(
    target: store.Target, result: dict[str, Any], matrices: Matrices | None, runs: Sequence[Predictions]
) -> None:
    text = json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    tables: dict[str, Any] = {"scores": np.frombuffer(text, np.uint8)}
    if matrices is not None:
        tables |= matrices.tables()
    hints = _hints(runs)
    tables |= joined(carried(hints, target.kind), {LABELS: ["evaluate: scoring"]})
    store.write_whole(target, tables, {}, relative_hints(hints, target.path))
