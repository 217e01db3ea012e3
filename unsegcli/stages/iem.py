"""`unseg iem`: an object mask for every picture by inpainting error maximisation. Nothing is learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store, talk
from unsegcli.core.contour import prepare
from unsegcli.core.geometry import Box, sample_nearest, working_grid
from unsegcli.core.inpainting import Inpainter, centred_square
from unsegcli.core.parts import Ascending, part
from unsegcli.errors import ConfigError, DataError
from unsegcli.folders import OutputFolder, safe_names
from unsegcli.images.scaling import resized
from unsegcli.params import Iem, Pictures, Superpixels
from unsegcli.predictions import PictureMap, StoredMap, check_aspect, open_predictions
from unsegcli.recipe import make_recipe
from unsegcli.supply import Supply, Window, find_supply, is_artifact
from unsegcli.sweep import Outcome, Result, estimate, gather, sweep, unchanged
from unsegcli.views.strip import FRAMES, strip

REVISION = 1
UPDATES = ("contour", "all")
STARTS = ("square", "superpixels")
MOST_PARTS, VOID = 255, 255  # of a map of bytes
LONGEST = 4096  # side of a picture that is worked on; the filter along it is a square matrix
MASK_ENDINGS = ("", "_mask", "_proposal")


def iem(
    inputs: Sequence[str | Path],
    output: str | Path = "segmentation.h5",
    params: Iem | None = None,
    pictures: Pictures | None = None,
    *,
    trace: str | Path | None = None,
    mask: str | Path | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    workers: int = 0,
    force: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Part every picture into foreground and background, so that neither can be filled in from the other.

    Args:
        inputs: folders, files, globs or lists of pictures; or an artifact of superpixels, for its pixels.
        output: the segmentation to write.
        params: the settings of the method.
        pictures: how pictures are read; their size is in `params`.
        trace: folder for a strip of pictures of each mask's way.
        mask: folder of masks of valid pixels; for pictures only.
        images: folder where the pictures of an artifact without pixels lie now.
        limit: the first so many pictures only.
        workers: processes; 0 = one for each processor. The result is the same for any number.
        force: replace a model, or a file that is not an artifact.
        dry_run: only say what would be done.
    """
    params = params or Iem()
    _check(params)
    supply, reading = _supplied(inputs, params, pictures or Pictures(), mask, images, limit, Path(output))
    starts, start_inputs = _starts(params)
    recipe = make_recipe("iem", REVISION, [_settings(params), *reading], {**supply.inputs, **start_inputs})
    target = store.Target(output, "segmentation", recipe, force=force, reads=inputs)
    folder = None if trace is None else OutputFolder(trace, "traces of masks", recipe, force=force)
    work = partial(part_window, params=params, starts=starts)
    outcome = unchanged(target)
    if outcome is None:
        supply = supply.opened(workers)
        if dry_run:
            prepare()
            talk.note(f"would write {target.path}: {estimate(supply, work, workers)}")
            return Outcome(target.path, len(supply.bad))
        prepare()
        outcome = sweep(target, supply, work, "parting", _attributes(params), workers)
    if folder is not None and not dry_run and folder.finished() is None:
        _draw_traces(supply.opened(workers), folder, partial(trace_window, params=params, starts=starts), workers)
    return outcome


@dataclass(frozen=True)
class Starts:
    """First masks that were made elsewhere, by picture."""

    name: str  # as the user named it
    by_digest: dict[str, PictureMap]
    by_name: dict[str, PictureMap]

    def on(self, window: Window) -> NDArray[np.bool_]:
        """The first mask (height, width) of a window."""
        digest, name = window.key.split(" ")[0], window.name
        found = self.by_digest.get(digest) or next(
            (self.by_name[key] for key in (_bare(name) + ending for ending in MASK_ENDINGS) if key in self.by_name),
            None,
        )
        if found is None:
            raise DataError(f"{self.name}: has no first mask for {name}")
        check_aspect(window.grid, found, f"{self.name}: the first mask is for another picture: {name}")
        first: NDArray[np.bool_] = found.on(window.grid)[window.box.slices] > 0
        return first


