"""Affine changes: single ones by hand, and the way back inside the mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unsegcli.core.draws import Draws
from unsegcli.core.nn.warp import affine, drawn_affine, inverse, seen, there_and_back, warp


def change(**parts: object) -> Tensor:
    """One matrix (1, 2, 3), of the identity but for what is named."""
    base = {
        "turn": torch.zeros(1),
        "scale": torch.ones(1),
        "shift": torch.zeros(1, 2),
        "shear": torch.zeros(1),
        "flip": torch.zeros(1, dtype=torch.bool),
    }
    return affine(**{**base, **{name: torch.tensor([value]) for name, value in parts.items()}})


def image(size: int = 8) -> Tensor:
    return torch.rand(1, 2, size, size, generator=torch.Generator().manual_seed(0)) + 0.1


def test_no_change_is_the_identity_and_all_is_seen() -> None:
    torch.testing.assert_close(warp(image(), change()), image())
    assert bool(seen(image(), change()).all())
    assert bool(there_and_back(image(), change()).all())


def test_flip_is_a_flip() -> None:
    torch.testing.assert_close(warp(image(), change(flip=True)), image().flip(3), atol=1e-5, rtol=0)


def test_quarter_turn_is_a_quarter_turn() -> None:
    turned = warp(image(), change(turn=90.0))
    expected = torch.rot90(image(), 1, (2, 3))
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_shift_by_a_quarter_shows_what_lies_right_of_it() -> None:
    # A quarter of 8 pixels is 2: the new column 0 is the old column 2, and the last two show nothing.
    shifted = warp(image(), change(shift=[0.25, 0.0]))
    torch.testing.assert_close(shifted[..., :6], image()[..., 2:], atol=1e-5, rtol=0)
    assert float(shifted[..., 6:].abs().max()) < 1e-5
    assert seen(image(), change(shift=[0.25, 0.0]))[0, 0].tolist() == [True] * 6 + [False] * 2


def test_outside_is_black_or_the_mirror_image() -> None:
    # Columns 8 and 9 of the old image mirror its columns 7 and 6.
    shifted = warp(image(), change(shift=[0.25, 0.0]), mirrored=True)
    expected = torch.cat([image()[..., 2:], image()[..., [7, 6]]], 3)
    torch.testing.assert_close(shifted, expected, atol=1e-5, rtol=0)


def test_scale_two_shows_the_middle_half() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    # The new pixels' centres 3 and 4 lie a quarter of a pixel on either side of the middle, 3.5.
    assert warp(ramp, change(scale=2.0))[0, 0, 3, 3:5].tolist() == pytest.approx([3.25, 3.75])


@pytest.mark.parametrize("seed", range(6))
def test_there_and_back_inside_the_mask(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.rand(6, 1, generator=generator) - 1
    matrices = affine(
        30 * values[0], 1 + 0.3 * values[1], 0.1 * torch.stack([values[2], values[3]], 1), 15 * values[4], values[5] > 0
    )
    both = torch.cat([matrices[:, :, :2] @ inverse(matrices)[:, :, :2], inverse(inverse(matrices)) - matrices], 2)
    torch.testing.assert_close(both[0, :, :2], torch.eye(2), atol=1e-5, rtol=0)
    assert float(both[0, :, 2:].abs().max()) < 1e-5
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    ramp = torch.stack([rows, columns, rows * 0.5 + columns * 0.25])[None]  # straight: interpolation is exact
    known = there_and_back(ramp, matrices)[0]
    back = warp(warp(ramp, matrices), inverse(matrices))[0]
    assert 0.2 < float(known.float().mean()) < 1
    assert float((back - ramp[0]).abs()[:, known].max()) < 1 / 31 / 10  # a tenth of a pixel


def test_nearest_keeps_labels() -> None:
    labels = torch.randint(0, 5, (1, 1, 16, 16), generator=torch.Generator().manual_seed(0)).float()
    found = warp(labels, change(turn=17.0, scale=1.3), nearest=True)
    assert set(found.unique().tolist()) <= set(labels.unique().tolist()) | {0.0}


def test_each_sample_has_its_own_change() -> None:
    images = image().expand(2, -1, -1, -1)
    matrices = torch.cat([change(), change(flip=True)])
    torch.testing.assert_close(warp(images, matrices)[0], images[0])
    torch.testing.assert_close(warp(images, matrices)[1], images[1].flip(2), atol=1e-5, rtol=0)


def test_drawn_changes_stay_within_their_bounds() -> None:
    draws = Draws(0, 0, torch.arange(200))
    still: dict[str, Any] = {"turn": 0.0, "zoom": 0.0, "shift": 0.0, "shear": 0.0, "flip": False}
    torch.testing.assert_close(drawn_affine(draws, "a", **still), change().expand(200, 2, 3))
    zoomed = drawn_affine(draws, "a", **{**still, "zoom": 0.2, "flip": True})
    sides = zoomed[:, 0, 0]
    assert 0.35 < float((sides < 0).double().mean()) < 0.65
    assert 1 / 1.2 <= float(sides.abs().min()) < 0.86
    assert 1.2 < float(sides.abs().max()) <= 1 / 0.8
    shifted = drawn_affine(draws, "a", **{**still, "shift": 0.1})[:, :, 2]
    assert 0.18 < float(shifted.abs().max()) <= 0.2  # of positions from -1 to 1
    assert torch.equal(shifted, drawn_affine(draws, "a", **{**still, "shift": 0.1})[:, :, 2])
    assert not torch.equal(shifted, drawn_affine(draws, "b", **{**still, "shift": 0.1})[:, :, 2])
