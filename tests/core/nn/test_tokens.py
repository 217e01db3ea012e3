"""The transformer on tokens: what it may depend on, and rotary positions by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unsegcli.core.nn.tokens import TokenTransformer, rotary_angles, rotated


def tokens(count: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    return (
        torch.randn(2, count, 16, generator=chance),
        torch.rand(2, count, 2, generator=chance),
        torch.ones(2, count, dtype=torch.bool),
    )


def network() -> TokenTransformer:
    torch.manual_seed(0)
    return TokenTransformer(16, 2, 2).eval()


def test_a_quarter_turn_by_hand() -> None:
    """The slowest wave has half a turn a side: at row 1/2 its pair (1, 0) becomes (0, 1)."""
    turns = rotary_angles(torch.tensor([[[0.5, 0.0]]]), 4)
    found = rotated(torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]]), turns)
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]]), atol=1e-6, rtol=0)


def test_each_wave_is_twice_as_fast() -> None:
    cosine, _ = rotary_angles(torch.tensor([[[0.25, 0.0]]]), 8)
    torch.testing.assert_close(
        cosine[0, 0, 0], torch.tensor([math.cos(math.pi / 4), math.cos(math.pi / 2), 1, 1]), atol=1e-6, rtol=0
    )


@torch.no_grad()
def test_only_differences_of_positions_count() -> None:
    values, centres, present = tokens()
    transform = network()
    torch.testing.assert_close(
        transform(values, centres, present), transform(values, centres + 0.3, present), atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(transform(values, centres, present), transform(values, 2 * centres, present), atol=1e-2)


@torch.no_grad()
def test_order_and_padding_do_not_count() -> None:
    values, centres, present = tokens()
    transform, order = network(), torch.tensor([3, 1, 0, 4, 2])
    whole = transform(values, centres, present)
    torch.testing.assert_close(
        transform(values[:, order], centres[:, order], present), whole[:, order], atol=1e-5, rtol=1e-4
    )
    padded = [torch.cat([part, 9 * torch.ones_like(part[:, :2])], 1) for part in (values, centres)]
    longer = torch.cat([present, torch.zeros(2, 2, dtype=torch.bool)], 1)
    torch.testing.assert_close(transform(*padded, longer)[:, :5], whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_every_token_sees_every_other() -> None:
    values, centres, present = tokens()
    transform = network()
    changed = values.clone()
    changed[:, 0, 0] += 1
    difference = (transform(values, centres, present) - transform(changed, centres, present)).abs().amax(2)
    assert float(difference.min()) > 1e-4


def test_the_width_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="multiple"):
        TokenTransformer(20, 1, 2)
