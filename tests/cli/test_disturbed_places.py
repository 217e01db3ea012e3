"""Commands without room, on read-only mounts, with images that vanish, beside a second run, and with strange names."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interrupting import COMMANDS, IMAGES, LONGEST, begin, content_of, ends, remove, write_inputs
from typed import one_line, unseg
from typer.testing import CliRunner

from unsegcli import store
from unsegcli.cli import app
from unsegcli.dataflow import dataset
from unsegcli.dataflow.dataset import Dataset
from unsegcli.store.durable import naming_output

NEEDED = ("superpixels", "cluster")  # what later commands read
WRITING = ("superpixels", "iem", "cluster", "proposals", "train", "evaluate", "relabel", "visualize", "export")
READING_IMAGES = {
    "superpixels": COMMANDS["superpixels"][0],
    "iem": COMMANDS["iem"][0],
    "cluster": ("cluster", "data", "--features", "bands", "--classes", "3", "--workers", "1"),
}
SIZES = 5  # of small disks for each command
PAGE = 4096  # bytes; a tmpfs has room for whole ones
BOTH = ("superpixels", "visualize")
ROUNDS = 5


def typed(name: str, output: str) -> tuple[str, ...]:
    return (*COMMANDS[name][0], "-o", output)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The content that each command makes; the outputs are in the folder `made["folder"]`."""
    folder = tmp_path_factory.mktemp("disturbed") / "work"
    write_inputs(folder)
    with contextlib.chdir(folder):
        for name in dict.fromkeys((*NEEDED, *WRITING)):
            unseg(*typed(name, COMMANDS[name][1]))
        found = {name: content_of(folder / COMMANDS[name][1]) for name in WRITING}
    return {**found, "folder": str(folder)}


