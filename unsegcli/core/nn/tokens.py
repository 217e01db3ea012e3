"""A transformer on tokens that have a position in the plane; nothing depends on where an image begins."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

WAVES_PER_SIDE = 0.5  # of the longest wave of the rotary encoding; each next one is twice as fast


class TokenTransformer(nn.Module):
    """Pre-norm transformer blocks with two-dimensional rotary positions."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        if width % (4 * heads):
            raise ValueError(f"width {width} is not a multiple of 4 x {heads} heads")
        self.heads = heads
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, centres: Tensor, present: Tensor) -> Tensor:
        """Relate tokens (batch, tokens, width).

        Args:
            tokens: (batch, tokens, width).
            centres: (batch, tokens, 2) row and column; only differences count.
            present: (batch, tokens), False = padding, which no token sees.
        """
        turns = rotary_angles(centres, tokens.shape[2] // self.heads)
        seen = present[:, None, None, :]
        for block in self.blocks:
            tokens = block(tokens, turns, seen)
        normed: Tensor = self.norm(tokens)
        return normed


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mixing = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, turns: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        parts = self.queries_keys_values(self.before_attention(tokens)).view(batch, count, 3, self.heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(
            rotated(queries, turns), rotated(keys, turns), values, attn_mask=seen
        )
        tokens = tokens + self.out(found.transpose(1, 2).reshape(batch, count, width))
        mixed: Tensor = tokens + self.mixing(self.before_mixing(tokens))
        return mixed


def rotary_angles(centres: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the turn of each pair of dimensions: (batch, 1, tokens, dimensions / 2) each.

    Half of the pairs turn with the row, the other half with the column.
    """
    waves = 2 * math.pi * WAVES_PER_SIDE * 2.0 ** torch.arange(dimensions // 4, device=centres.device)
    angles = torch.cat([centres[..., :1] * waves, centres[..., 1:] * waves], -1)[:, None]
    return angles.cos(), angles.sin()


def rotated(vectors: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of dimensions of vectors (batch, heads, tokens, dimensions)."""
    cosine, sine = turns
    one, other = vectors.chunk(2, -1)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], -1)
