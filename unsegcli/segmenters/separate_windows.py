"""Say what methods that look at an image as a whole do with images that are cut into windows, or that are large."""

from __future__ import annotations

from collections import Counter

from unsegcli import console
from unsegcli.dataflow.dataset import Dataset, ImageUnit
from unsegcli.images.rasters import is_large


def note_masks_of_windows(dataset: Dataset) -> None:
    """Say so if windows get masks of their own, or a large raster gets one mask, at a small size."""
    if _has_windows(dataset):
        console.note("each window is segmented by itself, so what is foreground in one may be background in the next")
    small = [unit for unit in dataset.units if isinstance(unit, ImageUnit) and _is_shrunk(unit)]
    if small:
        first, (height, width) = small[0].source, small[0].grid
        console.note(
            f"{first.name}: {first.height} x {first.width} pixels are segmented as one image of {height} x {width}, "
            "with one mask; --patch N gives each window of N x N pixels a mask of its own"
        )


def note_features_of_windows(dataset: Dataset, method: str) -> None:
    """Say so if a method that uses features of an image as a whole sees those of windows."""
    if _has_windows(dataset):
        console.note(
            f"{method} uses features of a whole image, and here each window counts as one: the same place may get "
            "another cluster in another window"
        )


def _has_windows(dataset: Dataset) -> bool:
    counts: Counter[str] = Counter()
    for unit in dataset.units:
        counts[unit.source.name] += unit.window_count
    return max(counts.values(), default=0) > 1


def _is_shrunk(unit: ImageUnit) -> bool:
    height, width = unit.grid
    pixels = unit.source.height * unit.source.width
    return is_large(pixels) and not is_large(height * width) and not unit.patch
