"""What is said of a training without labels, by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import make_network, tiny, toy_batch, users_method

from unsegcli.methods._contract import Batch, Embedded
from unsegcli.methods._load import find_method, method_names
from unsegcli.training.monitor import cluster_stats_of, grouping_warning, measure, object_stats_of


def test_sight_by_hand() -> None:
    """Shares 5/8, 2/8, 1/8 and 0 of four clusters: three have a tenth of a quarter; entropy 0.90026 of ln 4."""
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    again = torch.tensor([0, 0, 0, 0, 1, 1, 1, 3])
    stats = cluster_stats_of(labels, again, 4)
    assert (stats.live, stats.largest, stats.agreement) == (3, 5 / 8, 6 / 8)
    entropy = -(5 / 8 * math.log(5 / 8) + 2 / 8 * math.log(2 / 8) + 1 / 8 * math.log(1 / 8))
    assert entropy == pytest.approx(0.90026, abs=1e-5)
    assert stats.evenness == pytest.approx(entropy / math.log(4))
    assert stats.warning(4) == ""


def test_a_cluster_of_a_hundredth_is_dead() -> None:
    labels = torch.cat([torch.zeros(50), torch.ones(48), torch.full((2,), 2)]).long()
    assert cluster_stats_of(labels, labels, 4).live == 2  # a tenth of a quarter is 0.025


def test_collapse_is_said_with_what_to_try() -> None:
    labels = torch.zeros(100, dtype=torch.int64)
    labels[:3] = 1
    stats = cluster_stats_of(labels, labels, 4)
    text = stats.warning(4)
    assert "1 of 4 live" in text.replace("2 of 4", "1 of 4")
    assert all(word in text for word in ("collapsed", "97%", "--seed", "learning_rate", "batch"))
    alone = cluster_stats_of(torch.zeros(9, dtype=torch.int64), torch.zeros(9, dtype=torch.int64), 4)
    assert (alone.evenness, alone.live, str(alone.evenness)) == (0, 1, "0.0")
    assert alone.warning(4)


def test_one_cluster_is_no_collapse() -> None:
    labels = torch.zeros(9, dtype=torch.int64)
    stats = cluster_stats_of(labels, labels, 1)
    assert (stats.evenness, stats.warning(1)) == (1, "")


def test_cluster_stats_of_objects_by_hand() -> None:
    """Three images of four pixels: objects to the east, to the north, and none; the last pixel is void."""
    vectors = torch.zeros(3, 2, 1, 4)
    vectors[0, 0], vectors[1, 1] = 5, 0.1
    objectness = torch.tensor([[[1.0, 1, -1, 1]], [[2, -1, -1, 1]], [[-1, -1, -1, -1]]])
    again = torch.tensor([[[1.0, -1, -1, -1]], [[2, -1, -1, 1]], [[1, -1, -1, -1]]])
    inside = torch.ones(3, 1, 4, dtype=torch.bool)
    inside[:, :, 3] = False
    stats = object_stats_of(Embedded(vectors, objectness), again, inside)
    assert (stats.foreground, stats.agreement, stats.likeness) == pytest.approx((3 / 9, 7 / 9, 0))
    assert stats.text(8) == "33% foreground, agreement 78%, likeness 0.00"
    assert stats.warning(8) == ""
    vectors[1] = vectors[0]
    alike = object_stats_of(Embedded(vectors, objectness), again, inside)
    assert alike.likeness == pytest.approx(1)
    assert "are too similar" in alike.warning(8)
    assert alike.warning(1) == "", "one cluster is wanted"


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_all_or_nothing_is_warned_about(value: float) -> None:
    logits, inside = torch.full((2, 3, 3), value), torch.ones(2, 3, 3, dtype=torch.bool)
    stats = object_stats_of(Embedded(torch.rand(2, 4, 3, 3), logits), logits, inside)
    assert stats.foreground == (value > 0)
    assert "of all pixels as object" in stats.warning(8)
    assert "rate" in stats.warning(8)


@pytest.mark.parametrize("name", method_names())
def test_looking_changes_nothing(name: str) -> None:
    loaded = find_method(name)
    if hasattr(loaded.module, "finish"):
        pytest.skip("has no clusters to look at during training")
    config = tiny(loaded)
    network, batch = make_network(loaded, config), toy_batch(loaded, config)
    network(batch.images)  # running statistics that are not those of the start
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first, again = (measure(loaded.module, network, batch, config) for _ in range(2))
    assert first == again
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_agreement_is_of_the_same_pixels(tmp_path: Path) -> None:
    """A map that knows left from right disagrees with its mirror image everywhere; void is not looked at."""
    loaded = find_method(str(users_method(tmp_path)))
    config = tiny(loaded, classes=2)

    class Sides:
        @staticmethod
        def cluster_scores(network: nn.Module, batch: Batch, config: Any) -> Tensor:
            columns = torch.arange(batch.images.shape[3]) >= batch.images.shape[3] // 2
            right = columns.expand(len(batch.images), 1, batch.images.shape[2], -1).float()
            return torch.cat([1 - right, right], 1)

    batch = toy_batch(loaded, config)
    stats = measure(Sides, nn.Identity(), batch, config)  # type: ignore[arg-type]
    assert (stats.agreement, stats.evenness) == (0, pytest.approx(1))
    mask = torch.zeros(4, 16, 16, dtype=torch.bool)
    mask[:, :, 12:] = True
    half = measure(Sides, nn.Identity(), toy_batch(loaded, config, mask=mask), config)  # type: ignore[arg-type]
    assert (half.largest, half.agreement) == (1, 0)


@pytest.mark.parametrize("steps", range(2, 6))
def test_a_grouping_that_never_acted_is_warned_about(steps: int) -> None:
    """It is made of the first 4 steps, so that it acts from step 5 on."""
    loaded = find_method("inmars")
    config = tiny(loaded, guide_batches=4)
    network = make_network(loaded, config)
    for step in range(steps):
        loaded.module.loss(network, toy_batch(loaded, config, step=step), config)
    warning = grouping_warning(network, steps)
    assert ("first 4 steps" in warning) is (steps < 5)
    assert (f"the training had {steps}. " in warning) is (steps < 5)
    without = tiny(loaded, guide=0.0)
    assert not grouping_warning(make_network(loaded, without), steps)


def test_void_stays_black_in_the_changed_images(tmp_path: Path) -> None:
    loaded = find_method(str(users_method(tmp_path)))
    shown: list[Tensor] = []

    class Noted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            shown.append(images)
            return images

    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    mask[:, :, :6] = False
    batch = toy_batch(find_method("iic"), tiny(find_method("iic")), mask=mask)
    batch = Batch(**{**vars(batch), "images": batch.images * mask[:, None]})
    measure(loaded.module, Noted(), batch, loaded.module.Config())
    assert len(shown) == 2
    assert not bool(shown[1].flip(3)[:, :, :, :6].any())
