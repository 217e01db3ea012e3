"""A linear probe of pixels: what it can tell apart, where a cell lies, and what counts nowhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from unsegcli.core.nn.pixel_probe import DenseExample, PixelClassifier, PixelTraining, fit_pixels, sampled

HOW = PixelTraining(
    epochs=30, learning_rate=0.5, momentum=0.9, weight_decay=1e-4, batch=4, pixels=64, standardised=True
)


def examples(count: int = 6, scale: float = 1.0, seed: int = 0) -> list[DenseExample]:
    """Maps of 4 x 5 cells of 4 pixels; the left half is class 0 and the right half class 1, by the first dimension."""
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        features = random.normal(0, 0.3, (4, 5, 3))
        features[:, :2, 0] -= 2
        features[:, 2:, 0] += 2
        truth = np.repeat(np.repeat((np.arange(5) >= 2).astype(np.int32)[None], 16, 0), 4, 1)
        found.append(DenseExample((scale * features).astype(np.float16), (4.0, 5.0), truth))
    return found


def right(made: PixelClassifier, given: list[DenseExample]) -> float:
    shares = [(made.classes(one.features, one.spans, one.truth.shape) == one.truth).mean() for one in given]
    return float(np.mean(shares))


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_classes_that_a_line_parts_are_told_apart(scale: float) -> None:
    made = fit_pixels(examples(scale=scale), 2, HOW, 0)
    assert right(made, examples(scale=scale, seed=1)) > 0.97


@pytest.mark.parametrize("pixels", [0, 64])
def test_labels_that_are_missing_count_nowhere(pixels: int) -> None:
    """Half of the images have no label in the right half, and two have none at all: all the same, nobody says 0."""
    given = examples(8)
    for one in given[:4]:
        one.truth[:, 8:] = -1
    for one in given[4:6]:
        one.truth[:] = -1
    made = fit_pixels(given, 2, replace(HOW, pixels=pixels), 0)
    assert right(made, examples(seed=1)) > 0.97


def test_images_of_other_sizes_in_a_batch_are_not_padded_with_a_class() -> None:
    """One image is much larger; its features are opposite to those of small ones, which the padding would hide."""
    given = examples(3)
    large = DenseExample(np.full((20, 20, 3), 4, np.float16), (20.0, 20.0), np.full((80, 80), 1, np.int32))
    made = fit_pixels([*given, large], 2, replace(HOW, pixels=0), 0)
    assert right(made, examples(seed=1)) > 0.97


def test_the_same_seed_gives_the_same_and_each_epoch_is_seen() -> None:
    seen: list[float] = []
    first = fit_pixels(examples(), 2, HOW, 3, lambda made: seen.append(float(made.layer.weight.detach().abs().sum())))
    again = fit_pixels(examples(), 2, HOW, 3)
    assert len(seen) == HOW.epochs
    assert torch.equal(first.layer.weight, again.layer.weight)
    steps = np.abs(np.diff(seen))
    assert steps[-5:].mean() < steps[:5].mean() / 5, "the learning rate falls"
    assert not torch.equal(first.layer.weight, fit_pixels(examples(), 2, HOW, 4).layer.weight)


def test_interpolation_is_that_of_resizing() -> None:
    logits = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.arange(12), torch.arange(16)
    places = torch.cartesian_prod((rows + 0.5) / 4, (columns + 0.5) / 4)[None]
    wanted = functional.interpolate(logits, (12, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(sampled(logits, places).reshape(wanted.shape), wanted)


def test_cells_that_reach_beyond_the_window_are_cut_off() -> None:
    """Two cells of 4 pixels for a window of 6: the border between them is at pixel 4, not at 3."""
    made = fit_pixels(examples(), 2, HOW, 0)
    features = np.zeros((1, 2, 3), np.float16)
    features[0, :, 0] = (-2, 2)
    found = made.classes(features, (1.0, 1.5), (4, 6))
    assert found[0].tolist() == [0, 0, 0, 0, 1, 1]
