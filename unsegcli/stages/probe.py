"""`unseg probe`: how well a linear classifier tells classes apart by vectors of superpixels, or features of pixels.

The classifier is trained on the labels of one half of the images and scored on the other, which the output states:
what it measures is the vectors, and its scores are no result of a method without labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.scoring import scores
from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.core.scoring.linear_probe import DECAY, Probed, halves, probe_divisions
from unsegcli.core.scoring.run_scores import VERSION
from unsegcli.core.scoring.tally import mean_and_deviation
from unsegcli.dataflow.label_maps import turned_to
from unsegcli.dataflow.provenance import note_networks
from unsegcli.dataflow.score_files import SubjectScores, finished_scores, write_scores
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.images.working import Source
from unsegcli.labels import GroundTruth, LabelMatch, labels_digest, labels_for, labels_of, legend_of
from unsegcli.params import Cluster, Inputs, Probe, Run, Superpixels, changed_options, recorded
from unsegcli.recipe import make_recipe
from unsegcli.segmenters.labelled_images import TruthOf, bare_name, labelled_images, with_labels
from unsegcli.segmenters.segments import RegionSets
from unsegcli.segmenters.subjects import (
    Divisions,
    Lists,
    Subject,
    check_lists,
    hints_of,
    open_subjects,
    read_lists,
    report_bad,
    subjects_recipe,
)
from unsegcli.segmenters.vectors import cutting_of, described_by, plain_vectors

REVISION = 3  # floors, lists of images, and pixels
LABELS_USED = "probe: trained and scored on labels"
BEST_EPOCH = "; the epoch is chosen on labels, too"
OF_PIXELS = ("epochs", "learning_rate", "best_epoch", "squash")  # options of --per pixel
SETTINGS_OF_PIXELS = (*OF_PIXELS, "standardise", "momentum", "weight_decay", "batch", "least_steps", "pixels")
NEEDS = "a probe needs superpixels; make them with `unseg superpixels`, or name a model first"


@dataclass(frozen=True)
class Measured:
    """What one kind of vectors gave, for each division."""

    dimensions: int
    vectors: int
    probes: list[CountMatrix]  # (classes + 1, classes), predicted and true; the last row is none


@dataclass(frozen=True)
class Measures:
    """The results of one subject."""

    own: str  # name of the vectors that are measured; those of floors follow
    measured: dict[str, Measured]
    ceilings: list[CountMatrix]  # each superpixel given its most frequent class; none of pixels
    largest: list[CountMatrix]
    images: int
    ignored: int
    outside: int
    skipped: list[dict[str, str]]


def probe(inputs: Inputs, params: Probe | None = None, run: Run | None = None) -> SubjectScores:
    """Probe vectors of superpixels, or features of pixels, with labels.

    Args:
        inputs: models, each on its training data or on the images or superpixels named after it; artifacts of kind
            superpixels or features. Each model and each other artifact is probed by itself, with the same halves.
        params: what is probed, and how the images are divided; paths of labels and legend.
        run: how to run, and the metrics file to write.
    """
    params, run = params or Probe(), (run or Run()).of("probe")
    _check(params)
    subjects = [_with_cutting(one, params) for one in open_subjects(inputs, NEEDS)]
    folder = labels_of(subjects[0].folder, params.labels, subjects[0].name)
    truth = GroundTruth(folder, legend_of(subjects[0].folder, params.legend, folder), params.ignore)
    matches = [labels_for(subject.name, subject.names, folder) for subject in subjects]
    lists = read_lists(params.fit_on, params.score_on)
    target = _target(params, run, inputs, subjects, matches, truth, lists)
    note_networks(hints_of(subjects), "metrics")
    earlier = finished_scores(target)
    if earlier is not None:
        for one, subject in zip(earlier.runs, subjects, strict=True):
            report_bad(subject, one["skipped"])
        return earlier
    measure = _pixels if params.per == "pixel" else _regions
    found = [
        _described(subject, match, measure(subject, match, truth, params, run, lists), truth, params)
        for subject, match in zip(subjects, matches, strict=True)
    ]
    legend = str(truth.legend_path) if truth.legend_path else None
    return write_scores(target, found, {"labels": str(folder), "legend": legend}, hints_of(subjects), _used(params))


def _used(params: Probe) -> str:
    """Say what labels were used for."""
    return LABELS_USED + (BEST_EPOCH if params.best_epoch else "")


def _check(params: Probe) -> None:
    if params.halves < 1:
        raise ConfigError(f"--halves {params.halves}: must be at least 1")
    if params.per == "pixel":
        if params.epochs is not None and params.epochs < 1:
            raise ConfigError(f"--epochs {params.epochs:g}: must be at least 1")
        return
    named = changed_options(params, (), OF_PIXELS)
    if named:
        raise ConfigError(f"{', '.join(named)}: is only for --per pixel; add that, or leave it out")


def _with_cutting(subject: Subject, params: Probe) -> Subject:
    """Find out how images are cut into superpixels, if vectors of superpixels are measured."""
    if subject.model is None or subject.dataset.kind != "pictures" or params.per == "pixel":
        return subject
    return replace(subject, cutting=cutting_of(subject.model))


def _target(
    params: Probe,
    run: Run,
    inputs: Inputs,
    subjects: Sequence[Subject],
    matches: Sequence[LabelMatch],
    truth: GroundTruth,
    lists: Lists | None,
) -> store.Target:
    given, settings = subjects_recipe(subjects)
    given["labels"] = labels_digest(matches, truth.folder)
    if truth.legend_path is not None:
        given["legend"] = file_digest(truth.legend_path)
    own = recorded(params)
    if params.per != "pixel":
        own = {name: value for name, value in own.items() if name not in SETTINGS_OF_PIXELS}
    recipe = make_recipe("probe", REVISION, [own, settings], {**given, **(lists.digests if lists else {})})
    return store.Target(run.output, "metrics", recipe, force=run.force, reads=inputs.paths)


# One subject


def _opened(subject: Subject, match: LabelMatch, truth: GroundTruth, run: Run) -> tuple[Subject, TruthOf]:
    """Return the subject with its labelled images opened, and what reads their labels."""
    paths = {bare_name(name): found for name, found in match.paths.items()}

    def truth_of(source: Source) -> NDArray[Any]:
        files = paths[bare_name(source.name)]
        return turned_to(source, truth.map_of(files, source.page), files[0])

    return replace(subject, dataset=with_labels(subject.dataset.opened(run.workers), paths)), truth_of


def _divisions(names: Sequence[str], params: Probe, lists: Lists | None, subject: Subject) -> Divisions:
    """Return the pairs of images that are learned from and images that are scored, for each division."""
    if lists is not None:
        check_lists(lists, names, subject.name)
        return [lists.numbers(names)]
    if len(names) < 2:
        raise DataError(
            f"a probe trains on some images and scores others, but {len(names)} has labels; give at least two"
        )
    return [[(one, other), (other, one)] for one, other in halves(len(names), params.halves, params.seed)]


def _regions(
    subject: Subject, match: LabelMatch, truth: GroundTruth, params: Probe, run: Run, lists: Lists | None
) -> Measures:
    """Probe the vectors of superpixels."""
    subject, truth_of = _opened(subject, match, truth, run)
    workers = run.workers if subject.model is None else 1  # torch uses its own threads
    work = _sets(subject, params, run)
    found = labelled_images(subject.dataset, work, truth_of, truth.classes, "computing vectors", workers)
    report_bad(subject, found.skipped)
    if not found.images:
        raise DataError(f"{subject.name}: no image with a label could be read")
    divisions = _divisions(found.names, params, lists, subject)
    probed: dict[str, list[Probed]] = {}
    for name, labelled in found.labelled.items():
        console.note(
            f"probing {labelled.vectors.shape[1]} dimensions of {len(labelled.vectors):,} superpixels"
            + ("" if name == subject.what else f": {name}")
        )
        probed[name] = probe_divisions(labelled, divisions)
    own = probed[subject.what]
    measured = {
        name: Measured(labelled.vectors.shape[1], len(labelled.vectors), [one.probe for one in probed[name]])
        for name, labelled in found.labelled.items()
    }
    outside = int(found.labelled[subject.what].outside.sum())
    ceilings, largest = [one.ceiling for one in own], [one.largest for one in own]
    return Measures(subject.what, measured, ceilings, largest, found.images, found.ignored, outside, found.skipped)


def _sets(subject: Subject, params: Probe, run: Run) -> RegionSets:
    """Return what computes the vectors of a window's superpixels, and those of floors."""
    if subject.model is None:
        return RegionSets(subject.what, plain_vectors, None, params.floors)
    method = None if params.method is None else str(params.method)
    own = described_by(subject.model, method, run.device, Cluster.tile, subject.cutting or Superpixels())
    floor = own.untrained(subject.dataset, params.seed) if params.floors else None
    return RegionSets(subject.what, own, floor, params.floors)


