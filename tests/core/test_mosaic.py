"""Mosaics: the label of every pixel says which texture it was taken from."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.mosaic import FEWEST, MOST, mosaic

# Plain textures far apart in colour: light and tint cannot take one for another.
PLAIN = [np.full((200, 220, 3), colour, np.uint8) for colour in ((150, 0, 0), (0, 150, 0), (0, 0, 150), (60, 60, 60))]


@pytest.mark.parametrize("seed", range(5))
def test_label_names_the_texture(seed: int) -> None:
    image, labels = mosaic(PLAIN, 100, np.random.default_rng(seed))
    assert image.shape == (100, 100, 3)
    assert FEWEST <= len(np.unique(labels)) <= MOST
    for number in np.unique(labels):
        inside = image[labels == number].mean(axis=0)
        nearest = min(range(4), key=lambda n: np.abs(inside - PLAIN[n][0, 0]).sum())
        assert nearest == number


def test_same_seed_same_mosaic() -> None:
    first, again, other = (mosaic(PLAIN, 64, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
