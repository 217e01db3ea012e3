"""`unseg probe`: how well a linear classifier tells classes apart by vectors of superpixels.

The classifier is trained on the labels of one half of the images and scored on the other, which the output states:
what it measures is the vectors, and its scores are no result of a method without labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import Box, paint
from unsegcli.core.scoring import scores
from unsegcli.core.scoring.confusion import CountMatrix, confusion
from unsegcli.core.scoring.linear_probe import DECAY, Labelled, Probed, probe_halves
from unsegcli.core.scoring.run_scores import VERSION, plain
from unsegcli.core.scoring.tally import mean_and_deviation
from unsegcli.dataflow.dataset import Dataset, Window, find_dataset, is_artifact, relative_hints
from unsegcli.dataflow.label_maps import StoredMap, image_folder, turned_like
from unsegcli.dataflow.provenance import LABELS, carried, joined, networks, note_networks
from unsegcli.dataflow.runner import gather, report_skipped
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.images.working import Source
from unsegcli.labels import LabelMatch, labels_digest, labels_of, legend_of, match_labels, read_labels
from unsegcli.legend import Legend, read_legend
from unsegcli.params import Cluster, Inputs, Probe, Run, Superpixels, recorded
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.segmenters.model_file import ModelFile, is_model, read_model_file
from unsegcli.segmenters.model_inputs import dataset_for
from unsegcli.segmenters.vectors import (
    Describe,
    RegionVectors,
    cutting_of,
    described_by,
    plain_vectors,
    recorded_cutting,
)

REVISION = 2  # the output lists skipped images
LABELS_USED = "probe: trained and scored on labels"


@dataclass(frozen=True)
class Subject:
    """What is probed: the vectors of a model, of a file of features, or of superpixels."""

    name: str
    dataset: Dataset
    match: LabelMatch
    model: ModelFile | None
    cutting: Superpixels | None  # of images, for a model

    @property
    def what(self) -> str:
        """What the vectors are, for the output."""
        if self.model is not None:
            return f"vectors of {self.model.method.split()[0]}"
        return "features of the file" if self.dataset.kind == "features" else "features of k-means on regions"


@dataclass(frozen=True)
class ProbeScores:
    """The scores and the file that holds them."""

    path: Path
    scores: dict[str, Any]

    @property
    def skipped(self) -> int:
        """Number of images that could not be read here; those that an earlier stage skipped do not count."""
        return len({one["name"] for run in _runs(self.scores) for one in run["skipped"]})


def probe(inputs: Inputs, params: Probe | None = None, run: Run | None = None) -> ProbeScores:
    """Probe vectors of superpixels with labels.

    Args:
        inputs: models, each on its training data or on the images or superpixels named after it; artifacts of kind
            superpixels or features. Each model and each other artifact is probed by itself, with the same halves.
        params: number of halves; paths of labels and legend.
        run: how to run, and the metrics file to write.
    """
    params, run = params or Probe(), (run or Run()).of("probe")
    if params.halves < 1:
        raise ConfigError(f"--halves {params.halves}: must be at least 1")
    folder, legend_path, subjects = opened(inputs, params)
    hints = {f"{name}.{at}": hint for at, one in enumerate(subjects) for name, hint in one.dataset.hints.items()}
    note_networks(hints, "metrics")
    recipe = _recipe(params, subjects, folder, legend_path)
    target = store.Target(run.output, "metrics", recipe, force=run.force, reads=inputs.paths)
    if target.finished() is not None:
        with store.open_artifact(target.path) as artifact:
            earlier = json.loads(bytes(artifact.table("scores")))
        for one, subject in zip(_runs(earlier), subjects, strict=True):
            _report(subject, one["skipped"])
        return ProbeScores(target.path, earlier)
    legend = None if legend_path is None else read_legend(legend_path)
    found = [_described(subject, labelled_of(subject, legend, params, run), legend, params) for subject in subjects]
    result = found[0] if len(found) == 1 else {"version": VERSION, "labels_used": LABELS_USED, "runs": found}
    result = plain({**result, "labels": str(folder), "legend": None if legend_path is None else str(legend_path)})
    text = json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    tables = {"scores": np.frombuffer(text, np.uint8)}
    went_in = joined(carried(hints, target.kind), {LABELS: ["probe: a linear classifier, and scoring"]})
    store.write_whole(target, {**tables, **went_in}, {}, relative_hints(hints, target.path))
    return ProbeScores(target.path, result)


def _runs(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the scores of each subject."""
    found: list[dict[str, Any]] = scores.get("runs", [scores])
    return found


