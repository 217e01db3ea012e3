"""How large pixels are on the ground: as the user says, on the plane of the map, or on the ellipsoid."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.images.georeference import Georeference
from unsegcli.views.geo_files import metres_per_unit, system, to_longitude_latitude

Values = NDArray[np.float64]

EQUATOR, FLATTENING = 6_378_137.0, 1 / 298.257223563  # of WGS 84, in metres
SQUARED_ECCENTRICITY = FLATTENING * (2 - FLATTENING)
PLANE, ELLIPSOID = "plane", "ellipsoid"
ALMOST = (
    0.01  # share by which the plane of a map may differ from the ellipsoid, and the sides of a pixel from each other
)


@dataclass(frozen=True)
class Ground:
    """Sizes of the pixels of one image."""

    rows: Values  # (height,): area of a pixel in each row
    sides: tuple[float, float]  # across and down, in the middle of the image
    measured: str = ""  # PLANE or ELLIPSOID, then in metres; "" = given by the user, in its unit

    @property
    def side(self) -> float:
        """Side of a pixel; NaN if it is not a square."""
        across, down = self.sides
        return (across * down) ** 0.5 if abs(across - down) <= ALMOST * max(across, down) else float("nan")

    def areas(self, numbers: NDArray[np.integer[Any]], count: int) -> NDArray[Any]:
        """Return the area of each number below `count` in a map (height, width); negative = none."""
        kept = np.where(numbers < 0, count, numbers)
        if (self.rows == self.rows[0]).all():
            return np.bincount(kept.ravel(), minlength=count + 1)[:count] * float(self.rows[0])
        weights = np.broadcast_to(self.rows[:, None], kept.shape)
        return np.bincount(kept.ravel(), weights.ravel(), minlength=count + 1)[:count].astype(np.float64)


def given_ground(side: float, height: int) -> Ground:
    """Return pixels of a side that the user has given."""
    return Ground(np.full(height, side * side), (side, side))


def ground(place: Georeference, grid: tuple[int, int]) -> Ground | None:
    """Return the pixels of an image (height, width) from its place on the map; None if they cannot be measured.

    On the plane of the map, unless its unit is an angle, or it enlarges areas by more than a hundredth, as Web Mercator
    does far from the equator.
    """
    if not place.transform or system(place.crs) is None:
        return None
    rows, sides = _on_ellipsoid(place, grid)
    unit = metres_per_unit(place.crs)
    known = bool(np.isfinite(rows).all() and rows.all())
    if unit:
        a, b, _, d, e, _ = place.transform
        area = abs(a * e - b * d) * unit**2
        if not known or (np.abs(area / rows - 1) <= ALMOST).all():
            return Ground(np.full(grid[0], area), (hypot(a, d) * unit, hypot(b, e) * unit), PLANE)
    return Ground(rows, sides, ELLIPSOID) if known else None


def _on_ellipsoid(place: Georeference, grid: tuple[int, int]) -> tuple[Values, tuple[float, float]]:
    """Return the area of the pixel in the middle of each row, and the sides of the one in the middle, in metres."""
    height, width = grid
    x, y = np.full(height, width / 2), np.arange(height) + 0.5
    around = np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])
    points = mapped(place, np.concatenate([np.stack([x + right, y + down], axis=1) for right, down in around]))
    angles = np.radians(to_longitude_latitude(place.crs, points)).reshape(4, height, 2)
    across, down = (_metres(angles[start], angles[start + 1]) for start in (0, 2))
    rows: Values = np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0])
    middle = height // 2
    return rows, (float(np.hypot(*across[middle])), float(np.hypot(*down[middle])))


def _metres(one: Values, other: Values) -> Values:
    """Return the short way between two places, to the east and to the north; places are (rows, 2), in radians."""
    latitude = (one[:, 1] + other[:, 1]) / 2
    bent = 1 - SQUARED_ECCENTRICITY * np.sin(latitude) ** 2
    east, north = (one - other).T
    east = np.where(np.abs(east) > np.pi, east - np.sign(east) * 2 * np.pi, east)  # across the date line
    radius = EQUATOR / np.sqrt(bent)
    return np.stack([east * np.cos(latitude) * radius, north * radius * (1 - SQUARED_ECCENTRICITY) / bent], axis=1)


def mapped(place: Georeference, points: NDArray[Any]) -> Values:
    """Convert columns and rows (points, 2) of an image to coordinates of its map."""
    a, b, c, d, e, f = place.transform
    found: Values = points @ np.array([[a, d], [b, e]]) + np.array([c, f])
    return found
