"""Processes that share training images: each reads a part, and all have what one process has by itself."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import superpixels
from PIL import Image
from toy import write_images, write_masks

import unsegcli
from unsegcli.dataflow import dataset as datasets
from unsegcli.dataflow.dataset import Dataset, dataset_from_files
from unsegcli.errors import DataError, StepError
from unsegcli.params import Images, Inputs, Superpixels
from unsegcli.training import data, shared_images
from unsegcli.training.data import Bad, LargeImage, Pool, Reader, parts_of
from unsegcli.training.interrupts import StopRequest
from unsegcli.training.mapped_arrays import ArrayWriter

READER = Reader(1)
Found = tuple[Pool | BaseException, Bad]


class Ranks:
    """Threads that take themselves for processes; only what passes between processes is replaced."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.own = threading.local()
        self.opened: list[list[str]] = [[] for _ in range(count)]  # names of the images that each has read
        self._table: list[Any] = [None] * count
        self._all_here = threading.Barrier(count, timeout=60)

    def rank(self) -> int:
        return int(self.own.number)

    def from_all(self, own: Any) -> list[Any]:
        self._table[self.rank()] = own
        self._all_here.wait()
        found = list(self._table)
        self._all_here.wait()
        return found

    def run(self, work: Callable[[int], Pool], bad: list[Bad]) -> list[Found]:
        found: list[Any] = [None] * self.count

        def one(number: int) -> None:
            self.own.number = number
            try:
                found[number] = work(number)
            except BaseException as error:  # noqa: BLE001 - returned
                found[number] = error

        threads = [threading.Thread(target=one, args=(number,)) for number in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return list(zip(found, bad, strict=True))


@pytest.fixture
def ranks_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Ranks]:
    def make(count: int) -> Ranks:
        made = Ranks(count)
        original = datasets.read_working

        def read(source: Any, reading: Any) -> Any:
            made.opened[made.rank()].append(source.name)
            return original(source, reading)

        monkeypatch.setattr(datasets, "read_working", read)
        for module in (shared_images, data):
            monkeypatch.setattr(module, "rank", made.rank)
        monkeypatch.setattr(shared_images, "ranks", lambda: count)
        monkeypatch.setattr(shared_images, "is_first", lambda: made.rank() == 0)
        monkeypatch.setattr(shared_images, "from_all", made.from_all)
        return made

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images of two sizes, of which the third and the fifth end too early, and a place for files."""
    made = write_images(tmp_path / "data", 7)
    paths = sorted(made.iterdir())
    Image.fromarray(np.zeros((9, 30, 3), np.uint8)).save(paths[1])
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    for path in (paths[2], paths[4]):
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:600])
    (tmp_path / "m.h5.partial").mkdir()
    return made


def opened(folder: Path, **reading: Any) -> Dataset:
    return dataset_from_files(Inputs(folder, Images(**reading))).opened(1)


def shared(ranks: Ranks, folders: list[Path], dataset: Dataset, reader: Reader = READER) -> list[Found]:
    """What each process has; `folders` are where it has its unfinished output."""
    bad: list[Bad] = [[("before.png", "skipped before")] for _ in folders]
    return ranks.run(
        lambda number: shared_images.pool_of_processes(dataset, folders[number], 4.0, reader, bad[number]), bad
    )


def alone(dataset: Dataset, reader: Reader = READER) -> tuple[Pool, Bad]:
    bad: Bad = [("before.png", "skipped before")]
    return reader.fill(dataset, 10**9, bad=bad), bad


def check_same(found: Found, wanted: tuple[Pool, Bad]) -> None:
    pool, bad = found
    assert isinstance(pool, Pool), pool
    assert bad == wanted[1]
    assert (pool.channels, pool.largest) == (wanted[0].channels, wanted[0].largest)
    assert len(pool.images) == len(wanted[0].images)
    for one, other in zip(pool.images, wanted[0].images, strict=True):
        assert type(one) is type(other)
        assert parts_of(one).keys() == parts_of(other).keys()
        for name, part in parts_of(other).items():
            np.testing.assert_array_equal(getattr(one, name), part)
            assert getattr(one, name).dtype == part.dtype
        assert getattr(one, "confidence", 1.0) == getattr(other, "confidence", 1.0)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_each_process_reads_a_part_and_has_all(
    count: int, folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks]
) -> None:
    dataset = opened(folder)
    wanted = alone(dataset)
    assert len(wanted[1]) == 3, "two cannot be read"
    ranks = ranks_of(count)
    for one in shared(ranks, [tmp_path / "m.h5.partial"] * count, dataset):
        check_same(one, wanted)
    names = [unit.source.name for unit in dataset.units]
    assert ranks.opened == [names[number::count] for number in range(count)]


def test_windows_of_an_image_stay_in_order(folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks]) -> None:
    dataset = opened(folder, patch=8)
    wanted = alone(dataset)
    assert len(wanted[0].images) > 5
    for one in shared(ranks_of(2), [tmp_path / "m.h5.partial"] * 2, dataset):
        check_same(one, wanted)


def test_processes_that_do_not_see_the_files_of_others_read_all(
    folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks]
) -> None:
    """The first two share a folder; the third has another, as on a machine of its own; the fourth has none."""
    dataset = opened(folder)
    wanted = alone(dataset)
    places = [tmp_path / "m.h5.partial"] * 2 + [tmp_path / "other", tmp_path / "none"]
    places[2].mkdir()
    ranks = ranks_of(4)
    for one in shared(ranks, places, dataset):
        check_same(one, wanted)
    names = [unit.source.name for unit in dataset.units]
    assert ranks.opened == [names[::2], names[1::2], names, names]
    assert not places[3].exists()


def test_a_file_of_an_earlier_run_is_not_taken(folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks]) -> None:
    """Where a folder is a copy, the files have the same names."""
    places = [tmp_path / "m.h5.partial", tmp_path / "copy"]
    places[1].mkdir()
    for place in places:
        for number in range(2):
            (place / f"pictures-{number}.bin").write_bytes(bytes(1000))
    dataset = opened(folder)
    wanted = alone(dataset)
    ranks = ranks_of(2)
    for one in shared(ranks, places, dataset):
        check_same(one, wanted)
    assert [len(names) for names in ranks.opened] == [7, 7]


def failing(original: Callable[..., Any], which: str, error: OSError, *given: Any) -> Any:
    if given[0].path.name == which and given[0].size > 1000:
        raise error
    return original(*given)


def test_full_disk_leaves_each_process_with_its_own_images(
    folder: Path,
    tmp_path: Path,
    ranks_of: Callable[[int], Ranks],
    monkeypatch: pytest.MonkeyPatch,
    said: pytest.LogCaptureFixture,
) -> None:
    dataset = opened(folder)
    wanted = alone(dataset)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(ArrayWriter, "add", partial_method(partial(failing, ArrayWriter.add, "pictures-1.bin", full)))
    for one in shared(ranks_of(2), [tmp_path / "m.h5.partial"] * 2, dataset):
        check_same(one, wanted)
    assert "the disk is full, so each process reads all images" in said.text
    assert list((tmp_path / "m.h5.partial").iterdir()) == []


def partial_method(function: Callable[..., Any]) -> Any:
    return lambda *given: function(*given)


def test_error_of_one_process_ends_all_and_is_said_once(
    folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = opened(folder)
    broken = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(ArrayWriter, "add", partial_method(partial(failing, ArrayWriter.add, "pictures-1.bin", broken)))
    (first, _), (second, _) = shared(ranks_of(2), [tmp_path / "m.h5.partial"] * 2, dataset)
    assert second is broken
    assert isinstance(first, StepError)
    assert first.code == 1
    assert list((tmp_path / "m.h5.partial").iterdir()) == []


def test_no_readable_image_is_said_once(folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks]) -> None:
    dataset = opened(folder)
    dataset = replace(dataset, units=(dataset.units[2], dataset.units[4]))
    with pytest.raises(DataError) as caught:
        alone(dataset)
    found = shared(ranks_of(3), [tmp_path / "m.h5.partial"] * 3, dataset)
    assert [type(one) for one, _ in found] == [DataError, StepError, StepError]
    assert str(found[0][0]) == str(caught.value)


def test_other_images_on_another_machine_are_an_error(
    folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks]
) -> None:
    dataset = opened(folder)
    fewer = replace(dataset, units=dataset.units[1:])
    (tmp_path / "other").mkdir()
    places = [tmp_path / "m.h5.partial", tmp_path / "other"]
    bad: list[Bad] = [[], []]
    ranks = ranks_of(2)
    found = ranks.run(
        lambda n: shared_images.pool_of_processes((dataset, fewer)[n], places[n], 4.0, READER, bad[n]), bad
    )
    assert isinstance(found[0][0], DataError)
    assert "process 0 read 5 images and could not read 2, but process 1, on another machine, read 4" in str(found[0][0])
    assert isinstance(found[1][0], StepError)


def test_a_process_that_is_asked_to_stop_stops_all(
    folder: Path, tmp_path: Path, ranks_of: Callable[[int], Ranks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each before it has read all, and with the signal that one of them received."""
    dataset = opened(write_images(tmp_path / "many", 40))
    ranks = ranks_of(2)

    class Asked(StopRequest):
        def __bool__(self) -> bool:
            if ranks.rank() == 1 and len(ranks.opened[1]) == 2:
                self.signal = 2
            return super().__bool__()

    class Request:
        def __enter__(self) -> StopRequest:
            return Asked(patient=True)

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(shared_images, "delayed_interrupts", lambda patient: Request())
    found = shared(ranks, [tmp_path / "m.h5.partial"] * 2, dataset)
    assert [type(one) for one, _ in found] == [KeyboardInterrupt] * 2
    assert len(ranks.opened[1]) == 2
    assert list((tmp_path / "m.h5.partial").iterdir()) == []


