"""A file is there whole or not at all, work that was done is not done again, and nothing foreign is replaced."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import h5py
import numpy as np
import pytest
from reading_back import fingerprint
from sample_artifacts import INPUTS, RECIPE, Sample, problems, sample

from unsegcli.dataflow.output_folder import OutputFolder
from unsegcli.errors import ArtifactError
from unsegcli.store import KINDS, Target, Writer, encode, open_artifact, writing
from unsegcli.store.writing import Finished

OTHER = {**RECIPE, "parameters": {"size": [4, 8], "scale": 0.5}, "revision": 2}


@pytest.fixture
def each_unit_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SHARD_SECONDS", -1.0)


def refusal(target: Target) -> str:
    with pytest.raises(ArtifactError) as caught:
        target.finished()
    return str(caught.value)


# -- what is there already -------------------------------------------------------------------------------------


def test_same_recipe_is_left_alone(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = sample("superpixels").write(tmp_path / "a.h5")
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
    turned = dict(reversed(RECIPE.items()))
    assert Target(path, "superpixels", turned).finished() == Finished(1)  # one image was skipped
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert said.messages == [f"{path} is up to date: nothing to do"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_recognised(kind: str, tmp_path: Path) -> None:
    path = sample(kind).write(tmp_path / "a.h5")
    assert Target(path, kind, RECIPE).finished() is not None


def test_other_recipe_is_replaced_and_the_difference_named(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = sample("metrics").write(tmp_path / "a.h5")
    assert Target(path, "metrics", OTHER).finished() is None
    assert said.messages == [f"{path} will be replaced: size 4,6, now 4,8; another version of the command"]
    sample("metrics").write(path, OTHER)
    with open_artifact(path) as artifact:
        assert artifact.recipe == OTHER


def test_other_images_are_called_images(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    """Files keep the older word."""
    path = sample("metrics").write(tmp_path / "a.h5", RECIPE | {"inputs": {"pictures": "1" * 64}})
    assert Target(path, "metrics", RECIPE | {"inputs": {"pictures": "2" * 64}}).finished() is None
    assert said.messages == [f"{path} will be replaced: other images"]


@pytest.mark.parametrize(("before", "after"), [(1, 1.0), (1, True)])
def test_a_difference_always_has_a_name(
    before: Any, after: Any, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    path = sample("metrics").write(tmp_path / "a.h5", {"scale": before})
    if Target(path, "metrics", {"scale": after}).finished() is None:
        assert said.messages[0].startswith(f"{path} will be replaced: scale ")


def test_no_output_yet(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    assert Target(tmp_path / "new" / "a.h5", "metrics", RECIPE).finished() is None
    assert said.messages == []
    assert list(tmp_path.iterdir()) == []


def text_file(path: Path) -> Path:
    path.write_text("my notes")
    return path


def foreign_hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["mine"] = 1
    return path


def cut_off(path: Path) -> Path:
    path.write_bytes(sample("metrics").write(path).read_bytes()[:-100])
    return path


def newer(path: Path) -> Path:
    with h5py.File(sample("metrics").write(path), "r+") as file:
        file.attrs["kind-version"] = 99
    return path


@pytest.mark.parametrize("make", [text_file, foreign_hdf5, cut_off, newer])
def test_what_is_not_ours_to_replace(make: Any, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "a.h5")
    before = path.read_bytes()
    message = refusal(Target(path, "metrics", RECIPE))
    assert message.startswith(f"{path}: is not a readable artifact")
    assert "-o" in message
    assert "--force" in message
    assert path.read_bytes() == before
    assert Target(path, "metrics", RECIPE, force=True).finished() is None
    assert "it will be replaced (--force)" in said.text
    sample("metrics").write(path, force=True)
    assert problems(path) == []


def test_another_kind_and_models_need_force(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = sample("superpixels").write(tmp_path / "a.h5")
    assert "is of kind superpixels, but the output is of kind metrics" in refusal(Target(path, "metrics", RECIPE))
    assert Target(path, "metrics", RECIPE, force=True).finished() is None
    model = sample("model").write(tmp_path / "m.h5")
    assert Target(model, "model", RECIPE).finished() == Finished(1)
    assert "was trained in another way (size 4,6, now 4,8; another version of the command)" in refusal(
        Target(model, "model", OTHER)
    )
    assert Target(model, "model", OTHER, force=True).finished() is None


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is a folder; give the name of a file with -o"):
        Target(tmp_path, "metrics", RECIPE)
    text_file(tmp_path / "notes.txt")
    with pytest.raises(ArtifactError, match="is not writable"):
        Target(tmp_path / "notes.txt" / "a.h5", "metrics", RECIPE)


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    if os.geteuid() == 0:  # root may write everything
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ArtifactError, match=r"closed is not writable; choose another folder with -o"):
        Target(closed / "new" / "a.h5", "metrics", RECIPE)


# -- in shards -------------------------------------------------------------------------------------------------

UNITS = 5


def units() -> list[tuple[list[dict[str, Any]], dict[str, int]]]:
    """Five images: of one window, but the third of two and the fourth of none, as if it could not be read."""
    random = np.random.default_rng(7)
    counts = [1, 1, 2, 0, 1]
    return [
        (
            [
                {
                    "segmentation": encode(random.integers(0, 3, (3, 4)).astype(np.uint8)),
                    "confidence": encode(random.random((3, 4)).astype(np.float32)),
                }
                for _ in range(count)
            ],
            {"number": number},
        )
        for number, count in enumerate(counts)
    ]


def tables() -> dict[str, Any]:
    """Tables that fit the five windows: each the only one of a source of its own."""
    whole = sample("segmentation").tables
    return {
        "sources/name": [f"p{number}.png" for number in range(UNITS)],
        "sources/path": ["x"] * UNITS,
        "sources/digest": ["0"] * UNITS,
        **{
            f"sources/{name}": np.repeat(whole[f"sources/{name}"][:1], UNITS, axis=0)
            for name in ("page", "bytes", "modified", "size", "orientation", "bands", "scaling")
        },
        "windows/source": np.arange(UNITS, dtype=np.int32),
        "windows/box": np.array([[0, 0, 3, 4]] * UNITS, np.int32),
        "windows/grid": np.array([[3, 4]] * UNITS, np.int32),
        "skipped/name": [],
        "skipped/reason": [],
    }


class Stopped(Exception):
    """The run ends in the middle."""


def run(path: Path, stop_before: int = UNITS, recipe: dict[str, Any] = RECIPE, *, whole: bool = True) -> list[Any]:
    """A stage's pass over the units, from where it was; returns what earlier runs had noted."""
    with Target(path, "segmentation", recipe).writing() as writer:
        earlier = list(writer.notes)
        for number, (windows, note) in list(enumerate(units()))[len(earlier) :]:
            if number == stop_before:
                raise Stopped
            writer.append(windows, note)
        assert [*writer.notes, *writer.pending_notes()] == [{"number": number} for number in range(UNITS)]
        if whole:
            writer.finish(tables(), sample("segmentation").attributes, INPUTS)
    return earlier


