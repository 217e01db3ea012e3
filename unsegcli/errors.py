"""Errors caused by the user's data or options; the message says in one line what is wrong, where, and what to do.

The command line prints them as `error: ...` and exits with code 2 for a `ConfigError`, else 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MIN_SIMILARITY = 0.7  # below this similarity no name is suggested


class UnsegError(Exception):
    """Base class of errors caused by options or data; never raised for a bug."""

    def __str__(self) -> str:
        """Return the message with the notes added by `add_note`, in one line."""
        text = super().__str__()
        notes = getattr(self, "__notes__", [])
        return f"{text} ({'; '.join(notes)})" if notes else text


class ArtifactError(UnsegError):
    """An HDF5 file that is invalid, of the wrong kind, or must not be overwritten."""


class DataError(UnsegError):
    """Files of the user (images, masks, labels, weights, a method) that cannot be read or used, or do not match."""


CHANGED = "has changed since it was first looked at: run again; if that does not help, `touch` it first"
CHANGED_BEFORE = CHANGED.replace("it was first looked at", "its digest was computed")  # in files made earlier
VANISHED = "no such file"


class ChangedError(DataError):
    """A file whose content has changed since its digest was computed."""


class ConfigError(UnsegError):
    """A setting that is invalid, alone or in combination with another setting or with the input."""


class StepError(UnsegError):
    """A command that failed as a step of another; it has said why itself, unless a signal ended it (a code below 0)."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def as_unseg_writes(path: object, what: str) -> Iterator[None]:
    """Convert whatever goes wrong with values from a file into an `ArtifactError`: a stranger may have written them.

    Args:
        path: the file.
        what: which of its values are used here.
    """
    try:
        yield
    except UnsegError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        said = next(iter(str(error).splitlines()), "")[:100]
        raise ArtifactError(
            f"{path}: its {what} are not as unseg writes them ({type(error).__name__}: {said}); make it again"
        ) from error


def closest(word: str, known: Sequence[str]) -> str:
    """Suggest the most similar known name, as the end of a message; empty if none is similar."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=MIN_SIMILARITY)
    return f"; did you mean {found[0]}?" if found else ""


def not_among(what: str, word: str, known: Sequence[str]) -> str:
    """Say that a word is not among the known ones, which are listed, and suggest one of them."""
    return f"{what} {word}: is not one of {', '.join(known)}{closest(word, known)}"
