"""Run `unseg` commands as separate processes, for commands that chain others."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from unsegcli import console
from unsegcli.errors import StepError

LIFELINE = "UNSEG_LIFELINE"  # environment variable: a pipe that a command reads, and that ends with whoever started it
HELD_BACK = frozenset({signal.SIGINT, signal.SIGTERM})  # while a command starts, until it can end in one line
KILLED = "; if memory ran out, use fewer --workers, a smaller --size, or --patch"


def run_command(arguments: Sequence[str], folder: Path | None = None) -> None:
    """Run `unseg` with these arguments in a folder and wait for it; its standard output is discarded.

    If this process is interrupted, so is the command, which may first save its state. If this process is killed, the
    command ends, too.
    """
    command = shlex.join(["unseg", *arguments])
    console.note(f"$ {command}")
    theirs, ours = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "unsegcli", *arguments, *_loudness()],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs],
            env={**os.environ, LIFELINE: str(theirs)},
        )
        code = _code_of(process, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(theirs)
        os.close(ours)
    if code:
        where = f" in {folder}" if folder else ""
        how = f"failed with exit code {code}; see above" if code > 0 else f"was ended by signal {-code}{KILLED}"
        raise StepError(f"`{command}`{where} {how}", code)


def _code_of(process: subprocess.Popen[bytes], signals: Iterable[int]) -> int:
    """Wait for a command and return its exit code; from now on only the signals given are blocked."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        return process.wait()
    except KeyboardInterrupt as stop:  # a terminal sends SIGINT to both processes
        _wait_for(process)
        stop.add_note("the line above says what is kept")
        raise
    except BaseException:
        process.terminate()
        _wait_for(process)
        raise


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    """Wait for an interrupted command to save its state; terminate it on a second interrupt."""
    try:
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _loudness() -> list[str]:
    if not console.logger.isEnabledFor(logging.INFO):
        return ["--quiet"]
    return ["--verbose"] if console.logger.isEnabledFor(logging.DEBUG) else []
