"""Commands that are run as processes of their own: what they say of failure, and how they end with us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_model import write_method

from unsegcli.dataflow.commands import run_command
from unsegcli.errors import StepError, UnsegError


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsegError, match=r"`unseg cluster 'no such.h5'` in .* failed with exit code 1"):
        run_command(["cluster", "no such.h5"], tmp_path)


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
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])  # as `unseg` does
Path("started").touch()
time.sleep(60)
"""


def wait_for(there: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
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


def test_ctrl_c_while_a_command_starts_ends_it_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    usual = subprocess.Popen

    def begun(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = usual(*arguments, **options)
        process.send_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(subprocess, "Popen", begun)
    with pytest.raises(StepError) as error:
        run_command(["--version"])
    said = capfd.readouterr().err
    assert (error.value.code, said.splitlines()[-1], "Traceback" in said) == (130, "error: interrupted", False)


STARTER = """
import sys
from unsegcli.dataflow.commands import run_command
run_command(sys.argv[1:])
"""


def test_a_command_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    """Nobody can hand on SIGKILL; a command that went on would hold the lock of its output."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    write_method(tmp_path / "mine.py")
    typed = ["train", "a.png", "--method", "mine.py", "--set", "crop=16", "--steps", "10000000", "--device", "cpu"]
    run = subprocess.Popen(
        [sys.executable, "-c", STARTER, *typed], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for((tmp_path / "model.h5.partial" / "lock").exists)
    run.kill()
    run.wait()
    try:
        wait_for(lambda: gone(run.pid), 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 15, 20, 30, 60])
def test_ctrl_c_while_python_starts_ends_in_one_line(milliseconds: int, tmp_path: Path) -> None:
    """Python itself would print a traceback; a command that another one starts holds it back until it is ready."""
    started: list[subprocess.Popen[str]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self)
                time.sleep(milliseconds / 1000)
                self.send_signal(signal.SIGINT)
            return super().wait(timeout)

    said = tmp_path / "said"
    with said.open("w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda *rest, **how: Interrupted(*rest, **how, stderr=stream))
        with pytest.raises(UnsegError, match="failed with exit code 130"):
            run_command(["inspect", "no such.h5"], tmp_path)
    assert said.read_text() == "error: interrupted\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
