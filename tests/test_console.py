"""What is shown on standard error."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from unsegcli import console

TERMS = {"loss": "1.234", "conditional": "2.079", "marginal": "1.999", "spatial": "0.500"}


class Terminal(io.StringIO):
    """A terminal of a width that can change."""

    columns = 80

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def lines(self) -> list[str]:
        """All that was ever drawn on a line."""
        return [line for line in self.getvalue().replace(console.CLEAR, "").replace("\r", "\n").split("\n") if line]


class Clock:
    """A clock that moves only when told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(console, "time", found)
    return found


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    found = Terminal()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=found))  # pytest replaces that of sys
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((found.columns, 24)))
    console.to_stderr()
    yield found
    console.logger.handlers = []


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    found = io.StringIO()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=found))  # pytest replaces that of sys
    console.to_stderr()
    yield found
    console.logger.handlers = []


def test_a_bar_shows_an_image_done_in_part(terminal: Terminal) -> None:
    """Whole numbers stay whole; sums of shares show no rounding."""
    with console.progress(3, "superpixels") as bar:
        shown = [bar.bar(60)]
        for more in (0.1, 0.2, 0.7, 2):
            bar.update(more)
            shown.append(bar.bar(60))
    assert [line.split("|")[2].split(" of ")[0] for line in shown] == [" 0", " 0.1", " 0.3", " 1", " 3"]
    assert [line.split("|")[0].split()[-1] for line in shown] == ["0%", "3%", "10%", "33%", "100%"]


@pytest.mark.parametrize(
    ("columns", "beside"),
    [
        (60, " 1,200 of 10,000, 12 min left"),
        (80, " 1,200 of 10,000, 12 min left, loss 1.234"),
        (110, " 1,200 of 10,000, 12 min left, loss 1.234, 12.0 crops per s, conditional 2.079"),
        (200, " 1,200 of 10,000, 12 min left, loss 1.234, 12.0 crops per s, conditional 2.079, marginal 1.999, "),
    ],
)
def test_terms_never_squeeze_the_bar(columns: int, beside: str, terminal: Terminal, clock: Clock) -> None:
    """1200 of 10000 crops in 100 seconds are 12 a second; the other 8800 take 733 seconds."""
    terminal.columns = columns
    with console.progress(10_000, "training", "crop") as bar:
        clock.now = 100
        bar.show_terms(TERMS)
        bar.update(1200)
    (line,) = terminal.lines()
    start, middle, end = line.split("|")
    assert (len(line), start) == (columns - 1, "training  12% ")
    assert len(middle) >= console.LEAST_BAR
    assert middle.count("#") == int(0.12 * len(middle))
    assert end.startswith(beside) if columns == 200 else end == beside


def test_a_bar_follows_the_width_and_makes_room_for_notes(terminal: Terminal, clock: Clock) -> None:
    with console.progress(10, "drawing") as bar:
        bar.update()
        assert terminal.getvalue() == "", "short work needs no bar"
        clock.now = 1
        bar.update()
        terminal.columns, clock.now = 40, 2
        bar.update()
        console.note("said meanwhile")
    shown = terminal.lines()
    assert [len(line) for line in shown] == [79, 39, len("said meanwhile"), 39]
    assert terminal.getvalue().endswith(f"\r{console.CLEAR}"), "nothing of the bar stays"


def test_what_an_earlier_run_did_is_no_speed(terminal: Terminal, clock: Clock) -> None:
    with console.progress(100, "training", "crop", done=60) as bar:
        assert "left" not in bar.bar(110)
        clock.now = 10
        bar.update(20)
        assert bar.bar(110).endswith("| 80 of 100, 10 s left, 2.0 crops per s")
        clock.now = 400
        assert bar.bar(110).endswith("20.0 s per crop")


def test_a_log_gets_a_sentence_each_minute(log: io.StringIO, clock: Clock) -> None:
    with console.progress(10_000, "training", "crop") as bar:
        bar.show_terms(TERMS)
        for second in range(0, 201, 10):
            clock.now = second
            bar.update(100)
    lines = log.getvalue().splitlines()
    assert len(lines) == 3, "after 30, 90 and 150 seconds"
    assert lines[0] == (
        "training: 400 of 10,000 crops (4%), 12 min left, loss 1.234, 13.3 crops per s, conditional 2.079, "
        "marginal 1.999, spatial 0.500"
    )
    assert log.getvalue().isascii()
    assert log.getvalue().replace("\n", "").isprintable()


def test_short_work_leaves_no_trace_in_a_log(log: io.StringIO, clock: Clock) -> None:
    with console.progress(1, "drawing") as bar:
        clock.now = 500
        bar.update()  # the end is said by the command
    assert log.getvalue() == ""


def test_quiet_shows_no_progress(terminal: Terminal, clock: Clock) -> None:
    console.to_stderr(quiet=True)
    with console.progress(10, "drawing") as bar:
        clock.now = 500
        bar.update()
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.7, "1 min 0 s"), (90, "1 min 30 s"), (733, "12 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text
