"""`unseg propagate`: labels of the first frame of a video for all its frames, by nearest neighbours between frames.

The labels of first frames are used, which the output states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.dataflow.dataset import Dataset, Unit, find_dataset
from unsegcli.dataflow.label_maps import StoredMap, turned_like
from unsegcli.dataflow.provenance import LABELS, carried, joined
from unsegcli.dataflow.runner import Outcome, Stage, prepare
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.labels import given_labels, labels_digest, match_labels, read_labels
from unsegcli.legend import Legend, given_legend, legend_beside, read_legend
from unsegcli.params import Inputs, Propagate, Run, Superpixels
from unsegcli.segmenters.frames import (
    VOID,
    ColourCells,
    Describe,
    FirstFrame,
    Follower,
    ModelCells,
    StoredCells,
    check_propagate,
    estimated,
)
from unsegcli.segmenters.model_file import ModelFile, is_model, read_model_file
from unsegcli.segmenters.model_inputs import dataset_for
from unsegcli.segmenters.vectors import check_has_vectors, cutting_of, recorded_cutting

STAGE = Stage("propagate", 1, "segmentation")
LABELS_USED = "propagate: the labels of first frames"
SHOWN = 3


def propagate(inputs: Inputs, params: Propagate | None = None, run: Run | None = None) -> Outcome:
    """Follow the objects that are labelled in the first frame of each sequence.

    Args:
        inputs: frames, in the order of their names, each subfolder a sequence; or an artifact of kind features with
            dense features, or superpixels, for its pixels; or a model and then one of these.
        params: the labels of first frames, and how they are followed.
        run: how to run, and the segmentation to write.
    """
    params, run = params or Propagate(), (run or Run()).of("propagate")
    check_propagate(params)
    if params.first is None:
        raise ConfigError("--first FILE: give the labels of the first frame")
    console.note(f"labels are used: those of the first frame, from {params.first}")
    model, dataset = _opened(inputs, run)
    labels = _labels_of(dataset, Path(params.first), params.legend)
    cutting = cutting_of(model) if model is not None else None
    settings = [params, *([recorded_cutting(cutting)] if cutting is not None else [])]
    more = {"labels_used": LABELS_USED, **({} if model is None else {"method": model.method})}
    dataset = replace(dataset, inputs={**dataset.inputs, **labels.digests})
    found = prepare(STAGE, dataset, replace(run, workers=1), settings, more)
    if found.earlier is not None:
        return found.earlier
    found = found.opened()
    describe = _described_by(model, cutting, found.dataset, params, run)
    sequences = _sequences(found.dataset.units, labels)
    single = all(len(one.objects) == 1 for one in sequences)
    follower = Follower(found.dataset.units, sequences, describe, params, single)
    work = partial(estimated, describe=describe, params=params) if run.dry_run else follower
    went_in = joined(carried(found.dataset.hints, STAGE.kind), {LABELS: [LABELS_USED]})
    tables = {**went_in, **({} if single else _categories(labels.legend))}
    return found.write(work, "following", _attributes(sequences, labels.legend, single), tables)


# Inputs


def _opened(inputs: Inputs, run: Run) -> tuple[ModelFile | None, Dataset]:
    """Return the model, if there is one, and the frames."""
    if inputs.images.patch:
        raise ConfigError("--patch: frames are followed as a whole; leave it out, or make them smaller with --scale")
    first, *others = inputs.paths
    if is_model(first):
        if not others:
            raise ConfigError(f"{first}: name the frames after the model")
        model = read_model_file(first)
        return model, dataset_for(model, replace(inputs, paths=others), run.output)
    return None, find_dataset(inputs, kinds=("features", "superpixels"), known_from=run.output)


def _described_by(
    model: ModelFile | None, cutting: Superpixels | None, dataset: Dataset, params: Propagate, run: Run
) -> Describe:
    """Return what computes the vectors of the cells of a frame."""
    if model is not None:
        from unsegcli.segmenters.trained import open_trained

        trained = open_trained(model.path, params.method, run.device)
        check_has_vectors(trained, model.path)
        return ModelCells(trained, cutting or Superpixels(), params.cell)
    if dataset.kind != "features":
        return ColourCells(params.cell)
    path = dataset.hints["features"]["path"]
    if params.cell:
        raise ConfigError(f"--cell {params.cell}: {path} has cells already; leave it out")
    with store.open_artifact(path, "features") as artifact:
        if not artifact.has("dense"):
            raise ConfigError(
                f"{path}: holds vectors of superpixels, but dense features are needed; name the frames instead"
            )
    return StoredCells()


# Labels of first frames


@dataclass(frozen=True)
class GivenLabels:
    """The label file of the first frame of each sequence."""

    paths: dict[str, Path]  # by the name of the frame's file
    legend: Legend | None
    digests: dict[str, str]


def _labels_of(dataset: Dataset, given: Path, legend_path: str | Path | None) -> GivenLabels:
    """Find the labels of first frames."""
    firsts = _first_names(_names(dataset))
    if given.is_dir():
        match = match_labels(firsts, given_labels(given))
        if match.missing:
            raise DataError(f"--first {given}: has no labels for the first frame {match.missing[0]}")
        paths, digest = {name: files[0] for name, files in match.paths.items()}, labels_digest([match], given)
    elif given.is_file():
        if len(firsts) > 1:
            shown = ", ".join(firsts[:SHOWN])
            raise ConfigError(
                f"--first {given}: the frames are in {len(firsts)} folders; give a folder with labels for the first "
                f"frame of each: {shown}"
            )
        paths, digest = {firsts[0]: given}, file_digest(given)
    else:
        raise DataError(f"--first {given}: no such file")
    legend = given_legend(legend_path) if legend_path is not None else _legend_beside(dataset, given)
    digests = {"first": digest, **({} if legend is None else {"legend": file_digest(legend)})}
    return GivenLabels(paths, None if legend is None else read_legend(legend), digests)


def _legend_beside(dataset: Dataset, given: Path) -> Path | None:
    files = [Path(unit.source.path) for unit in dataset.units] or [file.path for file in dataset.pending]
    names = _names(dataset)
    folder = files[0].resolve().parents[len(PurePosixPath(names[0]).parts) - 1]
    found = legend_beside(folder, given if given.is_dir() else given.parent)
    if found is not None:
        console.note(f"using the legend {found}")
    return found


def _names(dataset: Dataset) -> list[str]:
    """Return the names of the files of all frames, in order."""
    return [_file_of(unit.source.name) for unit in dataset.units] or [file.name for file in dataset.pending]


def _file_of(name: str) -> str:
    """Return the name of the file of a frame, which may be one of its pages."""
    return name.partition("#")[0]


def _first_names(names: Sequence[str]) -> list[str]:
    """Return the first name in each folder."""
    firsts: dict[PurePosixPath, str] = {}
    for name in names:
        firsts.setdefault(PurePosixPath(name).parent, name)
    return list(firsts.values())


def _sequences(units: Sequence[Unit], labels: GivenLabels) -> list[FirstFrame]:
    """Return the frames of each sequence, with the labels of the first."""
    found = []
    for name, path in labels.paths.items():
        folder = PurePosixPath(name).parent
        frames = [n for n, unit in enumerate(units) if PurePosixPath(_file_of(unit.source.name)).parent == folder]
        if not frames or _file_of(units[frames[0]].source.name) != name:
            raise DataError(f"{name}: cannot be read, but it is the frame that {path} labels")
        split = next((units[n].source.name for n in frames if units[n].block or units[n].window_count > 1), None)
        if split is not None:
            raise DataError(f"{split}: is divided into windows; frames are followed as a whole")
        found.append(FirstFrame(tuple(frames), _first_labels(units[frames[0]], path, labels.legend)))
    return found


def _first_labels(unit: Unit, path: Path, legend: Legend | None) -> NDArray[np.int32]:
    """Read the labels of a first frame: (height, width) as shown; 0 = background, negative = unknown."""
    maps = read_labels(path, legend)
    if len(maps) > 1:
        raise DataError(f"{path}: has {len(maps)} annotators; give one label map")
    source = unit.source
    values = turned_like(StoredMap(source.name, source, "", "", "", ()), maps[0], f"--first {path}")
    if values.shape != (source.height, source.width):
        raise DataError(
            f"--first {path} is {values.shape[0]} x {values.shape[1]}, but {source.name} is {source.height} x "
            f"{source.width}: give labels of the same size"
        )
    present = set(np.unique(values[values >= 0]).tolist())
    if legend is None and present <= {0, VOID}:
        values = np.where(values == VOID, 1, values)
    elif legend is None:
        values = np.where(values == VOID, -1, values)
    if values.max() >= VOID:
        raise DataError(f"--first {path}: holds the number {values.max()}; number objects from 1 to {VOID - 1}")
    if not (values > 0).any():
        raise DataError(f"--first {path}: has no object; every pixel is 0, the background")
    return values.astype(np.int32)


# The output


def _attributes(sequences: Sequence[FirstFrame], legend: Legend | None, single: bool) -> dict[str, Any]:
    if single:
        return {"role": "mask", "clusters": 2}
    largest = max(max(one.objects) for one in sequences)
    return {"role": "classes", "clusters": len(legend.classes) if legend is not None else largest + 1}


def _categories(legend: Legend | None) -> dict[str, Any]:
    return {} if legend is None else {"categories/name": list(legend.names)}
