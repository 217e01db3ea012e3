"""Label-free criteria ("signs") of trained models on the same images, including how far the models agree.

How well a criterion predicts the scores with labels is measured by `tests/benchmarks/judge_runs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.draws import Draws
from unsegcli.core.nn.jitter import Strengths, jitter
from unsegcli.core.scoring import label_free as signs
from unsegcli.core.superpixels.features import region_features
from unsegcli.core.superpixels.region_space import fit_space, place_weights
from unsegcli.core.superpixels.regions import contiguous, numbers_before, pool
from unsegcli.core.superpixels.slic import slic
from unsegcli.core.vector_space import fit_vector_space
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.runner import gather
from unsegcli.dataflow.stored_vectors import read_stored_vectors
from unsegcli.params import Superpixels
from unsegcli.segmenters.network import scores_of
from unsegcli.segmenters.trained import Trained, open_trained

IMAGES = 48  # images used, evenly spaced
SIDE = 512  # larger images are cropped to the centre
POINTS = 1000  # superpixels used for the silhouette
LAST = 0.1  # fraction of the steps, at the end, over which the loss is averaged
LIGHT = Strengths(0.2, 0.2, 0.2, 0.02)  # colour jitter of the augmented image
SIGNS = {
    "evenness": "normalized entropy of the mean assignment",
    "confidence": "1 - mean normalized entropy of a pixel's assignment",
    "information": "mutual information of pixel and cluster: evenness + confidence - 1",
    "agreement": "fraction of pixels that keep their cluster in a mirrored, colour-jittered image",
    "beyond-chance": "agreement corrected for chance (Cohen's kappa)",
    "purity": "fraction of pixels with the most frequent cluster of their superpixel",
    "edges": "mean image gradient at cluster borders over that of the whole image",
    "explained": "fraction of the variance of superpixel features between clusters",
    "silhouette": "mean silhouette of the superpixels' features",
    "stability": "mean adjusted Rand index with the maps of the other runs",
    "bound": "minus the mean loss of the last tenth of the steps",
}

Signals = dict[str, float]


@dataclass(frozen=True)
class Scene:
    """An image with its superpixels and their features."""

    pixels: NDArray[np.uint8]  # (height, width, bands)
    valid: NDArray[np.bool_] | None  # (height, width); None = all
    regions: NDArray[np.int32]  # (height, width), -1 = void
    points: NDArray[np.float32]  # (superpixels, dimensions), features, scaled over all scenes
    areas: NDArray[np.float64]  # (superpixels,)
    vectors: NDArray[np.float32] | None = None  # (superpixels, dimensions) of a file of features


@dataclass(frozen=True)
class ModelSigns:
    """The criteria and label maps of one model on all scenes."""

    signals: Signals
    maps: list[NDArray[np.int32]]  # clusters of the pixels of each scene, -1 = void


def judge(
    models: Sequence[str | Path], dataset: Dataset, *, method: str | None = None, device: str = "auto", workers: int = 1
) -> list[Signals]:
    """Compute the criteria of each model on the same images.

    Args:
        models: model files.
        dataset: opened; images, or superpixels with their pixels.
        method: the Python file of the user's own method, if any.
        device: device of the networks.
        workers: processes that read images.
    """
    scenes = scenes_of(dataset, workers)
    judged, most = [], 1
    for path in models:
        trained = open_trained(path, method, device)
        most = max(most, trained.classes)
        judged.append(signs_of(trained, scenes))
    stable = signs.stability([one.maps for one in judged], most)
    return [
        {**one.signals, "stability": agreed, "bound": bound_of(path)}
        for one, agreed, path in zip(judged, stable, models, strict=True)
    ]


def scenes_of(dataset: Dataset, workers: int = 1) -> list[Scene]:
    """Read up to `IMAGES` images, or windows of large ones, evenly spaced."""
    dataset = dataset.in_windows()
    taken = np.linspace(0, len(dataset.units) - 1, min(IMAGES, len(dataset.units))).round().astype(int)
    few = replace(dataset, units=tuple(dataset.units[at] for at in taken))
    described = list(gather(few, _read_scene, "reading", workers))
    areas = np.concatenate([scene.areas for scene in described])
    points = np.concatenate([scene.points for scene in described])
    images = np.repeat(np.arange(len(described)), [len(scene.areas) for scene in described])
    if dataset.kind == "features":
        layers = read_stored_vectors(dataset.hints["features"]["path"]).weighted
        space = fit_vector_space(points, areas, layers)
    else:
        bands = described[0].pixels.shape[2]
        space = fit_space(points, areas, bands, place_weights(points, areas, bands, images))
    return [replace(scene, points=space(scene.points)) for scene in described]


def _read_scene(window: Window) -> Scene:
    """Crop a window to the centre and compute features of its superpixels, which are made if it has none."""
    height, width = window.pixels.shape[:2]
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    box = (slice(top, top + SIDE), slice(left, left + SIDE))
    pixels = window.pixels[box]
    valid = None if window.valid is None else window.valid[box]
    superpixels = window.superpixels
    if superpixels is None:
        aimed = max(1, pixels.shape[0] * pixels.shape[1] // Superpixels.pixels_per_segment)
        regions = slic(pixels, valid, aimed, Superpixels.compactness)
    else:
        regions = contiguous(superpixels[box])
    vectors = None
    if window.features is not None and superpixels is not None:
        vectors = window.features[numbers_before(superpixels[box], regions)]
    points = region_features(pixels, regions) if vectors is None else vectors
    areas = np.bincount(regions[regions >= 0], minlength=len(points)).astype(np.float64)
    return Scene(pixels, valid, regions, points, areas, vectors)


def signs_of(trained: Trained, scenes: Sequence[Scene]) -> ModelSigns:
    """Compute the criteria of a model that need neither other runs nor its history."""
    clusters = trained.classes
    share, doubt, pixels = np.zeros(clusters), 0.0, 0
    pairs = np.zeros((clusters, clusters), np.int64)
    pure = np.zeros(2)
    steps = np.zeros(4)
    maps, members = [], []
    for number, scene in enumerate(scenes):
        valid = np.ones(scene.pixels.shape[:2], np.bool_) if scene.valid is None else scene.valid
        # Per pixel if possible: scores of whole superpixels are pure and follow edges by construction.
        regions = scene.regions if trained.needs_regions else None
        scores = scores_of(trained, scene.pixels, scene.valid, regions, scene.vectors)
        labels = np.where(valid, scores.argmax(axis=0), -1).astype(np.int32)
        again = np.where(valid, _changed_scores(trained, scene, number).argmax(axis=0), -1).astype(np.int32)
        share += scores[:, valid].sum(axis=1, dtype=np.float64)
        doubt += float(signs.entropy(scores[:, valid]).sum(dtype=np.float64))
        pixels += int(valid.sum())
        pairs += signs.pairs_of(labels, again, clusters)
        pure += signs.pure_pixels(labels, scene.regions, clusters)
        steps += signs.edge_steps(scene.pixels, labels)
        maps.append(labels)
        members.append(pool(np.moveaxis(scores, 0, 2), scene.regions, len(scene.points)).argmax(axis=1))
    found = signs.entropies(share / max(1, pixels), doubt / max(1, pixels))
    points = np.concatenate([scene.points for scene in scenes])
    areas = np.concatenate([scene.areas for scene in scenes])
    member = np.concatenate(members)
    some = np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int)
    return ModelSigns(
        {
            "evenness": found.evenness,
            "confidence": found.confidence,
            "information": found.information,
            "agreement": signs.agreement(pairs),
            "beyond-chance": signs.agreement_beyond_chance(pairs),
            "purity": float(pure[0] / max(1, pure[1])),
            "edges": signs.edge_ratio(signs.EdgeSteps(steps[0], int(steps[1]), steps[2], int(steps[3]))),
            "explained": signs.explained(points, member, areas),
            "silhouette": signs.silhouette(points[some], member[some]),
        },
        maps,
    )


def _changed_scores(trained: Trained, scene: Scene, number: int) -> NDArray[np.float32]:
    """Compute the scores of the mirrored, colour-jittered scene, mirrored back: (clusters, height, width)."""
    lit = torch.from_numpy(np.moveaxis(scene.pixels, 2, 0).copy())[None].float() / 255
    inside = None if scene.valid is None else torch.from_numpy(scene.valid)[None]
    if lit.shape[1]:
        lit = jitter(lit, Draws(0, 0, torch.tensor([number])), "judge", LIGHT, valid=inside)
    pixels = (lit[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    valid = None if scene.valid is None else np.ascontiguousarray(scene.valid[:, ::-1])
    regions = np.ascontiguousarray(scene.regions[:, ::-1]) if trained.needs_regions else None
    return scores_of(trained, mirrored, valid, regions, scene.vectors)[:, :, ::-1]


def bound_of(path: str | Path) -> float:
    """Return minus the mean loss of a model's last steps; NaN if the loss was not recorded."""

    with store.open_artifact(path, "model") as artifact:
        if "loss" not in artifact.entries("history"):
            return float("nan")
        losses = artifact.entry("history", "loss")
    return -float(np.nanmean(losses[-max(1, round(LAST * len(losses))) :]))
