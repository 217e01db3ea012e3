"""Tiny trees in the layout, with the names and encodings in which data sets are published."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from unsegcli.datasets import potsdam


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def unpacked(files: Mapping[str, bytes], folder: Path) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tiff(pixels: NDArray[Any], **how: Any) -> bytes:
    out = io.BytesIO()
    extra = ["unspecified"] * (pixels.shape[2] - 3)
    tifffile.imwrite(out, pixels, photometric="rgb", extrasamples=extra or None, **how)
    return out.getvalue()


def potsdam_tile(tile: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (side, side, 4) and colours of labels (side, side, 3) of one tile."""
    random = np.random.default_rng([ord(letter) for letter in tile])
    side = potsdam.TILE
    pixels = random.integers(0, 256, (side, side, 4), np.uint8)
    palette = np.array([list(bytes.fromhex(one.color[1:])) for one in potsdam.PALETTE], np.uint8)
    return pixels, palette[random.integers(0, 6, (side // 8, side // 8))].repeat(8, 0).repeat(8, 1)


def potsdam_files(labels: int = 24) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of 4_Ortho_RGBIR.zip and of 5_Labels_all.zip, or of 5_Labels_for_participants.zip."""
    tiles = (*potsdam.LABELLED, *potsdam.OTHER)
    made = {tile: potsdam_tile(tile) for tile in tiles}
    images = {f"4_Ortho_RGBIR/top_potsdam_{tile}_RGBIR.tif": tiff(made[tile][0]) for tile in tiles}
    images |= {name.replace(".tif", ".tfw"): b"0.05\n0\n0\n-0.05\n368800\n5812200\n" for name in images}
    wanted = tiles[:labels]
    return images, {f"top_potsdam_{tile}_label.tif": tiff(made[tile][1], compression="lzw") for tile in wanted}
