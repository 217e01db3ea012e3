"""Count the labelled pixels of each class in the regions of images, for what is measured by labels.

Labels come as arrays; where they are read from is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box, paint
from unsegcli.core.scoring.confusion import CountMatrix, confusion
from unsegcli.core.scoring.linear_probe import Labelled
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.runner import gather
from unsegcli.images.working import Source

Vectors = Mapping[str, NDArray[np.float32]]  # (regions, dimensions) by the name of what computed them
Regioned = Callable[[Window], tuple[NDArray[np.int32], Vectors]]  # regions (height, width), -1 = none, and vectors
TruthOf = Callable[[Source], NDArray[Any]]  # labels (height, width), negative = not scored


@dataclass(frozen=True)
class LabelledImages:
    """The regions of all images with labels, and what else the output says of them."""

    labelled: Mapping[str, Labelled]  # by the name of the vectors
    images: int
    names: tuple[str, ...]  # of the files, as they are numbered; copies of one file are one
    ignored: int  # pixels
    skipped: list[dict[str, str]]  # name and reason of each image that could not be read here


@dataclass(frozen=True)
class _Seen:
    """The regions of one window, and where it is in its image."""

    name: str
    box: Box
    grid: tuple[int, int]
    regions: NDArray[np.int32]
    vectors: Vectors


@dataclass(frozen=True)
class _Counted:
    """The regions of one image: vectors, labelled pixels of each class, and those in no region."""

    name: str
    digest: str
    vectors: Vectors
    regions: int
    counts: CountMatrix  # (regions + 1, classes); the last row is none
    ignored: int


def labelled_images(
    dataset: Dataset, work: Regioned, truth_of: TruthOf, classes: int, what: str, workers: int
) -> LabelledImages:
    """Compute the regions and vectors of all images, and count the labelled pixels of each region.

    Args:
        dataset: opened, with labelled images only.
        work: computes the regions of a window and their vectors.
        truth_of: returns the labels of an image.
        classes: their number; 0 = up to the largest label.
        what: label of the progress bar.
        workers: number of processes.
    """
    sources = {unit.source.name: unit.source for unit in dataset.units}
    bad = list(dataset.bad) if dataset.kind == "pictures" else []  # else an earlier stage skipped them
    seen: Iterator[_Seen] = gather(dataset, partial(_seen, work=work), what, workers, bad)
    images = [
        _counted(list(windows), truth_of(sources[name]), sources[name].digest, classes)
        for name, windows in groupby(seen, key=lambda window: window.name)
    ]
    skipped = [{"name": name, "reason": reason} for name, reason in bad]
    return _joined(images, skipped)


def with_labels(dataset: Dataset, names: Mapping[str, Any]) -> Dataset:
    """Return the dataset with the images that have labels alone."""
    return replace(dataset, units=tuple(unit for unit in dataset.units if bare_name(unit.source.name) in names))


def bare_name(name: str) -> str:
    """Return the name of an image without its page."""
    return name.partition("#")[0]


def _seen(window: Window, work: Regioned) -> _Seen:
    return _Seen(window.name, window.box, window.grid, *work(window))


def _counted(windows: Sequence[_Seen], truth: NDArray[Any], digest: str, classes: int) -> _Counted:
    """Count the labelled pixels of each class in each region, on the grid of the labels."""
    each = [len(next(iter(window.vectors.values()))) for window in windows]
    firsts = np.cumsum([0, *each])
    numbered = [
        np.where(window.regions < 0, -1, window.regions + first).astype(np.int32)
        for window, first in zip(windows, firsts[:-1], strict=True)
    ]
    grid = (truth.shape[0], truth.shape[1])
    regions = paint(numbered, [window.box for window in windows], windows[0].grid, grid)
    known = classes or int(truth.max(initial=0)) + 1
    counts = confusion(regions, truth, max(1, int(firsts[-1])), known, void=-1)
    vectors = {name: stacked([window.vectors[name] for window in windows]) for name in windows[0].vectors}
    return _Counted(windows[0].name, digest, vectors, int(firsts[-1]), counts, int(truth.size - counts.sum()))


def stacked(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join vectors: (regions, dimensions); a part without regions has no dimensions either."""
    filled = [part for part in parts if len(part)]
    return np.concatenate(filled) if filled else parts[0]


def _joined(images: Sequence[_Counted], skipped: list[dict[str, str]]) -> LabelledImages:
    """Join the regions of all images; pages and copies of one file are one image."""
    if not images:
        return LabelledImages({}, 0, (), 0, skipped)
    classes = max(one.counts.shape[1] for one in images)
    widened = [np.pad(one.counts, ((0, 0), (0, classes - one.counts.shape[1]))) for one in images]
    files = {digest: number for number, digest in enumerate(dict.fromkeys(one.digest for one in images))}
    numbers = [files[one.digest] for one in images]
    outside = np.zeros((len(files), classes), np.int64)
    np.add.at(outside, numbers, [counts[-1] for counts in widened])
    counts = np.concatenate([counts[: one.regions] for one, counts in zip(images, widened, strict=True)])
    owners = np.repeat(numbers, [one.regions for one in images])
    labelled = {
        name: Labelled(stacked([one.vectors[name] for one in images]), counts, owners, outside)
        for name in images[0].vectors
    }
    first_names = {number: one.name for number, one in zip(reversed(numbers), reversed(images), strict=True)}
    names = tuple(first_names[number] for number in range(len(files)))
    return LabelledImages(labelled, len(images), names, sum(one.ignored for one in images), skipped)
