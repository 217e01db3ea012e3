"""Compile functions with numba on their first call, and cache the code for later processes.

numba is imported when the first compiled function is defined.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def compiled(function: Callable[..., Any]) -> Any:
    """Compile with the arithmetic of IEEE 754 in the order written: every processor gives the same bits."""
    return _compiled(function, False)


def compiled_loosely(function: Callable[..., Any]) -> Any:
    """Compile so that sums may be reordered, which is faster; infinities and NaN must not occur."""
    return _compiled(function, True)


def in_cache(module: str, function: str) -> bool | None:
    """Return whether a function has been compiled by an earlier process; None where that cannot be known."""
    found = importlib.util.find_spec(module)
    if "NUMBA_CACHE_DIR" in os.environ or found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent
    if not os.access(folder, os.W_OK):
        return None
    return any((folder / "__pycache__").glob(f"{Path(found.origin).stem}.{function}-*.nbi"))


@contextmanager
def one_process() -> Iterator[None]:
    """Hold a lock between the processes of a user: while one compiles, others wait, to find the result in the cache."""
    path = Path(tempfile.gettempdir()) / f"unseg-compiles-{os.getuid()}"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:  # compiled by each process then
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Copy an array unless it is contiguous and writable: for other kinds, functions would be compiled again."""
    return np.require(array, requirements=["C", "W"])


def _compiled(function: Callable[..., Any], fastmath: bool) -> Any:
    import numba

    from unsegcli.core.uninterrupted import Uninterrupted

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        made = numba.njit(**options, cache=True)(function)
    except RuntimeError:  # neither the folder of the file nor the user's cache folder is writable
        made = numba.njit(**options)(function)
    made.__class__ = Uninterrupted
    return made
