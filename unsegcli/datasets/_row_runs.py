"""How a published row is run: its prepared data set, its commands, and its scores beside the published ones."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unsegcli import console
from unsegcli.dataflow.benchmark_runs import Asked
from unsegcli.dataflow.commands import run_command
from unsegcli.dataflow.method_commands import LEARNED, MATCHED, Job, LabelledSet, job_of
from unsegcli.dataflow.paper_commands import Paper, paper_job
from unsegcli.dataflow.result_rows import scores_in
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
    SCORES,
    VIDEO,
    BenchmarkRow,
)
from unsegcli.errors import ConfigError
from unsegcli.legend import LEGEND_NAME
from unsegcli.segmenters.benchmark_costs import HOURS_WITHOUT_GPU, hours_of

USED = "scoring"  # labels, by all rows
USED_BESIDES = {  # kind of task -> what labels are used for besides scoring
    OBJECT_PROBE: "learning a linear classifier",
    RETRIEVAL: "looking up the class of the most similar object",
    VIDEO: "the first frame of each video",
}
WITHOUT_SEEDS = ("iem", "square", "proposals", "colours")
TRAINED_FOR_VIDEOS = Path("voc-2012", "maskcontrast-seed0-model.h5")  # in the folder of the benchmark


def listed_row(row: BenchmarkRow) -> dict[str, Any]:
    first = row.numbers[0] if row.numbers else None
    hours = hours_of(row.method, row.images, row.settings)
    return {
        "row": row.name,
        "task": row.task,
        "score": row.score,
        "score_in_words": SCORES[row.score],
        "published": None if first is None else first.scores.get(row.score),
        "certainty": None if first is None else CERTAINTIES[first.certainty],
        "protocol": protocol_of(row),
        "preset": row.preset or None,
        "hours": hours,
        "needs_gpu": "epochs" in row.settings if hours is None else hours > HOURS_WITHOUT_GPU,
    }


def labels_used_by(rows: Sequence[BenchmarkRow]) -> str:
    """Say what labels are used for."""
    besides = dict.fromkeys(USED_BESIDES[row.kind] for row in rows if row.kind in USED_BESIDES)
    return ", and for ".join([USED, *besides])


def place_of(published: PublishedSet, asked: Asked) -> Path:
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


def labelled_set_of(row: BenchmarkRow, data: Path, asked: Asked) -> LabelledSet:
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


def jobs_of(row: BenchmarkRow, data: Path, asked: Asked) -> list[Job]:
    where = labelled_set_of(row, data, asked)
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


def _model_of(row: BenchmarkRow, asked: Asked) -> Path | None:
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


def compared_row(row: BenchmarkRow, jobs: Sequence[Job], data: Path, asked: Asked) -> dict[str, Any]:
    found = [scores_in(step.output) for job in jobs for step in job.steps if step.measure == MATCHED]
    trains = any(step.cost.startswith("train") for job in jobs for step in job.steps)
    short = trains and asked.running.length
    how = [f"training was limited by {shlex.join(asked.running.length)}"] if short else []
    how += [f"only the first {asked.limit} images of each folder were used"] if asked.limit else []
    if row.kind == CLUSTERS and row.method not in LEARNED and labelled_set_of(row, data, asked).fitted_elsewhere:
        how.append("clusters are found on the images that are scored")
    if row.method == "maskcontrast" and row.kind != VIDEO:
        how.append(f"training started from the weights {asked.params.weights}")
    return compared(row, found, how, about_prepared(data))
