"""Interrupt real commands at chosen moments, run them again, and say what is wrong.

Used by the tests and by `tests/benchmarks/bench_faults.py`, so it needs no pytest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tiny_model import write_method
from toy import tiny_sets

from unsegcli import store

GRACE = 10.0  # seconds in which a process and its workers must be gone
LONGEST = 600.0  # seconds that a command may take
UNFINISHED = re.compile(r"\.partial|\.tmp$|^\.unseg-")
GLANCE = 0.0005  # seconds between two looks at the files of a run
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
IMAGES, SMALL = 4, (24, 32)
LEGEND = "".join(f'[[class]]\nname = "quarter {number}"\nfrom = [{number}]\n' for number in range(4))

# The usual command, but with a shard after each image, and with workers for few pixels.
START = """
import sys
try:
    import unsegcli.store.writing as writing
    import unsegcli.dataflow.runner as runner
except KeyboardInterrupt:  # before the usual command begins
    sys.exit(130)
writing.SHARD_SECONDS, runner.PIXELS_WORTH_A_PROCESS = 0.0, 1
{more}
from unsegcli.__main__ import main
main()
"""
# And with no training on 8 mosaics, which takes a minute.
MORE = {
    "demo": """
try:
    import unsegcli.stages.demo as demo
except KeyboardInterrupt:
    sys.exit(130)
