"""Random numbers that depend on seed, step and sample alone: not on the batch, the process or what was drawn before.

So a training that is resumed, or spread over several processes, draws what an undisturbed one in one process draws.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """The source of all random numbers of a step, one stream for each sample and purpose."""

    seed: int
    step: int
    index: Tensor  # (batch,) number of each sample

    def uniform(self, purpose: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Evenly drawn numbers (batch, *shape), on the device of `index`."""
        drawn = [generator.uniform(low, high, shape) for generator in self._generators(purpose)]
        return self._on_device(np.asarray(drawn, np.float32))

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Numbers of mean 0 and variance 1 (batch, *shape), on the device of `index`."""
        drawn = [generator.standard_normal(shape, np.float32) for generator in self._generators(purpose)]
        return self._on_device(np.asarray(drawn, np.float32))

    def integers(self, purpose: str, *shape: int, below: int) -> Tensor:
        """Whole numbers from 0 (batch, *shape), on the device of `index`."""
        drawn = [generator.integers(below, size=shape) for generator in self._generators(purpose)]
        return torch.from_numpy(np.asarray(drawn, np.int64)).to(self.index.device)

    def kept(self, purpose: str, share: float, *shape: int) -> Tensor:
        """Factors (batch, *shape) that leave out a share of what they are multiplied with, and keep its mean.

        They are drawn on the device, since there are many of them: another kind of device draws others.
        """
        drawn = []
        for generator in self._generators(purpose):
            own = torch.Generator(self.index.device).manual_seed(int(generator.integers(2**62)))
            drawn.append(torch.rand(shape, generator=own, device=self.index.device))
        return (torch.stack(drawn) >= share).float() / (1 - share)

    def _generators(self, purpose: str) -> list[np.random.Generator]:
        salt = zlib.crc32(purpose.encode())
        return [
            np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.seed, self.step, number, salt])))
            for number in self.index.tolist()
        ]

    def _on_device(self, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
        return torch.from_numpy(values).to(self.index.device)
