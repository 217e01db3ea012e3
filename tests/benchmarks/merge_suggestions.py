"""How often two clusters that the page suggests to merge have the same class, by measure of closeness.

    python tests/benchmarks/merge_suggestions.py INPUT,LABELS,LEGEND ... [--clusters 24] [--seeds 0 1 2]

Each input is a file of superpixels or of features, clustered with the defaults of the command. The class of a cluster
is its most frequent one. Printed is the share of the closest five and twelve pairs that have one class, as
`five/twelve`; `random` is the share among all pairs. Clusters below a thousandth of the pixels, or without labels, are
left out.

The measures: `centres`, the distance between the centres of k-means; `scatter`, the mean distance of pixels to their
centres relative to it; `looks`, the mean colour and roughness in the displayed image; `borders`, the length of the
common border, relative to what it would be if clusters lay at random; and means of the ranks of two of them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unsegcli import Inputs, Run
from unsegcli.core.scoring.confusion import confusion
from unsegcli.dataflow.label_maps import Predictions, open_predictions
from unsegcli.files import cluster
from unsegcli.labels import match_labels, read_labels
from unsegcli.legend import read_legend
from unsegcli.params import Cluster
from unsegcli.views.backdrop import find_places, regions_behind, working_pixels
from unsegcli.views.cluster_facts import PageTally, facts_of, looks_of
from unsegcli.views.display import displayed
from unsegcli.views.encoded_maps import map_grid
from unsegcli.views.export import areas
from unsegcli.views.merging import LEAST_SHARE, centre_distances, looks_apart, together, touching

Matrix = NDArray[np.float64]
TOP = (5, 12)


def main() -> None:
    """Print a row for each input and seed, and the mean of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="INPUT,LABELS,LEGEND")
    parser.add_argument("--clusters", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    rows = []
    for entry in asked.inputs:
        path, labels, legend = map(Path, entry.split(","))
        for seed in asked.seeds:
            with tempfile.TemporaryDirectory() as folder:
                made = cluster(Inputs([path]), Cluster(classes=asked.clusters, seed=seed), Run(Path(folder) / "s.h5"))
                rows.append(_measured(open_predictions(made.path), labels, legend))
            print(f"{path.stem} seed {seed}: {_line(rows[-1])}", flush=True)
    print(f"mean: {_line({name: np.mean([row[name] for row in rows], axis=0) for name in rows[0]})}")


def _line(row: dict[str, NDArray[np.float64]]) -> str:
    return ", ".join(f"{name} {'/'.join(f'{share:.2f}' for share in shares)}" for name, shares in row.items())


def _measured(run: Predictions, labels: Path, legend: Path) -> dict[str, NDArray[np.float64]]:
    """Return for each measure the shares of its closest pairs that have one class."""
    tally, own, pixels = _counted(run, labels, legend)
    classes = pixels.argmax(axis=1)
    used = (tally.pixels > LEAST_SHARE * tally.pixels.sum()) & (pixels.sum(axis=1) > 0)
    first, second = np.triu_indices(tally.count, 1)
    pairs = used[first] & used[second]
    same = (classes[first] == classes[second])[pairs]
    found = {"random": np.full(len(TOP), same.mean())}
    for name, measures in _measures(run, tally, own).items():
        close = together(*(one[first, second][pairs] for one in measures))
        order = np.argsort(-close, kind="stable")
        found[name] = np.array([same[order][:most].mean() for most in TOP])
    return found


def _counted(run: Predictions, labels: Path, legend_path: Path) -> tuple[PageTally, Matrix, Matrix]:
    """Return the tally of all images, the mean distance to the own centre, and pixels by cluster and class."""
    legend = read_legend(legend_path)
    count, classes = run.clusters or 0, len(legend.names)
    files = match_labels([item.name for item in run.maps], labels).paths
    places, regions = find_places(run, None, {}, 1), regions_behind(run)
    tally, matrix, own = PageTally(count), np.zeros((count + 1, classes)), np.zeros((2, count))
    for number, item in enumerate(run.maps):
        values, grid = item.on(item.grid), map_grid(item.grid)
        pixels = working_pixels(item, regions.get(item.name), places.get(item.name))
        assert pixels is not None
        rgb = displayed(pixels, values).rgb
        sizes = areas(values, item.source_grid, count)
        tally.add(number, facts_of(item, values, grid, run.role, sizes, rgb)._replace(looks=looks_of(values, rgb)))
        distances = item.distances(item.grid)
        assert distances is not None
        known = np.isfinite(distances.own)
        own += [np.bincount(values[known], weights, count) for weights in (distances.own[known], None)]
        if item.name in files:
            truth = read_labels(files[item.name][0], legend, 0, ())[0]
            matrix += confusion(item.on((truth.shape[0], truth.shape[1])), truth, count, classes, void=-1)
    return tally, own[0] / np.maximum(1, own[1]), matrix[:-1]


def _measures(run: Predictions, tally: PageTally, own: Matrix) -> dict[str, tuple[Matrix, ...]]:
    """Return the name of each measure, and what it joins; higher = closer."""
    centres = centre_distances(run, tally.count)
    assert centres is not None
    looks, touch = -looks_apart(tally.looks()), touching(tally.borders(), tally.count)
    return {
        "centres": (-centres,),
        "scatter": ((own[:, None] + own[None]) / np.maximum(centres, 1e-9),),
        "looks": (looks,),
        "borders": (touch,),
        "looks and borders": (looks, touch),
        "centres and borders": (-centres, touch),
        "centres and looks": (-centres, looks),
    }


if __name__ == "__main__":
    main()
