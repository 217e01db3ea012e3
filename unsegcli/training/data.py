"""The training images, as bytes in memory; those beyond a limit are in a memory-mapped file next to the output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import Box
from unsegcli.core.nn.distributed_sums import rank
from unsegcli.core.superpixels.features import region_features
from unsegcli.core.superpixels.regions import places_of
from unsegcli.dataflow.dataset import Dataset, ImageUnit, StoredUnit, Window
from unsegcli.dataflow.label_maps import StoredMap, check_aspect, open_predictions
from unsegcli.dataflow.provenance import note_networks
from unsegcli.dataflow.runner import gather
from unsegcli.dataflow.stored_vectors import StoredVectors, read_stored_vectors
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.working import Source
from unsegcli.methods._load import Loaded
from unsegcli.training.distributed import on_one_machine
from unsegcli.training.mapped_arrays import ArrayPlace, ArrayWriter, array_at, mapped


@dataclass(frozen=True)
class TrainingImage:
    """One window of an image, with its mask, superpixels and proposal."""

    pixels: NDArray[np.uint8]  # (height, width, bands)
    valid: NDArray[np.bool_] | None  # (height, width); None = all
    regions: NDArray[np.int32] | None  # (height, width) superpixels, -1 = void
    features: NDArray[np.float32] | None = None  # (superpixels, features) of `Regions`, if a method needs them
    centres: NDArray[np.float32] | None = None  # (superpixels, 2) and areas (superpixels,) of `places_of`
    areas: NDArray[np.float32] | None = None
    proposal: NDArray[np.bool_] | None = None  # (height, width): object mask
    confidence: float = 1.0  # of that mask, 0 to 1

    @property
    def superpixels(self) -> int:
        """Number of superpixels."""
        return 0 if self.regions is None else int(self.regions.max(initial=-1)) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def channels(self) -> int:
        """Number of bands."""
        return int(self.pixels.shape[2])

    def crop(self, box: Box) -> TrainingImage:
        """Return a part of the image, with the numbers of its superpixels, and the features of all of them."""
        cut: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[box.slices]
            for name in ("pixels", "valid", "regions", "proposal")
        }
        return replace(self, **cut)


@dataclass(frozen=True)
class LargeImage:
    """One window of a large image, of which only crops are read, when they are asked for."""

    unit: ImageUnit | StoredUnit  # of one window
    channels: int
    superpixels: int  # number of them; 0 = none
    features: NDArray[np.float32] | None = None  # as those of a `TrainingImage`
    centres: NDArray[np.float32] | None = None
    areas: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        assert self.unit.block is not None
        return self.unit.block.boxes[0].height, self.unit.block.boxes[0].width

    def crop(self, box: Box) -> TrainingImage:
        """Read a part of the window."""
        found = self.unit.part(box)
        described = self.features, self.centres, self.areas
        return TrainingImage(found.pixels, found.valid, found.superpixels, *described)


@dataclass
class Pool:
    """The training images."""

    images: list[TrainingImage | LargeImage] = field(default_factory=list)
    channels: int = 0
    stored_bytes: int = 0  # in memory
    spilled_bytes: int = 0  # in the file

    @property
    def largest(self) -> tuple[int, int]:
        """Largest height and largest width of the images."""
        shapes = [image.shape for image in self.images]
        return max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def fill(images: Iterable[TrainingImage | LargeImage], most_bytes: int = 0, spill: Path | None = None) -> Pool:
    """Collect images in memory up to a limit, the rest in a memory-mapped file.

    Args:
        images: consumed one by one.
        most_bytes: limit of the images in memory.
        spill: file for the rest; created only if needed, an existing one is replaced. None = all in memory.
    """
    pool = Pool()
    moved: dict[int, dict[str, ArrayPlace]] = {}
    with ArrayWriter(spill) if spill is not None else nullcontext() as file:
        for image in images:
            parts = parts_of(image)
            size = sum(part.nbytes for part in parts.values())
            pool.channels = image.channels
            if file is not None and pool.stored_bytes + size > most_bytes:
                moved[len(pool.images)] = {name: file.add(part) for name, part in parts.items()}
                without: dict[str, Any] = dict.fromkeys(parts)
                image = replace(image, **without)
                pool.spilled_bytes += size
            else:
                pool.stored_bytes += size
            pool.images.append(image)
    if spill is not None and pool.spilled_bytes:
        whole = mapped(spill)
        for number, places in moved.items():
            back: dict[str, Any] = {name: array_at(place, whole) for name, place in places.items()}
            pool.images[number] = replace(pool.images[number], **back)
    return pool


def parts_of(image: TrainingImage | LargeImage) -> dict[str, NDArray[Any]]:
    """Return the arrays of an image, by field."""
    return {name: part for name, part in vars(image).items() if isinstance(part, np.ndarray)}


Bad = list[tuple[str, str]]  # name and reason of each image that cannot be read


@dataclass(frozen=True)
class Reader:
    """Reads windows as training images."""

    workers: int
    masks: ObjectMasks | None = None
    min_confidence: float = 0.0
    describe: bool = False  # compute the features of superpixels

    def fill(self, dataset: Dataset, most_bytes: int = 0, spill: Path | None = None, bad: Bad | None = None) -> Pool:
        """Read all usable images of a dataset; of large ones, crops are read during the training."""
        whole, large = self.divided(dataset)
        images = self.read(whole, bad)
        if self.masks is None:
            return fill(chain(images, self._large(large)), most_bytes, spill)
        left_out: Counter[str] = Counter()
        pool = fill(usable(images, self.min_confidence, left_out), most_bytes, spill)
        report_left_out(left_out, len(pool.images), self.masks.path)
        return pool

    def divided(self, dataset: Dataset) -> tuple[Dataset, Dataset]:
        """Return the images that are read as a whole, and the windows of large images."""
        if self.masks is not None or dataset.kind not in ("pictures", "superpixels"):
            return dataset, replace(dataset, units=())
        large = replace(dataset, units=tuple(unit for unit in dataset.in_windows().units if unit.block))
        return replace(dataset, units=tuple(unit for unit in dataset.units if not unit.block)), large

    def read(self, dataset: Dataset, bad: Bad | None) -> Iterator[TrainingImage]:
        """Read the images of a dataset as a whole, also those without a usable mask."""
        work = partial(as_image, masks=self.masks, describe=self.describe)
        return gather(dataset, work, "reading", self.workers, bad) if dataset.units else iter(())

    def described_parts(self, dataset: Dataset) -> Iterator[dict[str, Any]]:
        """Describe the superpixels of the windows of large images: the fields of each that are to be replaced."""
        found = gather(dataset, _described, "describing", self.workers) if self.describe and dataset.units else ()
        for image in found:
            yield {"features": image.features, "centres": image.centres, "areas": image.areas}

    def _large(self, dataset: Dataset) -> Iterator[LargeImage]:
        images = large_images(dataset)
        if not self.describe:
            yield from images
            return
        for image, parts in zip(images, self.described_parts(dataset), strict=True):
            yield replace(image, **parts)


def large_images(dataset: Dataset) -> Iterator[LargeImage]:
    """Yield the windows of large images, without features of their superpixels."""
    channels = dataset.reading.channels if dataset.reading else 0
    for unit in dataset.units:
        if isinstance(unit, ImageUnit | StoredUnit):
            yield LargeImage(unit, channels, unit.superpixels)


def pool_of(dataset: Dataset, folder: Path, memory: float, reader: Reader, bad: Bad) -> Pool:
    """Read the training images: up to `memory` gigabytes in memory, the rest in a file in `folder`."""
    pool = reader.fill(dataset, int(memory * 1e9), images_file(folder, rank()), bad)
    if not pool.images:
        raise DataError("no image could be read")
    if pool.spilled_bytes:
        console.note(f"{pool.spilled_bytes / 1e9:.1f} GB of images are in a temporary file; more --memory is faster")
    return pool


def images_file(folder: Path, process: int) -> Path:
    """Return the temporary file for the images of a process."""
    return folder / f"pictures-{process}.bin"


def remove_spilled(folder: Path) -> None:
    """Remove the temporary files of images in a folder: of several machines, each its own, which others may not see."""
    for spilled in folder.glob("pictures-*.bin" if on_one_machine() else f"pictures-{rank()}.bin"):
        spilled.unlink(missing_ok=True)


def as_image(window: Window, masks: ObjectMasks | None = None, describe: bool = False) -> TrainingImage:
    """Convert a window to a training image."""
    image = TrainingImage(window.pixels, window.valid, window.superpixels)
    image = described(image, window.features) if describe else image
    return image if masks is None else with_proposal(image, masks.on(window))


def _described(window: Window) -> TrainingImage:
    """Describe the superpixels of a window, whose pixels are not kept."""
    found = as_image(window, describe=True)
    nothing = np.zeros((0, 0), np.int32)
    return replace(found, pixels=nothing[..., None].astype(np.uint8), valid=None, regions=nothing)


def described(image: TrainingImage, vectors: NDArray[np.float32] | None = None) -> TrainingImage:
    """Add the features and places of its superpixels to an image.

    Args:
        image: with superpixels; without bands its superpixels have no hand-crafted features.
        vectors: (superpixels, dimensions) of a file of features, which follow those features.
    """
    if image.regions is None:
        raise ValueError("the image has no superpixels")
    centres, areas = places_of(image.regions, image.superpixels)
    features = np.zeros((len(areas), 0), np.float32)
    if image.pixels.shape[2]:
        features = region_features(image.pixels, image.regions)
    if vectors is not None:
        features = np.concatenate([features, vectors], axis=1, dtype=np.float32)
    return replace(image, features=features, centres=centres, areas=areas)


LEAST, MOST = 0.01, 0.99  # fraction of a window's valid pixels that a usable mask covers
NO_MASK, NO_OBJECT = "without a mask", "with a mask below 1 % or above 99 % of the area"
NOT_SURE = "below --min-confidence"


@dataclass(frozen=True)
class ObjectMasks:
    """The object masks in an artifact."""

    path: str
    fingerprint: str
    by_content: dict[tuple[str, int], StoredMap]  # digest of the image file and page
    by_name: dict[str, StoredMap]

    def check(self, sources: Iterable[Source]) -> None:
        """Raise an error if a mask has the name of an image but was made from other content."""
        for source in sources:
            named = self.by_name.get(source.name)
            if named is None or (source.digest, source.page) in self.by_content:
                continue
            what = f"{self.path}: the mask of {source.name}"
            check_aspect((source.height, source.width), named, f"{what} is of another image, since this")
            raise DataError(f"{what} was made from another image, or before this image changed; make it again")

    def on(self, window: Window) -> tuple[NDArray[np.bool_], float] | None:
        """Return the mask (height, width) of a window and its confidence (1 if none is stored); None = no mask."""
        digest, page, *_ = window.key.split(" ")
        found = self.by_content.get((digest, int(page)))
        if found is None:
            return None
        mask: NDArray[np.bool_] = found.on(window.grid)[window.box.slices] > 0  # -1 = void, not an object
        return mask, found.certainty(window.box, window.grid)

    def of(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask (height, width) of a window; None = no mask."""
        found = self.on(window)
        return None if found is None else found[0]


