"""All images of a training in memory, as bytes; what goes beyond a limit lies in a file beside the output.

Knows nothing of crops, their order, or methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.nn.distributed_sums import rank
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.label_maps import StoredMap, check_aspect, open_predictions
from unsegcli.dataflow.runner import gather
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.working import Source
from unsegcli.methods._load import Loaded


@dataclass(frozen=True)
class TrainingImage:
    """One window of an image, as a training sees it."""

    pixels: NDArray[np.uint8]  # (height, width, bands)
    valid: NDArray[np.bool_] | None  # (height, width); None = all
    regions: NDArray[np.int32] | None  # (height, width) superpixels, -1 = void
    proposal: NDArray[np.bool_] | None = None  # (height, width): object mask that was made before
    confidence: float = 1.0  # in that mask, 0 to 1

    @property
    def superpixels(self) -> int:
        """How many superpixels there are."""
        return 0 if self.regions is None else int(self.regions.max(initial=-1)) + 1


@dataclass
class Pool:
    """The images of a training."""

    images: list[TrainingImage] = field(default_factory=list)
    channels: int = 0
    stored_bytes: int = 0  # in memory
    spilled_bytes: int = 0  # in the file

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width that every image fits into."""
        shapes = [image.pixels.shape for image in self.images]
        return max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def fill(images: Iterable[TrainingImage], most_bytes: int = 0, spill: Path | None = None) -> Pool:
    """Take all images, the first so many bytes of them in memory, the others in a file that is mapped to memory.

    Args:
        images: taken one by one.
        most_bytes: to hold in memory.
        spill: the file for the rest; made only if it is needed, and again if it is there. None = all in memory.
    """
    pool = Pool()
    if spill is not None:
        spill.unlink(missing_ok=True)
    for image in images:
        size = sum(part.nbytes for part in _parts(image).values())
        if spill is not None and pool.stored_bytes + size > most_bytes:
            moved: dict[str, Any] = {name: _spilled(part, spill) for name, part in _parts(image).items()}
            image = replace(image, **moved)
            pool.spilled_bytes += size
        else:
            pool.stored_bytes += size
        pool.images.append(image)
        pool.channels = image.pixels.shape[2]
    return pool


def _parts(image: TrainingImage) -> dict[str, NDArray[Any]]:
    return {name: part for name, part in vars(image).items() if isinstance(part, np.ndarray)}


def _spilled(part: NDArray[Any], path: Path) -> NDArray[Any]:
    with path.open("ab") as stream:
        offset = stream.seek(0, 2)
        stream.write(np.ascontiguousarray(part).tobytes())
    return np.memmap(path, part.dtype, "r", offset, part.shape)


Bad = list[tuple[str, str]]  # name and reason of images that cannot be read


@dataclass(frozen=True)
class Reader:
    """How windows become images of a training."""

    workers: int
    masks: ObjectMasks | None = None
    min_confidence: float = 0.0

    def fill(self, dataset: Dataset, most_bytes: int = 0, spill: Path | None = None, bad: Bad | None = None) -> Pool:
        """All images that can be learned from."""
        images = gather(dataset, partial(as_image, masks=self.masks), "reading", self.workers, bad)
        if self.masks is None:
            return fill(images, most_bytes, spill)
        left_out: Counter[str] = Counter()
        pool = fill(usable(images, self.min_confidence, left_out), most_bytes, spill)
        report_left_out(left_out, len(pool.images), self.masks.path)
        return pool


def pool_of(dataset: Dataset, folder: Path, memory: float, reader: Reader, bad: Bad) -> Pool:
    """The images of a training, of which so many gigabytes in memory, the others in a file in the folder."""
    pool = reader.fill(dataset, int(memory * 1e9), folder / f"pictures-{rank()}.bin", bad)
    if not pool.images:
        raise DataError("not one image could be read")
    if pool.spilled_bytes:
        console.note(f"{pool.spilled_bytes / 1e9:.1f} GB of images lie in a file; more --memory would be quicker")
    return pool


def remove_spilled(folder: Path) -> None:
    """Remove what lies in files of the folder."""
    for spilled in folder.glob("pictures-*.bin"):
        spilled.unlink(missing_ok=True)


