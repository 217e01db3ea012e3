"""`unseg proposals`: a mask of the object or objects of every image, from label-free cues or from another tool."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.geometry import sample_nearest, working_grid
from unsegcli.core.saliency.masks import Mask, agreement, majority, tidied
from unsegcli.core.saliency.otsu import otsu
from unsegcli.core.superpixels.graph import Graph
from unsegcli.core.superpixels.regions import RegionMap, paint
from unsegcli.dataflow.dataset import Dataset, Window, at_working_size, find_dataset, is_artifact
from unsegcli.dataflow.runner import Outcome, Result, Stage, prepare
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.decode import read_header
from unsegcli.images.find import digest_files, find_images
from unsegcli.images.mask_files import MaskFile, check_size, match_masks, read_object
from unsegcli.images.scaling import resized
from unsegcli.params import PHASE_CUES, Iem, Inputs, Proposals, Run, Superpixels, changed_options, recorded
from unsegcli.recipe import listing_digest
from unsegcli.segmenters.separate_windows import note_masks_of_windows

STAGE = Stage("proposals", 2, "segmentation")
CUES = ("rbd", "mr")  # saliency of superpixels, from one graph
VOTERS = (*CUES, "iem")
POLARITIES = ("auto", "bright", "dark")
ALL_CUES = (*VOTERS, "consensus", *PHASE_CUES)
SUPERPIXELS = 200  # target number: about 600 pixels each if the shorter side is 300
VOID = 255
NO_PIXEL = "no valid pixel; check --nodata, --mask and --alpha"
NOTHING = "no object: nothing salient, or only components smaller than --smallest"
IMPLAUSIBLE = "no object: the area of the mask is outside --area"
NO_MASK = "no object: no mask in the folder"
EMPTY_MASK = "no object: the mask is empty"


def proposals(inputs: Inputs, params: Proposals | None = None, run: Run | None = None) -> Outcome:
    """Propose a mask with a confidence for every image, as a segmentation with the role `proposal`.

    Args:
        inputs: folders, files, globs or lists of images; or an artifact whose superpixels are used.
        params: the cue, or a folder of masks from another tool; and how masks are cleaned.
        run: how to run, and the segmentation to write.
    """
    params, run = params or Proposals(), (run or Run()).of("proposals")
    _check(params)
    elsewhere = None if params.masks is None else Path(params.masks)
    inputs, settings = _resolved(inputs, params)
    dataset = find_dataset(inputs, known_from=run.output)
    given = {} if elsewhere is None else _masks_as_input(elsewhere)
    dataset = replace(dataset, inputs={**dataset.inputs, **given})
    found = prepare(STAGE, dataset, run, [_recorded(settings, dataset.kind)])
    if found.earlier is None:
        found = found.opened()
        note_masks_of_windows(found.dataset)
    work: Callable[[Window], Result] = partial(propose_window, params=settings)
    if elsewhere is not None and found.earlier is None:
        work = partial(take_window, params=settings, files=_fitting(elsewhere, found.dataset))
    elif "iem" in _voters(settings) and found.earlier is None:
        _prepare_iem()
    return found.write(work, "proposing", {"role": "proposal", "clusters": 2}, separate=elsewhere is None)


@dataclass(frozen=True)
class Candidate:
    """The object mask that one cue proposes for a window."""

    mask: Mask  # (height, width)
    objectness: NDArray[np.float64]  # (height, width), 0 to 1
    confidence: float  # 0 to 1


def propose_window(window: Window, params: Proposals) -> Result:
    """Propose a mask for one window and encode it."""
    valid = _valid(window)
    if not valid.any():
        return _encoded(Candidate(valid, np.zeros(valid.shape), 0.0), valid, params, NO_PIXEL)
    return _checked(_combined(_candidates(window, params), valid, params), valid, params, NOTHING)


def take_window(window: Window, params: Proposals, files: Mapping[str, MaskFile]) -> Result:
    """Read and encode the mask of one window from another tool; its confidence is 1 if there is an object."""
    valid = _valid(window)
    mask = np.zeros(valid.shape, np.bool_)
    file = files.get(window.name)
    if file is not None:
        mask = sample_nearest(read_object(file.path, file.page), window.grid)[window.box.slices] & valid
    found = Candidate(mask, mask.astype(np.float64), 1.0)
    return _checked(found, valid, params, NO_MASK if file is None else EMPTY_MASK)


def _checked(found: Candidate, valid: Mask, params: Proposals, if_empty: str) -> Result:
    """Clean the candidate if requested, and make it empty if its area is implausible."""
    mask, warning = found.mask, ""
    if params.clean:
        mask = tidied(mask, valid, params.smallest_share)
    low, high = params.plausible_area if params.clean else (0.0, 1.0)
    if not mask.any():
        warning = if_empty
    elif not low <= np.count_nonzero(mask) / np.count_nonzero(valid) <= high:
        mask, warning = np.zeros_like(mask), IMPLAUSIBLE
    if params.separate and mask.any():
        mask = _parted(mask, params.separate)
    confidence = found.confidence if mask.any() else 0.0
    return _encoded(replace(found, mask=mask, confidence=confidence), valid, params, warning)


def _parted(mask: Mask, depth: float) -> Mask:
    from unsegcli.core.saliency.touching import parted

    return parted(mask, depth)


def _encoded(found: Candidate, valid: Mask, params: Proposals, warning: str) -> Result:
    labels = np.where(valid, found.mask.astype(np.uint8), np.uint8(VOID))
    datasets = {"segmentation": store.encode(labels)}
    if params.confidence:
        datasets["confidence"] = store.encode(np.where(valid, found.objectness, 0.0).astype(np.float16))
    return Result(datasets, {"confidence": found.confidence}, warning)


def _combined(candidates: Sequence[Candidate], valid: Mask, params: Proposals) -> Candidate:
    """Combine candidates by majority vote, with their agreement as confidence; return a single one unchanged."""
    if len(candidates) == 1:
        return candidates[0]
    masks = [tidied(one.mask, valid, params.smallest_share) if params.clean else one.mask for one in candidates]
    objectness = np.mean([one.objectness for one in candidates], axis=0)
    return Candidate(majority(masks), objectness, agreement(masks))


def _candidates(window: Window, params: Proposals) -> list[Candidate]:
    """Compute the candidate of each cue for a window with valid pixels."""
    if params.cue in PHASE_CUES:
        return [_by_phases(window, params)]
    voters = _voters(params)
    found = []
    if any(voter in CUES for voter in voters):
        regions, graph = _regions_and_graph(window, params.working_size)
        found = [_by_cue(voter, regions, graph) for voter in voters if voter in CUES]
        found = [_on_window(candidate, window) for candidate in found]
    if "iem" in voters:
        found.append(_by_iem(window, Iem(size=params.working_size) if params.cue == "iem" else Iem()))
    return found


def _regions_and_graph(window: Window, size: tuple[int, ...]) -> tuple[RegionMap, Graph]:
    """Return superpixels and their graph: those of the window, else new ones at the working size."""
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


def _by_cue(cue: str, regions: RegionMap, graph: Graph) -> Candidate:
    """Compute the saliency of superpixels and threshold it by Otsu's method, weighted by area."""
    from unsegcli.core.saliency.mr import ranking_saliency
    from unsegcli.core.saliency.rbd import boundary_saliency

    if graph.count == 0:  # no valid pixel after resizing
        return Candidate(regions >= 0, np.zeros(regions.shape), 0.0)
    values = boundary_saliency(graph) if cue == "rbd" else ranking_saliency(graph)
    cut = otsu(values, graph.areas)
    return Candidate(paint(values > cut.at, regions, False), paint(values, regions, 0.0), cut.separation)


