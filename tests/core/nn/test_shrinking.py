"""Batches at a part of their resolution, by hand."""

from __future__ import annotations

import pytest
import torch

from unsegcli.core.nn.shrinking import at_middles, shrunk
from unsegcli.methods._contract import Batch


@pytest.mark.parametrize(
    ("pixels", "positions", "middles"), [(16, 4, [2, 6, 10, 14]), (4, 4, [0, 1, 2, 3]), (5, 2, [1, 3]), (1, 1, [0])]
)
def test_a_position_stands_for_the_pixel_at_its_middle(pixels: int, positions: int, middles: list[int]) -> None:
    maps = torch.arange(pixels)[None, :, None] * 100 + torch.arange(2 * pixels)
    found = at_middles(maps, (positions, pixels))
    across = [2 * column + 1 for column in range(pixels)]
    assert found[0].tolist() == [[100 * row + column for column in across] for row in middles]


def test_shrunk_by_hand() -> None:
    """Means of squares, cut at the border, and the pixel left and above the middle of each; nothing else changes."""
    image = torch.arange(15.0).reshape(1, 1, 3, 5)
    numbers = torch.arange(15).reshape(1, 3, 5)
    batch = Batch(image, torch.arange(1), step=4, mask=numbers > 6, superpixels=numbers, superpixel_count=15)
    small = shrunk(batch, 2)
    assert small.images[0, 0].tolist() == [[3, 5, 6.5], [10.5, 12.5, 14]]
    assert small.superpixels is not None
    assert small.superpixels[0].tolist() == [[0, 2, 4], [10, 12, 14]]
    assert small.mask is not None
    assert small.mask[0].tolist() == [[False, False, False], [True, True, True]]
    assert (small.superpixel_count, small.step, small.proposals) == (15, 4, None)
    assert shrunk(batch, 1) is batch


def test_shrunk_of_even_sides_by_hand() -> None:
    numbers = torch.arange(16).reshape(1, 4, 4)
    small = shrunk(Batch(numbers[:, None].float(), torch.arange(1), superpixels=numbers, superpixel_count=16), 2)
    assert small.images[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert small.superpixels is not None
    assert small.superpixels[0].tolist() == [[0, 2], [8, 10]]
