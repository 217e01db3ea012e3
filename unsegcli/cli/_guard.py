"""Error handling around every command: one-line errors, Ctrl-C, SIGTERM and broken pipes."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

from unsegcli import console
from unsegcli.cli._help import MISUSED
from unsegcli.cli._lost_signals import lost_signals_repeated
from unsegcli.errors import ConfigError, StepError, UnsegError

if TYPE_CHECKING:
    from types import FrameType


Parameters = ParamSpec("Parameters")

FAILED, INTERRUPTED, TERMINATED = 1, 130, 143
WAIT_POLICY = "OMP_WAIT_POLICY"  # how threads of OpenMP wait; awake ones use up to ten times the time on a busy machine
# Raised by a full disk, a missing permission or a name that is too long: for the user to fix, not bugs.
USER_ERRNOS = {
    errno.ENOSPC,
    errno.EFBIG,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
}


class _Terminated(BaseException):
    """SIGTERM as an exception, so that finished work is kept as on Ctrl-C."""


SIGNAL_OF: dict[type[BaseException], int] = {KeyboardInterrupt: signal.SIGINT, _Terminated: signal.SIGTERM}


def guarded(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Print errors caused by the user as one line and set the exit code; bugs keep their traceback."""

    @functools.wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        with _sigterm_as_exception(), lost_signals_repeated(SIGNAL_OF):
            _allow_any_file_name()
            os.environ.setdefault(WAIT_POLICY, "PASSIVE")  # before torch is loaded
            try:
                command(*args, **kwargs)
                if sys.stdout is not None:  # None if it is closed
                    sys.stdout.flush()
            except StepError as error:
                if error.code > 0:
                    raise typer.Exit(error.code) from error
                _fail(str(error), FAILED)
            except ConfigError as error:  # found by a stage, but as wrong as what typer finds
                _fail(str(error), MISUSED)
            except UnsegError as error:
                _fail(str(error), FAILED)
            except BrokenPipeError:
                _drop_standard_output()
            except OSError as error:
                if error.errno not in USER_ERRNOS:
                    raise
                notes = "".join(f"; {note}" for note in getattr(error, "__notes__", []))
                _fail(f"{error.filename or 'the output'}: {error.strerror}; fix this and run again{notes}", FAILED)
            except MemoryError:
                _fail("not enough memory: use fewer --workers, a smaller --size, or --patch", FAILED)
            except KeyboardInterrupt as stop:
                _fail(f"interrupted; {_what_is_kept(stop)}", INTERRUPTED)
            except _Terminated as stop:
                _fail(f"terminated; {_what_is_kept(stop)}", TERMINATED)

    return run


def refuse_skipped(skipped: int, *, skip_bad: bool) -> None:
    """Fail if images were skipped without `--skip-bad`."""
    if skipped and not skip_bad:
        verb = "was" if skipped == 1 else "were"
        raise UnsegError(
            f"{console.count_images(skipped)} could not be read and {verb} skipped (listed above); "
            "fix or remove them, or accept this with --skip-bad"
        )


def _what_is_kept(stop: BaseException) -> str:
    """Say what an interrupted command has kept, as noted where it was stopped, and how to go on."""
    notes = getattr(stop, "__notes__", [])
    if not notes:
        return "unfinished work is not kept; run the same command again to start it again"
    return f"{'; '.join(notes)}; run the same command again to continue"


def _fail(text: str, code: int) -> None:
    print(console.printable(f"error: {text}"), file=sys.stderr)
    raise typer.Exit(code)


def _drop_standard_output() -> None:
    """Redirect standard output to /dev/null, so that Python does not report the broken pipe at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _allow_any_file_name() -> None:
    """Pass paths that are not valid UTF-8 through pipes unchanged."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")


@contextlib.contextmanager
def _sigterm_as_exception() -> Any:
    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
