"""Calls of compiled code, which a signal must not interrupt.

A handler of a signal may run as soon as compiled code calls Python, as it does while it is compiled and when it returns
an array. If the handler raises there, the exception is lost or becomes a `SystemError`. So it is called after the call.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from numba.core.registry import CPUDispatcher

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Uninterrupted(CPUDispatcher):  # type: ignore[misc]
    """A compiled function that Ctrl-C and SIGTERM stop after the call, not during it."""

    def __call__(self, *given: Any) -> Any:
        """Call the function, and afterwards the handler of a signal that has arrived."""
        if threading.current_thread() is not threading.main_thread():  # no handler runs in other threads
            return super().__call__(*given)
        return _handled_afterwards(super().__call__, *given)


def _handled_afterwards(function: Callable[..., Any], *given: Any) -> Any:
    arrived: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):  # else the signal is ignored, or ends the process without Python
                before[number] = handler
                signal.signal(number, lambda number, _: arrived.append(number))
        return function(*given)
    finally:
        for restored, handler in before.items():
            signal.signal(restored, handler)
        if arrived:
            before[arrived[0]](arrived[0], None)
