"""Unpack the values of datasets of strangers: what comes out is bounded, whatever the file declares.

HDF5 itself unpacks a chunk to whatever its stream holds, and each filter as often as a file asks for it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import h5py
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unsegcli.store.chunks import checksum_holds

PIPELINE = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32)  # each at most once
SMALL = 1 << 20  # bytes that are unpacked regardless of any ratio
LARGEST_RATIO = 1100  # deflate compresses at most 1032:1: a file that claims more is a decompression bomb
AT_ONCE = 1 << 29  # bytes that are unpacked at once regardless of
USUAL_RATIO = 20  # times the stored bytes
FEW_CHUNKS = 1000
SMALLEST_CHUNK = 1 << 14  # bytes, on average, beyond a few: very many tiny chunks would take hours


class Undecodable(ValueError):
    """Stored values that are damaged or not plausible."""


def most_unpacked(stored: int) -> int:
    """Return how many bytes values may have that are held at once and stored in so many bytes."""
    return AT_ONCE + USUAL_RATIO * stored


def implausible(dataset: h5py.Dataset, file_bytes: int) -> str | None:
    """Say why a dataset must not be unpacked; None if it may be."""
    stored = dataset.id.get_storage_size()
    if stored > file_bytes:
        return f"claims {stored:,} stored bytes, which is more than the file has"
    if dataset.nbytes > SMALL + LARGEST_RATIO * stored:
        return f"claims {dataset.nbytes:,} bytes, which is more than its stored size can hold"
    if dataset.nbytes > most_unpacked(stored):
        return f"claims {dataset.nbytes:,} bytes in {stored:,} stored bytes, which is more than is unpacked at once"
    if not dataset.chunks or not dataset.size:
        return None
    if any(step > side for step, side in zip(dataset.chunks, dataset.shape, strict=True)):
        return "has a chunk that is larger than itself"
    chunks = math.prod(-(-side // step) for side, step in zip(dataset.shape, dataset.chunks, strict=True))
    if chunks > FEW_CHUNKS + dataset.nbytes / SMALLEST_CHUNK:
        return "has too many chunks for its size"
    return None


def foreign_filter(properties: h5py.h5p.PropDCID) -> int | None:
    """Return the first filter that is not of ours, in our order; None if there is none."""
    wanted = iter(PIPELINE)
    used = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return next((code for code in used if code not in wanted), None)


def unpacked(dataset: h5py.Dataset) -> NDArray[Any]:
    """Read all values of a dataset that is not implausible."""
    if not dataset.chunks or not dataset.size:
        return np.asarray(dataset[...])
    plain = np.dtype(dataset.dtype.str)
    filters = _filters(dataset)
    if dataset.chunks == dataset.shape:
        return _chunk(dataset, (0,) * dataset.ndim, plain, filters)
    values = np.empty(dataset.shape, plain)
    ranges = [range(0, side, step) for side, step in zip(dataset.shape, dataset.chunks, strict=True)]
    for start in itertools.product(*ranges):
        place = tuple(slice(first, first + step) for first, step in zip(start, dataset.chunks, strict=True))
        part = _chunk(dataset, start, plain, filters)
        room = values[place]
        room[...] = part[tuple(slice(side) for side in room.shape)]
    return values


def _filters(dataset: h5py.Dataset) -> list[int]:
    properties = dataset.id.get_create_plist()
    found = [properties.get_filter(number) for number in range(properties.get_nfilters())]
    if any(code == h5py.h5z.FILTER_SHUFFLE and values[:1] != (dataset.dtype.itemsize,) for code, _, values, _ in found):
        raise Undecodable("its values are shuffled as if they were of another type")
    return [code for code, *_ in found]


def _chunk(dataset: h5py.Dataset, start: tuple[int, ...], plain: np.dtype[Any], filters: list[int]) -> NDArray[Any]:
    if dataset.id.get_chunk_info_by_coord(start).byte_offset is None:
        raise Undecodable("a chunk is missing")
    mask, body = dataset.id.read_direct_chunk(start)
    size = math.prod(dataset.chunks) * plain.itemsize
    for number, code in reversed(list(enumerate(filters))):
        if not mask >> number & 1:
            body = UNDO[code](body, size, plain.itemsize)
    if len(body) != size:
        raise Undecodable(f"a chunk of {size:,} bytes has {len(body):,}")
    octets = np.require(np.frombuffer(body, np.uint8), requirements="W")
    values = (octets != 0) if plain == np.bool_ else octets.view(plain)
    return values.reshape(dataset.chunks)


def _without_checksum(body: bytes, size: int, width: int) -> Any:
    if len(body) < 4 or not checksum_holds(body):
        raise Undecodable("the checksum of a chunk is wrong")
    return memoryview(body)[:-4]


def _inflated(body: Any, size: int, width: int) -> NDArray[np.uint8]:
    try:
        room: Any = np.empty(size, np.uint8)
        return np.asarray(imagecodecs.deflate_decode(body, out=room))
    except imagecodecs.DeflateError as error:
        raise Undecodable(f"a chunk does not unpack to {size:,} bytes") from error


def _unshuffled(body: Any, size: int, width: int) -> NDArray[np.uint8]:
    octets = np.frombuffer(body, np.uint8)
    if width == 1 or len(octets) % width:
        return octets
    return np.ascontiguousarray(octets.reshape(width, -1).T).reshape(-1)


UNDO = {
    h5py.h5z.FILTER_SHUFFLE: _unshuffled,
    h5py.h5z.FILTER_DEFLATE: _inflated,
    h5py.h5z.FILTER_FLETCHER32: _without_checksum,
}
