"""Delay Ctrl-C and SIGTERM until the end of a training step, so that a checkpoint can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequest:
    """True once Ctrl-C or SIGTERM was received."""

    def __init__(self, *, patient: bool = False) -> None:
        """Create a request; `patient` ignores further signals until the end of the step."""
        self.signal: int | None = None  # number of the signal received
        self._patient = patient
        self._before: dict[int, Any] = {}  # handlers replaced here, by signal

    def __bool__(self) -> bool:
        return self.signal is not None

    def stop_now(self) -> None:
        """Call the original handler of the signal."""
        if self.signal is not None:
            before = self._before.get(self.signal)
            before(self.signal, None) if callable(before) else signal.default_int_handler(self.signal, None)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and not self._patient:  # the second signal
            self.stop_now()
        self.signal = number


@contextmanager
def delayed_interrupts(*, patient: bool = False) -> Iterator[StopRequest]:
    """Record the first Ctrl-C or SIGTERM instead of stopping; a second one stops immediately, unless `patient`."""
    request = StopRequest(patient=patient)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        request._before[number] = signal.signal(number, request._receive)
    try:
        yield request
    finally:
        for replaced, before in request._before.items():
            signal.signal(replaced, before)
