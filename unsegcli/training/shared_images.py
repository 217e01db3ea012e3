"""Training images of several processes: each reads a part of them, and the others on its machine map them into memory.

Every process writes what it reads to a file in the folder of the unfinished output. A process that cannot see the
files of the others reads all images by itself.
"""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from unsegcli import console
from unsegcli.core.nn.distributed_sums import rank, ranks
from unsegcli.dataflow.dataset import Dataset
from unsegcli.errors import DataError, StepError, UnsegError
from unsegcli.parallel import available_cores
from unsegcli.store.durable import NO_ROOM
from unsegcli.training.data import (
    Bad,
    Pool,
    Reader,
    TrainingImage,
    images_file,
    large_images,
    parts_of,
    pool_of,
    report_left_out,
    why_unusable,
)
from unsegcli.training.distributed import from_all, is_first
from unsegcli.training.interrupts import StopRequest, delayed_interrupts
from unsegcli.training.mapped_arrays import ArrayPlace, ArrayWriter, array_at, mapped

MARK_BYTES = 32  # random, at the start of a file, by which others recognise it
BOOT = Path("/proc/sys/kernel/random/boot_id")  # the same for all that share memory, containers included


Numbered = tuple[int, float, dict[str, NDArray[Any]]]  # number of the unit, confidence, and arrays of an image


class SharedImage(NamedTuple):
    """An image, or the description of a window of a large image, in the file of a process."""

    number: int  # of its unit: those that are read as a whole come first
    confidence: float
    places: dict[str, ArrayPlace]


@dataclass
class ReadPart:
    """What a process says about the images that it was to read."""

    index: tuple[int, int] = (0, 0)  # where the list of its images begins and ends in its file
    bad: list[tuple[int, str, str]] = field(default_factory=list)  # number of the unit, name, reason
    left_out: list[tuple[int, str]] = field(default_factory=list)  # number of the unit, reason
    failure: str = ""  # why the first image cannot be read, if none can
    error: str = ""  # why it stopped
    disk_full: bool = False
    signal: int | None = None


def pool_of_processes(dataset: Dataset, folder: Path, memory: float, reader: Reader, bad: Bad) -> Pool:
    """Read the training images; several processes of one machine each read a part and share what they have read.

    Args:
        dataset: the images.
        folder: for the temporary files.
        memory: gigabytes of images in memory, the rest is in a file; shared images are all in files.
        reader: how they are read.
        bad: name and reason of each image that cannot be read are added; the same in all processes.
    """
    if ranks() == 1:
        return pool_of(dataset, folder, memory, reader, bad)
    with ArrayWriter(images_file(folder, rank())) as file:
        near = _processes_here(file)
        pool = _shared_pool(dataset, file, near, reader, bad) if len(near) > 1 else None
    if pool is None:
        pool = pool_of(dataset, folder, memory, reader, bad)
    if len(near) == 1:
        with delayed_interrupts(patient=True) as stop_request:
            _agreed(ReadPart(), None, stop_request)
    _check_alike(pool, bad)
    return pool


