"""Partial folders: whose they are, and that nothing of anybody else is ever cleared."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unsegcli.dataflow import output_folder as folders
from unsegcli.dataflow.output_folder import OutputFolder
from unsegcli.errors import ArtifactError
from unsegcli.recipe import Recipe

RECIPE: Recipe = {"stage": "sample", "revision": 1, "parameters": {}, "inputs": {}}


def output(folder: Path) -> OutputFolder:
    return OutputFolder(folder / "out", "panels", RECIPE)


def write(folder: Path, then: Callable[[], None] = lambda: None) -> None:
    with output(folder).writing() as writer:
        writer.add("sub/new.txt", b"new")
        then()


def interrupt() -> None:
    raise KeyboardInterrupt


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "unseg.json").read_text())
    return found


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


WRITTEN = ["out/sub/new.txt", "out/unseg.json"]

KILLED = f"""
import sys
from pathlib import Path
from unsegcli.dataflow.output_folder import OutputFolder
with OutputFolder(Path(sys.argv[1]) / "out", "panels", {RECIPE!r}).writing() as writer:
    writer.add("old/a.txt", b"old")
    writer.add("b.txt", b"old")
    print("now", flush=True)
    input()
"""


def killed_run(folder: Path) -> Path:
    """The partial folder that a run leaves behind that is killed while it writes."""
    command = [sys.executable, "-c", KILLED, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "now\n"
        run.kill()
    assert files_of(folder) == ["out.partial/files/b.txt", "out.partial/files/old/a.txt", "out.partial/lock"]
    return folder / "out.partial"


def test_folder_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write(tmp_path)
    assert files_of(tmp_path) == WRITTEN
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_listed_is_not_put_in_place(tmp_path: Path) -> None:
    """Such as the journal of a database, or archives that were unpacked."""
    with output(tmp_path).writing() as writer:
        writer.add("sub/new.txt", b"new")
        for name in ("journal", "sub/journal", "unpacked/a/b"):
            writer.path_of(name).parent.mkdir(parents=True, exist_ok=True)
            writer.path_of(name).touch()
    assert files_of(tmp_path) == WRITTEN
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["sub"]


def test_a_folder_of_ours_is_replaced_by_one_rename(tmp_path: Path) -> None:
    write(tmp_path)
    before = tmp_path / "out"
    before.chmod(0o750)
    number = before.stat().st_ino
    with OutputFolder(before, "panels", {**RECIPE, "revision": 2}).writing() as writer:
        writer.add("other.txt", b"other")
    assert files_of(tmp_path) == ["out/other.txt", "out/unseg.json"]
    assert (before.stat().st_ino != number, before.stat().st_mode & 0o777) == (True, 0o750)


@pytest.mark.parametrize("foreign", ["mine.txt", "sub/mine.txt", "folder", "link"])
def test_what_is_not_ours_stays_beside_new_files(foreign: str, tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "out" / foreign
    {"folder": path.mkdir, "link": lambda: path.symlink_to(tmp_path)}.get(foreign, path.touch)()
    with OutputFolder(tmp_path / "out", "panels", {**RECIPE, "revision": 2}).writing() as writer:
        writer.add("other.txt", b"other")
    assert path.exists()
    assert not (tmp_path / "out" / "sub" / "new.txt").exists()
    assert described(tmp_path)["files"] == ["other.txt"]
    assert described(tmp_path)["complete"]


def test_the_folder_one_works_in_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path / "out")
    write(tmp_path)
    assert Path("unseg.json").exists()


def test_a_folder_that_a_killed_run_moved_aside_comes_back(tmp_path: Path) -> None:
    write(tmp_path)
    partial = killed_run(tmp_path / "work")
    (tmp_path / "out").rename(partial / "before")
    partial.rename(tmp_path / "out.partial")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, interrupt)
    assert files_of(tmp_path) == WRITTEN


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b"\xff\xfe", b'{"format":'])
def test_a_description_that_cannot_be_read_is_not_ours(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "unseg.json").write_bytes(text)
    with pytest.raises(ArtifactError, match="holds files that unseg did not make"):
        output(tmp_path).finished()


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_and_reused(tmp_path: Path) -> None:
    partial = killed_run(tmp_path)
    with output(tmp_path).writing() as writer:
        assert files_of(tmp_path) == ["out.partial/lock"]
        writer.add("sub/new.txt", b"new")
    assert files_of(tmp_path) == WRITTEN
    assert not partial.exists()


def test_links_that_a_killed_run_left_are_not_followed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    (home / "sub" / "mine.txt").write_text("mine")
    partial = killed_run(tmp_path / "work")
    (partial / "files" / "folder").symlink_to(home)
    (partial / "files" / "old" / "folder").symlink_to(home / "sub")
    (partial / "file").symlink_to(home / "sub" / "mine.txt")
    (partial / "nowhere").symlink_to(tmp_path / "nowhere")
    write(tmp_path / "work")
    assert files_of(tmp_path / "work") == WRITTEN
    assert files_of(home) == ["sub/mine.txt"]


def link_to_a_folder(partial: Path) -> Path:
    home = partial.with_name("home")
    (home / "sub").mkdir(parents=True)
    (home / "mine.txt").write_text("mine")
    partial.symlink_to(home)
    return home


def link_to_a_killed_run(partial: Path) -> Path:
    home = killed_run(partial.with_name("elsewhere"))
    partial.symlink_to(home)
    return home


def link_to_an_empty_folder(partial: Path) -> Path:
    home = partial.with_name("home")
    home.mkdir()
    partial.symlink_to(home)
    return home


def link_to_nowhere(partial: Path) -> Path:
    partial.symlink_to(partial.with_name("nowhere"))
    return partial


def plain_file(partial: Path) -> Path:
    partial.write_text("mine")
    return partial


def folder_without_a_lock(partial: Path) -> Path:
    (partial / "sub").mkdir(parents=True)
    (partial / "sub" / "mine.txt").write_text("mine")
    return partial


def folder_with_an_empty_lock(partial: Path) -> Path:
    """As another program may have it; older versions left it so too."""
    (folder_without_a_lock(partial) / "lock").touch()
    return partial


def folder_with_a_lock_of_others(partial: Path) -> Path:
    (folder_without_a_lock(partial) / "lock").write_bytes(folders.MARK + b"more")
    return partial


def folder_with_a_linked_lock(partial: Path) -> Path:
    """What the link leads to bears our mark, but the folder itself does not."""
    marked = killed_run(partial.with_name("elsewhere"))
    (folder_without_a_lock(partial) / "lock").symlink_to(marked / "lock")
    return partial


def folder_with_a_folder_as_lock(partial: Path) -> Path:
    (folder_without_a_lock(partial) / "lock").mkdir()
    return partial


FOREIGN: list[Callable[[Path], Path]] = [
    link_to_a_folder,
    link_to_a_killed_run,
    link_to_an_empty_folder,
    link_to_nowhere,
    plain_file,
    folder_without_a_lock,
    folder_with_an_empty_lock,
    folder_with_a_lock_of_others,
    folder_with_a_linked_lock,
    folder_with_a_folder_as_lock,
]


def contents(folder: Path) -> dict[str, bytes | None]:
    """All that is below a folder: files with their content."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("make", FOREIGN, ids=lambda make: make.__name__)