def _report(subject: Subject, skipped: Sequence[dict[str, str]]) -> None:
    """Report the images that were skipped here, and those that an earlier stage skipped."""
    report_skipped([*subject.dataset.bad, *((one["name"], one["reason"]) for one in skipped)])


# What is probed


def opened(inputs: Inputs, params: Probe) -> tuple[Path, Path | None, list[Subject]]:
    """Return the folder of labels, the legend, and what is probed."""
    datasets = [_dataset(inputs, *one) for one in divided([str(path) for path in inputs.paths])]
    images = _folder_of(datasets[0][1])
    folder = labels_of(images, params.labels, datasets[0][0])
    legend = legend_of(images, params.legend, folder)
    subjects = []
    for name, dataset, model in datasets:
        match = match_labels(_names(dataset), folder)
        if match.missing:
            verb = "has" if len(match.missing) == 1 else "have"
            console.warn(f"{name}: {console.count_images(len(match.missing))} {verb} no label and are not used")
        cutting = cutting_of(model) if model is not None and dataset.kind == "pictures" else None
        subjects.append(Subject(name, dataset, match, model, cutting))
    return folder, legend, subjects


def divided(paths: Sequence[str]) -> list[tuple[str | None, list[str]]]:
    """Divide the inputs into a model with what follows it, and artifacts by themselves: (model, data) each."""
    found: list[tuple[str | None, list[str]]] = []
    for path in paths:
        if is_model(path):
            found.append((path, []))
        elif found and found[-1][0] is not None:
            found[-1][1].append(path)
        else:
            found.append((None, [path]))
    return found


def _dataset(inputs: Inputs, model: str | None, paths: Sequence[str]) -> tuple[str, Dataset, ModelFile | None]:
    """Return name, dataset and model of one subject."""
    given = replace(inputs, paths=paths)
    if model is not None:
        file = read_model_file(model)
        return model, dataset_for(file, given), file
    if not is_artifact(paths[0]):
        raise ConfigError(
            f"{paths[0]}: a probe needs superpixels; make them with `unseg superpixels`, or name a model first"
        )
    return paths[0], find_dataset(given, kinds=("superpixels", "features")), None


def _names(dataset: Dataset) -> list[str]:
    return [unit.source.name for unit in dataset.units] or [file.name for file in dataset.pending]


def _folder_of(dataset: Dataset) -> Path | None:
    """Return the folder that the image names are relative to."""
    if dataset.units:
        return image_folder([unit.source for unit in dataset.units])
    first = dataset.pending[0]
    return first.path.resolve().parents[len(PurePosixPath(first.name).parts) - 1]


def _recipe(params: Probe, subjects: Sequence[Subject], folder: Path, legend: Path | None) -> Recipe:
    inputs = {"labels": labels_digest([subject.match for subject in subjects], folder)}
    if legend is not None:
        inputs["legend"] = file_digest(legend)
    settings: dict[str, Any] = {}
    for number, subject in enumerate(subjects):
        inputs |= {f"{name}.{number}": digest for name, digest in subject.dataset.inputs.items()}
        parts = [
            *subject.dataset.recorded,
            *([recorded_cutting(subject.cutting)] if subject.cutting is not None else []),
        ]
        settings |= {f"{name}.{number}": value for part in parts for name, value in part.items()}
    return make_recipe("probe", REVISION, [recorded(params), settings], inputs)