def as_image(window: Window, masks: ObjectMasks | None = None) -> TrainingImage:
    """What a training needs of a window."""
    image = TrainingImage(window.pixels, window.valid, window.superpixels)
    return image if masks is None else with_proposal(image, masks.on(window))


LEAST, MOST = 0.01, 0.99  # share of a window's valid pixels that a usable mask covers
NO_MASK, NO_OBJECT, NOT_SURE = "have no mask there", "have a mask below 1 % or above 99 % of the area", "are not sure"


@dataclass(frozen=True)
class ObjectMasks:
    """The masks of all images of one artifact."""

    path: str
    fingerprint: str
    by_content: dict[tuple[str, int], StoredMap]  # digest of the image file and page
    by_name: dict[str, StoredMap]

    def check(self, sources: Iterable[Source]) -> None:
        """Refuse masks that bear the name of one of these images, but are of another content."""
        for source in sources:
            named = self.by_name.get(source.name)
            if named is None or (source.digest, source.page) in self.by_content:
                continue
            what = f"{self.path}: the mask of {source.name}"
            check_aspect((source.height, source.width), named, f"{what} is of another image, since this")
            raise DataError(f"{what} was made from another image, or from this one before it changed; make it again")

    def on(self, window: Window) -> tuple[NDArray[np.bool_], float] | None:
        """The mask (height, width) of a window and its confidence, 1 where none is stored; None = no mask."""
        digest, page, *_ = window.key.split(" ")
        found = self.by_content.get((digest, int(page)))
        if found is None:
            return None
        mask: NDArray[np.bool_] = found.on(window.grid)[window.box.slices] > 0  # -1 = void, which is no object
        return mask, found.certainty(window.box, window.grid)


def open_proposals(path: str | Path) -> ObjectMasks:
    """Take an artifact of kind segmentation whose values are object masks."""
    role = _role_of(path)
    if role not in ("mask", "proposal"):
        raise ConfigError(
            f"--proposals {path}: holds {role}, not object masks; make those with `unseg iem IMAGES -o masks.h5`"
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
    """The masks that a method learns from; None for a method that learns from none."""
    if "proposals" in method.needs(config):
        if given is None:
            raise ConfigError(
                f"--method {method.name} learns from object masks: make them with `unseg proposals IMAGES -o "
                "masks.h5`, and give them with --proposals masks.h5"
            )
        return open_proposals(given)
    if given is not None or least_confidence:
        name = "--proposals" if given is not None else "--min-confidence"
        raise ConfigError(f"{name}: --method {method.name} does not learn from object masks; leave it out")
    return None


def with_proposal(image: TrainingImage, proposal: tuple[NDArray[np.bool_], float] | None) -> TrainingImage:
    """The image with its mask; nothing outside the valid pixels is object."""
    if proposal is None:
        return image
    mask, confidence = proposal
    inside = mask if image.valid is None else mask & image.valid
    return replace(image, proposal=inside, confidence=confidence)


def usable(images: Iterable[TrainingImage], least_confidence: float, left_out: Counter[str]) -> Iterator[TrainingImage]:
    """The images that have a mask to learn from; the others are counted by the reason."""
    for image in images:
        reason = _fault(image, least_confidence)
        if reason:
            left_out[reason] += 1
        else:
            yield image


def report_left_out(left_out: Counter[str], kept: int, path: str) -> None:
    """Say how many images have no mask to learn from, and why; it is an error if that holds for all."""
    total = left_out.total()
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    if total and not kept:
        raise DataError(f"{path}: has no usable mask for these images ({reasons}); make masks of these very images")
    if total:
        console.note(f"{total} of {total + kept} images are left out, since {path} has no usable mask: {reasons}")


def _fault(image: TrainingImage, least_confidence: float) -> str:
    if image.proposal is None:
        return NO_MASK
    pixels = image.proposal.size if image.valid is None else int(image.valid.sum())
    if not LEAST * pixels <= int(image.proposal.sum()) <= MOST * pixels or not pixels:
        return NO_OBJECT
    return NOT_SURE if image.confidence < least_confidence else ""


def _role_of(path: str | Path) -> str:
    with store.open_artifact(path, "segmentation") as artifact:
        return str(artifact.attributes["role"])
