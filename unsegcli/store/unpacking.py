"""Unpack the values of datasets of strangers: what comes out is bounded, whatever the file declares.

HDF5 itself unpacks a chunk to whatever its stream holds, and each filter as often as a file asks for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import h5py
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unsegcli.store.chunks import Chunk, Encoded, checksum_holds, chunk_shape_of

PIPELINE = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32)  # each at most once
SMALL = 1 << 20  # bytes that are unpacked regardless of any ratio
LARGEST_RATIO = 1100  # deflate compresses at most 1032:1: a file that claims more is a decompression bomb
AT_ONCE = 1 << 29  # bytes that are unpacked at once regardless of any ratio
WINDOW_AT_ONCE = 1 << 30  # the same for values of the pixels of one window: 200 megapixels of 4 bytes each
USUAL_RATIO = 20  # times the stored bytes
FEW_CHUNKS = 1000
SMALLEST_CHUNK = 1 << 14  # bytes, on average, beyond a few: very many tiny chunks would take hours


class Undecodable(ValueError):
    """Stored values that are damaged or not plausible."""


def most_unpacked(stored: int, *, window: bool = False) -> int:
    """Return how many bytes values may have that are held at once and stored in so many bytes."""
    return (WINDOW_AT_ONCE if window else AT_ONCE) + USUAL_RATIO * stored


def implausible(dataset: h5py.Dataset, file_bytes: int, *, window: bool = False) -> str | None:
    """Say why a dataset must not be unpacked; None if it may be.

    Args:
        dataset: of an open file.
        file_bytes: size of the file.
        window: whether it has values for each pixel of a window, and nothing else.
    """
    stored, size = dataset.id.get_storage_size(), dataset.nbytes
    if stored > file_bytes:
        return f"claims {stored:,} stored bytes, which is more than the file has"
    if size > SMALL + LARGEST_RATIO * stored:
        return f"claims {size:,} bytes, which is more than its stored size can hold"
    if size > most_unpacked(stored, window=window):
        return f"claims {size:,} bytes in {stored:,} stored bytes, which is more than is unpacked at once"
    shape, chunk = dataset.shape, dataset.chunks
    if not chunk or not size or chunk == shape:
        return None
    if any(step > side for step, side in zip(chunk, shape, strict=True)):
        return "has a chunk that is larger than itself"
    count = _chunk_count(shape, chunk)
    if count > FEW_CHUNKS + size / SMALLEST_CHUNK and count > _chunk_count(shape, chunk_shape_of(shape)):
        return "has too many chunks for its size"
    return None


def _chunk_count(shape: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    return math.prod(-(-side // step) for side, step in zip(shape, chunk, strict=True))


def foreign_filter(properties: h5py.h5p.PropDCID) -> int | None:
    """Return the first filter that is not of ours, in our order; None if there is none."""
    wanted = iter(PIPELINE)
    used = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return next((code for code in used if code not in wanted), None)


def is_ours(dataset: h5py.h5d.DatasetID) -> bool:
    """Return whether a dataset is stored as this version stores it, so that its chunks can be copied."""
    properties = dataset.get_create_plist()
    used = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return used == list(PIPELINE) and np.dtype(dataset.dtype.str).newbyteorder("<") == dataset.dtype


def stored_chunks(dataset: h5py.h5d.DatasetID, digest: bytes = b"") -> Encoded:
    """Read the chunks of a dataset as they are stored."""
    chunks = []
    for number in range(dataset.get_num_chunks()):
        offset = dataset.get_chunk_info(number).chunk_offset
        mask, stored = dataset.read_direct_chunk(offset)
        chunks.append(Chunk(offset, mask, stored))
    shape = dataset.get_create_plist().get_chunk()
    return Encoded(dataset.dtype.str, dataset.shape, shape, tuple(chunks), digest)


def unpacked(dataset: h5py.Dataset, part: tuple[slice, ...] = ()) -> NDArray[Any]:
    """Read all values of a dataset that is not implausible, or those of a part; the chunks of the part are unpacked."""
    shape, chunk = dataset.shape, dataset.chunks
    if not chunk or 0 in shape:
        return np.asarray(dataset[part or ...])
    stored = _Stored(dataset, chunk)
    if chunk == shape:
        return stored.chunk((0,) * len(shape))[part or ...]
    whole = [*part, *(slice(None) for _ in shape[len(part) :])]
    wanted = [slice(*one.indices(side)[:2]) for one, side in zip(whole, shape, strict=True)]
    values = np.empty([max(0, one.stop - one.start) for one in wanted], stored.dtype)
    starts = (range(one.start // step * step, one.stop, step) for one, step in zip(wanted, chunk, strict=True))
    for start in itertools.product(*starts):
        common = [
            slice(max(one.start, first), min(one.stop, first + step))
            for one, first, step in zip(wanted, start, chunk, strict=True)
        ]
        room = values[_seen_from(common, [one.start for one in wanted])]
        room[...] = stored.chunk(start)[_seen_from(common, start)]
    return values


def _seen_from(box: Sequence[slice], corner: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(one.start - first, one.stop - first) for one, first in zip(box, corner, strict=True))


class _Stored:
    """The chunks of a dataset as they are stored."""

    def __init__(self, dataset: h5py.Dataset, shape: tuple[int, ...]) -> None:
        self.id, self.shape, self.dtype = dataset.id, shape, np.dtype(dataset.dtype.str)
        self.bytes, self.width = math.prod(shape) * self.dtype.itemsize, self.dtype.itemsize
        properties = dataset.id.get_create_plist()
        found = [properties.get_filter(number) for number in range(properties.get_nfilters())]
        if any(code == h5py.h5z.FILTER_SHUFFLE and values[:1] != (self.width,) for code, _, values, _ in found):
            raise Undecodable("its values are shuffled as if they were of another type")
        self.filters = [code for code, *_ in found]

    def chunk(self, start: tuple[int, ...]) -> NDArray[Any]:
        """Read and unpack one chunk."""
        if self.id.get_chunk_info_by_coord(start).byte_offset is None:
            raise Undecodable("a chunk is missing")
        mask, body = self.id.read_direct_chunk(start)
        for number in reversed(range(len(self.filters))):
            if not mask >> number & 1:
                body = UNDO[self.filters[number]](body, self.bytes, self.width)
        if len(body) != self.bytes:
            raise Undecodable(f"a chunk of {self.bytes:,} bytes has {len(body):,}")
        octets = np.require(np.frombuffer(body, np.uint8), requirements="W")
        values: NDArray[Any] = (octets != 0) if self.dtype == np.bool_ else octets.view(self.dtype)
        return values.reshape(self.shape)


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
