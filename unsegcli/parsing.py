"""Read TOML that somebody else may have written: whatever is wrong with it is a `ValueError`."""

from __future__ import annotations

import re
import tomllib
from typing import Any

DEEPEST = 40  # levels; deeper tables would exhaust the stack of whatever walks through them
MOST_OPEN = 200  # brackets, also in strings and comments; the parser would call itself until the stack is exhausted
TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


def toml_of(text: str) -> dict[str, Any]:
    """Return the table of a TOML text."""
    if _most_open(text) > MOST_OPEN:
        raise ValueError(TOO_DEEP)
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    _check_depth(table)
    return table


def _most_open(text: str) -> int:
    """Return how many brackets are open at the same time, at most."""
    now = most = 0
    for bracket in re.findall(r"[][{}]", text):
        now = now + 1 if bracket in "[{" else max(0, now - 1)
        most = max(most, now)
    return most


def _check_depth(table: dict[str, Any]) -> None:
    """Refuse a table that is nested too deeply; without recursion, which is what is to be prevented."""
    level: list[Any] = [table]
    for _ in range(DEEPEST + 1):  # below the deepest there are single values
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for many in inner for one in many]
    if level:
        raise ValueError(TOO_DEEP)
