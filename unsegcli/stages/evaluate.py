"""`unseg evaluate`: score label maps against ground truth, with the same protocol for every method.

Labels are used only for scoring, which the output states; the scores never influence training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import sample_nearest
from unsegcli.core.scoring.davis import FrameScore, VideoTally, frame_scores
from unsegcli.core.scoring.run_scores import VERSION, check_evaluate, plain, protocol_for
from unsegcli.core.scoring.tally import mean_and_deviation
from unsegcli.dataflow.label_maps import ImageMap, Predictions, check_same_classes, open_predictions
from unsegcli.dataflow.provenance import note_networks
from unsegcli.dataflow.same_method import same_method
from unsegcli.dataflow.scored_runs import (
    OFTEN_IGNORED,
    RunScores,
    ScoringTask,
    TruthFiles,
    about_run,
    each_image,
    hints_of,
    score_maps,
    tasks_of,
    truth_and_map,
    write_run_scores,
)
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.labels import (
    LabelMatch,
    check_unchanged,
    labels_digest,
    labels_of,
    legend_of,
    match_labels,
    read_labels,
)
from unsegcli.legend import Legend, read_legend
from unsegcli.params import Evaluate, Inputs, Run, recorded
from unsegcli.recipe import Recipe, make_recipe

REVISION = 3  # the scores of each image are always stored; no mean over results of different methods
SHOWN = 5


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
            each, they are runs of one method, such as different seeds, and results of other methods are refused.
        params: the protocol, and the paths of labels and legend.
        run: how to run, and the metrics file to write.
    """
    params, run = params or Evaluate(), (run or Run()).of("evaluate")
    check_evaluate(params)
    scored = _open_inputs(inputs, params)
    _refuse_other_methods(scored.runs, params)
    note_networks(hints_of(scored.runs), "metrics")
    target = store.Target(run.output, "metrics", _recipe(params, scored), force=run.force, reads=inputs.paths)
    if target.finished() is not None:
        for one, match in zip(scored.runs, scored.matches, strict=True):
            _report_unmatched(one, match)
        with store.open_artifact(target.path) as artifact:
            return Evaluated(target.path, json.loads(bytes(artifact.table("scores"))), unchanged=True)
    legend = None if scored.legend is None else read_legend(scored.legend)
    for one in scored.runs:
        check_same_classes(one, legend)
    found = [
        _score_run(one, match, legend, params, run.workers)
        for one, match in zip(scored.runs, scored.matches, strict=True)
    ]
    check_unchanged(scored.matches, scored.folder, target.recipe["inputs"]["labels"])
    result = _combined([one.result for one in found], scored.runs)
    legend_path = None if scored.legend is None else str(scored.legend)
    result = plain({**result, "labels": str(scored.folder), "legend": legend_path})
    write_run_scores(target, result, found, scored.runs, "evaluate: scoring")
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


def _refuse_other_methods(runs: Sequence[Predictions], params: Evaluate) -> None:
    """Refuse results of different methods, of which a mean means nothing; other numbers of clusters make a curve."""
    if len(runs) == 1 or params.protocol == "davis" or len({run.clusters for run in runs} - {None}) > 1:
        return
    same = same_method(runs)
    if same is None:
        console.note("whether these are runs of one method is not known, since their models are gone: no mean is made")
    elif not same:
        names = " ".join(run.name for run in runs)
        raise ConfigError(f"these are results of different methods, not runs of one: use `unseg compare {names}`")


# One run


def _score_run(run: Predictions, match: LabelMatch, legend: Legend | None, params: Evaluate, workers: int) -> RunScores:
    _report_unmatched(run, match)
    protocol = protocol_for(params, run.role, run.name)
    # A legend says itself what is void in labels of videos.
    void = () if protocol.name == "davis" and legend is not None else protocol.ignore
    ignore = tuple(sorted({*params.ignore, *void} - (set(legend.ignore) if legend else set())))
    tasks = tasks_of(run, TruthFiles(read_labels, match.files, legend, ignore), params)
    if protocol.name == "davis":
        found = RunScores(_score_videos(tasks, run, workers))
    else:
        found = score_maps(tasks, run, protocol, workers)
    about = about_run(run, found, protocol, params, [*(legend.ignore if legend else ()), *ignore])
    return replace(found, result={**about, **found.result, "images": len(tasks), "missing": match.missing})


