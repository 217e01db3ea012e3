"""Read MATLAB files, whose variables are compressed: what they unpack to is bounded before it is unpacked."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from unsegcli.errors import DataError
from unsegcli.images.decode import BROKEN
from unsegcli.images.header import MAX_PIXELS, millions

MOST_BYTES = MAX_PIXELS  # in all variables of a file, unpacked: a byte for each pixel of the largest image
HEADER, TAG = 128, 8  # bytes of the header of a file, and of the tag before each variable
COMPRESSED = 15  # type of a variable
BLOCK = 1 << 20


def mat_variables(content: bytes | bytearray, what: str) -> dict[str, Any]:
    """Return the variables of a MATLAB file; `what` names it in errors."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if max(len(content), _unpacked_size(content)) > MOST_BYTES:
        raise DataError(
            f"{what}: unpacks to more than {millions(MOST_BYTES)} million bytes, the limit for MATLAB files: save "
            "larger maps as PNG, TIFF or NPY"
        )
    stream: Any = io.BytesIO(content)
    try:
        found = loadmat(stream)
    except NotImplementedError as error:
        raise DataError(f"{what}: is in MATLAB 7.3 format: save it again with save(..., '-v7')") from error
    except (MatReadError, MemoryError, RecursionError, *BROKEN) as error:  # broken sizes may request any memory
        raise DataError(f"{what}: is not a readable .mat file: {error}") from error
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _unpacked_size(content: bytes | bytearray) -> int:
    """Return how many bytes the variables of a file unpack to; counting stops above the limit."""
    order = "<" if content[HEADER - 2 : HEADER] == b"IM" else ">"
    total, place = 0, HEADER
    while place + TAG <= len(content) and total <= MOST_BYTES:
        kind, size = struct.unpack_from(f"{order}II", content, place)
        part = content[place + TAG : place + TAG + size]
        total += _inflated(part, MOST_BYTES - total) if kind == COMPRESSED else len(part)
        place += TAG + size
    return total


def _inflated(part: bytes | bytearray, most: int) -> int:
    """Return how many bytes a compressed variable unpacks to, or more than `most`; of a broken one, up to there."""
    unpacker, size = zlib.decompressobj(), 0
    try:
        while not unpacker.eof and size <= most:
            block = unpacker.decompress(part, BLOCK)
            size += len(block)
            part = unpacker.unconsumed_tail
            if not block and not part:
                break
    except zlib.error:  # reported when the file is read
        pass
    return size
