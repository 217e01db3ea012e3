"""`unseg iem`: segment objects by inpainting error maximization, without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unsegcli import console, store
from unsegcli.core.saliency.contour import prepare as prepare_ascent
from unsegcli.core.saliency.parts import part
from unsegcli.dataflow.dataset import Dataset, Window, at_working_size, find_dataset, is_artifact
from unsegcli.dataflow.label_maps import ImageMap, StoredMap, open_predictions
from unsegcli.dataflow.output_folder import OutputFolder, safe_names
from unsegcli.dataflow.runner import Outcome, Result, Stage, gather, prepare
from unsegcli.errors import ConfigError
from unsegcli.params import Iem, Inputs, Run, recorded
from unsegcli.segmenters.inpainting import STARTS, InitialMasks, ascending, bare, check_iem, parted_window, working_area
from unsegcli.segmenters.separate_windows import note_masks_of_windows
from unsegcli.views.strip import FRAMES, strip

STAGE = Stage("iem", 2, "segmentation")
VOID = 255  # of a map of bytes


def iem(inputs: Inputs, params: Iem | None = None, run: Run | None = None) -> Outcome:
    """Segment every image into foreground and background so that neither can be inpainted from the other.

    Args:
        inputs: folders, files, globs or lists of images; or an artifact of superpixels, for its pixels.
        params: the settings of the method, including the working size.
        run: how to run, and the segmentation to write.
    """
    params, run = params or Iem(), (run or Run()).of("iem")
    inputs, size = at_working_size(inputs, params.size, Iem().size)
    params = replace(params, size=size)
    check_iem(params)
    if params.trace is not None and run.shard is not None:
        raise ConfigError("--trace draws all images, so it cannot be used with --shard: leave out one of them")
    starts, start_inputs = _starts(params)
    dataset = find_dataset(inputs, known_from=run.output)
    dataset = replace(dataset, inputs={**dataset.inputs, **start_inputs})
    found = prepare(STAGE, dataset, run, [_settings(params)])
    traces = None
    if params.trace is not None:
        traces = OutputFolder(params.trace, "traces of masks", found.target.recipe, force=run.force)
    if found.earlier is None:
        found = found.opened()
        note_masks_of_windows(found.dataset)
        prepare_ascent()
    work = partial(part_window, params=params, starts=starts)
    outcome = found.write(work, "segmenting", _attributes(params), separate=params.init in STARTS)
    if traces is not None and not run.dry_run and traces.finished() is None:
        _draw_traces(found.opened().dataset, traces, partial(trace_window, params=params, starts=starts), run.pool)
    return outcome


def part_window(window: Window, params: Iem, starts: InitialMasks | None) -> Result:
    """Segment one window and encode the result."""
    parted = parted_window(window, params, starts)
    labels = np.where(parted.parts < 0, VOID, parted.parts).astype(np.uint8)
    datasets = {"segmentation": store.encode(labels)}
    if params.confidence:
        datasets["confidence"] = store.encode(parted.objectness.astype(np.float16))
    return Result(datasets, {"confidence": parted.confidence}, parted.warning)


def trace_window(window: Window, params: Iem, starts: InitialMasks | None) -> tuple[str, bytes]:
    """Return the name of a window and a PNG strip of its mask after selected iterations."""
    scene = working_area(window, params, starts)
    settings = ascending(params)
    frames = []
    for iterations in sorted({min(count, params.iterations) for count in FRAMES}):
        parted = part(scene.pixels, scene.valid, scene.start, replace(settings, iterations=iterations))
        caption = f"iteration {iterations}" if iterations else "initial mask"
        frames.append((f"{caption}, confidence {parted.confidence:.2f}", parted.parts))
    whole = window.box.height == window.grid[0] and window.box.width == window.grid[1]
    name = window.name if whole else f"{window.name}_{window.box.top}_{window.box.left}"
    return name, strip(name, scene.pixels, frames)


def _starts(params: Iem) -> tuple[InitialMasks | None, dict[str, str]]:
    """Open initial masks from a file or folder, and return their digests for the recipe."""
    if params.init in STARTS:
        return None, {}
    if not Path(params.init).exists():
        raise ConfigError(f"--init {params.init}: must be {' or '.join(STARTS)}, or an existing file or folder")
    run = open_predictions(params.init, "" if is_artifact(params.init) else "mask")
    if run.role != "mask":
        raise ConfigError(f"--init {params.init}: holds {run.role}, but masks are needed (0 = background)")
    by_digest: dict[str, ImageMap] = {item.source.digest: item for item in run.maps if isinstance(item, StoredMap)}
    by_name = {bare(item.name): item for item in run.maps}
    return InitialMasks(run.name, by_digest, by_name), {f"first {name}": value for name, value in run.inputs.items()}


def _draw_traces(
    dataset: Dataset, folder: OutputFolder, work: Callable[[Window], tuple[str, bytes]], workers: int | str
) -> None:
    with folder.writing() as writer:
        names, pages = zip(*gather(dataset, work, "tracing", workers), strict=True)
        for name, page in zip(safe_names(names, ".png"), pages, strict=True):
            writer.add(name, page)
    console.note(f"traces are in {folder.path}")


def _attributes(params: Iem) -> dict[str, Any]:
    return {"role": "mask" if params.parts == 2 else "clusters", "clusters": params.parts}


def _settings(params: Iem) -> dict[str, Any]:
    """Return the settings that the result depends on; the content of initial masks is recorded as an input."""
    settings = recorded(params)
    if params.init not in STARTS:
        settings |= {"init": "file", "square": 0.0}
    return settings