# One subject


@dataclass(frozen=True)
class LabelledImages:
    """The superpixels of all images with labels, and what else the output says of them."""

    labelled: Labelled
    images: int
    ignored: int  # pixels
    skipped: list[dict[str, str]]  # name and reason of each image that could not be read here


def labelled_of(subject: Subject, legend: Legend | None, params: Probe, run: Run) -> LabelledImages:
    """Compute the vectors of all images with labels, and count the labelled pixels of each superpixel."""
    dataset = subject.dataset.opened(run.workers)
    names = {name.partition("#")[0]: paths for name, paths in subject.match.paths.items()}
    units = tuple(unit for unit in dataset.units if unit.source.name.partition("#")[0] in names)
    sources = {unit.source.name: unit.source for unit in units}
    bad = list(dataset.bad) if dataset.kind == "pictures" else []  # else an earlier stage skipped them
    describe, workers = _describe(subject, params, run)
    seen = gather(replace(dataset, units=units), partial(_seen, describe=describe), "computing vectors", workers, bad)
    images = []
    for name, windows in groupby(seen, key=lambda window: window.name):
        truth = _truth(sources[name], names[name.partition("#")[0]], legend, params)
        images.append(_image(list(windows), truth, sources[name].digest, legend))
    skipped = [{"name": name, "reason": reason} for name, reason in bad]
    _report(subject, skipped)
    if not images:
        raise DataError(f"{subject.name}: no image with a label could be read")
    return _joined(images, skipped)


def _describe(subject: Subject, params: Probe, run: Run) -> tuple[Describe, int]:
    """Return what computes the vectors of a window, and in how many processes."""
    if subject.model is None:
        return plain_vectors, run.workers
    method = None if params.method is None else str(params.method)
    return described_by(subject.model, method, run.device, Cluster.tile, subject.cutting or Superpixels()), 1


@dataclass(frozen=True)
class Seen:
    """The superpixels of one window, and where it is in its image."""

    name: str
    box: Box
    grid: tuple[int, int]
    found: RegionVectors


def _seen(window: Window, describe: Describe) -> Seen:
    return Seen(window.name, window.box, window.grid, describe(window))


@dataclass(frozen=True)
class OneImage:
    """The superpixels of one image: vectors, labelled pixels of each class, and those in no superpixel."""

    digest: str
    vectors: NDArray[np.float32]
    counts: CountMatrix  # (superpixels + 1, classes); the last row is none
    ignored: int


def _truth(source: Source, paths: Sequence[Path], legend: Legend | None, params: Probe) -> NDArray[Any]:
    """Read the labels of one image: (height, width), negative = not scored."""
    ignore = tuple(sorted(set(params.ignore) - (set(legend.ignore) if legend else set())))
    maps = [truth for path in paths for truth in read_labels(path, legend, source.page, ignore)]
    if len(maps) > 1:
        raise DataError(f"{paths[0]}: has {len(maps)} annotators; a probe needs one label map per image")
    return turned_like(StoredMap(source.name, source, "", "", "", ()), maps[0], f"{paths[0]}: the label map")


def _image(windows: Sequence[Seen], truth: NDArray[Any], digest: str, legend: Legend | None) -> OneImage:
    """Count the labelled pixels of each class in each superpixel, on the grid of the labels."""
    firsts = np.cumsum([0, *(len(window.found.vectors) for window in windows)])
    numbered = [
        np.where(window.found.regions < 0, -1, window.found.regions + first).astype(np.int32)
        for window, first in zip(windows, firsts[:-1], strict=True)
    ]
    grid = (truth.shape[0], truth.shape[1])
    regions = paint(numbered, [window.box for window in windows], windows[0].grid, grid)
    classes = len(legend.classes) if legend else int(truth.max(initial=0)) + 1
    counts = confusion(regions, truth, max(1, int(firsts[-1])), classes, void=-1)
    vectors = _stacked([window.found.vectors for window in windows])
    return OneImage(digest, vectors, counts, int(truth.size - counts.sum()))


