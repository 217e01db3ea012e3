"""Read ground truth: label files of every kind, decoded with a legend, and their assignment to images.

The only module that reads labels. It is independent of artifacts and scores, and must not be imported by anything
that learns.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unsegcli import console
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.decode import broken_files_named, orient, read_index, read_pixels
from unsegcli.images.find import ImageFile, data_folder, digest_files, natural_order, split_of
from unsegcli.images.mat_files import MOST_BYTES, mat_variables
from unsegcli.images.path_text import files_below, folder_of, name_of, start_of, suffix_of, without_suffix
from unsegcli.legend import IGNORED, LARGEST_VALUE, Legend, Value, given_legend, legend_beside, read_legend
from unsegcli.recipe import listing_digest

LabelMap: TypeAlias = NDArray[np.int16] | NDArray[np.int32]

LABELS_FOLDER = "labels"
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".btf", ".npy", ".mat", ".bmp", ".gif")
LOSSY_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
TURNED_BACK = {6: 8, 8: 6}  # inverses of the orientations that are not their own inverse
TOOL_ENDINGS = ("_mask", "_label", "_labels", "_gt", "_lc")  # suffixes that labelling tools add to the stem
PAGE = re.compile(r"#\d+$")  # at the end of the name of an image in a file of several
LISTED = 10  # values listed in an error
NAMED = 5  # files listed in a line
BLOCK = 1 << 20  # pixels looked up at once
_UNNAMED = -2  # marks values missing from the legend, until the error is raised


def find_labels(images_folder: Path) -> Path | None:
    """Return the `labels/` that belongs to a folder of images: beside `images/`, or beside the folder itself.

    Args:
        images_folder: the folder that contains `images/`, `images/` itself, or a folder in it: of `images/val` it is
            `labels/val`, if there is one.
    """
    path = data_folder(images_folder) / LABELS_FOLDER
    if path.is_dir():
        return path
    above, split = split_of(images_folder)
    found = (above / LABELS_FOLDER / split, above / LABELS_FOLDER)
    return next((one for one in found if one.is_dir()), None)


def given_labels(folder: str | Path) -> Path:
    """Return the folder of labels given by the user, after checking that it exists."""
    if not Path(folder).is_dir():
        raise DataError(f"--labels {folder}: no such folder")
    return Path(folder)


def labels_of(images: Path | None, given: str | Path | None, name: str) -> Path:
    """Return the folder of labels to score with: the given one, else `labels/` next to the images.

    Args:
        images: the folder of the images, if known.
        given: the folder named by the user.
        name: of what is scored, for errors.
    """
    if given is not None:
        return given_labels(given)
    found = None if images is None else find_labels(images)
    if found is None:
        beside = "" if images is None else f" next to {images}"
        if images is not None and not images.exists():
            beside = f": the images are no longer at {images}"
        raise DataError(f"{name}: no folder labels/ found{beside}; set the ground truth with --labels FOLDER")
    console.note(f"reading labels from {found}, for scoring only")
    return found


def legend_of(images: Path | None, given: str | Path | None, labels: Path) -> Path | None:
    """Return the legend file of some labels: the given one, else one next to the images or the labels."""
    if given is not None:
        return given_legend(given)
    found = legend_beside(images, labels)
    if found is not None:
        console.note(f"using the legend {found}")
    return found


@dataclass(frozen=True)
class GroundTruth:
    """A folder of labels and how they are read, for commands that need one label map per image."""

    folder: Path
    legend_path: Path | None
    given_ignore: tuple[int, ...] = ()  # values that are not scored, beside those of the legend

    @functools.cached_property
    def legend(self) -> Legend | None:
        """The classes of the values."""
        return None if self.legend_path is None else read_legend(self.legend_path)

    @property
    def classes(self) -> int:
        """Number of classes; 0 = not known without a legend."""
        return 0 if self.legend is None else len(self.legend.classes)

    @property
    def ignore(self) -> list[Value]:
        """All values that are not scored."""
        return [*(self.legend.ignore if self.legend else ()), *self.given_ignore]

    def names(self, classes: int) -> list[str]:
        """Return the names of the classes."""
        return list(self.legend.names) if self.legend else [str(number) for number in range(classes)]

    def map_of(self, paths: Sequence[Path], page: int) -> LabelMap:
        """Read the label map of one image: (height, width), negative = not scored."""
        ignore = tuple(sorted(set(self.given_ignore) - (set(self.legend.ignore) if self.legend else set())))
        maps = [truth for path in paths for truth in read_labels(path, self.legend, page, ignore)]
        if len(maps) > 1:
            raise DataError(f"{paths[0]}: has {len(maps)} annotators, but one label map per image is needed")
        return maps[0]


# ------------------------------------------------------------------------------------------------ reading


def read_labels(
    path: Path, legend: Legend | None = None, page: int = 0, ignore: tuple[int, ...] = ()
) -> list[LabelMap]:
    """Read the label maps of one file: one for each annotator, usually one.

    With a legend the maps hold class numbers in the legend's order (int16), without one the file's own values
    (int32). Ignored pixels are `IGNORED`: the values of `ignore` and of the legend's `ignore`, NaN, and fully
    transparent pixels. For a palette image, a legend of numbers refers to the indices and a legend of colours to the
    colours. An image whose red, green and blue are equal everywhere is treated as grey.

    Args:
        path: an image, TIFF, NPY or `.mat` file.
        legend: the classes of the values; None = return the values themselves.
        page: page number in a file of several pages, from 0.
        ignore: further values that are not scored, even if the legend has a class for them.

    Returns:
        maps (height, width) at the resolution of the file.
    """
    suffix = path.suffix.lower()
    if suffix in LOSSY_SUFFIXES:
        raise DataError(f"labels {path} are JPEG, which is lossy and changes label values: save labels as PNG")
    if legend is not None and legend.in_colors:
        if ignore:
            raise ConfigError(
                "the legend has colours, so values cannot be ignored by number: add the colours to its ignore"
            )
        return [_map_of_colors(_read_colors(path, page), path, legend)]
    arrays = _read_mat(path, page) if suffix == ".mat" else [read_index(path, page)]
    return [_map_of_numbers(array, path, legend, ignore) for array in arrays]


def _map_of_colors(pixels: NDArray[np.uint8], path: Path, legend: Legend) -> LabelMap:
    colors, void = _split_alpha(pixels, path)
    table = {_code(value): number for value, number in legend.numbers().items()}
    return _numbers_by_table(_color_codes(colors), table, path, _show_code, void)


def _map_of_numbers(array: NDArray[Any], path: Path, legend: Legend | None, ignore: tuple[int, ...]) -> LabelMap:
    values, void = _split_alpha(array, path)
    values, void = _whole_numbers(_one_band(values, path, legend), path, void)
    if legend is None:
        return _own_values(values, path, ignore, void)
    table = {value: n for value, n in legend.numbers().items() if isinstance(value, int)}
    return _numbers_by_table(values, table | dict.fromkeys(ignore, IGNORED), path, str, void)


# --- bands


def _split_alpha(array: NDArray[Any], path: Path) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Split off the alpha band of (height, width, bands); fully transparent pixels are void."""
    if array.ndim == 2:
        return array, None
    bands = array.shape[2] if array.ndim == 3 else 0
    if bands not in (1, 2, 3, 4):
        shape = " x ".join(map(str, array.shape))
        raise DataError(
            f"labels {path} have the shape {shape}: expected height x width, or height x width x 3 for colours"
        )
    if bands in (1, 3):
        return array, None
    alpha = array[..., -1]
    opaque = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1
    transparent = alpha == 0
    if not np.all(transparent | (alpha == opaque)):
        raise DataError(
            f"labels {path} have {bands} bands, and the last is not an alpha band of 0 and {opaque}: "
            "save one band, or three for colours"
        )
    return array[..., :-1], transparent if transparent.any() else None


