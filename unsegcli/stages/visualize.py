"""`unseg visualize`: write a page to look at results and to name clusters.

Labels are read only to display them; the output states where they were used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from unsegcli import console
from unsegcli.dataflow.dataset import release_artifacts
from unsegcli.dataflow.label_maps import (
    ImageMap,
    Predictions,
    StoredMap,
    check_same_classes,
    open_predictions,
    turned_like,
)
from unsegcli.dataflow.output_folder import OutputFolder
from unsegcli.dataflow.runner import Outcome, UpToDate
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.labels import LabelMatch, find_labels, given_labels, labels_digest, match_labels, read_labels
from unsegcli.legend import Legend, read_legend
from unsegcli.params import Inputs, Run, Visualize, recorded
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.views import about, drawing
from unsegcli.views.backdrop import Place, find_places, regions_behind
from unsegcli.views.categories import (
    Categories,
    Matching,
    find_matching,
    legend_to_show,
    most_different,
    name_categories,
)
from unsegcli.views.export import page_of
from unsegcli.views.export_folder import category_count
from unsegcli.views.image_pass import each, estimated, finish
from unsegcli.views.large_page import areas_of, centre, is_large, picture, shown_map, superpixels_of
from unsegcli.views.page import PAGE, assets_digest
from unsegcli.views.page_data import ShownResult, short_names
from unsegcli.views.page_folder import PageFolder
from unsegcli.views.page_image import DrawnImage, PageContent, ResultMap, page_image
from unsegcli.views.panels import Content
from unsegcli.views.same_images import maps_of_images

REVISION = 3  # a page to look and name, instead of a list of panels
KIND = "page"
ON_SHEET = 60  # images, evenly spaced
SHOWN = 5
LISTED_AT_MOST, LISTED_AN_IMAGE = 200_000, 20  # files in a folder that only a file names, which is not searched further


@dataclass(frozen=True)
class Truth:
    """Where the ground truth of one image is."""

    files: tuple[str, ...]  # one, or one for each annotator
    page: int
    legend: Legend | None
    ignore: tuple[int, ...]


@dataclass(frozen=True)
class LayerTask:
    """The label map of one result, to be read."""

    map: ImageMap
    role: str
    categories: Categories | None  # None: superpixels


@dataclass(frozen=True)
class ImageTask:
    """One image to draw."""

    layers: tuple[LayerTask | None, ...]  # of each result; None = it lacks the image
    regions: StoredMap | None  # the superpixels that a segmentation came from
    image: Place | None  # image file, if no artifact holds the pixels
    truth: Truth | None
    on_sheet: bool
    with_panel: bool
    called: str  # heading of the label map

    @property
    def first(self) -> LayerTask:
        """The map of the first result, which has every image."""
        assert self.layers[0] is not None
        return self.layers[0]


@dataclass(frozen=True)
class Scene:
    """Everything that is read before the first image is drawn."""

    runs: tuple[Predictions, ...]  # one for each result
    params: Visualize
    limit: int | None
    matchings: tuple[Matching | None, ...]  # for each result
    legend_path: Path | None
    legend: Legend | None
    label_folder: Path | None
    match: LabelMatch | None
    ignore: tuple[int, ...]
    regions: Mapping[str, StoredMap]
    images: Mapping[str, Place]
    inputs: Mapping[str, str]

    @property
    def run(self) -> Predictions:
        """The first result, whose images are shown."""
        return self.runs[0]


def visualize(inputs: Inputs, params: Visualize | None = None, run: Run | None = None) -> Outcome:
    """Write a page of one or several results.

    Args:
        inputs: artifacts of kind segmentation or superpixels, or folders of label maps from any tool; several show the
            same images, those of the first. And the folder of the images if they were moved: matched by content, or
            by name for a folder of label maps.
        params: ground truth, legend and matching to show.
        run: how to run, and the folder to write. With `force` it may be one that unseg did not make; its other files
            are kept.
    """
    params, run = params or Visualize(), run or Run()
    _check(params, inputs)
    runs = _opened(inputs, params)
    path = Path(run.of("visualize").output)
    _check_apart(path, [*inputs.paths, params.labels, inputs.source_folder, runs[0].images])
    scene = _scene(runs, params, inputs, run.workers)
    folder = OutputFolder(path, KIND, _recipe(scene), force=run.force)
    done = folder.finished()
    if done is not None:
        if done.get("labels_used"):
            console.note(f"labels were used for {done['labels_used']}")
        return UpToDate(path, int(done.get("skipped", 0)))
    return _made(scene, folder, run)


def _opened(inputs: Inputs, params: Visualize) -> list[Predictions]:
    runs = [open_predictions(given, params.role) for given in inputs.paths]
    for one in runs:
        if not one.maps:
            raise DataError(f"{one.name}: has no label map")
    return [replace(runs[0], maps=_in_order(runs[0], params)), *runs[1:]]


def _in_order(run: Predictions, params: Visualize) -> tuple[ImageMap, ...]:
    """Return the maps of a result: where `unseg compare` says how results differ, those that differ most come first."""
    places = {name: place for place, name in enumerate(most_different(_metrics_files(params)))}
    if places:
        console.note("the images on which the results differ most come first")
    return tuple(sorted(run.maps, key=lambda item: places.get(item.name, len(places))))


def _made(scene: Scene, folder: OutputFolder, run: Run) -> Outcome:
    try:
        return _draw_all(scene, folder, run.workers, run.dry_run)
    finally:
        release_artifacts()


def _check(params: Visualize, inputs: Inputs) -> None:
    if not inputs.paths:
        raise ConfigError("visualize needs a result to show, but no input is given")
    if params.labels is not None and not params.truth:
        raise ConfigError("--labels and --no-labels contradict each other: give one of them")


def _check_apart(path: Path, inputs: Sequence[str | Path | None]) -> None:
    """Raise an error if the output folder is one of the inputs."""
    place = Path(os.path.realpath(path))
    for given in inputs:
        if given is not None and Path(given).is_dir() and Path(os.path.realpath(given)) == place:
            raise ConfigError(f"-o {path}: is an input folder; use another one")


# Collect what to show


def _scene(runs: Sequence[Predictions], params: Visualize, given: Inputs, workers: int) -> Scene:
    matchings = find_matching(_metrics_files(params), runs)
    folder = _label_folder(params.labels, matchings, [item.name for item in runs[0].maps]) if params.truth else None
    run = replace(runs[0], maps=runs[0].maps[: given.limit])
    runs = [run, *runs[1:]]
    beside = run.images if given.source_folder is None else Path(given.source_folder)
    if params.truth and folder is None and beside is not None:
        folder = find_labels(beside)
    label_folder, match = (None, None) if folder is None else _labels(run, params, folder)
    legend_path = legend_to_show(run, params.legend, matchings, beside, label_folder)
    meaning = None if legend_path is None else read_legend(legend_path)
    for one in runs if match is not None else ():
        check_same_classes(one, meaning)
    inputs = _input_digests(runs, matchings)
    scene = Scene(
        tuple(runs),
        params,
        given.limit,
        matchings,
        legend_path,
        meaning,
        label_folder,
        match,
        _ignored(matchings, meaning),
        _regions(runs),
        find_places(run, given.source_folder, inputs, workers),
        inputs,
    )
    return replace(scene, inputs=inputs | _digests_of_shown(scene))


def _labels(run: Predictions, params: Visualize, folder: Path) -> tuple[Path | None, LabelMatch | None]:
    """Return the folder of labels to show, and which are of which image; None if there are none."""
    match = _match(run, folder, params.labels is not None)
    if match is None:
        return None, None
    console.note(f"reading labels from {folder}, for display only")
    if match.missing:
        console.note(match.describe())
    return folder, match


def _digests_of_shown(scene: Scene) -> dict[str, str]:
    """Return the digests of what is shown besides results and images."""
    found = {}
    if scene.legend_path is not None:
        found["legend"] = file_digest(scene.legend_path)
    if scene.label_folder is not None and scene.match is not None:
        found["labels"] = labels_digest([scene.match], scene.label_folder)
    if scene.regions:
        found["superpixels"] = next(iter(scene.regions.values())).fingerprint
    found["page"] = assets_digest()
    return found


def _metrics_files(params: Visualize) -> list[Path]:
    given = [params.metrics] if isinstance(params.metrics, str | Path) else params.metrics
    return [Path(path) for path in given]


def _input_digests(runs: Sequence[Predictions], matchings: Sequence[Matching | None]) -> dict[str, str]:
    """Return the fingerprints of results and metrics; those of the second result have the number 1 in their names."""
    found: dict[str, str] = {}
    for number, (run, matching) in enumerate(zip(runs, matchings, strict=True)):
        ending = f".{number}" if number else ""
        found |= {f"{name}{ending}": digest for name, digest in run.inputs.items()}
        if matching is not None:
            found[f"metrics{ending}"] = matching.fingerprint
    return found


def _regions(runs: Sequence[Predictions]) -> dict[str, StoredMap]:
    """Return the superpixels behind the first result that has some, by the images of the first result."""
    for run in runs:
        found = regions_behind(run)
        if found:
            partners = maps_of_images(runs[0], run)
            pairs = zip(runs[0].maps, partners, strict=True)
            return {item.name: found[one.name] for item, one in pairs if one is not None and one.name in found}
    return {}


def _label_folder(given: str | Path | None, matchings: Sequence[Matching | None], names: Sequence[str]) -> Path | None:
    """Return the label folder that is given, or else the one that was used for scoring; None if there is none."""
    if given is not None:
        return given_labels(given)
    for matching in matchings:
        scored = matching.labels if matching is not None else None
        if matching is None or scored is None or not scored.is_dir():
            continue
        if _holds_labels(scored, matching, names):
            return scored
        console.warn(
            f"{scored} does not hold the labels with which {matching.path} was made, or they have changed: to show "
            f"them, give --labels {scored}"
        )
    return None


def _holds_labels(folder: Path, matching: Matching, names: Sequence[str]) -> bool:
    """Return whether labels are those that were scored: else a file could name any folder of this computer."""
    most = LISTED_AT_MOST + LISTED_AN_IMAGE * len(names)
    try:
        if sum(1 for _ in islice(folder.rglob("*"), most + 1)) > most:
            return False
        return any(_labels_as_scored(folder, matching, images) for images in (names, matching.images) if images)
    except OSError:
        return False


def _labels_as_scored(folder: Path, matching: Matching, names: Sequence[str]) -> bool:
    try:
        return labels_digest([match_labels(names, folder)], folder) == matching.inputs.get("labels")
    except DataError:  # no file is named like an image
        return False


def _match(run: Predictions, folder: Path, asked: bool) -> LabelMatch | None:
    try:
        return match_labels([item.name for item in run.maps], folder)
    except DataError as error:
        if asked:
            raise
        console.warn(f"labels are not shown: {error}")
        return None


def _ignored(matchings: Sequence[Matching | None], legend: Legend | None) -> tuple[int, ...]:
    """Return the label values that were not scored, other than those listed in the legend."""
    matching = next((one for one in matchings if one is not None), None)
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
    uses = list(dict.fromkeys(run.labels_used for run in scene.runs if run.labels_used))
    if any(matching is not None and matching.assignment for matching in scene.matchings):
        uses.append("naming clusters")
    if scene.label_folder is not None:
        uses.append("display")
    return " and ".join(uses)


# The page


def _draw_all(scene: Scene, folder: OutputFolder, workers: int, dry_run: bool) -> Outcome:
    results = _results(scene, workers)
    _report_matching(scene, results)
    tasks = _tasks(scene, results)
    if dry_run:
        return estimated(folder, tasks, draw_image, _bytes_of, workers)
    skipped: list[tuple[str, str]] = []
    with folder.writing() as writer:
        page = PageFolder(writer, results, scene.legend)
        made = zip(scene.run.maps, each(tasks, draw_image, workers, "drawing"), strict=True)
        for row, (item, drawn) in enumerate(made):
            if drawn.failed:
                skipped.append((item.name, drawn.failed))
            else:
                page.add(row, item, drawn)
        outcome = finish(folder, writer, len(scene.run.maps), skipped, _labels_used(scene))
        page.finish(_title(scene), _about(scene, results, page), workers)
    _report_warnings(page)
    return outcome


def _results(scene: Scene, workers: int) -> list[ShownResult]:
    return [
        ShownResult(
            name,
            run,
            None
            if run.role == "superpixels"
            else name_categories(run, category_count(run, workers), scene.legend, matching),
            matching,
            maps_of_images(scene.run, run),
        )
        for name, run, matching in zip(short_names(scene.runs), scene.runs, scene.matchings, strict=True)
    ]


def _report_matching(scene: Scene, results: Sequence[ShownResult]) -> None:
    unmatched = [one.run.name for one in results if one.categories is None or one.categories.class_of is None]
    if scene.label_folder is not None and unmatched:
        console.note(
            f"clusters of {', '.join(unmatched)} are not matched to classes, so errors are not shown: give the output "
            "of `unseg evaluate` with --metrics"
        )
    for matching in scene.matchings:
        if matching is not None and matching.assignment:
            console.note(f"cluster names come from {matching.path}, which matched clusters to labels")


def _tasks(scene: Scene, results: Sequence[ShownResult]) -> list[ImageTask]:
    on_sheet = set(drawing.spread(len(scene.run.maps), ON_SHEET))
    files = scene.match.paths if scene.match is not None else {}
    return [
        ImageTask(
            tuple(_layer_task(one, number) for one in results),
            scene.regions.get(item.name),
            scene.images.get(item.name),
            Truth(tuple(map(str, files[item.name])), page_of(item), scene.legend, scene.ignore)
            if item.name in files
            else None,
            number in on_sheet,
            scene.params.panels,
            scene.run.called,
        )
        for number, item in enumerate(scene.run.maps)
    ]


def _layer_task(result: ShownResult, number: int) -> LayerTask | None:
    item = result.maps[number]
    return None if item is None else LayerTask(item, result.run.role, result.categories)


def _bytes_of(drawn: DrawnImage) -> int:
    maps = [*drawn.maps.get("results", ()), drawn.maps.get("superpixels"), drawn.maps.get("truth")]
    return len(drawn.image) + len(drawn.thumb) + len(drawn.panel) + sum(len(one) for one in maps if one)


def _report_warnings(page: PageFolder) -> None:
    if page.bare:
        console.warn(f"{page.bare} of {page.count} images are not shown: set --images to the folder of the images")
    for line in page.warnings[:SHOWN]:
        console.warn(line)
    if len(page.warnings) > SHOWN:
        console.warn(f"and {len(page.warnings) - SHOWN} more; {PAGE} lists them")


def _title(scene: Scene) -> str:
    return f"{', '.join(about.short(run.name) for run in scene.runs)}: {scene.run.called}"


def _about(scene: Scene, results: Sequence[ShownResult], page: PageFolder) -> dict[str, Any]:
    """Return what stands at the foot of the page."""
    more = {
        "metrics": ", ".join(about.seen(str(one.path)) for one in scene.matchings if one is not None),
        "legend": scene.legend_path,
        "labels": scene.label_folder,
        "visualize limit": scene.limit,
    }
    return {
        "facts": [row for one in scene.runs for row in about.facts(one, more if one is scene.runs[-1] else {})],
        "provenance": [step for one in scene.runs for step in about.chain(one)],
        "labels": _label_lines(scene, results, page),
        "pretrained": about.pretrained(scene.runs),
        "warnings": page.warnings,
    }


def _label_lines(scene: Scene, results: Sequence[ShownResult], page: PageFolder) -> list[str]:
    """Describe what labels were used for, in sentences."""
    lines = []
    if scene.label_folder is not None:
        right, scored = page.labelled()
        said = f" {1 - right / scored:.1%} of {scored:,} labelled pixels in these images are wrong." if scored else ""
        lines.append(
            f"Labels were used here: the truth is from {about.seen(str(scene.label_folder))}, and is shown only.{said}"
        )
        if any(one.categories is not None and one.categories.class_of is None for one in results):
            lines.append(
                "Clusters are not matched to classes, so their colours are unrelated to those of the truth, and errors "
                "cannot be shown. `unseg evaluate` matches them; pass its output with --metrics."
            )
    if any(matching is not None and matching.assignment for matching in scene.matchings):
        lines.append("Labels were used here: the names of clusters come from a matching to labels.")
    for used in dict.fromkeys(run.labels_used for run in scene.runs if run.labels_used):
        lines.append(f"Labels were used for the input itself: {used}.")
    return lines


# One image, in a worker


def draw_image(task: ImageTask) -> DrawnImage:
    """Read and draw one image; an unreadable map is reported in the result instead of stopping the run."""
    first = task.first
    warnings: list[str] = []
    try:
        layer = _layer(first)
    except DataError as error:
        return DrawnImage(failed=str(error))
    others = [None if one is None else _read_or_warn(warnings, partial(_layer, one)) for one in task.layers[1:]]
    truth, annotators = _read_or_warn(warnings, lambda: _truth(task)) or (None, 1)
    seen = _read_or_warn(warnings, lambda: picture(first.map, task.regions, task.image))
    regions = _read_or_warn(warnings, lambda: None if task.regions is None else shown_map(task.regions))
    content = Content(
        name=first.map.name,
        source=first.map.source_grid,
        role=first.role,
        grid=first.map.grid,
        values=layer.values,
        categories=first.categories,
        areas=layer.areas,
        pixels=None if seen is None else seen.pixels,
        bands=0 if seen is None else seen.bands,
        regions=regions,
        superpixels=superpixels_of(first.map, layer.values)
        if first.categories is None
        else superpixels_of(task.regions, regions),
        centre=partial(centre, first.map, task.regions, task.image) if is_large(first.map) else None,
        truth=truth,
        annotators=annotators,
        predicted=first.map.on((truth.shape[0], truth.shape[1])) if truth is not None and task.with_panel else None,
        called=task.called,
    )
    drawn = page_image(PageContent(content, (layer, *others), task.with_panel, task.on_sheet))
    return drawn._replace(warnings=tuple(warnings))


def _layer(task: LayerTask) -> ResultMap:
    values = shown_map(task.map)
    counted = [] if task.categories is None else areas_of(task.map, values, len(task.categories.names))
    return ResultMap(task.map, values, task.role, task.categories, counted)


Found = TypeVar("Found")


def _read_or_warn(warnings: list[str], read: Callable[[], Found | None]) -> Found | None:
    """Read an optional part of a panel; turn an error into a warning."""
    try:
        return read()
    except (DataError, ConfigError, ArtifactError) as error:
        warnings.append(str(error))
        return None


def _truth(task: ImageTask) -> tuple[NDArray[Any], int] | None:
    """Read the labels of the first annotator, oriented like the image, and the number of annotators."""
    if task.truth is None:
        return None
    maps = read_labels(Path(task.truth.files[0]), task.truth.legend, task.truth.page, task.truth.ignore)
    found: NDArray[Any] = maps[0]
    annotators = max(len(maps), len(task.truth.files))
    return turned_like(task.first.map, found, f"{task.truth.files[0]}: the label map"), annotators
