"""What is shown on standard error."""

from __future__ import annotations

import io
import sys

import pytest

from unsegcli import console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_shows_an_image_done_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers stay whole; sums of shares show no rounding."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    console.to_stderr()
    try:
        with console.progress(3, "superpixels") as bar:
            shown = [str(bar)]
            for more in (0.1, 0.2, 0.7, 2):
                bar.update(more)
                shown.append(str(bar))
    finally:
        console.logger.handlers = []
    assert [line.split("|")[2].split()[0] for line in shown] == ["0/3", "0.1/3", "0.3/3", "1/3", "3/3"]
    assert [line.split("%")[0].split()[-1] for line in shown] == ["0", "3", "10", "33", "100"]
