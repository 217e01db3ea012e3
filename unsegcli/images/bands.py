"""Which bands of an image are taken, and what its last band means: decided once for a whole folder.

Looks at bands only; what their values become is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unsegcli.errors import ConfigError, DataError
from unsegcli.images.decode import read_pixels
from unsegcli.images.find import as_digested
from unsegcli.images.header import Header, Pixels

ALPHAS = ("auto", "drop", "mask", "band")
WITH_ALPHA = (2, 4)  # numbers of bands of which the last may be alpha
ALPHA_TYPES = ("uint8", "uint16")
ORDINALS = {2: "second", 4: "fourth"}


@dataclass(frozen=True)
class Taking:
    """Which bands of each image become which working bands."""

    bands: tuple[int, ...]  # 1-based, in this order, as the user chose them; () = all that are not alpha
    alpha: str  # of the last of 2 or 4 bands: drop mask band; none where no image has so many
    channels: int  # number of working bands

    def colours(self, stored: int) -> list[int]:
        """Indices of the bands to take from an image of `stored` bands, a grey one repeated as needed."""
        if self.bands:
            return [band - 1 for band in self.bands]
        count = stored - 1 if stored in WITH_ALPHA and self.alpha in ("drop", "mask") else stored
        return [0] * 3 if count == 1 and self.channels == 3 else list(range(count))

    def mask_band(self, stored: int) -> int | None:
        """Index of the band that is not zero where pixels are valid, if there is one."""
        return stored - 1 if self.alpha == "mask" and stored in WITH_ALPHA else None

    def check(self, stored: int) -> None:
        """Refuse an image of `stored` bands that does not give the bands asked for."""
        if self.bands:
            if max(self.bands) > stored:
                raise DataError(f"band {max(self.bands)} is asked for, but there are {stored}: see --bands")
        elif len(self.colours(stored)) != self.channels:
            raise DataError(
                f"{stored} bands, which do not make the {self.channels} bands that the others have: "
                "choose with --bands and --alpha"
            )


@dataclass(frozen=True)
class Decision:
    """How bands are taken, and why, in lines to be said aloud."""

    taking: Taking
    said: tuple[str, ...]
    warned: tuple[str, ...] = ()  # what is lost by it


@dataclass(frozen=True)
class AlphaTask:
    """Where to look for what the last band of an image holds."""

    path: str
    digest: str
    page: int
    axes: str
    max_pixels: int


def alpha_kind(task: AlphaTask) -> tuple[str, str]:
    """Say what the last band of an image holds: opaque (its maximum), empty (0), binary (both) or values.

    Returns:
        the kind, and why the image cannot be read ("" if it can).
    """
    path = Path(task.path)
    try:
        with as_digested(path, task.digest):
            pixels = read_pixels(path, task.page, task.axes, task.max_pixels).pixels
    except DataError as error:
        return "unreadable", str(error)
    return kind_of_band(pixels[:, :, -1]), ""


def kind_of_band(band: Pixels) -> str:
    """See `alpha_kind`."""
    opaque = band == np.iinfo(band.dtype).max
    if opaque.all():
        return "opaque"
    if not band.any():
        return "empty"
    return "binary" if bool((opaque | (band == 0)).all()) else "values"


def needs_alpha_kinds(alpha: str, bands: Sequence[int]) -> bool:
    """Whether the settings leave open what a last band means, so that images must be looked into."""
    if alpha not in ALPHAS:
        raise ConfigError(f"--alpha {alpha}: give one of {' '.join(ALPHAS)}")
    return alpha == "auto" and not bands


def may_be_alpha(header: Header) -> bool:
    """Whether the last band of an image is one that could be alpha."""
    return header.bands in WITH_ALPHA and header.dtype in ALPHA_TYPES


def decide(headers: Mapping[str, Header], alpha: str, bands: tuple[int, ...], kinds: Mapping[str, str]) -> Decision:
    """Decide for a folder which bands are taken.

    Args:
        headers: of all its images, by name.
        alpha: auto, drop, mask or band.
        bands: as chosen by the user, 1-based; () = all.
        kinds: of the last bands of those images that were looked into, by name.
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
                "it is left out (choose with --bands, or put the images into folders of their own)"
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
        raise DataError(f"--bands asks for band {max(bands)}, but {len(lacking)} images have fewer: {first}")
    some = any(header.bands in WITH_ALPHA for header in headers.values())
    meaning = "none" if not some else "band" if alpha == "auto" else alpha
    return Decision(Taking(bands, meaning, len(bands)), ())


def _meaning(headers: Mapping[str, Header], kinds: Mapping[str, str]) -> str:
    found = {kinds.get(name, "values") for name, header in headers.items() if header.bands in WITH_ALPHA}
    if found in ({"opaque"}, {"empty"}):  # as a mask, zeros everywhere would leave nothing valid
        return "drop"
    return "mask" if found <= {"opaque", "binary", "empty"} else "band"


def _why(headers: Mapping[str, Header], kinds: Mapping[str, str], meaning: str) -> str:
    counts = sorted({header.bands for header in headers.values() if header.bands in WITH_ALPHA})
    band = " or ".join(ORDINALS[count] for count in counts) + " band"
    if meaning == "drop":
        constant = "0" if "empty" in kinds.values() else "at its maximum"
        return f"the {band} is {constant} everywhere: dropped (--alpha band keeps it)"
    if meaning == "mask":
        return f"the {band} is 0 or its maximum: taken as the mask of valid pixels (--alpha band keeps it)"
    return f"the {band} holds values between: taken as a band, not as alpha (--alpha drop leaves it out)"


def _colour_counts(headers: Mapping[str, Header], meaning: str) -> dict[int, list[str]]:
    """Names of images by the number of their bands, alpha not counted."""
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
    return f"images of different numbers of bands: {listed}: take bands that all have, such as --bands 1,2,3"
