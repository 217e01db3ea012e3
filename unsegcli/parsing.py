"""Read JSON and TOML that somebody else may have written: whatever is wrong with it is a `ValueError`."""

from __future__ import annotations

import json
import math
import tomllib
from typing import Any

DEEPEST = 100  # levels; deeper values would exhaust the stack of whatever walks through them
TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


def json_of(text: str | bytes) -> Any:
    """Return the value of a JSON text; NaN and numbers that are too large to be finite are refused."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    return _not_too_deep(value)


def toml_of(text: str) -> dict[str, Any]:
    """Return the table of a TOML text."""
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    return dict(_not_too_deep(table))


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _not_too_deep(value: Any) -> Any:
    """Return a value unless it is nested too deeply; without recursion, which is what is to be prevented."""
    level = [value]
    for _ in range(DEEPEST + 2):  # below the deepest there are single values, and below them nothing
        if not level:
            return value
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for many in inner for one in many]
    raise ValueError(TOO_DEEP)
