"""Encode arrays as HDF5 chunks: shuffle, gzip and fletcher32 are applied here, so that worker processes can do it.

The result is what the HDF5 library itself would write. No file is accessed here.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

WHOLE_UP_TO = 4_000_000  # pixels; larger maps are tiled, so that parts can be read separately
TILE = 512
GZIP_LEVEL = 1
WITHOUT_GZIP = 0b010  # filter mask: skip the second filter of shuffle, gzip, fletcher32
PROBE = 32_768  # bytes
WORTH_IT = 0.75  # a chunk that stays larger than this share is stored uncompressed, which is also faster to read


Octets = Any  # bytes, or an array (length,) of them: both are read without a copy


class Chunk(NamedTuple):
    """One chunk as it is stored."""

    offset: tuple[int, ...]
    filter_mask: int  # one bit for each skipped filter of the pipeline, in HDF5 order
    stored: bytes


@dataclass(frozen=True)
class Encoded:
    """An array ready to be written: its chunks with their offsets, and a digest of its content."""

    dtype: str
    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]
    digest: bytes

    @property
    def stored_bytes(self) -> int:
        """Size on disk in bytes, without headers."""
        return sum(len(chunk.stored) for chunk in self.chunks)


def encode(array: NDArray[Any]) -> Encoded:
    """Compress an array of at least one element."""
    array = little_endian(array)
    chunk_shape = chunk_shape_of(array.shape)
    starts = [range(0, side, step) for side, step in zip(array.shape, chunk_shape, strict=True)]
    chunks = tuple(
        Chunk(offset, *_filtered(_tile(array, offset, chunk_shape))) for offset in itertools.product(*starts)
    )
    return Encoded(array.dtype.str, array.shape, chunk_shape, chunks, array_digest(array))


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """Convert an array to the memory order and byte order of the file."""
    # Not ascontiguousarray, which adds an axis to a scalar.
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def chunk_shape_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chunk shape: the whole map up to 4 megapixels, else tiles of 512 x 512."""
    if len(shape) < 2 or shape[0] * shape[1] <= WHOLE_UP_TO:
        return shape
    return (min(TILE, shape[0]), min(TILE, shape[1]), *shape[2:])


def array_digest(array: NDArray[Any]) -> bytes:
    """Compute the SHA-256 of type, shape and values, independent of compression."""
    array = little_endian(array)
    head = f"{array.dtype.str} {array.shape}".encode()
    # A view as bytes needs at least one axis and one element.
    body = hashlib.sha256(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return hashlib.sha256(head + b"\0" + body.digest()).digest()


def checksum_holds(stored: bytes) -> bool:
    """Return whether a stored chunk ends with the correct fletcher32 checksum."""
    body = stored[:-4]
    return stored[-4:] == _fletcher32(body)


def _tile(array: NDArray[Any], offset: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    part = array[tuple(slice(start, start + side) for start, side in zip(offset, shape, strict=True))]
    if part.shape == shape:
        return part
    padding = [(0, full - have) for full, have in zip(shape, part.shape, strict=True)]
    return np.pad(part, padding)  # chunks at the border are stored at full size


def _filtered(part: NDArray[Any]) -> tuple[int, bytes]:
    """Apply shuffle, gzip and fletcher32 to a chunk; return its filter mask and bytes."""
    body: Octets = _shuffled(part)
    if _shrinks(body):
        return 0, _checked(imagecodecs.deflate_encode(body, level=GZIP_LEVEL))
    return WITHOUT_GZIP, _checked(body)


def _shuffled(part: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of a chunk: the first byte of every value, then the second of every value, and so on."""
    values = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
    if part.dtype.itemsize == 1:
        return values
    return np.ascontiguousarray(values.reshape(-1, part.dtype.itemsize).T).reshape(-1)


def _shrinks(body: Octets) -> bool:
    """Return whether gzip is worth its time, judged by a sample from the middle: noisy photographs hardly shrink."""
    if len(body) <= 2 * PROBE:
        return True
    start = (len(body) - PROBE) // 2
    probe: Octets = body[start : start + PROBE]
    return len(imagecodecs.deflate_encode(probe, level=GZIP_LEVEL)) < WORTH_IT * PROBE


def _checked(body: Octets) -> bytes:
    """Append the checksum; the only copy that is made of what does not shrink."""
    return b"".join((body, _fletcher32(body)))


def _fletcher32(body: Octets) -> bytes:
    return int(imagecodecs.h5checksum_fletcher32(body)).to_bytes(4, "little")
