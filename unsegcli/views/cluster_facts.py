"""What is known of each cluster without labels: areas, borders, certainty, distances, looks and places to show.

`facts_of` measures one image, in a worker; `PageTally` adds up all images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import sample_nearest
from unsegcli.dataflow.label_maps import ImageMap
from unsegcli.views.cluster_crops import BestPlaces, Place, find_places
from unsegcli.views.drawing import Rgb, fitted

LOOKS = 4  # lightness, green-red, blue-yellow, and how much lightness changes from pixel to pixel
LONGEST_LOOK = 256  # of the longer side of the image that looks are measured on
MOST_NEIGHBOURS = 5


class ClusterSums(NamedTuple):
    """Sums over the pixels of the clusters of an image."""

    clusters: NDArray[np.int64]
    pixels: NDArray[np.float64]
    sums: NDArray[np.float64]  # (cluster, value)


class ImageFacts(NamedTuple):
    """What one image says of the clusters of one result."""

    areas: tuple[tuple[int, int], ...]  # cluster and its pixels, on the grid of the source
    void: int
    certainty: float | None  # 0 to 1; None = not known
    borders: tuple[tuple[int, int, int], ...]  # two clusters, the lower first, and how many pairs of pixels they share
    places: tuple[Place, ...]
    by_distance: bool  # whether the certainty is from distances to centres
    looks: ClusterSums | None


def facts_of(
    item: ImageMap,
    values: NDArray[np.int32],
    grid: tuple[int, int],
    role: str,
    found: Sequence[int],
    rgb: Rgb | None,
) -> ImageFacts:
    """Measure one image.

    Args:
        item: the label map, for its distances or confidence.
        values: (height, width) the map on its working grid, or that of the page; negative = void.
        grid: of the maps on the page.
        role: of the map.
        found: source pixels of each cluster, and of void.
        rgb: the image as shown.
    """
    small = values if values.shape == grid else sample_nearest(values, grid)
    distances = item.distances(grid)
    doubt = _doubt(item, grid, role, small) if distances is None else np.where(small < 0, np.nan, distances.ratio)
    known = None if doubt is None else doubt[np.isfinite(doubt)]
    return ImageFacts(
        tuple((number, pixels) for number, pixels in enumerate(found[:-1]) if pixels),
        found[-1],
        1 - float(known.mean(dtype=np.float64)) if known is not None and known.size else None,
        borders_of(small),
        tuple(find_places(small, doubt)) if rgb is not None else (),
        distances is not None,
        None if rgb is None or distances is not None else looks_of(small, rgb),
    )


def _doubt(item: ImageMap, grid: tuple[int, int], role: str, values: NDArray[np.int32]) -> NDArray[np.float32] | None:
    """Return how doubtful each pixel is by the stored confidence; None if none is stored."""
    confidence = item.confidence(grid)
    if confidence is None:
        return None
    sure = confidence.astype(np.float32)
    doubt = 1 - np.abs(2 * sure - 1) if role == "mask" else 1 - sure  # of a mask: that a pixel is foreground
    doubt[values < 0] = np.nan
    return doubt


def borders_of(values: NDArray[np.int32]) -> tuple[tuple[int, int, int], ...]:
    """Count the pairs of neighbouring pixels, side by side or one above the other, of each two clusters."""
    pairs = [(values[:, :-1], values[:, 1:]), (values[:-1], values[1:])]
    codes = []
    for first, second in pairs:
        differ = (first != second) & (first >= 0) & (second >= 0)
        one, other = first[differ].astype(np.int64), second[differ].astype(np.int64)
        codes.append((np.minimum(one, other) << 32) | np.maximum(one, other))
    found, counts = np.unique(np.concatenate(codes), return_counts=True)
    rows = zip(found.tolist(), counts.tolist(), strict=True)
    return tuple((code >> 32, code & 0xFFFFFFFF, count) for code, count in rows)


def _sums(values: NDArray[np.int32], measured: NDArray[np.float32]) -> ClusterSums:
    """Sum measured values (height, width, value) over the pixels of each cluster; NaN = not measured."""
    known = (values >= 0) & np.isfinite(measured).all(axis=2)
    clusters, inverse = np.unique(values[known], return_inverse=True)
    pixels = np.bincount(inverse, minlength=len(clusters)).astype(np.float64)
    chosen = measured[known]
    sums = [np.bincount(inverse, chosen[:, number], len(clusters)) for number in range(measured.shape[2])]
    return ClusterSums(clusters.astype(np.int64), pixels, np.stack(sums, axis=1))


def looks_of(values: NDArray[np.int32], rgb: Rgb) -> ClusterSums:
    """Sum colour (CIELAB) and roughness of the displayed image, seen small, over the pixels of each cluster.

    Args:
        values: (height, width) clusters on any grid.
        rgb: the image as shown.
    """
    from skimage.color import rgb2lab

    factor = min(1.0, LONGEST_LOOK / max(rgb.shape))
    grid = max(1, round(rgb.shape[0] * factor)), max(1, round(rgb.shape[1] * factor))
    lab = rgb2lab(fitted(rgb, grid)).astype(np.float32)
    rough = np.zeros(grid, np.float32)
    rough[:, 1:] += np.abs(np.diff(lab[:, :, 0], axis=1))
    rough[1:] += np.abs(np.diff(lab[:, :, 0], axis=0))
    return _sums(sample_nearest(values, grid), np.concatenate([lab, rough[:, :, None]], axis=2))


class PageTally:
    """Adds up what all images say of the clusters of one result."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pixels = np.zeros(count, np.int64)
        self.images = np.zeros(count, np.int64)
        self.places = BestPlaces()
        self.certain = False  # whether the certainty of any image is known
        self.by_distance = False  # whether it is from distances to centres
        self._borders: Counter[tuple[int, int]] = Counter()
        self._looks_pixels, self._looks = np.zeros(count), np.zeros((count, LOOKS))

    def add(self, image: int, facts: ImageFacts) -> None:
        """Take one more image."""
        for cluster, pixels in facts.areas:
            self.pixels[cluster] += pixels
            self.images[cluster] += 1
        for first, second, count in facts.borders:
            self._borders[first, second] += count
        self.places.add(image, facts.places)
        self.certain |= facts.certainty is not None
        self.by_distance |= facts.by_distance
        if facts.looks is not None:
            self._looks_pixels[facts.looks.clusters] += facts.looks.pixels
            self._looks[facts.looks.clusters] += facts.looks.sums

    def looks(self) -> NDArray[np.float64]:
        """Return mean colour and roughness of each cluster: (cluster, look); NaN = not known."""
        with np.errstate(invalid="ignore"):
            means: NDArray[np.float64] = self._looks / self._looks_pixels[:, None]
        return means

    def borders(self) -> Iterator[tuple[int, int, int]]:
        """Yield each two clusters that touch, and the length of their common border."""
        for (first, second), count in self._borders.items():
            yield first, second, count

    def neighbours(self) -> dict[int, list[tuple[int, float]]]:
        """Return for each cluster those that it borders on most, and their shares of its border."""
        found: dict[int, list[tuple[int, int]]] = {}
        for first, second, count in self.borders():
            found.setdefault(first, []).append((-count, second))
            found.setdefault(second, []).append((-count, first))
        return {
            cluster: [(other, count / sum(one for one, _ in rows)) for count, other in sorted(rows)[:MOST_NEIGHBOURS]]
            for cluster, rows in found.items()
        }
