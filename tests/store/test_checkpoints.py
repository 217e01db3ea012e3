"""The state of an unfinished training: there is always a whole one, and it is of this recipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from reading_back import fingerprint
from sample_artifacts import RECIPE, sample, state

from unsegcli.errors import ArtifactError
from unsegcli.store import Target, load_checkpoint, save_checkpoint
from unsegcli.store.writing import CHECKPOINT, OURS

OTHER = {**RECIPE, "revision": 2}
STATE = {
    **state(),
    **{
        f"type.{name}": np.array([[0, 1], [1, 0]], name)
        for name in ("bool", "int8", "uint8", "int32", "int64", "uint16")
    },
    "halves": np.array([np.nan, np.inf, -0.0], np.float16),
    "weights": np.random.default_rng(0).normal(size=(64, 3, 3, 3)).astype(np.float32),
}


def target(folder: Path, recipe: dict[str, object] = RECIPE, *, force: bool = False) -> Target:
    return Target(folder / "m.h5", "model", recipe, force=force)


def keep(wanted: Target, progress: str = '{"step":3}') -> None:
    """As a training that ends before it is done."""
    with wanted.writing():
        save_checkpoint(wanted, STATE, progress)


def hold(wanted: Target) -> None:
    with wanted.writing():
        pass


def test_round_trip_of_every_type(tmp_path: Path) -> None:
    keep(target(tmp_path))
    found = load_checkpoint(target(tmp_path))
    assert found is not None
    arrays, progress = found
    assert progress == '{"step":3}'
    assert arrays.keys() == STATE.keys()
    for name, value in STATE.items():
        assert (arrays[name].dtype, arrays[name].shape) == (value.dtype, value.shape), name
        assert arrays[name].tobytes() == value.tobytes(), name


def test_none_was_kept(tmp_path: Path) -> None:
    assert load_checkpoint(target(tmp_path)) is None
    with target(tmp_path).writing():
        assert load_checkpoint(target(tmp_path)) is None


def test_the_last_one_is_there(tmp_path: Path) -> None:
    keep(target(tmp_path), '{"step":3}')
    keep(target(tmp_path), '{"step":4}')
    found = load_checkpoint(target(tmp_path))
    assert found is not None
    assert found[1] == '{"step":4}'
    assert sorted(path.name for path in (tmp_path / "m.h5.partial").iterdir()) == [CHECKPOINT, "lock", "recipe.json"]


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    keep(target(tmp_path))
    model = sample("model")
    with target(tmp_path).writing() as writer:
        writer.finish(model.tables, model.attributes, {}, model.entries)
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5"]
    assert fingerprint(tmp_path / "m.h5")


def test_another_recipe_is_refused_without_force(tmp_path: Path) -> None:
    keep(target(tmp_path))
    with pytest.raises(ArtifactError, match=r"is not finished \(another version of the command\).*--force"):
        hold(target(tmp_path, OTHER))
    assert load_checkpoint(target(tmp_path, OTHER)) is None
    assert load_checkpoint(target(tmp_path)) is not None, "and it is still there"
    with target(tmp_path, OTHER, force=True).writing():
        assert not (tmp_path / "m.h5.partial" / CHECKPOINT).exists()


def test_what_is_ours_and_what_is_not(tmp_path: Path) -> None:
    ours = ("checkpoint.h5", "checkpoint.h5.partial", "pictures-0.bin", "pictures-12.bin", "shard-000000001.h5")
    assert all(OURS.fullmatch(name) for name in ours)
    assert not any(OURS.fullmatch(name) for name in ("checkpoint.h5.bak", "pictures-a.bin", "my-checkpoint.h5", "x"))
    folder = tmp_path / "m.h5.partial"
    (folder / "checkpoint.h5.partial").mkdir(parents=True)
    (folder / "pictures-0.bin").write_bytes(b"x")
    with target(tmp_path).writing():
        assert sorted(path.name for path in folder.iterdir()) == ["lock", "recipe.json"]
    (folder / "recipe.json").unlink()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"notes\.txt was not made by unseg"), target(tmp_path).writing():
        pass


def test_a_damaged_one_is_not_gone_on_from(tmp_path: Path) -> None:
    keep(target(tmp_path))
    path = tmp_path / "m.h5.partial" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ArtifactError, match=r"checkpoint\.h5"):
        load_checkpoint(target(tmp_path))


WRITER = """
import sys
import numpy as np
from unsegcli.store import Target, save_checkpoint
target = Target(sys.argv[1], "model", {"stage": "test"})
with target.writing():
    for step in range(1, 100_000):
        save_checkpoint(target, {"step": np.full((200, 200), step)}, str(step))
        print(step, flush=True)
"""


@pytest.mark.parametrize("after", [0.0, 0.004, 0.011])
def test_a_killed_writer_leaves_a_whole_one(after: float, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "m.h5")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert child.stdout is not None
    for _ in range(3):
        written = int(child.stdout.readline())
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    rest = child.communicate()[0].split()
    written = int(rest[-1]) if rest else written
    wanted = Target(tmp_path / "m.h5", "model", {"stage": "test"})
    found = load_checkpoint(wanted)
    assert found is not None
    assert int(found[1]) in (written, written + 1)  # renamed, but not yet told
    assert bool((found[0]["step"] == int(found[1])).all())
    with wanted.writing():  # what lay half written is no hindrance
        save_checkpoint(wanted, {"step": np.zeros(1)}, "0")
