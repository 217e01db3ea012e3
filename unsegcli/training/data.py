"""All pictures of a training in memory, as bytes; what goes beyond a limit lies in a file beside the output.

Knows nothing of crops, order or methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """One window of a picture, as a training sees it."""

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
    """The pictures of a training."""

    pictures: list[Picture] = field(default_factory=list)
    channels: int = 0
    stored_bytes: int = 0  # in memory
    spilled_bytes: int = 0  # in the file

    @property
    def largest(self) -> tuple[int, int]:
        """Height and width that every picture fits into."""
        shapes = [picture.pixels.shape for picture in self.pictures]
        return max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def fill(pictures: Iterable[Picture], most_bytes: int = 0, spill: Path | None = None) -> Pool:
    """Take all pictures, the first so many bytes of them in memory, the others in a file that is mapped to memory.

    Args:
        pictures: taken one by one.
        most_bytes: to hold in memory.
        spill: the file for the rest; made only if it is needed, and again if it is there. None = all in memory.
    """
    pool = Pool()
    if spill is not None:
        spill.unlink(missing_ok=True)
    for picture in pictures:
        size = sum(part.nbytes for part in _parts(picture).values())
        if spill is not None and pool.stored_bytes + size > most_bytes:
            moved: dict[str, Any] = {name: _spilled(part, spill) for name, part in _parts(picture).items()}
            picture = replace(picture, **moved)
            pool.spilled_bytes += size
        else:
            pool.stored_bytes += size
        pool.pictures.append(picture)
        pool.channels = picture.pixels.shape[2]
    return pool


def _parts(picture: Picture) -> dict[str, NDArray[Any]]:
    return {name: part for name, part in vars(picture).items() if isinstance(part, np.ndarray)}


def _spilled(part: NDArray[Any], path: Path) -> NDArray[Any]:
    with path.open("ab") as stream:
        offset = stream.seek(0, 2)
        stream.write(np.ascontiguousarray(part).tobytes())
    return np.memmap(path, part.dtype, "r", offset, part.shape)
