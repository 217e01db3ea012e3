"""Whatever operation fails, is the last one of a killed process, or precedes a power cut: nothing is lost or half.

Every operation that changes files is tried, and then the run is repeated.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import HOW, Ended, Shim, shim
from sample_artifacts import INPUTS, RECIPE, Sample, sample

from unsegcli.dataflow.benchmark_runs import written
from unsegcli.dataflow.output_folder import OutputFolder
from unsegcli.errors import ArtifactError
from unsegcli.recipe import parse_json
from unsegcli.store import Target, encode, open_artifact, problems_of, writing

OLDER = {**RECIPE, "revision": 2}
UNITS = 2
MANY = 10_000  # more operations than a run has

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds open files by /proc")


def tiny() -> Sample:
    """A segmentation of two images of one window each."""
    whole = sample("segmentation")
    names = [name for name in whole.tables if name.partition("/")[0] in ("sources", "windows", "skipped")]
    tables = {name: whole.tables[name] for name in names if name not in ("windows/confidence", "windows/farthest")}
    tables |= {f"windows/{name}": tables[f"windows/{name}"][[0, 0]] for name in ("box", "grid")}
    tables["windows/source"] = np.arange(UNITS, dtype=np.int32)
    maps = [np.full((4, 6), number, np.uint8) for number in range(UNITS)]
    return Sample("segmentation", tables, whole.attributes, [{"segmentation": one} for one in maps])


def write_artifact(folder: Path, recipe: dict[str, Any]) -> None:
    """Write it unit by unit, each into a shard of its own."""
    whole = tiny()
    with Target(folder / "new" / "a.h5", "segmentation", recipe).writing() as writer:
        for number in range(len(writer.notes), UNITS):
            window = whole.windows[number]
            writer.append([{name: encode(values) for name, values in window.items()}], number)
        writer.finish(whole.tables, whole.attributes, INPUTS)


def artifact_in(folder: Path) -> Any:
    """Revision and fingerprint of the artifact, which holds; None if there is none."""
    path = folder / "new" / "a.h5"
    if not path.exists():
        return None
    with open_artifact(path) as artifact:
        assert problems_of(artifact) == []
        return artifact.recipe["revision"], artifact.fingerprint


def write_folder(folder: Path, recipe: dict[str, Any]) -> None:
    with OutputFolder(folder / "new" / "out", "panels", recipe).writing() as writer:
        for name in ("a.txt", "sub/b.txt", f"{recipe['revision']}.txt"):
            writer.add(name, f"{name} of {recipe['revision']}".encode())


def folder_in(folder: Path) -> Any:
    """Revision and files of a folder that says it is complete; None if it is not, or not there."""
    place = folder / "new" / "out"
    about = parse_json((place / "unseg.json").read_bytes()) if (place / "unseg.json").exists() else {"complete": False}
    if not about["complete"]:
        assert not place.exists() or any(place.iterdir())
        return None
    return about["recipe"]["revision"], {name: (place / name).read_bytes() for name in about["files"]}


def write_beside(folder: Path, recipe: dict[str, Any]) -> None:
    """Write into a folder in which somebody else has a file."""
    write_folder(folder, recipe)
    assert (folder / "new" / "out" / "mine.txt").read_text() == "mine"


def write_rows(folder: Path, recipe: dict[str, Any]) -> None:
    """Write the results of a benchmark."""
    written(folder / "new" / "benchmark.json", {"seconds": 1.0, "rows": [{"revision": recipe["revision"]}]})


def rows_in(folder: Path) -> Any:
    """Revision of the results, which are whole; None if there are none."""
    path = folder / "new" / "benchmark.json"
    return (parse_json(path.read_bytes())["rows"][0]["revision"],) if path.exists() else None


Write = Callable[[Path, dict[str, Any]], None]
Read = Callable[[Path], Any]
OUTPUTS: dict[str, tuple[Write, Read]] = {
    "artifact": (write_artifact, artifact_in),
    "folder": (write_folder, folder_in),
    "folder of others": (write_beside, folder_in),
    "rows": (write_rows, rows_in),
}
NAMES = {"artifact": "a.h5", "rows": "benchmark.json"}  # of outputs that are files
FEWEST = 4  # operations of a run


@pytest.fixture(autouse=True)
def each_unit_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SHARD_SECONDS", -1.0)


def prepared(output: str, folder: Path) -> Path:
    """Make a folder in which the outputs of runs will be."""
    folder.mkdir(exist_ok=True)
    if output == "folder of others":
        (folder / "new" / "out").mkdir(parents=True, exist_ok=True)
        (folder / "new" / "out" / "mine.txt").write_text("mine")
    return folder


def disturbed(write: Write, folder: Path, how: str, at: int) -> Shim:
    """Run with a fault at an operation; a power cut comes after the run if there are not so many operations."""
    with shim(how, at) as state:
        try:
            write(folder, RECIPE)
        except (Ended, OSError, ArtifactError):
            assert state.count >= at
    if how in ("lost", "kept"):
        state.cut_power(folder)
    return state


def try_operations(output: str, how: Callable[[int], str], replaces: bool, folder: Path, numbers: range) -> None:
    write, read = OUTPUTS[output]
    write(prepared(output, folder / "whole"), RECIPE)
    wanted = read(folder / "whole")
    if replaces:
        write(prepared(output, folder / "before"), OLDER)
    before = read(prepared(output, folder / "before"))
    for at in numbers:
        here = folder / "here"
        shutil.copytree(folder / "before", here)
        done = disturbed(write, here, how(at), at).count < at
        assert read(here) in ((wanted,) if done else (None, before, wanted)), f"operation {at}"
        write(here, RECIPE)
        assert read(here) == wanted, f"after operation {at}"
        left = sorted(path.name for path in (here / "new").iterdir() if not path.name.startswith(".unseg-"))
        assert left == [NAMES.get(output, "out")], f"after operation {at}"
        shutil.rmtree(here)
        if done:
            assert at > FEWEST
            return


@pytest.mark.parametrize(("output", "step"), [("artifact", 13), ("folder", 3), ("folder of others", 3), ("rows", 1)])
def test_some_operations(output: str, step: int, tmp_path: Path) -> None:
    """Each in one of the ways, in turn; the slow test has all of them."""
    try_operations(output, lambda at: HOW[at % len(HOW)], True, tmp_path, range(1, MANY, step))


@pytest.mark.parametrize("how", ["lost", "kept"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_power_cut_after_the_end(output: str, how: str, tmp_path: Path) -> None:
    write, read = OUTPUTS[output]
    prepared(output, tmp_path)
    state = disturbed(write, tmp_path, how, at=MANY)
    assert state.count < state.at
    assert read(tmp_path)[0] == RECIPE["revision"]


@pytest.mark.slow
@pytest.mark.parametrize("replaces", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("output", OUTPUTS)
def test_every_operation(output: str, how: str, replaces: bool, tmp_path: Path) -> None:
    """Those of an artifact, which are many, each in two or three of the eight ways."""
    step = 3 if output == "artifact" else 1
    try_operations(output, lambda _: how, replaces, tmp_path, range(1 + (HOW.index(how) + replaces) % step, MANY, step))
