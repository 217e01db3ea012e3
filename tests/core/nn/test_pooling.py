"""Means over superpixels beside a naive loop, and painting as the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from unsegcli.core.nn.pooling import levelled, paint, pool, superpixel_means

COUNT = 7  # the last number has no pixel


def superpixels() -> Tensor:
    return torch.randint(-1, COUNT - 1, (2, 5, 6), generator=torch.Generator().manual_seed(0))


def maps() -> Tensor:
    return torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_means_equal_a_naive_loop() -> None:
    weights = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for given in (None, weights):
        found = pool(maps(), superpixels(), COUNT, given)
        share = torch.ones_like(weights) if given is None else given
        for number in range(COUNT):
            inside = superpixels() == number
            area = float((share * inside).sum())
            torch.testing.assert_close(float(found.areas[number]), area)
            total = (maps() * (share * inside)[:, None]).sum((0, 2, 3))
            torch.testing.assert_close(found.means[number], total / area if area else torch.zeros_like(total))


def test_pooling_what_was_painted_gives_it_back() -> None:
    rows = torch.rand(COUNT, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    painted = paint(rows, superpixels())
    assert painted.shape == (2, 3, 5, 6)
    found = pool(painted, superpixels(), COUNT)
    has_pixels = found.areas > 0
    assert has_pixels.tolist() == [True] * (COUNT - 1) + [False]
    torch.testing.assert_close(found.means[has_pixels], rows[has_pixels])
    assert not found.means[~has_pixels].any()


def test_void_is_painted_zero() -> None:
    painted = paint(torch.ones(COUNT, 2), superpixels())
    torch.testing.assert_close(painted[:, 0] == 0, superpixels() == -1)


def test_gradient_reaches_each_pixel_by_its_share() -> None:
    values = maps().requires_grad_()
    found = pool(values, superpixels(), COUNT)
    found.means.sum().backward()  # type: ignore[no-untyped-call]
    share = torch.where(superpixels() < 0, 0.0, 1 / found.areas[superpixels()])
    torch.testing.assert_close(values.grad, share[:, None].expand(2, 3, 5, 6).double())


def test_all_void_is_finite() -> None:
    found = pool(maps(), torch.full((2, 5, 6), -1), COUNT)
    assert not found.means.any()
    assert not found.areas.any()


def test_levelled_pixels_have_the_mean_of_their_superpixel_and_void_its_own() -> None:
    values = torch.tensor([[[[1.0, 3.0, 5.0, 7.0]], [[0.0, 4.0, 0.0, 1.0]]]])
    found = levelled(values, torch.tensor([[[2, 2, -1, 0]]]), 3)
    assert found.tolist() == [[[[2, 2, 5, 7]], [[2, 2, 0, 1]]]]


def test_means_on_a_coarser_grid_are_of_the_central_pixels_or_of_those_that_a_small_superpixel_lies_in() -> None:
    """Positions of 2 x 2 pixels; superpixel 0 holds the centres of the left ones, 1 is one pixel between centres."""
    maps = torch.tensor([[[[1.0, 10.0], [2.0, 20.0]]]])
    numbers = torch.tensor([[[1, 0, 0, -1], [0, 0, 0, 2], [0, 0, 0, 2], [0, 0, 0, 2]]])
    found = superpixel_means(maps, numbers, 4)
    torch.testing.assert_close(found[:, 0], torch.tensor([1.5, 1.0, 15.0, 0.0]))


def test_void_is_in_no_mean() -> None:
    maps = torch.tensor([[[[1.0, 100.0]]]])
    numbers = torch.tensor([[[0, 0, -1, -1], [0, 0, -1, -1]]])
    torch.testing.assert_close(superpixel_means(maps, numbers, 1), torch.tensor([[1.0]]))