def _one_band(values: NDArray[Any], path: Path, legend: Legend | None) -> NDArray[Any]:
    """Return the values (height, width) of a grey image, which some tools save as three equal bands."""
    if values.ndim == 2:
        return values
    first = values[..., 0]
    if all(np.array_equal(first, values[..., band]) for band in range(1, values.shape[2])):
        return first
    wanted = "a legend (--legend)" if legend is None else "the legend's from"
    if values.dtype != np.uint8:
        raise DataError(f"labels {path} have three different bands that are not 8-bit colours: save one band")
    codes = np.unique(_color_codes(values))
    found = _listed(map(_show_code, codes[:LISTED].tolist()), total=codes.size)
    raise DataError(f"labels {path} hold colours, not numbers: add them to {wanted}: {found}")


# --- colours


def _read_colors(path: Path, page: int) -> NDArray[np.uint8]:
    """Read the colours (height, width, 3 or 4) of a colour, palette, grey or black-and-white file, as stored."""
    if path.suffix.lower() == ".mat":
        raise DataError(f"labels {path} hold numbers, but the legend has colours: use numbers in its from")
    decoded = read_pixels(path, page)
    if decoded.pixels.dtype != np.uint8:
        raise DataError(
            f"labels {path} hold {decoded.pixels.dtype}, but the legend has colours of 8 bits per band: "
            "use numbers in its from, or save the labels with 8 bits"
        )
    pixels = orient(decoded.pixels, TURNED_BACK.get(decoded.orientation, decoded.orientation))
    if pixels.shape[2] in (1, 2):  # image optimisers store a colour image as grey if all its colours are grey
        pixels = np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=2)
    return pixels