def _pixels(
    subject: Subject, match: LabelMatch, truth: GroundTruth, params: Probe, run: Run, lists: Lists | None
) -> Measures:
    """Probe the dense features of pixels; torch is imported here, so that a probe of superpixels need not wait."""
    from unsegcli.segmenters.pixel_features import dense_vectors, labelled_windows
    from unsegcli.segmenters.pixel_probing import largest_of, probe_pixels, training_of

    subject, truth_of = _opened(subject, match, truth, run)
    work = dense_vectors(subject, params, run)
    found = labelled_windows(subject.dataset, work, truth_of)
    report_bad(subject, found.skipped)
    if not found.images:
        raise DataError(f"{subject.name}: no image with a label could be read")
    divisions = _divisions(found.names, params, lists, subject)
    classes = truth.classes or found.classes
    measured = {}
    for name in found.dense_names:
        dimensions = found.dimensions(name)
        console.note(f"probing {dimensions} dimensions of the pixels of {console.count_images(found.images)}: {name}")
        how = training_of(params)
        matrices = [probe_pixels(found, name, parts, classes, how, params) for parts in divisions]
        measured[name] = Measured(dimensions, found.pixels, matrices)
    largest = [largest_of(found, parts, classes) for parts in divisions]
    return Measures(subject.what, measured, [], largest, found.images, found.ignored, found.outside, found.skipped)


