"""One command of ours, run as a process of its own, as the shell would; for commands that chain others."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from unsegcli import console
from unsegcli.errors import UnsegError


def run_command(arguments: Sequence[str], folder: Path | None = None) -> None:
    """Run `unseg` with these arguments in a folder, and wait for its end; what it prints on standard output is dropped.

    If this process is told to stop, the command is, too, and may finish what it has begun.
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
    except KeyboardInterrupt:  # which a terminal sends to both
        _wait_for(process)
        raise
    except BaseException:
        process.terminate()
        _wait_for(process)
        raise
    if code:
        where = f" in {folder}" if folder else ""
        raise UnsegError(f"`{command}`{where} ended with exit code {code}; see above")


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    """Give a command that was told to stop the time that it needs to keep its state; the second time stop it."""
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
