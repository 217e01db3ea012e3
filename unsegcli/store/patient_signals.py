"""Ctrl-C and SIGTERM while HDF5 writes: they wait until it is not calling Python.

HDF5 writes by methods of ours. An exception that a signal raises in one of them is a failed write to HDF5, which then
can neither go on nor close its file, and may crash.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SECONDS_LATER = 0.01  # when the call may be over


@contextmanager
def signals_wait_for(called: Collection[CodeType]) -> Iterator[None]:
    """Call the handler of a signal that arrives inside certain functions after them, at the latest at the end."""
    if threading.current_thread() is not threading.main_thread():  # no handler runs in other threads
        yield
        return
    # Another signal is ignored, or ends the process without Python.
    before: dict[int, Any] = {number: found for number in SIGNALS if callable(found := signal.getsignal(number))}
    waiting: set[int] = set()
    timers: list[threading.Timer] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if _is_inside(frame, called):
            waiting.add(number)
            timers.append(_sent_later(number))
        else:
            waiting.discard(number)
            before[number](number, frame)

    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        try:
            _end(timers)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        for number in waiting:
            before[number](number, None)


def _end(timers: Sequence[threading.Timer]) -> None:
    """Cancel timers; afterwards, those that were too late have sent their signals."""
    for timer in timers:
        timer.cancel()
    for timer in timers:
        timer.join()


def _is_inside(frame: FrameType | None, called: Collection[CodeType]) -> bool:
    while frame is not None:
        if frame.f_code in called:
            return True
        frame = frame.f_back
    return False


def _sent_later(number: int) -> threading.Timer:
    timer = threading.Timer(SECONDS_LATER, os.kill, [os.getpid(), number])
    timer.daemon = True
    timer.start()
    return timer
