"""A trained model on one window of a picture: scores, refined and painted as asked, become a map of clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.guided import refined
from unsegcli.core.regions import paint, pool
from unsegcli.params import Learned
from unsegcli.supply import Window
from unsegcli.sweep import Result
from unsegcli.training.trained import Trained, scores_of


def apply_window(window: Window, trained: Trained, params: Learned) -> Result:
    """The clusters of one window, encoded."""
    regions = window.superpixels if params.per == "superpixel" else None
    used = regions if "superpixels" in trained.method.needs else None
    scores = scores_of(trained, window.pixels, window.valid, used, tile=params.tile, flips=params.flips)
    if params.refine:
        scores = refined(scores, window.pixels, window.valid)
    if params.per == "superpixel":
        if regions is None:
            raise ValueError("the window has no superpixels")
        scores = painted(scores, regions)
    valid = np.ones(scores.shape[1:], bool) if window.valid is None else window.valid
    sure = np.where(valid, scores.max(axis=0), 0).astype(np.float32)
    dtype = np.uint8 if trained.classes <= np.iinfo(np.uint8).max else np.uint16
    labels = np.where(valid, scores.argmax(axis=0), np.iinfo(dtype).max).astype(dtype)
    datasets = {"segmentation": store.encode(labels)}
    if params.confidence:
        datasets["confidence"] = store.encode(sure.astype(np.float16))
    return Result(datasets, {"confidence": float(sure[valid].mean()) if valid.any() else 0.0})


def painted(scores: NDArray[np.float32], regions: NDArray[np.int32]) -> NDArray[np.float32]:
    """Each pixel the mean scores of its superpixel: (clusters, height, width)."""
    count = int(regions.max(initial=-1)) + 1
    means = pool(np.moveaxis(scores, 0, 2), regions, count).astype(np.float32)
    return np.moveaxis(paint(means, regions, 0), 2, 0)
