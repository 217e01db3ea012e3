"""What the program says while it works: notes, warnings and progress bars, all on standard error.

Deep code calls these; it never prints. `quiet` and `verbose` are set once, by the command line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

logger = logging.getLogger("unseg")
logger.addHandler(logging.NullHandler())


def note(text: str) -> None:
    """Say what was decided or found, unless `--quiet`."""
    logger.info(text)


def warn(text: str) -> None:
    """Say what the user should look at; shown even with `--quiet`."""
    logger.warning(text)


def detail(text: str) -> None:
    """Say what only `--verbose` shows."""
    logger.debug(text)


def count_images(count: int) -> str:
    """A number of images in words: "1 image", "3 images"."""
    return f"{count} image" if count == 1 else f"{count} images"


class _StderrHandler(logging.Handler):
    """Write to the standard error of this moment, without tearing a progress bar apart."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        text = prefix + record.getMessage()
        bars = sys.modules.get("tqdm")
        if bars is None:
            print(text, file=sys.stderr)
        else:
            bars.tqdm.write(text, file=sys.stderr)


def to_stderr(*, quiet: bool = False, verbose: bool = False) -> None:
    """Show notes on standard error from now on: warnings only if `quiet`, details too if `verbose`."""
    logger.handlers = [_StderrHandler()]
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def errors_only() -> None:
    """Say nothing from now on: for processes that do what another one already talks about."""
    logger.setLevel(logging.ERROR)


class _LogLines:
    """Standard error for a bar that is not on a terminal: each update on a line of its own."""

    def write(self, text: str) -> None:
        """Write what the bar shows, without the moves of a terminal."""
        if text.strip():
            print(text.strip(), file=sys.stderr)

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def progress(total: int, what: str, unit: str = "image") -> Iterator[tqdm[Any]]:
    """A bar with an estimate of the time left; in a log file a line every ten seconds; none if quiet."""
    from tqdm import tqdm

    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    with tqdm(
        total=total,
        desc=what,
        unit=unit,
        file=sys.stderr if on_terminal else _LogLines(),
        disable=not logger.isEnabledFor(logging.INFO) or len(logger.handlers) == 0,
        mininterval=0.1 if on_terminal else 10.0,
        dynamic_ncols=on_terminal,
        delay=0.5 if on_terminal else 10.0,  # what is done at once needs no bar
        leave=not on_terminal,
    ) as bar:
        yield bar
