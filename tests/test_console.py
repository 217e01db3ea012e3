"""What is shown on standard error."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from typed import HARMLESS, HOSTILE

from unsegcli import console

TERMS = {"loss": "1.234", "conditional": "2.079", "marginal": "1.999", "spatial": "0.500"}


class Terminal(io.StringIO):
    """A terminal of a width that can change."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def lines(self) -> list[str]:
        """All that was ever drawn on a line."""
        return [line for line in self.getvalue().replace("\r", "\n").split("\n") if line.strip()]


def wide(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Give the terminal a width."""
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((columns, 24)))


class Clock:
    """A clock that moves only when told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(console, "time", found)
    monkeypatch.setattr("tqdm.std.time", found.monotonic)
    return found


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    found = Terminal()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=found, modules=sys.modules))
    wide(monkeypatch, 80)
    console.to_stderr()
    yield found
    console.logger.handlers = []


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    found = io.StringIO()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=found, modules=sys.modules))
    console.to_stderr()
    yield found
    console.logger.handlers = []


@pytest.mark.parametrize("drawing", [False, True])
def test_no_name_can_tell_the_terminal_what_to_do(
    drawing: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in plain lines nor beside a bar; a detail may have several lines."""
    if not drawing:
        monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    else:
        import tqdm  # noqa: F401
    monkeypatch.setattr(console.logger, "handlers", [])
    console.to_stderr(verbose=True)
    console.note(f"read {HOSTILE}")
    console.warn(HOSTILE)
    console.detail("a\n\x1bb")
    assert capsys.readouterr().err == f"read {HARMLESS}\nwarning: {HARMLESS}\na\n\\x1bb\n"
    console.errors_only()


def test_a_bar_shows_an_image_done_in_part() -> None:
    """Whole numbers stay whole; sums of shares show no rounding."""
    with console.progress(3, "superpixels") as work:
        shown = [work.beside(60)]
        for more in (0.1, 0.2, 0.7, 2):
            work.update(more)
            shown.append(work.beside(60))
    assert [end.split(" of ")[0] for _, end in shown] == [" 0", " 0.1", " 0.3", " 1", " 3"]
    assert [start.split()[-1] for start, _ in shown] == ["0%", "3%", "10%", "33%", "100%"]


@pytest.mark.parametrize(
    ("columns", "beside"),
    [
        (60, " 1,200 of 10,000, 12 min left"),
        (80, " 1,200 of 10,000, 12 min left, loss 1.234"),
        (110, " 1,200 of 10,000, 12 min left, loss 1.234, 12.0 crops per s, conditional 2.079"),
        (200, " 1,200 of 10,000, 12 min left, loss 1.234, 12.0 crops per s, conditional 2.079, marginal 1.999, "),
    ],
)
def test_terms_never_squeeze_the_bar(
    columns: int, beside: str, terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1200 of 10000 crops in 100 seconds are 12 a second; the other 8800 take 733 seconds."""
    wide(monkeypatch, columns)
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


def test_a_bar_follows_the_width_and_makes_room_for_notes(
    terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with console.progress(10, "drawing") as bar:
        bar.update()
        assert terminal.getvalue() == "", "short work needs no bar"
        clock.now = 1
        bar.update()
        wide(monkeypatch, 40)
        clock.now = 2
        bar.update()
        console.note("said meanwhile")
    shown = terminal.lines()
    assert [len(line.rstrip()) for line in shown] == [79, 39, len("said meanwhile"), 39]
    assert terminal.getvalue().endswith("\r"), "nothing of the bar stays"


def test_no_time_is_estimated_before_something_is_known(clock: Clock) -> None:
    with console.progress(100, "drawing") as work:
        clock.now = 1
        work.update(4)
        assert work.beside(110)[1] == " 4 of 100, 4.0 images per s"
        work.update()
        assert work.beside(110)[1] == " 5 of 100, 19 s left, 5.0 images per s"
        clock.now = 50
    with console.progress(100, "drawing") as work:
        clock.now = 56
        work.update()
        assert "left" in work.beside(110)[1]


def test_what_an_earlier_run_did_is_no_speed(clock: Clock) -> None:
    with console.progress(100, "training", "crop", done=60) as work:
        assert "left" not in work.beside(110)[1]
        clock.now = 10
        work.update(20)
        assert work.beside(110)[1] == " 80 of 100, 10 s left, 2.0 crops per s"
        clock.now = 400
        assert work.beside(110)[1].endswith("20.0 s per crop")


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