def _shared_pool(dataset: Dataset, file: ArrayWriter, near: Sequence[int], reader: Reader, bad: Bad) -> Pool | None:
    """Read and share images with the other processes `near`; None if the disk is full."""
    folder = file.path.parent
    files = [images_file(folder, number) for number in near]
    several = replace(reader, workers=reader.workers or max(1, available_cores() // len(near)))
    with delayed_interrupts(patient=True) as stop_request:
        reading = _PartReader(dataset, several, file, near.index(rank()), len(near))
        reading.read(lambda: bool(stop_request) or not all(path.exists() for path in files))
        everywhere = _agreed(reading.part, reading.failed, stop_request)
    parts = [everywhere[number] for number in near]
    if any(one.disk_full for one in parts):
        console.warn(f"{folder}: the disk is full, so each process reads all images into its own memory")
        return None
    with _said_once(first=rank() == near[0]):
        if not all(one.index[1] for one in parts):
            raise DataError(f"{folder}: its files were removed while images were read; run the same command again")
        return _joined(dataset, reader, files, parts, bad)


def _processes_here(file: ArrayWriter) -> tuple[int, ...]:
    """Return the processes whose files this one can map, and which can map its file; always with itself."""
    mark = secrets.token_bytes(MARK_BYTES)
    machine = BOOT.read_text() if BOOT.exists() else platform.node()
    try:
        file.append(mark)
        file.flush()
    except OSError:  # no such folder on this machine, or it is full or read-only
        file.discard()
        mark = b""
    marks = from_all((machine, mark))
    seen = {
        number
        for number, (where, other) in enumerate(marks)
        if other and where == machine and _begins_with(other, images_file(file.path.parent, number))
    }
    who_sees = from_all(seen | {rank()})
    return tuple(number for number, others in enumerate(who_sees) if others == who_sees[rank()])


def _begins_with(mark: bytes, path: Path) -> bool:
    try:
        return mapped(path)[: len(mark)].tobytes() == mark
    except (OSError, ValueError):  # there is none, it is empty, or its file system cannot map files
        return False


class _PartReader:
    """Reads every n-th unit into the file of this process."""

    def __init__(self, dataset: Dataset, reader: Reader, file: ArrayWriter, first: int, every: int) -> None:
        self.part = ReadPart()
        self.failed: Exception | None = None
        self._dataset, self._reader, self._file = dataset, reader, file
        self._some = slice(first, None, every)
        self._images: list[SharedImage] = []

    def read(self, stopped: Callable[[], bool]) -> None:
        """Read the part, unless `stopped` says after an image that it is no longer needed."""
        try:
            self._read(stopped)
        except (UnsegError, OSError) as error:
            self.failed = error
            self.part.disk_full = isinstance(error, OSError) and error.errno in NO_ROOM
            self.part.error = "" if self.part.disk_full else str(error)
            self._file.discard()  # the others see that, and stop

    def _read(self, stopped: Callable[[], bool]) -> None:
        whole, large = self._reader.divided(self._dataset)
        for number, confidence, arrays in chain(self._whole(whole), self._described(large, len(whole.units))):
            if stopped():
                self._file.discard()
                return
            places = {name: self._file.add(array) for name, array in arrays.items()}
            self._images.append(SharedImage(number, float(confidence), places))
        begin = self._file.append(json.dumps(self._images).encode())
        self.part.index = begin, self._file.size
        self._file.close()

    def _whole(self, dataset: Dataset) -> Iterator[Numbered]:
        """Yield the images of this process."""
        numbers = [number for number, unit in enumerate(dataset.units) if unit.window_count][self._some]
        units = tuple(dataset.units[number] for number in numbers)
        bad: Bad = []
        read = set()
        try:
            images = self._reader.read(replace(dataset, units=units), bad)
            for place, image in _numbered([unit.window_count for unit in units], images, bad):
                read.add(place)
                reason = "" if self._reader.masks is None else why_unusable(image, self._reader.min_confidence)
                if reason:
                    self.part.left_out.append((numbers[place], reason))
                else:
                    yield numbers[place], image.confidence, parts_of(image)
        except DataError as error:
            if not len(bad) == len(units) > 0:
                raise
            self.part.failure = str(error)
        failed = [number for place, number in enumerate(numbers) if place not in read]
        self.part.bad += [(number, *one) for number, one in zip(failed, bad, strict=True)]

    def _described(self, dataset: Dataset, before: int) -> Iterator[Numbered]:
        """Yield the descriptions of the windows of large images of this process."""
        numbers = range(before, before + len(dataset.units))[self._some]
        parts = self._reader.described_parts(replace(dataset, units=dataset.units[self._some]))
        for number, arrays in zip(numbers, parts, strict=False):  # none unless the method needs them
            yield number, 1.0, arrays


def _numbered(counts: Sequence[int], images: Iterable[TrainingImage], bad: Bad) -> Iterator[tuple[int, TrainingImage]]:
    """Number images by their units, in order; `counts` says how many each has, but those added to `bad` have none."""
    images = iter(images)
    for done, first in enumerate(images):
        place = done + len(bad)
        yield place, first
        for image in islice(images, counts[place] - 1):
            yield place, image


def _agreed(own: ReadPart, failed: Exception | None, stop_request: StopRequest) -> list[ReadPart]:
    """Return what all processes say; end all of them if one failed or was asked to stop."""
    own.signal = stop_request.signal
    try:
        parts = from_all(own)
    except UnsegError:
        stop_request.stop_now()  # rather than an error, if this process was asked to stop, too
        raise
    stop_request.signal = stop_request.signal or max((part.signal or 0 for part in parts), default=0) or None
    stop_request.stop_now()
    if own.error and failed is not None:
        raise failed
    errors = [part.error for part in parts if part.error]
    if errors:
        raise StepError(errors[0], 1)  # said by the process that failed
    return parts


def _joined(dataset: Dataset, reader: Reader, files: Sequence[Path], parts: Sequence[ReadPart], bad: Bad) -> Pool:
    """Join the images of all processes, in the order of the dataset."""
    whole, large = reader.divided(dataset)
    failed = sorted(chain.from_iterable(part.bad for part in parts))
    if failed and len(failed) == len(whole.units):
        raise DataError(parts[0].failure)
    bad += [(name, reason) for _, name, reason in failed]
    pool = Pool()
    found: list[Numbered] = []
    for path, part in zip(files, parts, strict=True):
        found += _images_in(path, part)
        pool.spilled_bytes += part.index[1]
    found.sort(key=lambda one: one[0])  # windows of one image stay in order
    for number, confidence, arrays in found:
        if number < len(whole.units):
            fields: dict[str, Any] = {"valid": None, "regions": None, **arrays}
            pool.images.append(TrainingImage(**fields, confidence=confidence))
    described: dict[int, dict[str, Any]] = {number: arrays for number, _, arrays in found}
    for number, image in enumerate(large_images(large), len(whole.units)):
        pool.images.append(replace(image, **described.get(number, {})))
    if reader.masks is not None:
        left_out = sorted(chain.from_iterable(part.left_out for part in parts), key=lambda one: one[0])
        report_left_out(Counter(reason for _, reason in left_out), len(pool.images), reader.masks.path)
    if not pool.images:
        raise DataError("no image could be read")
    pool.channels = pool.images[-1].channels
    console.detail(f"{len(files)} processes share {pool.spilled_bytes / 1e9:.2f} GB of images in temporary files")
    return pool


def _images_in(path: Path, part: ReadPart) -> Iterator[Numbered]:
    """Yield the images in a file, mapped into memory."""
    whole = mapped(path)
    for number, confidence, places in json.loads(whole[slice(*part.index)].tobytes()):
        yield number, confidence, {name: array_at(ArrayPlace(*place), whole) for name, place in places.items()}


@contextmanager
def _said_once(*, first: bool) -> Iterator[None]:
    """Let only the first process say what is wrong."""
    try:
        yield
    except UnsegError as error:
        if first:
            raise
        raise StepError(str(error), 1) from error


def _check_alike(pool: Pool, bad: Bad) -> None:
    """Raise an error unless all processes have images of the same names and sizes: they draw from them by number."""
    text = json.dumps([bad, [image.shape for image in pool.images]])
    found = from_all((hashlib.sha256(text.encode()).hexdigest(), len(pool.images), len(bad)))
    other = next((number for number, one in enumerate(found) if one != found[0]), None)
    if other is None:
        return
    with _said_once(first=is_first()):
        raise DataError(
            f"process 0 read {found[0][1]} images and could not read {found[0][2]}, but process {other}, on another "
            f"machine, read {found[other][1]} and could not read {found[other][2]}, or they differ in size; give all "
            "machines the same files"
        )
