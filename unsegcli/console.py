"""Notes, warnings and progress bars on standard error.

Library code calls these functions and never prints. The command line sets `quiet` and `verbose` once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

    Bar = tqdm[Any]

logger = logging.getLogger("unseg")
logger.addHandler(logging.NullHandler())


def note(text: str) -> None:
    """Print what was decided or found, unless `--quiet` is set."""
    logger.info(text)


def warn(text: str) -> None:
    """Print a warning, even if `--quiet` is set."""
    logger.warning(text)


def detail(text: str) -> None:
    """Print a detail, only if `--verbose` is set."""
    logger.debug(text)


def count_images(count: int) -> str:
    """Format a number of images: "1 image", "3 images"."""
    return f"{count} image" if count == 1 else f"{count} images"


class _StderrHandler(logging.Handler):
    """Write to the current `sys.stderr` without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        text = prefix + record.getMessage()
        bars = sys.modules.get("tqdm")
        if bars is None:
            print(text, file=sys.stderr)
        else:
            bars.tqdm.write(text, file=sys.stderr)


def to_stderr(*, quiet: bool = False, verbose: bool = False) -> None:
    """Send notes to standard error: only warnings if `quiet`, also details if `verbose`."""
    logger.handlers = [_StderrHandler()]
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def errors_only() -> None:
    """Silence notes and warnings, for processes whose work another process already reports."""
    logger.setLevel(logging.ERROR)


class _LogLines:
    """Standard error for a progress bar without a terminal: each update is a separate line."""

    def write(self, text: str) -> None:
        """Write the text of the bar without terminal control characters."""
        if text.strip():
            print(text.strip(), file=sys.stderr)

    def flush(self) -> None:
        """Do nothing: `write` does not buffer."""


class _Count(float):
    """A count on a bar; it is shown with a decimal while a unit is done in part."""

    def __add__(self, more: float) -> _Count:
        return _Count(float(self) + more)

    def __str__(self) -> str:
        return f"{float(self):.1f}".removesuffix(".0")


@contextmanager
def progress(total: int, what: str, unit: str = "image") -> Iterator[Bar]:
    """Show a progress bar with the remaining time; in a log file a line every ten seconds; nothing if quiet."""
    from tqdm import tqdm

    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    with tqdm(
        total=total,
        initial=_Count(),
        desc=what,
        unit=unit,
        file=sys.stderr if on_terminal else _LogLines(),
        disable=not logger.isEnabledFor(logging.INFO) or len(logger.handlers) == 0,
        mininterval=0.1 if on_terminal else 10.0,
        dynamic_ncols=on_terminal,
        delay=0.5 if on_terminal else 10.0,  # short work needs no bar
        leave=not on_terminal,
    ) as bar:
        yield bar