def open_proposals(path: str | Path) -> ObjectMasks:
    """Open a segmentation that holds object masks."""
    role = _role_of(path)
    if role not in ("mask", "proposal"):
        raise ConfigError(
            f"--proposals {path}: holds {role}, not object masks; make masks with `unseg iem IMAGES -o masks.h5`"
        )
    run = open_predictions(path)
    maps = [item for item in run.maps if isinstance(item, StoredMap)]
    return ObjectMasks(
        str(path),
        run.inputs["segmentation"],
        {(item.source.digest, item.source.page): item for item in maps},
        {item.name: item for item in maps},
    )


def proposals_for(method: Loaded, config: Any, given: str | Path | None, least_confidence: float) -> ObjectMasks | None:
    """Open the object masks for a method that needs them; None for other methods."""
    if "proposals" in method.needs(config):
        if given is None:
            raise ConfigError(
                f"--method {method.name} needs object masks: make them with `unseg proposals IMAGES -o masks.h5`, and "
                "give them with --proposals masks.h5"
            )
        return open_proposals(given)
    if given is not None or least_confidence:
        name = "--proposals" if given is not None else "--min-confidence"
        raise ConfigError(f"{name}: --method {method.name} does not use object masks; leave it out")
    return None


def vectors_for(method: Loaded, dataset: Dataset) -> StoredVectors | None:
    """Return what vectors of superpixels a dataset has; an error if it has some and the method does not take them."""
    if dataset.kind != "features":
        return None
    path = dataset.hints["features"]["path"]
    if not method.sees_vectors:
        raise ConfigError(
            f"{path}: is a file of features, which --method {method.name} does not take; give images or superpixels, "
            "or use --method context"
        )
    note_networks(dataset.hints, "model")
    return read_stored_vectors(path)