def test_large_images_are_left_on_disk(
    tmp_path: Path, ranks_of: Callable[[int], Ranks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "decodes_in_parts", lambda source, reading: source.name == "p2.png")
    dataset = opened(write_images(tmp_path / "data", 4), patch=8)
    (tmp_path / "m.h5.partial").mkdir()
    wanted = alone(dataset)
    assert [type(image) for image in wanted[0].images[-1:]] == [LargeImage]
    for one in shared(ranks_of(2), [tmp_path / "m.h5.partial"] * 2, dataset):
        check_same(one, wanted)


@pytest.mark.parametrize(
    ("total", "here", "left"),
    [("1", None, []), ("2", "2", []), ("2", "1", ["pictures-1.bin", "pictures-7.bin"]), ("2", None, None)],
)
def test_files_that_a_kill_left_are_removed(
    total: str, here: str | None, left: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them on one machine; of several, where others may still read theirs, each process its own."""
    monkeypatch.setenv("WORLD_SIZE", total)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if here is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    for name in ("pictures-0.bin", "pictures-1.bin", "pictures-7.bin", "checkpoint.h5"):
        (tmp_path / name).write_bytes(b"x")
    data.remove_spilled(tmp_path)
    kept = ["pictures-1.bin", "pictures-7.bin"] if left is None else left  # it is not known, where nobody says so
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.h5", *kept]


# ---------------------------------------------------------------------------------------- real processes

SCRIPT = Path(__file__).with_name("reading_processes.py")
FOLDERS = os.pathsep.join(str(path) for path in (SCRIPT.parent.parent, Path(unsegcli.__file__).parent.parent))


def processes(folder: Path, what: str) -> tuple[list[int], list[str]]:
    """Run two processes to their end; their exit codes and what they said."""
    both = {**os.environ, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "PYTHONPATH": FOLDERS}
    command = [sys.executable, str(SCRIPT), str(folder), what]
    children = [
        subprocess.Popen(
            command, env={**both, "RANK": str(n)}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for n in range(2)
    ]
    try:
        said = [child.communicate(timeout=240)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    return [child.returncode for child in children], said


@pytest.mark.slow
def test_superpixels_descriptions_and_masks_are_shared(tmp_path: Path) -> None:
    """Of five images, of which the second is read in parts, and three have a mask that is sure enough."""
    random = np.random.default_rng(0)
    write_images(tmp_path / "data", 4, 24, 24)
    Image.fromarray(random.integers(0, 250, (64, 64, 3)).astype(np.uint8)).save(tmp_path / "data" / "b.png")
    (tmp_path / "m.h5.partial").mkdir()
    for name, stored in (("sp.h5", True), ("bare.h5", False)):
        asked = Superpixels(pixels_per_segment=30, pixels=stored)
        superpixels([tmp_path / "data"], tmp_path / name, asked, Images(patch=24, stride=20, nodata=255), workers=1)
    sure = {name: 0.2 if name in ("p1.png", "p2.png") else 0.9 for name in ("b.png", *(f"p{n}.png" for n in range(4)))}
    write_masks(tmp_path / "masks.h5", tmp_path / "data", confidence_of=lambda window: sure[window.name])
    codes, said = processes(tmp_path, "same")
    assert codes == [0, 0], said
    assert [(tmp_path / f"counts-{number}").read_text() for number in range(2)] == ["13 13 3"] * 2


@pytest.mark.slow
@pytest.mark.parametrize(("what", "codes"), [("SIGTERM", [143, 143]), ("SIGKILL", [1, -9])])
def test_signals_while_images_are_read(what: str, codes: list[int], tmp_path: Path) -> None:
    write_images(tmp_path / "many", 600)
    (tmp_path / "m.h5.partial").mkdir()
    found, said = processes(tmp_path, what)
    assert found == codes, said
    left = [path.name for path in (tmp_path / "m.h5.partial").iterdir()]
    if what == "SIGKILL":
        assert said[0].startswith("another process of this training has ended or does not answer, see above;")
        assert left == ["pictures-1.bin"], "which the next run replaces"
    else:
        assert said == ["", ""]
        assert left == []
        assert int((tmp_path / "read-0").read_text()) < 300, "nor did the first read all of its part"
