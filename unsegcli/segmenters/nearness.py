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


def nearness(points: NDArray[Any], centres: NDArray[Any]) -> Nearness:
    """Assign points (points, dimensions) to their nearest centres (clusters, dimensions)."""
    clusters, distances = two_nearest(points, centres)
    known = np.isfinite(distances)
    farthest = float(distances.max(initial=0.0, where=known))
    shares = np.full(distances.shape, UNKNOWN_DISTANCE, np.uint8)
    np.rint(distances * (STEPS / (farthest or 1.0)), out=shares, where=known, casting="unsafe")
    return Nearness(clusters, shares, farthest)
