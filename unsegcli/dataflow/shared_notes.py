"""Keep the notes on very many images small: what is equal in them is one object in memory."""

from __future__ import annotations

from typing import Any, TypeVar, cast

Value = TypeVar("Value")
MOST_KEPT = 10_000  # different values to compare with; images of so many sizes have little in common


class SharedNotes:
    """Replaces notes on units by equal ones, whose windows, boxes and grids are those of earlier notes if they can."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def __call__(self, note: dict[str, Any]) -> dict[str, Any]:
        """Return an equal note, which must not be changed."""
        if "rows" not in note:
            return note
        rows = [self._row(row) for row in note["rows"]]
        shared: dict[str, Any] = {"rows": rows}
        return self._one(("note", *map(id, rows)), shared) if all(map(self._is_kept, rows)) else shared

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        same = {
            name: self._one((name, *value), value) if name in ("box", "grid") else value for name, value in row.items()
        }
        if any(isinstance(value, float) for value in row.values()):
            return same  # hardly any other window has this
        return self._one(_key(row), same)

    def _is_kept(self, row: dict[str, Any]) -> bool:
        return self._kept.get(_key(row)) is row

    def _one(self, key: tuple[Any, ...], value: Value) -> Value:
        if len(self._kept) < MOST_KEPT:
            self._kept.setdefault(key, value)
        return cast(Value, self._kept.get(key, value))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in row.items())
