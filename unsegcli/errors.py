"""Errors that a user can cause, by data or options: what is wrong, where, and what to do, in one line.

Deep code raises one of these; the command line alone turns them into `error: ...` and exit code 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

LIKE = 0.7  # likeness from which on a guess is worth making


class UnsegError(Exception):
    """A user's mistake or a user's bad data; never a bug of ours."""

    def __str__(self) -> str:
        """The message with the context that callers added by `add_note`, in one line."""
        text = super().__str__()
        notes = getattr(self, "__notes__", [])
        return f"{text} ({'; '.join(notes)})" if notes else text


class ArtifactError(UnsegError):
    """An HDF5 file that is not what it should be, or that must not be overwritten."""


class DataError(UnsegError):
    """Images, masks or labels that cannot be read or do not fit together."""


CHANGED = "has changed since it was digested: run again, and touch it first if that does not help"


class ChangedError(DataError):
    """A file that no longer holds what was digested."""


class ConfigError(UnsegError):
    """A setting that makes no sense, alone or together with another."""


def closest(word: str, known: Sequence[str]) -> str:
    """A guess at what was meant, as the end of a message; empty if nothing is like it."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=LIKE)
    return f"; did you mean {found[0]}?" if found else ""
