"""`unseg evaluate`: score label maps against ground truth, with the same protocol for every method.

Labels are used only for scoring, which the output states; the scores never influence training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import sample_nearest
from unsegcli.core.scoring.ceiling import SEGMENTS, Segments, best_labelling, segments_of
from unsegcli.core.scoring.confusion import CountMatrix, confusion
from unsegcli.core.scoring.matching import By
from unsegcli.core.scoring.object_scores import ObjectScores, best_of_two, object_scores
from unsegcli.core.scoring.protocols import PROTOCOLS, Protocol
from unsegcli.core.scoring.superpixel_scores import BorderScores, ShapeScores, border_scores, shape_scores
from unsegcli.core.scoring.tally import CeilingTally, ClusterTally, ObjectTally, SuperpixelTally, mean_and_deviation
from unsegcli.dataflow.dataset import relative_hints, release_artifacts
from unsegcli.dataflow.label_maps import (
    ImageMap,
    Predictions,
    StoredMap,
    check_same_classes,
    open_predictions,
    turned_like,
)
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.labels import LabelMatch, find_labels, given_labels, labels_digest, match_labels, read_labels
from unsegcli.legend import Legend, given_legend, legend_beside, read_legend
from unsegcli.parallel import ordered_map
from unsegcli.params import Evaluate, Inputs, Run, recorded
from unsegcli.recipe import Recipe, make_recipe

REVISION = 1
VERSION = 1  # of the scores as JSON
SHOWN = 5
FIXED_BY_PROTOCOL = ("matching", "match_by", "polarity")
BATCH = 32
IMAGES_WORTH_A_TASK = 50  # scoring is fast, so few images do not need a second process
MIOU_OVER = {
    "truth": "classes with a label",
    "either": "classes with a label or a prediction",
    "all": "all classes, absent ones count 0",
}


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
class Evaluated:
    """The scores and the file that holds them."""

    path: Path
    scores: dict[str, Any]


def evaluate(inputs: Inputs, params: Evaluate | None = None, run: Run | None = None) -> Evaluated:
    """Score label maps against ground truth.

    Args:
        inputs: artifacts, or folders of label maps; several inputs are runs of one method, such as different seeds.
        params: the protocol, and the paths of labels and legend.
        run: how to run, and the metrics file to write.
    """
    params, run = params or Evaluate(), (run or Run()).of("evaluate")
    _check(params)
    scored = _open_inputs(inputs, params)
    target = store.Target(run.output, "metrics", _recipe(params, scored), force=run.force, reads=inputs.paths)
    if target.finished() is not None:
        for one, match in zip(scored.runs, scored.matches, strict=True):
            _report_unmatched(one, match)
        with store.open_artifact(target.path) as artifact:
            return Evaluated(target.path, json.loads(bytes(artifact.table("scores"))))
    legend = None if scored.legend is None else read_legend(scored.legend)
    for one in scored.runs:
        check_same_classes(one, legend)
    results = [
        _score_run(one, match, legend, params, run.workers)
        for one, match in zip(scored.runs, scored.matches, strict=True)
    ]
    result, matrix = _combined(results)
    legend_path = None if scored.legend is None else str(scored.legend)
    result = _json_ready({**result, "labels": str(scored.folder), "legend": legend_path})
    _write(target, result, matrix, scored.runs)
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
    folder = _label_folder(runs[0], params.labels)
    legend = _legend_path(runs[0], params.legend, folder)
    matches = [match_labels([item.name for item in one.maps], folder) for one in runs]
    return Scored(runs, matches, folder, legend)


def _check(params: Evaluate) -> None:
    if params.protocol and params.protocol not in PROTOCOLS:
        raise ConfigError(f"--protocol {params.protocol}: is not one of {', '.join(PROTOCOLS)}")
    own = Evaluate()
    if params.protocol and any(getattr(params, name) != getattr(own, name) for name in FIXED_BY_PROTOCOL):
        raise ConfigError(
            f"--protocol {params.protocol} sets matching and polarity: leave out --many-to-one, --match-by, --polarity"
        )
    if params.replicates < 0 or (params.tolerance is not None and params.tolerance < 0):
        raise ConfigError("--replicates and --tolerance must not be negative")
    if params.background is not None and (params.background < 0 or not params.ceiling):
        raise ConfigError(f"--background {params.background}: must be a cluster number, and is only for --ceiling")


def _label_folder(run: Predictions, given: str | Path | None) -> Path:
    if given is not None:
        return given_labels(given)
    found = None if run.images is None else find_labels(run.images)
    if found is None:
        beside = f" next to {run.images}" if run.images is not None else ""
        if run.images is not None and not run.images.exists():
            beside = f": the images are no longer at {run.images}"
        raise DataError(f"{run.name}: no folder labels/ found{beside}; set the ground truth with --labels FOLDER")
    console.note(f"reading labels from {found}, for scoring only")
    return found


def _legend_path(run: Predictions, given: str | Path | None, labels: Path) -> Path | None:
    if given is not None:
        return given_legend(given)
    found = legend_beside(run.images, labels)
    if found is not None:
        console.note(f"using the legend {found}")
    return found


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
) -> tuple[dict[str, Any], CountMatrix | None]:
    _report_unmatched(run, match)
    protocol = _protocol(params, run)
    if params.ceiling and run.role not in ("clusters", "classes"):
        raise ConfigError(f"--ceiling is only for clusters, but {run.name} holds {run.role}; leave it out")
    ignore = tuple(sorted({*params.ignore, *protocol.ignore} - (set(legend.ignore) if legend else set())))
    base = Task(run.maps[0], (), 0, legend, ignore, run.role, 0, 0, params)
    tasks = [
        replace(base, map=item, labels=tuple(map(str, match.paths[item.name])), page=_page(item))
        for item in run.maps
        if item.name in match.paths
    ]
    if run.role == "superpixels":
        result, matrix = _score_superpixels(tasks, params, workers), None
    elif run.role == "mask":
        result, matrix = _score_objects(tasks, params, protocol, workers), None
    else:
        result, matrix = _score_clusters(tasks, run, legend, params, protocol, workers)
    return {
        "version": VERSION,
        "labels_used": f"{run.labels_used} and scoring" if run.labels_used else "scoring",
        "input": run.name,
        "role": run.role,
        "protocol": _protocol_facts(protocol, params, run, ignore, legend, matrix),
        **result,
        "images": len(tasks),
        "missing": match.missing,
    }, matrix


def _report_unmatched(run: Predictions, match: LabelMatch) -> None:
    if match.missing:
        shown = ", ".join(match.missing[:SHOWN])
        console.warn(f"{len(match.missing)} of {len(run.maps)} images have no label and are not scored: {shown}")
    if match.extra:
        console.note(f"{len(match.extra)} label files match no image: {', '.join(match.extra[:SHOWN])}")


def _protocol(params: Evaluate, run: Predictions) -> Protocol:
    """Return the published protocol that was chosen, or unseg's own with the user's settings."""
    if params.polarity != "given" and run.role != "mask":
        raise ConfigError(f"--polarity is only for object masks, but {run.name} holds {run.role}; leave it out")
    if params.protocol:
        protocol = PROTOCOLS[params.protocol]
        if (protocol.polarity == "best-of-two") is not (run.role == "mask"):
            wanted = "object masks" if protocol.polarity == "best-of-two" else "clusters"
            raise ConfigError(f"--protocol {protocol.name} scores {wanted}, but {run.name} holds {run.role}")
        return protocol
    if run.role == "classes":
        return Protocol("unseg", matching="none")
    return Protocol("unseg", matching=params.matching, by=cast(By, params.match_by), polarity=params.polarity)


def _protocol_facts(
    protocol: Protocol,
    params: Evaluate,
    run: Predictions,
    ignore: tuple[int, ...],
    legend: Legend | None,
    matrix: CountMatrix | None,
) -> dict[str, Any]:
    clusters = matrix.shape[0] - 1 if matrix is not None else None
    classes = matrix.shape[1] if matrix is not None else None
    matched = run.role == "clusters"
    one = protocol.matching == "one-to-one" or (protocol.matching == "as-numbers-allow" and clusters == classes)
    return {
        "name": protocol.name,
        "matching": ("one-to-one" if one else "many-to-one") if matched else "none",
        "cost": protocol.by if matched else None,
        "level": "data set" if run.role in ("clusters", "classes") else "image",
        "clusters": clusters,
        "classes": classes,
        "miou_over": MIOU_OVER[protocol.over],
        "ignore": [*(legend.ignore if legend else ()), *ignore],
        "grid": params.grid,
        "polarity": protocol.polarity if run.role == "mask" else None,
        "not_reproduced": list(protocol.not_reproduced),
    }


def _score_clusters(
    tasks: Sequence[Task],
    run: Predictions,
    legend: Legend | None,
    params: Evaluate,
    protocol: Protocol,
    workers: int,
) -> tuple[dict[str, Any], CountMatrix]:
    clusters, classes = run.clusters, len(legend.classes) if legend else None
    if clusters is None or classes is None:
        numbers = list(_each(tasks, _largest_numbers, workers, "counting classes"))
        largest = np.max(numbers, axis=0)
        clusters = clusters or int(largest[0]) + 1
        classes = classes or int(largest[1]) + 1
    if params.background is not None and params.background >= clusters:
        raise ConfigError(f"--background {params.background}: {run.name} has only the clusters 0 to {clusters - 1}")
    names = list(legend.names) if legend else [str(number) for number in range(classes)]
    sized = [replace(task, clusters=clusters, classes=classes) for task in tasks]
    tally = ClusterTally(clusters, classes, protocol, params.replicates, params.seed, params.per_image)
    ceiling, ignored = CeilingTally(classes, params.background), 0
    for index, (matrix, unscored, best) in enumerate(_each(sized, _matrix_of, workers, "scoring")):
        tally.add(index, matrix)
        ceiling.add(best)
        ignored += unscored
    result = {**tally.result(names, ignored), "legend_classes": names}
    return (result | {"oracle_ceiling": ceiling.result(tally)} if params.ceiling else result), tally.matrix


def _score_objects(tasks: Sequence[Task], params: Evaluate, protocol: Protocol, workers: int) -> dict[str, Any]:
    tally = ObjectTally(params.replicates, params.seed)
    asked = [replace(task, params=replace(params, polarity=protocol.polarity)) for task in tasks]
    for index, (found, truth, confidence) in enumerate(_each(asked, _object_of, workers, "scoring")):
        tally.add(index, found, truth)
        if confidence is not None:
            tally.curve.add(confidence, truth)
    return tally.result(protocol.polarity)


def _score_superpixels(tasks: Sequence[Task], params: Evaluate, workers: int) -> dict[str, Any]:
    tally = SuperpixelTally(params.replicates, params.seed)
    for index, (borders, shape) in enumerate(_each(tasks, _superpixels_of, workers, "scoring")):
        tally.add(index, borders, shape)
    return tally.result()


def _each(tasks: Sequence[Task], work: Callable[[Task], Any], workers: int, what: str) -> Iterator[Any]:
    try:
        with console.progress(len(tasks), what) as bar:
            quick = len(tasks) // IMAGES_WORTH_A_TASK
            for result in ordered_map(work, tasks, workers, expected=quick, batch=BATCH):
                bar.update()
                yield result
    finally:
        release_artifacts()


# One image, in a worker


def _matrix_of(task: Task) -> tuple[CountMatrix, int, dict[Segments, CountMatrix]]:
    truth, predicted = _truth_and_map(task)
    matrix = confusion(predicted, truth, task.clusters, task.classes, void=-1)
    best: dict[Segments, CountMatrix] = {
        sort: best_labelling(segments_of(predicted, sort, task.params.background), truth, task.classes)
        for sort in (SEGMENTS if task.params.ceiling else ())
    }
    return matrix, int(truth.size - matrix.sum()), best


def _largest_numbers(task: Task) -> tuple[int, int]:
    truth, predicted = _truth_and_map(task)
    return int(predicted.max(initial=0)), int(truth.max(initial=0))


def _object_of(task: Task) -> tuple[ObjectScores, NDArray[np.int8], NDArray[Any] | None]:
    truth, predicted = _truth_and_map(task)
    binary = np.sign(truth).astype(np.int8)  # the first class is background, all others are objects
    if task.params.protocol == "iem":
        binary[predicted < 0] = -1  # the paper crops the labels like the image
    score = best_of_two if task.params.polarity == "best-of-two" else object_scores
    return score(predicted > 0, binary), binary, task.map.confidence(truth.shape)


def _superpixels_of(task: Task) -> tuple[list[BorderScores], ShapeScores]:
    truths = [truth for path in task.labels for truth in _labels(task, path)]
    regions = task.map.on(truths[0].shape)
    pixels = task.map.pixels()
    fitting = pixels if pixels is not None and pixels.shape[:2] == regions.shape else None
    tolerance = task.params.tolerance
    return border_scores(regions, truths, tolerance, both_sides=True), shape_scores(regions, fitting)


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
    found: Sequence[tuple[dict[str, Any], CountMatrix | None]],
) -> tuple[dict[str, Any], CountMatrix | None]:
    """Combine several runs into a list with the mean and standard deviation of their scores; keep a single run."""
    if len(found) == 1:
        return found[0]
    means, deviations = mean_and_deviation([result["scores"] for result, _ in found])
    result = {
        "version": VERSION,
        "labels_used": "scoring",
        "protocol": found[0][0]["protocol"],
        "mean": means,
        "standard_deviation": deviations,
        "runs": [result for result, _ in found],
    }
    return result, None


def _write(
    target: store.Target, result: dict[str, Any], matrix: CountMatrix | None, runs: Sequence[Predictions]
) -> None:
    text = json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    tables: dict[str, Any] = {"scores": np.frombuffer(text, np.uint8)}
    if matrix is not None:
        tables["matrix"] = matrix
    hints = {f"{name}.{number}": hint for number, run in enumerate(runs) for name, hint in run.hints.items()}
    store.write_whole(target, tables, {}, relative_hints(hints, target.path))


def _json_ready(value: Any) -> Any:
    """Convert a value for JSON: NumPy numbers to Python's, NaN and infinity to null."""
    if isinstance(value, dict):
        return {str(key): _json_ready(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
