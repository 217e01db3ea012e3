"""`unseg benchmark`: tables of methods and data sets, by commands that a user could type.

Labels are used for scoring, and to learn the ceiling, which the output says.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unsegcli import console
from unsegcli.dataflow.benchmark_runs import VERSION, Asked, dry, each_once, facts_of, run_jobs, written
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.method_commands import PROBE, Job, LabelledSet, chosen_methods, job_of
from unsegcli.dataflow.result_rows import MEASURES, rows_of
from unsegcli.datasets._published import BenchmarkRow, find_row, known_rows
from unsegcli.datasets._row_runs import (
    USED,
    compared_row,
    jobs_of,
    labelled_set_of,
    labels_used_by,
    listed_row,
    place_of,
)
from unsegcli.errors import ConfigError, DataError
from unsegcli.legend import LEGEND_NAME, read_legend
from unsegcli.params import MAP_CLASSES, Benchmark, Inputs, Run
from unsegcli.segmenters.benchmark_costs import hours_of, hours_said, said, seconds_of, sizes_in

RESULT = "benchmark.json"
USED_BY_CEILING = f"{USED}, and for learning the ceiling"


@dataclass(frozen=True)
class Benchmarked:
    """The results, and the file that holds them."""

    path: Path
    result: dict[str, Any] = field(default_factory=dict)  # empty in a dry run


def benchmark(inputs: Inputs, params: Benchmark | None = None, run: Run | None = None) -> Benchmarked:
    """Train, cluster and score methods on labelled images, and return a table.

    Args:
        inputs: published rows such as `infoseg/potsdam-3`, and a limit on the number of images; without rows, the
            methods of `params` are compared.
        params: the labelled images, methods, seeds and length of training.
        run: how to run, and the folder to write.
    """
    params, run = params or Benchmark(), (run or Run()).of("benchmark")
    names = [str(name) for name in inputs.paths]
    if params.list:
        return Benchmarked(Path(run.output), {"version": VERSION, "listed": _listed(names)})
    asked = Asked(inputs.limit, params, run, _checked_folder(Path(run.output)))
    result = _of_rows(asked, [find_row(name) for name in names]) if names else _of_sets(asked)
    return Benchmarked(asked.output / RESULT, result)


# A table of methods and sets


def _of_sets(asked: Asked) -> dict[str, Any]:
    """Compare methods on labelled sets; nothing is returned by a dry run."""
    sets = _sets(asked)
    methods = chosen_methods(asked.params.methods)
    jobs = [job for where in sets for job in _jobs(where, methods, asked)]
    jobs.sort(key=lambda job: job.seed)  # so that what is there after an interruption is a table with fewer seeds
    _say_what_it_costs(sets, jobs, asked)
    if asked.run.dry_run:
        return dry(jobs)
    started = time.monotonic()
    done = run_jobs(sets, jobs)
    result = {**facts_of(asked, started), **_table(sets, jobs, done)}
    return written(asked.output / RESULT, result)


def _checked_folder(output: Path) -> Path:
    file = next((path for path in (output, *output.parents) if path.exists() and not path.is_dir()), None)
    if file is not None or is_artifact(output):
        raise ConfigError(f"-o {output}: benchmark writes a folder of files; give the name of a folder")
    return output


def _sets(asked: Asked) -> list[LabelledSet]:
    if not asked.params.data:
        raise ConfigError("give labelled images with --data FOLDER, or published rows, see --list")
    found: list[LabelledSet] = []
    for given in asked.params.data:
        one = _labelled_set(Path(given), asked)
        if one.name in {other.name for other in found}:
            raise ConfigError(f"--data {given}: another set is called {one.name}, too; rename one of the folders")
        found.append(one)
    return found


def _labelled_set(given: Path, asked: Asked) -> LabelledSet:
    """Describe images with labels, given their folder or a legend in it."""
    named = given.suffix == ".toml"
    data, legend = (given.parent, given) if named else (given, given / LEGEND_NAME)
    if not data.is_dir():
        raise DataError(f"--data {given}: no such folder")
    if not legend.is_file():
        raise DataError(f"--data {given}: has no {LEGEND_NAME}, which says what its labels mean")
    if not (data / "labels").is_dir():
        raise DataError(f"--data {given}: has no folder labels/")
    name = data.resolve().name + (f"-{legend.stem}" if named and legend.name != LEGEND_NAME else "")
    return LabelledSet(
        name=name,
        data=data,
        learned=(data,),
        scored=(data,),
        classes=len(read_legend(legend).classes),
        folder=asked.output / name,
        legend=legend if named else None,
        reading=asked.reading,
        clusters=MAP_CLASSES,
    )


def _jobs(where: LabelledSet, methods: Sequence[str], asked: Asked) -> Iterator[Job]:
    """Yield all methods with one seed after the other; the probe has one only."""
    for seed in range(asked.params.seeds):
        for method in methods:
            if method != PROBE or seed == 0:
                yield job_of(method, seed, where, asked.running)


def _table(sets: Sequence[LabelledSet], jobs: Sequence[Job], done: Sequence[Job]) -> dict[str, Any]:
    rows = rows_of(done)
    measures = [name for name in MEASURES if any(name in row for row in rows)]
    return {
        "labels_used": USED_BY_CEILING if PROBE in measures else USED,
        "sets": [{"name": one.name, "data": os.fspath(one.data), "classes": one.classes} for one in sets],
        "measures": {name: MEASURES[name].format(clusters=MAP_CLASSES) for name in measures},
        "failed": [str(job) for job in jobs if job not in done],
        "rows": rows,
    }


# Published rows


def _listed(words: Sequence[str]) -> list[dict[str, Any]]:
    """Describe the published rows whose names hold one of some words."""
    rows = [row for row in known_rows() if not words or any(word in row.name for word in words)]
    if not rows:
        raise ConfigError(f"no row has {' or '.join(words)} in its name; `unseg benchmark --list` shows all")
    return [listed_row(row) for row in rows]


def _say_hours(row: BenchmarkRow, seeds: int, asked: Asked) -> None:
    hours = hours_of(row.method, row.images, row.settings)
    takes = "how long it takes is not known" if hours is None else f"about {hours_said(hours * seeds)} of one processor"
    runs = f" for {seeds} seeds" if seeds > 1 else ""
    limits = shlex.join([*asked.running.length, *asked.reading])
    console.note(f"{row.name}: {takes}{runs}{f', less with {limits}' if limits else ''}")


def _of_rows(asked: Asked, rows: Sequence[BenchmarkRow]) -> dict[str, Any]:
    """Run published rows; nothing is returned by a dry run."""
    places = {one.name: place_of(one, asked) for one in dict.fromkeys(row.published for row in rows)}
    jobs = {row: jobs_of(row, places[row.published.name], asked) for row in rows}
    every = [job for some in jobs.values() for job in some]
    for row in rows:
        _say_hours(row, len(jobs[row]), asked)
    if asked.run.dry_run:
        return dry(every)
    started = time.monotonic()
    done = run_jobs([labelled_set_of(row, places[row.published.name], asked) for row in rows], every)
    finished = [row for row in rows if set(jobs[row]) <= set(done)]
    result = {
        **facts_of(asked, started),
        "labels_used": labels_used_by(rows),
        "failed": [str(job) for job in every if job not in done],
        "rows": [compared_row(row, jobs[row], places[row.published.name], asked) for row in finished],
    }
    return written(asked.output / RESULT, result)


# Costs


def _say_what_it_costs(sets: Sequence[LabelledSet], jobs: Sequence[Job], asked: Asked) -> None:
    seconds = []
    for where in sets:
        steps = each_once(job for job in jobs if job.name == where.name)
        sizes = sizes_in(where.learned, asked.limit)
        seconds.append(seconds_of([step.cost for step in steps], sizes, asked.params))
    console.note(
        f"{len(each_once(jobs))} commands, {len(jobs)} results on {len(sets)} sets: {said(seconds)}; less, as far as "
        "results are up to date"
    )
