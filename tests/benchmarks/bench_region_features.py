"""How long the features of regions take, and their parts.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_region_features.py SUPERPIXELS [--images N]

SUPERPIXELS is a file of `unseg superpixels`. Printed are CPU milliseconds for an image: the lowest of three rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from unsegcli.core.superpixels.features import lab, region_features
from unsegcli.core.superpixels.patches import patch_codes
from unsegcli.core.superpixels.regions import centroids
from unsegcli.core.superpixels.surroundings import surroundings
from unsegcli.core.superpixels.valid import unit_pixels
from unsegcli.dataflow.dataset import Window, dataset_from_artifact

ROUNDS = 3


def main() -> None:
    """Print one line for all features, and one for each of the slower parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("superpixels")
    parser.add_argument("--images", type=int, default=6)
    asked = parser.parse_args()
    units = dataset_from_artifact(asked.superpixels).opened(1).units[: asked.images]
    windows = [unit.windows()[0] for unit in units]
    print(f"images of {windows[0].pixels.shape}")
    for name, part in (("all features", _all), ("patches", _patches), ("surroundings", _surroundings)):
        print(f"{name:14} {1000 * min(_seconds(part, windows) for _ in range(ROUNDS)) / len(windows):6.1f} ms")


def _seconds(part: Callable[[Window], object], windows: list[Window]) -> float:
    start = time.process_time()
    for window in windows:
        part(window)
    return time.process_time() - start


def _all(window: Window) -> object:
    assert window.superpixels is not None
    return region_features(window.pixels, window.superpixels)


def _patches(window: Window) -> object:
    regions = window.superpixels
    assert regions is not None
    unit = unit_pixels(window.pixels)
    lightness = lab(unit)[:, :, 0] if unit.shape[2] == 3 else 100 * unit.mean(axis=2)
    return patch_codes(lightness, regions, int(regions.max()) + 1)


def _surroundings(window: Window) -> object:
    regions = window.superpixels
    assert regions is not None
    count = int(regions.max()) + 1
    places = centroids(regions, count)
    return surroundings(places.repeat(15, axis=1).astype("float32"), regions, places * regions.shape)


if __name__ == "__main__":
    main()
