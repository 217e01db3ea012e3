"""What each group of region features adds to k-means on regions, on labelled development sets.

    python tests/benchmarks/region_floors.py SUPERPIXELS,LABELS,LEGEND ... [--rings] [--places] [--splits N]

Each set is a file of `unseg superpixels`, the folder of its labels and a legend. Printed are the measures of
`region_measures.py` for colour and texture alone (the floor F), with other groups, and with all of them.

    --rings   also what surrounds a region by dense rings of fixed size, which were tried before
    --places  instead: named map and one to one for several rules of how much position counts
    --tiles   instead: one to one of k-means on each image by itself, with and without position
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from region_measures import (
    SPLITS,
    Regions,
    mean_score,
    measure,
    named_map,
    one_to_one,
    random_half,
    read_regions,
)

from unsegcli.core.superpixels import region_space
from unsegcli.core.superpixels.features import GROUPS, feature_groups
from unsegcli.core.superpixels.region_space import explained_by_place, fit_space, place_weights

FLOOR = ("colour", "texture")
VARIANTS = {
    "F": FLOOR,
    "F + patches": (*FLOOR, "patches"),
    "F + surroundings": (*FLOOR, "surroundings"),
    "F + patches + surroundings": (*FLOOR, "patches", "surroundings"),
    "F + position": (*FLOOR, "position"),
    "all": GROUPS,
}
MULTIPLIERS, CAPS = (0.0, 0.9, 1.3, 1.8, 2.6), (0.2, 0.35, 0.5, 0.65)  # of the rule for position
# Dense rings: standard deviations as shares of the image, the hole of the second, and the slope and reach of cones.
NEAR, MIDDLE, HOLE, STEEP, REACH = 0.07, 0.2, 0.1, 0.7, 0.4
RING_DIMENSIONS = 24


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SUPERPIXELS,LABELS,LEGEND")
    parser.add_argument("--rings", action="store_true")
    parser.add_argument("--places", action="store_true")
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--splits", type=int, default=SPLITS)
    asked = parser.parse_args()
    for entry in asked.sets:
        regions = read_regions(*map(Path, entry.split(",")))
        if asked.places:
            _print_places(regions, asked.splits)
        elif asked.tiles:
            _print_tiles(regions)
        else:
            for name, points in _variants(regions, asked.rings):
                found = measure(points, regions.areas, regions.counts, regions.images, asked.splits)
                print(f"{regions.name:9} {name:27} {found}", flush=True)


def _variants(regions: Regions, rings: bool) -> Iterator[tuple[str, NDArray[Any]]]:
    place = place_weights(regions.features, regions.areas, regions.bands, regions.images)
    for name, groups in VARIANTS.items():
        yield f"{name} {np.round(place, 2)}" if "position" in groups else name, _points(regions, groups, place)
    if rings:
        patches = _points(regions, VARIANTS["F + patches"], (0, 0))
        around = _reduced(_rings(regions, patches))
        yield "F + patches + rings", np.concatenate([patches, region_space.GROUP_WEIGHTS["surroundings"] * around], 1)


def _points(regions: Regions, groups: tuple[str, ...], place: tuple[float, float]) -> NDArray[np.float32]:
    return fit_space(regions.features, regions.areas, regions.bands, place, groups)(regions.features)


def _print_places(regions: Regions, splits: int) -> None:
    """Print the named map and one to one for each multiplier and cap of the rule."""
    groups = feature_groups(regions.bands)
    seen = regions.features[:, groups["colour"].start : groups["texture"].stop]
    explained = [
        math.sqrt(explained_by_place(seen, where, regions.areas, regions.images))
        for where in regions.features[:, groups["position"]].T
    ]
    done = set()
    for multiplier in MULTIPLIERS:
        for cap in CAPS:
            row, column = (round(min(cap, multiplier * share), 3) for share in explained)
            if (row, column) in done:
                continue
            done.add((row, column))
            points = _points(regions, GROUPS, (row, column))
            named, matched = _clustered(regions, points, splits)
            rule = f"x {multiplier} up to {cap}: {row:.2f}, {column:.2f}"
            print(f"{regions.name:9} {rule}  named {named}  one to one {matched}", flush=True)


def _clustered(regions: Regions, points: NDArray[Any], splits: int) -> tuple[Any, Any]:
    areas, counts = regions.areas, regions.counts
    named, matched = [], []
    for split in range(splits):
        half = random_half(regions.images, split)
        named += [named_map(points, areas, counts, learned, split) for learned in (half, ~half)]
        matched.append(one_to_one(points, areas, counts, split))
    return mean_score(named), mean_score(matched)


def _print_tiles(regions: Regions) -> None:
    """Print the mean score of k-means on each image by itself, by features and by weights of position."""
    for name, groups in VARIANTS.items():
        for place in (0.0, 0.35, 0.65) if name == "all" else (0.0,):
            found = []
            for image in range(len(regions.maps)):
                own = regions.images == image
                features, areas, counts = regions.features[own], regions.areas[own], regions.counts[own]
                if len(features) > counts.shape[1]:
                    points = fit_space(features, areas, regions.bands, (place, place), groups)(features)
                    found.append(one_to_one(points, areas, counts, 0))
            print(f"{regions.name:9} each image by itself, {name}, place {place}: {mean_score(found)}", flush=True)


def _rings(regions: Regions, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average points around each region: near, in a ring, above, below, and over the image."""
    position = regions.features[:, feature_groups(regions.bands)["position"]]
    found = []
    for image in range(len(regions.maps)):
        own = regions.images == image
        found.append(_rings_of_image(position[own], regions.areas[own], points[own]))
    return np.concatenate(found)


def _rings_of_image(position: NDArray[Any], areas: NDArray[Any], points: NDArray[np.float32]) -> NDArray[np.float32]:
    down, across = (position[None] - position[:, None]).transpose(2, 0, 1)
    apart = np.hypot(down, across)
    middle = np.exp(-((apart / MIDDLE) ** 2) / 2) * (apart > HOLE)
    cones = [(side * down > STEEP * np.abs(across)) * np.exp(-apart / REACH) for side in (-1, 1)]
    parts = []
    for weights in (np.exp(-((apart / NEAR) ** 2) / 2), middle, *cones, np.ones_like(apart)):
        shares = weights * areas * (1 - np.eye(len(areas)))
        parts.append((shares / (shares.sum(axis=1, keepdims=True) + 1e-6)) @ points)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _reduced(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce to principal components of standardised dimensions, with vectors of length 1 on average."""
    scaled = (points - points.mean(axis=0)) / (points.std(axis=0) + 1e-6)
    _, axes = np.linalg.eigh(scaled.T.astype(np.float64) @ scaled / len(scaled))
    few = scaled @ axes[:, ::-1][:, :RING_DIMENSIONS]
    result: NDArray[np.float32] = (few / math.sqrt((few**2).sum(axis=1).mean())).astype(np.float32)
    return result


if __name__ == "__main__":
    main()
