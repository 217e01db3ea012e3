"""Run `unseg` commands as separate processes, for commands that chain others."""

from __future__ import annotations

import logging
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    process: subprocess.Popen[bytes] | None = None
    try:
        with _interrupts_held():
            process = subprocess.Popen(
                [sys.executable, "-m", "unsegcli", *arguments, *_loudness()],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        code = process.wait()
    except KeyboardInterrupt as stop:  # a terminal sends SIGINT to both processes
        if process is not None:
            _wait_for(process)
            stop.add_note("the line above says what is kept")
        raise
    except BaseException:
        if process is not None:
            process.terminate()
            _wait_for(process)
        raise
    if code:
        where = f" in {folder}" if folder else ""
        how = f"failed with exit code {code}; see above" if code > 0 else f"was ended by signal {-code}{KILLED}"
        raise StepError(f"`{command}`{where} {how}", code)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start a command in which Ctrl-C waits until it is ready to end in one line; `unsegcli.__main__` lets it in."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
