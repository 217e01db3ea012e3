"""Write the folder of the page: image by image while they are drawn, then crops, data, and the page itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli import console
from unsegcli.core.palette import USUAL_COLORS
from unsegcli.dataflow.label_maps import ImageMap
from unsegcli.dataflow.output_folder import FolderWriter, safe_names
from unsegcli.legend import Legend
from unsegcli.parallel import ordered_map
from unsegcli.views import drawing, page
from unsegcli.views.about import short
from unsegcli.views.categories import Categories
from unsegcli.views.cluster_crops import SIDE, Kept, cut, sprite
from unsegcli.views.cluster_facts import PageTally
from unsegcli.views.display import jpeg
from unsegcli.views.drawing import Rgb
from unsegcli.views.export import file_name
from unsegcli.views.page_data import Crops, ShownResult, class_rows, result_data
from unsegcli.views.page_image import DrawnImage, LayerFacts, png
from unsegcli.views.panels import BRIGHTENED, CELL

VERSION = 1  # of the data
SHEET = "contact-sheet.png"
MOST_WITH_CROPS = 300  # clusters, the largest; so that their crops fit into memory
IMAGES_WORTH_A_TASK = 4  # cutting crops is quick


@dataclass(frozen=True)
class CropTask:
    """Crops to cut from one displayed image."""

    image: str
    grid: tuple[int, int]  # of the maps
    wanted: tuple[tuple[ImageMap, tuple[tuple[int, Kept], ...]], ...]  # for each result: cluster and place


class PageFolder:
    """Writes the folder of a page."""

    def __init__(self, writer: FolderWriter, results: Sequence[ShownResult], legend: Legend | None) -> None:
        """Start with nothing drawn; `results` have maps of the same images, `legend` has the names of classes."""
        self._writer, self._results, self._legend = writer, results, legend
        maps = [one for one in results[0].maps if one is not None]
        files = safe_names(page.addressable([file_name(item) for item in maps]), ".jpg")
        self._names = dict(zip((item.name for item in maps), files, strict=True))
        self._tallies = [PageTally(_count(one)) for one in results]
        self._images: list[dict[str, Any]] = []
        self._rows: list[int] = []  # of the maps of each image that was drawn
        self._facts: list[tuple[LayerFacts | None, ...]] = []
        self._cells: list[drawing.Tile] = []
        self._warnings: list[str] = []
        self._classes, self.bare, self._brighter = 0, 0, False

    def add(self, row: int, item: ImageMap, drawn: DrawnImage) -> None:
        """Write the files of one image; `row` is its place among the maps."""
        number, name = len(self._images), self._names[item.name]
        files = {"file": f"images/{name}", "thumb": f"thumbs/{name}"} if drawn.image else {"file": None, "thumb": None}
        if drawn.image:
            self._writer.add(f"images/{name}", drawn.image)
            self._writer.add(f"thumbs/{name}", drawn.thumb)
        if drawn.panel:
            self._writer.add(f"panels/{name.removesuffix('.jpg')}.png", drawn.panel)
        self._writer.add(f"data/maps/{number}.js", page.script("unseg.maps", number, drawn.maps))
        self._images.append(
            {
                "name": item.name,
                **files,
                "grid": list(drawn.grid),
                "source": list(item.source_grid),
                "maps": f"data/maps/{number}.js",
                "truth": drawn.classes > 0,
                "superpixels": drawn.superpixels,
            }
        )
        self._rows.append(row)
        self._note(number, item, drawn)

    def _note(self, number: int, item: ImageMap, drawn: DrawnImage) -> None:
        self._facts.append(drawn.layers)
        for tally, layer in zip(self._tallies, drawn.layers, strict=True):
            if layer is not None:
                tally.add(number, layer.facts)
        if drawn.cell.size:
            self._cells.append(drawing.Tile(item.name, drawn.cell))
            self._brighter |= drawn.brighter
        self._warnings += [f"{item.name}: {line}" for line in drawn.warnings]
        self._classes = max(self._classes, drawn.classes)
        self.bare += not drawn.image

    @property
    def count(self) -> int:
        """The number of images so far."""
        return len(self._images)

    @property
    def warnings(self) -> list[str]:
        """What could not be shown of the images so far."""
        return self._warnings

    def labelled(self) -> tuple[int, int]:
        """Return how many labelled pixels of the first result are right, and how many there are."""
        first = [layers[0] for layers in self._facts if layers[0] is not None]
        return sum(one.right for one in first), sum(one.scored for one in first)

    def finish(self, title: str, about: Mapping[str, Any], workers: int) -> None:
        """Write crops, data, contact sheet and page."""
        crops = [self._places(number) for number in range(len(self._results))]
        self._write_crops(crops, workers)
        classes = class_rows(self._results, self._legend, self._classes)
        data = {
            "version": VERSION,
            "title": title,
            "summary": self._summary(),
            "about": about,
            "usual_colors": USUAL_COLORS,
            "classes": classes,
            "images": self._images,
            "results": [
                result_data(result, tally, [layers[number] for layers in self._facts], crops[number], len(classes))
                for number, (result, tally) in enumerate(zip(self._results, self._tallies, strict=True))
            ],
        }
        self._writer.add("data/page.js", page.script("unseg.page", data))
        self._writer.add(SHEET, png(self._sheet()))
        for name, content in page.assets().items():
            self._writer.add(name, content)
        self._writer.add(page.PAGE, page.index(title))

    def _summary(self) -> str:
        images, first = console.count_images(self.count), self._results[0]
        if first.categories is None:
            total = sum(one["superpixels"] for one in self._images)
            return f"{images}, {total:,} superpixels, {total / max(1, self.count):,.1f} in an image"
        count = len(first.categories.names)
        if first.run.parts:
            return f"{images}, {count} parts in each"
        return f"{images}, {count} {'clusters' if first.run.role == 'clusters' else 'categories'}"

    # Crops

    def _places(self, number: int) -> dict[int, Crops]:
        """Choose the crops of each cluster of a result."""
        result, tally = self._results[number], self._tallies[number]
        if result.categories is None or result.run.parts:
            return {}
        found = {}
        for cluster in np.argsort(-tally.pixels, kind="stable")[:MOST_WITH_CROPS].tolist():
            typical, doubtful = tally.places.of(cluster)
            if typical or doubtful:
                found[cluster] = Crops(f"crops/{number}-{cluster}.jpg", SIDE, typical, doubtful)
        return found

    def _write_crops(self, crops: Sequence[Mapping[int, Crops]], workers: int) -> None:
        """Cut all crops image by image, and write those of each cluster as one file."""
        cuts: dict[tuple[int, int, Kept], Rgb] = {}
        tasks = list(self._crop_tasks(crops))
        made = ordered_map(cut_crops, [task for _, task in tasks], workers, len(tasks) // IMAGES_WORTH_A_TASK)
        for (keys, _), found in zip(tasks, made, strict=True):
            cuts |= dict(zip(keys, found, strict=True))
        for number, of_result in enumerate(crops):
            for cluster, one in of_result.items():
                row = [cuts[number, cluster, kept] for kept in (*one.typical, *one.doubtful)]
                self._writer.add(one.file, jpeg(sprite(row)))

    def _crop_tasks(
        self, crops: Sequence[Mapping[int, Crops]]
    ) -> Iterator[tuple[list[tuple[int, int, Kept]], CropTask]]:
        """Yield the task of each image that has crops, and what its crops are for."""
        wanted: dict[int, list[tuple[int, int, Kept]]] = {}
        for number, of_result in enumerate(crops):
            for cluster, one in of_result.items():
                for kept in dict.fromkeys((*one.typical, *one.doubtful)):
                    wanted.setdefault(kept.image, []).append((number, cluster, kept))
        for image, keys in sorted(wanted.items()):
            by_result = []
            for number, result in enumerate(self._results):
                item = result.maps[self._rows[image]]
                places = tuple((cluster, kept) for one, cluster, kept in keys if one == number)
                if item is not None and places:
                    by_result.append((item, places))
            about = self._images[image]
            path = str(self._writer.path_of(about["file"]))
            yield keys, CropTask(path, (about["grid"][0], about["grid"][1]), tuple(by_result))

    # Contact sheet

    def _sheet(self) -> Rgb:
        first = self._results[0]
        cells = self._cells or [drawing.Tile(first.run.name, np.full((CELL, CELL, 3), 255, np.uint8))]
        title = f"{short(first.run.name)}: {len(cells)} of {self.count} images"
        if self._brighter:
            title += f"; dark ones {BRIGHTENED}"
        keys = [] if first.categories is None else [drawing.Key("", self._entries(first.categories))]
        return drawing.contact_sheet(title, cells, keys)

    def _entries(self, categories: Categories) -> tuple[tuple[str, drawing.Color | None], ...]:
        void = any(layers[0] is not None and layers[0].facts.void for layers in self._facts)
        own: list[tuple[str, drawing.Color | None]] = list(categories.entries(self._tallies[0].pixels.tolist()))
        return (*own, *([("void", None)] if void else []))


def _count(result: ShownResult) -> int:
    return 0 if result.categories is None else len(result.categories.names)


def cut_crops(task: CropTask) -> list[Rgb]:
    """Cut the crops of one image, result by result."""
    with Image.open(task.image) as opened:
        image: NDArray[np.uint8] = np.asarray(opened.convert("RGB"))
    found = []
    for item, places in task.wanted:
        values = item.on(task.grid)
        found += [cut(image, values, cluster, kept.box) for cluster, kept in places]
    return found
