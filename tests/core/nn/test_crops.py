"""Boxes of chance inside of images, how much of an object they show, and their pixels at one size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unsegcli.core.draws import Draws
from unsegcli.core.nn.crops import random_boxes, resized, resized_masks, shares

SQUARE = (3 / 4, 4 / 3)


def draws(count: int, step: int = 0) -> Draws:
    return Draws(0, step, torch.arange(count))


def boxes(extents: Tensor, count: int = 50, scale: tuple[float, float] = (0.2, 1.0), step: int = 0) -> Tensor:
    return random_boxes(draws(len(extents), step), "boxes", extents, count, scale, SQUARE)


def test_boxes_are_of_the_right_size_shape_and_place() -> None:
    extents = torch.tensor([[60, 80], [200, 150], [33, 31]])
    found = boxes(extents, 400)
    assert found.shape == (3, 400, 4)
    top, left, height, width = (part.double() for part in found.unbind(2))
    high, wide = extents.double()[:, :1], extents.double()[:, 1:]
    assert bool(((top >= 0) & (left >= 0) & (top + height <= high) & (left + width <= wide)).all())
    areas = height * width / (high * wide)
    assert 0.17 < float(areas.min()) < 0.25
    assert float(areas.max()) > 0.8
    assert bool(((width / height > 0.7) & (width / height < 1.42)).all())
    assert int(top.min()) == int(left.min()) == 0, "and they come to every border"
    assert bool(((top + height == high).any(1) & (left + width == wide).any(1)).all())


def test_boxes_of_a_long_image_are_its_centre_if_none_fits() -> None:
    found = boxes(torch.tensor([[10, 100]]), scale=(0.9, 1.0))
    assert found.unique(dim=1).tolist() == [[[0, 43, 10, 13]]]


def test_boxes_follow_from_seed_step_and_sample() -> None:
    extents = torch.tensor([[60, 80], [60, 80]])
    assert torch.equal(boxes(extents), boxes(extents))
    assert not torch.equal(boxes(extents), boxes(extents, step=1))
    assert not torch.equal(boxes(extents)[0], boxes(extents)[1])
    assert torch.equal(boxes(extents)[:1], boxes(extents[:1]))


def test_one_pixel_is_a_image() -> None:
    assert boxes(torch.tensor([[1, 1]]), 3).tolist() == [[[0, 0, 1, 1]] * 3]


def test_shares_against_a_count() -> None:
    masks = torch.rand(2, 12, 17, generator=torch.Generator().manual_seed(0)) > 0.6
    found = boxes(torch.tensor([[12, 17], [12, 17]]), 30)
    for sample in range(2):
        for box, share in zip(found[sample].tolist(), shares(masks, found)[sample].tolist(), strict=True):
            top, left, height, width = box
            part = masks[sample, top : top + height, left : left + width]
            assert share == pytest.approx(float(part.double().mean()), abs=1e-12)


def test_views_by_hand() -> None:
    """The right half of a ramp at half of the size: means of two pixels, and the mask's pixel right of the middle."""
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    box = torch.tensor([[4, 4, 4, 4]])
    plain = resized(ramp, box, 4)
    assert plain[0, 0, 0].tolist() == [4, 5, 6, 7]
    halved = resized(ramp, box, 2)
    assert halved[0, 0, 0].tolist() == pytest.approx([4.6, 6.4], abs=0.15), "smoothed over more than two pixels"
    assert resized_masks(torch.arange(8).expand(1, 8, 8) % 2 == 1, box, 2).tolist() == [[[True, True]] * 2]
    assert resized_masks(torch.arange(8).expand(1, 8, 8) >= 5, box, 8)[0, 0].tolist() == [False] * 2 + [True] * 6


def test_each_image_has_its_own_box() -> None:
    images = torch.arange(2.0)[:, None, None, None] * 100 + torch.arange(36.0).view(1, 1, 6, 6)
    box = torch.tensor([[0, 0, 2, 2], [3, 4, 2, 2]])
    assert resized(images, box, 2)[:, 0].tolist() == [[[0, 1], [6, 7]], [[122, 123], [128, 129]]]
    masks = images[:, 0] > 124
    assert resized_masks(masks, box, 2).tolist() == [[[False] * 2] * 2, [[False] * 2, [True] * 2]]
