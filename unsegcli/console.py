"""Notes, warnings and progress bars on standard error.

Library code calls these functions and never prints. The command line sets `quiet` and `verbose` once.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

FIRST_BAR, BAR_EVERY = 0.5, 0.1  # seconds; short work needs no bar
FIRST_LINE, LINE_EVERY = 30.0, 60.0  # seconds, in a log file
SOON, ENOUGH = 5.0, 0.05  # seconds and share of the work after which the time left can be estimated
LEAST_BAR = 10  # columns of a bar beside which further facts are shown
USUAL_WIDTH = 80  # columns of a terminal that does not tell

# What a terminal obeys or does not show: control characters, other ends of lines, and changes of direction.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

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


def printable(text: str) -> str:
    """Write control characters as escapes, such as \\x1b, since a file may have any name, and a terminal would obey."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_lines(text: str) -> str:
    """Do the same with text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def count_images(count: int) -> str:
    """Format a number of images: "1 image", "3 images"."""
    return counted(count, "image")


def counted(count: int, what: str) -> str:
    """Format a number of things: "1 block", "3 blocks"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def duration(seconds: float, decimals: int = 0) -> str:
    """Format a duration: "8 s", "1 min 30 s", "12 min", "2 h 5 min"."""
    if round(seconds) < 60:
        return f"{seconds:.{decimals}f} s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes} min" + (f" {round(seconds) % 60} s" if minutes < 10 else "")
    return f"{minutes // 60:,} h {minutes % 60} min"


def width_of(stream: Any) -> int | None:
    """Return the present number of columns of a terminal; None for a file or a pipe."""
    if stream is None or not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH
    except (OSError, ValueError):
        return USUAL_WIDTH


class _StderrHandler(logging.Handler):
    """Write to the current `sys.stderr` without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        shown = printable_lines if record.levelno < logging.INFO else printable  # a detail may be a traceback
        line = ("warning: " if record.levelno >= logging.WARNING else "") + shown(record.getMessage())
        bars = sys.modules.get("tqdm")
        if bars is None:
            print(line, file=sys.stderr)
        else:
            bars.tqdm.write(line, file=sys.stderr)


def to_stderr(*, quiet: bool = False, verbose: bool = False) -> None:
    """Send notes to standard error: only warnings if `quiet`, also details if `verbose`."""
    logger.handlers = [_StderrHandler()]
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def errors_only() -> None:
    """Silence notes and warnings, for processes whose work another process already reports."""
    logger.setLevel(logging.ERROR)


class Progress:
    """How far long work is, and how fast; this class shows nothing, others show it as a bar or as lines."""

    def __init__(self, total: float, what: str, unit: str, done: float) -> None:
        self.total, self.what, self.unit = total, what, unit
        self.n = self._before = done  # units done; before this run
        self.terms: dict[str, str] = {}
        self.started = time.monotonic()

    def update(self, more: float = 1) -> None:
        """Count further units, or a share of one."""
        self.n += more
        self.changed()

    def show_terms(self, terms: Mapping[str, str]) -> None:
        """Show values beside the count, such as terms of a loss, the most important first."""
        self.terms = dict(terms)

    def changed(self) -> None:
        """React to a new count."""

    def sentence(self) -> str:
        """Format the state as one line of a log."""
        return f"{self.what}: {self._count()} {self._units()} ({self._percent()}){''.join(self._further())}"

    def beside(self, width: int) -> tuple[str, str]:
        """Return the texts before and after a bar; the narrower the line, the less is said."""
        start, end = f"{self.what} {self._percent():>4} ", f" {self._count()}"
        for fact in self._further():
            if len(start) + LEAST_BAR + len(end) + len(fact) > width:
                break
            end += fact
        return start, end

    def _further(self) -> Iterator[str]:
        """Yield what stands after the count, the most important first."""
        terms = [f", {name} {value}" for name, value in self.terms.items()]
        seconds, done = time.monotonic() - self.started, self.n - self._before
        speed = done / max(1e-9, seconds)
        if speed and (seconds >= SOON or done >= ENOUGH * self.total):
            yield f", {duration((self.total - self.n) / speed)} left"
        yield from terms[:1]
        if speed:
            yield f", {1 / speed:.1f} s per {self.unit}" if speed < 1 else f", {speed:,.1f} {self.unit}s per s"
        yield from terms[1:]

    def _percent(self) -> str:
        return f"{int(100 * min(1.0, self.n / self.total) + 1e-9) if self.total else 100}%"

    def _count(self) -> str:
        return f"{self.n:,.1f}".removesuffix(".0") + f" of {self.total:,}"

    def _units(self) -> str:
        return self.unit if self.total == 1 else f"{self.unit}s"


class _Lines(Progress):
    """Progress in a log file: a line each minute, without control characters."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._due = self.started + FIRST_LINE

    def changed(self) -> None:
        now = time.monotonic()
        if now >= self._due and self.n < self.total:
            self._due = now + LINE_EVERY
            note(self.sentence())


class _Bar(Progress):
    """Progress on a terminal: a bar that tqdm draws, with our own texts beside it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._drawn = _tqdm_of(self)

    def changed(self) -> None:
        self._drawn.update(self.n - self._drawn.n)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        self._drawn.close()


def _tqdm_of(work: Progress) -> tqdm[Any]:
    from tqdm import tqdm

    class Beside(tqdm):  # type: ignore[type-arg]
        """A bar with the texts of `work` beside it, as far as they fit."""

        @property
        def format_dict(self) -> Any:
            found = super().format_dict
            start, end = work.beside((found["ncols"] or USUAL_WIDTH) - len("||"))
            return {**found, "start": start, "end": end}

    return Beside(
        total=work.total,
        initial=work.n,
        bar_format="{start}|{bar}|{end}",
        file=sys.stderr,
        delay=FIRST_BAR,
        mininterval=BAR_EVERY,
        dynamic_ncols=True,
        leave=False,
    )


@contextmanager
def progress(total: float, what: str, unit: str = "image", done: float = 0) -> Iterator[Progress]:
    """Show a bar on a terminal, and a line each minute in a log file; nothing if quiet, or if the work is short.

    Args:
        total: number of units.
        what: name of the work.
        unit: name of one unit.
        done: units done by an earlier run, which do not count for the speed.
    """
    kind = Progress if not _is_heard() else _Lines if width_of(sys.stderr) is None else _Bar
    shown = kind(total, what, unit, done)
    try:
        yield shown
    finally:
        if isinstance(shown, _Bar):
            shown.close()


def _is_heard() -> bool:
    return logger.isEnabledFor(logging.INFO) and len(logger.handlers) > 0
