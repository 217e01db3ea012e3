"""What surrounds every command: errors as one line, Ctrl-C, SIGTERM and broken pipes, and the printed path."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

from unsegcli import console
from unsegcli.errors import UnsegError

if TYPE_CHECKING:
    from types import FrameType

    from unsegcli.dataflow.runner import Outcome

Parameters = ParamSpec("Parameters")

FAILED, INTERRUPTED, TERMINATED = 1, 130, 143
# What a full disk, a missing permission or a name that is too long raise: the user's to mend, not a bug.
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
    """SIGTERM, as an exception, so that finished work is kept as it is on Ctrl-C."""


def guarded(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Turn what a user can cause into one line on standard error and an exit code; a bug keeps its traceback."""

    @functools.wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        with _sigterm_as_exception():
            _allow_any_file_name()
            try:
                command(*args, **kwargs)
                if sys.stdout is not None:  # it may be closed
                    sys.stdout.flush()
            except UnsegError as error:
                _fail(str(error), FAILED)
            except BrokenPipeError:
                _drop_standard_output()
            except OSError as error:
                if error.errno not in USER_ERRNOS:
                    raise
                _fail(
                    f"{error.filename or 'the output'}: {error.strerror}; mend that and run again, work done is kept",
                    FAILED,
                )
            except MemoryError:
                _fail("not enough memory: use fewer --workers, a smaller --size, or --patch", FAILED)
            except KeyboardInterrupt:
                _fail("interrupted; finished images are kept, run the same command again to go on", INTERRUPTED)
            except _Terminated:
                _fail("terminated; finished images are kept, run the same command again to go on", TERMINATED)

    return run


def finish(outcomes: Sequence[Outcome], *, skip_bad: bool, dry_run: bool = False) -> None:
    """Print the paths of what was written, and fail if images were left out without leave."""
    for outcome in () if dry_run else outcomes:
        print(outcome.path, flush=True)
    if outcomes and outcomes[-1].skipped and not skip_bad:
        raise UnsegError(
            f"{console.count_images(outcomes[-1].skipped)} could not be read: left out (listed above); "
            "mend or remove what is broken, or accept that with --skip-bad"
        )


def _fail(text: str, code: int) -> None:
    print(f"error: {text}", file=sys.stderr)
    raise typer.Exit(code)


def _drop_standard_output() -> None:
    """Nobody reads any more: keep the interpreter from complaining about it at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _allow_any_file_name() -> None:
    """A path need not be UTF-8, and must come out of a pipe as it went in."""
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
