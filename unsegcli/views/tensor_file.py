"""Write tensors in the format safetensors, which many programs read, and whose reading cannot run code.

A file is: the length of the header in 8 bytes, the header as JSON, and the values of all tensors, row by row. All
numbers are little-endian. The header has, for each name, the type, the shape, and the first byte and the byte after the
last among the values; and texts under `__metadata__`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ConfigError

TYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32",
    "int64": "I64", "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
BFLOAT16 = "BF16"
ALIGNED = 8  # the values start at a multiple of this many bytes
METADATA = "__metadata__"


def tensor_bytes(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str], bfloat16: Collection[str] = ()
) -> bytes:
    """Return the content of a file.

    Args:
        arrays: tensors by their names.
        metadata: texts that describe them.
        bfloat16: names of tensors whose values are given as the bits of bfloat16, in uint16.
    """
    header: dict[str, Any] = {METADATA: dict(metadata)}
    values, end = [], 0
    for name, array in arrays.items():
        kind = BFLOAT16 if name in bfloat16 else TYPES[array.dtype.name]
        content = np.asarray(array, array.dtype.newbyteorder("<"), order="C").tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + len(content)]}
        values.append(content)
        end += len(content)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return struct.pack("<Q", len(text)) + text + b"".join(values)


def write_tensor_file(path: str | Path, content: bytes, *, force: bool) -> bool:
    """Write a file as a whole, and return whether that was necessary.

    A file of the same content is left as it is; another one is replaced only with `force`.
    """
    path = Path(path)
    if path.exists():
        if path.is_file() and path.read_bytes() == content:
            return False
        if not force:
            raise ConfigError(
                f"{path}: exists and has other content; give another name with -o, or replace it with --force"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    beside.write_bytes(content)
    beside.replace(path)
    return True
