"""One window cut into superpixels, by one of the algorithms; what is asked for is checked here too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import in_cache
from unsegcli.dataflow.dataset import Window
from unsegcli.errors import ConfigError
from unsegcli.parallel import Report, say_nothing
from unsegcli.params import AUTO, Superpixels

REVISION = 2  # of `unseg superpixels`: raised when the same settings give other superpixels
FEW, MANY = 0.25, 1.1  # of the superpixels aimed at; scikit-image's SLIC and felzenszwalb often give half of them

# (pixels (height, width, bands), valid pixels or None, superpixels aimed at, settings, report) -> a map of superpixels
# numbered from 0, with -1 where no pixel is valid. An algorithm that takes long on a large image calls `report` with
# the share that is done, from 0 to 1.
Algorithm = Callable[[NDArray[np.uint8], NDArray[np.bool_] | None, int, Superpixels, Report], NDArray[Any]]


def _slic(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, aim: int, params: Superpixels, report: Report
) -> NDArray[Any]:
    from unsegcli.core.superpixels.slic import slic

    return slic(pixels, valid, aim, params.compactness, report)


def _slic_on_device(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, aim: int, params: Superpixels, device: str
) -> NDArray[Any]:
    from unsegcli.core.superpixels.slic_torch import slic_on_device
    from unsegcli.segmenters.trained import device_of

    return next(slic_on_device([pixels], valid, aim, params.compactness, device_of(device)))


def _slic_of_skimage(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, aim: int, params: Superpixels, report: Report
) -> NDArray[Any]:
    from unsegcli.core.superpixels.slic_skimage import slic_of_skimage

    return slic_of_skimage(pixels, valid, aim, params.compactness)


def _felzenszwalb(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, aim: int, params: Superpixels, report: Report
) -> NDArray[Any]:
    from unsegcli.core.superpixels.felzenszwalb import felzenszwalb

    return felzenszwalb(pixels, valid, aim)


# A faster engine is one more line here; only the worker that runs it imports it.
ALGORITHMS: dict[str, Algorithm] = {"slic": _slic, "slic-skimage": _slic_of_skimage, "felzenszwalb": _felzenszwalb}


@dataclass(frozen=True)
class Pieces:
    """The superpixels of one window."""

    regions: NDArray[Any]  # (height, width), numbered from 0; -1 where no pixel is valid
    count: int
    warning: str


def pieces_of(
    pixels: NDArray[np.uint8],
    valid: NDArray[np.bool_] | None,
    params: Superpixels,
    report: Report = say_nothing,
    device: str = AUTO,
) -> Pieces:
    """Cut pixels (height, width, bands) into superpixels.

    Args:
        pixels: (height, width, bands).
        valid: (height, width), or None = all.
        params: the algorithm and its settings.
        report: called with the share that is done, from 0 to 1.
        device: where to compute; auto = the CPU, which gives the same result on every machine.
    """
    area = pixels.shape[0] * pixels.shape[1] if valid is None else int(np.count_nonzero(valid))
    aim = max(1, min(params.segments or round(area / params.pixels_per_segment), area))
    if device in (AUTO, "cpu"):
        regions = ALGORITHMS[params.algorithm](pixels, valid, aim, params, report)
    else:
        regions = _slic_on_device(pixels, valid, aim, params, device)
    count = int(regions.max()) + 1
    return Pieces(regions, count, _warning(count, aim, area))


def cut_window(window: Window, params: Superpixels, device: str = AUTO) -> Pieces:
    """Cut a window into superpixels; the part of a window on which costs are estimated has fewer of them."""
    if params.segments:
        params = replace(params, segments=max(1, round(params.segments * window.share)))
    return pieces_of(window.pixels, window.valid, params, window.report, device)


def with_void(regions: NDArray[Any], count: int) -> NDArray[Any]:
    """Convert a map with -1 for void to uint16 or uint32, with void as the maximum of the type."""
    dtype = np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32
    return regions.astype(dtype)  # -1 wraps around to the maximum


def _warning(count: int, aim: int, area: int) -> str:
    if area == 0:
        return "no valid pixel; check --nodata, --mask and --alpha"
    if count < FEW * aim:
        return "far fewer superpixels than requested; noisy images need a larger --compactness, such as 100"
    if count > MANY * aim:
        return "more superpixels than requested: the valid pixels have that many separate parts"
    return ""


def check_superpixels(params: Superpixels, device: str = AUTO) -> None:
    """Raise an error for settings that are not valid."""
    if params.algorithm not in ALGORITHMS:
        raise ConfigError(f"--algorithm {params.algorithm}: is not one of {', '.join(ALGORITHMS)}")
    if device not in (AUTO, "cpu"):
        if params.algorithm != "slic":
            raise ConfigError(
                f"--device {device}: --algorithm {params.algorithm} runs on the CPU only; leave out --device"
            )
        _check_device(device)
    if params.segments < 0 or params.pixels_per_segment < 1:
        raise ConfigError("--segments and --pixels-per-segment must be at least 1")
    if not 0 < params.compactness < 1e6:
        raise ConfigError("--compactness must be above 0; 10 is usual, 1 follows colours, 100 gives squares")


def compiles_first(params: Superpixels) -> bool:
    """Return whether the algorithm will be compiled, as on its first run; False where that cannot be known."""
    return params.algorithm == "slic" and in_cache("unsegcli.core.superpixels.connected", "_relabel") is False


def _check_device(device: str) -> None:
    from unsegcli.segmenters.trained import device_of

    device_of(device)
