"""A command that another one started ends with it, however that ended."""

from __future__ import annotations

import os
import signal
import threading

from unsegcli.dataflow.commands import HELD_BACK, LIFELINE


def end_with_starter() -> None:
    """If another `unseg` command started this one, be terminated when that is gone; take signals from now on."""
    lifeline = os.environ.pop(LIFELINE, "")
    if lifeline:
        os.set_inheritable(int(lifeline), False)
        threading.Thread(target=_terminate_after, args=(int(lifeline),), daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def _terminate_after(lifeline: int) -> None:
    """Wait until nobody can write to a pipe any more."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