@pytest.fixture
def here(made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a copy of the images and of all that was made of them."""
    shutil.copytree(made["folder"], tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


Mount = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount something on a folder until the test ends; skip the test where that is not permitted."""
    mounted: list[Path] = []

    def mount_on(place: Path, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        if "remount" not in " ".join(arguments):
            mounted.append(place)

    if shutil.which("mount") is None:
        pytest.skip("there is no command `mount`")
    yield mount_on
    for place in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_a_read_only_mount_is_told_in_one_line(name: str, made: dict[str, str], here: Path, mount: Mount) -> None:
    place = here / "fixed"
    place.mkdir()
    mount(place, "-t", "tmpfs", "-o", "ro", "tmpfs")
    output = f"fixed/{Path(COMMANDS[name][1]).name}"
    said = one_line(unseg(*typed(name, output), expect=1))
    assert "fixed" in said
    assert "is not writable; choose another folder with -o" in said
    mount(place, "-o", "remount,rw")
    unseg(*typed(name, output))
    assert content_of(here / output) == made[name]


def test_images_on_a_read_only_mount_are_read(made: dict[str, str], here: Path, mount: Mount) -> None:
    mount(here / "data", "--bind", "-o", "ro", str(here / "data"))
    remove(here / "superpixels.h5")
    unseg(*typed("superpixels", "superpixels.h5"))
    assert content_of(here / "superpixels.h5") == made["superpixels"]


def bytes_on_disk(output: Path) -> int:
    """Bytes of an output in whole pages, a page for each folder among them."""
    files = [output, *output.rglob("*")] if output.is_dir() else [output]
    return sum(max(PAGE, -(-file.stat().st_size // PAGE) * PAGE) for file in files)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_a_full_disk_keeps_no_half_output(name: str, made: dict[str, str], here: Path, mount: Mount) -> None:
    """The disk has room for a part of what is written; then it grows."""
    most = 2 * bytes_on_disk(here / COMMANDS[name][1])  # shards and the assembled file
    place = here / "small"
    place.mkdir()
    mount(place, "-t", "tmpfs", "-o", f"size={PAGE}", "tmpfs")
    output = place / COMMANDS[name][1]
    failed = 0
    for number in range(SIZES):
        size = PAGE + most * number // SIZES // PAGE * PAGE
        mount(place, "-o", f"remount,size={size}")
        failed += not fits(name, output, made[name])
        mount(place, "-o", "remount,size=16m")
        unseg(*typed(name, f"small/{output.name}"))
        assert content_of(output) == made[name], f"after {size} bytes"
        assert [path.name for path in place.iterdir()] == [output.name], f"after {size} bytes"
        remove(output)
    assert failed >= 1


def fits(name: str, output: Path, wanted: str) -> bool:
    """Run a command on a small disk: it is whole, or there is no output and one line says why."""
    if output.exists():
        raise AssertionError(f"{output} is there already")
    result = CliRunner().invoke(app, list(typed(name, f"small/{output.name}")))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == 0:
        assert content_of(output) == wanted
        return True
    assert result.exit_code == 1, result.output
    assert "small" in one_line(result)
    assert not output.exists()
    return False


@pytest.mark.parametrize(("code", "named"), [(errno.ENOSPC, "out.h5"), (errno.EIO, None)])
def test_an_error_of_a_full_disk_names_the_output(code: int, named: str | None) -> None:
    """Writing to an open file names none; other errors may be of another file."""
    with pytest.raises(OSError, match=os.strerror(code)) as error, naming_output(Path("out.h5")):
        raise OSError(code, os.strerror(code))
    assert error.value.filename == named


@pytest.mark.parametrize("before", ["digest_files", "opened"])
@pytest.mark.parametrize("name", READING_IMAGES)
def test_an_image_that_vanishes_after_it_was_listed_is_told(
    name: str, before: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its digest is computed, or before its header is read; then it is there again."""
    words = READING_IMAGES[name]
    gone, away = here / "data" / "p1.png", here / "p1.png"
    place: Any = Dataset if before == "opened" else dataset
    called = getattr(place, before)

    def after_it_is_gone(*arguments: Any) -> Any:
        if gone.exists():
            gone.rename(away)
        return called(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place, before, after_it_is_gone)
        said = unseg(*words, "-o", "new.h5", expect=1)
    assert not gone.exists()
    assert "p1.png" in said.stderr
    one_line(said)
    away.rename(gone)
    unseg(*words, "-o", "new.h5")
    unseg(*words, "-o", "whole.h5")
    assert content_of(here / "new.h5") == content_of(here / "whole.h5")
    assert list(here.glob("*.partial")) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_two_runs_of_one_output(name: str, made: dict[str, str], here: Path) -> None:
    """One of them writes it; the other one finds it finished, or is told that it is being written."""
    output = f"both{Path(COMMANDS[name][1]).suffix}"
    for _ in range(ROUNDS):
        runs = [begin(here, name, output) for _ in range(2)]
        said = [run.communicate(timeout=LONGEST)[1] for run in runs]
        codes = [run.returncode for run in runs]
        assert set(codes) <= {0, 1}, said
        assert 0 in codes, said
        for code, text in zip(codes, said, strict=True):
            assert code == 0 or "another unseg process is writing it" in text
            assert "Traceback" not in text
        assert content_of(here / output) == made[name]
        assert not list(here.glob("*.partial"))
        assert all(ends(run.pid) for run in runs)
        remove(here / output)


STRANGE = (
    b"a\nb.png",
    b"\x1b[31mred\x07.png",
    "ünï→漢字.png".encode(),
    b"up..\\..\\up.png",
    b"-rf.png",
    b"--help.png",
    b"no\xffutf8.png",
    b"tab\there.png",
    b" .png",
    b"a;b$(c)`d`'e\"f.png",
    b"%s%n.png",
    b"*.png",
)


def test_names_of_any_characters_go_through_all_commands(here: Path) -> None:
    shutil.rmtree("data")
    Path("data").mkdir()
    for number, name in enumerate(STRANGE):
        source = Path("labels") / f"p{number % IMAGES}.png"
        (Path("data") / name.decode("utf-8", "surrogateescape")).write_bytes(source.read_bytes())
    (Path("data") / "bad\n\x1b[31m.png").write_bytes(b"broken")
    outside = {path.name for path in here.iterdir()}
    said = [unseg("superpixels", "data", "--pixels-per-segment", "50", "--skip-bad", "-o", "new.h5", "--workers", "1")]
    said.append(unseg("cluster", "new.h5", "--classes", "2", "-o", "clusters.h5", "--workers", "1"))
    said.append(unseg("export", "clusters.h5", "-o", "new-maps", "--workers", "1"))
    said.append(unseg("visualize", "clusters.h5", "-o", "new-page", "--workers", "1"))
    said.append(unseg("inspect", "new.h5", "--verify"))
    assert all("\x1b" not in result.output for result in said)
    assert r"bad\n\x1b[31m.png" in said[0].stderr
    with store.open_artifact("new.h5") as artifact:
        names = [name.encode("utf-8", "surrogateescape") for name in artifact.table("sources/name")]
    assert sorted(names) == sorted(STRANGE)
    assert {path.name for path in here.iterdir()} - outside == {"new.h5", "clusters.h5", "new-maps", "new-page"}
    assert len(list(Path("new-maps").rglob("*.png"))) == len(STRANGE)
    assert len(list(Path("new-page", "images").rglob("*.jpg"))) == len(STRANGE)
