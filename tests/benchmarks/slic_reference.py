"""Scores of scikit-image's slic on annotated images by its real number of superpixels, which ours is measured against.

scikit-image makes fewer superpixels than it is asked for, so what it is asked for says little. For each image and
compactness it is asked for more and more, and the number that it made is stored with its scores: a curve. Its score at
any number lies on the straight line between the two neighbours on the curve, over the logarithm of the number. Curves
are kept in a folder, one file an image, and are made longer when more superpixels are needed.

The scores of an image are means over its annotators:

* BR, boundary recall: the share of annotated border pixels with a border pixel of the superpixels within two rows and
  two columns. A border pixel differs from its right or lower neighbour, so that borders are one pixel wide.
* UE, undersegmentation error, in the form of Neubert and Protzel (2012) with the minimum: for each pair of an annotated
  region and a superpixel that overlap, the smaller of the superpixel's parts inside and outside of the region, summed
  and divided by the number of pixels. Lower is better.
* ASA, achievable segmentation accuracy: the share of right pixels if each superpixel had its most frequent region.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.scoring.superpixel_scores import border_scores

MEASURES = ("BR", "UE", "ASA")
HIGHER_IS_BETTER = (True, False, True)
TOLERANCE = 2  # pixels, of the boundary recall
FEWEST = 40  # superpixels; below, curves are coarse
FIRST, COARSE, FINE = 60, 1.6, 1.25  # what is asked for first, and the factors from one request to the next
SMALLEST_AREA = 10  # pixels a superpixel that is asked for; no curve goes further

Row = tuple[int, int, float, float, float]  # asked, number, BR, UE, ASA
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Annotated:
    """An image with the regions of its annotators."""

    name: str
    pixels: NDArray[np.uint8]  # (height, width, 3)
    truths: tuple[NDArray[np.int32], ...]  # one (height, width) an annotator


def names_in(data: Path) -> list[str]:
    """Return the names of the images of a folder in the layout of BSDS500: images/NAME.jpg and labels/NAME.mat."""
    return sorted(
        path.stem for path in (data / "images").glob("*.jpg") if (data / "labels" / f"{path.stem}.mat").exists()
    )


def read_annotated(data: Path, name: str) -> Annotated:
    """Read an image and its annotations."""
    from scipy.io import loadmat

    pixels = np.asarray(Image.open(data / "images" / f"{name}.jpg").convert("RGB"))
    annotators = loadmat(data / "labels" / f"{name}.mat")["groundTruth"].ravel()
    truths = tuple(one["Segmentation"][0, 0].astype(np.int32) for one in annotators)
    return Annotated(name, pixels, truths)


def scores_of(regions: NDArray[Any], truths: Sequence[NDArray[np.int32]]) -> Floats:
    """Compute BR, UE and ASA, means over the annotators: (3,). An annotator without a border has no BR."""
    scores = border_scores(regions, truths, TOLERANCE)
    each = [(one.boundary_recall, one.undersegmentation, one.achievable_accuracy) for one in scores]
    return np.nanmean(np.array(each), axis=0)


def number_of(regions: NDArray[Any]) -> int:
    """Count the superpixels of a map."""
    present = np.unique(regions)
    return int(np.count_nonzero(present >= 0))


def skimage_slic(
    pixels: NDArray[Any], valid: NDArray[np.bool_] | None, segments: int, compactness: float
) -> NDArray[np.integer[Any]]:
    """Run scikit-image's slic as it comes; with a mask, its own masked form. Floats come from 0 to 1."""
    from skimage.segmentation import slic

    found: NDArray[np.integer[Any]] = slic(
        pixels, n_segments=segments, compactness=compactness, start_label=0 if valid is None else 1, mask=valid
    )
    return found if valid is None else found - 1


def at_number(rows: Sequence[Row], number: float) -> Floats:
    """Compute BR, UE and ASA at a number of superpixels: (3,); NaN outside of the curve. Equal numbers are averaged."""
    table = np.array(rows, np.float64)
    numbers, place = np.unique(table[:, 1], return_inverse=True)
    means = [np.bincount(place, column) / np.bincount(place) for column in table[:, 2:].T]
    at, places = np.log(number), np.log(numbers)
    return np.array([np.interp(at, places, mean, left=np.nan, right=np.nan) for mean in means])


def nearest_request(rows: Sequence[Row], number: int) -> int:
    """Return what scikit-image was asked for where it made the number nearest to this one."""
    return min(rows, key=lambda row: abs(row[1] - number))[0]


def curves_of(cache: Path, image: Annotated, reach: dict[float, float]) -> dict[float, list[Row]]:
    """Return the curve of each compactness, from the cache as far as it goes; what is missing is computed and stored.

    Args:
        cache: folder with a file an image.
        image: the image.
        reach: for each compactness the number of superpixels that its curve must reach.
    """
    path = cache / f"{image.name}.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    known = stored["curves"] if stored.get("protocol") == _protocol() else {}
    for compactness, most in reach.items():
        rows = [(int(row[0]), int(row[1]), *map(float, row[2:])) for row in known.get(f"{compactness:g}", [])]
        new = list(_further(rows, image, compactness, most))
        known[f"{compactness:g}"] = rows + new
        if new:
            _write(path, {"protocol": _protocol(), "curves": known})
    return {compactness: [tuple(row) for row in known[f"{compactness:g}"]] for compactness in reach}


def _further(rows: Sequence[Row], image: Annotated, compactness: float, most: float) -> Iterable[Row]:
    """Ask for more and more superpixels, on from the last row, until there are `most`."""
    asked, number = (rows[-1][0], rows[-1][1]) if rows else (0, 0)
    last = image.pixels[:, :, 0].size // SMALLEST_AREA
    while number < most and asked < last:
        asked = min(last, round(asked * (COARSE if number < FEWEST else FINE))) if asked else FIRST
        regions = skimage_slic(image.pixels, None, asked, compactness)
        number = number_of(regions)
        recall, error, accuracy = map(float, scores_of(regions, image.truths))
        yield asked, number, recall, error, accuracy


def _protocol() -> str:
    """Name all that the stored scores depend on, apart from the image."""
    return (
        f"scikit-image {metadata.version('scikit-image')}, {' '.join(MEASURES)}, tolerance {TOLERANCE}, "
        f"requests {FIRST} x {COARSE} below {FEWEST} superpixels, then x {FINE}"
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    """Replace a file at once, so that an interrupted run leaves a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")  # another process may write the same
    beside.write_text(json.dumps(content))
    beside.replace(path)
