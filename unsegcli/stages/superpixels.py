"""`unseg superpixels`: divide images into superpixels, the first step of most pipelines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.dataflow.dataset import Window, find_dataset
from unsegcli.dataflow.runner import Outcome, Result, Stage, plain_peak, prepare
from unsegcli.errors import ConfigError
from unsegcli.params import Inputs, Run, Superpixels

STAGE = Stage("superpixels", 1, "superpixels")
BYTES_A_PIXEL_IN_LAB = 80
FEW = 0.25  # fraction of the target number; merging small pieces removes up to half on ordinary photographs

# (pixels (height, width, bands), valid pixels or None, target number of superpixels, settings) -> superpixels
# numbered from 0, -1 = void.
Algorithm = Callable[[NDArray[np.uint8], NDArray[np.bool_] | None, int, Superpixels], NDArray[Any]]


def _slic(pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, aim: int, params: Superpixels) -> NDArray[Any]:
    from unsegcli.core.superpixels.slic import slic

    return slic(pixels, valid, aim, params.compactness)


def _felzenszwalb(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, aim: int, params: Superpixels
) -> NDArray[Any]:
    from unsegcli.core.superpixels.felzenszwalb import felzenszwalb

    return felzenszwalb(pixels, valid, aim)


# To add an algorithm, add a line here; it is imported only by the worker that runs it.
ALGORITHMS: dict[str, Algorithm] = {"slic": _slic, "felzenszwalb": _felzenszwalb}


def superpixels(inputs: Inputs, params: Superpixels | None = None, run: Run | None = None) -> Outcome:
    """Divide every image into superpixels and write them, with the pixels, to one artifact.

    Args:
        inputs: folders, files, globs or lists of images; or an artifact of superpixels, whose pixels are used.
        params: the algorithm and its settings.
        run: how to run, and the artifact to write.
    """
    params, run = params or Superpixels(), (run or Run()).of("superpixels")
    _check(params, inputs)
    found = prepare(STAGE, find_dataset(inputs, known_from=run.output), run, [params])
    return found.write(partial(cut_into_superpixels, params=params), "superpixels", {}, peak=peak_of_slic)


def peak_of_slic(pixels: int, bands: int) -> float:
    """Estimate the peak memory of SLIC in bytes, from measurements (tests/benchmarks/bench_estimate.py)."""
    return pixels * BYTES_A_PIXEL_IN_LAB if bands == 3 else plain_peak(pixels, bands)


def cut_into_superpixels(window: Window, params: Superpixels) -> Result:
    """Compute and encode the superpixels of one window."""
    area = window.box.height * window.box.width if window.valid is None else int(np.count_nonzero(window.valid))
    aim = params.segments or round(area / params.pixels_per_segment)
    regions = ALGORITHMS[params.algorithm](window.pixels, window.valid, max(1, min(aim, area)), params)
    count = int(regions.max()) + 1
    datasets = {"superpixels": store.encode(with_void(regions, count))}
    if params.pixels:
        datasets["images"] = store.encode(window.pixels)
    return Result(datasets, {"superpixels": count}, _warning(count, max(1, min(aim, area)), area))


def _warning(count: int, aim: int, area: int) -> str:
    if area == 0:
        return "no valid pixel; check --nodata, --mask and --alpha"
    if count < FEW * aim:
        return "far fewer superpixels than requested; noisy images need a larger --compactness, such as 100"
    return ""


def with_void(regions: NDArray[Any], count: int) -> NDArray[Any]:
    """Convert a map with -1 for void to uint16 or uint32, with void as the maximum of the type."""
    dtype = np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32
    return regions.astype(dtype)  # -1 wraps around to the maximum


def _check(params: Superpixels, inputs: Inputs) -> None:
    if inputs.mask is not None and not params.pixels:
        raise ConfigError("--mask cannot be used with --no-pixels, since masks are not stored: leave out one of them")
    if params.algorithm not in ALGORITHMS:
        raise ConfigError(f"--algorithm {params.algorithm}: is not one of {', '.join(ALGORITHMS)}")
    if params.segments < 0 or params.pixels_per_segment < 1:
        raise ConfigError("--segments and --pixels-per-segment must be at least 1")
    if not 0 < params.compactness < 1e6:
        raise ConfigError("--compactness must be above 0; 10 is usual, 1 follows colours, 100 gives squares")
