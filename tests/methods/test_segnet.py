"""SegNet: the loss by hand, what an image counts, its own answer in the target, images and masks moved together."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import toy_batch

from unsegcli.errors import ConfigError
from unsegcli.methods import segnet
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import config_from, find_method, settings_of
from unsegcli.presets import read_preset
from unsegcli.training.optim import check_settings

STILL = segnet.Config(zoom=0, flip=False, brightness=0, contrast=0, saturation=0, hue=0)
LOADED = find_method("segnet")


class Told(nn.Module):
    """Its answer is the first band, as a logit from -4 to 4."""

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, height, width)."""
        return 8 * images[:, 0] - 4


def batch_of(images: Tensor, masks: Tensor, **more: Any) -> Batch:
    return Batch(images, torch.arange(len(images)), **{"proposals": masks, **more})


def row(*values: float) -> Tensor:
    """An image (1, 1, 1, width) of one row."""
    return torch.tensor(values, dtype=torch.float32)[None, None, None]


def term(logit: float, wanted: float) -> float:
    """Binary cross entropy."""
    probability = 1 / (1 + math.exp(-logit))
    return -wanted * math.log(probability) - (1 - wanted) * math.log(1 - probability)


def loss(batch: Batch, **settings: Any) -> dict[str, float]:
    terms = segnet.loss(Told(), batch, dataclasses.replace(STILL, **settings))
    return {name: float(value) for name, value in terms.items()}


def test_loss_by_hand() -> None:
    # Logits -4, 0, 2 and 4, of which the last two are taken for object; wanted are background, object, background and
    # object: two of four pixels differ.
    batch = batch_of(row(0, 0.5, 0.75, 1), torch.tensor([[[False, True, False, True]]]))
    expected = (term(-4, 0) + term(0, 1) + term(2, 0) + term(4, 1)) / 4
    assert loss(batch) == pytest.approx({"loss": expected, "differs": 0.5}, abs=1e-6)


def test_void_pixels_count_nothing() -> None:
    valid = torch.tensor([[[True, True, False, False]]])
    batch = batch_of(row(0, 0.5, 0.75, 1), torch.tensor([[[False, True, False, False]]]), mask=valid)
    assert loss(batch)["loss"] == pytest.approx((term(-4, 0) + term(0, 1)) / 2, abs=1e-6)
    assert loss(batch_of(row(0, 1), torch.zeros(1, 1, 2).bool(), mask=torch.zeros(1, 1, 2).bool()))["loss"] == 0


@pytest.mark.parametrize(("trust", "weights"), [(0, (1, 1)), (1, (0.5, 0.25)), (2, (0.25, 0.0625))])
def test_a_image_counts_by_its_confidence(trust: float, weights: tuple[float, float]) -> None:
    images = torch.cat([row(0, 0), row(1, 1)])
    batch = batch_of(images, torch.ones(2, 1, 2).bool(), confidence=torch.tensor([0.5, 0.25]))
    expected = (weights[0] * term(-4, 1) + weights[1] * term(4, 1)) / 2
    assert loss(batch, trust=trust)["loss"] == pytest.approx(expected, rel=1e-5)
    without = dataclasses.replace(batch, confidence=None)
    assert loss(without, trust=trust)["loss"] == pytest.approx((term(-4, 1) + term(4, 1)) / 2, rel=1e-5)


def test_own_answer_comes_in_as_the_training_goes_on() -> None:
    batch = batch_of(row(1, 1), torch.tensor([[[True, False]]]))
    for progress, share in ((0, 0), (0.5, 0.2), (1, 0.4)):
        expected = (term(4, 1) + term(4, share)) / 2
        now = dataclasses.replace(batch, progress=progress)
        assert loss(now, bootstrap=0.4)["loss"] == pytest.approx(expected, rel=1e-5)


def test_image_mask_and_void_move_together() -> None:
    """Where the mask is the bright side, it is so after any move; the border between both may be a pixel off."""
    random = torch.Generator().manual_seed(0)
    border = torch.randint(8, 24, (16,), generator=random)
    masks = torch.arange(32)[None, None] >= border[:, None, None].expand(16, 32, 1)
    valid = torch.arange(32)[None, :, None].expand(16, 32, 32) < 28
    moving = dataclasses.replace(STILL, zoom=0.5, flip=True)
    batch = batch_of(masks[:, None].float(), masks, mask=valid)
    images, wanted, still_valid = segnet._seen(batch, moving)
    sure = still_valid.bool() & ((images[:, 0] < 0.01) | (images[:, 0] > 0.99))
    assert torch.equal(images[:, 0][sure].round(), wanted[sure])
    assert not torch.equal(wanted, masks.float())
    assert float(images[~still_valid[:, None].bool()].abs().sum()) == 0
    assert 0.5 < float(still_valid.mean()) < 0.95
    assert 0.8 < float(sure.sum() / still_valid.sum()) <= 1


def test_nothing_moves_where_nothing_shall() -> None:
    batch = toy_batch(LOADED, segnet.Config(crop=16, batch=4))
    images, wanted, valid = segnet._seen(batch, STILL)
    torch.testing.assert_close(images, batch.images, atol=1e-5, rtol=0)
    assert batch.proposals is not None
    assert torch.equal(wanted, batch.proposals.float())
    assert bool(valid.all())


def test_batches_hold_the_confidence() -> None:
    batch = toy_batch(LOADED, segnet.Config(crop=16, batch=4))
    assert batch.confidence is not None
    assert batch.confidence.tolist() == [1.0] * 4


def test_a_batch_without_masks_is_an_error() -> None:
    with pytest.raises(ConfigError, match="object masks"):
        segnet.loss(Told(), Batch(row(0, 1), torch.arange(1)), STILL)


def test_wrong_architecture_lists_the_right_ones() -> None:
    with pytest.raises(ConfigError, match="small, pyramid"):
        segnet.Network(segnet.Config(architecture="large"), 3)


def test_scores_are_background_then_object() -> None:
    scores = segnet.cluster_scores(Told(), batch_of(row(0, 1), torch.zeros(1, 1, 2).bool()), STILL)
    assert scores[0, 1, 0].tolist() == pytest.approx([1 / (1 + math.exp(4)), 1 / (1 + math.exp(-4))])
    assert torch.equal(scores.sum(1), torch.ones(1, 1, 2))


def test_preset_is_the_pyramid_at_128_pixels() -> None:
    config = settings_of(LOADED, "iem")
    check_settings(config)
    assert config == config_from(LOADED, read_preset("segnet", "segnet-iem"))
    assert sum(weight.numel() for weight in segnet.Network(config, 3).parameters()) == 272_901
    assert (config.classes, config.crop, config.trust) == (2, 128, 0)
