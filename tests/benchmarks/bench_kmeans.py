"""K-means beside scikit-learn and faiss: CPU seconds and inertia of the same number of starts and iterations.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_kmeans.py [--points 60000] [--dimensions 64] [--clusters 24]

It needs scikit-learn and faiss-cpu. Points are float32, drawn around more centres than there are clusters, with
variances that fall as those of principal components. Ratios are ours divided by theirs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.kmeans import assign, kmeans, unit_rows

STARTS, ITERATIONS = 3, 100
BLOBS = 60


def points_of(count: int, dimensions: int) -> NDArray[np.float32]:
    """Draw points (points, dimensions)."""
    random = np.random.default_rng(0)
    blobs = random.normal(size=(BLOBS, dimensions))[random.integers(BLOBS, size=count)]
    spread = np.geomspace(3, 0.3, dimensions)
    return (blobs + random.normal(size=(count, dimensions)) * spread).astype(np.float32)


def main() -> None:
    """Print a line for each program and kind of k-means."""
    import faiss
    from sklearn.cluster import KMeans

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("points", 60_000), ("dimensions", 64), ("clusters", 24)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    points, count = points_of(asked.points, asked.dimensions), asked.clusters
    unit = unit_rows(points).astype(np.float32)
    how: dict[str, Any] = {"seed": 0, "starts": STARTS, "iterations": ITERATIONS}
    theirs = KMeans(count, n_init=STARTS, max_iter=ITERATIONS, random_state=0)

    def of_faiss() -> NDArray[Any]:
        found = faiss.Kmeans(
            asked.dimensions, count, niter=ITERATIONS, nredo=STARTS, spherical=True, max_points_per_centroid=10**7
        )
        found.train(unit)
        return np.asarray(found.centroids)

    kmeans(points, count, seed=0, starts=1, iterations=1)  # compiled
    ours = _measured("ours", points, lambda: kmeans(points, count, **how).centres)
    _measured("scikit-learn, float32", points, lambda: theirs.fit(points).cluster_centers_, ours)
    wide = points.astype(np.float64)
    _measured("scikit-learn, float64", points, lambda: theirs.fit(wide).cluster_centers_, ours)
    ours = _measured("ours, spherical", unit, lambda: kmeans(points, count, spherical=True, **how).centres)
    _measured("faiss, spherical", unit, of_faiss, ours)


def _measured(
    name: str, points: NDArray[Any], fit: Callable[[], NDArray[Any]], ours: tuple[float, float] | None = None
) -> tuple[float, float]:
    start = time.process_time()
    centres = fit()
    seconds = time.process_time() - start
    apart = points - centres[assign(points, centres)]
    inertia = float(np.square(apart, dtype=np.float64).sum())
    ratios = "" if ours is None else f"   ratios: {ours[0] / seconds:.2f} {ours[1] / inertia:.4f}"
    print(f"{name:22} {seconds:6.2f} CPU s, inertia {inertia:.6g}{ratios}")
    return seconds, inertia


if __name__ == "__main__":
    main()
