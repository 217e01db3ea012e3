"""`unseg compare`: score several results on the same images by one protocol, and say which differences are real.

Labels are used only for scoring, which the output states.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from unsegcli import console, store
from unsegcli.core.scoring.paired import LEVEL, Difference, difference, holm, mean_over_seeds
from unsegcli.core.scoring.protocols import Protocol
from unsegcli.core.scoring.run_scores import VERSION, check_evaluate, plain, protocol_for
from unsegcli.core.scoring.scores import FEWEST_REPLICATES, Floats, middle
from unsegcli.core.scoring.tally import mean_and_deviation
from unsegcli.dataflow.commands import run_command
from unsegcli.dataflow.label_maps import Predictions, check_same_classes, open_predictions
from unsegcli.dataflow.provenance import note_networks
from unsegcli.dataflow.same_method import methods_of, untraced
from unsegcli.dataflow.scored_runs import (
    RunScores,
    TruthFiles,
    about_run,
    hints_of,
    score_maps,
    tasks_of,
    write_run_scores,
)
from unsegcli.errors import ConfigError, DataError, as_unseg_writes
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
from unsegcli.params import Compare, Inputs, Run, as_typed, recorded
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.views.same_images import maps_of_images

REVISION = 1
SEMANTIC = ("clusters", "classes")  # roles that are scored alike
BY_IMAGE = {"mask": "iou", "superpixels": "boundary_recall"}  # the score of an image by role; else accuracy
FEW_IMAGES = 10  # intervals over fewer are too narrow
MOST_LISTED = 1000  # images whose scores are in the output, those that differ most
ON_PAGE = 24  # images
SEEDS_APART = 1  # tells the draws of seeds from those of images
SEED_IN_NAME = re.compile(r"[-_.]?(seed)?[-_.]?\d+$")
SCHEME = {
    "images": "each image has a Poisson weight of mean 1 in each replicate, the same for all results; clusters are "
    "matched again in each",
    "seeds": "of S runs of a method, S - 1 are drawn with replacement in each replicate; a single run stays",
    "p": "two-sided, adjusted for the number of pairs by Holm's method; more than chance = below 0.05",
}


@dataclass(frozen=True)
class Compared:
    """The scores and the file that holds them."""

    path: Path
    scores: dict[str, Any]
    unchanged: bool = field(default=False, compare=False)  # whether they are those of an earlier run


@dataclass(frozen=True)
class SameImages:
    """Results on the images that all of them have, in the same order, and their ground truth."""

    runs: Sequence[Predictions]
    left_out: Sequence[Sequence[str]]  # of each result, the images that not all have
    match: LabelMatch  # of the images of the first result
    folder: Path  # of labels
    legend_path: Path | None
    legend: Legend | None

    def paths(self, run: Predictions) -> dict[str, Sequence[Path]]:
        """Return the label files of each image of a result, by its own names."""
        pairs = zip(self.runs[0].maps, run.maps, strict=True)
        return {own.name: self.match.paths[item.name] for item, own in pairs if item.name in self.match.paths}

    def names(self, run: Predictions) -> dict[str, str]:
        """Return the name in the first result of each image of a result."""
        return {own.name: item.name for item, own in zip(self.runs[0].maps, run.maps, strict=True)}


@dataclass(frozen=True)
class Method:
    """One method: the scores of its runs, and of the replicates."""

    name: str
    runs: Sequence[int]  # numbers of the results
    scores: Mapping[str, float]
    deviation: Mapping[str, float]  # over runs; {} = a single run
    replicates: Mapping[str, Floats]


def compare(inputs: Inputs, params: Compare | None = None, run: Run | None = None) -> Compared:
    """Score several results side by side, and test their differences.

    Args:
        inputs: artifacts, or folders of label maps of any tool; those whose recipes differ by seeds only are runs of
            one method. And the folder of the images, if they were moved, for the page.
        params: the protocol, the paths of labels and legend, and the folder of the page.
        run: how to run, and the metrics file to write.
    """
    params, run = params or Compare(), (run or Run()).of("compare")
    _check(inputs, params)
    given = [open_predictions(path, params.role) for path in inputs.paths]
    same = _same_images(given, params)
    note_networks(hints_of(same.runs), "metrics")
    target = store.Target(run.output, "metrics", _recipe(params, same), force=run.force, reads=inputs.paths)
    _report(same)
    unchanged = target.finished() is not None
    scores = _finished(target) if unchanged else _scored(target, same, params, run)
    if params.page is not None:
        with as_unseg_writes(target.path, "scores"):
            firsts = [str(inputs.paths[method["runs"][0]]) for method in scores["methods"]]
        _write_page(target.path, replace(inputs, paths=firsts), params, run)
    return Compared(target.path, scores, unchanged)


def _check(inputs: Inputs, params: Compare) -> None:
    check_evaluate(params.scoring)
    if len(inputs.paths) < 2:
        raise ConfigError("compare needs at least two results; `unseg evaluate` scores one")
    if params.protocol == "davis":
        raise ConfigError("--protocol davis: videos are not compared; score each result with `unseg evaluate`")
    if params.page is not None and Path(params.page).exists() and not Path(params.page).is_dir():
        raise ConfigError(f"--page {params.page}: is a file; give the name of a folder")
    if params.replicates < FEWEST_REPLICATES:
        raise ConfigError(f"--replicates {params.replicates}: compare needs at least {FEWEST_REPLICATES}")


def _finished(target: store.Target) -> dict[str, Any]:
    with store.open_artifact(target.path) as artifact:
        found: dict[str, Any] = json.loads(bytes(artifact.table("scores")))
    return found


# What is compared


def _same_images(given: Sequence[Predictions], params: Compare) -> SameImages:
    """Find the images that all results have, and their labels."""
    roles = list(dict.fromkeys("clusters" if one.role in SEMANTIC else one.role for one in given))
    if len(roles) > 1:
        held = ", ".join(f"{one.name} holds {one.role}" for one in given)
        raise ConfigError(f"results of different kinds cannot be compared: {held}")
    partners = [maps_of_images(given[0], other) for other in given]
    kept = [row for row in zip(*partners, strict=True) if all(row)]
    if not kept:
        raise DataError(f"no image is in all of {', '.join(one.name for one in given)}")
    runs = [
        replace(one, maps=tuple(item for item in maps if item is not None))
        for one, maps in zip(given, zip(*kept, strict=True), strict=True)
    ]
    kept_names = [{item.name for item in one.maps} for one in runs]
    left_out = [
        [item.name for item in one.maps if item.name not in names] for one, names in zip(given, kept_names, strict=True)
    ]
    known = next((one for one in runs if one.images is not None), runs[0])
    folder = labels_of(known.images, params.labels, known.name)
    legend = legend_of(known.images, params.legend, folder)
    match = match_labels([item.name for item in runs[0].maps], folder)
    return SameImages(runs, left_out, match, folder, legend, None if legend is None else read_legend(legend))


def _recipe(params: Compare, same: SameImages) -> Recipe:
    inputs = {"labels": labels_digest([same.match], same.folder)}
    if same.legend_path is not None:
        inputs["legend"] = file_digest(same.legend_path)
    for number, run in enumerate(same.runs):
        inputs |= {f"{name}.{number}": digest for name, digest in run.inputs.items()}
    roles = {f"role.{number}": run.role for number, run in enumerate(same.runs)}
    return make_recipe("compare", REVISION, [recorded(params), roles, {"methods": methods_of(same.runs)}], inputs)


def _report(same: SameImages) -> None:
    """Say which images are left out, and why."""
    count = console.count_images(len(same.runs[0].maps))
    if any(same.left_out):
        pairs = zip(same.runs, same.left_out, strict=True)
        said = ", ".join(f"{len(names)} of {run.name}" for run, names in pairs if names)
        console.note(f"{count} are in all results; left out are {said}")
    if same.match.missing:
        console.warn(f"{len(same.match.missing)} of {count} have no label and are not scored")
    lost = untraced(same.runs)
    if lost:
        console.note(f"{', '.join(lost)}: the model is gone or has changed, so each counts as a method of its own")
    if 0 < len(same.match.paths) < FEW_IMAGES:
        console.warn(f"only {console.count_images(len(same.match.paths))} to compare on: intervals are too narrow")


# Scores


def _scored(target: store.Target, same: SameImages, params: Compare, run: Run) -> dict[str, Any]:
    """Score all results, compare them, and write the file."""
    found = [_score_run(one, same, params, run.workers) for one in same.runs]
    check_unchanged([same.match], same.folder, target.recipe["inputs"]["labels"])
    methods = _methods(same.runs, found, params.seed)
    pretrained = [row for one in found for row in one.result["pretrained"]]
    uses = list(dict.fromkeys(one.labels_used for one in same.runs if one.labels_used))
    facts = {
        "version": VERSION,
        "labels_used": " and ".join([*uses, "scoring"]),
        "pretrained": [row for number, row in enumerate(pretrained) if row not in pretrained[:number]],
        "images": len(same.match.paths),
        "left_out": [
            {"input": one.name, "images": names} for one, names in zip(same.runs, same.left_out, strict=True) if names
        ],
        "missing": same.match.missing,
        "runs": [one.result for one in found],
        "methods": [_about_method(method, found) for method in methods],
        "differences": _differences(methods),
        "bootstrap": {"replicates": _replicates(found), "level": LEVEL, **SCHEME},
        **_most_different(same, found, methods),
        "labels": str(same.folder),
        "legend": None if same.legend_path is None else str(same.legend_path),
    }
    result: dict[str, Any] = plain(facts)
    write_run_scores(target, result, found, same.runs, "compare: scoring")
    return result


def _score_run(run: Predictions, same: SameImages, params: Compare, workers: int) -> RunScores:
    check_same_classes(run, same.legend)
    scoring = params.scoring
    # Classes have their names already, so no image names them; the images that are scored are the same.
    asked = replace(scoring, named_on="") if run.role == "classes" else scoring
    protocol = protocol_for(asked, run.role, run.name)
    listed = same.legend.ignore if same.legend else ()
    ignore = tuple(sorted({*params.ignore, *protocol.ignore} - set(listed)))
    tasks = tasks_of(run, TruthFiles(read_labels, same.paths(run), same.legend, ignore), scoring)
    found = score_maps(tasks, run, protocol, workers)
    _check_replicates(run, found, protocol)
    about = about_run(run, found, protocol, scoring, [*listed, *ignore])
    return replace(found, result={**about, **found.result, "images": len(tasks), "missing": same.match.missing})


def _check_replicates(run: Predictions, found: RunScores, protocol: Protocol) -> None:
    if found.replicates:
        return
    if found.result["pixels"]["scored"]:
        raise DataError(f"{run.name}: has too many clusters for a bootstrap in memory; merge some")
    raise DataError(f"{run.name}: no pixel is scored by the protocol {protocol.name}; check labels and --ignore")


def _replicates(found: Sequence[RunScores]) -> int:
    """Return the number of replicates that all runs have; large matrices have fewer."""
    return min(len(values) for one in found for values in one.replicates.values())


# Methods


def _methods(runs: Sequence[Predictions], found: Sequence[RunScores], seed: int) -> list[Method]:
    groups, count = methods_of(runs), _replicates(found)
    names = [name for name in found[0].replicates if all(name in one.replicates for one in found)]
    made = []
    for number, (group, called) in enumerate(zip(groups, _names(runs, groups), strict=True)):
        of_runs = [found[one].result["scores"] for one in group]
        scores, deviation = mean_and_deviation(of_runs) if len(group) > 1 else (of_runs[0], {})
        drawn = {
            name: mean_over_seeds(
                np.stack([found[one].replicates[name][:count] for one in group]),
                np.random.default_rng([seed, number, SEEDS_APART]),
            )
            for name in names
        }
        made.append(Method(called, group, scores, deviation, drawn))
    return made


def _names(runs: Sequence[Predictions], groups: Sequence[Sequence[int]]) -> list[str]:
    """Return the name of each method: its file, or what the files of its runs share."""
    names = []
    for group in groups:
        stems = {SEED_IN_NAME.sub("", PurePath(runs[one].name).stem) for one in group}
        shared = stems.pop() if len(stems) == 1 else ""
        names.append(runs[group[0]].name if len(group) == 1 or not shared else shared)
    return names


def _about_method(method: Method, found: Sequence[RunScores]) -> dict[str, Any]:
    return {
        "name": method.name,
        "runs": list(method.runs),
        "clusters": found[method.runs[0]].result["protocol"]["clusters"],
        "matching": found[method.runs[0]].result["protocol"]["matching"],
        "scores": method.scores,
        "standard_deviation": method.deviation,
        "interval": {name: list(middle(values, LEVEL)) for name, values in method.replicates.items()},
    }


def _differences(methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Compare each pair of methods by each score."""
    pairs = list(itertools.combinations(methods, 2))
    rows = []
    for name in methods[0].replicates if pairs else ():
        found = [
            difference((one.scores[name], other.scores[name]), (one.replicates[name], other.replicates[name]))
            for one, other in pairs
        ]
        adjusted = holm([one.p for one in found])
        rows += [
            _about_pair(one.name, other.name, name, pair, p)
            for (one, other), pair, p in zip(pairs, found, adjusted, strict=True)
        ]
    return rows


