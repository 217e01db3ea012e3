"""Run `unseg` commands as separate processes, for commands that chain others."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from unsegcli import console
from unsegcli.errors import StepError

KILLED = "; if memory ran out, use fewer --workers, a smaller --size, or --patch"


def run_command(arguments: Sequence[str], folder: Path | None = None) -> None:
    """Run `unseg` with these arguments in a folder and wait for it; its standard output is discarded.

    If this process is interrupted, so is the command, which may first save its state.
    """
    command = shlex.join(["unseg", *arguments])
    console.note(f"$ {command}")
    process = subprocess.Popen(
        [sys.executable, "-m", "unsegcli", *arguments, *_loudness()],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        code = process.wait()
    except KeyboardInterrupt as stop:  # a terminal sends SIGINT to both processes
        _wait_for(process)
        stop.add_note("the line above says what is kept")
        raise
    except BaseException:
        process.terminate()
        _wait_for(process)
        raise
    if code:
        where = f" in {folder}" if folder else ""
        how = f"failed with exit code {code}; see above" if code > 0 else f"was ended by signal {-code}{KILLED}"
        raise StepError(f"`{command}`{where} {how}", code)


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
