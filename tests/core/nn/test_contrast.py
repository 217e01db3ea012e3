"""The contrast of pixels with objects, and the balanced entropy: by hand, and against naive loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.nn.contrast import balanced_entropy, image_weights, object_means, pixel_contrast

EAST, NORTH, WEST = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([-1.0, 0.0])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chance_case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Vectors, masks, means and earlier objects of three images."""
    vectors, masks = normal(3, 5, 4, 6), normal(3, 4, 6, seed=1) > 0.3
    means = functional.normalize(normal(3, 5, seed=2), dim=1)
    return vectors, masks, means, functional.normalize(normal(7, 5, seed=3), dim=1)


def test_contrast_by_hand() -> None:
    """One pixel of the first image points east and one of the second north, as do their objects; temperature 1/2.

    Logits 2 and 0, and 2 and 0, with an earlier object in the west -2 and 0: ln(1 + e^-2 + e^-4) and ln(1 + 2 e^-2).
    """
    vectors = torch.stack([3 * EAST, 0.1 * NORTH])[:, :, None, None].expand(2, 2, 1, 2)
    masks = torch.tensor([[[True, False]], [[False, True]]])
    both = torch.ones(2, dtype=torch.bool)
    found = pixel_contrast(vectors, masks, torch.stack([EAST, NORTH]), both, WEST[None], 0.5)
    first, second = math.log(1 + math.exp(-2) + math.exp(-4)), math.log(1 + 2 * math.exp(-2))
    assert float(found) == pytest.approx((first + second) / 2, abs=1e-6)


def test_objects_of_the_same_image_are_left_out() -> None:
    """The first case, but the second crop and the earlier object are of the image of the first crop: no loss there."""
    vectors = torch.stack([3 * EAST, 0.1 * NORTH])[:, :, None, None].expand(2, 2, 1, 2)
    masks = torch.tensor([[[True, False]], [[False, True]]])
    both, same = torch.ones(2, dtype=torch.bool), torch.tensor([[True, True, True], [False, True, False]])
    found = pixel_contrast(vectors, masks, torch.stack([EAST, NORTH]), both, WEST[None], 0.5, same)
    assert float(found) == pytest.approx(math.log(1 + 2 * math.exp(-2)) / 2, abs=1e-6)


def test_contrast_against_a_loop() -> None:
    vectors, masks, means, others = chance_case()
    found = pixel_contrast(vectors, masks, means, torch.ones(3, dtype=torch.bool), others, 0.3)
    columns = torch.cat([means, others])
    foreground = int(masks.sum())
    above = below = 0.0
    for image in range(3):
        weight = 1 / math.log(1.02 + int(masks[image].sum()) / foreground)
        for row in range(4):
            for column in range(6):
                if masks[image, row, column]:
                    vector = vectors[image, :, row, column]
                    logits = [float(vector @ one) / float(vector.norm()) / 0.3 for one in columns]
                    above += weight * (math.log(sum(map(math.exp, logits))) - logits[image])
                    below += weight
    assert float(found) == pytest.approx(above / below, rel=1e-9)


def test_clear_cases_have_no_loss_left() -> None:
    """Objects at right angles, pixels that are their object's, and a low temperature."""
    vectors = torch.stack([EAST, NORTH, WEST])[:, :, None, None].expand(3, 2, 2, 2)
    means = torch.stack([EAST, NORTH, WEST])
    usable, masks = torch.ones(3, dtype=torch.bool), torch.ones(3, 2, 2, dtype=torch.bool)
    assert float(pixel_contrast(vectors, masks, means, usable, means[:0], 0.01)) < 1e-6


def test_gradient_reaches_foreground_pixels_alone() -> None:
    vectors, masks, means, others = chance_case()
    vectors.requires_grad_()
    usable = torch.tensor([True, True, False])
    pixel_contrast(vectors, masks, means, usable, others, 0.5).backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    reached = vectors.grad.abs().sum(1) > 0
    assert torch.equal(reached, masks & usable[:, None, None])


def test_a_image_without_an_object_is_not_there() -> None:
    vectors, masks, means, others = chance_case()
    usable = torch.tensor([True, False, True])
    found = pixel_contrast(vectors, masks, means, usable, others, 0.5)
    without = pixel_contrast(vectors[[0, 2]], masks[[0, 2]], means[[0, 2]], torch.ones(2).bool(), others, 0.5)
    assert float(found) == pytest.approx(float(without))
    none = pixel_contrast(vectors.requires_grad_(), masks & False, means, usable & False, others, 0.5)
    assert float(none.detach()) == 0
    none.backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_weights_of_images_by_hand() -> None:
    """An image with a thirty-second of the foreground has about 20, one with a tenth about 8.8."""
    weights = image_weights(torch.tensor([10, 32, 278]))
    assert weights[:2].tolist() == pytest.approx([1 / math.log(1.02 + 1 / 32), 1 / math.log(1.12)])
    assert weights[:2].tolist() == pytest.approx([20.0, 8.82], abs=0.05)


def test_means_of_objects_by_hand() -> None:
    """Two pixels of different lengths, east and north: their mean points between; what is background has no part."""
    vectors = torch.stack([5 * EAST, 0.2 * NORTH, 9 * WEST]).T[None, :, None]
    found = object_means(vectors, torch.tensor([[[True, True, False]]]))
    assert found[0].tolist() == pytest.approx([math.sqrt(0.5), math.sqrt(0.5)])
    assert object_means(vectors, torch.zeros(1, 1, 3).bool()).tolist() == [[0, 0]]


def test_balanced_entropy_is_its_closed_form() -> None:
    logits, masks = normal(2, 3, 4), normal(2, 3, 4, seed=1) > 0.5
    share = float((~masks).double().mean())
    odds = logits.sigmoid()
    wanted = torch.where(masks, -share * odds.log(), -(1 - share) * (1 - odds).log()).mean()
    assert float(balanced_entropy(logits, masks)) == pytest.approx(float(wanted))


def test_void_has_no_part_in_the_entropy() -> None:
    logits, masks = normal(1, 2, 6), torch.tensor([[[1, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]]]).bool()
    valid = torch.tensor([[[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]]]).bool()
    found = balanced_entropy(logits, masks, valid)
    assert float(found) == pytest.approx(float(balanced_entropy(logits[..., :3], masks[..., :3])))
    assert float(balanced_entropy(logits, masks, valid & False)) == 0


def test_no_wrong_answer_pays() -> None:
    """A map that says nothing has the same loss for objects of any size: each side has half of the weight."""
    for pixels in (1, 8, 15):
        masks = (torch.arange(16) < pixels).view(1, 4, 4)
        share = pixels / 16
        found = float(balanced_entropy(torch.zeros(1, 4, 4, dtype=torch.float64), masks))
        assert found == pytest.approx(2 * share * (1 - share) * math.log(2))
        lazy = [float(balanced_entropy(torch.full((1, 4, 4), value), masks)) for value in (-3.0, 3.0)]
        assert lazy[0] == pytest.approx(lazy[1])
