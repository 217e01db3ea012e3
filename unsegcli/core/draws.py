"""Random numbers that depend only on seed, step and sample, not on the batch, the process or earlier draws.

So a training run that is resumed, or distributed over processes, draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """The source of all random numbers of a step, with one stream per sample and purpose."""

    seed: int
    step: int
    index: Tensor  # (batch,) number of each sample

    def uniform(self, purpose: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw uniform numbers (batch, *shape), on the device of `index`."""
        drawn = [generator.uniform(low, high, shape) for generator in self._generators(purpose)]
        return self._on_device(np.asarray(drawn, np.float32))

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Draw standard normal numbers (batch, *shape), on the device of `index`."""
        drawn = [generator.standard_normal(shape, np.float32) for generator in self._generators(purpose)]
        return self._on_device(np.asarray(drawn, np.float32))

    def integers(self, purpose: str, *shape: int, below: int) -> Tensor:
        """Draw integers from 0 (batch, *shape), on the device of `index`."""
        drawn = [generator.integers(below, size=shape) for generator in self._generators(purpose)]
        return torch.from_numpy(np.asarray(drawn, np.int64)).to(self.index.device)

    def kept(self, purpose: str, share: float, *shape: int) -> Tensor:
        """Draw dropout factors (batch, *shape): 0 for a share of the entries, scaled to keep the mean.

        They are drawn on the device for speed, so they differ between kinds of device.
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
