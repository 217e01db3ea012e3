"""In which space the vectors of a pretrained network are best compared, on labelled development sets.

    python tests/benchmarks/features_spaces.py FEATURES,LABELS,LEGEND ... [--json FILE]

Each set is a file of `unseg features` with the vectors of superpixels and the pixels, the folder of its labels and a
legend. Each row is a variant of the default space of `unseg cluster`, measured as in `region_measures.py`: one to one
with as many clusters as classes, and a named map of 24 clusters, fitted and named on all images (whole) or on one half
of them and scored on the other (named). With --json, each row is also added to a file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from region_measures import (
    NAMED_CLUSTERS,
    SPLITS,
    Regions,
    mean_score,
    named_map,
    one_to_one,
    random_half,
    read_regions,
    whole_map,
)

from unsegcli.core.superpixels.region_space import Space, fit_space, place_weights
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.params import Cluster
from unsegcli.segmenters.feature_files import FeaturesFile, features_file, spaces_of_vectors

FIRST_LAYER = (0.01, 1.0)  # weights of the first layer; the default of lite0 has 0.5
COLOURS = (0.0, 0.25, 0.5, 2 / 3, 1.0)  # weights of hand-crafted features
COMPONENTS = (16, 32)


def main() -> None:
    """Print a row for each set and space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="FEATURES,LABELS,LEGEND")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    for entry in asked.sets:
        path = Path(entry.split(",")[0])
        regions, file = read_regions(*map(Path, entry.split(","))), features_file(dataset_from_artifact(path))
        described = _described(regions)
        points = np.concatenate([np.concatenate(regions.vectors), regions.features], axis=1)
        for name, variant, params in _variants(file):
            spaces = spaces_of_vectors(points, regions.areas, variant, params, described)
            few, many = (spaces(clusters)(points) for clusters in (regions.counts.shape[1], NAMED_CLUSTERS))
            _report(regions, name, few, many, asked.json)


def _described(regions: Regions) -> Space:
    place = place_weights(regions.features, regions.areas, regions.bands, regions.images)
    return fit_space(regions.features, regions.areas, regions.bands, place)


def _variants(file: FeaturesFile) -> Iterator[tuple[str, FeaturesFile, Cluster]]:
    yield "default", file, Cluster()
    yield "euclidean", file, Cluster(metric="euclidean")
    yield "whitened", file, Cluster(whiten=True)
    for components in COMPONENTS:
        yield f"{components} components", file, Cluster(pca=components)
    for weight in FIRST_LAYER:
        first, *others = file.weighted
        weighted = (first._replace(weight=weight), *others)
        yield f"first layer by {weight:g}", replace(file, weighted=weighted), Cluster()
    for weight in COLOURS:
        yield f"hand-crafted features by {weight:.2f}", file, Cluster(colours=weight)


def _report(regions: Regions, name: str, few: NDArray[Any], many: NDArray[Any], file: Path | None) -> None:
    rest = regions.areas, regions.counts
    matched = mean_score([one_to_one(few, *rest, seed) for seed in range(SPLITS)])
    whole = mean_score([whole_map(many, *rest, seed) for seed in range(SPLITS)])
    halves = [(split, random_half(regions.images, split)) for split in range(SPLITS)]
    named = mean_score([named_map(many, *rest, half, split) for split, one in halves for half in (one, ~one)])
    print(f"{regions.name:9} {name:30} one to one {matched}  whole {whole}  named {named}", flush=True)
    if file is not None:
        scores = {"matched": list(matched), "whole": list(whole), "named": list(named)}
        rows = [*(json.loads(file.read_text()) if file.exists() else []), {"set": regions.name, "row": name, **scores}]
        file.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
