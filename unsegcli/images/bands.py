"""Decide which bands to use and what the last band means, once for a whole folder.

Concerns bands only; the scaling of values is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unsegcli.errors import ConfigError, DataError
from unsegcli.images.decode import look_through, read_pixels
from unsegcli.images.find import all_as_digested
from unsegcli.images.header import Header, Pixels
from unsegcli.images.rasters import SurfaceMember

ALPHAS = ("auto", "drop", "mask", "band")
WITH_ALPHA = (2, 4)  # band counts for which the last band may be alpha
ALPHA_TYPES = ("uint8", "uint16")
ORDINALS = {2: "second", 4: "fourth"}


@dataclass(frozen=True)
class Taking:
    """The mapping from the bands of each image to working bands."""

    bands: tuple[int, ...]  # 1-based, in this order, as the user chose them; () = all that are not alpha
    alpha: str  # how to use the last of 2 or 4 bands: drop mask band; none if no image has 2 or 4
    channels: int  # number of working bands

    def colours(self, stored: int) -> list[int]:
        """Return the indices of the bands to use from an image of `stored` bands; a grey band may be repeated."""
        if self.bands:
            return [band - 1 for band in self.bands]
        count = stored - 1 if stored in WITH_ALPHA and self.alpha in ("drop", "mask") else stored
        return [0] * 3 if count == 1 and self.channels == 3 else list(range(count))

    def mask_band(self, stored: int) -> int | None:
        """Return the index of the band that is the mask of valid pixels, or None."""
        return stored - 1 if self.alpha == "mask" and stored in WITH_ALPHA else None

    def check(self, stored: int) -> None:
        """Refuse an image of `stored` bands that does not provide the requested bands."""
        if self.bands:
            if max(self.bands) > stored:
                raise DataError(f"--bands requests band {max(self.bands)}, but the image has {stored}")
        elif len(self.colours(stored)) != self.channels:
            raise DataError(
                f"{stored} bands do not give the {self.channels} bands of the other images: "
                "choose with --bands and --alpha"
            )


@dataclass(frozen=True)
class Decision:
    """How bands are used, and lines to log that explain why."""

    taking: Taking
    said: tuple[str, ...]
    warned: tuple[str, ...] = ()  # what is lost by this choice


@dataclass(frozen=True)
class AlphaTask:
    """An image whose last band is to be classified."""

    path: str
    digest: str
    page: int
    axes: str
    max_pixels: int
    members: tuple[SurfaceMember, ...] = ()  # of a surface
    in_parts: bool = False


def alpha_kind(task: AlphaTask) -> tuple[str, str]:
    """Classify the last band of an image: opaque (all maximum), empty (all 0), binary (both) or values.

    Returns:
        the class, or "unreadable", and the reason ("" if the image can be read).
    """
    path = Path(task.path)
    try:
        with all_as_digested([(one.path, one.digest) for one in task.members] or [(task.path, task.digest)]):
            if task.in_parts:
                return _kind_of_parts(look_through(path, task.members, kind_of_band)), ""
            pixels = read_pixels(path, task.page, task.axes, task.max_pixels).pixels
    except DataError as error:
        return "unreadable", str(error)
    return kind_of_band(pixels[:, :, -1]), ""


def _kind_of_parts(kinds: Iterable[str]) -> str:
    """Classify a band by its parts; stop at the first that is certainly not alpha."""
    found: set[str] = set()
    for kind in kinds:
        if kind == "values":
            return kind
        found.add(kind)
    return found.pop() if len(found) == 1 else "binary"


def kind_of_band(band: Pixels) -> str:
    """Classify a band as `alpha_kind` does."""
    opaque = band == np.iinfo(band.dtype).max
    if opaque.all():
        return "opaque"
    if not band.any():
        return "empty"
    return "binary" if bool((opaque | (band == 0)).all()) else "values"


def needs_alpha_kinds(alpha: str, bands: Sequence[int]) -> bool:
    """Return whether the meaning of the last band must be inferred from the pixels."""
    if alpha not in ALPHAS:
        raise ConfigError(f"--alpha {alpha}: choose one of {' '.join(ALPHAS)}")
    return alpha == "auto" and not bands


def may_be_alpha(header: Header) -> bool:
    """Return whether the last band of an image could be alpha."""
    return header.bands in WITH_ALPHA and header.dtype in ALPHA_TYPES


def decide(headers: Mapping[str, Header], alpha: str, bands: tuple[int, ...], kinds: Mapping[str, str]) -> Decision:
    """Decide which bands of the images of a folder are used.

    Args:
        headers: headers of all images, by name.
        alpha: auto, drop, mask or band.
        bands: the user's choice, 1-based; () = all.
        kinds: results of `alpha_kind` for the images that were read, by name.
    """
    if bands:
        return _as_chosen(headers, alpha, bands)
    said: list[str] = []
    warned: list[str] = []
    some = any(header.bands in WITH_ALPHA for header in headers.values())
    meaning = alpha if some else "none"
    if some and alpha == "auto":
        meaning = _meaning(headers, kinds)
        said.append(_why(headers, kinds, meaning))
    counts = _colour_counts(headers, meaning)
    if len(counts) > 1 and meaning == "band" and alpha == "auto":
        without = _colour_counts(headers, "drop")
        if set(without) <= {1, 3}:
            counts, meaning = without, "drop"
            said.pop()
            having = sum(header.bands in WITH_ALPHA for header in headers.values())
            warned.append(
                f"the last band of {having} of {len(headers)} images holds values, but the others have no such band: "
                "it is dropped (choose with --bands, or put the images into separate folders)"
            )
    if set(counts) == {1, 3}:
        said.append(f"grey images repeated to three bands: {len(counts[1])} of {len(headers)}")
    elif len(counts) > 1:
        raise DataError(_mixed(headers))
    channels = max(counts)
    return Decision(Taking((), meaning, channels), tuple(said), tuple(warned))


def _as_chosen(headers: Mapping[str, Header], alpha: str, bands: tuple[int, ...]) -> Decision:
    if min(bands) < 1:
        raise ConfigError(f"--bands {','.join(map(str, bands))}: bands are counted from 1")
    lacking = [name for name, header in headers.items() if header.bands < max(bands)]
    if lacking:
        first = f"{lacking[0]} has {headers[lacking[0]].bands}"
        raise DataError(f"--bands requests band {max(bands)}, but {len(lacking)} images have fewer: {first}")
    some = any(header.bands in WITH_ALPHA for header in headers.values())
    meaning = "none" if not some else "band" if alpha == "auto" else alpha
    return Decision(Taking(bands, meaning, len(bands)), ())


def _meaning(headers: Mapping[str, Header], kinds: Mapping[str, str]) -> str:
    found = {kinds.get(name, "values") for name, header in headers.items() if header.bands in WITH_ALPHA}
    if found in ({"opaque"}, {"empty"}):  # used as a mask, zeros everywhere would leave no valid pixels
        return "drop"
    return "mask" if found <= {"opaque", "binary", "empty"} else "band"


def _why(headers: Mapping[str, Header], kinds: Mapping[str, str], meaning: str) -> str:
    counts = sorted({header.bands for header in headers.values() if header.bands in WITH_ALPHA})
    band = " or ".join(ORDINALS[count] for count in counts) + " band"
    if meaning == "drop":
        constant = "0" if "empty" in kinds.values() else "at its maximum"
        return f"the {band} is {constant} everywhere: dropped (--alpha band keeps it)"
    if meaning == "mask":
        return f"the {band} is 0 or its maximum: used as the mask of valid pixels (--alpha band keeps it)"
    return f"the {band} holds values in between: used as a band, not as alpha (--alpha drop drops it)"


def _colour_counts(headers: Mapping[str, Header], meaning: str) -> dict[int, list[str]]:
    """Group the names of images by their number of bands, not counting alpha."""
    counts: dict[int, list[str]] = {}
    for name, header in headers.items():
        alpha = meaning in ("drop", "mask") and header.bands in WITH_ALPHA
        counts.setdefault(header.bands - alpha, []).append(name)
    return counts


def _mixed(headers: Mapping[str, Header]) -> str:
    counts: dict[int, list[str]] = {}
    for name, header in headers.items():
        counts.setdefault(header.bands, []).append(name)
    listed = ", ".join(
        f"{len(names)} of {count} band{'s' * (count > 1)} ({names[0]})" for count, names in sorted(counts.items())
    )
    return f"images of different numbers of bands: {listed}: choose bands that all images have, such as --bands 1,2,3"
