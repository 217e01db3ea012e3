"""How near the pixels of a window are to the centre of their cluster and to the second nearest, as files hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.kmeans import two_nearest
from unsegcli.store.kinds import UNKNOWN_DISTANCE

STEPS = UNKNOWN_DISTANCE - 1  # the number of the farthest distance; the one above means void or no second centre
COARSE = 16


@dataclass(frozen=True)
class Nearness:
    """The nearest centre of each of some points, and how far away it and the second nearest are."""

    clusters: NDArray[Any]  # (point,)
    shares: NDArray[np.uint8]  # (point, 2) of `farthest`, in STEPS
    farthest: float

    def painted(self, places: NDArray[np.integer]) -> tuple[dict[str, store.Encoded], dict[str, float]]:
        """Return the distances of a window, encoded, and its entry in the table of windows.

        Args:
            places: (height, width) the point of each pixel, -1 = void.
        """
        # Index -1 selects the last row. One value of 16 bits for both distances is painted twice as fast.
        pairs = np.append(self.shares, np.full((1, 2), UNKNOWN_DISTANCE, np.uint8), axis=0).view(np.uint16)[:, 0]
        distances = pairs[places].view(np.uint8).reshape(*places.shape, 2)
        return {"distances": store.encode(distances)}, {"farthest": self.farthest}


def nearness(points: NDArray[Any], centres: NDArray[Any], step: int = 1) -> Nearness:
    """Assign points to their nearest centres, and measure how far these are.

    Args:
        points: (points, dimensions).
        centres: (clusters, dimensions).
        step: distances are rounded to multiples of this, as COARSE for pixels, whose noise cannot be compressed.
    """
    clusters, distances = two_nearest(points, centres)
    shares = np.full(distances.shape, UNKNOWN_DISTANCE, np.uint8)
    known = distances[:, : len(centres)]  # without the second of a single centre
    farthest = float(known.max(initial=0.0))
    shares[:, : len(centres)] = in_steps(known, farthest, step)
    return Nearness(clusters, shares, farthest)


def in_steps(distances: NDArray[Any], farthest: float, step: int = 1) -> NDArray[np.uint8]:
    """Round distances to numbers of steps, of which the farthest distance has STEPS."""
    rounded = np.rint(distances * (STEPS / step / (farthest or 1.0))) * step
    steps: NDArray[np.uint8] = np.minimum(rounded, STEPS).astype(np.uint8)
    return steps