def _on_window(found: Candidate, window: Window) -> Candidate:
    grid = (window.box.height, window.box.width)
    return replace(found, mask=sample_nearest(found.mask, grid), objectness=sample_nearest(found.objectness, grid))


def _by_phases(window: Window, params: Proposals) -> Candidate:
    """Divide the window, at the working size, into phases; all but the background are objects."""
    from unsegcli.core.saliency.phases import background_of, objectness, phases_by_kmeans, phases_by_otsu

    grid = working_grid(window.box.height, window.box.width, params.working_size)
    pixels, given = resized(window.pixels, window.valid, grid)
    valid = np.ones(grid, np.bool_) if given is None else given
    if not valid.any():  # after resizing
        return _on_window(Candidate(valid, np.zeros(grid), 0.0), window)
    divide = phases_by_otsu if params.cue == "otsu" else phases_by_kmeans
    found = divide(pixels, valid, params.phases)
    background = background_of(found.numbers, params.polarity)
    mask = valid & (found.numbers != background)
    return _on_window(Candidate(mask, objectness(found, background), found.separation), window)


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
    return VOTERS if params.cue == "consensus" else (params.cue,)


# Settings and inputs


def _masks_as_input(folder: Path) -> dict[str, str]:
    """Return the digest of masks from another tool, for the recipe."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; set --masks to a folder with a mask for each image")
    files = digest_files(find_images([folder]), {})
    return {"masks of objects": listing_digest((file.name, file.digest) for file in files)}


def _fitting(folder: Path, dataset: Dataset) -> dict[str, MaskFile]:
    """Find the mask file of each image, by the name of the image; images without one are skipped."""
    sources = dataset.sources
    file_of = {source.name: source.name.removesuffix(f"#{source.page}") for source in sources}
    found, missing = match_masks(folder, list(dict.fromkeys(file_of.values())), "--masks")
    if not found:
        raise DataError(f"{folder}: has a mask for none of the images, such as {missing[0]}; use the same file names")
    fitting = {}
    for source in sources:
        path = found.get(file_of[source.name])
        if path is not None:
            header = read_header(path)
            check_size(path, header, source.name, (source.height, source.width), source.orientation)
            fitting[source.name] = MaskFile(path, source.page if header.pages > 1 else 0)
    return fitting


def _resolved(inputs: Inputs, params: Proposals) -> tuple[Inputs, Proposals]:
    """Set the working size of the inputs, and fill in the settings that have no value."""
    stored = bool(inputs.paths) and is_artifact(inputs.paths[0])
    if stored and params.size and params.cue not in ("iem", *PHASE_CUES):
        raise ConfigError(f"--size: {inputs.paths[0]} already has superpixels of a fixed size; leave it out")
    if params.masks is not None:
        inputs, size = at_working_size(inputs, params.size or (), ())
        return inputs, replace(_settled(params), cue="masks", size=size, clean=bool(params.clean))
    inputs, size = at_working_size(inputs, params.working_size, replace(params, size=None).working_size)
    return inputs, replace(_settled(params), size=size, clean=params.clean is not False)


def _settled(params: Proposals) -> Proposals:
    """Fill in the settings whose default depends on the cue."""
    return replace(params, smallest=params.smallest_share, area=params.plausible_area)


def _recorded(settings: Proposals, kind: str) -> dict[str, Any]:
    """Return the settings that the result depends on; stored superpixels do not depend on --size."""
    unused = set() if settings.clean else {"smallest", "area"}
    if kind != "pictures" and settings.cue not in ("iem", *PHASE_CUES):
        unused.add("size")
    if settings.cue not in PHASE_CUES:
        unused |= {"phases", "polarity"}
    if not settings.separate:  # so that outputs of earlier versions stay up to date
        unused.add("separate")
    named = {"method": settings.cue, **recorded(settings)}  # `method` is the name in earlier versions
    return {name: value for name, value in named.items() if name not in unused | {"cue"}}


def _check(params: Proposals) -> None:
    if params.cue not in ALL_CUES:
        raise ConfigError(f"--cue {params.cue}: is not one of {', '.join(ALL_CUES)}")
    working_grid(1, 1, params.working_size)  # raises an error for an invalid size
    if not 0 <= params.smallest_share < 1:
        raise ConfigError(f"--smallest {params.smallest:g}: must be a fraction of the image, such as 0.01")
    low, high = params.plausible_area
    if not 0 <= low < high <= 1:
        raise ConfigError(f"--area {low:g},{high:g}: must be two increasing fractions, such as 0.01,0.99")
    if not 0 <= params.separate < math.inf:
        raise ConfigError(f"--separate {params.separate:g}: must be a number of pixels, such as 1, or 0")
    _check_phases(params)


def _check_phases(params: Proposals) -> None:
    if params.cue not in PHASE_CUES or params.masks is not None:
        named = changed_options(params, (), ("phases", "polarity"))
        if named:
            cure = "leave it out" if params.masks is not None else "add --cue otsu or kmeans, or leave it out"
            raise ConfigError(f"{', '.join(named)}: only for --cue otsu or kmeans; {cure}")
    if params.phases not in (2, 3):
        raise ConfigError(f"--phases {params.phases}: must be 2 or 3")
    if params.polarity not in POLARITIES:
        raise ConfigError(f"--polarity {params.polarity}: must be one of {', '.join(POLARITIES)} here")
