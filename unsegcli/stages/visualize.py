"""`unseg visualize`: draw panels and a report, or export label maps and areas for other programs.

Labels are read only to display them, never for an export; the output states where they were used.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli import console, store
from unsegcli.dataflow.dataset import is_artifact, release_artifacts
from unsegcli.dataflow.label_maps import (
    ImageMap,
    Predictions,
    StoredMap,
    check_same_classes,
    open_predictions,
    turned_like,
)
from unsegcli.dataflow.output_folder import FolderWriter, OutputFolder, safe_names
from unsegcli.dataflow.provenance import LABELS, in_words, networks, provenance, tables_of
from unsegcli.dataflow.runner import Outcome, UpToDate, report_skipped
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.labels import LabelMatch, find_labels, given_labels, labels_digest, match_labels, read_labels
from unsegcli.legend import Legend, given_legend, legend_beside, read_legend
from unsegcli.parallel import available_cores, ordered_map
from unsegcli.params import Inputs, Run, Visualize, recorded
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.views import drawing, report
from unsegcli.views.backdrop import Place, find_places, regions_behind, working_pixels
from unsegcli.views.categories import Categories, Matching, name_categories, read_matching
from unsegcli.views.export import (
    SUFFIXES,
    MapTask,
    area_table,
    export_map,
    exported_type,
    file_name,
    largest_number,
    map_areas,
    page_of,
)
from unsegcli.views.panels import BRIGHTENED, CELL, Content, Panel, compose

REVISION = 2  # dark images are brightened; clusters are named after their classes in other words
DEFAULT_OUTPUT = {"": "visualization", "labels": "export-labels", "csv": "export-csv"}
PAGE = "index.html"
KINDS = {"": "panels", "labels": "label maps", "csv": "areas"}
ON_SHEET = 60  # images, evenly spaced
PNG_LEVEL = 2  # compression level; higher levels are slower and do not shrink photographs
TRIED = 3  # images used for an estimate
IMAGES_WORTH_A_TASK = 2  # drawing panels is slow, so few images are worth another process
SHOWN = 5
NO_PANEL = Panel(np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0, 3), np.uint8), (), 0, 0, 0, "", "")


@dataclass(frozen=True)
class Truth:
    """Where the ground truth of one image is."""

    files: tuple[str, ...]  # one, or one for each annotator
    page: int
    legend: Legend | None
    ignore: tuple[int, ...]


@dataclass(frozen=True)
class PanelTask:
    """One panel to draw."""

    map: ImageMap
    role: str
    categories: Categories | None  # None: superpixels
    regions: StoredMap | None  # the superpixels that a segmentation came from
    image: Place | None  # image file, if no artifact holds the pixels
    truth: Truth | None
    on_sheet: bool
    called: str  # heading of the label map


class Drawn(NamedTuple):
    """The result for one image: its panel as PNG and facts about it, or the error."""

    png: bytes = b""
    size: tuple[int, int] = (0, 0)  # height and width of the panel
    panel: Panel = NO_PANEL  # without the drawn image
    has_image: bool = False  # whether the panel shows the image
    warnings: tuple[str, ...] = ()
    failed: str = ""


@dataclass(frozen=True)
class Scene:
    """Everything that is read before the first image is drawn."""

    run: Predictions
    params: Visualize
    limit: int | None
    matching: Matching | None
    legend_path: Path | None
    legend: Legend | None
    label_folder: Path | None
    match: LabelMatch | None
    ignore: tuple[int, ...]
    regions: Mapping[str, StoredMap]
    images: Mapping[str, Place]
    inputs: Mapping[str, str]


def visualize(inputs: Inputs, params: Visualize | None = None, run: Run | None = None) -> Outcome:
    """Draw label maps, or export them.

    Args:
        inputs: an artifact of kind segmentation or superpixels, or a folder of label maps from any tool; and the
            folder of the images if they were moved: matched by content, or by name for a folder of label maps.
        params: what to write; and ground truth, legend and matching to show.
        run: how to run, and the folder to write. With `force` it may be one that unseg did not make; its other files
            are kept.
    """
    params, run = params or Visualize(), run or Run()
    if len(inputs.paths) != 1:
        raise ConfigError(f"visualize needs exactly one input, but {len(inputs.paths)} are given")
    _check(params, inputs)
    predictions = open_predictions(inputs.paths[0], params.role)
    predictions = replace(predictions, maps=predictions.maps[: inputs.limit])
    if not predictions.maps:
        raise DataError(f"{inputs.paths[0]}: has no label map")
    path = Path(run.of("visualize").output if run.output else DEFAULT_OUTPUT[params.export])
    _check_apart(path, [*inputs.paths, params.labels, inputs.source_folder, predictions.images])
    scene = _scene(predictions, params, inputs, run.workers)
    folder = OutputFolder(path, KINDS[params.export], _recipe(scene), force=run.force)
    done = folder.finished()
    if done is not None:
        if done.get("labels_used"):
            console.note(f"labels were used for {done['labels_used']}")
        outcome: Outcome = UpToDate(path, int(done.get("skipped", 0)))
    else:
        outcome = _made(scene, folder, run)
    return outcome


def _made(scene: Scene, folder: OutputFolder, run: Run) -> Outcome:
    make = {"": _draw_all, "labels": _export_maps, "csv": _export_areas}[scene.params.export]
    try:
        return make(scene, folder, run.workers, run.dry_run)
    finally:
        release_artifacts()


def _check(params: Visualize, inputs: Inputs) -> None:
    if params.export not in DEFAULT_OUTPUT:
        raise ConfigError(f"--export {params.export}: is not one of labels, csv")
    if params.format not in SUFFIXES:
        raise ConfigError(f"--format {params.format}: is not one of {', '.join(SUFFIXES)}")
    if params.format != "png" and params.export != "labels":
        raise ConfigError(f"--format {params.format} is only for --export labels: panels are PNG, areas are CSV")
    if params.export and params.labels is not None:
        raise ConfigError("--labels is only for panels: an export does not use ground truth; leave it out")
    if params.export and inputs.source_folder is not None:
        raise ConfigError("--images is only for panels: an export does not need the images; leave it out")
    if params.labels is not None and not params.truth:
        raise ConfigError("--labels and --no-labels contradict each other: give one of them")


def _check_apart(path: Path, inputs: Sequence[str | Path | None]) -> None:
    """Raise an error if the output folder is one of the inputs."""
    place = Path(os.path.realpath(path))
    for given in inputs:
        if given is not None and Path(given).is_dir() and Path(os.path.realpath(given)) == place:
            raise ConfigError(f"-o {path}: is an input folder; use another one")


# Collect what to show


def _scene(run: Predictions, params: Visualize, given: Inputs, workers: int) -> Scene:
    matching = None if params.metrics is None else read_matching(Path(params.metrics), run)
    beside = run.images if given.source_folder is None else Path(given.source_folder)
    inputs = dict(run.inputs)
    panels = not params.export
    label_folder = _label_folder(params.labels, matching, beside) if panels and params.truth else None
    match = _match(run, label_folder, params.labels is not None) if label_folder is not None else None
    label_folder = label_folder if match is not None else None
    legend_path = _legend_path(run, params.legend, matching, beside, label_folder)
    meaning = None if legend_path is None else read_legend(legend_path)
    if label_folder is not None:
        check_same_classes(run, meaning)
    regions = regions_behind(run) if panels else {}
    images = find_places(run, given.source_folder, inputs, workers) if panels else {}
    if matching is not None:
        inputs["metrics"] = matching.fingerprint
    if legend_path is not None:
        inputs["legend"] = file_digest(legend_path)
    if label_folder is not None and match is not None:
        inputs["labels"] = labels_digest([match], label_folder)
        console.note(f"reading labels from {label_folder}, for display only")
        if match.missing:
            console.note(match.describe())
    if regions:
        inputs["superpixels"] = next(iter(regions.values())).fingerprint
    ignore = _ignored(matching, meaning)
    return Scene(
        run, params, given.limit, matching, legend_path, meaning, label_folder, match, ignore, regions, images, inputs
    )


def _label_folder(given: str | Path | None, matching: Matching | None, beside: Path | None) -> Path | None:
    """Return the label folder: the one given, else the one used for scoring, else the one next to the images."""
    if given is not None:
        return given_labels(given)
    scored = matching.scores.get("labels") if matching is not None else None
    if isinstance(scored, str) and Path(scored).is_dir():
        return Path(scored)
    return None if beside is None else find_labels(beside)


def _match(run: Predictions, folder: Path, asked: bool) -> LabelMatch | None:
    try:
        return match_labels([item.name for item in run.maps], folder)
    except DataError as error:
        if asked:
            raise
        console.warn(f"labels are not shown: {error}")
        return None


def _legend_path(
    run: Predictions, given: str | Path | None, matching: Matching | None, beside: Path | None, labels: Path | None
) -> Path | None:
    if given is not None:
        return given_legend(given)
    if matching is not None and matching.scores.get("protocol"):
        scored = matching.scores.get("legend")
        if scored is None or Path(scored).is_file():
            return None if scored is None else Path(scored)
    if labels is None and run.role != "classes":
        return None
    return legend_beside(beside, labels)


def _ignored(matching: Matching | None, legend: Legend | None) -> tuple[int, ...]:
    """Return the label values that were not scored, other than those listed in the legend."""
    if matching is None or (legend is not None and legend.in_colors):
        return ()
    listed = (matching.scores.get("protocol") or {}).get("ignore") or []
    return tuple(value for value in listed if isinstance(value, int) and (legend is None or value not in legend.ignore))


def _recipe(scene: Scene) -> Recipe:
    used = _labels_used(scene)
    return make_recipe(
        "visualize",
        REVISION,
        [recorded(scene.params), {"limit": scene.limit, "role": scene.run.role}],
        scene.inputs,
        {"labels_used": used} if used else {},
    )


def _labels_used(scene: Scene) -> str:
    """Describe what labels were used for; empty = not used."""
    uses = [scene.run.labels_used] if scene.run.labels_used else []
    if scene.matching is not None and scene.matching.assignment:
        uses.append("naming clusters")
    if scene.label_folder is not None:
        uses.append("display")
    return " and ".join(uses)


def _count(scene: Scene, workers: int) -> int:
    """Return the number of categories: from the artifact, else from the values of the maps."""
    if scene.run.clusters is not None:
        return scene.run.clusters
    found = ordered_map(largest_number, scene.run.maps, workers, len(scene.run.maps) // 50)
    return max(found, default=-1) + 1


# Exports


def _export_maps(scene: Scene, folder: OutputFolder, workers: int, dry_run: bool) -> Outcome:
    dtype = exported_type(_largest_count(scene, workers), scene.params.format)
    tasks = [MapTask(item, scene.params.format, dtype) for item in scene.run.maps]
    void = np.iinfo(dtype).max
    console.note(f"label maps as {dtype} on the grid of each image as displayed; {void} = void")
    if dry_run:
        return _estimated(folder, tasks, export_map, lambda made: len(made.content), workers)
    names = safe_names([file_name(item) for item in scene.run.maps], SUFFIXES[scene.params.format])
    skipped: list[tuple[str, str]] = []
    with folder.writing() as writer:
        for item, name, made in zip(scene.run.maps, names, _each(tasks, export_map, workers), strict=True):
            if made.failed:
                skipped.append((item.name, made.failed))
            else:
                writer.add(name, made.content)
        writer.about |= {"dtype": dtype, "void": int(void)}
        return _finish(folder, writer, skipped, scene)


def _largest_count(scene: Scene, workers: int) -> int:
    if scene.run.role != "superpixels" or not is_artifact(scene.run.name):
        return _count(scene, workers)
    with store.open_artifact(scene.run.name) as artifact:
        counts = artifact.table("windows/superpixels")
        return max(int(counts[list(item.rows)].sum()) for item in scene.run.maps if isinstance(item, StoredMap))


def _export_areas(scene: Scene, folder: OutputFolder, workers: int, dry_run: bool) -> Outcome:
    if scene.run.role == "superpixels":
        raise ConfigError("--export csv: needs a segmentation, since superpixels have no categories")
    count = _count(scene, workers)
    names = name_categories(scene.run, count, scene.legend, scene.matching).names
    tasks = [(item, count) for item in scene.run.maps]
    if dry_run:
        return _estimated(folder, tasks, map_areas, lambda made: 20 * len(made.areas), workers)
    skipped: list[tuple[str, str]] = []
    rows = []
    with folder.writing() as writer:
        for item, made in zip(scene.run.maps, _each(tasks, map_areas, workers), strict=True):
            if made.failed:
                skipped.append((item.name, made.failed))
            else:
                rows.append((item.name, item.source_grid, made.areas))
        writer.add("areas.csv", area_table(names, rows))
        return _finish(folder, writer, skipped, scene)


def _finish(folder: OutputFolder, writer: FolderWriter, skipped: Sequence[tuple[str, str]], scene: Scene) -> Outcome:
    if len(skipped) == len(scene.run.maps):
        raise DataError(f"no label map could be read; the first error: {skipped[0][0]}: {skipped[0][1]}")
    writer.about |= {"skipped": len(skipped), "labels_used": _labels_used(scene) or None}
    report_skipped(skipped)
    return Outcome(folder.path, len(skipped))


def _each(tasks: Sequence[Any], work: Callable[[Any], Any], workers: int) -> Iterator[Any]:
    with console.progress(len(tasks), "drawing" if work is draw_panel else "exporting") as bar:
        for made in ordered_map(work, tasks, workers, expected=len(tasks) // IMAGES_WORTH_A_TASK):
            bar.update()
            yield made


def _estimated(
    folder: OutputFolder,
    tasks: Sequence[Any],
    work: Callable[[Any], Any],
    stored: Callable[[Any], int],
    workers: int,
) -> Outcome:
    """Process a few images, and report an estimate for all of them."""
    tried = [tasks[number] for number in drawing.spread(len(tasks), TRIED)]
    work(tried[0])  # not timed, since it imports modules
    started = time.monotonic()
    size = sum(stored(work(task)) for task in tried)
    share = len(tasks) / len(tried)
    processes = min(workers or available_cores(), max(1, len(tasks) // 16))
    seconds = (time.monotonic() - started) * share / processes
    console.note(
        f"would write {console.count_images(len(tasks))} to {folder.path}: about {seconds:,.0f} s on {processes} "
        f"processes, {size * share / 1e6:,.1f} MB on disk; estimated from {console.count_images(len(tried))}"
    )
    return Outcome(folder.path)


# Panels


def _draw_all(scene: Scene, folder: OutputFolder, workers: int, dry_run: bool) -> Outcome:
    categories = None
    if scene.run.role != "superpixels":
        categories = name_categories(scene.run, _count(scene, workers), scene.legend, scene.matching)
        _report_matching(scene, categories)
    tasks = _tasks(scene, categories)
    if dry_run:
        return _estimated(folder, tasks, draw_panel, lambda drawn: len(drawn.png), workers)
    names = [f"panels/{name}" for name in safe_names([file_name(item) for item in scene.run.maps], ".png")]
    shown: list[tuple[ImageMap, str, Drawn]] = []
    skipped: list[tuple[str, str]] = []
    with folder.writing() as writer:
        for item, name, drawn in zip(scene.run.maps, names, _each(tasks, draw_panel, workers), strict=True):
            if drawn.failed:
                skipped.append((item.name, drawn.failed))
            else:
                writer.add(name, drawn.png)
                shown.append((item, name, drawn._replace(png=b"")))
        outcome = _finish(folder, writer, skipped, scene)
        sheet = _sheet(scene, categories, shown)
        writer.add("contact-sheet.png", _png(sheet))
        writer.add(PAGE, _page(scene, categories, shown, sheet.shape).encode())
    warnings = [(item.name, line) for item, _, drawn in shown for line in drawn.warnings]
    bare = sum(not drawn.has_image for _, _, drawn in shown)
    if bare:
        console.warn(f"{bare} of {len(shown)} panels lack the image: set --images to the folder of the images")
    for name, line in warnings[:SHOWN]:
        console.warn(f"{name}: {line}")
    if len(warnings) > SHOWN:
        console.warn(f"and {len(warnings) - SHOWN} more; index.html lists them")
    return outcome


def _report_matching(scene: Scene, categories: Categories) -> None:
    if scene.label_folder is not None and categories.class_of is None:
        console.note(
            "clusters are not matched to classes, so errors are not shown: give the output of `unseg evaluate` with "
            "--metrics"
        )
    if scene.matching is not None and scene.matching.assignment:
        console.note(f"cluster names come from {scene.matching.path}, which matched clusters to labels")


def _tasks(scene: Scene, categories: Categories | None) -> list[PanelTask]:
    on_sheet = set(drawing.spread(len(scene.run.maps), ON_SHEET))
    files = scene.match.paths if scene.match is not None else {}
    return [
        PanelTask(
            item,
            scene.run.role,
            categories,
            scene.regions.get(item.name),
            scene.images.get(item.name),
            Truth(tuple(map(str, files[item.name])), page_of(item), scene.legend, scene.ignore)
            if item.name in files
            else None,
            number in on_sheet,
            scene.run.called,
        )
        for number, item in enumerate(scene.run.maps)
    ]


def _sheet(
    scene: Scene, categories: Categories | None, shown: Sequence[tuple[ImageMap, str, Drawn]]
) -> NDArray[np.uint8]:
    cells = [drawing.Tile(item.name, drawn.panel.cell) for item, _, drawn in shown if drawn.panel.cell.size]
    if not cells:  # none of the images chosen for the sheet could be read
        cells = [drawing.Tile(scene.run.name, np.full((CELL, CELL, 3), 255, np.uint8))]
    keys = []
    if categories is not None:
        total = np.sum([drawn.panel.areas for _, _, drawn in shown], axis=0)
        keys = [drawing.Key("", (*categories.entries(total), *([("void", None)] if total[-1] else [])))]
    title = f"{_short(scene.run.name)}: {len(cells)} of {len(shown)} images"
    if any(drawn.panel.brighter for _, _, drawn in shown if drawn.panel.cell.size):
        title += f"; dark ones {BRIGHTENED}"
    return drawing.contact_sheet(title, cells, keys)


def _png(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=PNG_LEVEL)
    return stream.getvalue()


# One panel, in a worker


def draw_panel(task: PanelTask) -> Drawn:
    """Read and draw one image; an unreadable map is reported in the result instead of stopping the run."""
    try:
        values = task.map.on(task.map.grid)
    except DataError as error:
        return Drawn(failed=str(error))
    warnings: list[str] = []
    truth, annotators = _read_or_warn(warnings, lambda: _truth(task)) or (None, 1)
    content = Content(
        task.map.name,
        task.map.source_grid,
        task.role,
        values,
        task.categories,
        _read_or_warn(warnings, lambda: working_pixels(task.map, task.regions, task.image)),
        _read_or_warn(warnings, lambda: None if task.regions is None else task.regions.on(task.regions.grid)),
        truth,
        annotators,
        None if truth is None else task.map.on((truth.shape[0], truth.shape[1])),
        task.called,
    )
    panel = compose(content)
    return Drawn(
        _png(panel.image),
        (panel.image.shape[0], panel.image.shape[1]),
        panel._replace(image=panel.image[:0], cell=panel.cell if task.on_sheet else panel.cell[:0]),
        content.pixels is not None,
        tuple(warnings),
    )


Found = TypeVar("Found")


def _read_or_warn(warnings: list[str], read: Callable[[], Found | None]) -> Found | None:
    """Read an optional part of a panel; turn an error into a warning."""
    try:
        return read()
    except (DataError, ConfigError, ArtifactError) as error:
        warnings.append(str(error))
        return None


def _truth(task: PanelTask) -> tuple[NDArray[Any], int] | None:
    """Read the labels of the first annotator, oriented like the image, and the number of annotators."""
    if task.truth is None:
        return None
    maps = read_labels(Path(task.truth.files[0]), task.truth.legend, task.truth.page, task.truth.ignore)
    found: NDArray[Any] = maps[0]
    annotators = max(len(maps), len(task.truth.files))
    return turned_like(task.map, found, f"{task.truth.files[0]}: the label map"), annotators


# The page


def _page(
    scene: Scene,
    categories: Categories | None,
    shown: Sequence[tuple[ImageMap, str, Drawn]],
    sheet: tuple[int, ...],
) -> str:
    run = scene.run
    panels = [
        report.Figure(item.name, name, *drawn.size, drawn.panel.caption, drawn.panel.text)
        for item, name, drawn in shown
    ]
    return report.page(
        report.Report(
            title=f"{_short(run.name)}: {run.called}",
            summary=_summary(shown, categories, run.parts),
            labels=_label_lines(scene, categories, shown),
            facts=_facts(scene),
            provenance=_chain(run),
            scores=None if scene.matching is None else scene.matching.scores,
            areas=_areas(categories, shown),
            sheet=report.Figure(
                "contact sheet", "contact-sheet.png", sheet[0], sheet[1], "", "Many of the images, small."
            ),
            panels=panels,
            warnings=[f"{item.name}: {line}" for item, _, drawn in shown for line in drawn.warnings],
        )
    )


def _short(name: str) -> str:
    return Path(name).resolve().name


def _summary(shown: Sequence[tuple[ImageMap, str, Drawn]], categories: Categories | None, parts: bool) -> str:
    images = console.count_images(len(shown))
    if categories is not None and parts:
        return f"{images}, {len(categories.names)} parts in each. Part 1 of one image is not part 1 of another."
    if categories is not None:
        return f"{images}, {len(categories.names)} categories. Each has the same colour in every image."
    total = sum(drawn.panel.regions for _, _, drawn in shown)
    return f"{images}, {total:,} superpixels, {total / max(1, len(shown)):,.1f} in an image."


def _label_lines(
    scene: Scene, categories: Categories | None, shown: Sequence[tuple[ImageMap, str, Drawn]]
) -> list[str]:
    """Describe what labels were used for, in sentences."""
    lines = []
    if scene.label_folder is not None:
        scored = sum(drawn.panel.scored for _, _, drawn in shown)
        wrong = sum(drawn.panel.wrong for _, _, drawn in shown)
        said = f" {wrong / scored:.1%} of {scored:,} labelled pixels in these images are wrong." if scored else ""
        lines.append(f"Labels were used here: the truth is from {scene.label_folder}, and is shown only.{said}")
        if categories is not None and categories.class_of is None:
            lines.append(
                "Clusters are not matched to classes, so their colours are unrelated to those of the truth, and errors "
                "cannot be shown. `unseg evaluate` matches them; pass its output with --metrics."
            )
    if scene.matching is not None and scene.matching.assignment:
        lines.append("Labels were used here: the names of clusters come from a matching to labels.")
    if scene.run.labels_used:
        lines.append(f"Labels were used for the input itself: {scene.run.labels_used}.")
    return lines


def _facts(scene: Scene) -> dict[str, Any]:
    run, facts = scene.run, dict[str, Any]()
    facts["input"] = run.name
    if is_artifact(run.name):
        with store.open_artifact(run.name) as artifact:
            facts |= {"kind": artifact.kind, "role": run.role}
            facts |= {name.replace("-", " "): artifact.about[name] for name in ("made-by", "created", "command")}
            facts |= _flat({name: value for name, value in artifact.recipe.items() if name != "inputs"})
            facts["pretrained weights"] = in_words(networks(tables_of(artifact))).partition(": ")[2]
            facts["labels used by"] = "; ".join(tables_of(artifact).get(LABELS, []))
    else:
        facts["role"] = run.role
    if scene.matching is not None:
        facts["metrics"] = scene.matching.path
    if scene.legend_path is not None:
        facts["legend"] = scene.legend_path
    if scene.label_folder is not None:
        facts["labels"] = scene.label_folder
    facts["visualize limit"] = scene.limit
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested table; joined keys are separated by spaces."""
    rows: dict[str, Any] = {}
    for key, value in values.items():
        rows |= _flat(value, f"{prefix}{key} ") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return rows


def _chain(run: Predictions) -> list[dict[str, Any]]:
    if not is_artifact(run.name):
        return []
    with store.open_artifact(run.name) as artifact:
        chain = list(provenance(artifact))
    here = Path.cwd()
    for step in chain:  # relative below the working folder, since an absolute path may reveal the user's name
        path = Path(step["path"])
        step["path"] = str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
    return chain


def _areas(categories: Categories | None, shown: Sequence[tuple[ImageMap, str, Drawn]]) -> list[report.Area]:
    """Return name, colour and total pixels of each category over all images, in order of number."""
    if categories is None:
        return []
    total = [int(pixels) for pixels in np.sum([drawn.panel.areas for _, _, drawn in shown], axis=0)]
    found = [
        report.Area(name, (int(color[0]), int(color[1]), int(color[2])), pixels, number)
        for number, (name, color, pixels) in enumerate(zip(categories.names, categories.colors, total, strict=False))
    ]
    return [*found, report.Area("void", None, total[-1])] if total[-1] else found
