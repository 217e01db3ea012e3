"""The image as people see it: RGB, brightened if it is dark, at most as large as a screen needs."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import sample_nearest
from unsegcli.views import drawing
from unsegcli.views.drawing import Rgb

LONGEST_IMAGE, LONGEST_THUMB = 1024, 256  # of the longer side
QUALITY = 90  # of JPEG


class Displayed(NamedTuple):
    """An image to show."""

    rgb: Rgb
    brighter: bool  # than it was worked on


def displayed(pixels: NDArray[np.uint8], values: NDArray[Any]) -> Displayed:
    """Convert working pixels (height, width, bands) to RGB; void pixels of the label map do not count as dark."""
    rgb = drawing.as_rgb(pixels)
    brighter = drawing.brightened(rgb, sample_nearest(values, (rgb.shape[0], rgb.shape[1])) >= 0)
    return Displayed(rgb, False) if brighter is None else Displayed(brighter, True)


def jpeg(image: Rgb, longest: int = 0) -> bytes:
    """Encode an image, shrunk so that its longer side is at most `longest`; 0 = as it is."""
    stream = io.BytesIO()
    shown = drawing.shrunk(image, longest) if longest else image
    Image.fromarray(shown).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