def _color_codes(colors: NDArray[Any]) -> NDArray[np.int32]:
    """Encode colours as red * 65536 + green * 256 + blue: (height, width)."""
    codes = colors[..., 0].astype(np.int32)
    for band in (1, 2):
        codes <<= 8
        codes |= colors[..., band]
    return codes


def _code(color: Value) -> int:
    red, green, blue = color if isinstance(color, tuple) else (color, color, color)
    return red << 16 | green << 8 | blue


def _show_code(code: int) -> str:
    return f"#{code:06x}"


# --- numbers


def _whole_numbers(
    values: NDArray[Any], path: Path, void: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Convert values to a native integer type, and add NaN pixels to the void pixels."""
    kind = values.dtype.kind
    if kind == "b":
        return values.astype(np.uint8), void
    if kind == "f":
        return _whole_floats(values, path, void)
    if kind not in "iu":
        raise DataError(f"labels {path} hold {values.dtype} values: save integers")
    if values.dtype.itemsize == 8:
        if kind == "u" and int(values.max(initial=0)) > LARGEST_VALUE:
            raise DataError(
                f"labels {path} hold the value {values.max()}, which does not fit into int64: use smaller label values"
            )
        return values.astype(np.int64), void
    return values.astype(values.dtype.newbyteorder("="), copy=False), void


def _whole_floats(
    values: NDArray[Any], path: Path, void: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    missing = np.isnan(values)
    filled = np.where(missing, 0, values)
    with np.errstate(invalid="ignore"):
        broken = (filled != np.rint(filled)) | (np.abs(filled) >= 2.0**63)
    if broken.any():
        raise DataError(
            f"labels {path} hold {values[broken][0]}: label values must be integers (or NaN, which is ignored)"
        )
    if missing.any():
        void = missing if void is None else void | missing
    return filled.astype(np.int64), void


def _own_values(
    values: NDArray[Any], path: Path, ignore: tuple[int, ...], void: NDArray[np.bool_] | None
) -> NDArray[np.int32]:
    """Return the values of the file; negative ones, which would be confused with `IGNORED`, must be in `ignore`."""
    ignored = np.isin(values, list(ignore)) if ignore else np.zeros(values.shape, dtype=bool)
    if void is not None:
        ignored |= void
    for extreme in (values.min(initial=0, where=~ignored), values.max(initial=0, where=~ignored)):
        if not 0 <= extreme < 2**31:
            raise DataError(
                f"labels {path} hold the value {extreme}: add it to a legend (--legend), as a class or to its ignore"
            )
    return np.where(ignored, np.int32(IGNORED), values.astype(np.int32))


def _numbers_by_table(
    values: NDArray[Any],
    table: Mapping[int, int],
    path: Path,
    show: Callable[[int], str],
    void: NDArray[np.bool_] | None,
) -> NDArray[np.int16]:
    """Look up the number of each value; a value missing from the table is an error, except at void pixels."""
    if values.dtype.itemsize <= 2:  # few possible values: use a lookup table
        unsigned = np.dtype(f"u{values.dtype.itemsize}")
        possible = np.arange(2 ** (8 * unsigned.itemsize)).astype(unsigned).view(values.dtype)
        numbers: NDArray[np.int16] = _search(possible, table)[np.ascontiguousarray(values).view(unsigned)]
    else:
        rows = max(1, BLOCK // values.shape[1])  # in blocks, as the search needs 30 bytes per pixel
        blocks = [_search(values[top : top + rows], table) for top in range(0, len(values), rows)]
        numbers = np.concatenate(blocks)
    if void is not None:
        numbers[void] = IGNORED
    unnamed = np.unique(values[numbers == _UNNAMED])
    if unnamed.size:
        text = _listed((show(value) for value in unnamed[: LISTED + 1].tolist()), total=unnamed.size)
        raise DataError(f"labels {path} hold {text}, missing from the legend: add to a from or to ignore")
    return numbers


def _search(values: NDArray[Any], table: Mapping[int, int]) -> NDArray[np.int16]:
    keys = np.array(sorted(table), dtype=np.int64)
    numbers = np.array([table[key] for key in sorted(table)], dtype=np.int16)
    places = np.searchsorted(keys, values).clip(max=len(keys) - 1)
    found: NDArray[np.int16] = np.where(keys[places] == values, numbers[places], np.int16(_UNNAMED))
    return found


# --- MATLAB


def _read_mat(path: Path, page: int) -> list[NDArray[Any]]:
    """Read the maps of a `.mat` file: BSDS `groundTruth`, COCO-Stuff `S`, or its only matrix."""
    if page:
        raise DataError(
            f"labels {path} are a .mat file, which has only one page, not page {page}: use TIFF labels for stacks"
        )
    content = _load_mat(path)
    if "groundTruth" in content:
        return _bsds_maps(content["groundTruth"], path)
    if "S" in content:
        if not _is_matrix(content["S"]):
            raise DataError(f"labels {path} hold an S that is not a numeric matrix: they are not COCO-Stuff labels")
        return [content["S"]]
    matrices = [value for value in content.values() if _is_matrix(value)]
    if len(matrices) != 1:
        found = ", ".join(content) or "nothing"
        raise DataError(f"labels {path} hold {found}: expected groundTruth (BSDS), S (COCO-Stuff) or one matrix")
    return matrices


def _load_mat(path: Path) -> dict[str, Any]:
    with broken_files_named(path), path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    return mat_variables(content, f"labels {path}")


def _is_matrix(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "biuf" and value.size > 1


def _bsds_maps(cells: NDArray[Any], path: Path) -> list[NDArray[Any]]:
    """Return the maps in a cell array (1, annotators) of structures with the fields Segmentation and Boundaries."""
    maps: list[NDArray[Any]] = []
    for cell in np.ravel(cells):
        fields = getattr(cell, "dtype", np.dtype(np.uint8)).names or ()
        segmentation = np.ravel(cell["Segmentation"])[0] if "Segmentation" in fields and cell.size else None
        if not isinstance(segmentation, np.ndarray) or not _is_matrix(segmentation):
            raise DataError(f"labels {path} hold a groundTruth without a Segmentation: they are not BSDS labels")
        maps.append(segmentation)
    if not maps:
        raise DataError(f"labels {path} hold an empty groundTruth, without annotators")
    return maps


# ------------------------------------------------------------------------------------------------ matching


def labels_digest(matches: Iterable[LabelMatch], folder: Path) -> str:
    """Compute one digest of all label files that belong to an image, for a recipe."""
    locations = {file for match in matches for files in match.files.values() for file in files}
    start = len(start_of(folder))
    files = [ImageFile(one[start:], one) for one in sorted(locations, key=lambda one: one.split("/"))]
    return listing_digest((file.name, file.digest) for file in digest_files(files, {}))


def check_unchanged(matches: Iterable[LabelMatch], folder: Path, digest: str) -> None:
    """Raise an error if label files are not those of an earlier `labels_digest`: scores would be of other labels."""
    if labels_digest(matches, folder) != digest:
        raise DataError(f"{folder}: labels have changed while they were read; run the command again")


@dataclass(frozen=True)
class LabelMatch:
    """The assignment of label files to images."""

    files: dict[str, list[str]]  # image name: the paths of its label files, one for each annotator
    missing: list[str]  # images without labels
    extra: list[str]  # label files without an image, relative to the label folder

    @functools.cached_property
    def paths(self) -> dict[str, list[Path]]:
        """The label files of each image, as paths."""
        return {name: list(map(Path, files)) for name, files in self.files.items()}

    def describe(self) -> str:
        """Describe in one line how many images have labels, and what is missing or extra."""
        total = len(self.files) + len(self.missing)
        line = f"labels for {len(self.files)} of {total} images"
        if self.missing:
            line += f"; none for {_listed(self.missing, NAMED)}"
        if self.extra:
            line += f"; no image for {_listed(self.extra, NAMED)}"
        return line


def labels_for(what: str, names: Sequence[str], folder: Path) -> LabelMatch:
    """Match images to their label files, and warn about those of `what` that have none."""
    match = match_labels(names, folder)
    if match.missing:
        verb = "has" if len(match.missing) == 1 else "have"
        console.warn(f"{what}: {console.count_images(len(match.missing))} {verb} no label and are not used")
    return match


def match_labels(names: Sequence[str], folder: Path) -> LabelMatch:
    """Find the label files of images by their stems.

    The label file of an image has the same relative path except for the suffix. Otherwise, in this order: the same
    path in a subfolder per annotator (`anna/x.png`, `ben/x.png`); the same stem, if it is unique among images; and
    all three again with the full name of the image (`x.jpg.png`) or the suffix of a tool (`x_mask.png`).
    Better matches are made first, and a label file is used for one image only.

    Args:
        names: image names, relative to their folder, with `#page` if a file has several pages.
        folder: the label folder, searched recursively.
    """
    files = _label_files(folder)
    images = {name: PAGE.sub("", name) for name in names}
    found = _match_images(list(dict.fromkeys(images.values())), files)
    if not found:
        image, label = (names[0] if names else "none"), min(files, key=natural_order)
        raise DataError(
            f"no label file in {folder} has the stem of an image: images are named like {image}, labels like {label}"
        )
    taken = {file for matched in found.values() for file in matched}
    first = start_of(folder)
    return LabelMatch(
        files={name: [first + file for file in found[image]] for name, image in images.items() if image in found},
        missing=sorted((name for name, image in images.items() if image not in found), key=natural_order),
        extra=sorted(set(files) - taken, key=natural_order),
    )


def _label_files(folder: Path) -> list[str]:
    """List all label files below a folder, relative to it."""
    if not folder.is_dir():
        raise DataError(f"label folder {folder} does not exist: give the folder of the label files")
    inside = list(files_below(str(folder)))
    files = [file for file in inside if suffix_of(file).lower() in LABEL_SUFFIXES]
    if not files and any(suffix_of(file).lower() in LOSSY_SUFFIXES for file in inside):
        raise DataError(
            f"label folder {folder} holds only JPEG files, which are lossy and change label values: save labels as PNG"
        )
    if not files:
        kinds = " ".join(LABEL_SUFFIXES)
        raise DataError(f"label folder {folder} has no label files: looked for {kinds}")
    return sorted(files, key=natural_order)


def _match_images(images: Sequence[str], files: Sequence[str]) -> dict[str, list[str]]:
    lookups = _lookups(images, files)
    found: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    left = images
    for spell, lookup in itertools.product((_spell_stem, _spell_name, _spell_tool), lookups):
        free = {
            image: matched
            for image in left
            if (matched := [file for key in spell(image) for file in lookup(image, key) if file not in owner])
        }
        for image, matched in free.items():
            _check_claim(image, matched, owner)
            found[image] = sorted(matched, key=natural_order) if len(matched) > 1 else matched
            owner |= dict.fromkeys(matched, image)
        left = [image for image in left if image not in found]
    return found


def _spell_stem(image: str) -> list[str]:
    return [without_suffix(image)]


def _spell_name(image: str) -> list[str]:
    return [image]


def _spell_tool(image: str) -> list[str]:
    return [without_suffix(image) + ending for ending in TOOL_ENDINGS]


Lookup: TypeAlias = Callable[[str, str], list[str]]


def _lookups(images: Sequence[str], files: Sequence[str]) -> list[Lookup]:
    """Return functions that look up the label files of an image by a form of its name, best first."""
    by_path: dict[str, list[str]] = defaultdict(list)
    by_annotator: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in files:
        bare = without_suffix(file)
        by_path[bare].append(file)
        by_annotator[bare.partition("/")[2]].append(file)
        by_stem[name_of(bare)].append(file)
    stems = Counter(name_of(without_suffix(image)) for image in images)
    return [
        lambda _, key: by_path.get(key, []),
        lambda _, key: by_annotator.get(key, []),
        lambda image, key: by_stem.get(name_of(key), []) if stems[name_of(without_suffix(image))] == 1 else [],
    ]


def _check_claim(image: str, matched: Sequence[str], owner: Mapping[str, str]) -> None:
    """Check that no file is used for two images, and that several files of one image are in different folders."""
    for file in matched:
        if file in owner:
            raise DataError(
                f"label file {file} matches two images, {owner[file]} and {image}: name label files by the "
                f"full image name, as in {name_of(image)}.png"
            )
    folders: dict[str, str] = {}
    for file in matched:
        folder = folder_of(file)
        if folder in folders:
            raise DataError(
                f"image {image} has two label files, {folders[folder]} and {file}: keep one, "
                "or use one subfolder per annotator"
            )
        folders[folder] = file


def _listed(texts: Iterable[str], most: int = LISTED, total: int = 0) -> str:
    """Join the first few texts, and add how many more there are."""
    texts = list(texts)
    more = max(total, len(texts)) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")