def shards(path: Path) -> list[str]:
    return sorted(shard.name for shard in path.with_name(path.name + ".partial").glob("shard-*"))


@pytest.fixture
def undisturbed(tmp_path: Path) -> str:
    """Fingerprint of a run in one go."""
    path = tmp_path / "undisturbed.h5"
    assert run(path) == []
    assert problems(path) == []
    return fingerprint(path)


@pytest.mark.usefixtures("each_unit_a_shard")
@pytest.mark.parametrize("stop", range(1, UNITS))
def test_an_interrupted_run_goes_on(
    stop: int, undisturbed: str, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, stop)
    assert not path.exists()
    assert len(shards(path)) == stop
    assert run(path) == [{"number": number} for number in range(stop)]
    finished = "1 image" if stop == 1 else f"{stop} images"
    assert said.messages == [f"resuming after {finished} finished by an interrupted run"]
    assert fingerprint(path) == undisturbed
    assert problems(path) == []


def test_what_is_pending_is_kept_when_the_run_ends(undisturbed: str, tmp_path: Path) -> None:
    """With the usual size of a shard, all of this is still in memory when the exception comes."""
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 3)
    assert shards(path) == ["shard-000000000.h5"]
    assert len(run(path)) == 3
    assert fingerprint(path) == undisturbed