def _stacked(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join vectors: (superpixels, dimensions); a part that is all void has no superpixels, nor dimensions."""
    filled = [part for part in parts if len(part)]
    return np.concatenate(filled) if filled else parts[0]


def _joined(images: Sequence[OneImage], skipped: list[dict[str, str]]) -> LabelledImages:
    """Join the superpixels of all images; pages and copies of one file are one image."""
    classes = max(one.counts.shape[1] for one in images)
    widened = [np.pad(one.counts, ((0, 0), (0, classes - one.counts.shape[1]))) for one in images]
    files = {digest: number for number, digest in enumerate(dict.fromkeys(one.digest for one in images))}
    numbers = [files[one.digest] for one in images]
    outside = np.zeros((len(files), classes), np.int64)
    np.add.at(outside, numbers, [counts[-1] for counts in widened])
    labelled = Labelled(
        _stacked([one.vectors for one in images]),
        np.concatenate([counts[: len(one.vectors)] for one, counts in zip(images, widened, strict=True)]),
        np.repeat(numbers, [len(one.vectors) for one in images]),
        outside,
    )
    return LabelledImages(labelled, len(images), sum(one.ignored for one in images), skipped)


# The output


def _described(subject: Subject, images: LabelledImages, legend: Legend | None, params: Probe) -> dict[str, Any]:
    labelled = images.labelled
    console.note(f"probing {labelled.vectors.shape[1]} dimensions of {len(labelled.vectors):,} superpixels")
    found = probe_halves(labelled, params.halves, params.seed)
    each = [_scores(one.probe) for one in found]
    largest = _mean([_scores(one.largest) for one in found])
    classes = labelled.counts.shape[1]
    names = list(legend.names) if legend else [str(number) for number in range(classes)]
    return {
        "version": VERSION,
        "labels_used": LABELS_USED,
        "pretrained": networks(carried(subject.dataset.hints, "metrics")),
        "input": subject.name,
        "vectors": {"of": subject.what, "dimensions": labelled.vectors.shape[1], "superpixels": len(labelled.vectors)},
        "protocol": _protocol(params, legend, classes),
        "scores": _mean(each),
        "spread": mean_and_deviation(each)[1] if len(each) > 1 else {},
        "halves": each,
        "ceiling": {
            "what": "each superpixel given its most frequent class: an oracle",
            **_mean([_scores(one.ceiling) for one in found]),
        },
        "chance": {"largest_class": largest["accuracy"], "largest_class_miou": largest["miou"]},
        "per_class": list(_by_class(names, found)),
        "pixels": {
            "scored": int(found[0].probe.sum()),
            "ignored": images.ignored,
            "outside": int(labelled.outside.sum()),
        },
        "images": images.images,
        "missing": subject.match.missing,
        "skipped": images.skipped,
    }


def _protocol(params: Probe, legend: Legend | None, classes: int) -> dict[str, Any]:
    return {
        "name": "linear probe",
        "halves": params.halves,
        "seed": params.seed,
        "decay": DECAY,
        "classes": classes,
        "ignore": [*(legend.ignore if legend else ()), *params.ignore],
        "grid": "source",
    }


def _scores(matrix: CountMatrix) -> dict[str, float]:
    return {"accuracy": scores.accuracy(matrix), "miou": scores.mean_iou(matrix)}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _by_class(names: Sequence[str], found: Sequence[Probed]) -> Iterator[dict[str, Any]]:
    """Yield the scores of each class, averaged over the divisions."""
    each = [scores.class_scores(one.probe) for one in found]
    for number, name in enumerate(names):
        values = {
            what: float(np.mean([getattr(one, what)[number] for one in each]))
            for what in ("iou", "precision", "recall")
        }
        yield {"class": name, **values, "pixels": int(each[0].true[number])}
