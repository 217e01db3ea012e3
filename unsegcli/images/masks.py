"""Masks of valid pixels in a folder of their own: one file for each picture, of the same stem.

Says where pixels are valid, nothing else; a mask is never ground truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import DataError
from unsegcli.images.decode import read_header, read_index
from unsegcli.images.find import SUFFIXES, names_below
from unsegcli.images.header import Header

MISSING_SHOWN = 5


@dataclass(frozen=True)
class MaskFile:
    """The mask of one picture."""

    path: Path
    page: int


def find_masks(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Find the mask file of each picture file: of the same relative path but suffix, or else the same stem.

    Args:
        folder: where the masks lie.
        names: of picture files, relative to their own folder, with / between the parts.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: --mask names a folder with a mask for each picture")
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
            raise DataError(f"{folder}: several masks for {name}: {', '.join(found_for[:MISSING_SHOWN])}")
        if found_for:
            masks[name] = folder / found_for[0]
        else:
            missing.append(name)
    if missing:
        raise DataError(_without_mask(folder, missing))
    return masks


def check_mask(path: Path, page: int, name: str, header: Header) -> MaskFile:
    """Refuse a mask that does not fit its picture; say which page of the mask file belongs to it.

    Args:
        path: the mask file.
        page: of the picture in its own file.
        name: of the picture.
        header: of the picture.
    """
    mask = read_header(path)
    found, asked = (mask.height, mask.width), header.oriented
    if found != asked:
        sizes = f"{path}: the mask is {found[0]} x {found[1]}, but {name} is {asked[0]} x {asked[1]}"
        if found == (header.height, header.width):
            raise DataError(
                f"{sizes} after its EXIF orientation {header.orientation} turned it: turn the mask likewise"
            )
        raise DataError(f"{sizes}: give a mask of the same size")
    if mask.pages not in (1, header.pages):
        raise DataError(f"{path}: the mask has {mask.pages} pages, but the file of {name} has {header.pages}")
    return MaskFile(path, page if mask.pages > 1 else 0)


def read_mask(path: Path, page: int, max_pixels: int) -> NDArray[np.bool_]:
    """Valid pixels (height, width): where any band of the mask, but for alpha, is not zero."""
    values = read_index(path, page, max_pixels)
    if values.ndim == 3 and read_header(path).layout.endswith("+alpha") and values.shape[2] in (2, 4):
        values = values[:, :, :-1]
    valid = (values != 0) & np.isfinite(values)
    return np.asarray(valid if valid.ndim == 2 else valid.any(axis=2))


def _without_suffix(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _without_mask(folder: Path, missing: Sequence[str]) -> str:
    shown = ", ".join(missing[:MISSING_SHOWN]) + (", ..." if len(missing) > MISSING_SHOWN else "")
    count = f"{len(missing)} picture{'s' * (len(missing) > 1)}"
    return f"{folder}: no mask for {count}: {shown}: give each a file of its stem ({' '.join(SUFFIXES)})"