class Interrupter:
    """Presses Ctrl-C before the line of a given number, counted over the writing of all shards."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code not in (Writer.append.__code__, Writer._flush.__code__):
            return None
        self.left -= event == "line"
        if self.left == -1 and event == "line":
            raise KeyboardInterrupt
        return self


def interrupted(path: Path, line: int) -> bool:
    """Run until that line; False if the run has fewer."""
    before = sys.gettrace()
    sys.settrace(Interrupter(line))
    try:
        run(path)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.slow
@pytest.mark.usefixtures("each_unit_a_shard")
def test_ctrl_c_between_any_two_lines_stores_no_unit_twice(undisturbed: str, tmp_path: Path) -> None:
    line = 0
    while interrupted(path := tmp_path / f"{line}.h5", line):
        assert run(path) in [[{"number": number} for number in range(count)] for count in range(UNITS + 1)]
        assert fingerprint(path) == undisturbed, f"line {line}"
        line += 1
    assert line > 20 * UNITS


@pytest.mark.usefixtures("each_unit_a_shard")
@pytest.mark.parametrize(
    ("recipe", "gone", "stays"),
    [(RECIPE, "", False), (RECIPE, "recipe.json", False), (OTHER, "", True)],
    ids=["killed after the rename", "killed while it was removed", "of another recipe"],
)
def test_what_is_left_beside_a_finished_output(recipe: Any, gone: str, stays: bool, tmp_path: Path) -> None:
    path, partial = tmp_path / "a.h5", tmp_path / "a.h5.partial"
    with pytest.raises(Stopped):
        run(path, 2, recipe)
    partial.rename(tmp_path / "kept")
    run(path)
    (tmp_path / "kept").rename(partial)
    if gone:
        (partial / gone).unlink()
    assert Target(path, "segmentation", RECIPE).finished()
    assert partial.exists() == stays


@pytest.mark.usefixtures("each_unit_a_shard")
def test_interrupted_again_and_again(undisturbed: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for stop in range(UNITS):
        with pytest.raises(Stopped):
            run(path, stop)
    assert len(run(path)) == UNITS - 1
    assert fingerprint(path) == undisturbed


@pytest.mark.usefixtures("each_unit_a_shard")
@pytest.mark.parametrize("gap", range(4))
def test_what_comes_after_a_gap_is_done_again(gap: int, undisturbed: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 4)
    (path.with_name("a.h5.partial") / f"shard-{gap:09d}.h5").unlink()
    assert len(run(path)) == gap
    assert fingerprint(path) == undisturbed


@pytest.mark.usefixtures("each_unit_a_shard")
def test_a_shard_that_was_not_finished_is_not_taken(undisturbed: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 2)
    shard = path.with_name("a.h5.partial") / "shard-000000001.h5"
    shard.with_suffix(".tmp").write_bytes(shard.read_bytes()[:100])
    shard.unlink()
    assert len(run(path)) == 1
    assert fingerprint(path) == undisturbed


@pytest.mark.usefixtures("each_unit_a_shard")
def test_a_damaged_shard_is_done_again_or_named(tmp_path: Path, undisturbed: str) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 3)
    shard = path.with_name("a.h5.partial") / "shard-000000001.h5"
    shard.write_bytes(shard.read_bytes()[:200])
    try:
        assert len(run(path)) <= 1
    except ArtifactError as error:
        assert "shard-000000001" in str(error)  # noqa: PT017
    else:
        assert fingerprint(path) == undisturbed


def test_a_failure_while_it_is_assembled_loses_no_work(tmp_path: Path, undisturbed: str) -> None:
    path = tmp_path / "a.h5"
    with Target(path, "segmentation", RECIPE).writing() as writer:
        for windows, note in units():
            writer.append(windows, note)
        with pytest.raises(ArtifactError, match="windows/grid is missing"):
            writer.finish(
                {name: rows for name, rows in tables().items() if name != "windows/grid"},
                sample("segmentation").attributes,
                INPUTS,
            )
    assert not path.exists()
    assert len(run(path)) == UNITS
    assert fingerprint(path) == undisturbed


@pytest.mark.usefixtures("each_unit_a_shard")
def test_a_partial_of_another_recipe_is_named_and_not_used(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 3)
    assert run(path, recipe=OTHER) == []
    assert said.messages == [
        f"{path}.partial was started in another way (size 4,6, now 4,8; another version of the command): its results "
        "are discarded"
    ]
    assert said.records[0].levelno == logging.WARNING
    with open_artifact(path) as artifact:
        assert artifact.recipe == OTHER


@pytest.mark.usefixtures("each_unit_a_shard")
def test_a_partial_of_another_version_of_the_format_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 3)
    marker = path.with_name("a.h5.partial") / "recipe.json"
    text = marker.read_text()
    marker.write_text(text.replace(f'"kind-version":{KINDS["superpixels"].version}', '"kind-version":0'))
    assert marker.read_text() != text
    assert run(path) == []
    assert "(another version of the format)" in said.text


@pytest.mark.usefixtures("each_unit_a_shard")
@pytest.mark.parametrize("text", [b"", b'{"recipe":', b"[" * 100_000, b"[1]", b'{"recipe": 3}', b"\xff\xfe"])
def test_a_partial_whose_recipe_cannot_be_read_is_not_used(
    text: bytes, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 3)
    (path.with_name("a.h5.partial") / "recipe.json").write_bytes(text)
    assert run(path) == []
    assert said.messages == [
        f"{path}.partial was started in another way (its recipe cannot be read): its results are discarded"
    ]


def test_large_results_make_a_shard_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SHARD_BYTES", 100)
    path = tmp_path / "a.h5"
    with pytest.raises(Stopped):
        run(path, 3)
    assert len(shards(path)) == 3 - 1  # one map alone is below the limit, two are above


def test_nothing_is_left_after_success(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    run(path)
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_when_nothing_was_done(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(tmp_path / "a.h5", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [FileNotFoundError("p.png"), KeyboardInterrupt(), BlockingIOError("busy")])
def test_any_exception_passes_through(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)), Target(tmp_path / "a.h5", "metrics", RECIPE).writing():
        raise error
    assert list(tmp_path.iterdir()) == []


def test_the_old_output_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    run(path)
    before = path.read_bytes()
    with pytest.raises(Stopped):
        run(path, 3, OTHER)
    assert path.read_bytes() == before
    run(path, recipe=OTHER)
    assert path.read_bytes() != before


def test_folders_are_made(tmp_path: Path) -> None:
    assert problems(sample("metrics").write(tmp_path / "deep" / "deeper" / "a.h5")) == []


# -- what else may be in the way -------------------------------------------------------------------------------


@pytest.mark.parametrize("foreign", ["notes.txt", "folder"])
def test_a_partial_folder_with_something_foreign(foreign: str, tmp_path: Path) -> None:
    partial = tmp_path / "a.h5.partial"
    partial.mkdir()
    if foreign == "folder":
        (partial / foreign).mkdir()
    else:
        text_file(partial / foreign)
    mine = foreign_hdf5(partial / "aa-mine.h5")
    with pytest.raises(ArtifactError, match=r"was not made by unseg; move it away"):
        run(tmp_path / "a.h5")
    assert (partial / foreign).exists()
    assert mine.exists(), "nothing is deleted before all is known to be ours"


def test_two_writers(tmp_path: Path) -> None:
    """A real second process holds the lock."""
    path = tmp_path / "a.h5"
    partial = tmp_path / "a.h5.partial"
    partial.mkdir()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(partial / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        with pytest.raises(
            ArtifactError, match=r"a\.h5: another unseg process is writing it; wait for it, or choose anoth"
        ):
            run(path)
        assert (partial / "lock").exists()
        other.kill()  # however it ends, its lock ends with it
    assert run(path) == []
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_in_one_process(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with Target(path, "segmentation", RECIPE).writing() as writer:
        with pytest.raises(ArtifactError, match="another unseg process is writing it"):
            run(path)
        for windows, note in units():
            writer.append(windows, note)
        writer.finish(tables(), sample("segmentation").attributes, INPUTS)
    assert problems(path) == []


def test_the_one_before_removes_the_folder_between_opening_and_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two writers could hold locks on two files of the same name."""
    path = tmp_path / "a.h5"
    flock = fcntl.flock
    calls: list[int] = []

    def late(handle: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            shutil.rmtree(tmp_path / "a.h5.partial")
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    run(path)
    assert len(calls) == 2
    assert problems(path) == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", without)
    message = r"a\.h5: its file system cannot lock files \(.*, so two runs could mix; choose .* with -o"
    with pytest.raises(ArtifactError, match=message):
        run(tmp_path / "file" / "a.h5")
    folder = OutputFolder(tmp_path / "folder" / "a.h5", "panels", RECIPE)
    with pytest.raises(ArtifactError, match=message), folder.writing():
        pass


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("each_unit_a_shard")
def test_a_full_disk_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: str) -> None:
    path = tmp_path / "a.h5"
    create, calls = writing._create, []  # type: ignore[var-annotated]

    def until_full(*how: Any) -> Any:
        calls.append(how)
        return create(*how) if len(calls) <= 4 else full_disk()  # two units of two maps

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_create", until_full)
        with pytest.raises(OSError, match="No space left") as caught:
            run(path)
    assert caught.value.__notes__ == ["2 images are finished and kept"]
    assert [name for name in shards(path) if name.endswith(".h5")] == ["shard-000000000.h5", "shard-000000001.h5"]
    assert len(run(path)) == 2
    assert fingerprint(path) == undisturbed
    assert problems(path) == []


