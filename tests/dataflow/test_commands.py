"""Commands that are run as processes of their own: what they say of failure, and how they end with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unsegcli.dataflow import commands
from unsegcli.dataflow.commands import run_command
from unsegcli.errors import UnsegError


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
signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGINT}})  # as unseg does
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


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 15, 20, 30, 60])
def test_ctrl_c_while_python_starts_ends_in_one_line(milliseconds: int, tmp_path: Path) -> None:
    """Python itself would print a traceback; commands that commands start hold it until they are ready."""
    with commands._interrupts_held():
        process = subprocess.Popen(
            [sys.executable, "-m", "unsegcli", "inspect", "no such.h5"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
    time.sleep(milliseconds / 1000)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert (process.returncode, said) == (130, "error: interrupted\n")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_ctrl_c_before_a_command_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(KeyboardInterrupt) as stop:
        commands.run_command(["train"])
    assert not hasattr(stop.value, "__notes__")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
