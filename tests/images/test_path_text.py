"""Paths as text give what pathlib gives."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsegcli.images.path_text import (
    files_below,
    folder_of,
    in_folder,
    is_link,
    name_of,
    start_of,
    state_of,
    suffix_of,
    without_suffix,
)

NAMES = st.text("ab.é ", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))


@given(st.lists(NAMES, min_size=1, max_size=3), st.booleans())
def test_parts_are_those_of_pathlib(parts: list[str], absolute: bool) -> None:
    path = PurePosixPath("/" if absolute else "", *parts)
    text = str(path)
    assert name_of(text) == path.name
    assert suffix_of(text) == path.suffix
    assert without_suffix(text) == str(path.with_suffix(""))
    assert PurePosixPath(folder_of(text)) == path.parent
    assert folder_of(text) + name_of(text) == text


@pytest.mark.parametrize("folder", [".", "/", "a", "./a/", "../a"])
def test_all_paths_in_a_folder_start_alike(folder: str) -> None:
    assert start_of(Path(folder)) + "b.png" == str(Path(folder) / "b.png")
    assert in_folder("/top", start_of(Path(folder))) == str(Path("/top") / folder / "x")[:-1]


def test_files_below_are_those_that_pathlib_finds(tmp_path: Path) -> None:
    for name in ("a.png", "d/e/b.png", ".hidden", ".d/c.png", "d/.e/f.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "d/again").symlink_to(tmp_path / "d")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "itself.png").symlink_to("itself.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert sorted(files_below(str(tmp_path))) == ["a.png", "d/e/b.png", "link.png"]
    assert [is_link(str(tmp_path / name)) for name in ("a.png", "link.png", "nowhere")] == [False, True, False]
    assert state_of(str(tmp_path / "link.png")).st_ino == (tmp_path / "a.png").stat().st_ino
    assert list(files_below(str(tmp_path / "nowhere"))) == []
