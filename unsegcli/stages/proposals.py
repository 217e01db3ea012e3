"""`unseg proposals`: one mask of an object for every picture, by cues that know no label, or made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import sample_nearest, working_grid
from unsegcli.core.saliency.masks import Mask, agreement, majority, tidied
from unsegcli.core.saliency.otsu import otsu
from unsegcli.core.superpixels.graph import Graph
from unsegcli.core.superpixels.regions import RegionMap, paint
from unsegcli.dataflow.dataset import Supply, Window, find_supply, is_artifact
from unsegcli.dataflow.runner import Outcome, Result, estimate, sweep, unchanged
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.decode import read_header
from unsegcli.images.find import digest_files, find_pictures
from unsegcli.images.mask_files import MaskFile, check_size, match_masks, read_object
from unsegcli.images.scaling import resized
from unsegcli.params import Iem, Pictures, Proposals, Superpixels
from unsegcli.recipe import listing_digest, make_recipe

REVISION = 1
CUES = ("rbd", "mr")  # values of superpixels, from one graph
VOTERS = (*CUES, "iem")
METHODS = (*VOTERS, "consensus")
SUPERPIXELS = 200  # aimed at: about 600 pixels each where the shorter side has 300
VOID = 255
NO_PIXEL = "no pixel is valid; look at --nodata, --mask and --alpha"
NOTHING = "no object: nothing stands out, or only in pieces smaller than --smallest allows"
SENSELESS = "no object: the mask has less or more of the picture than --area allows"
NO_MASK = "no object: there is no mask for them in the folder"
EMPTY_MASK = "no object: the mask is empty"


def proposals(
    inputs: Sequence[str | Path],
    output: str | Path = "proposals.h5",
    params: Proposals | None = None,
    pictures: Pictures | None = None,
    *,
    masks: str | Path | None = None,
    mask: str | Path | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    workers: int = 0,
    force: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Propose one mask of an object for every picture, with a confidence, as a segmentation of role proposal.

    Args:
        inputs: folders, files, globs or lists of pictures; or an artifact of superpixels, which are taken then.
        output: the segmentation to write.
        params: the method and how masks are tidied.
        pictures: how pictures are read; their size is in `params`.
        masks: folder of masks that some tool made, one for each picture, instead of a method.
        mask: folder of masks of valid pixels; for pictures only.
        images: folder where the pictures of an artifact without pixels lie now.
        limit: the first so many pictures only.
        workers: processes; 0 = one for each processor. The result is the same for any number.
        force: replace a model, or a file that is not an artifact.
        dry_run: only say what would be done.
    """
    params = params or Proposals()
    _check(params)
    elsewhere = None if masks is None else Path(masks)
    settings = _resolved(params, elsewhere)
    supply, reading = _supplied(inputs, params, settings, pictures or Pictures(), mask, images, limit, Path(output))
    given = {} if elsewhere is None else _masks_as_input(elsewhere)
    recorded = _recorded(settings, supply.kind)
    recipe = make_recipe("proposals", REVISION, [recorded, *reading], {**supply.inputs, **given})
    target = store.Target(output, "segmentation", recipe, force=force, reads=inputs)
    earlier = unchanged(target)
    if earlier:
        return earlier
    supply = supply.opened(workers)
    work: Callable[[Window], Result] = partial(propose_window, params=settings)
    if elsewhere is not None:
        work = partial(take_window, params=settings, files=_fitting(elsewhere, supply))
    elif "iem" in _voters(settings):
        _prepare_iem()
    if dry_run:
        console.note(f"would write {target.path}: {estimate(supply, work, workers)}")
        return Outcome(target.path, len(supply.bad))
    return sweep(target, supply, work, "proposing", {"role": "proposal", "clusters": 2}, workers)


@dataclass(frozen=True)
class Candidate:
    """What one method makes of a window."""

    mask: Mask  # (height, width)
    objectness: NDArray[np.float64]  # (height, width), 0 to 1
    confidence: float  # 0 to 1


def propose_window(window: Window, params: Proposals) -> Result:
    """The mask of one window, encoded."""
    valid = _valid(window)
    if not valid.any():
        return _encoded(Candidate(valid, np.zeros(valid.shape), 0.0), valid, params, NO_PIXEL)
    return _judged(_together(_candidates(window, params), valid, params), valid, params, NOTHING)


