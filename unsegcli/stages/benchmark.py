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
    LEARNED,
    MATCHED,
    PROBE,
    Job,
    LabelledSet,
    Running,
    Step,
    chosen_methods,
    job_of,
)
from unsegcli.dataflow.paper_commands import Paper, paper_job
from unsegcli.dataflow.result_rows import MEASURES, rows_of, scores_in
from unsegcli.datasets._compared import compared, protocol_of
from unsegcli.datasets._contract import PublishedSet
from unsegcli.datasets._prepared import about_prepared, name_of_prepared, names_in
from unsegcli.datasets._published import (
    BASELINES,
    CERTAINTIES,
    CLUSTERS,
    MASK_PRESETS,
    OBJECT_PROBE,
    RETRIEVAL,
    VIDEO,
    BenchmarkRow,
    find_row,
    known_rows,
)
from unsegcli.errors import ConfigError, DataError, StepError
from unsegcli.legend import LEGEND_NAME, read_legend
from unsegcli.parallel import available_cores
from unsegcli.params import AUTO, MAP_CLASSES, Benchmark, Inputs, Run
from unsegcli.segmenters.benchmark_costs import HOURS_WITHOUT_GPU, hours_of, said, seconds_of, sizes_in

VERSION = 1  # of the JSON
RESULT = "benchmark.json"
INTERRUPTED = 130  # exit code
USED, USED_BY_CEILING = "scoring", "scoring, and for learning the ceiling"
WITHOUT_SEEDS = ("iem", "square", "proposals", "colours")
TRAINED_FOR_VIDEOS = Path("voc-2012", "maskcontrast-seed0-model.h5")  # in the folder of the benchmark


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
    asked = _Asked(inputs.limit, params, run, _checked_folder(Path(run.output)))
    result = _of_rows(asked, [find_row(name) for name in names]) if names else _of_sets(asked)
    return Benchmarked(asked.output / RESULT, result)


@dataclass(frozen=True)
class _Asked:
    """What was asked for, whatever is compared."""

    limit: int | None
    params: Benchmark
    run: Run
    output: Path

    @property
    def reading(self) -> tuple[str, ...]:
        """Options of commands that read images."""
        return () if self.limit is None else ("--limit", str(self.limit))

    @property
    def running(self) -> Running:
        params, run = self.params, self.run
        if params.steps and params.minutes:
            raise ConfigError("--steps and --minutes cannot be used together: give one of them")
        length = {"--steps": params.steps, "--minutes": params.minutes}
        return Running(
            tuple(part for option, value in length.items() if value for part in (option, str(value))),
            () if run.device == AUTO else ("--device", run.device),
            () if params.weights == Benchmark.weights else ("--weights", str(params.weights)),
            run.workers,
            run.force,
        )


# A table of methods and sets


def _of_sets(asked: _Asked) -> dict[str, Any]:
    """Compare methods on labelled sets; nothing is returned by a dry run."""
    sets = _sets(asked)
    methods = chosen_methods(asked.params.methods)
    jobs = [job for where in sets for job in _jobs(where, methods, asked)]
    jobs.sort(key=lambda job: job.seed)  # so that what is there after an interruption is a table with fewer seeds
    _say_what_it_costs(sets, jobs, asked)
    if asked.run.dry_run:
        return _dry(jobs)
    started = time.monotonic()
    done = _run(sets, jobs)
    result = {**_facts(asked, started), **_table(sets, jobs, done)}
    return _written(asked.output / RESULT, result)


def _checked_folder(output: Path) -> Path:
    file = next((path for path in (output, *output.parents) if path.exists() and not path.is_dir()), None)
    if file is not None or is_artifact(output):
        raise ConfigError(f"-o {output}: benchmark writes a folder of files; give the name of a folder")
    return output


def _sets(asked: _Asked) -> list[LabelledSet]:
    if not asked.params.data:
        raise ConfigError("give labelled images with --data FOLDER, or published rows, see --list")
    found: list[LabelledSet] = []
    for given in asked.params.data:
        one = _labelled_set(Path(given), asked)
        if one.name in {other.name for other in found}:
            raise ConfigError(f"--data {given}: another set is called {one.name}, too; rename one of the folders")
        found.append(one)
    return found


def _labelled_set(given: Path, asked: _Asked) -> LabelledSet:
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


