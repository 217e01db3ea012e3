"""`unseg superpixels`: divide images into superpixels, the first step of most pipelines."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from unsegcli import console, store
from unsegcli.dataflow.dataset import Dataset, Window, find_dataset
from unsegcli.dataflow.runner import Outcome, Result, Stage, plain_peak, prepare
from unsegcli.errors import ConfigError
from unsegcli.params import AUTO, SUPERPIXELS, Images, Inputs, Run, Superpixels, changed_options
from unsegcli.segmenters.cutting import REVISION, check_superpixels, compiles_first, cut_window, with_void

if TYPE_CHECKING:
    from unsegcli.segmenters.cutting_alike import CutAlike

STAGE = Stage("superpixels", REVISION, "superpixels")
# Peak memory in bytes, measured by tests/benchmarks/bench_estimate.py
COMPILED_CODE = 90e6
SLIC_A_PIXEL, SLIC_A_PIXEL_AND_BAND = 10, 5.5
SKIMAGE_A_PIXEL_IN_LAB = 80


def superpixels(inputs: Inputs, params: Superpixels | None = None, run: Run | None = None) -> Outcome:
    """Divide every image into superpixels and write them, with the pixels, to one artifact.

    Args:
        inputs: folders, files, globs or lists of images; or an artifact of superpixels, whose pixels are used.
        params: the algorithm and its settings.
        run: how to run, and the artifact to write.
    """
    params, run = params or Superpixels(), (run or Run()).of("superpixels")
    earlier = _earlier(params, inputs)
    if earlier is not None:
        params = replace(earlier.params, pixels=params.pixels)
    _check(params, inputs, run.device)
    found = prepare(STAGE, _dataset(inputs, run, earlier), run, [params])
    if found.earlier is None and run.device in (AUTO, "cpu") and compiles_first(params):
        console.note("the first run compiles SLIC for this processor, which takes about ten seconds")
    return found.write(
        partial(cut_into_superpixels, params=params, device=run.device),
        "superpixels",
        {},
        peak=partial(peak_of, params.algorithm),
        separate=True,
    )


def peak_of(algorithm: str, pixels: int, bands: int) -> float:
    """Estimate the peak memory of an algorithm in bytes."""
    if algorithm == "slic":
        return COMPILED_CODE + pixels * (SLIC_A_PIXEL + SLIC_A_PIXEL_AND_BAND * bands)
    if algorithm == "slic-skimage" and bands == 3:
        return pixels * SKIMAGE_A_PIXEL_IN_LAB
    return plain_peak(pixels, bands)


def cut_into_superpixels(window: Window, params: Superpixels, device: str = AUTO) -> Result:
    """Compute and encode the superpixels of one window."""
    pieces = cut_window(window, params, device)
    datasets = {"superpixels": store.encode(with_void(pieces.regions, pieces.count))}
    if params.pixels:
        datasets["images"] = store.encode(window.pixels)
    return Result(datasets, {"superpixels": pieces.count}, pieces.warning)


def _earlier(params: Superpixels, inputs: Inputs) -> CutAlike | None:
    """Return how an earlier file was read and cut, if these images are to be treated like its images."""
    if params.like is None:
        return None
    named = changed_options(params, (SUPERPIXELS,)) + changed_options(inputs.images, (), _names_of(inputs.images))
    if named:
        raise ConfigError(f"--like {params.like}: sets how images are read and cut; leave out {', '.join(named)}")
    from unsegcli.segmenters.cutting_alike import read_cutting  # worker processes need none of what it imports

    return read_cutting(params.like)


def _names_of(images: Images) -> list[str]:
    return [name for name in vars(images) if name not in ("max_pixels", "mosaic")]


def _dataset(inputs: Inputs, run: Run, earlier: CutAlike | None) -> Dataset:
    if earlier is None:
        return find_dataset(inputs, known_from=run.output)
    return earlier.dataset(inputs, known_from=run.output)


def _check(params: Superpixels, inputs: Inputs, device: str) -> None:
    if inputs.mask is not None and not params.pixels:
        raise ConfigError("--mask cannot be used with --no-pixels, since masks are not stored: leave out one of them")
    check_superpixels(params, device)
