"""Objects of a large image, measured a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.part_measures import MeanSums, MeasureSums
from unsegcli.core.pieces import Parts
from unsegcli.dataflow.label_maps import StoredMap
from unsegcli.errors import DataError
from unsegcli.views.backdrop import working_bands
from unsegcli.views.exported_image import ExportTask, in_source_values
from unsegcli.views.ground import Ground
from unsegcli.views.object_files import Objects

Bands = Iterator[tuple[int, NDArray[Any]]]


class LargeObjects:
    """The connected parts of one image, and what is known of them after the bands so far."""

    def __init__(self, task: ExportTask, item: StoredMap, parts: Parts, size: Ground | None) -> None:
        """Begin with the first row.

        Args:
            task: the image.
            item: its map.
            parts: those that are objects.
            size: of pixels; None = not known.
        """
        self.parts, self.task, self._size = parts, task, size
        self.classes = np.array(task.plan.classes, np.int64)[parts.values]
        count = len(parts.values)
        self._even = size is not None and bool((size.rows == size.rows[0]).all())
        self._real = np.zeros(count)
        self._measures = _Measures(task, item, count) if task.plan.objects else None

    def add(self, first: int, pieces: NDArray[np.int32]) -> NDArray[np.int32]:
        """Measure a band whose pieces are given; return the numbers of objects, -1 = none."""
        own = self.parts.of_piece[pieces]
        if self._size is not None and not self._even:
            inside = own >= 0
            weights = np.broadcast_to(self._size.rows[first : first + len(own), None], own.shape)
            self._real += np.bincount(own[inside], weights[inside], minlength=len(self._real))
        if self._measures is not None:
            self._measures.add(own)
        return own

    def areas(self) -> NDArray[np.float64] | None:
        """Return areas in real units, of parts that have ended; None = not known."""
        if self._size is None:
            return None
        return self.parts.areas.astype(np.float64) * float(self._size.rows[0]) if self._even else self._real

    def described(self) -> tuple[Objects | None, str]:
        """Return all objects, if they are measured, and what could not be."""
        if self._measures is None:
            return None, ""
        side = float("nan") if self._size is None else self._size.side
        return self._measures.objects(self.classes, self.areas(), side)


class _Measures:
    """What the table of objects says of them."""

    def __init__(self, task: ExportTask, item: StoredMap, count: int) -> None:
        self._sums, self._scaling = MeasureSums(count), item.source.scaling
        self._sure = _Means(item.sure_bands(), count)
        self._means = _Means(working_bands(item, task.regions, task.image), count)

    def add(self, parts: NDArray[np.int32]) -> None:
        """Add a band."""
        for one in (self._sums, self._sure, self._means):
            one.add(parts)

    def objects(
        self, classes: NDArray[np.int64], areas: NDArray[np.float64] | None, side: float
    ) -> tuple[Objects, str]:
        """Return all objects, and what could not be measured."""
        means, sure = self._means.found(), self._sure.found()
        if means is not None and len(self._scaling) == means.shape[1]:
            means = in_source_values(means, self._scaling)
        of_objects = None if sure is None else sure[:, 0]
        measures = self._sums.measures()
        return Objects(tuple(classes.tolist()), measures, means, of_objects, areas, side), self._means.failed


class _Means:
    """Averages bands of values over parts, whose bands may be others."""

    def __init__(self, bands: Bands | None, count: int) -> None:
        self._bands, self._sums = bands, MeanSums(count)
        self._held: list[NDArray[Any]] = []
        self.failed = ""

    def add(self, parts: NDArray[np.int32]) -> None:
        if self._bands is None:
            return
        try:
            values = self._rows(len(parts))
        except DataError as error:
            self._bands, self.failed = None, str(error)
            return
        self._sums.add(values if values.ndim == 3 else values[:, :, None], parts)

    def _rows(self, count: int) -> NDArray[Any]:
        """Return the next rows."""
        assert self._bands is not None
        while sum(map(len, self._held)) < count:
            self._held.append(next(self._bands)[1])
        held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held = [held[count:]] if len(held) > count else []
        return held[:count]

    def found(self) -> NDArray[np.float64] | None:
        """Return the averages; None = there are no values."""
        return None if self._bands is None else self._sums.means()