def test_what_is_not_ours_is_refused_and_stays(make: Callable[[Path], Path], tmp_path: Path) -> None:
    kept = make(tmp_path / "out.partial")
    before = contents(tmp_path)
    with pytest.raises(ArtifactError, match=r"out\.partial: .*; move (it|them) away, or choose another name") as error:
        write(tmp_path)
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before
    assert kept.is_symlink() or kept.exists()


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    write(tmp_path)
    assert files_of(tmp_path) == WRITTEN


def test_a_folder_that_is_made_meanwhile_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any check and our own folder."""
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        folder_without_a_lock(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(ArtifactError, match="move them away"):
        write(tmp_path)
    assert files_of(tmp_path) == ["out.partial/sub/mine.txt"]


def test_a_folder_that_takes_our_place_meanwhile_stays(tmp_path: Path) -> None:
    partial = tmp_path / "out.partial"

    def swap() -> None:
        partial.rename(tmp_path / "away")
        folder_with_an_empty_lock(partial)
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, swap)
    assert files_of(partial) == ["lock", "sub/mine.txt"]


def test_two_writers(tmp_path: Path) -> None:
    with output(tmp_path).writing() as writer:
        with pytest.raises(ArtifactError, match="out: another unseg process is writing it; wait for it"):
            write(tmp_path)
        writer.add("sub/new.txt", b"new")
    assert files_of(tmp_path) == WRITTEN


def test_the_run_before_removes_the_folder_between_opening_and_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    calls: list[int] = []

    def late(lock: int, how: int) -> Any:
        calls.append(how)
        if len(calls) == 1:
            shutil.rmtree(tmp_path / "out.partial")
        return flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write(tmp_path)
    assert len(calls) == 2
    assert files_of(tmp_path) == WRITTEN


def test_a_place_where_nothing_can_be_made_is_said(tmp_path: Path) -> None:
    long = OutputFolder(tmp_path / ("x" * 250), "panels", RECIPE)  # with .partial it is too long for file systems
    with pytest.raises(ArtifactError, match=r"is not writable \(File name too long\)"), long.writing():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mark", [folders.MARK, b"of somebody else"])
def test_a_finished_folder_is_rid_of_what_a_kill_left_beside_it(mark: bytes, tmp_path: Path) -> None:
    write(tmp_path)
    done = output(tmp_path)
    (done.partial / "before").mkdir(parents=True)
    (done.partial / "lock").write_bytes(mark)
    assert output(tmp_path).finished() is not None
    assert done.partial.exists() == (mark != folders.MARK)
