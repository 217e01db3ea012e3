"""Which crops make up each step, and their assembly ahead of time; all of it follows from seed and step alone."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsegcli.methods._contract import Batch
from unsegcli.training.data import Pool, TrainingImage

AHEAD = 3  # batches that wait for the network
CROP, ORDER = 1, 2  # purposes of random draws


@dataclass(frozen=True)
class Batches:
    """The batches of one training, of one of its processes."""

    pool: Pool
    size: int  # crops in a step, over all processes
    crop: int  # side of the crops
    seed: int
    steps: int
    needs: tuple[str, ...] = ()
    rank: int = 0
    ranks: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the crops; images that are smaller are filled up with void."""
        height, width = self.pool.largest
        return min(self.crop, height), min(self.crop, width)

    def samples(self, step: int) -> range:
        """The numbers of this process's samples in a step, counted through the whole training."""
        share = self.size // self.ranks
        first = step * self.size + self.rank * share
        return range(first, first + share)

    def at(self, step: int) -> Batch:
        """The batch of a step, in memory."""
        return self._of(self.samples(step), step)

    def one_pass(self, device: torch.device) -> Iterator[Batch]:
        """The crops of epoch 0 in its order, on the device, each batch made when it is asked for.

        The same in every process, which sees those of all; the last batch may be smaller.
        """
        count = len(self.pool.images)
        for step, first in enumerate(range(0, count, self.size)):
            batch = self._of(range(first, min(first + self.size, count)), step)
            yield replace(on_device(batch, device), progress=0.0)

    def _of(self, samples: range, step: int) -> Batch:
        crops = [self._crop(number) for number in samples]
        pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2)
        return Batch(
            images=pixels,  # bytes until they are on the device
            index=torch.tensor(list(samples)),
            seed=self.seed,
            step=step,
            epoch=step * self.size // len(self.pool.images),  # the same in all processes
            progress=step / max(1, self.steps),
            mask=_stacked([crop.valid for crop in crops]),
            superpixels=_numbered(crops) if "superpixels" in self.needs else None,
            superpixel_count=sum(crop.count for crop in crops),
            place=torch.tensor([crop.place for crop in crops]),
            proposals=_stacked([crop.proposal for crop in crops]) if "proposals" in self.needs else None,
            confidence=torch.tensor([crop.confidence for crop in crops]) if "proposals" in self.needs else None,
        )

    def ahead(self, first: int, device: torch.device) -> Iterator[Batch]:
        """The batches from a step on, on the device, made by a thread while the network is at work."""
        waiting: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
        stopped = threading.Event()

        def offer(made: Batch | BaseException) -> None:
            while not stopped.is_set():
                try:
                    return waiting.put(made, timeout=0.1)
                except queue.Full:
                    continue

        def make() -> None:
            try:
                for step in range(first, self.steps):
                    offer(self.at(step))
                    if stopped.is_set():
                        return
            except BaseException as error:  # noqa: BLE001 - raised again where the batch is asked for
                offer(error)

        thread = threading.Thread(target=make, daemon=True)
        thread.start()
        try:
            for _ in range(first, self.steps):
                found = waiting.get()
                if isinstance(found, BaseException):
                    raise found
                yield on_device(found, device)
        finally:
            stopped.set()
            thread.join()

    def _crop(self, number: int) -> _Crop:
        epoch, turn = divmod(number, len(self.pool.images))
        image = self.pool.images[_order(self.seed, epoch, len(self.pool.images))[turn]]
        height, width = image.pixels.shape[:2]
        tall, wide = min(self.shape[0], height), min(self.shape[1], width)
        random = np.random.default_rng([self.seed, number, CROP])
        top, left = int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1))
        place = (top / height, left / width, self.shape[0] / height, self.shape[1] / width)
        return _cut(image, (slice(top, top + tall), slice(left, left + wide)), self.shape, place)


@dataclass(frozen=True)
class _Crop:
    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None
    regions: NDArray[np.int32] | None
    proposal: NDArray[np.bool_] | None
    confidence: float  # in the proposal
    count: int  # of superpixels of the whole image
    place: tuple[float, float, float, float]  # top, left, height, width, as shares of the image


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on a device, its pixels from 0 to 1."""
    moved = {
        name: value.to(device, non_blocking=True) for name, value in vars(batch).items() if isinstance(value, Tensor)
    }
    moved["images"] = moved["images"].to(torch.float32, memory_format=torch.channels_last).div_(255)
    return Batch(**{**vars(batch), **moved})


def _cut(
    image: TrainingImage, box: tuple[slice, slice], shape: tuple[int, int], place: tuple[float, float, float, float]
) -> _Crop:
    pixels = image.pixels[box]
    valid = None if image.valid is None else image.valid[box]
    if pixels.shape[:2] != shape and valid is None:
        valid = np.ones(pixels.shape[:2], np.bool_)
    return _Crop(
        _filled_up(pixels, shape, 0),
        None if valid is None else _filled_up(valid, shape, False),
        None if image.regions is None else _filled_up(image.regions[box], shape, -1),
        None if image.proposal is None else _filled_up(image.proposal[box], shape, False),
        image.confidence,
        image.superpixels,
        place,
    )


def _filled_up(values: NDArray[Any], shape: tuple[int, int], filling: Any) -> NDArray[Any]:
    missing = [(0, shape[0] - values.shape[0]), (0, shape[1] - values.shape[1])]
    if missing == [(0, 0), (0, 0)]:
        return values
    return np.pad(values, missing + [(0, 0)] * (values.ndim - 2), constant_values=filling)


def _stacked(parts: list[NDArray[np.bool_] | None]) -> Tensor | None:
    """Masks of all crops, where a crop without one is wholly valid; None if none has one."""
    shape = next((part.shape for part in parts if part is not None), None)
    if shape is None:
        return None
    return torch.from_numpy(np.stack([np.ones(shape, np.bool_) if part is None else part for part in parts]))


def _numbered(crops: list[_Crop]) -> Tensor:
    """Superpixels numbered through the batch; those of an image that the crop does not show have no pixel."""
    first = np.cumsum([0] + [crop.count for crop in crops])
    maps = [
        np.where(crop.regions < 0, -1, crop.regions + start)
        for crop, start in zip(crops, first, strict=False)
        if crop.regions is not None
    ]
    return torch.from_numpy(np.stack(maps).astype(np.int64))


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, ORDER]).permutation(count)
