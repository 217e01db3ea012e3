"""`demo`: its mosaics are whole or not there, whatever happens while they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import HOW, Ended, shim
from numpy.typing import NDArray
from PIL import Image

from unsegcli.params import Demo
from unsegcli.stages import demo

TINY = Demo(mosaics=1, side=32)
MANY = 1000  # more operations than a run has


@pytest.fixture(autouse=True)
def _plain_textures(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(value: int) -> Callable[[], NDArray[np.uint8]]:
        return lambda: np.full((64, 64, 3), value, np.uint8)

    monkeypatch.setattr(demo, "TEXTURES", {name: plain(40 * number) for number, name in enumerate(demo.TEXTURES)})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", HOW)
def test_mosaics_are_whole_or_not_there(how: str, tmp_path: Path) -> None:
    """The operation with each number fails, or is the last one before the end of the process or of the power."""
    write: Any = demo._write_mosaics
    write(tmp_path / "whole" / "data", TINY)
    wanted = contents(tmp_path / "whole")
    for at in range(1, MANY):
        place = tmp_path / str(at)
        place.mkdir()
        with shim(how, at) as state:
            try:
                write(place / "data", TINY)
            except (Ended, OSError):
                assert state.count >= at
        if how in ("lost", "kept"):
            state.cut_power(place)
        for image in (place / "data").rglob("*.png"):
            Image.open(image).load()
        write(place / "data", TINY)
        assert contents(place) == wanted, f"after operation {at}"
        if state.count < at:
            assert at > len(wanted)
            return
    pytest.fail("operations do not end")
