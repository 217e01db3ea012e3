"""The kinds of artifact and their datasets as one table, which a test compares with docs/format.md.

Nothing here reads or writes a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

FORMAT = "unseg"
OBJECT_ROLES = ("mask", "proposal")  # 0 is background, any other number is object
ROLES = ("clusters", "classes", *OBJECT_ROLES)
UNKNOWN_DISTANCE = 255  # in `distances`: void, or no second centre; 254 stands for `windows/farthest`
ANY_NUMBER = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"


@dataclass(frozen=True)
class Field:
    """One dataset, or one group of datasets of the same type and axes."""

    types: str  # NumPy names of the allowed types, or "text" (UTF-8 of fixed length)
    axes: tuple[str, ...]  # names; height and width are those of the window's box; ... = any number of axes
    about: str
    per: Literal["file", "window", "entry"] = "file"  # one dataset, or a group with one for each window or name
    required: bool = True
    hint: bool = False  # describes the local file system: not part of the fingerprint


@dataclass(frozen=True)
class Kind:
    """One kind of artifact."""

    version: int
    about: str
    fields: dict[str, Field]
    attributes: dict[str, type] = field(default_factory=dict)  # in addition to COMMON_ATTRIBUTES
    private: bool = False


SOURCES = {
    "sources/name": Field("text", ("source",), "path of the image relative to the input folder; `#1` = second page"),
    "sources/path": Field("text", ("source",), "path relative to the artifact", hint=True),
    "sources/page": Field("int32", ("source",), "page of the file, from 0"),
    "sources/digest": Field("text", ("source",), "SHA-256 of the file"),
    "sources/bytes": Field("int64", ("source",), "size of the file"),
    "sources/modified": Field("int64", ("source",), "modification time in nanoseconds", hint=True),
    "sources/size": Field("int32", ("source", "2"), "height and width of the image as shown"),
    "sources/orientation": Field("uint8", ("source",), "EXIF orientation that was applied, 1 to 8"),
    "sources/bands": Field("int32", ("source",), "bands in the file"),
    "sources/scaling": Field("float64", ("source", "band", "2"), "values mapped to 0 and 255"),
    "sources/crs": Field(
        "text", ("source",), "coordinate system: `EPSG:32633`, WKT or a name; empty = none", required=False
    ),
    "sources/transform": Field(
        "float64", ("source", "6"), "from column and row to map coordinates; NaN = none", required=False
    ),
    "members/source": Field("int32", ("member",), "source that this file is a tile of: a mosaic", required=False),
    "members/path": Field("text", ("member",), "path relative to the artifact", required=False, hint=True),
    "members/digest": Field("text", ("member",), "SHA-256 of the file", required=False),
    "members/bytes": Field("int64", ("member",), "size of the file", required=False),
    "members/modified": Field("int64", ("member",), "modification time in nanoseconds", required=False, hint=True),
    "members/box": Field("int32", ("member", "4"), "top, left, height, width in the mosaic", required=False),
}
SHARD = {
    "shard/number": Field("int32", ("1",), "which part of a divided run this file is, from 1", required=False),
    "shard/of": Field("int32", ("1",), "how many parts there are", required=False),
}
WINDOWS = {
    "windows/source": Field("int32", ("window",), "row of the source"),
    "windows/box": Field("int32", ("window", "4"), "top, left, height, width in the working image"),
    "windows/grid": Field("int32", ("window", "2"), "height and width of the whole working image"),
}
SKIPPED = {
    "skipped/name": Field("text", ("skipped",), "name of an image that could not be read"),
    "skipped/reason": Field("text", ("skipped",), "reason"),
}
SUPERPIXEL_MAPS = {
    "superpixels": Field(
        "uint16 uint32", ("height", "width"), "superpixel of each pixel, from 0; the maximum = void", "window"
    ),
    "windows/superpixels": Field("int64", ("window",), "number of superpixels"),
}

PRETRAINED = {
    "pretrained/name": Field("text", ("network",), "name of each pretrained network that went in", required=False),
    "pretrained/digest": Field("text", ("network",), "SHA-256 of its file, or over its weights", required=False),
    "pretrained/licence": Field("text", ("network",), "licence of its weights; empty = not known", required=False),
    "pretrained/labels": Field("text", ("network",), "labels it learned from; empty = not known", required=False),
}
LABELS = {"labels/used": Field("text", ("use",), "what labels were used for, one row for each use", required=False)}

KINDS: dict[str, Kind] = {
    "superpixels": Kind(
        2,
        "images divided into superpixels",
        SOURCES
        | WINDOWS
        | SHARD
        | SKIPPED
        | SUPERPIXEL_MAPS
        | {"images": Field("uint8", ("height", "width", "band"), "working pixels", "window", required=False)},
        {"reading": str},
    ),
    "features": Kind(
        2,
        "vectors of superpixels, or of cells of a grid",
        SOURCES
        | WINDOWS
        | SHARD
        | SKIPPED
        | {name: replace(spec, required=False) for name, spec in SUPERPIXEL_MAPS.items()}
        | {
            "images": Field("uint8", ("height", "width", "band"), "working pixels", "window", required=False),
            "features": Field(
                "float16 float32", ("superpixel", "dimension"), "vector of each superpixel", "window", required=False
            ),
            "dense": Field(
                "float16 float32", ("row", "column", "dimension"), "vector of each cell", "window", required=False
            ),
            "windows/cell": Field("float64", ("window", "2"), "height and width of a cell, in pixels", required=False),
            "valid": Field(
                "bool", ("height", "width"), "pixels that are not void, without superpixels", "window", required=False
            ),
            "layers/name": Field("text", ("layer",), "layers whose outputs are joined, in order", required=False),
            "layers/dimensions": Field("int32", ("layer",), "number of dimensions of each", required=False),
            "layers/weight": Field("float64", ("layer",), "weight of each in a clustering; else 1", required=False),
            "resize": Field("float64", ("1",), "factor by which the network saw images resized", required=False),
            "layers/features": Field("int32", ("layer",), "features of each before `pca`", required=False),
            "pca/mean": Field("float32", ("feature",), "mean of the features of all layers", required=False),
            "pca/components": Field(
                "float32", ("feature", "component"), "the principal components of each layer", required=False
            ),
        }
        | PRETRAINED,
        {"reading": str},
    ),
    "model": Kind(
        2,
        "a trained network",
        {
            "weights": Field(ANY_NUMBER, ("...",), "one for each entry of the state dictionary", "entry"),
            "history": Field("float64", ("step",), "one for each recorded quantity", "entry", required=False),
            "scaling": Field("float64", ("band", "2"), "values of each band mapped to 0 and 255", required=False),
            "cutting": Field("uint8", ("byte",), "how superpixels were made, as JSON in UTF-8", required=False),
            "vectors": Field("uint8", ("character",), "what vectors it takes, as JSON in UTF-8", required=False),
            **{name: replace(spec, required=False) for name, spec in SKIPPED.items()},
        }
        | PRETRAINED
        | LABELS,
        {"method": str, "config": str, "reading": str, "bfloat16": str},
    ),
    "segmentation": Kind(
        2,
        "a category for each pixel",
        SOURCES
        | WINDOWS
        | SHARD
        | SKIPPED
        | {
            "segmentation": Field(
                "uint8 uint16", ("height", "width"), "category of each pixel; the maximum = void", "window"
            ),
            "confidence": Field("float16 float32", ("height", "width"), "0 to 1", "window", required=False),
            "windows/confidence": Field("float32", ("window",), "0 to 1", required=False),
            "distances": Field(
                "uint8",
                ("height", "width", "2"),
                "distances to the own and to the second centre; 255 = void",
                "window",
                required=False,
            ),
            "windows/farthest": Field("float64", ("window",), "the distance that 254 stands for", required=False),
            "categories/name": Field("text", ("category",), "name of each category", required=False),
            "categories/color": Field("text", ("category",), "`#rrggbb`", required=False),
            "centres": Field("float64", ("cluster", "feature"), "mean features of each cluster", required=False),
            "fit/centres": Field("float64", ("cluster", "dimension"), "the centres of k-means", required=False),
            "fit/mean": Field("float64", ("feature",), "mean of each feature", required=False),
            "fit/projection": Field("float64", ("feature", "dimension"), "features to dimensions", required=False),
            "fit/scaling": Field("float64", ("dimension", "3"), "in older files, instead of the two", required=False),
            "fit/settings": Field("uint8", ("byte",), "how features were made, as JSON in UTF-8", required=False),
            "fit/category": Field("int32", ("cluster",), "category of each centre, if renumbered", required=False),
            "choice/clusters": Field("int32", ("number",), "numbers of clusters that were tried", required=False),
            "choice/stability": Field("float64", ("number",), "stability of each number", required=False),
        }
        | PRETRAINED
        | LABELS,
        {"role": str, "clusters": int, "reading": str},
    ),
    "metrics": Kind(
        2,
        "scores",
        {
            "scores": Field("uint8", ("byte",), "the scores as JSON in UTF-8"),
            "matrix": Field("int64", ("cluster", "class"), "pixels by cluster and class", required=False),
            "per-image": Field(
                "int64",
                ("image", "cluster", "class"),
                "the same for each image; their sum is the matrix",
                required=False,
            ),
            "pairs": Field(
                "int64",
                ("pair", "5"),
                "run, image, cluster, class and pixels, where there are any, instead of `per-image`",
                required=False,
            ),
            "image-scores": Field("float64", ("run", "image", "score"), "scores of each image", required=False),
            "images/name": Field("text", ("image",), "name of each image", required=False),
            "images/score": Field("text", ("score",), "name of each score in `image-scores`", required=False),
        }
        | PRETRAINED
        | LABELS,
    ),
    "checkpoint": Kind(
        1,
        "an unfinished training run",
        {"state": Field(ANY_NUMBER, ("...",), "everything needed to resume", "entry")},
        {"progress": str},
        private=True,
    ),
}

RECIPE_COUNTS_FROM = 2  # version of a kind from which the recipe is part of the fingerprint

COMMON_ATTRIBUTES = {
    "format": "always `unseg`",
    "kind": "one of the kinds below",
    "kind-version": "version of the kind, an integer",
    "recipe": "canonical JSON of stage, revision, parameters and inputs",
    "fingerprint": "SHA-256 over kind, attributes, recipe and datasets",
    "made-by": "program and version",
    "created": "date and time, UTC",
    "command": "the command as typed",
    "seconds": "duration of the run that finished the file",
    "environment": "JSON of versions and machine",
    "inputs": "JSON: paths of the inputs, relative to the artifact, and their fingerprints",
}


NOT_TEXT: dict[str, tuple[type, ...]] = {"kind-version": (int,), "seconds": (int, float)}  # of the common attributes


def window_name(index: int) -> str:
    """Return the name of a window's dataset within its group."""
    return f"{index:06d}"
