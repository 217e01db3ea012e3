"""Survey a folder of images: read all headers, decide how all images are read, and log the decisions."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unsegcli import console
from unsegcli.core.geometry import working_grid
from unsegcli.errors import ConfigError, DataError
from unsegcli.images import bands as band_rules
from unsegcli.images.bands import AlphaTask
from unsegcli.images.decode import broken_files_named, read_header, rectangles, refuse_truncated
from unsegcli.images.find import UNREADABLE, VIRTUAL_SUFFIX, DigestedFile, file_digest
from unsegcli.images.georeference import some_adjoin
from unsegcli.images.header import Header, Pixels, check_axes, check_size
from unsegcli.images.mask_files import check_mask, find_masks
from unsegcli.images.path_text import suffix_of
from unsegcli.images.rasters import INSTALL, SurfaceMember, is_installed, is_large, lay_out
from unsegcli.images.scaling import (
    AS_IT_IS,
    FILTERS,
    Limits,
    by_one_factor,
    percentile_limits,
    points_in,
    regular_grid,
    regular_sample,
    value_family,
)
from unsegcli.images.working import (
    PLAIN_SUFFIXES,
    Reading,
    Source,
    check_working_size,
    decodes_in_parts,
    taken_part,
    taken_pixels,
)
from unsegcli.parallel import ordered_map
from unsegcli.params import AUTO, Images, changed_options
from unsegcli.recipe import listing_digest

SAMPLED_IMAGES = 256  # for percentiles over a folder, evenly spaced
SAMPLED_PIXELS = 20_000  # per image
SAMPLED_VALUES = 100_000_000  # over all images and bands; with many bands, fewer pixels per image
FILES_WORTH_WORKERS = 2000  # reading headers is quick: fewer files are read in this process
MANY_BANDS = 16  # more bands of real numbers are embeddings or spectra: vectors, whose distances have a meaning
SHOWN = 3
SMALL_FILE = 500_000  # bytes; whether such a raster is large is not looked up
BANDS_FIRST = "cyx"  # order of the axes


@dataclass(frozen=True)
class Survey:
    """The images of a folder and how they are read."""

    reading: Reading
    sources: list[Source]
    skipped: list[tuple[str, str]]  # name, and the reason in one line


@dataclass(frozen=True)
class _Page:
    """An image whose header was read."""

    name: str
    page: int
    file: DigestedFile
    header: Header
    members: tuple[SurfaceMember, ...] = ()


def survey(
    files: Sequence[DigestedFile],
    params: Images,
    mask_folder: Path | None,
    workers: int,
    known: Reading | None = None,
    known_scaling: Limits | None = None,
    mask_digests: Mapping[Path, str] | None = None,
) -> Survey:
    """Read the headers of all files, decide how all images are read, and log the decisions.

    Unreadable files are skipped and listed; an error is raised only if no file can be read.

    Args:
        files: image files with their digests.
        params: the user's settings.
        mask_folder: folder with a mask of valid pixels for each image, or None.
        workers: number of processes; 0 = one for each processor.
        known: how earlier images were read; new images are read the same way, or refused.
        known_scaling: scaling of the earlier images, used instead of new percentiles over the folder.
        mask_digests: known digests of masks, by absolute path.
    """
    _check_params(params)
    skipped: list[tuple[str, str]] = []
    if params.mosaic:
        pages = [_mosaic(files, mask_folder)]
    else:
        pages = _pages(files, params if known is None else _as_known(params, known), workers, skipped)
    if known is None:
        reading = _decided(pages, params, mask_folder, workers, skipped)
    else:
        reading = dataclasses.replace(known, max_pixels=params.max_pixels)
        for page in pages:
            check_fits(page.name, page.header, reading)
    pages = [page for page in pages if page.name not in dict(skipped)]
    _some_left(pages, skipped)
    sources = _with_masks([_source(page) for page in pages], pages, mask_folder, mask_digests or {})
    sources = _with_scaling(sources, pages, reading, workers, known_scaling, skipped)
    _some_left(sources, skipped)
    return Survey(reading, sources, skipped)


def largest_raster(files: Sequence[DigestedFile], params: Images) -> tuple[int, int] | None:
    """Return pixels and bands of the largest working image, if it is so large that it is cut into windows by itself.

    Only what may be decoded in parts is looked at: TIFF files, what only GDAL reads, and mosaics.
    """
    with suppress(DataError):
        headers = [_mosaic(files, None).header] if params.mosaic else list(_headers_of_rasters(files, params.axes))
        sizes = [
            (math.prod(working_grid(*one.oriented, params.size, params.scale)), one.bands)
            for one in headers
            if one.pages == 1
        ]
        found = max(sizes, default=(0, 0))
        return found if is_large(found[0]) else None
    return None


def with_band_range(params: Images, files: Sequence[DigestedFile]) -> Images:
    """Decide before the recipe is made how bands are scaled, by the first file of those that can have real numbers."""
    if params.band_range != AUTO:
        return params
    for file in files:
        kind = suffix_of(file.location).lower()
        if kind not in PLAIN_SUFFIXES or kind == ".npy":
            with suppress(DataError):
                found = _band_range(params, read_header(file.path, params.axes))
                return dataclasses.replace(params, band_range="same") if found == "same" else params
    return params


def _band_range(params: Images, header: Header) -> str:
    """Return how bands are scaled: `each` from its own percentiles, or all by the `same` factor."""
    if params.band_range != AUTO:
        return params.band_range
    vectors = value_family(header.dtype) == "real" or header.dtype == "int8"
    return "same" if vectors and (len(params.bands) or header.bands) > MANY_BANDS else "each"


def _headers_of_rasters(files: Sequence[DigestedFile], axes: str) -> Iterator[Header]:
    for file in files:
        kind = suffix_of(file.location).lower()
        if kind not in PLAIN_SUFFIXES and (kind == VIRTUAL_SUFFIX or file.bytes > SMALL_FILE):
            with suppress(DataError):
                yield read_header(file.path, axes)


def check_fits(name: str, header: Header, reading: Reading) -> None:
    """Refuse a new image that cannot be read the same way as earlier images."""
    try:
        reading.taking.check(header.bands)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    family = value_family(header.dtype)
    if reading.values not in (family, "mixed"):
        earlier = _FAMILY_WORDS[reading.values]
        raise DataError(f"{name}: values of type {header.dtype}, but the earlier images have {earlier}: convert it")


_FAMILY_WORDS = {
    "bytes": "8-bit values",
    "whole": "integers of more than 8 bits",
    "real": "real numbers",
}


def _check_params(params: Images) -> None:
    check_axes(params.axes)
    if params.scaling not in ("folder", "image"):
        raise ConfigError(f"--scaling {params.scaling}: choose folder or image")
    if params.contrast not in ("given", "image"):
        raise ConfigError(f"--contrast {params.contrast}: choose given or image")
    if params.band_range not in (AUTO, "each", "same"):
        raise ConfigError(f"--band-range {params.band_range}: choose auto, each or same")
    if params.resampling not in FILTERS:
        raise ConfigError(f"--resampling {params.resampling}: choose {' or '.join(FILTERS)}")
    low, high = params.percentiles
    if not 0 <= low < high <= 100:
        raise ConfigError(f"--percentiles {low:g},{high:g}: give two numbers from 0 to 100, the lower one first")
    if params.max_pixels < 1:
        raise ConfigError(f"--max-pixels {params.max_pixels}: give at least 1")


def _as_known(params: Images, known: Reading) -> Images:
    return dataclasses.replace(params, axes=known.axes, size=known.size, scale=known.scale)


# Headers


def _pages(files: Sequence[DigestedFile], params: Images, workers: int, skipped: list[tuple[str, str]]) -> list[_Page]:
    """Return all images whose headers can be read and whose size is within the limits."""
    pages: list[_Page] = []
    tasks = [(file.location, params) for file in files]
    headers = ordered_map(_header, tasks, workers if len(files) > FILES_WORTH_WORKERS else 1, len(files))
    for file, header in zip(files, headers, strict=True):
        if isinstance(header, str) or file.digest == UNREADABLE:
            skipped.append((file.name, header if isinstance(header, str) else "cannot be read"))
            continue
        names = [file.name] if header.pages == 1 else [f"{file.name}#{page}" for page in range(header.pages)]
        pages.extend(_Page(name, page, file, header) for page, name in enumerate(names))
        if header.left_out:
            console.note(
                f"{file.name}: {header.left_out} pages skipped: their size differs from that of the first page"
            )
    _some_left(pages, skipped)
    turned = sum(page.header.orientation != 1 for page in pages)
    if turned:
        console.note(f"images rotated by their EXIF orientation: {turned} of {len(pages)}")
    read = len(files) - len(skipped)
    if len(pages) > read:
        holders = "1 file contains" if read == 1 else f"{read} files contain"
        console.note(f"{holders} {len(pages)} images: each page is an image (see --axes)")
    return pages


def _header(task: tuple[str, Images]) -> Header | str:
    """Return the header of a file, or the reason why it cannot be read."""
    path, params = Path(task[0]), task[1]
    try:
        header = read_header(path, params.axes)
        check_size(path, header, 0, params.max_pixels)
        grid = working_grid(*header.oriented, params.size, params.scale)
        if not header.in_parts:
            check_working_size(str(path), grid, params)
    except DataError as error:
        return _reason(path, str(error))
    return header


def _mosaic(files: Sequence[DigestedFile], mask_folder: Path | None) -> _Page:
    """Return the surface that the files make by their georeference, as one image."""
    if mask_folder is not None:
        raise ConfigError("--mosaic: masks of tiles are not read; mark pixels as nodata, or leave out --mask")
    if not is_installed():
        raise ConfigError(f"--mosaic needs rasterio: {INSTALL}")
    for file in files:
        refuse_truncated(file.path)
    named = [(file.name, file.path) for file in files]
    with broken_files_named(files[0].path):
        places, header = lay_out(named)
    members = tuple(
        SurfaceMember(str(file.path.absolute()), file.digest, file.bytes, file.modified, box)
        for file, box in zip(files, places, strict=True)
    )
    folder = Path(os.path.commonpath([file.path.absolute().parent for file in files]))
    name = f"{folder.name or 'tiles'}-mosaic"
    listed = ((f"{member.box.top} {member.box.left}", member.digest) for member in members)
    whole = DigestedFile(
        name,
        str(folder / name),
        listing_digest(listed),
        sum(file.bytes for file in files),
        max(file.modified for file in files),
    )
    return _Page(name, 0, whole, header, members)


def _reason(path: Path, text: str) -> str:
    return text.removeprefix(f"{path}: ")


def _some_left(left: Sequence[object], skipped: Sequence[tuple[str, str]]) -> None:
    if left:
        return
    if not skipped:
        raise DataError("no images given: name a folder or files")
    shown = "; ".join(f"{name}: {reason}" for name, reason in skipped[:SHOWN])
    more = "; ..." if len(skipped) > SHOWN else ""
    raise DataError(f"no image can be read: {shown}{more}")


# Decisions


def _decided(
    pages: Sequence[_Page],
    params: Images,
    mask_folder: Path | None,
    workers: int,
    skipped: list[tuple[str, str]],
) -> Reading:
    kinds: dict[str, str] = {}
    if band_rules.needs_alpha_kinds(params.alpha, params.bands):
        kinds = _alpha_kinds(pages, params, workers, skipped)
    bad = dict(skipped)
    headers = {page.name: page.header for page in pages if page.name not in bad}
    _some_left(list(headers), skipped)
    _note_possible_slices(headers, params.axes)
    _note_tiles(headers)
    return settled(headers, params, kinds)


def _note_possible_slices(headers: Mapping[str, Header], axes: str) -> None:
    """Say so if the bands of an image are stored like the slices of a stack, which no file format tells apart."""
    found = [
        name
        for name, header in headers.items()
        if header.axes == BANDS_FIRST and header.bands > 1 and not header.place.transform
    ]
    if found and axes == "auto":
        which = found[0] if len(headers) == 1 else f"{len(found)} of {len(headers)} images, such as {found[0]}"
        console.note(
            f"{which}: {headers[found[0]].bands} bands, stored one after another like the slices of a stack; if they "
            "are slices, --axes pyx reads each as an image of its own"
        )


def _note_tiles(headers: Mapping[str, Header]) -> None:
    """Say that tiles of one survey can be one image."""
    if some_adjoin((header.place, header.oriented) for header in headers.values()):
        console.note(
            "some images lie side by side on the map; if all are tiles of one survey, --mosaic reads them as one"
        )


def _note_unscaled(values: str, params: Images) -> None:
    """Say so if settings of the scaling change nothing, since images of 8 bits are not scaled."""
    given = changed_options(params, (), ("percentiles", "scaling", "band_range"))
    if values == "bytes" and given and params.contrast == "given":
        console.note(
            f"images of 8 bits are taken as they are, without {' or '.join(given)}; --contrast image stretches each "
            "image from its own percentiles"
        )


def settled(headers: dict[str, Header], params: Images, kinds: Mapping[str, str]) -> Reading:
    """How all images are read, by their headers and by what their last bands hold; said aloud."""
    decision = band_rules.decide(headers, params.alpha, params.bands, kinds)
    for line in decision.said:
        console.note(line)
    for line in decision.warned:
        console.warn(line)
    taking = decision.taking
    values = _values(headers, one_by_one="image" in (params.scaling, params.contrast))
    _note_unscaled(values, params)
    band_range = _band_range(params, next(iter(headers.values())))
    if band_range == "same" and values != "bytes":
        console.note(
            f"{taking.channels} bands are scaled by the same factor, so that distances between the vectors of pixels "
            "keep their proportions; --band-range each scales each by itself"
        )
    return Reading(
        axes=params.axes,
        bands=taking.bands,
        alpha=taking.alpha,
        channels=taking.channels,
        values=values,
        nodata=params.nodata,
        percentiles=params.percentiles,
        scaling=params.scaling,
        contrast=params.contrast,
        resampling=params.resampling,
        band_range=band_range,
        size=params.size,
        scale=params.scale,
        max_pixels=params.max_pixels,
    )


def _alpha_kinds(
    pages: Sequence[_Page], params: Images, workers: int, skipped: list[tuple[str, str]]
) -> dict[str, str]:
    """Classify the last band of each image with two or four bands; stop at the first that is certainly not alpha."""
    asked = [page for page in pages if band_rules.may_be_alpha(page.header)]
    tasks = [
        AlphaTask(
            str(page.file.path),
            page.file.digest,
            page.page,
            params.axes,
            params.max_pixels,
            page.members,
            page.header.in_parts,
        )
        for page in asked
    ]
    found: dict[str, str] = {}
    results = ordered_map(band_rules.alpha_kind, tasks, workers, len(tasks))
    for page, (kind, reason) in zip(asked, results, strict=False):
        if kind == "unreadable":
            skipped.append((page.name, _reason(page.file.path, reason)))
            continue
        found[page.name] = kind
        if kind == "values":
            break
    return found


def _values(headers: dict[str, Header], *, one_by_one: bool) -> str:
    """Return the value type family of a folder; refuse types that cannot share one scaling."""
    families: dict[str, str] = {}
    for name, header in headers.items():
        families.setdefault(value_family(header.dtype), name)
    if len(families) == 1:
        return next(iter(families))
    if one_by_one:
        return "mixed"
    found = ", ".join(f"{_FAMILY_WORDS[family]} ({name})" for family, name in families.items())
    raise DataError(
        f"images of different value types: {found}: they cannot share one scaling: convert them to one type, "
        "or use --scaling image"
    )


# Sources


def _source(page: _Page) -> Source:
    height, width = page.header.oriented
    return Source(
        name=page.name,
        path=str(page.file.path.absolute()),
        page=page.page,
        digest=page.file.digest,
        bytes=page.file.bytes,
        modified=page.file.modified,
        height=height,
        width=width,
        orientation=page.header.orientation,
        scaling=(),
        bands=page.header.bands,
        place=page.header.place,
        members=page.members,
        in_parts=page.header.in_parts,
    )


def _with_masks(
    sources: list[Source], pages: Sequence[_Page], folder: Path | None, known: Mapping[Path, str]
) -> list[Source]:
    if folder is None:
        return sources
    files = find_masks(folder, list(dict.fromkeys(page.file.name for page in pages)))
    digests = {name: known.get(path.absolute()) or file_digest(path) for name, path in files.items()}
    masked = []
    for source, page in zip(sources, pages, strict=True):
        mask = check_mask(files[page.file.name], page.page, page.name, page.header)
        masked.append(
            dataclasses.replace(
                source,
                mask=str(mask.path.absolute()),
                mask_page=mask.page,
                mask_digest=digests[page.file.name],
            )
        )
    return masked


def _with_scaling(
    sources: list[Source],
    pages: Sequence[_Page],
    reading: Reading,
    workers: int,
    known_scaling: Limits | None,
    skipped: list[tuple[str, str]],
) -> list[Source]:
    """Add the scaling limits of each band to the sources; skip those that turn out to be unreadable."""
    as_it_is: Limits = (AS_IT_IS,) * reading.channels
    if reading.shares_scaling:
        if known_scaling is not None:
            check_known(known_scaling, reading)
            return [dataclasses.replace(source, scaling=known_scaling) for source in sources]
        return _folder_scaling(sources, reading, workers, skipped)
    asked = [source for source, page in zip(sources, pages, strict=True) if reading.scales(page.header.dtype)]
    limits: dict[str, Limits] = {}
    for source, sample in _samples(asked, reading, workers, skipped):
        limits[source.name] = sample_limits([sample], reading)
    bad = dict(skipped)
    return [
        dataclasses.replace(source, scaling=limits.get(source.name, as_it_is))
        for source in sources
        if source.name not in bad
    ]


def check_known(scaling: Limits, reading: Reading) -> None:
    """Refuse a scaling of earlier images that is not for as many bands."""
    if len(scaling) != reading.channels:
        raise DataError(f"the stored scaling is for {len(scaling)} bands, but {reading.channels} are read")


def _folder_scaling(
    sources: list[Source], reading: Reading, workers: int, skipped: list[tuple[str, str]]
) -> list[Source]:
    chosen = [sources[index] for index in sampled(len(sources))]
    samples = [sample for _, sample in _samples(chosen, reading, workers, skipped)]
    limits = sample_limits(samples, reading)
    bad = dict(skipped)
    left = [source for source in sources if source.name not in bad]
    console.note(_scaling_said(limits, reading))
    return [dataclasses.replace(source, scaling=limits) for source in left]


def _scaling_said(limits: Limits, reading: Reading) -> str:
    percentiles = "percentiles {:g} and {:g}".format(*reading.percentiles)
    if reading.band_range == "same":
        low, high = limits[0]
        return (
            f"the widest range of a band between {percentiles} over the folder is {high - low:g}: it becomes 0 to 255"
        )
    shown = ", ".join(f"{low:g} to {high:g}" for low, high in limits[:SHOWN])
    more = ", ..." if len(limits) > SHOWN else ""
    return f"{percentiles} of each band over the folder become 0 and 255: {shown}{more}"


def sample_limits(samples: Sequence[Pixels], reading: Reading) -> Limits:
    """Compute which values of each band become 0 and 255, from samples (pixels, bands) of images."""
    limits = percentile_limits(samples, reading.percentiles, reading.channels)
    return by_one_factor(limits) if reading.band_range == "same" else limits


def sampled(count: int) -> list[int]:
    """Which of so many images are looked into for percentiles over all of them."""
    most = min(SAMPLED_IMAGES, count)
    return [index * count // most for index in range(most)]


def sample_of(pixels: Pixels, valid: NDArray[np.bool_] | None) -> Pixels:
    """Those valid pixels (pixels, bands) of an image that percentiles are taken of."""
    return regular_sample(pixels, valid, _sampled_pixels(pixels.shape[2]))


def _sampled_pixels(bands: int) -> int:
    return max(1, min(SAMPLED_PIXELS, SAMPLED_VALUES // (SAMPLED_IMAGES * bands)))


def _sample_of_parts(source: Source, reading: Reading) -> Pixels:
    """Sample the same pixels as `sample_of`, from one part of the source after the other."""
    grid = regular_grid(source.height, source.width, _sampled_pixels(reading.channels))
    found = []
    for box in rectangles(Path(source.path), source.members):
        inside = points_in(grid, box)
        if all(range(*one.indices(one.stop)) for one in inside):
            pixels, valid = taken_part(source, reading, box)
            picked = np.array(pixels[inside]).reshape(-1, pixels.shape[2])
            found.append(picked if valid is None else picked[valid[inside].ravel()])
    return np.concatenate(found)


def _samples(
    sources: Sequence[Source], reading: Reading, workers: int, skipped: list[tuple[str, str]]
) -> Iterator[tuple[Source, Pixels]]:
    """Yield sampled valid pixels (pixels, bands) of each source; unreadable sources are skipped and listed."""
    results = ordered_map(_sample, [(source, reading) for source in sources], workers, len(sources))
    for source, sample in zip(sources, results, strict=True):
        if isinstance(sample, str):
            skipped.append((source.name, sample))
        else:
            yield source, sample


def _sample(task: tuple[Source, Reading]) -> Pixels | str:
    source, reading = task
    try:
        if decodes_in_parts(source, reading):
            return _sample_of_parts(source, reading)
        pixels, valid = taken_pixels(source, reading)
    except DataError as error:
        return _reason(Path(source.path), str(error))
    return sample_of(pixels, valid)
