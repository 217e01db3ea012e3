"""Codes of patches: by hand with a small book, and what must not influence them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.superpixels import patches
from unsegcli.core.superpixels.patches import (
    CODES,
    NOISE,
    SIDE,
    PatchBook,
    normalised_patches,
    patch_codes,
    raw_codes,
    shipped_book,
)

LENGTH = SIDE * SIDE


def textured(height: int = 60, width: int = 90) -> NDArray[np.float32]:
    """Lightness of noise on the left, stripes in the middle, nothing on the right."""
    plane = np.full((height, width), 50, np.float32)
    plane[:, :30] += np.random.default_rng(0).normal(0, 15, (height, 30)).astype(np.float32)
    plane[:, 30:60] += np.where(np.arange(height) % 6 < 3, 20, -20).astype(np.float32)[:, None]
    return plane


def thirds(height: int = 60) -> NDArray[np.int32]:
    return np.repeat(np.arange(3, dtype=np.int32), 30)[None].repeat(height, axis=0)


def test_patches_lose_their_mean_and_contrast() -> None:
    plane = textured()
    found = normalised_patches(plane, 1)
    assert found.shape == (plane.size, LENGTH)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-5)
    at = 20 * 90 + 10
    window = plane[17:24, 7:14]
    expected = (window - window.mean()) / (window.std() + NOISE)
    np.testing.assert_allclose(found[at], expected.ravel(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(normalised_patches(plane + 30, 1), found, atol=1e-4)
    assert np.abs(found[20 * 90 + 80]).max() < 1e-5, "flat"
    assert len(normalised_patches(plane[:5, :7], 2)) == 3 * 4


def test_similarities_by_hand() -> None:
    """A book of two patterns, the flat patch and one at distance 7: a flat patch is 3.5 nearer to the first."""
    patterns = np.stack([np.zeros(LENGTH), np.ones(LENGTH)]).astype(np.float32)
    zeros, eye = np.zeros(LENGTH, np.float32), np.eye(LENGTH, dtype=np.float32)
    book = PatchBook(zeros, eye, patterns, np.zeros(4, np.float32), np.eye(4, dtype=np.float32))
    found, known = raw_codes(np.full((20, 30), 50, np.float32), np.zeros((20, 30), np.int32), 1, book)
    np.testing.assert_allclose(found, [[3.5, 0, 3.5, 0]], atol=1e-5)
    assert known.all()


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_the_size_of_blocks_does_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = patch_codes(textured(), thirds(), 3)
    monkeypatch.setattr(patches, "BLOCK", block)
    np.testing.assert_allclose(patch_codes(textured(), thirds(), 3), expected, atol=1e-4)


def test_codes_tell_textures_apart_whatever_their_brightness_and_contrast() -> None:
    plane, regions = textured(), thirds()
    noise, stripes, flat = patch_codes(plane, regions, 3)
    changed = patch_codes(plane * 0.8 + 10, regions, 3)
    apart = min(np.linalg.norm(one - other) for one, other in ((noise, stripes), (noise, flat), (stripes, flat)))
    assert apart > 0.5
    assert np.linalg.norm(changed - [noise, stripes, flat], axis=1).max() < 0.25 * apart


def test_a_region_without_patches_has_no_code() -> None:
    regions = np.zeros((20, 20), np.int32)
    regions[1, 1] = 1  # between the places of all patches
    codes = patch_codes(textured(20, 90)[:, :20], regions, 2)
    assert np.abs(codes[0]).max() > 0
    np.testing.assert_array_equal(codes[1], 0)
    assert patch_codes(textured(20, 90), np.full((20, 90), -1, np.int32), 0).shape == (0, CODES)


def test_drawn_images_have_codes_of_length_one() -> None:
    book = shipped_book()
    assert book.whitening.shape == (LENGTH, LENGTH)
    assert book.components.shape == (2 * len(book.patterns), CODES)
    plane = np.full((64, 64), 50, np.float32)
    plane[:, 32:] = 80
    assert np.linalg.norm(patch_codes(plane, np.zeros((64, 64), np.int32), 1)) < 10