def _report_unmatched(run: Predictions, match: LabelMatch) -> None:
    if match.missing:
        shown = ", ".join(match.missing[:SHOWN])
        console.warn(f"{len(match.missing)} of {len(run.maps)} images have no label and are not scored: {shown}")
    if match.extra:
        console.note(f"{len(match.extra)} label files match no image: {', '.join(match.extra[:SHOWN])}")


# Videos


@dataclass(frozen=True)
class FirstLabels:
    """The first labelled frame of a sequence."""

    task: ScoringTask
    single: bool  # every number above 0 is the same object

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers of the objects in a map; negative = void."""
        return np.sign(values) if self.single else values

    def truth(self) -> NDArray[Any]:
        """Read its labels: (height, width), numbers of objects; negative = not scored."""
        return self.numbers(truth_and_map(self.task)[0])

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


def _score_videos(tasks: Sequence[ScoringTask], run: Predictions, workers: int) -> dict[str, Any]:
    """Score the objects of each sequence: the images of one folder, without the first and the last."""
    inner = _inner_frames(run)
    labelled: dict[PurePosixPath, list[ScoringTask]] = {}
    for task in tasks:
        labelled.setdefault(_sequence_of(task.map), []).append(task)
    tally = VideoTally()
    for folder, given in labelled.items():
        first = _first_labels(given[0])
        scored = [replace(task, ignore=first.task.ignore) for task in given if task.map.name in inner]
        name = run.name if folder == PurePosixPath(".") else str(folder)
        if not scored:
            raise DataError(f"{name}: no frame between the first and the last has labels")
        frames = list(each_image(scored, partial(_scored_frame, first=first), workers, f"scoring {name}"))
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


def _first_labels(first: ScoringTask) -> FirstLabels:
    """Return the first labelled frame of a sequence; where its labels are only 0 and 255, 255 is the object."""
    if OFTEN_IGNORED in first.ignore and OFTEN_IGNORED not in first.params.ignore:
        every = replace(first, ignore=tuple(value for value in first.ignore if value != OFTEN_IGNORED))
        if set(np.unique(truth_and_map(every)[0]).tolist()) == {0, OFTEN_IGNORED}:
            return FirstLabels(every, True)
    return FirstLabels(first, first.role == "mask")


def _scored_frame(task: ScoringTask, first: FirstLabels) -> ScoredFrame:
    truth, predicted = map(first.numbers, truth_and_map(task))
    copied = sample_nearest(first.truth(), (truth.shape[0], truth.shape[1]))
    known = int((truth >= 0).sum())
    return ScoredFrame(frame_scores(predicted, truth), frame_scores(copied, truth), (known, truth.size - known))


# The output


def _combined(found: Sequence[dict[str, Any]], runs: Sequence[Predictions]) -> dict[str, Any]:
    """Combine several runs into a list, with mean and deviation if they are runs of one method; keep a single run."""
    if len(found) == 1:
        return found[0]
    went_in = [row for run in found for row in run["pretrained"]]
    result = {"version": VERSION, "labels_used": "scoring", "protocol": found[0]["protocol"], "runs": list(found)}
    result["pretrained"] = [row for number, row in enumerate(went_in) if row not in went_in[:number]]
    numbers = {run["protocol"]["clusters"] for run in found}
    if len(numbers) == 1 and same_method(runs):  # a mean over numbers of clusters means nothing
        means, deviations = mean_and_deviation([run["scores"] for run in found])
        result |= {"mean": means, "standard_deviation": deviations}
    return result
