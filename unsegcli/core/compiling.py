"""Compile functions with numba on their first call, and cache the code for later processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def compiled(function: Callable[..., Any]) -> Any:
    """Compile with the arithmetic of IEEE 754 in the order written: every processor gives the same bits."""
    return _compiled(function, fastmath=False)


def compiled_loosely(function: Callable[..., Any]) -> Any:
    """Compile so that sums may be reordered, which is faster; infinities and NaN must not occur."""
    return _compiled(function, fastmath=True)


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Copy an array unless it is contiguous and writable: for other kinds, functions would be compiled again."""
    return np.require(array, requirements=["C", "W"])


def _compiled(function: Callable[..., Any], **settings: bool) -> Any:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **settings}
    try:
        return numba.njit(**options, cache=True)(function)
    except RuntimeError:  # neither the folder of the file nor the user's cache folder is writable
        return numba.njit(**options)(function)
