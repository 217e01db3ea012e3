"""Commands as processes of their own, which signals interrupt; the rerun ends as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interrupting import (
    Moment,
    Undisturbed,
    disturbed,
    faults_of,
    moments_of,
    remove,
    undisturbed,
    write_inputs,
)

TIMES = 5  # signals for each command; the benchmark sends more
SEED = 20
NEEDED = ("superpixels", "cluster")  # what later commands read
OFTEN = (
    "superpixels",
    "superpixels by workers",
    "iem",
    "cluster",
    "train",
    "evaluate",
    "visualize",
    "propagate",
    "prepare",
    "map",
    "join",
    "proposals",
    "probe",
    "relabel",
    "export",
    "retrieve",
    "cluster by a model",
    "compare",
    "features",
    "a shard",
)
BEFORE = {  # what makes the inputs of a command
    "join": ("a shard", "the other shard"),
    "retrieve": ("proposals",),
    "cluster by a model": ("train",),
    "compare": ("train", "cluster by a model"),
    "features": ("train a backbone",),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small images and their labels."""
    folder = tmp_path_factory.mktemp("interrupted") / "work"
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def made(inputs: Path) -> dict[str, Undisturbed]:
    """What the first commands make, which others read."""
    return {name: undisturbed(inputs, name) for name in NEEDED}


def test_an_interrupted_command_ends_like_an_undisturbed_one(inputs: Path) -> None:
    wanted = undisturbed(inputs, "superpixels")
    found = []
    for number, moment in ((signal.SIGKILL, Moment("half", 0.0)), (signal.SIGINT, Moment("partial", 0.0))):
        faults, hit = disturbed(inputs, "superpixels", number, moment, wanted)
        remove(inputs / "disturbed.h5")
        found += faults + ([] if hit else [f"{number.name} came too late"])
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("name", OFTEN)
def test_a_command_interrupted_at_any_moment_ends_like_an_undisturbed_one(
    name: str, made: dict[str, Undisturbed], inputs: Path
) -> None:
    for needed in BEFORE.get(name, ()):
        undisturbed(inputs, needed)
    wanted = made.get(name) or undisturbed(inputs, name)
    plan = moments_of(name, wanted, TIMES, SEED)
    faults, hits = faults_of(inputs, name, wanted, plan, first=OFTEN.index(name))
    assert faults == []
    assert hits > 0, "no signal came before the end"


LOSING = """
import os, signal, sys, time
import typer
from unsegcli.cli._guard import guarded

class Loser:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(0)

app = typer.Typer()
@app.command()
@guarded
def main(number: int) -> None:
    Loser()
    time.sleep(60)
app()
"""


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_that_python_drops_comes_again(number: signal.Signals, code: int, word: str) -> None:
    """Nothing can be raised from the callbacks of the garbage collector."""
    run = subprocess.run(
        [sys.executable, "-c", LOSING, str(int(number))], capture_output=True, text=True, check=False, timeout=30
    )
    assert (run.returncode, run.stderr.count("\n")) == (code, 1), run.stderr
    assert run.stderr.startswith(f"error: {word}")


LATE = """
import atexit, os, sys, time
def late():
    os.kill(os.getpid(), int(sys.argv.pop()))
    time.sleep(60)
atexit.register(late)
number = sys.argv.pop()
sys.argv += ["--version"]
from unsegcli.__main__ import main
try:
    main()
finally:
    sys.argv.append(number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_end_says_nothing(number: signal.Signals) -> None:
    """Python prints a traceback for what interrupts its own end."""
    run = subprocess.run(
        [sys.executable, "-c", LATE, str(int(number))], capture_output=True, text=True, check=False, timeout=30
    )
    assert (run.returncode, run.stderr) == (-number, "")