def _jobs(where: LabelledSet, methods: Sequence[str], asked: _Asked) -> Iterator[Job]:
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
    return [_listed_row(row) for row in rows]


def _listed_row(row: BenchmarkRow) -> dict[str, Any]:
    first = row.numbers[0] if row.numbers else None
    hours = hours_of(row.method, row.published.images, row.settings)
    return {
        "row": row.name,
        "task": row.task,
        "score": row.score,
        "published": None if first is None else first.scores.get(row.score),
        "certainty": None if first is None else CERTAINTIES[first.certainty],
        "protocol": protocol_of(row),
        "preset": row.preset or None,
        "hours": hours,
        "needs_gpu": "epochs" in row.settings if hours is None else hours > HOURS_WITHOUT_GPU,
    }


def _say_hours(row: BenchmarkRow, seeds: int) -> None:
    hours = hours_of(row.method, row.published.images, row.settings)
    takes = "a time that is not known" if hours is None else f"about {hours * seeds:,.1f} hours of one processor"
    console.note(f"{row.name}, seeds: {seeds}: takes {takes}, unless --steps or --minutes limit it")


def _of_rows(asked: _Asked, rows: Sequence[BenchmarkRow]) -> dict[str, Any]:
    """Run published rows; nothing is returned by a dry run."""
    places = {one.name: _place(one, asked) for one in dict.fromkeys(row.published for row in rows)}
    jobs = {row: _row_jobs(row, places[row.published.name], asked) for row in rows}
    every = [job for some in jobs.values() for job in some]
    for row in rows:
        _say_hours(row, len(jobs[row]))
    if asked.run.dry_run:
        return _dry(every)
    started = time.monotonic()
    done = _run([_where(row, places[row.published.name], asked) for row in rows], every)
    finished = [row for row in rows if set(jobs[row]) <= set(done)]
    result = {
        **_facts(asked, started),
        "labels_used": USED,
        "failed": [str(job) for job in every if job not in done],
        "rows": [_compared(row, jobs[row], places[row.published.name], asked) for row in finished],
    }
    return _written(asked.output / RESULT, result)


def _place(published: PublishedSet, asked: _Asked) -> Path:
    """Return the folder of a prepared data set; prepare it, if its files are given as its publisher offers them."""
    given = [Path(path) for path in asked.params.data]
    known = {path: name_of_prepared(path) for path in given}
    prepared = [path for path, name in known.items() if name == published.name]
    if len(prepared) == 1:
        return prepared[0]
    raw = [str(path) for path, name in known.items() if not name]
    if prepared or not raw:
        raise ConfigError(
            f"{published.name}: give the folder that `unseg prepare {published.name}` made, or the files of its "
            f"publisher, with --data; they are offered at {published.link}"
        )
    made = asked.output / published.name / "data"
    command = asked.running.step(["prepare", published.name, *raw], made, "prepare").arguments
    if asked.run.dry_run:
        console.note(f"would run: {shlex.join(['unseg', *command])}")
    else:
        made.parent.mkdir(parents=True, exist_ok=True)
        run_command(command)
    return made


def _where(row: BenchmarkRow, data: Path, asked: _Asked) -> LabelledSet:
    """Describe how a row reads and scores a prepared data set."""
    rules, images, labels = row.published.rules, data / "images", data / "labels"
    every = {split.name for split in row.published.splits}
    whole = not rules.trained_on or set(rules.trained_on) >= every
    learned = (data,) if whole else tuple(images / name for name in rules.trained_on)
    if set(rules.scored_on) <= set(rules.trained_on):
        scored = learned
    elif len(rules.scored_on) == 1:
        scored, labels = (images / rules.scored_on[0],), labels / rules.scored_on[0]
    else:
        scored = (data,)
    return LabelledSet(
        name=row.task,
        data=data,
        learned=learned,
        scored=scored,
        classes=len(row.published.classes),
        folder=asked.output / row.published.name,
        legend=data / LEGEND_NAME,
        labels=labels,
        reading=asked.reading,
        scoring=(*(("--protocol", rules.protocol) if rules.protocol else ()), *rules.args),
        preset=row.preset,
    )


