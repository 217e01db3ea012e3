"""Functions for worker processes: spawned ones must be able to import them, which test modules do not allow."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from unsegcli.errors import DataError
from unsegcli.parallel import ordered_map, report


class Sent:
    """A function that counts in this process how often it is made ready to be sent."""

    times = 0

    def __call__(self, number: int) -> int:
        return number + 1

    def __getstate__(self) -> dict[str, int]:
        Sent.times += 1
        return {}


def square(number: int) -> int:
    return number * number


def slow_at_first(number: int) -> int:
    """Later tasks end earlier."""
    time.sleep(0.05 if number % 4 == 0 else 0)
    return number


def variable(name: str) -> str | None:
    return os.environ.get(name)


def fail_at_three(number: int) -> int:
    if number == 3:
        error = DataError("p3.png: cannot be decoded")
        error.add_note("page 2")
        raise error
    return number


def bug_at_three(number: int) -> int:
    if number == 3:
        raise ZeroDivisionError("three")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def process_and_time(number: int) -> int:
    """Say which process works on a task, after a while."""
    time.sleep(0.05)
    return os.getpid()


def readable_in(number: int, process: int) -> int | str:
    """Fail in all processes but one, like an image that only one machine sees."""
    return number if os.getpid() == process else "cannot be read"


def folder_of(name: str) -> str:
    """Where a relative path leads to."""
    return str(Path(name).absolute())


def halfway(number: int) -> int:
    """Report a half, and end when the parent has had time to see it."""
    report(0.5)
    time.sleep(0.6)
    return number


def tell_and_sleep(folder: str) -> None:
    """Leave a file named by the process, then work for a while."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.5)


def endless(folder: str) -> Iterator[str]:
    while True:
        yield folder


if __name__ == "__main__":  # a parent to be killed: workloads.py FOLDER
    try:
        for _ in ordered_map(tell_and_sleep, endless(sys.argv[1]), 2):
            pass
    except KeyboardInterrupt:
        sys.exit(130)
