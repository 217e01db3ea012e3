"""Probe dense features: train a linear classifier of pixels on some images, and count what it predicts in others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unsegcli import console
from unsegcli.core.nn.pixel_probe import DenseExample, PixelClassifier, PixelTraining, fit_pixels
from unsegcli.core.scoring.confusion import CountMatrix, confusion
from unsegcli.core.scoring.scores import mean_iou
from unsegcli.errors import DataError
from unsegcli.params import Probe
from unsegcli.segmenters.pixel_features import PixelImage, PixelImages, predicted_map, truth_of_window
from unsegcli.segmenters.subjects import Directions

EPOCHS = 60


def training_of(params: Probe) -> PixelTraining:
    """Return how the classifier is trained."""
    return PixelTraining(
        epochs=EPOCHS if params.epochs is None else round(params.epochs),
        learning_rate=params.learning_rate,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        batch=params.batch,
        pixels=params.pixels,
        standardised=params.standardise,
    )


def probe_pixels(
    found: PixelImages, name: str, parts: Directions, classes: int, how: PixelTraining, params: Probe
) -> CountMatrix:
    """Train on some images and score others, for each pair of them: (classes + 1, classes), predicted and true."""
    total = np.zeros((classes + 1, classes), np.int64)
    with console.progress(len(parts), "training classifiers", "classifier") as bar:
        for fit_on, score_on in parts:
            total += _probed(found.of(fit_on), found.of(score_on), name, classes, how, params)
            bar.update()
    return total


def _probed(
    training: Sequence[PixelImage],
    scored: Sequence[PixelImage],
    name: str,
    classes: int,
    how: PixelTraining,
    params: Probe,
) -> CountMatrix:
    examples = [
        DenseExample(window.dense[name].values, window.dense[name].spans, truth_of_window(image, window))
        for image in training
        for window in image.windows
    ]
    if not any((one.truth >= 0).any() for one in examples):
        raise DataError("the images that are learned from have no labelled pixel: label more images")
    best: list[CountMatrix] = []

    def keep_best(classifier: PixelClassifier) -> None:
        matrix = _counted(scored, name, classes, classifier)
        if not best or mean_iou(matrix) > mean_iou(best[0]):
            best[:] = [matrix]

    epochs = max(how.epochs, -(-params.least_steps // -(-len(examples) // how.batch)))
    how = how if params.epochs is not None else replace(how, epochs=epochs)
    classifier = fit_pixels(examples, classes, how, params.seed, keep_best if params.best_epoch else None)
    return best[0] if best else _counted(scored, name, classes, classifier)


def _counted(scored: Sequence[PixelImage], name: str, classes: int, classifier: PixelClassifier) -> CountMatrix:
    total = np.zeros((classes + 1, classes), np.int64)
    for image in scored:
        each = [(window.dense[name], window.size) for window in image.windows]
        maps = [classifier.classes(dense.values, dense.spans, size) for dense, size in each]
        total += confusion(predicted_map(image, maps), image.truth, classes, classes, void=-1)
    return total


def largest_of(found: PixelImages, parts: Directions, classes: int) -> CountMatrix:
    """Count what giving the most frequent class of some images to all pixels of others gives."""
    total = np.zeros((classes + 1, classes), np.int64)
    for fit_on, score_on in parts:
        known, true = (
            np.sum([np.bincount(one.truth[one.truth >= 0], minlength=classes) for one in found.of(part)], axis=0)
            for part in (fit_on, score_on)
        )
        total[int(known.argmax())] += true
    return total