def take_window(window: Window, params: Proposals, files: Mapping[str, MaskFile]) -> Result:
    """The mask of one window as some tool made it, encoded; confidence 1 says only that there is an object."""
    valid = _valid(window)
    mask = np.zeros(valid.shape, np.bool_)
    file = files.get(window.name)
    if file is not None:
        mask = sample_nearest(read_object(file.path, file.page), window.grid)[window.box.slices] & valid
    found = Candidate(mask, mask.astype(np.float64), 1.0)
    return _judged(found, valid, params, NO_MASK if file is None else EMPTY_MASK)


def _judged(found: Candidate, valid: Mask, params: Proposals, if_empty: str) -> Result:
    """The candidate, tidied if that is wanted; empty where its area makes no sense."""
    mask, warning = found.mask, ""
    if params.clean:
        mask = tidied(mask, valid, params.smallest)
    low, high = params.area if params.clean else (0.0, 1.0)
    if not mask.any():
        warning = if_empty
    elif not low <= np.count_nonzero(mask) / np.count_nonzero(valid) <= high:
        mask, warning = np.zeros_like(mask), SENSELESS
    confidence = found.confidence if mask.any() else 0.0
    return _encoded(replace(found, mask=mask, confidence=confidence), valid, params, warning)


def _encoded(found: Candidate, valid: Mask, params: Proposals, warning: str) -> Result:
    labels = np.where(valid, found.mask.astype(np.uint8), np.uint8(VOID))
    datasets = {"segmentation": store.encode(labels)}
    if params.confidence:
        datasets["confidence"] = store.encode(np.where(valid, found.objectness, 0.0).astype(np.float16))
    return Result(datasets, {"confidence": found.confidence}, warning)


def _together(candidates: Sequence[Candidate], valid: Mask, params: Proposals) -> Candidate:
    """The vote of all candidates, and how far they agree; one alone speaks for itself."""
    if len(candidates) == 1:
        return candidates[0]
    masks = [tidied(one.mask, valid, params.smallest) if params.clean else one.mask for one in candidates]
    objectness = np.mean([one.objectness for one in candidates], axis=0)
    return Candidate(majority(masks), objectness, agreement(masks))


def _candidates(window: Window, params: Proposals) -> list[Candidate]:
    """What each voter makes of a window with valid pixels."""
    voters = _voters(params)
    found = []
    if any(voter in CUES for voter in voters):
        regions, graph = _regions_and_graph(window, params.working_size)
        found = [_by_cue(voter, regions, graph) for voter in voters if voter in CUES]
        found = [_on_window(candidate, window) for candidate in found]
    if "iem" in voters:
        found.append(_by_iem(window, Iem(size=params.working_size) if params.method == "iem" else Iem()))
    return found


def _regions_and_graph(window: Window, size: tuple[int, ...]) -> tuple[RegionMap, Graph]:
    """Superpixels of the window as it is worked on (those that it has, on its own grid), and their graph."""
    from unsegcli.core.superpixels.graph import graph_of
    from unsegcli.core.superpixels.slic import slic

    given = window.superpixels
    if given is not None:
        return given, graph_of(window.pixels, given)
    grid = working_grid(window.box.height, window.box.width, size)
    pixels, valid = resized(window.pixels, window.valid, grid)
    area = grid[0] * grid[1] if valid is None else int(np.count_nonzero(valid))
    regions = slic(pixels, valid, max(1, min(SUPERPIXELS, area)), Superpixels.compactness)
    return regions, graph_of(pixels, regions)


def _by_cue(method: str, regions: RegionMap, graph: Graph) -> Candidate:
    """What stands out of the superpixels, cut in two by Otsu's threshold over pixels."""
    from unsegcli.core.saliency.mr import ranking_saliency
    from unsegcli.core.saliency.rbd import boundary_saliency

    if graph.count == 0:  # resizing has left no valid pixel
        return Candidate(regions >= 0, np.zeros(regions.shape), 0.0)
    values = boundary_saliency(graph) if method == "rbd" else ranking_saliency(graph)
    cut = otsu(values, graph.areas)
    return Candidate(paint(values > cut.at, regions, False), paint(values, regions, 0.0), cut.separation)