def _row_jobs(row: BenchmarkRow, data: Path, asked: _Asked) -> list[Job]:
    where = _where(row, data, asked)
    seeds = range(1 if row.method in WITHOUT_SEEDS else asked.params.seeds)
    if row.kind == CLUSTERS:
        return [job_of(row.method, seed, where, asked.running) for seed in seeds]
    lists = [where.folder / f"{row.task}-{name}.txt" for name in ("fit-on", "score-on")]
    if not asked.run.dry_run and row.kind in (OBJECT_PROBE, RETRIEVAL):
        where.folder.mkdir(parents=True, exist_ok=True)
        rules = row.published.rules
        fitted = rules.trained_on[:1] if row.kind == RETRIEVAL else rules.trained_on
        for path, splits in zip(lists, (fitted, rules.scored_on), strict=True):
            path.write_text("".join(f"{name}\n" for name in names_in(data, splits)), encoding="utf-8")
    masks = MASK_PRESETS.get(row.published.name, "")
    paper = Paper(row.kind, lists[0], lists[1], masks, _model_of(row, asked))
    return [paper_job(row.method, seed, where, asked.running, paper) for seed in seeds]


def _model_of(row: BenchmarkRow, asked: _Asked) -> Path | None:
    """Return the model whose features follow objects through videos."""
    if row.kind != VIDEO or row.method in BASELINES[VIDEO]:
        return None
    if row.method.endswith(".h5"):
        return Path(row.method)
    model = asked.output / TRAINED_FOR_VIDEOS
    if not model.is_file() and not asked.run.dry_run:
        raise ConfigError(
            f"{row.name}: has no model yet: run maskcontrast/voc in {asked.output}, or type MODEL.h5/davis"
        )
    return model


def _compared(row: BenchmarkRow, jobs: Sequence[Job], data: Path, asked: _Asked) -> dict[str, Any]:
    found = [scores_in(step.output) for job in jobs for step in job.steps if step.measure == MATCHED]
    how = [f"training was limited by {shlex.join(asked.running.length)}"] if asked.running.length else []
    how += [f"only the first {asked.limit} images of each folder were used"] if asked.limit else []
    if row.kind == CLUSTERS and row.method not in LEARNED and _where(row, data, asked).fitted_elsewhere:
        how.append("clusters are found on the images that are scored")
    if row.method == "maskcontrast" and row.kind != VIDEO:
        how.append(f"training started from the weights {asked.params.weights}")
    return compared(row, found, how, about_prepared(data))


# Running


def _dry(jobs: Iterable[Job]) -> dict[str, Any]:
    """Say which commands would run."""
    for step in _each_once(jobs):
        console.note(f"would run: {shlex.join(['unseg', *step.arguments])}")
    return {}


def _each_once(jobs: Iterable[Job]) -> list[Step]:
    """Return the commands of all jobs, without repeating what they share."""
    return list(dict.fromkeys(step for job in jobs for step in job.steps))


def _run(sets: Sequence[LabelledSet], jobs: Sequence[Job]) -> list[Job]:
    """Run the commands of jobs and return those that succeeded: one that fails does not stop the others."""
    for where in sets:
        where.folder.mkdir(parents=True, exist_ok=True)
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


def _say_what_it_costs(sets: Sequence[LabelledSet], jobs: Sequence[Job], asked: _Asked) -> None:
    seconds = []
    for where in sets:
        steps = _each_once(job for job in jobs if job.name == where.name)
        sizes = sizes_in(where.learned, asked.limit)
        seconds.append(seconds_of([step.cost for step in steps], sizes, asked.params))
    console.note(
        f"{len(_each_once(jobs))} commands, {len(jobs)} results on {len(sets)} sets: {said(seconds)}; less, as far as "
        "results are up to date"
    )


def _facts(asked: _Asked, started: float) -> dict[str, Any]:
    return {
        "version": VERSION,
        "made_by": f"unseg {__version__}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {available_cores()} processors",
        "seeds": asked.params.seeds,
        "seconds": round(time.monotonic() - started, 1),
    }


def _written(path: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write the results, a row in each line."""
    temporary = path.with_suffix(".tmp")
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in result["rows"])
    facts = json.dumps({**result, "rows": []}, ensure_ascii=False, indent=1)
    temporary.write_text(facts.replace('"rows": []', f'"rows": [\n  {rows}\n ]') + "\n", encoding="utf-8")
    temporary.replace(path)
    console.note(f"benchmark: {len(result['rows'])} rows, {console.duration(result['seconds'])} -> {path}")
    return dict(result)
