"""`unseg benchmark`: tables of methods and data sets, by commands that a user could type.

Labels are used for scoring, and to learn the ceiling, which the output says.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unsegcli import __version__, console
from unsegcli.dataflow.commands import run_command
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.method_commands import (
    PROBE,
    Job,
    LabelledSet,
    Running,
    Step,
    chosen_methods,
    job_of,
)
from unsegcli.dataflow.result_rows import MEASURES, Row, rows_of
from unsegcli.errors import ConfigError, DataError, StepError
from unsegcli.legend import LEGEND_NAME, read_legend
from unsegcli.parallel import available_cores
from unsegcli.params import AUTO, MAP_CLASSES, Benchmark, Inputs, Run
from unsegcli.segmenters.benchmark_costs import said, seconds_of, sizes_in

VERSION = 1  # of the JSON
RESULT = "benchmark.json"
INTERRUPTED = 130  # exit code
USED, USED_BY_CEILING = "scoring", "scoring, and for learning the ceiling"


@dataclass(frozen=True)
class Benchmarked:
    """The results, and the file that holds them."""

    path: Path
    scores: dict[str, Any] = field(default_factory=dict)


def benchmark(inputs: Inputs, params: Benchmark | None = None, run: Run | None = None) -> Benchmarked:
    """Train, cluster and score methods on labelled images, and return a table.

    Args:
        inputs: the limit on the number of images; there are no other inputs.
        params: the labelled images, methods, seeds and length of training.
        run: how to run, and the folder to write.
    """
    params, run = params or Benchmark(), (run or Run()).of("benchmark")
    output = _checked_folder(Path(run.output))
    sets = _sets(inputs, params, output)
    methods = chosen_methods(params.methods)
    running = _running(params, run)
    jobs = [job for where in sets for job in _jobs(where, methods, params.seeds, running)]
    _say_what_it_costs(sets, jobs, inputs, params)
    if run.dry_run:
        for step in _each_once(jobs):
            console.note(f"would run: {shlex.join(['unseg', *step.arguments])}")
        return Benchmarked(output / RESULT)
    for where in sets:
        where.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    done = _run(jobs)
    failed = [str(job) for job in jobs if job not in done]
    result = {**_facts(sets, rows_of(done), params), "failed": failed, "seconds": round(time.monotonic() - started, 1)}
    return Benchmarked(_written(output / RESULT, result), result)


def _checked_folder(output: Path) -> Path:
    file = next((path for path in (output, *output.parents) if path.exists() and not path.is_dir()), None)
    if file is not None or is_artifact(output):
        raise ConfigError(f"-o {output}: benchmark writes a folder of files; give the name of a folder")
    return output


def _sets(inputs: Inputs, params: Benchmark, output: Path) -> list[LabelledSet]:
    if not params.data:
        raise ConfigError("give labelled images with --data FOLDER")
    found: list[LabelledSet] = []
    for given in params.data:
        one = _labelled_set(Path(given), inputs.limit, output)
        if one.name in {other.name for other in found}:
            raise ConfigError(f"--data {given}: another set is called {one.name}, too; rename one of the folders")
        found.append(one)
    return found


def _labelled_set(given: Path, limit: int | None, output: Path) -> LabelledSet:
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
    reading = () if limit is None else ("--limit", str(limit))
    classes = len(read_legend(legend).classes)
    return LabelledSet(
        name, data, data, classes, output / name, legend if named else None, reading=reading, clusters=MAP_CLASSES
    )


def _running(params: Benchmark, run: Run) -> Running:
    if params.steps and params.minutes:
        raise ConfigError("--steps and --minutes cannot be used together: give one of them")
    length = {"--steps": params.steps, "--minutes": params.minutes}
    shared = ["--workers", str(run.workers)] if run.workers else []
    return Running(
        tuple(part for option, value in length.items() if value for part in (option, f"{value:g}")),
        () if run.device == AUTO else ("--device", run.device),
        (*shared, *(["--force"] if run.force else [])),
    )


def _jobs(where: LabelledSet, methods: Sequence[str], seeds: int, running: Running) -> Iterator[Job]:
    """Yield all methods with one seed after the other; the probe has one only."""
    for seed in range(seeds):
        for method in methods:
            if method != PROBE or seed == 0:
                yield job_of(method, seed, where, running)


def _each_once(jobs: Iterable[Job]) -> list[Step]:
    """Return the commands of all jobs, without repeating what they share."""
    return list(dict.fromkeys(step for job in jobs for step in job.steps))


def _run(jobs: Sequence[Job]) -> list[Job]:
    """Run the commands of jobs and return those that succeeded: one that fails does not stop the others."""
    over: dict[Step, bool] = {}  # command -> whether it succeeded
    done = []
    for number, job in enumerate(jobs, start=1):
        console.note(f"{job} ({number} of {len(jobs)})")
        for step in job.steps:
            if step not in over:
                over[step] = _succeeds(step)
            if not over[step]:
                console.warn(f"{job} has no score, since a command failed")
                break
        else:
            done.append(job)
    return done


def _succeeds(step: Step) -> bool:
    try:
        run_command(step.arguments)
    except StepError as error:
        if error.code == INTERRUPTED:
            raise
        console.warn(str(error))
        return False
    return True


def _say_what_it_costs(sets: Sequence[LabelledSet], jobs: Sequence[Job], inputs: Inputs, params: Benchmark) -> None:
    seconds = []
    for where in sets:
        steps = _each_once(job for job in jobs if job.name == where.name)
        sizes = sizes_in(where.learned, inputs.limit)
        seconds.append(seconds_of([step.cost for step in steps], sizes, params))
    console.note(
        f"{len(_each_once(jobs))} commands, {len(jobs)} results on {len(sets)} sets: {said(seconds)}; less, as far as "
        "results are up to date"
    )


def _facts(sets: Sequence[LabelledSet], rows: Sequence[Row], params: Benchmark) -> dict[str, Any]:
    measures = [name for name in MEASURES if any(name in row for row in rows)]
    return {
        "version": VERSION,
        "labels_used": USED_BY_CEILING if PROBE in measures else USED,
        "seeds": params.seeds,
        "made_by": f"unseg {__version__}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {available_cores()} processors",
        "sets": [{"name": one.name, "data": os.fspath(one.learned), "classes": one.classes} for one in sets],
        "measures": {name: MEASURES[name].format(clusters=MAP_CLASSES) for name in measures},
        "rows": list(rows),
    }


def _written(path: Path, result: Mapping[str, Any]) -> Path:
    temporary = path.with_suffix(".tmp")
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in result["rows"])
    facts = json.dumps({**result, "rows": []}, ensure_ascii=False, indent=1)
    temporary.write_text(facts.replace('"rows": []', f'"rows": [\n  {rows}\n ]') + "\n", encoding="utf-8")
    temporary.replace(path)
    return path