# The output


def _described(
    subject: Subject, match: LabelMatch, found: Measures, truth: GroundTruth, params: Probe
) -> dict[str, Any]:
    own = found.measured[found.own]
    classes = own.probes[0].shape[1]
    largest = _mean([_scores(one) for one in found.largest])
    unit = "pixels" if params.per == "pixel" else "superpixels"
    ceiling = {"what": "each superpixel given its most frequent class: an oracle"}
    return {
        "version": VERSION,
        "labels_used": _used(params),
        "input": subject.name,
        "pretrained": list(subject.pretrained),
        "vectors": {"of": subject.what, "dimensions": own.dimensions, unit: own.vectors},
        "protocol": _protocol(params, truth, classes),
        **_scored(own.probes),
        "halves": [_scores(one) for one in own.probes],
        "floors": [
            {"of": name, "dimensions": one.dimensions, **_scored(one.probes)}
            for name, one in found.measured.items()
            if name != found.own
        ],
        "ceiling": {**ceiling, **_mean([_scores(one) for one in found.ceilings])} if found.ceilings else None,
        "chance": {"largest_class": largest["accuracy"], "largest_class_miou": largest["miou"]},
        "per_class": list(_by_class(truth.names(classes), own.probes)),
        "pixels": {"scored": int(own.probes[0].sum()), "ignored": found.ignored, "outside": found.outside},
        "images": found.images,
        "missing": match.missing,
        "skipped": found.skipped,
    }


def _protocol(params: Probe, truth: GroundTruth, classes: int) -> dict[str, Any]:
    shared = {
        "name": "linear probe",
        "per": params.per or "superpixel",
        "halves": params.halves if params.fit_on is None else 0,
        "seed": params.seed,
    }
    last = {"classes": classes, "ignore": truth.ignore, "grid": "source"}
    if params.per != "pixel":
        return {**shared, "decay": DECAY, **last}
    epoch = "the best one, chosen on labels" if params.best_epoch else "the last one"
    return {**shared, **{name: getattr(params, name) for name in SETTINGS_OF_PIXELS}, "epoch": epoch, **last}


def _scored(probes: Sequence[CountMatrix]) -> dict[str, Any]:
    """Return the mean and the deviation over the divisions."""
    each = [_scores(one) for one in probes]
    return {"scores": _mean(each), "spread": mean_and_deviation(each)[1] if len(each) > 1 else {}}


def _scores(matrix: CountMatrix) -> dict[str, float]:
    return {"accuracy": scores.accuracy(matrix), "miou": scores.mean_iou(matrix)}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _by_class(names: Sequence[str], probes: Sequence[CountMatrix]) -> Iterator[dict[str, Any]]:
    """Yield the scores of each class, averaged over the divisions."""
    each = [scores.class_scores(one) for one in probes]
    for number, name in enumerate(names):
        values = {
            what: float(np.mean([getattr(one, what)[number] for one in each]))
            for what in ("iou", "precision", "recall")
        }
        yield {"class": name, **values, "pixels": int(each[0].true[number])}
