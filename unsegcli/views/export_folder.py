"""Write a folder of exported label maps, or a table of areas. Nothing here reads ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unsegcli import console, store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions, StoredMap
from unsegcli.dataflow.output_folder import OutputFolder, safe_names
from unsegcli.dataflow.runner import Outcome
from unsegcli.parallel import ordered_map
from unsegcli.views.export import (
    SUFFIXES,
    MapTask,
    area_table,
    export_map,
    exported_type,
    file_name,
    largest_number,
    map_areas,
)
from unsegcli.views.image_pass import each, estimated, finish


def category_count(run: Predictions, workers: int) -> int:
    """Return the number of categories: from the artifact, else from the values of the maps."""
    if run.clusters is not None:
        return run.clusters
    found = ordered_map(largest_number, run.maps, workers, len(run.maps) // 50)
    return max(found, default=-1) + 1


def write_maps(
    run: Predictions, format_: str, folder: OutputFolder, workers: int, dry_run: bool, labels_used: str
) -> Outcome:
    """Write each label map to a file, on the grid of its image as displayed."""
    dtype = exported_type(_largest_count(run, workers), format_)
    tasks = [MapTask(item, format_, dtype) for item in run.maps]
    void = np.iinfo(dtype).max
    console.note(f"label maps as {dtype} on the grid of each image as displayed; {void} = void")
    if dry_run:
        return estimated(folder, tasks, export_map, lambda made: len(made.content), workers)
    names = safe_names([file_name(item) for item in run.maps], SUFFIXES[format_])
    skipped: list[tuple[str, str]] = []
    with folder.writing() as writer:
        for item, name, made in zip(run.maps, names, each(tasks, export_map, workers, "exporting"), strict=True):
            if made.failed:
                skipped.append((item.name, made.failed))
            else:
                writer.add(name, made.content)
        writer.about |= {"dtype": dtype, "void": int(void)}
        return finish(folder, writer, len(run.maps), skipped, labels_used)


def _largest_count(run: Predictions, workers: int) -> int:
    if run.role != "superpixels" or not is_artifact(run.name):
        return category_count(run, workers)
    with store.open_artifact(run.name) as artifact:
        counts = artifact.table("windows/superpixels")
        return max(int(counts[list(item.rows)].sum()) for item in run.maps if isinstance(item, StoredMap))


def write_areas(
    run: Predictions, names: Sequence[str], folder: OutputFolder, workers: int, dry_run: bool, labels_used: str
) -> Outcome:
    """Write the area of each category in each image as a table; `names` are those of the categories."""
    tasks = [(item, len(names)) for item in run.maps]
    if dry_run:
        return estimated(folder, tasks, map_areas, lambda made: 20 * len(made.areas), workers)
    skipped: list[tuple[str, str]] = []
    rows = []
    with folder.writing() as writer:
        for item, made in zip(run.maps, each(tasks, map_areas, workers, "exporting"), strict=True):
            if made.failed:
                skipped.append((item.name, made.failed))
            else:
                rows.append((item.name, item.source_grid, made.areas))
        writer.add("areas.csv", area_table(names, rows))
        return finish(folder, writer, len(run.maps), skipped, labels_used)
