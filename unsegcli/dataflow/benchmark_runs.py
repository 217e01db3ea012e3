"""What is asked of a benchmark, how its commands are run one after the other, and the file of its results."""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unsegcli import console
from unsegcli._version import __version__
from unsegcli.dataflow.commands import run_command
from unsegcli.dataflow.method_commands import Job, LabelledSet, Running, Step
from unsegcli.errors import ConfigError, StepError
from unsegcli.parallel import available_cores
from unsegcli.params import AUTO, Benchmark, Run
from unsegcli.store.durable import make_folders, rename_durably

VERSION = 1  # of the JSON
INTERRUPTED = 130  # exit code


@dataclass(frozen=True)
class Asked:
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


def dry(jobs: Iterable[Job]) -> dict[str, Any]:
    """Say which commands would run."""
    for step in each_once(jobs):
        console.note(f"would run: {shlex.join(['unseg', *step.arguments])}")
    return {}


def each_once(jobs: Iterable[Job]) -> list[Step]:
    """Return the commands of all jobs, without repeating what they share."""
    return list(dict.fromkeys(step for job in jobs for step in job.steps))


def run_jobs(sets: Sequence[LabelledSet], jobs: Sequence[Job]) -> list[Job]:
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


def facts_of(asked: Asked, started: float) -> dict[str, Any]:
    return {
        "version": VERSION,
        "made_by": f"unseg {__version__}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {available_cores()} processors",
        "seeds": asked.params.seeds,
        "seconds": round(time.monotonic() - started, 1),
    }


def written(path: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write the results, a row in each line."""
    make_folders(path.parent)
    temporary = path.with_suffix(".tmp")
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in result["rows"])
    facts = json.dumps({**result, "rows": []}, ensure_ascii=False, indent=1)
    temporary.write_text(facts.replace('"rows": []', f'"rows": [\n  {rows}\n ]') + "\n", encoding="utf-8")
    rename_durably(temporary, path)
    console.note(f"benchmark: {len(result['rows'])} rows, {console.duration(result['seconds'])} -> {path}")
    return dict(result)