def test_a_full_disk_at_once_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_create", full_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        run(tmp_path / "a.h5")
    assert caught.value.__notes__ == ["nothing was finished, so nothing is kept"]
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from sample_artifacts import sample
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    sample("segmentation").write(Path(sys.argv[1]))
except OSError as error:
    print(error.errno, *error.__notes__)
"""


def test_hdf5_itself_cannot_write_on(tmp_path: Path) -> None:
    """As on a disk that is full: HDF5 then cannot close its file either, which is another error."""
    path = tmp_path / "a.h5"
    command = [sys.executable, "-c", LIMITED, str(path), str(Path(__file__).parents[1]), "20000"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{errno.EFBIG} 1 image is finished and kept\n"
    assert sample("segmentation").write(path).exists()
    assert problems(path) == []


def test_a_chunk_that_was_not_written_correctly_is_found_before_the_file_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    stamp = Writer._stamp

    def spoil(writer: Writer, file: h5py.File, *rest: Any) -> None:
        stamp(writer, file, *rest)
        dataset = file["segmentation/000002"]
        chunk = bytearray(dataset.id.read_direct_chunk((0, 0))[1])
        chunk[3] ^= 1
        dataset.id.write_direct_chunk((0, 0), bytes(chunk))

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_stamp", spoil)
        with pytest.raises(ArtifactError, match="segmentation/000002 was not written"):
            run(path)
    assert not path.exists()
    assert len(run(path)) == UNITS


def test_rewriting_while_a_reader_has_the_old_file_open(tmp_path: Path) -> None:
    path = sample("metrics").write(tmp_path / "a.h5")
    with open_artifact(path) as artifact:
        changed = Sample("metrics", {"scores": np.frombuffer(b"{}", np.uint8)})
        changed.write(path, OTHER)
        assert artifact.table("matrix")[0, 0] == 5
    with open_artifact(path) as artifact:
        assert artifact.table("scores").tobytes() == b"{}"


@pytest.mark.parametrize("how", ["file", "link", "folder"])
def test_lock_that_is_not_ours_stays_as_it_is(how: str, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("mine")
    lock = tmp_path / "a.h5.partial" / "lock"
    lock.parent.mkdir()
    {"file": lambda: lock.write_text("mine"), "link": lambda: lock.symlink_to(foreign), "folder": lock.mkdir}[how]()
    with pytest.raises(ArtifactError, match=r"lock: .*move it away"):
        sample("superpixels").write(tmp_path / "a.h5")
    assert foreign.read_text() == "mine"
    assert lock.is_dir() if how == "folder" else lock.read_text() == "mine"