def _on_window(found: Candidate, window: Window) -> Candidate:
    grid = (window.box.height, window.box.width)
    return replace(found, mask=sample_nearest(found.mask, grid), objectness=sample_nearest(found.objectness, grid))


def _by_iem(window: Window, params: Iem) -> Candidate:
    from unsegcli.segmenters.inpainting import parted_window

    parted = parted_window(window, params)
    return Candidate(parted.parts == 1, parted.objectness, parted.confidence)


def _prepare_iem() -> None:
    from unsegcli.core.saliency.contour import prepare

    prepare()


def _valid(window: Window) -> Mask:
    shape = (window.box.height, window.box.width)
    return np.ones(shape, np.bool_) if window.valid is None else window.valid


def _voters(params: Proposals) -> tuple[str, ...]:
    return VOTERS if params.method == "consensus" else (params.method,)


# Settings and inputs


def _supplied(
    inputs: Sequence[str | Path],
    params: Proposals,
    settings: Proposals,
    pictures: Pictures,
    mask: str | Path | None,
    images: str | Path | None,
    limit: int | None,
    output: Path,
) -> tuple[Supply, list[Pictures]]:
    """The pictures; files are read in the size that is worked on, unless they are cut into patches."""
    if pictures.size:
        raise ConfigError("the size is a setting of proposals itself: give it as Proposals(size=...)")
    stored = bool(inputs) and is_artifact(inputs[0])
    if stored and params.size and params.method != "iem":
        raise ConfigError(f"--size: {inputs[0]} has its superpixels already, which are taken as they are")
    if settings.working_size and not stored and not pictures.patch:
        pictures = replace(pictures, size=settings.working_size)
    return find_supply(
        inputs, pictures, kinds=("superpixels",), mask=mask, images=images, limit=limit, known_from=output
    )


def _masks_as_input(folder: Path) -> dict[str, str]:
    """What the recipe says of masks made elsewhere."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: --masks names a folder with a mask for each picture")
    files = digest_files(find_pictures([folder]), {})
    return {"masks of objects": listing_digest((file.name, file.digest) for file in files)}


def _fitting(folder: Path, supply: Supply) -> dict[str, MaskFile]:
    """The mask of each picture, by the picture's name; those without one are left out."""
    sources = [unit.source for unit in supply.units]
    file_of = {source.name: source.name.removesuffix(f"#{source.page}") for source in sources}
    found, missing = match_masks(folder, list(dict.fromkeys(file_of.values())), "--masks")
    if not found:
        raise DataError(f"{folder}: has a mask for none of the pictures, such as {missing[0]}: name them alike")
    fitting = {}
    for source in sources:
        path = found.get(file_of[source.name])
        if path is not None:
            header = read_header(path)
            check_size(path, header, source.name, (source.height, source.width), source.orientation)
            fitting[source.name] = MaskFile(path, source.page if header.pages > 1 else 0)
    return fitting


def _resolved(params: Proposals, masks: Path | None) -> Proposals:
    """The settings with nothing left open."""
    if masks is None:
        return replace(params, size=params.working_size, clean=params.clean is not False)
    return replace(params, method="masks", size=params.size or (), clean=bool(params.clean))


def _recorded(settings: Proposals, kind: str) -> dict[str, Any]:
    """What the result depends on: superpixels that are given keep the size that they have."""
    unused = set() if settings.clean else {"smallest", "area"}
    if kind != "pictures" and settings.method != "iem":
        unused.add("size")
    return {name: value for name, value in asdict(settings).items() if name not in unused}


def _check(params: Proposals) -> None:
    if params.method not in METHODS:
        raise ConfigError(f"--method {params.method}: is not one of {', '.join(METHODS)}")
    working_grid(1, 1, params.working_size)  # refuses what is no size
    if not 0 <= params.smallest < 1:
        raise ConfigError(f"--smallest {params.smallest:g}: must be a share of the picture, such as 0.01")
    low, high = params.area
    if not 0 <= low < high <= 1:
        raise ConfigError(f"--area {low:g},{high:g}: must be two rising shares of the picture, such as 0.01,0.99")
