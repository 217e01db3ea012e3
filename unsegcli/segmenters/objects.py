"""Apply a model that gives embeddings: find objects, cluster their vectors by k-means, and draw the label map.

Cluster 0 is background. Images without an object are not used to fit the clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import sample_nearest
from unsegcli.core.guided import refined
from unsegcli.core.kmeans import KMeans, assign, kmeans, mini_batch_kmeans
from unsegcli.core.prototypes import Whitening, prototypes, whitening
from unsegcli.core.superpixels.regions import components
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.runner import Result, gather
from unsegcli.errors import DataError
from unsegcli.images.scaling import resized
from unsegcli.params import Cluster
from unsegcli.segmenters.network import painted, scores_of
from unsegcli.segmenters.trained import Trained

LEAST = 0.01  # fraction of a window; smaller components get a cluster but are not used to fit the clusters


@dataclass(frozen=True)
class WindowObjects:
    """The objects of one window."""

    vectors: NDArray[np.float64]  # (objects, dimensions), of length 1
    areas: NDArray[np.float64]  # (objects,) as fractions of the window
    objects: NDArray[np.int32]  # (height, width), -1 = background
    probability: NDArray[np.float32]  # (height, width) of belonging to an object


@dataclass(frozen=True)
class Grouping:
    """Whitening and k-means centres, fitted on the objects of all images."""

    space: Whitening
    centres: NDArray[np.float64]  # (clusters, directions)

    def clusters_of(self, vectors: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the cluster of each object, from 1."""
        return assign(self.space(vectors), self.centres) + np.int32(1)


def find_objects(window: Window, trained: Trained, params: Cluster) -> WindowObjects:
    """Find the objects of one window and compute a vector for each."""
    if not params.squash:
        return _objects_in(window, trained, params)
    pixels, valid = resized(window.pixels, window.valid, (params.squash, params.squash))
    found = _objects_in(replace(window, pixels=pixels, valid=valid), trained, params)
    maps = (sample_nearest(each, window.pixels.shape[:2]) for each in (found.objects, found.probability))
    return WindowObjects(found.vectors, found.areas, *maps)


def _objects_in(window: Window, trained: Trained, params: Cluster) -> WindowObjects:
    regions = window.superpixels if params.per == "superpixel" else None
    maps = scores_of(trained, window.pixels, window.valid, regions, tile=params.tile, flips=params.flips)
    logits, vectors = maps[0].astype(np.float64), maps[1:]
    probability = (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32)
    sides = np.stack([1 - probability, probability])
    if params.refine:
        sides = refined(sides, window.pixels, window.valid)
    if regions is not None:
        sides = painted(sides, regions)
    valid = np.ones(logits.shape, bool) if window.valid is None else window.valid
    mask = (sides[1] > params.threshold) & valid
    objects = np.where(mask, np.int32(0), np.int32(-1))
    if params.objects == "component":
        objects = components(objects)
    weights = np.maximum(logits, 0) if params.pooling == "logit" else None
    areas = np.bincount(objects[mask], minlength=int(objects.max(initial=-1)) + 1) / max(1, int(valid.sum()))
    return WindowObjects(prototypes(vectors, objects, weights), areas, objects, sides[1])


def vectors_of_objects(
    window: Window, objects: NDArray[np.int32], trained: Trained, params: Cluster
) -> NDArray[np.float64]:
    """Compute the vectors of given objects (height, width), -1 = none: (objects, dimensions)."""
    pixels, valid = window.pixels, window.valid
    if params.squash:
        pixels, valid = resized(pixels, valid, (params.squash, params.squash))
        objects = sample_nearest(objects, pixels.shape[:2])
    maps = scores_of(trained, pixels, valid, tile=params.tile, flips=params.flips)
    weights = np.maximum(maps[0].astype(np.float64), 0) if params.pooling == "logit" else None
    return prototypes(maps[1:], objects, weights)


def fit_objects(dataset: Dataset, trained: Trained, params: Cluster, workers: int) -> Grouping:
    """Fit clusters to the objects of all images."""

    def vectors_of(window: Window) -> NDArray[np.float64]:
        found = find_objects(window, trained, params)
        return found.vectors if params.objects == "image" else found.vectors[found.areas >= LEAST]

    found = list(gather(dataset, vectors_of, "finding objects", workers))
    points = np.concatenate(found)
    if not len(points):
        raise DataError(
            f"no object was found in {console.count_images(len(found))}; lower --threshold from {params.threshold:g}, "
            "train longer, or check the masks that the model was trained on"
        )
    empty, classes = sum(not len(vectors) for vectors in found), params.number
    space = whitening(points)
    best = _fitted(space(points), params)
    console.note(
        f"{len(points)} objects in {console.count_images(len(found) - empty)} ({empty} without one), "
        f"{best.centres.shape[1]} directions, inertia {', '.join(f'{value:.4g}' for value in best.inertias)}"
    )
    if len(points) < classes:
        console.warn(f"only {len(points)} objects for {classes} clusters: some clusters are empty")
    return Grouping(space, best.centres)


def _fitted(points: NDArray[np.float64], params: Cluster) -> KMeans:
    clusters, seed, starts, iterations = params.number, params.seed, params.starts, params.iterations
    if params.mini_batch:
        batch = params.mini_batch
        return mini_batch_kmeans(points, clusters, seed=seed, starts=starts, iterations=iterations, batch=batch)
    return kmeans(points, clusters, seed=seed, starts=starts, iterations=iterations)


def paint_window(window: Window, trained: Trained, params: Cluster, grouping: Grouping | None) -> Result:
    """Compute the encoded cluster map of one window; without a grouping all objects get cluster 1."""
    found = find_objects(window, trained, params)
    clusters = np.ones(len(found.vectors), np.int32) if grouping is None else grouping.clusters_of(found.vectors)
    valid = np.ones(found.objects.shape, bool) if window.valid is None else window.valid
    most = int(clusters.max(initial=0)) if grouping is None else len(grouping.centres)
    dtype = np.uint8 if most < np.iinfo(np.uint8).max else np.uint16
    labels = np.append(clusters, 0)[found.objects]  # index -1 (background) selects the last entry
    labels = np.where(valid, labels, np.iinfo(dtype).max).astype(dtype)
    inside = found.objects >= 0
    sure = np.where(valid, np.where(inside, found.probability, 1 - found.probability), 0).astype(np.float32)
    datasets = {"segmentation": store.encode(labels)}
    if params.confidence:
        datasets["confidence"] = store.encode(sure.astype(np.float16))
    return Result(datasets, {"confidence": float(sure[valid].mean()) if valid.any() else 0.0})
