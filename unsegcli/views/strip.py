"""Draw the progress of a mask: its outline on the image after selected iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import sample_nearest
from unsegcli.views.drawing import Tile, as_rgb, contact_sheet, fitted, outlined
from unsegcli.views.export import encoded

FRAMES = (0, 1, 2, 5, 10, 20, 40, 80, 150, 300, 600, 1200)  # iterations shown; most changes happen early
SMALLEST = 250  # minimum of a frame's longer side in pixels; smaller images are enlarged by an integer factor


def strip(title: str, pixels: NDArray[np.uint8], frames: Sequence[tuple[str, NDArray[Any]]]) -> bytes:
    """Return a PNG file of the image (height, width, bands) with each mask (height, width) and its caption."""

    height, width = pixels.shape[:2]
    factor = max(1, -(-SMALLEST // max(height, width)))
    grid = (height * factor, width * factor)
    rgb = fitted(as_rgb(pixels), grid)
    cells = [Tile(caption, outlined(rgb, sample_nearest(mask, grid))) for caption, mask in frames]
    return encoded(contact_sheet(title, cells, []), "png")