demo.COMMANDS = (demo.COMMANDS[0] + " --quick", *demo.COMMANDS[1:])
"""
}
ONE = ("--workers", "1")
TRAINED = ("--method", "mine.py", "--device", "cpu", *ONE)
BACKBONE: tuple[str, ...] = ("--method", "context", "--classes", "3", "--device", "cpu", *ONE)
BACKBONE += tuple(word for pair in tiny_sets("context") for word in ("--set", pair))
# From the name of a command, or a variant of it, to what is typed before -o, and the output.
COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "superpixels": (("superpixels", "data", "--pixels-per-segment", "50", *ONE), "superpixels.h5"),
    "superpixels by workers": (("superpixels", "data", "--pixels-per-segment", "50", "--workers", "2"), "by-two.h5"),
    "superpixels by dask": (("superpixels", "data", "--pixels-per-segment", "50", "--dask", "local:2"), "by-dask.h5"),
    "cluster": (("cluster", "superpixels.h5", "--classes", "4", *ONE), "segmentation.h5"),
    "iem": (("iem", "data", "--iterations", "2", *ONE), "iem.h5"),
    "proposals": (("proposals", "superpixels.h5", *ONE), "proposals.h5"),
    "train": (
        ("train", "superpixels.h5", *TRAINED, "--steps", "4", "--set", "crop=16", "--checkpoint-minutes", "0"),
        "model.h5",
    ),
    "cluster by a model": (("cluster", "model.h5", "superpixels.h5", *TRAINED), "predicted.h5"),
    "evaluate": (("evaluate", "segmentation.h5", "--labels", "labels", "--hungarian", *ONE), "metrics.h5"),
    "compare": (("compare", "segmentation.h5", "predicted.h5", "--labels", "labels", *ONE), "compare.h5"),
    "probe": (("probe", "superpixels.h5", "--labels", "labels", *ONE), "probe.h5"),
    "relabel": (("relabel", "segmentation.h5", "0=sea", "1+2=land"), "named.h5"),
    "visualize": (("visualize", "segmentation.h5", "--labels", "labels", *ONE), "page"),
    "train a backbone": (("train", "superpixels.h5", *BACKBONE, "--steps", "2"), "context.h5"),
    "features": (("features", "superpixels.h5", "--backbone", "context.h5", "--device", "cpu", *ONE), "features.h5"),
    "export": (("export", "segmentation.h5", *ONE), "maps"),
    "propagate": (("propagate", "data", "--first", "labels/p0.png", "--cell", "2"), "propagated.h5"),
    "retrieve": (
        ("retrieve", "superpixels.h5", "--proposals", "proposals.h5", "--labels", "labels", "--halves", "1", *ONE),
        "retrieval.h5",
    ),
    "a shard": (("superpixels", "data", "--pixels-per-segment", "50", "--shard", "1/2", *ONE), "first.h5"),
    "the other shard": (("superpixels", "data", "--pixels-per-segment", "50", "--shard", "2/2", *ONE), "second.h5"),
    "join": (("join", "first.h5", "second.h5"), "joined.h5"),
    "prepare": (("prepare", "folder", "data", "--labels", "labels", *ONE), "prepared"),
    "map": (("map", "data", "--quick", "--classes", "3", "--pixels-per-segment", "50", *ONE), "map"),
    "benchmark": (
        ("benchmark", "--data", "labelled", "--methods", "pixels,mine.py", "--steps", "4", *ONE),
        "benchmark",
    ),
    "demo": (("demo", "--mosaics", "8"), "demo"),
}
# Commands that run others, and what these make in the folder: each has moments of its own.
STEPS = {
    "map": ("superpixels.h5", "segmentation.h5", "page"),
    "benchmark": ("labelled/superpixels.h5", "labelled/mine-seed0-model.h5", "benchmark.json"),
    "demo": ("data/labels/mosaic007.png", "map/superpixels.h5", "map/page", "metrics.h5", "report"),
}
OF_TODAY = ("seconds", "date")  # in JSON
MOMENT_OF_A_RUN = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")  # on pages


def write_inputs(folder: Path) -> None:
    """Write small images of four colours, their labels, and a method file."""
    height, width = SMALL
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    labels = (2 * rows[:, None] + columns).astype(np.uint8)
    colours = np.array([[220, 30, 30], [30, 200, 40], [40, 60, 210], [230, 220, 40]])
    for name in ("data", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(IMAGES):
        noise = np.random.default_rng(number).normal(0, 4, (height, width, 3))
        pixels = np.clip(colours[labels] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "data" / f"p{number}.png")
        Image.fromarray(labels).save(folder / "labels" / f"p{number}.png")
    write_method(folder / "mine.py")
    shutil.copytree(folder / "data", folder / "labelled" / "images")
    shutil.copytree(folder / "labels", folder / "labelled" / "labels")
    (folder / "labelled" / "classes.toml").write_text(LEGEND)


def begin(folder: Path, name: str, output: str) -> subprocess.Popen[str]:
    """Start a command in a session of its own; its output is `output`."""
    return subprocess.Popen(
        [sys.executable, "-c", START.format(more=MORE.get(name, "")), *COMMANDS[name][0], "-o", output],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def content_of(path: Path) -> str:
    """Digest of the datasets of a file, after a check of every value, or of all files of a folder."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        parts = [f"{file.relative_to(path)} {content_of(file)}" for file in files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    if path.suffix != ".h5":
        return hashlib.sha256(_without_times(path)).hexdigest()
    with store.open_artifact(path) as artifact:
        problems = store.problems_of(artifact)
        if problems:
            raise ValueError(f"{path}: {problems}")
        return artifact.fingerprint


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".json":
        return MOMENT_OF_A_RUN.sub(b"", content) if path.name == "page.js" else content
    found = {key: value for key, value in json.loads(content).items() if key not in OF_TODAY}
    return json.dumps(found).encode()


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing disturbed: what it made, and how long it took."""

    content: str
    seconds: float


def undisturbed(folder: Path, name: str) -> Undisturbed:
    """Run a command to its end under its usual name, which later commands read; remove what none reads."""
    output = COMMANDS[name][1]
    started = time.monotonic()
    run = begin(folder, name, output)
    said = run.communicate(timeout=LONGEST)[1]
    if run.returncode:
        raise RuntimeError(f"{name} ends with {run.returncode}: {said}")
    made = Undisturbed(content_of(folder / output), time.monotonic() - started)
    if name in STEPS:
        remove(folder / output)
    return made


def disturbed_output(name: str) -> str:
    """The output of disturbed runs; pages hold the paths of what they show, so that of several steps keeps its name."""
    usual = COMMANDS[name][1]
    return usual if name in STEPS else f"disturbed{Path(usual).suffix}"


class Moment(NamedTuple):
    """When a signal is sent: a time after something is there."""

    what: str  # of PLACES
    after: float  # seconds
    of: str = ""  # which file or folder in the output; the output itself if empty


PLACES = ("start", "partial", "half", "assembled", "output")
LATEST = 0.004  # seconds after the appearance of a file at which a signal is sent


def moments(seconds: float, count: int, seed: int, steps: Sequence[str] = ("",)) -> Iterator[Moment]:
    """Half of them at random over the run, half just after a step of the writing."""
    chance = random.Random(seed)
    for number in range(count):
        if number % 2:
            place = PLACES[1 + number // 2 % (len(PLACES) - 1)]
            yield Moment(place, chance.uniform(0, LATEST), steps[number // 2 % len(steps)])
        else:
            yield Moment("start", chance.uniform(0.3, 1.02) * seconds)


def moments_of(name: str, wanted: Undisturbed, count: int, seed: int) -> list[Moment]:
    """Moments of a command, by how long it takes and what it makes."""
    return list(moments(wanted.seconds, count, seed, STEPS.get(name, ("",))))


def _is_there(output: Path, what: str) -> bool:
    partial = output.with_name(output.name + ".partial")
    if what == "half":
        with contextlib.suppress(FileNotFoundError):  # the folder was removed at this moment
            return any(partial.glob("shard-*.h5")) or any((partial / "files").glob("*")) or output.exists()
        return output.exists()
    if what == "assembled":
        return (partial / "assembled.tmp").exists() or output.exists()
    return {"start": True, "partial": partial.exists() or output.exists(), "output": output.exists()}[what]


def _wait_for(moment: Moment, output: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LONGEST
    while not _is_there(output, moment.what) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(GLANCE)
    if moment.what != "start":
        time.sleep(moment.after)
        return
    until = time.monotonic() + moment.after
    while run.poll() is None and time.monotonic() < until:
        time.sleep(GLANCE)


def ends(group: int) -> bool:
    """Whether every process of a group is gone soon."""
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


class Ending(NamedTuple):
    """How an interrupted run and its rerun went."""

    faults: list[str]
    hit: bool  # False if the run was over before the signal


def disturbed(folder: Path, name: str, number: signal.Signals, moment: Moment, wanted: Undisturbed) -> Ending:
    """Send one signal, look at what is there, run again, and compare; the output stays."""
    output = folder / disturbed_output(name)
    run = begin(folder, name, output.name)
    _wait_for(moment, output / moment.of, run)
    _send(run, number)
    said = run.communicate(timeout=LONGEST)[1]
    faults = list(_wrong_at_the_end(run, number, said))
    if name in STEPS:
        faults += _half_files_in(output)
    elif output.exists():
        faults += _wrong_in(output, wanted, "after the signal")
    again = begin(folder, name, output.name)
    more = again.communicate(timeout=LONGEST)[1]
    if again.returncode:
        return Ending([*faults, f"the rerun ends with {again.returncode}: {more.strip()}"], run.returncode != 0)
    faults += _wrong_in(output, wanted, "after the rerun")
    faults += [f"{path.name} is left" for path in folder.rglob("*") if UNFINISHED.search(path.name)]
    return Ending(faults, run.returncode != 0)


def _send(run: subprocess.Popen[str], number: signal.Signals) -> None:
    """Ctrl-C goes to all processes of a terminal; the others to the first alone."""
    if run.poll() is not None:
        return
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)


def _wrong_at_the_end(run: subprocess.Popen[str], number: signal.Signals, said: str) -> Iterator[str]:
    silent = {-number} if "error: " not in said else set()  # before the command begins, and after its end
    allowed = {0, CODES[number], *silent}
    if run.returncode not in allowed:
        yield f"exit code {run.returncode}: {said.strip()}"
    if "Traceback" in said:
        yield f"a traceback: {said.strip()}"
    if not ends(run.pid):
        yield f"a process is alive {GRACE:.0f} s after the end"
        os.killpg(run.pid, signal.SIGKILL)


def _wrong_in(output: Path, wanted: Undisturbed, when: str) -> Iterator[str]:
    try:
        if content_of(output) != wanted.content:
            yield f"other content {when}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the file is not whole
        yield f"no whole output {when}: {type(error).__name__}: {error}"


def _half_files_in(folder: Path) -> Iterator[str]:
    """What is wrong in the files that finished steps have made."""
    for path in folder.rglob("*"):
        if path.suffix not in (".h5", ".json", ".png") or any(".partial" in part for part in path.parts):
            continue
        try:
            content_of(path)
            if path.suffix == ".png":
                Image.open(path).load()
        except Exception as error:  # noqa: BLE001 - whatever it is, the file is not whole
            yield f"{path.name} is not whole: {type(error).__name__}: {error}"


def faults_of(
    folder: Path, name: str, wanted: Undisturbed, plan: Sequence[Moment], first: int = 0
) -> tuple[list[str], int]:
    """Interrupt a command at each moment, by one signal after the other.

    Returns:
        what is wrong, and how many runs were not over before the signal.
    """
    found, hits = [], 0
    for number, moment in enumerate(plan):
        sent = SIGNALS[(first + number) % len(SIGNALS)]
        faults, hit = disturbed(folder, name, sent, moment, wanted)
        when = f"{moment.after:.4f} s after {moment.what} {moment.of}".rstrip()
        found += [f"{sent.name} {when}: {fault}" for fault in faults]
        hits += hit
        remove(folder / disturbed_output(name))
    return found, hits


def remove(output: Path) -> None:
    """Remove an output, and what is unfinished of it."""
    for path in output.parent.glob(f"{output.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
