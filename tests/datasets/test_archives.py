"""Files in folders and archives, wherever they lie."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from published_trees import unpacked, zipped

from unsegcli.datasets._archives import Files, close_archives
from unsegcli.errors import DataError

CONTENT = {"set/images/a2.jpg": b"two" * 5000, "set/images/a10.jpg": b"ten", "set/labels/a2.png": b""}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_archives()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def stored(files: dict[str, bytes]) -> bytes:
    return zipped(files, zipfile.ZIP_STORED)


MAKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "x.zip": zipped,
    "stored.zip": stored,
    "x.tar": tarred,
    "x.tgz": lambda files: gzip.compress(tarred(files)),
    "x.tar.gz": lambda files: gzip.compress(tarred(files)),
    "x.tar.bz2": lambda files: bz2.compress(tarred(files)),
    "x.tar.xz": lambda files: lzma.compress(tarred(files)),
}


def content_of(files: Files, pattern: str) -> dict[str, bytes]:
    return {one.file_name: bytes(one.read()) for one in files.find(pattern)}


@pytest.mark.parametrize("name", MAKERS)
def test_an_archive_holds_what_a_folder_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(MAKERS[name](CONTENT))
    sources = Files([tmp_path / name], (), tmp_path / "unpacked")
    folder = Files([unpacked(CONTENT, tmp_path / "folder")], (), tmp_path / "unpacked")
    for pattern in ("images/*.jpg", "*.png", "set/*/a2.*"):
        assert content_of(sources, pattern) == content_of(folder, pattern)
    assert list(content_of(sources, "images/*.jpg")) == ["a2.jpg", "a10.jpg"]  # in natural order
    assert (tmp_path / "unpacked").exists() == name.endswith(("gz", "bz2", "xz"))  # others are read where they lie


@pytest.mark.parametrize("outer", [zipped, stored, tarred])
@pytest.mark.parametrize("inner", ["x.zip", "stored.zip", "x.tar", "x.tgz"])
def test_archives_inside_of_archives_are_opened_if_they_are_named(
    inner: str, outer: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    whole = outer({f"All/{inner}": MAKERS[inner](CONTENT), "All/other.zip": zipped({"images/no.jpg": b"no"})})
    (tmp_path / ("all.tar" if outer is tarred else "all.zip")).write_bytes(whole)
    files = Files([*tmp_path.iterdir()], (inner,), tmp_path / "unpacked")
    assert content_of(files, "images/*.jpg") == {"a2.jpg": CONTENT["set/images/a2.jpg"], "a10.jpg": b"ten"}
    assert [one.file_name for one in files.find("other.zip")] == ["other.zip"]


def test_of_an_archive_and_what_was_unpacked_of_it_the_files_are_taken(tmp_path: Path) -> None:
    folder = unpacked({**CONTENT, "x.zip": zipped(CONTENT)}, tmp_path / "in")
    found = Files([folder], ("x.zip",), tmp_path / "unpacked").find("images/*.jpg")
    assert [one.path for one in found] == [folder / "set/images/a2.jpg", folder / "set/images/a10.jpg"]


@pytest.mark.parametrize("name", MAKERS)
def test_an_archive_that_was_cut_off_is_named(name: str, tmp_path: Path) -> None:
    whole = MAKERS[name]({**CONTENT, "set/z": bytes(range(256)) * 200})
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=rf"{name} is not a whole archive of [\d,]+ bytes .*: download it again"):
        Files([tmp_path / name], (), tmp_path / "unpacked")


def test_a_file_that_is_broken_inside_of_an_archive_is_named(tmp_path: Path) -> None:
    content = bytearray(zipped({"a/b.jpg": bytes(range(256)) * 20}))
    content[60] ^= 255
    (tmp_path / "x.zip").write_bytes(content)
    (found,) = Files([tmp_path / "x.zip"], (), tmp_path / "unpacked").find("b.jpg")
    with pytest.raises(DataError, match=r"x\.zip/a/b\.jpg is not whole .*: download it again"):
        found.read()


@pytest.mark.parametrize("name", ["../out.jpg", "/etc/out.jpg", "a/../../out.jpg", "a\\..\\..\\out.jpg"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_path_that_leads_out_of_an_archive_is_refused(
    make: Callable[[dict[str, bytes]], bytes], name: str, tmp_path: Path
) -> None:
    path = tmp_path / ("x.tar" if make is tarred else "x.zip")
    path.write_bytes(make({name: b"x"}))
    with pytest.raises(DataError, match="leads out of the archive"):
        Files([path], (), tmp_path / "unpacked")


def test_links_in_an_archive_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert Files([tmp_path / "x.tar"], (), tmp_path / "unpacked").members == []


def test_what_systems_leave_behind_is_no_file(tmp_path: Path) -> None:
    files = {"a/x.jpg": b"x", "__MACOSX/a/._x.jpg": b"x", "a/.DS_Store": b"x"}
    (tmp_path / "x.zip").write_bytes(zipped(files))
    unpacked(files, tmp_path / "in")
    for source in (tmp_path / "x.zip", tmp_path / "in"):
        assert [one.file_name for one in Files([source], (), tmp_path / "unpacked").members] == ["x.jpg"]


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        Files([tmp_path / "nowhere"], (), tmp_path / "unpacked")