@dataclass(frozen=True)
class Scene:
    """What of a window is worked on, and the way back."""

    pixels: NDArray[np.uint8]  # (height, width, bands)
    valid: NDArray[np.bool_] | None
    start: NDArray[np.bool_]  # (height, width)
    inner: Box  # of the window
    shape: tuple[int, int]  # of the window

    def back(self, values: NDArray[Any], outside: Any) -> NDArray[Any]:
        """A map of what is worked on (height, width) as a map of the window."""
        result = np.full(self.shape, outside, values.dtype)
        result[self.inner.slices] = sample_nearest(values, (self.inner.height, self.inner.width))
        return result


def part_window(window: Window, params: Iem, starts: Starts | None) -> Result:
    """The parts of one window, encoded."""
    scene = _scene(window, params, starts)
    parted = part(scene.pixels, scene.valid, scene.start, _ascending(params), params.parts)
    labels = np.where(parted.parts < 0, VOID, parted.parts).astype(np.uint8)
    datasets = {"segmentation": store.encode(scene.back(labels, VOID))}
    if params.confidence:
        objectness = np.where(parted.parts < 0, 0.0, parted.objectness).astype(np.float16)
        datasets["confidence"] = store.encode(scene.back(objectness, 0))
    return Result(datasets, {"confidence": parted.confidence}, parted.warning)


def trace_window(window: Window, params: Iem, starts: Starts | None) -> tuple[str, bytes]:
    """The name of a window and, as a PNG file, a strip of its mask after some of the iterations."""
    scene = _scene(window, params, starts)
    settings = _ascending(params)
    frames = []
    for iterations in sorted({min(count, params.iterations) for count in FRAMES}):
        parted = part(scene.pixels, scene.valid, scene.start, replace(settings, iterations=iterations))
        caption = f"iteration {iterations}" if iterations else "the first mask"
        frames.append((f"{caption}, confidence {parted.confidence:.2f}", parted.parts))
    whole = window.box.height == window.grid[0] and window.box.width == window.grid[1]
    name = window.name if whole else f"{window.name}_{window.box.top}_{window.box.left}"
    return name, strip(name, scene.pixels, frames)


def _supplied(
    inputs: Sequence[str | Path],
    params: Iem,
    pictures: Pictures,
    mask: str | Path | None,
    images: str | Path | None,
    limit: int | None,
    output: Path,
) -> tuple[Supply, list[Pictures]]:
    """The pictures; files are read in the size that is worked on, unless they are cut into patches."""
    if pictures.size:
        raise ConfigError("the size is a setting of iem itself: give it as Iem(size=...)")
    if params.size and not is_artifact(inputs[0]) and not pictures.patch:
        pictures = replace(pictures, size=params.size)
    return find_supply(
        inputs, pictures, kinds=("superpixels",), mask=mask, images=images, limit=limit, known_from=output
    )


def _starts(params: Iem) -> tuple[Starts | None, dict[str, str]]:
    """First masks from a file or folder, and what the recipe says of them."""
    if params.init in STARTS:
        return None, {}
    if not Path(params.init).exists():
        raise ConfigError(
            f"--init {params.init}: is neither {' nor '.join(STARTS)}, nor a file or folder that is there"
        )
    run = open_predictions(params.init, None if is_artifact(params.init) else "mask")
    if run.role != "mask":
        raise ConfigError(f"--init {params.init}: holds {run.role}, but first masks are wanted: 0 is background")
    by_digest: dict[str, PictureMap] = {item.source.digest: item for item in run.maps if isinstance(item, StoredMap)}
    by_name = {_bare(item.name): item for item in run.maps}
    return Starts(run.name, by_digest, by_name), {f"first {name}": value for name, value in run.inputs.items()}


