"""Read masks from a folder that has one file for each image, with the same stem.

A mask marks valid pixels, or an object found by some tool; it is never ground truth.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box
from unsegcli.errors import DataError
from unsegcli.images.decode import read_header, read_index, read_part
from unsegcli.images.find import SUFFIXES, FileState, file_state, names_below
from unsegcli.images.header import Header, Pixels

MISSING_SHOWN = 5
FULL = 255  # many tools write 255 for 1


@dataclass(frozen=True)
class MaskFile:
    """The mask of one image."""

    path: Path
    page: int


def find_masks(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Find the mask file of each image: the same relative path without suffix, or else the same stem.

    Args:
        folder: the folder of masks.
        names: names of image files, relative to their own folder, with / between the parts.
    """
    masks, missing = match_masks(folder, names, "--mask")
    if missing:
        raise DataError(_without_mask(folder, missing))
    return masks


def match_masks(folder: Path, names: Sequence[str], option: str) -> tuple[dict[str, Path], list[str]]:
    """Return the masks found, as in `find_masks`, and the names without a mask; `option` is for the error message."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give {option} a folder with a mask for each image")
    by_path: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for found in sorted(names_below(folder)):
        by_path.setdefault(_without_suffix(found), []).append(found)
        by_stem.setdefault(PurePosixPath(found).stem, []).append(found)
    masks: dict[str, Path] = {}
    missing = []
    for name in names:
        found_for = by_path.get(_without_suffix(name)) or by_stem.get(PurePosixPath(name).stem, [])
        if len(found_for) > 1:
            raise DataError(
                f"{folder}: several masks for {name}: {', '.join(found_for[:MISSING_SHOWN])}: keep one of them"
            )
        if found_for:
            masks[name] = folder / found_for[0]
        else:
            missing.append(name)
    return masks, missing


def check_mask(path: Path, page: int, name: str, header: Header) -> MaskFile:
    """Check that a mask fits its image, and return the page of the mask file that belongs to it.

    Args:
        path: the mask file.
        page: page of the image in its own file.
        name: name of the image.
        header: header of the image.
    """
    mask = read_header(path)
    check_size(path, mask, name, header.oriented, header.orientation)
    if mask.pages not in (1, header.pages):
        raise DataError(f"{path}: the mask has {mask.pages} pages, but the file of {name} has {header.pages}")
    return MaskFile(path, page if mask.pages > 1 else 0)


def check_size(path: Path, mask: Header, name: str, shown: tuple[int, int], orientation: int) -> None:
    """Refuse a mask whose height and width differ from those of the image as shown."""
    found = (mask.height, mask.width)
    if found == shown:
        return
    sizes = f"{path}: the mask is {found[0]} x {found[1]}, but {name} is {shown[0]} x {shown[1]}"
    if orientation >= 5 and found == shown[::-1]:
        raise DataError(f"{sizes} after applying its EXIF orientation {orientation}: rotate the mask likewise")
    raise DataError(f"{sizes}: give a mask of the same size")


def read_mask(path: Path, page: int, max_pixels: int) -> NDArray[np.bool_]:
    """Read the valid pixels (height, width): those where any band except alpha is nonzero."""
    return _valid(path, read_index(path, page, max_pixels))


def read_part_of_mask(path: Path, page: int, box: Box, size: tuple[int, int], max_pixels: int) -> NDArray[np.bool_]:
    """Read a part of the valid pixels, as `read_mask`; a file that cannot be decoded in parts stays in memory."""
    if read_header(path).in_parts:
        return _valid(path, read_part(path, box, (), size, stored=True).pixels)
    whole = _whole_mask(path, file_state(path), page, max_pixels)
    if whole.shape != size:
        raise DataError(
            f"{path}: the mask is {whole.shape[0]} x {whole.shape[1]}: give a mask of {size[0]} x {size[1]}"
        )
    return np.ascontiguousarray(whole[box.slices])


@functools.lru_cache(maxsize=1)
def _whole_mask(path: Path, state: FileState | None, page: int, max_pixels: int) -> NDArray[np.bool_]:
    """Read a mask once for all its parts, and again when the file has changed."""
    return read_mask(path, page, max_pixels)


def _valid(path: Path, stored: Pixels) -> NDArray[np.bool_]:
    values = _without_alpha(path, stored)
    valid = (values != 0) & np.isfinite(values)
    return np.asarray(valid if valid.ndim == 2 else valid.any(axis=2))


def read_object(path: Path, page: int) -> NDArray[np.bool_]:
    """Read an object mask (height, width) of 0 and 1, or of 0 and 255; several bands must be equal."""
    values = _without_alpha(path, read_index(path, page))
    if values.ndim == 3 and (values == values[:, :, :1]).all():
        values = values[:, :, 0]
    found = np.unique(values)
    if values.ndim == 3 or not (set(found.tolist()) <= {0, 1} or set(found.tolist()) <= {0, FULL}):
        shown = ", ".join(f"{value:g}" for value in found[:MISSING_SHOWN])
        raise DataError(
            f"{path}: an object mask has one band of 0 and 1, or of 0 and {FULL}, but this file has {shown}, ..."
        )
    return np.asarray(values != 0)


def _without_alpha(path: Path, values: Pixels) -> Pixels:
    if values.ndim == 3 and values.shape[2] in (2, 4) and read_header(path).layout.endswith("+alpha"):
        return values[:, :, :-1]
    return values


def _without_suffix(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _without_mask(folder: Path, missing: Sequence[str]) -> str:
    shown = ", ".join(missing[:MISSING_SHOWN]) + (", ..." if len(missing) > MISSING_SHOWN else "")
    count = f"{len(missing)} image{'s' * (len(missing) > 1)}"
    return f"{folder}: no mask for {count}: {shown}: add a file with the same stem for each ({' '.join(SUFFIXES)})"
