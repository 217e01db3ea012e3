"""Polygons of a large image in a temporary file, on their way to a layer that one process writes for all images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.views.map_features import Rings, wkb


@dataclass(frozen=True)
class MapPolygons:
    """Some polygons of an image."""

    numbers: NDArray[np.int64]  # of the parts, from 0
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]  # in m2; NaN = not known
    shapes: list[bytes]  # WKB


NO_POLYGONS = MapPolygons(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), [])


class PolygonSpool:
    """Writes polygons as arrays, one group after the other."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")

    def add(self, numbers: Any, classes: Any, areas: Any, shapes: list[Rings]) -> None:
        """Add a group; shapes are in coordinates of the map."""
        texts = [wkb(rings) for rings in shapes]
        sizes = np.array([len(text) for text in texts], np.int64)
        for values in (numbers, classes, areas, sizes, np.frombuffer(b"".join(texts), np.uint8)):
            np.save(self._file, values, allow_pickle=False)

    def close(self) -> None:
        self._file.close()


def spooled(path: Path) -> Iterator[MapPolygons]:
    """Yield the groups of a file, and remove it at the end."""
    end = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < end:
            numbers, classes, areas, sizes, text = (np.load(file, allow_pickle=False) for _ in range(5))
            stops = np.cumsum(sizes).tolist()
            whole = text.tobytes()
            shapes = [whole[stop - size : stop] for stop, size in zip(stops, sizes.tolist(), strict=True)]
            yield MapPolygons(numbers, classes, areas, shapes)
    path.unlink()
