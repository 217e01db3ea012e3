"""`unseg iem --refine`: which commands it runs, what each gets, and the whole way on a few pictures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toy import write_pictures
from typer.testing import CliRunner

from unsegcli import store
from unsegcli.cli import app
from unsegcli.dataflow.commands import run_command
from unsegcli.errors import UnsegError
from unsegcli.params import Refine
from unsegcli.stages import refine as stage

Ran = list[list[str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_pictures(tmp_path / "data", count=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """The commands, which are only noted down; the last one's output has no skipped picture."""
    found: Ran = []
    monkeypatch.setattr(stage, "run_command", lambda arguments: found.append(list(arguments)))
    monkeypatch.setattr(stage, "_outcome", stage.Outcome)
    return found


def unseg(*arguments: str, expect: int = 0) -> str:
    """Standard error."""
    result = CliRunner().invoke(app, ["iem", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result.stderr


def test_three_commands_in_their_order(here: Path, ran: Ran) -> None:
    errors = unseg("data", "--refine", "-o", "out/m.h5")
    masks, model = "out/m-refine/masks.h5", "out/m-refine/model.h5"
    training = f"--method segnet --proposals {masks} --steps {Refine.steps} --seed 0 --device auto --size 128"
    assert [" ".join(command) for command in ran] == [
        f"iem data -o {masks} --skip-bad",
        f"train data -o {model} {training} --skip-bad",
        f"cluster {model} data -o out/m.h5 --per pixel --flips --refine --device auto --skip-bad",
    ]
    assert "out/m-refine" in errors


def given(command: list[str]) -> set[str]:
    return {word for word in command if word.startswith("-")}


def test_options_go_to_the_commands_that_know_them(here: Path, ran: Ran) -> None:
    of_iem = {"--square": "0.5", "--diversity": "0.002", "--preset": "cub", "--trace": "ways"}
    of_reading = {"--bands": "1,2", "--percentiles": "2,98"}
    of_all = {"--limit": "2", "--workers": "1", "--mask": "valid"}
    typed = [word for pair in (of_iem | of_reading | of_all).items() for word in pair]
    unseg("data", "--refine", *typed, "--no-smooth", "--force", "--confidence", "--steps", "7", "--seed", "3")
    first, second, _ = ran
    for options, known in ((of_iem, [first]), (of_reading, [first, second]), (of_all, ran)):
        for name, value in options.items():
            holders = [command for command in ran if name in command]
            assert holders == known, name
            assert all(command[command.index(name) + 1] == value for command in holders)
    assert [("--no-smooth" in one, "--force" in one, "--confidence" in one) for one in ran] == [
        *[(True, True, False), (False, True, False), (False, True, True)]
    ]
    assert second[second.index("--steps") + 1 :][:3] == ["7", "--seed", "3"]


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        (["--size", "64"], ["--size", "64"]),
        (["--size", "40x50"], ["--size", "40x50"]),
        (["--scale", "0.5"], ["--scale", "0.5"]),
        (["--patch", "16"], ["--patch", "16"]),
    ],
)
def test_training_works_on_pictures_of_the_same_size(typed: list[str], size: list[str], here: Path, ran: Ran) -> None:
    unseg("data", "--refine", *typed)
    found = [word for word in ran[1] if word in ("--size", "--scale", "--patch")]
    assert found == size[:1]
    assert ran[1][ran[1].index(size[0]) + 1] == size[1]


def test_superpixels_have_their_pixels_already(here: Path, ran: Ran) -> None:
    unseg("sp.h5", "--refine")
    assert "--size" not in given(ran[1])


def test_dry_run_writes_nothing(here: Path, ran: Ran) -> None:
    errors = unseg("data", "--refine", "--dry-run")
    assert [(command[0], "--dry-run" in command) for command in ran] == [("iem", True)]
    assert "would then run: unseg train data" in errors
    assert "would then run: unseg cluster segmentation-refine/model.h5 data" in errors
    assert [path.name for path in here.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "3"], "goes with --refine"),
        (["--seed", "3"], "goes with --refine"),
        (["--refine", "--parts", "3"], "--parts 3"),
        (["--refine", "--crop"], "--crop"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, here: Path, ran: Ran) -> None:
    errors = [line for line in unseg("data", *arguments, expect=1).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not ran


def test_a_command_that_fails_is_named(here: Path) -> None:
    with pytest.raises(UnsegError, match=r"`unseg cluster 'no such.h5'` ended with exit code 1"):
        run_command(["cluster", "no such.h5"])


@pytest.mark.slow
def test_the_whole_way_and_again(here: Path) -> None:
    (here / "data" / "broken.png").write_bytes(b"broken")
    command = [
        sys.executable,
        "-m",
        "unsegcli",
        "iem",
        "data",
        "--refine",
        "--steps",
        "2",
        "--size",
        "24",
        "-o",
        "m.h5",
    ]
    for again in (False, True):
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 1, done.stderr
        assert done.stdout == "m.h5\n"
        assert "1 picture could not be read" in done.stderr.splitlines()[-1]
        assert done.stderr.count("is up to date") == (3 if again else 0)
    with store.open_artifact("m.h5", "segmentation") as artifact:
        assert artifact.attributes["role"] == "mask"
        assert artifact.table("windows/grid").tolist() == [[24, 24]] * 3
        assert len(artifact.table("windows/confidence")) == 3
    done = subprocess.run([*command, "--skip-bad"], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (0, "m.h5\n")


SLOW_COMMAND = """
import sys
from pathlib import Path
import unsegcli.dataflow.commands as commands
from unsegcli.cli._guard import guarded
commands.sys.executable = {script!r}
import typer
app = typer.Typer()
@app.command()
@guarded
def main() -> None:
    commands.run_command(["train"])
app()
"""
SLEEPER = """#!{python}
import signal, sys, time
from pathlib import Path
def stop(number, frame):
    time.sleep(0.6)  # what it takes to keep a state
    Path("kept").write_text(str(number))
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
Path("started").touch()
time.sleep(60)
"""


def wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code", "group"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_a_command_keeps_its_state_before_all_ends(number: int, code: int, group: bool, tmp_path: Path) -> None:
    """Ctrl-C goes to both, as from a terminal; SIGTERM to the first alone, which hands it on."""
    sleeper = tmp_path / "python"
    sleeper.write_text(SLEEPER.format(python=sys.executable))
    sleeper.chmod(0o755)
    program = [sys.executable, "-c", SLOW_COMMAND.format(script=str(sleeper))]
    run = subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for((tmp_path / "started").exists)
    os.killpg(run.pid, number) if group else run.send_signal(number)
    _, errors = run.communicate(timeout=600)
    assert run.returncode == code, errors
    assert (tmp_path / "kept").read_text() == str(int(number))
    assert "run the same command again" in errors
