"""docs/guide/python.md: its blocks run in their order, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeImages
from PIL import Image

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "python.md"


def test_what_the_python_page_shows_runs(
    make_images: MakeImages, one_thread: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_images(count=2, height=64, width=64)
    monkeypatch.chdir(folder.parent)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, object] = {"__name__": "__main__"}
    for code in blocks:
        exec(compile(code, str(PAGE), "exec"), names)
    assert {path.name for path in folder.parent.glob("*.h5")} == {"sp.h5", "five.h5", "model.h5"}
    assert "p0.png True" in capsys.readouterr().out, "functions on arrays give what the commands give"
    assert np.asarray(names["clusters"]).shape == np.asarray(Image.open(folder / "p0.png")).shape[:2]


def test_links_of_the_python_page_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    assert targets
    assert all((PAGE.parent / target).exists() for target in targets)
