"""Find the image of a label map and the superpixels that it was made from, if they still exist.

Nothing here draws or reads ground truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import Box, nearest_rows, working_grid
from unsegcli.dataflow.dataset import dataset_from_files, is_artifact
from unsegcli.dataflow.label_maps import (
    BAND_ROWS,
    FileMap,
    ImageMap,
    Predictions,
    StoredMap,
    check_aspect,
    open_predictions,
)
from unsegcli.dataflow.provenance import UNCHANGED, provenance
from unsegcli.errors import ChangedError, DataError
from unsegcli.images.find import digest_files, find_images
from unsegcli.images.working import Reading, Source, decodes_in_parts, read_box, read_working
from unsegcli.params import Inputs
from unsegcli.recipe import listing_digest
from unsegcli.views.export import file_name

Place: TypeAlias = tuple[Source, Reading]  # an image file and how it is read

SHOWN = 5
MAP_ENDINGS = ("_mask", "_label", "_labels", "_gt", "_lc", "_seg", "_pred")  # suffixes that tools add to the stem


def regions_behind(run: Predictions) -> dict[str, StoredMap]:
    """Find the superpixels that a segmentation was made from, by image, if the file is unchanged."""
    if run.role == "superpixels" or not is_artifact(run.name):
        return {}
    with store.open_artifact(run.name) as artifact:
        chain = list(provenance(artifact))
    for step in chain:
        if step["input"] == "superpixels" and step["state"] == UNCHANGED:
            behind = open_predictions(step["path"])
            digests = {item.name: item.source.digest for item in run.maps if isinstance(item, StoredMap)}
            return {
                item.name: item
                for item in behind.maps
                if isinstance(item, StoredMap) and digests.get(item.name) == item.source.digest
            }
    return {}


def find_places(run: Predictions, images: str | Path | None, inputs: dict[str, str], workers: int) -> dict[str, Place]:
    """Find the image file of each label map; maps without one are omitted."""
    if not is_artifact(run.name):
        return {} if images is None else _places_by_name(run, images, inputs, workers)
    with store.open_artifact(run.name) as artifact:
        reading = Reading.from_json(artifact.attributes["reading"])
    moved: dict[str, Path] | None = None
    if images is not None:
        moved = {file.digest: file.path for file in digest_files(find_images([images], annotations=True), {})}
    found = {}
    for item in run.maps:
        if isinstance(item, StoredMap):
            source = _placed(item.source, moved)
            if source is not None:
                found[item.name] = source, reading
    lost = [item.name for item in run.maps if item.name not in found]
    if lost:
        inputs["without_image"] = listing_digest((name, "") for name in lost)
    return found


def _placed(source: Source, moved: Mapping[str, Path] | None) -> Source | None:
    """Return a source with the present paths of its files; None if one of them is lost."""
    if not source.members:
        place = Path(source.path) if moved is None else moved.get(source.digest)
        return replace(source, path=str(place.resolve())) if place is not None and place.is_file() else None
    places = [Path(one.path) if moved is None else moved.get(one.digest) for one in source.members]
    pairs = zip(source.members, places, strict=True)
    members = tuple(replace(one, path=str(place)) for one, place in pairs if place is not None and place.is_file())
    return replace(source, members=members) if len(members) == len(places) else None


def _places_by_name(run: Predictions, images: str | Path, inputs: dict[str, str], workers: int) -> dict[str, Place]:
    """Match images to label maps by path without suffix, else by stem."""
    dataset = dataset_from_files(Inputs([images]))
    inputs.update(dataset.inputs)
    dataset = dataset.opened(workers)
    if dataset.reading is None:
        return {}
    by_key: dict[str, Source] = {}
    stems = Counter(PurePosixPath(source.name).stem for source in dataset.sources)
    for source in dataset.sources:
        for key in _keys(_with_page(source.name, source.page)):
            by_key.setdefault(key, source)
        stem = PurePosixPath(source.name).stem
        if stems[stem] == 1:
            by_key.setdefault(f"*/{stem}", source)
    found = {}
    for item in run.maps:
        keys = _keys(file_name(item))
        for key in (*keys, *(f"*/{PurePosixPath(key).name}" for key in keys)):
            if key in by_key:
                found[item.name] = by_key[key], dataset.reading
                break
    lost = [item.name for item in run.maps if item.name not in found]
    if lost:
        console.warn(
            f"no image in {images} matches {len(lost)} of {len(run.maps)} label maps: {', '.join(lost[:SHOWN])}"
        )

    return found


def _with_page(name: str, page: int) -> str:
    return file_name(FileMap(name, "", page, (1, 1)))


def _keys(name: str) -> list[str]:
    """Return the possible names of an image, without suffix, for the name of an image or a label map."""
    bare = str(PurePosixPath(name).with_suffix(""))
    inner = str(PurePosixPath(bare).with_suffix(""))  # x.jpg.png
    stripped = [bare.removesuffix(ending) for ending in MAP_ENDINGS if bare.endswith(ending)]
    return list(dict.fromkeys([bare, inner, *stripped]))


def working_pixels(item: ImageMap, regions: StoredMap | None, image: Place | None) -> NDArray[np.uint8] | None:
    """Read the pixels from an artifact, else from the image file; raise an error if the file has changed."""
    stored = item.pixels() if regions is None else regions.pixels()
    if stored is not None or image is None:
        return stored
    source, reading = image
    try:
        pixels = read_working(source, reading)[0]
    except ChangedError as error:
        raise changed(source) from error
    check_aspect(pixels.shape, item, f"{Path(source.path)}: the image")
    return pixels


def changed(source: Source) -> DataError:
    """Return the error of an image file that is not the one that was segmented."""
    return DataError(f"{Path(source.path)}: has changed since it was segmented; the image is not shown")


def working_bands(
    item: StoredMap, regions: StoredMap | None, image: Place | None
) -> Iterator[tuple[int, NDArray[np.uint8]]] | None:
    """Return the pixels as `working_pixels` does, on the grid of the source, a few rows at a time with the first."""
    stored = (item if regions is None else regions).pixel_bands()
    return stored if stored is not None or image is None else _bands_of_file(item, *image)


def _bands_of_file(item: StoredMap, source: Source, reading: Reading) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    whole = None if decodes_in_parts(source, reading) else working_pixels(item, None, (source, reading))
    grid = working_grid(source.height, source.width, reading.size, reading.scale)
    check_aspect(grid, item, f"{source.path}: the image")
    under, columns = (nearest_rows(*sides) for sides in zip(grid, item.source_grid, strict=True))
    for row in range(0, len(under), BAND_ROWS):
        rows = under[row : row + BAND_ROWS]
        box = Box(int(rows[0]), 0, int(rows[-1] - rows[0]) + 1, grid[1])
        try:
            pixels = read_box(source, reading, box)[0] if whole is None else whole[box.slices]
        except ChangedError as error:
            raise changed(source) from error
        yield row, pixels[rows - box.top][:, columns]
