"""Repeat signals whose exception Python has dropped.

An exception cannot leave a callback of the garbage collector, such as `__del__`. If Ctrl-C or SIGTERM arrives in one,
Python prints a traceback and goes on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

SECONDS_LATER = 0.02  # when the callback is over


@contextlib.contextmanager
def lost_signals_repeated(numbers: Mapping[type[BaseException], int]) -> Iterator[None]:
    """Send a signal again if its exception is dropped; `numbers` has the signal of each exception."""
    before = sys.unraisablehook

    def dropped(about: Any) -> None:
        number = numbers.get(about.exc_type)
        if number is None:
            before(about)
        else:
            again = threading.Timer(SECONDS_LATER, os.kill, [os.getpid(), number])
            again.daemon = True
            again.start()

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = before


def end_at_signals() -> None:
    """From now on, let Ctrl-C and SIGTERM end the process at once: there is nothing left to be kept."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
