"""Read the data of a page of `unseg visualize` back from its scripts."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VOID = 0xFFFFFF


def page_data(folder: Path) -> dict[str, Any]:
    """What `unseg.page` is called with."""
    return _called(folder / "data" / "page.js", "unseg.page(")


def page_maps(folder: Path, number: int) -> dict[str, Any]:
    """What `unseg.maps` is called with for an image."""
    found: dict[str, Any] = _called(folder / "data" / "maps" / f"{number}.js", f"unseg.maps({number},")
    return found


def _called(path: Path, start: str) -> Any:
    text = path.read_bytes().decode("ascii")
    assert "<" not in text
    assert text.startswith(start)
    assert text.endswith(");\n")
    return json.loads(text[len(start) : -3])


def decoded(address: str) -> NDArray[np.int64]:
    """The numbers of a map, as a browser sees them; -1 = void."""
    kind, _, content = address.partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int64), 2, 0)
    numbers = red + 256 * green + 65536 * blue
    return np.where(numbers == VOID, -1, numbers)


def shown(folder: Path, name: str) -> NDArray[np.uint8]:
    """The pixels of a file of the page."""
    with Image.open(folder / name) as image:
        return np.asarray(image.convert("RGB"))
