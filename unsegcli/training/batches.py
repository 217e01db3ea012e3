"""Choose random crops for each step and prefetch batches; both depend only on the seed and the step."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsegcli.core.geometry import Box
from unsegcli.core.superpixels.regions import places_of
from unsegcli.methods._contract import Batch, Regions
from unsegcli.training.data import LargeImage, Pool, TrainingImage

AHEAD = 3  # batches to prefetch
CROP, ORDER = 1, 2  # added to the seed, so that crops and order use independent random numbers


@dataclass(frozen=True)
class Batches:
    """The batches of one training, for one of its processes."""

    pool: Pool
    size: int  # crops per step, over all processes
    crop: int  # side of the crops
    seed: int
    steps: int
    needs: tuple[str, ...] = ()
    rank: int = 0
    ranks: int = 1
    multiple: int = 1  # sides are rounded down to multiples of this, so that maps of the network cover crops exactly

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the crops; smaller images are padded with void."""
        height, width = (min(self.crop, side) for side in self.pool.largest)
        return self._rounded(height), self._rounded(width)

    def _rounded(self, side: int) -> int:
        return max(side - side % self.multiple, min(side, self.multiple))

    def samples(self, step: int) -> range:
        """Return the sample numbers of this process in a step, counted from the start of the training."""
        share = self.size // self.ranks
        first = step * self.size + self.rank * share
        return range(first, first + share)

    def at(self, step: int) -> Batch:
        """Assemble the batch of a step, on the CPU."""
        return self._of(self.samples(step), step)

    def one_pass(self, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of epoch 0 on the device, assembled lazily.

        Every process gets all crops; the last batch may be smaller.
        """
        count = len(self.pool.images)
        for step, first in enumerate(range(0, count, self.size)):
            batch = self._of(range(first, min(first + self.size, count)), step)
            yield replace(on_device(batch, device), progress=0.0)

    def _of(self, samples: range, step: int) -> Batch:
        crops = [self._crop(number) for number in samples]
        pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2)
        return Batch(
            images=pixels,  # uint8 until it is on the device
            index=torch.tensor(list(samples)),
            seed=self.seed,
            step=step,
            epoch=step * self.size // len(self.pool.images),  # the same in all processes
            progress=step / max(1, self.steps),
            mask=_stacked([crop.valid for crop in crops]),
            superpixels=_numbered(crops) if "superpixels" in self.needs else None,
            superpixel_count=sum(crop.count for crop in crops),
            regions=_regions_of(crops) if "regions" in self.needs else None,
            place=torch.tensor([crop.place for crop in crops]),
            image_numbers=torch.tensor([crop.image for crop in crops]),
            proposals=_stacked([crop.proposal for crop in crops]) if "proposals" in self.needs else None,
            confidence=torch.tensor([crop.confidence for crop in crops]) if "proposals" in self.needs else None,
        )

    def ahead(self, first: int, device: torch.device) -> Generator[Batch, None, None]:
        """Yield the batches from step `first` on the device, prefetched by a thread, which ends when this is closed."""
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
            except BaseException as error:  # noqa: BLE001 - raised again in the consumer
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
        which = int(_order(self.seed, epoch, len(self.pool.images))[turn])
        image = self.pool.images[which]
        height, width = image.shape
        tall, wide = min(self.shape[0], height), min(self.shape[1], width)
        random = np.random.default_rng([self.seed, number, CROP])
        top, left = int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1))
        place = (top / height, left / width, self.shape[0] / height, self.shape[1] / width)
        return _cut(which, image, Box(top, left, tall, wide), self.shape, place)


@dataclass(frozen=True)
class _Crop:
    image: int  # its number in the pool
    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None
    regions: NDArray[np.int32] | None
    features: NDArray[np.float32] | None
    places: tuple[NDArray[np.float32], ...]  # centres and areas of the superpixels, if they have features
    proposal: NDArray[np.bool_] | None
    confidence: float  # of the proposal
    count: int  # number of superpixels of the whole image
    place: tuple[float, float, float, float]  # top, left, height, width, as fractions of the image


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to a device and scale its pixels to the range 0 to 1."""
    moved: dict[str, Any] = {
        name: value.to(device, non_blocking=True) for name, value in vars(batch).items() if isinstance(value, Tensor)
    }
    if batch.regions is not None:
        moved["regions"] = Regions(*(part.to(device, non_blocking=True) for part in batch.regions))
    moved["images"] = moved["images"].to(torch.float32, memory_format=torch.channels_last).div_(255)
    return Batch(**{**vars(batch), **moved})


def _cut(
    number: int,
    image: TrainingImage | LargeImage,
    box: Box,
    shape: tuple[int, int],
    place: tuple[float, float, float, float],
) -> _Crop:
    part = image.crop(box)
    pixels, valid = part.pixels, part.valid
    if pixels.shape[:2] != shape and valid is None:
        valid = np.ones(pixels.shape[:2], np.bool_)
    return _Crop(
        number,
        _padded(pixels, shape, 0),
        None if valid is None else _padded(valid, shape, False),
        None if part.regions is None else _padded(part.regions, shape, -1),
        image.features,
        _places(part, image.superpixels, whole=box[2:] == image.shape),
        None if part.proposal is None else _padded(part.proposal, shape, False),
        part.confidence,
        image.superpixels,
        place,
    )


def _padded(values: NDArray[Any], shape: tuple[int, int], fill_value: Any) -> NDArray[Any]:
    missing = [(0, shape[0] - values.shape[0]), (0, shape[1] - values.shape[1])]
    if missing == [(0, 0), (0, 0)]:
        return values
    return np.pad(values, missing + [(0, 0)] * (values.ndim - 2), constant_values=fill_value)


def _stacked(parts: list[NDArray[np.bool_] | None]) -> Tensor | None:
    """Stack the masks of all crops; a missing mask means all valid; None if no crop has one."""
    shape = next((part.shape for part in parts if part is not None), None)
    if shape is None:
        return None
    return torch.from_numpy(np.stack([np.ones(shape, np.bool_) if part is None else part for part in parts]))


def _numbered(crops: list[_Crop]) -> Tensor:
    """Number the superpixels consecutively over the batch; those outside a crop have no pixel."""
    first = np.cumsum([0] + [crop.count for crop in crops])
    maps = [
        np.where(crop.regions < 0, -1, crop.regions + start)
        for crop, start in zip(crops, first, strict=False)
        if crop.regions is not None
    ]
    return torch.from_numpy(np.stack(maps).astype(np.int64))


def _regions_of(crops: list[_Crop]) -> Regions:
    """Describe the superpixels of all crops, in the order in which `_numbered` numbers them."""
    described = [
        (crop.features, *crop.places, np.full(crop.count, number))
        for number, crop in enumerate(crops)
        if crop.features is not None
    ]
    return Regions(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*described, strict=True)))


def _places(crop: TrainingImage, count: int, *, whole: bool) -> tuple[NDArray[np.float32], ...]:
    """Return centres and areas of the superpixels in a crop; those of a whole image are known."""
    if crop.regions is None or crop.centres is None or crop.areas is None:
        return ()
    return (crop.centres, crop.areas) if whole else places_of(crop.regions, count)


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, ORDER]).permutation(count)
