"""The end of one of several processes that torchrun started."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any


def end_at_once_under_torchrun(code: Any) -> None:
    """End this process, without what Python does at its end, if it is one of several; else return.

    Threads of torch that exchange tensors may still run then, and Python aborts the process if they need it.
    """
    if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or there is none
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
