"""How the vectors of an embedding are best brought to 8 bits: k-means on the bytes beside k-means on the vectors.

    unseg features DATA --backbone lite0 --dense -o features.h5
    python tests/benchmarks/band_ranges.py features.h5 --labels DATA/labels --classes 5

Vectors are the 64 principal components of the standardised features, as they are and of length one. `each` scales each
band by its own percentiles, `same` by one factor for all bands, about the middle of each. Printed are the share of
cells in the same cluster (matched one to one) and the adjusted Rand index, both against k-means on the vectors
themselves, and the accuracy against labels, matched one to one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import sample_nearest
from unsegcli.core.kmeans import kmeans
from unsegcli.core.scoring.matching import one_to_one
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.images.scaling import by_one_factor, percentile_limits, to_bytes

DIMENSIONS, PERCENTILES, FITTED = 64, (1.0, 99.0), 4

Vectors = NDArray[np.floating]
Labels = NDArray[np.int64]


def main() -> None:
    """Print a line for each kind of vectors and each way to scale them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--classes", type=int, required=True)
    asked = parser.parse_args()
    found, truth = cells_and_labels(asked.features, asked.labels)
    components = principal(found)
    kinds = {"as they are": components, "of length one": components / np.linalg.norm(components, axis=1, keepdims=True)}
    for kind, vectors in kinds.items():
        exact = clusters(vectors, asked.classes)
        limits = percentile_limits([vectors], PERCENTILES, DIMENSIONS)
        print(f"{kind}: accuracy of the vectors themselves {matched(exact, truth, asked.classes):.3f}")
        for name, ranges in (("each", limits), ("same", by_one_factor(limits))):
            other = clusters(to_bytes(vectors[None], ranges)[0] / np.float32(255), asked.classes)
            same, index = matched(other, exact, asked.classes), rand_index(other, exact)
            score = matched(other, truth, asked.classes)
            print(f"  {name}: same cluster {same:.3f}, adjusted Rand index {index:.3f}, accuracy {score:.3f}")


def cells_and_labels(features: Path, labels: Path) -> tuple[Vectors, Labels]:
    """The vectors of all cells, and the label under the middle of each."""
    vectors, truth = [], []
    for unit in dataset_from_artifact(features).units:
        dense = unit.windows()[0].dense
        assert dense is not None
        vectors.append(dense.reshape(-1, dense.shape[2]).astype(np.float32))
        image = np.asarray(Image.open(labels / f"{Path(unit.source.name).stem}.png"))
        truth.append(sample_nearest(image, dense.shape[:2]).ravel().astype(np.int64))
    return np.concatenate(vectors), np.concatenate(truth)


def principal(vectors: Vectors) -> Vectors:
    """Project standardised vectors to their first principal components."""
    scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    axes = np.linalg.eigh(np.cov(scaled.T))[1]
    projected: Vectors = scaled @ axes[:, ::-1][:, :DIMENSIONS]
    return projected


def clusters(vectors: Vectors, classes: int) -> Labels:
    """Cluster vectors as they are."""
    points = vectors.astype(np.float32)
    centres = kmeans(points[::FITTED], classes, seed=0, starts=5, iterations=100).centres
    nearest: Labels = ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
    return nearest


def counted(one: Labels, other: Labels) -> NDArray[np.int64]:
    """Count pairs of numbers."""
    matrix = np.zeros((one.max() + 1, other.max() + 1), np.int64)
    np.add.at(matrix, (one, other), 1)
    return matrix


def matched(found: Labels, truth: Labels, classes: int) -> float:
    """The share of points in the class of their cluster, matched one to one; other labels are not counted."""
    known = truth < classes
    matrix = counted(found[known], truth[known])
    pairs = one_to_one(matrix)
    return float(sum(matrix[row, column] for row, column in enumerate(pairs) if column >= 0) / matrix.sum())


def rand_index(one: Labels, other: Labels) -> float:
    """The adjusted Rand index."""
    matrix = counted(one, other).astype(float)
    pairs = [(part * (part - 1) / 2).sum() for part in (matrix, matrix.sum(axis=0), matrix.sum(axis=1))]
    expected = pairs[1] * pairs[2] / (matrix.sum() * (matrix.sum() - 1) / 2)
    return float((pairs[0] - expected) / ((pairs[1] + pairs[2]) / 2 - expected))


if __name__ == "__main__":
    main()