def _about_pair(first: str, second: str, score: str, found: Difference, p: float) -> dict[str, Any]:
    return {
        "first": first,
        "second": second,
        "score": score,
        "difference": found.value,
        "interval": [found.low, found.high],
        "p": p,
        "more_than_chance": p < 1 - LEVEL,
    }


# Images


def _most_different(same: SameImages, found: Sequence[RunScores], methods: Sequence[Method]) -> dict[str, Any]:
    """Return the scores of each image by each method, those that differ most first."""
    own = [_scores_by_image(run, one, same.names(run)) for run, one in zip(same.runs, found, strict=True)]
    rows: list[dict[str, Any]] = []
    for image in own[0]:
        scores = [float(np.mean([own[one].get(image, np.nan) for one in method.runs])) for method in methods]
        if not np.isnan(scores).any():
            rows.append({"image": image, "scores": scores, "spread": max(scores) - min(scores)})
    rows.sort(key=lambda row: -row["spread"])
    return {"image_score": BY_IMAGE.get(same.runs[0].role, "accuracy"), "most_different": rows[:MOST_LISTED]}


def _scores_by_image(run: Predictions, found: RunScores, names: Mapping[str, str]) -> dict[str, float]:
    """Return a score of each image of a run, by its name in the first run."""
    if run.role in BY_IMAGE:
        return {names[image]: scores[BY_IMAGE[run.role]] for image, scores in found.measured.items()}
    class_of = np.array([*found.result["assignment"], -1])  # the last row = in no cluster
    right = {image: pairs[class_of[pairs[:, 0]] == pairs[:, 1], 2].sum() for image, pairs in found.counts.items()}
    pixels = {image: pairs[:, 2].sum() for image, pairs in found.counts.items()}
    return {names[image]: float(right[image] / pixels[image]) for image in right if pixels[image]}


# The output


def _write_page(scores: Path, inputs: Inputs, params: Compare, run: Run) -> None:
    """Show the images on which methods differ most, a run of each, by the command that a user would type."""
    shown = ("labels", "legend", "role")
    options = [part for name in shown if getattr(params, name) for part in (f"--{name}", str(getattr(params, name)))]
    options += as_typed(Inputs((), source_folder=inputs.source_folder))
    options += [*(["--workers", str(run.workers)] if run.workers else []), *(["--force"] if run.force else [])]
    given = [*map(str, inputs.paths), "--metrics", str(scores), "--limit", str(ON_PAGE), "-o", str(params.page)]
    run_command(["visualize", *given, *options])
