"""Ctrl-C and SIGTERM during a training: wait for the end of the step, so that its state can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stopping:
    """Whether the user wants the training to stop."""

    def __init__(self) -> None:
        self.asked: int | None = None  # number of the signal
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.asked is not None

    def now(self) -> None:
        """Do what the signal would have done at once."""
        if self.asked is not None:
            before = self._before[self.asked]
            before(self.asked, None) if callable(before) else signal.default_int_handler(self.asked, None)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:  # the second time
            self.now()
        self.asked = number


@contextmanager
def asked_to_stop() -> Iterator[Stopping]:
    """Note the first Ctrl-C or SIGTERM instead of stopping at once; the second one stops."""
    stopping = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        stopping._before[number] = signal.signal(number, stopping._take)
    try:
        yield stopping
    finally:
        for taken, before in stopping._before.items():
            signal.signal(taken, before)
