"""In which space k-means should group the vectors of a model: as they are, standardised, or whitened.

    python tests/benchmarks/vector_spaces.py MODEL.h5 ... [--labels FOLDER] [--legend FILE]

For each model and space: pixel accuracy and mIoU of 24 clusters, fitted on all images of the training data, named on
every second image and scored on the others, both ways; mean over three seeds of k-means.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.kmeans import assign, kmeans
from unsegcli.core.prototypes import whitening
from unsegcli.core.scoring.linear_probe import Labelled
from unsegcli.core.scoring.scores import accuracy, mean_iou
from unsegcli.legend import read_legend
from unsegcli.params import Inputs, Probe, Run
from unsegcli.stages import probe

CLUSTERS, SEEDS, STARTS, LARGEST = 24, 3, 1, 15_000  # superpixels that k-means is fitted on
Points = NDArray[np.float64]


def spaces(vectors: Points) -> dict[str, Points]:
    """The same vectors in each space."""
    deviation = vectors.std(axis=0)
    standard = (vectors - vectors.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return {"as they are": vectors, "standardised": standard, "whitened": whitening(vectors)(vectors)}


def named_map(labelled: Labelled, points: Points, seed: int) -> list[float]:
    """Accuracy and mIoU of clusters that are named on one half of the images, and scored on the other."""
    areas = labelled.counts.sum(axis=1).astype(np.float64)
    step = -(-len(points) // LARGEST)
    fitted = kmeans(points[::step], CLUSTERS, seed=seed, starts=STARTS, iterations=100, weights=areas[::step])
    clusters, odd = assign(points, fitted.centres), labelled.images % 2 == 1
    classes = labelled.counts.shape[1]
    matrix = np.zeros((classes + 1, classes), np.int64)
    for naming in (odd, ~odd):
        tally = np.zeros((CLUSTERS, classes), np.int64)
        np.add.at(tally, clusters[naming], labelled.counts[naming])
        np.add.at(matrix, tally.argmax(axis=1)[clusters[~naming]], labelled.counts[~naming])
    return [accuracy(matrix), mean_iou(matrix)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--labels")
    parser.add_argument("--legend")
    given = parser.parse_args()
    params = Probe(labels=given.labels, legend=given.legend)
    for model in given.models:
        _, legend, subjects = probe.opened(Inputs(model), params)
        found = probe.labelled_of(subjects[0], None if legend is None else read_legend(legend), params, Run(workers=1))
        for name, points in spaces(found.labelled.vectors.astype(np.float64)).items():
            rows = [named_map(found.labelled, points, seed) for seed in range(SEEDS)]
            print(f"{model:>20} {name:>14} {' '.join(f'{value:.3f}' for value in np.mean(rows, axis=0))}", flush=True)


if __name__ == "__main__":
    main()
