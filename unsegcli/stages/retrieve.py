"""`unseg retrieve`: whether segments of one class lie together, by the class of the nearest segment of other images.

Segments are the objects that a model finds, or given object masks. The classes of the segments that are looked up are
those of their labels, which the output states; the scores are no result of a method without labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.scoring import scores
from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.core.scoring.linear_probe import Labelled, halves
from unsegcli.core.scoring.retrieval import majority, painted_counts, restricted, retrieved
from unsegcli.core.scoring.run_scores import VERSION
from unsegcli.core.scoring.tally import mean_and_deviation
from unsegcli.dataflow.label_maps import turned_to
from unsegcli.dataflow.provenance import note_networks
from unsegcli.dataflow.score_files import SubjectScores, finished_scores, write_scores
from unsegcli.errors import ConfigError, DataError, closest
from unsegcli.images.find import file_digest
from unsegcli.images.working import Source
from unsegcli.labels import GroundTruth, LabelMatch, labels_digest, labels_for, labels_of, legend_of
from unsegcli.params import Cluster, Inputs, Retrieve, Run, Superpixels, recorded
from unsegcli.recipe import make_recipe
from unsegcli.segmenters.labelled_images import LabelledImages, bare_name, labelled_images, with_labels
from unsegcli.segmenters.segments import MasksOf, SegmentVectors
from unsegcli.segmenters.subjects import (
    Directions,
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
from unsegcli.segmenters.vectors import cutting_of, described_by, first_images

REVISION = 1
LABELS_USED = "retrieve: segments have the class of their labels, and labels are scored with"
BACKGROUND = "background"

Given = Callable[[Labelled, Labelled], NDArray[np.int64]]  # the class of each segment that is scored
Matrices = tuple[CountMatrix, CountMatrix | None]  # of all classes, and of the chosen ones


@dataclass(frozen=True)
class Known:
    """Classes that the settings name, by their numbers, and the images that are learned from."""

    background: int | None
    only: tuple[int, ...]
    lists: Lists | None


def retrieve(inputs: Inputs, params: Retrieve | None = None, run: Run | None = None) -> SubjectScores:
    """Look up the segments of some images among those of others.

    Args:
        inputs: models, each on its training data or on the images or superpixels named after it; artifacts of kind
            superpixels or features. Each model and each other artifact is measured by itself, with the same halves.
        params: object masks, classes and halves; paths of labels and legend.
        run: how to run, and the metrics file to write.
    """
    params, run = params or Retrieve(), (run or Run()).of("retrieve")
    if params.halves < 1:
        raise ConfigError(f"--halves {params.halves}: must be at least 1")
    subjects = open_subjects(inputs, "retrieval needs a model, or superpixels or features with --proposals; name one")
    _check(subjects, params)
    folder = labels_of(subjects[0].folder, params.labels, subjects[0].name)
    truth = GroundTruth(folder, legend_of(subjects[0].folder, params.legend, folder), params.ignore)
    matches = [labels_for(subject.name, subject.names, folder) for subject in subjects]
    lists = read_lists(params.fit_on, params.score_on)
    masks = _masks(params)
    target = _target(params, run, inputs, subjects, matches, truth, lists, masks)
    note_networks(hints_of(subjects), "metrics")
    earlier = finished_scores(target)
    if earlier is not None:
        for one, subject in zip(earlier.runs, subjects, strict=True):
            report_bad(subject, one["skipped"])
        return earlier
    known = Known(_background(params, truth), _only(params, truth), lists)
    found = [
        _described(subject, match, _segments(subject, match, truth, params, run, masks), truth, params, known)
        for subject, match in zip(subjects, matches, strict=True)
    ]
    legend = str(truth.legend_path) if truth.legend_path else None
    return write_scores(target, found, {"labels": str(folder), "legend": legend}, hints_of(subjects), LABELS_USED)


# What is given


def _check(subjects: Sequence[Subject], params: Retrieve) -> None:
    """Raise an error for an input whose segments are not known."""
    for subject in subjects:
        if params.proposals is None and (subject.model is None or not subject.model.embeds):
            raise ConfigError(
                f"{subject.name}: finds no objects; give object masks with --proposals FILE, made by `unseg proposals`"
            )


def _masks(params: Retrieve) -> Any:
    """Open the given object masks; None if there are none."""
    if params.proposals is None:
        return None
    from unsegcli.training.data import open_proposals

    return open_proposals(params.proposals)


def _background(params: Retrieve, truth: GroundTruth) -> int | None:
    """Return the number of the background class."""
    if params.outside:
        return _class_number("--outside", params.outside, truth)
    names = [] if truth.legend is None else [name.lower() for name in truth.legend.names]
    return names.index(BACKGROUND) if BACKGROUND in names else None


def _only(params: Retrieve, truth: GroundTruth) -> tuple[int, ...]:
    return tuple(_class_number("--only", name, truth) for name in params.only)


def _class_number(option: str, name: str, truth: GroundTruth) -> int:
    names = [] if truth.legend is None else list(truth.legend.names)
    if name in names:
        return names.index(name)
    if name.isdecimal() and (not names or int(name) < len(names)):
        return int(name)
    if not names:
        raise ConfigError(f"{option} {name}: names need a legend; give one with --legend, or the number of the class")
    raise ConfigError(f"{option} {name}: is not one of {', '.join(names)}{closest(name, names)}")


def _target(
    params: Retrieve,
    run: Run,
    inputs: Inputs,
    subjects: Sequence[Subject],
    matches: Sequence[LabelMatch],
    truth: GroundTruth,
    lists: Lists | None,
    masks: Any,
) -> store.Target:
    given, settings = subjects_recipe(subjects)
    given["labels"] = labels_digest(matches, truth.folder)
    if truth.legend_path is not None:
        given["legend"] = file_digest(truth.legend_path)
    if masks is not None:
        given["proposals"] = masks.fingerprint
    recipe = make_recipe(
        "retrieve", REVISION, [recorded(params), settings], {**given, **(lists.digests if lists else {})}
    )
    return store.Target(run.output, "metrics", recipe, force=run.force, reads=inputs.paths)


# One subject


def _segments(
    subject: Subject, match: LabelMatch, truth: GroundTruth, params: Retrieve, run: Run, masks: Any
) -> LabelledImages:
    """Find the segments of all images with labels, and count their labelled pixels."""
    paths = {bare_name(name): found for name, found in match.paths.items()}
    dataset = with_labels(subject.dataset.opened(run.workers), paths)

    def truth_of(source: Source) -> NDArray[Any]:
        files = paths[bare_name(source.name)]
        return turned_to(source, truth.map_of(files, source.page), files[0])

    given: MasksOf | None = None
    if masks is not None:
        masks.check(dataset.sources)
        given = masks.of
    work = _work(replace(subject, dataset=dataset), params, run, given)
    workers = run.workers if subject.model is None else 1  # torch uses its own threads
    found = labelled_images(dataset, work, truth_of, truth.classes, "finding segments", workers)
    report_bad(subject, found.skipped)
    if not found.images:
        raise DataError(f"{subject.name}: no image with a label could be read")
    return found


def _work(subject: Subject, params: Retrieve, run: Run, masks: MasksOf | None) -> SegmentVectors:
    """Return what finds the segments of a window and computes their vectors."""
    how = Cluster(
        objects=params.objects, threshold=params.threshold, pooling=params.pooling, squash=params.squash, per="pixel"
    )
    plain = SegmentVectors(subject.what, how, masks, histograms=params.floors)
    if subject.model is None:
        return plain
    from unsegcli.segmenters.trained import open_trained, untrained_like

    method = None if params.method is None else str(params.method)
    if not subject.model.embeds:
        cutting = cutting_of(subject.model) if subject.dataset.kind == "pictures" else Superpixels()
        describe = described_by(subject.model, method, run.device, Cluster.tile, cutting)
        floor = describe.untrained(subject.dataset, params.seed) if params.floors else None
        return replace(plain, describe=describe, untrained=floor)
    trained = open_trained(subject.model.path, method, run.device)
    first = first_images(subject.dataset) if params.floors else []
    return replace(
        plain, trained=trained, untrained=untrained_like(trained, params.seed, first) if params.floors else None
    )


# The output


def _described(
    subject: Subject, match: LabelMatch, found: LabelledImages, truth: GroundTruth, params: Retrieve, known: Known
) -> dict[str, Any]:
    first, *floors = found.labelled
    own = found.labelled[first]
    check_lists(known.lists, found.names, subject.name)
    _report_segments(own, found, known)
    classes = own.counts.shape[1]
    divisions = _divisions(found, params, known)
    standardised = subject.model is None and subject.dataset.kind == "superpixels"
    each = [_matrices(own, parts, known, standardised) for parts in divisions]
    names = truth.names(classes)
    return {
        "version": VERSION,
        "labels_used": LABELS_USED,
        "input": subject.name,
        "pretrained": list(subject.pretrained),
        "vectors": {"of": first, "dimensions": own.vectors.shape[1], "segments": len(own.vectors)},
        "protocol": _protocol(params, truth, classes, known, standardised),
        **_scores(each, known, names),
        "floors": [
            {"of": name, "dimensions": found.labelled[name].vectors.shape[1], **_scores(
                [_matrices(found.labelled[name], parts, known, False) for parts in divisions], known
            )}
            for name in floors
        ],
        "ceiling": {
            "what": "each segment given its most frequent class: an oracle",
            **_scores([_ceiling(own, parts, known) for parts in divisions], known),
        },
        "chance": {
            "what": "each segment given the most frequent class of the segments that are looked up",
            **_scores([_chance(own, parts, known) for parts in divisions], known),
        },
        "pixels": {"scored": int(each[0][0].sum()), "ignored": found.ignored, "outside": int(own.outside.sum())},
        "images": found.images,
        "missing": match.missing,
        "skipped": found.skipped,
    }  # fmt: skip


def _report_segments(own: Labelled, found: LabelledImages, known: Known) -> None:
    classed = int((majority(own.counts, known.background) >= 0).sum())
    console.note(
        f"{len(own.vectors)} segments in {console.count_images(found.images)}, {classed} with a class, "
        f"{own.vectors.shape[1]} dimensions"
    )
    if known.background is None:
        console.note("pixels in no segment have no class and count as wrong; name their class with --outside CLASS")


def _divisions(found: LabelledImages, params: Retrieve, known: Known) -> Divisions:
    """Return the pairs of images that are looked up and images that are scored, for each division."""
    if known.lists is not None:
        return [known.lists.numbers(found.names)]
    if len(found.names) < 2:
        raise DataError(f"images are looked up in others, but {len(found.names)} has labels; give at least two")
    return [[(one, other), (other, one)] for one, other in halves(len(found.names), params.halves, params.seed)]


def _matrices(own: Labelled, parts: Directions, known: Known, standardised: bool) -> Matrices:
    """Return the matrices of all classes, and of the chosen ones, over both directions."""

    def given(bank: Labelled, queries: Labelled) -> NDArray[np.int64]:
        return retrieved(bank, queries, known.background, standardised)

    return _both(own, parts, known, given)


def _ceiling(own: Labelled, parts: Directions, known: Known) -> Matrices:
    return _both(own, parts, known, lambda _, queries: np.maximum(majority(queries.counts, known.background), 0))


def _chance(own: Labelled, parts: Directions, known: Known) -> Matrices:
    def most_frequent(bank: Labelled, queries: Labelled) -> NDArray[np.int64]:
        classes = majority(bank.counts, known.background)
        found = np.bincount(classes[classes >= 0], minlength=1).argmax()
        return np.full(len(queries.vectors), found, np.int64)

    return _both(own, parts, known, most_frequent)


def _both(own: Labelled, parts: Directions, known: Known, given: Given) -> Matrices:
    return _added(own, parts, known, given), (
        _added(restricted(own, known.only, known.background), parts, known, given) if known.only else None
    )


def _added(own: Labelled, parts: Directions, known: Known, given: Given) -> CountMatrix:
    total = np.zeros((own.counts.shape[1] + 1, own.counts.shape[1]), np.int64)
    for fit_on, score_on in parts:
        bank, queries = own.of(np.asarray(fit_on, np.int64)), own.of(np.asarray(score_on, np.int64))
        total += painted_counts(given(bank, queries), queries, known.background)
    return total


def _scores(each: Sequence[Matrices], known: Known, names: Sequence[str] = ()) -> dict[str, Any]:
    """Return mean and deviation over the divisions, and with names the scores of each class."""
    rows = [_row(*matrices, known) for matrices in each]
    found: dict[str, Any] = {
        "scores": {name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
        "spread": mean_and_deviation(rows)[1] if len(rows) > 1 else {},
    }
    if names:
        of_each = np.mean([np.nan_to_num(scores.class_scores(whole).iou) for whole, _ in each], axis=0)
        found["per_class"] = [{"class": name, "iou": float(of_each[at])} for at, name in enumerate(names)]
    return found


def _row(whole: CountMatrix, chosen: CountMatrix | None, known: Known) -> dict[str, float]:
    row = {"accuracy": scores.accuracy(whole), "miou": scores.mean_iou(whole)}
    if chosen is not None:
        row["miou_only"] = float(np.nan_to_num(scores.class_scores(chosen).iou[list(known.only)]).mean())
    return row


def _protocol(params: Retrieve, truth: GroundTruth, classes: int, known: Known, standardised: bool) -> dict[str, Any]:
    names = truth.names(classes)
    return {
        "name": "nearest segment by cosine",
        "halves": params.halves if known.lists is None else 0,
        "seed": params.seed,
        "segments": params.objects,
        "masks": "of the model" if params.proposals is None else str(params.proposals),
        "pooling": params.pooling,
        "standardised": standardised,
        "classes": classes,
        "background": None if known.background is None else names[known.background],
        "only": [names[number] for number in known.only],
        "ignore": truth.ignore,
        "grid": "source",
    }
