"""The guide: its term and its weight by hand, and that without it the terms of a method are its own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from toy import regions_of

from unsegcli.core.nn.grouping import FirstGrouping
from unsegcli.methods._contract import Batch
from unsegcli.methods._guide import GuideSettings, fading, first_grouping, guidance, with_guide

LN2 = math.log(2)


class Network(nn.Module):
    """Nothing but the grouping."""

    def __init__(self, first: FirstGrouping | None) -> None:
        super().__init__()
        self.first = first


def two_superpixels() -> tuple[Batch, Tensor]:
    """Superpixel 0 of three dark pixels and (3/4, 1/4), superpixel 1 of one bright pixel and (1/2, 1/2)."""
    images = torch.zeros(1, 3, 2, 2)
    images[:, :, 1, 1] = 1.0
    regions = torch.tensor([[[0, 0], [0, 1]]])
    posteriors = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log().requires_grad_()
    known = regions_of(images, regions, 2)
    batch = Batch(
        images, torch.arange(1), superpixels=regions, superpixel_count=2, progress=0.75, regions=known
    )  # fmt: skip
    return batch, posteriors


def grouped(batch: Batch) -> FirstGrouping:
    """Superpixel 0 is in cluster 1, and superpixel 1 in cluster 0."""
    first = FirstGrouping(2, 3, 1, 1)
    assert float(guidance(first, torch.zeros(2, 2), batch)) == 0  # it is only remembered
    assert first.ready
    assert batch.regions is not None
    order = first.assign(batch.regions.features)
    assert sorted(order.tolist()) == [0, 1]
    if order.tolist() == [0, 1]:
        first.centres.copy_(first.centres[[1, 0]])
    return first


def test_the_term_by_hand() -> None:
    """Superpixel 0 (area 3, probability 1/4 of its cluster, 1) and 1 (area 1, probability 1/2 of its own, 0):
    (3 ln 4 + ln 2) / 4."""
    batch, posteriors = two_superpixels()
    lost = guidance(grouped(batch), posteriors, batch)
    assert float(lost.detach()) == pytest.approx((3 * math.log(4) + LN2) / 4)
    lost.backward()
    assert posteriors.grad is not None
    torch.testing.assert_close(posteriors.grad, torch.tensor([[0.0, -0.75], [-0.25, 0.0]]))


def test_the_term_is_added_by_its_weight() -> None:
    """At three quarters of the training 2 has fallen half of its way to 1: 10 + 1.5 (3 ln 4 + ln 2) / 4."""
    batch, posteriors = two_superpixels()
    terms = {"loss": torch.tensor(10.0), "other": torch.tensor(3.0)}
    config = GuideSettings(classes=2, guide=2.0, guided=0.5, guide_end=1.0)
    found = with_guide(terms, Network(grouped(batch)), batch, config, lambda: posteriors)
    assert list(found) == ["loss", "other", "guide"]
    assert float(found["loss"].detach()) == pytest.approx(10 + 1.5 * (3 * math.log(4) + LN2) / 4)
    assert float(terms["loss"]) == 10


def test_without_it_the_terms_are_those_of_the_method() -> None:
    batch, _ = two_superpixels()
    terms = {"loss": torch.tensor(10.0)}

    def asked() -> Tensor:
        raise AssertionError("the posteriors are not wanted")

    for config, first in (
        (GuideSettings(guide=0.0), first_grouping(GuideSettings(guide=0.0), 3)),
        (GuideSettings(guide=1.0, guided=0.0, guide_end=-2.0), grouped(batch)),  # at 0 after half of the fall
    ):
        moment = Batch(batch.images, batch.index, progress=1 / 3)
        assert with_guide(terms, Network(first), moment, config, asked) is terms


def test_a_grouping_is_as_large_as_the_settings_say() -> None:
    first = first_grouping(GuideSettings(classes=5, batch=3, guide_batches=2), 4)
    assert first is not None
    assert (first.clusters, first.channels, first.batches) == (5, 4, 2)


def test_superpixels_are_needed() -> None:
    batch, posteriors = two_superpixels()
    with pytest.raises(ValueError, match="superpixels"):
        guidance(FirstGrouping(2, 3, 1, 1), posteriors, Batch(batch.images, batch.index))


@pytest.mark.parametrize(
    ("guided", "progress", "expected"),
    [(0.5, 0, 2), (0.5, 0.5, 2), (0.5, 0.75, 1.25), (0.5, 1, 0.5), (0, 0, 2), (0, 0.5, 1.25), (1, 0.9, 2), (1, 1, 2)],
)
def test_a_weight_stands_and_then_falls(guided: float, progress: float, expected: float) -> None:
    assert fading(progress, 2.0, guided, 0.5) == pytest.approx(expected)
