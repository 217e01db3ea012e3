"""Process all source images and write one artifact: resumable, in parallel, skipping unreadable images.

Each stage defines what is computed for an image; this module schedules the work and stores the results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unsegcli import console, dask_map, store
from unsegcli.dataflow.dataset import (
    Dataset,
    StoredUnit,
    Unit,
    Window,
    by_source,
    images_of,
    pixels_at_once,
    relative_hints,
    release_artifacts,
    source_pixels,
    source_tables,
)
from unsegcli.dataflow.estimates import measured
from unsegcli.dataflow.kept_results import KeptUnit, kept_units
from unsegcli.dataflow.provenance import carried, note_networks
from unsegcli.dataflow.shared_notes import SharedNotes
from unsegcli.errors import ArtifactError, DataError
from unsegcli.images.working import Source
from unsegcli.parallel import available_cores, ordered_map, report, say_nothing
from unsegcli.params import Run, recorded
from unsegcli.recipe import Recipe, make_recipe

SECONDS_TO_START = 1.0
BYTES_STORED_A_SECOND = 200_000_000  # received, written to a shard, assembled and checked, in the parent process
MEMORY_OF_A_PROCESS = 0.1  # GB, before an image is read
BYTES_A_PIXEL, BYTES_A_PIXEL_AND_BAND = 30, 11  # memory of a typical stage
PIXELS_WORTH_SENDING, MOST_AT_ONCE = 16_000, 16  # in a batch of images
PIXELS_WORTH_A_PROCESS = 1_500_000  # starting a process takes about a second: the time of SLIC for so many pixels


class Outcome(NamedTuple):
    """The result of a stage: the path of its output, and the number of skipped images."""

    path: Path
    skipped: int = 0


class UpToDate(Outcome):
    """The result of a stage that had nothing to do."""

    __slots__ = ()


@dataclass(frozen=True)
class Result:
    """The result for one window: its datasets, and its entries in tables such as windows/superpixels."""

    datasets: dict[str, store.Encoded]
    row: dict[str, Any]  # numbers, or lists of them
    warning: str = ""  # reported once at the end, with the number of windows concerned


Work = Callable[[Window], Result]
Peak = Callable[[int, int], float]  # (pixels, bands) of an image -> peak memory in bytes


class Stage(NamedTuple):
    """Name and revision of a stage, and the kind of artifact that it writes."""

    name: str
    revision: int  # raised when the same parameters give other results
    kind: str


def plain_peak(pixels: int, bands: int) -> float:
    """Estimate the peak memory of work that keeps a few copies of the pixels, in bytes."""
    return pixels * (BYTES_A_PIXEL + BYTES_A_PIXEL_AND_BAND * bands)


@dataclass(frozen=True)
class Pass:
    """One run of a stage over all images: its input, its output, and the outcome of an earlier run."""

    target: store.Target
    dataset: Dataset
    run: Run
    earlier: Outcome | None  # None unless the output is up to date

    def opened(self) -> Pass:
        """Return a copy with the image headers read and the reading of pixels decided."""
        return replace(self, dataset=self.dataset.opened(self.run.workers))

    def sharded(self) -> Pass:
        """Return a copy with only the images of the shard that is asked for, if one is."""
        return replace(self, dataset=self.dataset.sharded(self.run.shard))

    def write(
        self,
        work: Work,
        what: str,
        attributes: Mapping[str, Any],
        tables: Mapping[str, Any] | None = None,
        peak: Peak = plain_peak,
        separate: bool = False,
    ) -> Outcome:
        """Write the artifact unless it is up to date; in a dry run, only report the estimated cost.

        Args:
            work: picklable function from a window to its datasets.
            what: label of the progress bar.
            attributes: the kind's own attributes, without `reading`.
            tables: further datasets, one per file.
            peak: estimate of the peak memory.
            separate: whether the results of an image depend on no other image, so that they can be taken from the
                earlier output when images are added.
        """
        if self.earlier is not None:
            return self.earlier
        now = self.opened().sharded()
        kept: dict[int, KeptUnit] = {}
        with _releasing():
            if separate:
                kept = kept_units(self.target, now.dataset, tables or {})
        if self.run.dry_run:
            tasks = _tasks(self.target, now.dataset.units, kept)
            fresh = replace(now.dataset, units=tuple(task for task in tasks if not isinstance(task, KeptUnit)))
            cost = estimate(fresh, work, self.run.pool, peak) if fresh.units else "no image is to be computed"
            console.note(f"would write {self.target.path}: {cost}")
            return Outcome(self.target.path, len(now.dataset.bad))
        return write_artifact(self.target, now.dataset, work, what, attributes, self.run.pool, tables, kept)


def prepare(
    stage: Stage,
    dataset: Dataset,
    run: Run,
    settings: Sequence[Any],
    more: Mapping[str, Any] | None = None,
    upgrade: Callable[[Recipe, Recipe], Recipe] | None = None,
) -> Pass:
    """Start a stage that processes images: make its recipe and target, and check whether the output is up to date.

    Args:
        stage: the stage to run.
        dataset: the images, not opened yet.
        run: settings of the run, including its output.
        settings: dataclasses or mappings that the result depends on.
        more: further entries of the recipe, such as the method.
        upgrade: converts the recipe of an output of an earlier version to the present form.
    """
    parts = [recorded(part) if is_dataclass(part) else part for part in settings]
    more = {**(more or {}), **({"shard": run.shard} if run.shard else {})}
    recipe = make_recipe(stage.name, stage.revision, [*parts, *dataset.recorded], dataset.inputs, more)
    note_networks(dataset.hints, stage.kind)
    reads = [*dataset.named, *(hint["path"] for hint in dataset.hints.values())]
    target = store.Target(run.output, stage.kind, recipe, force=run.force, reads=reads, upgrade=upgrade)
    return Pass(target, dataset, run, unchanged(target))


def write_artifact(
    target: store.Target,
    dataset: Dataset,
    work: Work,
    what: str,
    attributes: Mapping[str, Any],
    workers: int | str = 0,
    tables: Mapping[str, Any] | None = None,
    kept: Mapping[int, KeptUnit] | None = None,
) -> Outcome:
    """Run `work` on every window and write the artifact.

    Args:
        target: the artifact to write.
        dataset: opened images.
        work: picklable function from a window to its datasets.
        what: label of the progress bar.
        attributes: the kind's own attributes, without `reading`.
        workers: number of processes; 0 = one for each processor; or a Dask cluster.
        tables: further datasets, one per file.
        kept: results that an earlier output has, by the number of the unit.
    """
    if dataset.reading is None:
        raise ValueError("open the dataset first")
    unit = "block" if images_of(dataset.units) < len(dataset.units) else "image"
    with target.writing(unit) as writer:
        _check_resumed(target, dataset.units, writer.notes)
        remaining = _tasks(target, dataset.units, kept or {})[len(writer.notes) :]
        with _releasing(), console.progress(len(dataset.units), what, unit, done=len(writer.notes)) as bar:
            show = partial(_show, bar, writer)
            shared = SharedNotes()
            for number, (windows, note) in enumerate(_results(work, remaining, workers, show)):
                _check_block(remaining[number], note)
                writer.append(windows, shared(note))
                show(0.0)
        notes = [*writer.notes, *writer.pending_notes()]
        done = by_source(dataset.units, notes)
        bad = [*dataset.bad, *((source.name, note["failed"]) for source, note in done if "failed" in note)]
        good = [(source, note) for source, note in done if "failed" not in note]
        if not good and dataset.shard is None:
            raise DataError(f"no image could be read; the first: {bad[0][0]}: {bad[0][1]}")
        writer.finish(
            {
                **source_tables([source for source, _ in good], target.path),
                **_window_tables(good, target.kind),
                **_shard_tables(dataset),
                "skipped/name": [name for name, _ in bad],
                "skipped/reason": [reason for _, reason in bad],
                **carried(dataset.hints, target.kind),
                **(tables or {}),
            },
            {**attributes, "reading": dataset.reading.to_json()},
            relative_hints(dataset.hints, target.path),
        )
    report_skipped(bad)
    divided = images_of(dataset.units) < len(notes) or any(len(note.get("rows", ())) > 1 for note in notes)
    _report_warnings(notes, "windows" if divided else "images")
    return Outcome(target.path, len(bad) - len(dataset.bad if dataset.kind != "pictures" else ()))


def _tasks(target: store.Target, units: Sequence[Unit], kept: Mapping[int, KeptUnit]) -> list[Unit | KeptUnit]:
    """Return what is to be done for each unit: to compute it, or to copy it."""
    if kept:
        images = {unit.source for unit in units}
        computed = {unit.source for number, unit in enumerate(units) if number not in kept}
        console.note(
            f"the results of {len(images - computed)} of {console.count_images(len(images))} are taken from the "
            f"earlier {target.path}"
        )
    return [kept.get(number, unit) for number, unit in enumerate(units)]


def _check_block(unit: Unit | KeptUnit, note: Mapping[str, Any]) -> None:
    """Stop if a part of a raster cannot be read: a raster that is skipped in part would look like a whole one."""
    if "failed" in note and unit.block:
        box = unit.block.boxes[0]
        raise DataError(
            f"{unit.source.path}: cannot be read at row {box.top} and column {box.left} of the working image: "
            f"{note['failed']}"
        )


def _show(bar: console.Progress, writer: store.Writer, ahead: float) -> None:
    """Move the bar to the images that are stored, and those after them that are done, also in part."""
    bar.update(max(0.0, writer.count + ahead - bar.n))


def _check_resumed(target: store.Target, units: Sequence[Unit], notes: Sequence[Mapping[str, Any]]) -> None:
    """Raise an error if finished work is of other windows: earlier versions divided images otherwise."""
    for unit, note in zip(units, notes, strict=False):
        if "rows" in note and len(note["rows"]) != unit.window_count:
            raise DataError(
                f"{target.partial}: was begun by another version of unseg; remove it, or choose another name with -o"
            )


def _rows_of(notes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [row for note in notes for row in note.get("rows", ())]


def _report_warnings(notes: Sequence[Mapping[str, Any]], what: str) -> None:
    rows = _rows_of(notes)
    for text, count in Counter(row["warning"] for row in rows if row.get("warning")).items():
        console.warn(f"{count} of {len(rows)} {what}: {text}")


def report_skipped(bad: Sequence[tuple[str, str]], shown: int = 10) -> None:
    """Report the skipped images and the reasons."""
    for name, reason in bad[:shown]:
        console.warn(f"skipped {name}: {reason}")
    if len(bad) > shown:
        console.warn(f"skipped {len(bad) - shown} more images; `unseg inspect` lists all of them")


def unchanged(target: store.Target) -> Outcome | None:
    """Return the outcome of the earlier run if the output is up to date; report its skipped images again."""
    if target.finished() is None:
        return None
    with store.open_artifact(target.path) as artifact:
        if not artifact.has("skipped/name"):
            return UpToDate(target.path)
        bad = list(zip(artifact.table("skipped/name"), artifact.table("skipped/reason"), strict=True))
    report_skipped(bad)
    read_here = "pictures" in target.recipe["inputs"]  # otherwise an earlier stage skipped and reported them
    return UpToDate(target.path, len(bad) if read_here else 0)


def estimate(dataset: Dataset, work: Work, workers: int | str = 0, peak: Peak = plain_peak) -> str:
    """Measure the cost of a few images, and describe the expected cost of all of them."""
    units = dataset.units
    cost = measured(units, work)
    share = sum(map(source_pixels, units)) / max(1, cost.pixels)
    stored = cost.stored_bytes * share
    cluster = isinstance(workers, str) and dask_map.local_count(workers) is None
    processes = 1 if cluster else _processes(units, workers)
    seconds = SECONDS_TO_START + cost.seconds * share / processes + stored / BYTES_STORED_A_SECOND
    sizes = [(pixels_at_once(unit), unit.reading.channels) for unit in units]
    largest = max((peak(*size) for size in sizes), default=0)
    on = f"{processes} processes" if processes > 1 else "one worker" if cluster else "one process"
    return (
        f"{console.count_images(images_of(units))}, about {seconds:,.0f} s on {on}, "
        f"{MEMORY_OF_A_PROCESS + largest / 1e9:.1f} GB of memory per process, "
        f"{stored / 1e6:,.1f} MB on disk (twice that during writing); "
        f"measured on parts of {console.count_images(cost.images)}"
    )


@contextmanager
def _releasing() -> Iterator[None]:
    """Close all artifacts opened in this process at the end, also after an error."""
    try:
        yield
    finally:
        release_artifacts()


def _processes(units: Sequence[Unit | KeptUnit], workers: int | str) -> int:
    """Choose the number of processes: as requested, but fewer if starting them would cost more than it saves."""
    if isinstance(workers, str):
        return dask_map.local_count(workers) or 1
    pixels = sum(source_pixels(unit) for unit in units if not isinstance(unit, KeptUnit))
    processes = max(1, min(workers or available_cores(), len(units), pixels // PIXELS_WORTH_A_PROCESS))
    console.detail(f"{console.count_images(len(units))} of {pixels / 1e6:,.1f} megapixels on {processes} processes")
    return processes


def batch_of(units: Sequence[Unit | KeptUnit]) -> int:
    """Choose how many units are sent to a process at once: of small images many, as sending one takes longer."""
    sizes = [source_pixels(unit) for unit in units if not isinstance(unit, KeptUnit)]
    return max(1, min(MOST_AT_ONCE, PIXELS_WORTH_SENDING * len(sizes) // max(1, sum(sizes)))) if sizes else MOST_AT_ONCE


def _mapped(
    function: Callable[[Any], Any],
    units: Sequence[Unit | KeptUnit],
    workers: int | str,
    is_failed: Callable[[Any], bool],
    show: Callable[[float], None] | None = None,
) -> Iterator[Any]:
    """Apply a function to all images: in this process, in several, or on a Dask cluster."""
    if isinstance(workers, int):
        return ordered_map(function, units, _processes(units, workers), batch=batch_of(units), ahead=show)
    first = next((unit for unit in units if not isinstance(unit, KeptUnit)), None)
    if first is None:
        return map(function, units)
    needed = [first.path] if isinstance(first, StoredUnit) else first.source.files[:1]
    handling = dask_map.Handling(_name_of, _is_kept, is_failed, release_artifacts, needed)
    return dask_map.mapped_by_dask(function, units, workers, handling, show or say_nothing)


def _name_of(unit: Unit | KeptUnit) -> str:
    return unit.source.name


def _is_kept(unit: Unit | KeptUnit) -> bool:
    """Return whether results are copied, which the process that writes does by itself."""
    return isinstance(unit, KeptUnit)


def _has_failed(done: tuple[list[dict[str, store.Encoded]], dict[str, Any]]) -> bool:
    return "failed" in done[1]


def _results(
    work: Work, units: Sequence[Unit | KeptUnit], workers: int | str, show: Callable[[float], None]
) -> Iterator[tuple[list[dict[str, store.Encoded]], dict[str, Any]]]:
    """Process all images: in parallel, or several at once in this process if the work asks for that."""
    at_once: int = getattr(work, "at_once", 0)
    if not at_once:
        yield from _mapped(partial(_do, work), units, workers, _has_failed, show)
        return
    waiting: list[tuple[Unit, list[Window] | str]] = []
    pixels = 0
    for number, unit in enumerate(units):
        if isinstance(unit, KeptUnit):
            if waiting:
                yield from _done_at_once(work, waiting)
            yield _do(work, unit)
            waiting, pixels = [], 0
            continue
        waiting.append((unit, _windows_or_reason(unit)))
        pixels += sum(window.box.height * window.box.width for window in waiting[-1][1] if isinstance(window, Window))
        if pixels >= at_once or number == len(units) - 1:
            yield from _done_at_once(work, waiting)
            waiting, pixels = [], 0


def _windows_or_reason(unit: Unit) -> list[Window] | str:
    try:
        return list(unit.windows())
    except DataError as error:
        return str(error)


def _done_at_once(
    work: Any, images: Sequence[tuple[Unit, list[Window] | str]]
) -> Iterator[tuple[list[dict[str, store.Encoded]], dict[str, Any]]]:
    """Process the windows of several images at once; if one of them fails, each image by itself."""
    read = [windows for _, windows in images if not isinstance(windows, str)]
    try:
        results = iter(work.many([window for windows in read for window in windows]))
    except DataError:
        yield from (_do(work, unit) for unit, _ in images)
        return
    for unit, windows in images:
        if isinstance(windows, str):
            yield [], {"failed": _without_path(windows, unit)}
        else:
            rows = [_noted(window, next(results)) for window in windows]
            yield [datasets for datasets, _ in rows], {"rows": [row for _, row in rows]}


def _do(work: Work, unit: Unit | KeptUnit) -> tuple[list[dict[str, store.Encoded]], dict[str, Any]]:
    """Process all windows of one image; if it cannot be read, return the reason instead of raising."""
    if isinstance(unit, KeptUnit):
        try:
            found = unit.results()
            return [datasets for datasets, _ in found], {"rows": [row for _, row in found]}
        except ArtifactError:  # damaged: computed after all
            unit = unit.unit
    try:
        windows = unit.windows()
        done = [_worked_on(work, window, number, len(windows)) for number, window in enumerate(windows)]
    except DataError as error:
        return [], {"failed": _without_path(str(error), unit)}
    return [datasets for datasets, _ in done], {"rows": [row for _, row in done]}


def _without_path(reason: str, unit: Unit) -> str:
    return reason.removeprefix(f"{unit.source.path}: ")


def _noted(window: Window, result: Result) -> tuple[dict[str, store.Encoded], dict[str, Any]]:
    """Return the datasets of a window, and what is noted of it."""
    row = {"box": list(window.box), "grid": list(window.grid), "warning": result.warning, **result.row}
    return result.datasets, row


def _worked_on(work: Work, window: Window, number: int, count: int) -> tuple[dict[str, store.Encoded], dict[str, Any]]:
    """Work on one window of an image, and report the share of the image that is done, meanwhile and afterwards."""
    share = partial(_report_window, number, count)
    result = work(replace(window, report=share))
    share(1.0)
    return _noted(window, result)


def _report_window(number: int, windows: int, share: float) -> None:
    report((number + share) / windows)


def _shard_tables(dataset: Dataset) -> dict[str, Any]:
    if dataset.shard is None:
        return {}
    number, of = dataset.shard
    return {"shard/number": np.array([number], np.int32), "shard/of": np.array([of], np.int32)}


def _window_tables(good: Sequence[tuple[Source, dict[str, Any]]], kind: str) -> dict[str, Any]:
    rows = [(number, row) for number, (_, note) in enumerate(good) for row in note["rows"]]
    types = {"superpixels": np.int64, "confidence": np.float32, "farthest": np.float64, "cell": np.float64}
    fields = store.KINDS[kind].fields
    required = [name for name in types if f"windows/{name}" in fields and fields[f"windows/{name}"].required]
    extra = [name for name in types if name in rows[0][1]] if rows else required
    return {
        "windows/source": np.array([number for number, _ in rows], np.int32),
        "windows/box": np.array([row["box"] for _, row in rows], np.int32).reshape(-1, 4),
        "windows/grid": np.array([row["grid"] for _, row in rows], np.int32).reshape(-1, 2),
        **{f"windows/{name}": np.array([row[name] for _, row in rows], types[name]) for name in extra},
    }


def gather(
    dataset: Dataset,
    work: Callable[[Window], Any],
    what: str,
    workers: int | str,
    bad: list[tuple[str, str]] | None = None,
) -> Iterator[Any]:
    """Run `work` on every window of every readable image and yield the results in order, without storing them.

    An unreadable image is skipped: the pass that writes the output reports it. If no such pass follows, give `bad`,
    to which name and reason are added. An error is raised only if no image can be read, or a part of a large one.
    """
    units = dataset.units
    failures: list[str] = []
    unit_name = "block" if images_of(units) < len(units) else "image"
    with _releasing(), console.progress(len(units), what, unit_name) as bar:
        found = _mapped(partial(_gather, work), units, workers, _is_reason)
        for unit, results in zip(units, found, strict=True):
            bar.update()
            if isinstance(results, str):
                _check_block(unit, {"failed": _without_path(results, unit)})
                failures.append(results)
                if bad is not None:
                    bad.append((unit.source.name, _without_path(results, unit)))
            else:
                yield from results
    if failures and len(failures) == len(units):
        raise DataError(failures[0])


def _is_reason(found: list[Any] | str) -> bool:
    return isinstance(found, str)


def _gather(work: Callable[[Window], Any], unit: Unit) -> list[Any] | str:
    try:
        return [work(window) for window in unit.windows()]
    except DataError as error:
        return str(error)
