"""Which files are found in folders, by patterns and in lists, under which names, in which order."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from unsegcli.errors import DataError
from unsegcli.images.find import ImageFile, digest_files, find_images, natural_order


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def names(*inputs: str | Path) -> list[str]:
    return [file.name for file in find_images(inputs)]


def test_folder_is_searched_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "a10.png", "a2.PNG", "A1.jpg", "b/2/x.tif", "b/10/x.npy", "b/c.webp", "notes.md", "d.mat")
    touch(tmp_path, ".hidden.png", ".cache/a.png", "b/.git/a.png")
    assert names(tmp_path) == ["A1.jpg", "a2.PNG", "a10.png", "b/2/x.tif", "b/10/x.npy", "b/c.webp"]
    assert all(file.path.is_file() for file in find_images([tmp_path]))


def test_natural_order_of_odd_names() -> None:
    odd = ["10", "a", "9", "a٣", "1a", "a1b10", "a1b9", "01", "1"]
    assert sorted(odd, key=natural_order) == ["01", "1", "1a", "9", "10", "a", "a1b9", "a1b10", "a٣"]


def test_images_subfolder_is_the_images(tmp_path: Path) -> None:
    touch(tmp_path, "images/b/1.png", "images/labels/2.png", "labels/1.png", "top.png")
    assert names(tmp_path) == ["b/1.png", "labels/2.png"]


def test_folders_that_unseg_wrote_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in `unseg map . -o map`, where the page would be taken for images when it is run again."""
    touch(tmp_path, "a.png", "map/page/unseg.json", "map/page/shown/a.png", "map/page/sheet.png")
    with caplog.at_level("DEBUG", "unseg"):
        assert names(tmp_path) == ["a.png"]
    assert "page: skipped: unseg wrote this folder" in caplog.text
    assert names(tmp_path / "map/page") == ["sheet.png", "shown/a.png"]


def test_one_file_of_any_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.dat")
    assert find_images([tmp_path / "x/a.dat"]) == [ImageFile("a.dat", str(tmp_path / "x/a.dat"))]


def test_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "d/a10.png", "d/a9.png", "d/a1.txt", "d/e/f/b.png", "d/.h/b.png")
    assert names(f"{tmp_path}/d/a*") == ["a9.png", "a10.png"]
    assert names(f"{tmp_path}/d/**/*.png") == ["a9.png", "a10.png", "e/f/b.png"]
    assert names(f"{tmp_path}/d/**") == ["a9.png", "a10.png", "e/f/b.png"]
    assert names(f"{tmp_path}/*/a?.png") == ["d/a9.png"]
    assert names(f"{tmp_path}/d/a[0-9].png") == ["a9.png"]


def test_a_name_with_brackets_is_a_file_first(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].png", "a1.png")
    assert names(f"{tmp_path}/a[1].png") == ["a[1].png"]


def test_pattern_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "b.png")
    monkeypatch.chdir(tmp_path)
    assert names("*.png") == ["a.png", "b.png"]


def test_list_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "lists/x/b.png", "a.png", "lists/z.png")
    (tmp_path / "lists/all.txt").write_text(
        f"\ufeff# chosen\n\n  x/b.png  \na.png\n{tmp_path}/lists/z.png\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert names("lists/all.txt") == ["x/b.png", "a.png", "z.png"]


def test_list_with_a_wrong_line_names_it(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("# one\nnothere.png\n")
    with pytest.raises(DataError, match=r"all\.txt: line 2: nothere\.png: no such file"):
        find_images([tmp_path / "all.txt"])
    (tmp_path / "none.txt").write_text("# nothing\n\n")
    with pytest.raises(DataError, match="list has no paths"):
        find_images([tmp_path / "none.txt"])
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DataError, match="UTF-8"):
        find_images([tmp_path / "binary.txt"])


def test_same_names_get_longer_ones_and_same_files_are_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png", "b/x.png", "b/y.png", "p/c/x.png", "q/c/x.png")
    assert names(tmp_path / "a", tmp_path / "b") == ["a/x.png", "b/x.png", "y.png"]
    assert names(tmp_path / "p/c", tmp_path / "q/c") == ["p/c/x.png", "q/c/x.png"]
    assert names(tmp_path / "a", tmp_path / "a/x.png", f"{tmp_path}/b/../a/*.png") == ["x.png"]
    assert names(tmp_path / "a/x.png", tmp_path) == ["x.png", "b/x.png", "b/y.png", "p/c/x.png", "q/c/x.png"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.png", "elsewhere/b.png")
    (tmp_path / "d/again").symlink_to(tmp_path / "d")
    (tmp_path / "d/other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "d/dangling.png").symlink_to(tmp_path / "nowhere.png")
    assert names(tmp_path / "d") == ["a.png", "dangling.png", "other/b.png"]
    assert names(f"{tmp_path}/d/**/*.png") == ["a.png"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("empty", "looked for .png"),
        ("https://a.org/b.tif", "only files are read: download it first"),
        ("missing", "no such file or folder"),
        ("*.tif", "no image matches this pattern: looked for .png"),
        ("only/*", "but 1 other files or folders do"),
        ("a**b/x", "not a valid pattern|no image matches"),
    ],
)
def test_nothing_found_says_what_was_looked_for(tmp_path: Path, given: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "only/labels/a.png")
    with pytest.raises(DataError, match=said):
        find_images([f"{tmp_path}/{given}"])


def test_digests_are_of_the_bytes_and_known_ones_are_not_read_again(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    files = find_images([tmp_path])
    first = digest_files(files, {})
    assert first[0].digest == hashlib.sha256(b"a.png").hexdigest()
    assert (first[0].bytes, first[0].modified) == (5, (tmp_path / "a.png").stat().st_mtime_ns)
    known = {(str(file.path), file.bytes, file.modified): f"known {file.name}" for file in first}
    assert [file.digest for file in digest_files(files, known)] == ["known a.png", "known b.png"]
    (tmp_path / "b.png").write_text("changed!")
    again = digest_files(files, known)
    assert [file.digest for file in again] == ["known a.png", hashlib.sha256(b"changed!").hexdigest()]


def test_digests_are_known_by_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "images/a.png")
    state = (tmp_path / "images/a.png").stat()
    known = {(str(tmp_path / "images/a.png"), state.st_size, state.st_mtime_ns): "known"}
    monkeypatch.chdir(tmp_path)
    for given in ("images", "./images", ".", tmp_path / "images/a.png"):
        assert [file.digest for file in digest_files(find_images([given]), known)] == ["known"]
        assert [file.digest for file in digest_files(find_images([given]), known, until=state.st_ctime_ns)] != ["known"]


def test_no_relative_path_leads_to_a_file_in_a_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    found = digest_files([ImageFile("a.png", "a.png"), ImageFile("b.png", str(tmp_path / "a.png"))], {})
    assert [file.digest for file in found] == ["unreadable", hashlib.sha256(b"a.png").hexdigest()]


def test_digest_of_what_cannot_be_read(tmp_path: Path) -> None:
    (missing,) = digest_files([ImageFile("a.png", str(tmp_path / "a.png"))], {})
    assert (missing.digest, missing.bytes) == ("unreadable", 0)