def _bare(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _scene(window: Window, params: Iem, starts: Starts | None) -> Scene:
    height, width = window.box.height, window.box.width
    side = min(height, width)
    inner = Box((height - side) // 2, (width - side) // 2, side, side) if params.crop else Box(0, 0, height, width)
    grid = working_grid(inner.height, inner.width, params.size)
    if max(grid) > LONGEST:
        raise DataError(f"{grid[0]} x {grid[1]} pixels are too long to be parted; cut it with --patch")
    pixels, valid = window.pixels[inner.slices], None if window.valid is None else window.valid[inner.slices]
    pixels, valid = resized(pixels, valid, grid)
    start = centred_square(*grid, params.square)
    if params.init == "superpixels":
        regions = None if window.regions is None else sample_nearest(window.regions[inner.slices], grid)
        start = _snapped(start, regions, pixels, valid)
    elif starts is not None:
        start = sample_nearest(starts.on(window)[inner.slices], grid)
    return Scene(pixels, valid, start, inner, (height, width))


def _snapped(
    start: NDArray[np.bool_],
    regions: NDArray[Any] | None,
    pixels: NDArray[np.uint8],
    valid: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """All superpixels of which at least half is in the first mask; they are made here if there are none."""
    if regions is None:
        from unsegcli.core.slic import slic

        aim = max(1, round(start.size / Superpixels.pixels_per_segment))
        regions = slic(pixels, valid, aim, Superpixels.compactness) + 1  # 0 = void
    _, numbers = np.unique(regions, return_inverse=True)
    numbers = numbers.reshape(start.shape)
    share = np.bincount(numbers.ravel(), start.ravel()) / np.bincount(numbers.ravel())
    snapped: NDArray[np.bool_] = share[numbers] >= 0.5
    return snapped


def _draw_traces(
    supply: Supply, folder: OutputFolder, work: Callable[[Window], tuple[str, bytes]], workers: int
) -> None:
    with folder.writing() as writer:
        names, pages = zip(*gather(supply, work, "tracing", workers), strict=True)
        for name, page in zip(safe_names(names, ".png"), pages, strict=True):
            writer.add(name, page)
    talk.note(f"traces are in {folder.path}")


def _ascending(params: Iem) -> Ascending:
    return Ascending(
        Inpainter(params.sigma, params.kernel, params.repeats, params.scale_factor),
        params.diversity,
        params.iterations,
        params.smooth,
        params.update == "all",
    )


def _attributes(params: Iem) -> dict[str, Any]:
    return {"role": "mask" if params.parts == 2 else "clusters", "clusters": params.parts}


def _settings(params: Iem) -> dict[str, Any]:
    """What the result depends on: of first masks in a file their content, which is among the inputs."""
    settings = asdict(params)
    if params.init not in STARTS:
        settings |= {"init": "file", "square": 0.0}
    return settings


def _check(params: Iem) -> None:
    if params.update not in UPDATES:
        raise ConfigError(f"--update {params.update}: is not one of {', '.join(UPDATES)}")
    working_grid(1, 1, params.size)  # refuses what is no size
    if params.kernel < 1 or params.kernel % 2 == 0:
        raise ConfigError(f"--kernel {params.kernel}: must be an odd number, such as 11")
    if params.size and params.kernel > min(params.size):
        raise ConfigError(
            f"--kernel {params.kernel}: is wider than the picture, whose shorter side is {min(params.size)}"
        )
    if not 0 < params.square < 1:
        raise ConfigError(f"--square {params.square:g}: must be between 0 and 1, such as 0.6")
    if not 2 <= params.parts <= MOST_PARTS:
        raise ConfigError(f"--parts {params.parts}: must be from 2 to {MOST_PARTS}")
    if params.parts > 2 and params.confidence:
        raise ConfigError("--confidence is of foreground against background: leave it out with --parts above 2")
    if min(params.repeats, params.scale_factor) < 1 or params.iterations < 0:
        raise ConfigError("--repeats and --scale-factor must be at least 1, and --iterations not below 0")
    if not (0 < params.sigma < math.inf and 0 <= params.diversity < math.inf):
        raise ConfigError("--sigma must be above 0, and --diversity not below 0")
