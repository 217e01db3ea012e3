"""What the page needs of one image: its files, its encoded maps, and facts about its clusters. Runs in a worker."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import sample_nearest
from unsegcli.dataflow.label_maps import ImageMap
from unsegcli.views.categories import Categories
from unsegcli.views.cluster_facts import ImageFacts, facts_of
from unsegcli.views.display import LONGEST_IMAGE, LONGEST_THUMB, displayed, jpeg
from unsegcli.views.drawing import Rgb
from unsegcli.views.encoded_maps import encoded_map, map_grid
from unsegcli.views.panels import Content, compose, sheet_cell, wrong_pixels

PNG_LEVEL = 2  # compression level; higher levels are slower and do not shrink photographs
NO_CELL = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class ResultMap:
    """The label map of one result."""

    map: ImageMap
    values: NDArray[np.int32]  # (height, width) on its own working grid, or that of the page; negative = void
    role: str
    categories: Categories | None  # None: superpixels
    areas: Sequence[int] = ()  # source pixels of each category, and of void


@dataclass(frozen=True)
class PageContent:
    """Everything the page can show of one image."""

    first: Content  # of the first result, for panels and the contact sheet
    layers: tuple[ResultMap | None, ...]  # of each result; None = it lacks the image
    with_panel: bool
    on_sheet: bool


class LayerFacts(NamedTuple):
    """What the page says of one result in one image."""

    facts: ImageFacts
    right: int  # labelled pixels whose class is right
    scored: int  # labelled pixels; 0 = not known


class DrawnImage(NamedTuple):
    """The page's part for one image, or the error."""

    image: bytes = b""  # JPEG; empty = the image could not be read
    thumb: bytes = b""
    maps: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    grid: tuple[int, int] = (0, 0)  # of the maps
    superpixels: int = 0
    classes: int = 0  # the largest class of the truth, plus 1; 0 = no truth
    layers: tuple[LayerFacts | None, ...] = ()
    cell: Rgb = NO_CELL  # for the contact sheet
    brighter: bool = False  # whether the image is shown brighter than it was worked on
    panel: bytes = b""  # PNG
    warnings: tuple[str, ...] = ()
    failed: str = ""


def page_image(content: PageContent) -> DrawnImage:
    """Make the page's part for one image."""
    first = content.first
    shown = None if first.pixels is None else displayed(first.pixels, first.values)
    rgb = None if shown is None else shown.rgb
    grid = map_grid(first.grid)
    truth = None if first.truth is None else np.sign(first.truth) if first.role == "mask" else first.truth
    regions = first.values if first.categories is None else first.regions
    return DrawnImage(
        b"" if rgb is None else jpeg(rgb, LONGEST_IMAGE),
        b"" if rgb is None else jpeg(rgb, LONGEST_THUMB),
        {
            "results": [_encoded(layer, grid) for layer in content.layers],
            "superpixels": None if regions is None else encoded_map(sample_nearest(regions, grid)),
            "truth": None if truth is None else encoded_map(sample_nearest(truth, grid)),
        },
        grid,
        first.superpixels,
        0 if truth is None else max(1, int(truth.max(initial=-1)) + 1),
        tuple(_layer_facts(layer, grid, rgb, first.truth) for layer in content.layers),
        sheet_cell(first, rgb) if content.on_sheet else NO_CELL,
        shown is not None and shown.brighter,
        png(compose(first)) if content.with_panel else b"",
    )


def _encoded(layer: ResultMap | None, grid: tuple[int, int]) -> str | None:
    if layer is None or layer.categories is None:
        return None
    return encoded_map(sample_nearest(layer.values, grid))


def _layer_facts(
    layer: ResultMap | None, grid: tuple[int, int], rgb: Rgb | None, truth: NDArray[Any] | None
) -> LayerFacts | None:
    if layer is None or layer.categories is None:
        return None
    facts = facts_of(layer.map, layer.values, grid, layer.role, layer.areas, rgb)
    if truth is None or layer.categories.class_of is None:
        return LayerFacts(facts, 0, 0)
    predicted = layer.map.on((truth.shape[0], truth.shape[1]))
    wrong, scored = wrong_pixels(predicted, truth, layer.categories.class_of, layer.role)
    return LayerFacts(facts, scored - int(wrong.sum()), scored)


def png(image: Rgb) -> bytes:
    """Encode a panel or a contact sheet."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=PNG_LEVEL)
    return stream.getvalue()