def with_proposal(image: TrainingImage, proposal: tuple[NDArray[np.bool_], float] | None) -> TrainingImage:
    """Add an object mask to an image, restricted to its valid pixels."""
    if proposal is None:
        return image
    mask, confidence = proposal
    inside = mask if image.valid is None else mask & image.valid
    return replace(image, proposal=inside, confidence=confidence)


def usable(images: Iterable[TrainingImage], least_confidence: float, left_out: Counter[str]) -> Iterator[TrainingImage]:
    """Yield the images with a usable mask; count the others by reason."""
    for image in images:
        reason = why_unusable(image, least_confidence)
        if reason:
            left_out[reason] += 1
        else:
            yield image


def report_left_out(left_out: Counter[str], kept: int, path: str) -> None:
    """Report how many images have no usable mask, and why; raise an error if none has one."""
    total = left_out.total()
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    if total and not kept:
        raise DataError(f"{path}: has no usable mask for these images ({reasons}); make masks from the same images")
    if total:
        console.note(f"skipping {total} of {total + kept} images without a usable mask in {path}: {reasons}")


def why_unusable(image: TrainingImage, least_confidence: float) -> str:
    """Return why the mask of an image cannot be used; empty if it can."""
    if image.proposal is None:
        return NO_MASK
    pixels = image.proposal.size if image.valid is None else int(image.valid.sum())
    if not LEAST * pixels <= int(image.proposal.sum()) <= MOST * pixels or not pixels:
        return NO_OBJECT
    return NOT_SURE if image.confidence < least_confidence else ""


def _role_of(path: str | Path) -> str:
    with store.open_artifact(path, "segmentation") as artifact:
        return str(artifact.attributes["role"])
