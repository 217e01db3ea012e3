"""Every kind is written whole and read back equal, by us and by plain h5py; fingerprints say what changed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from reading_back import fingerprint
from sample_artifacts import (
    INPUTS,
    PUBLIC,
    RECIPE,
    Sample,
    differences,
    plain_datasets,
    problems,
    sample,
    values_of,
    written_values,
)

from unsegcli.store import KINDS, encode, kind_of, open_artifact, reading, verifying, writing
from unsegcli.store.kinds import COMMON_ATTRIBUTES, window_name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(kind: str, tmp_path: Path) -> None:
    written = sample(kind)
    with open_artifact(written.write(tmp_path / "a.h5")) as artifact:
        assert differences(values_of(artifact), written_values(written)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_has_every_field_of_the_kind(kind: str, tmp_path: Path) -> None:
    """Else the round trip would prove less than it says."""
    with open_artifact(sample(kind).write(tmp_path / "a.h5")) as artifact:
        assert artifact.field_names() == list(KINDS[kind].fields)
        assert set(artifact.attributes) == set(KINDS[kind].attributes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_file_has_no_problems(kind: str, tmp_path: Path) -> None:
    path = sample(kind).write(tmp_path / "a.h5")
    assert problems(path) == []
    assert kind_of(path) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_optional_fields_hold_may_be_left_out(kind: str, tmp_path: Path) -> None:
    optional = {name for name, spec in KINDS[kind].fields.items() if not spec.required}
    whole = sample(kind)
    bare = Sample(
        kind,
        {name: values for name, values in whole.tables.items() if name not in optional},
        whole.attributes,
        [{name: values for name, values in window.items() if name not in optional} for window in whole.windows],
        {name: arrays for name, arrays in whole.entries.items() if name not in optional},
    )
    path = bare.write(tmp_path / "a.h5")
    assert problems(path) == []
    with open_artifact(path) as artifact:
        assert differences(values_of(artifact), written_values(bare)) == []
        assert not any(artifact.has(name) for name in optional)


def test_a_state_that_is_a_scalar_or_empty_keeps_its_shape(tmp_path: Path) -> None:
    weights = {"count": np.array(17, np.int64), "none": np.zeros((0, 3), np.float32), "flag": np.array(True)}
    path = sample("model").changed(entries={"weights": weights}).write(tmp_path / "m.h5")
    with open_artifact(path) as artifact:
        shapes = {key: artifact.entry("weights", key).shape for key in artifact.entries("weights")}
    assert shapes == {"count": (), "none": (0, 3), "flag": ()}


def test_dotted_names_are_single_datasets(tmp_path: Path) -> None:
    path = sample("model").write(tmp_path / "m.h5")
    with h5py.File(path) as file:
        assert isinstance(file["weights"]["features.0.weight"], h5py.Dataset)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_h5py_reads_it_with_its_defaults(kind: str, tmp_path: Path) -> None:
    written = sample(kind)
    path = written.write(tmp_path / "a.h5")
    datasets = dict(plain_datasets(path))
    for index, window in enumerate(written.windows):
        for name, values in window.items():
            np.testing.assert_array_equal(datasets[f"{name}/{window_name(index)}"], values)
    for name, values in written.tables.items():
        found = datasets[name]
        if isinstance(values, list):
            assert [row.decode() for row in found] == values
        else:
            np.testing.assert_array_equal(found, values)
    with h5py.File(path) as file:
        assert set(file.attrs) == set(COMMON_ATTRIBUTES) | set(KINDS[kind].attributes)
        assert file.attrs["format"] == "unseg"


def test_what_is_said_for_people(tmp_path: Path) -> None:
    with open_artifact(sample("metrics").write(tmp_path / "a.h5")) as artifact:
        assert artifact.recipe == RECIPE
        assert artifact.inputs == INPUTS
        assert artifact.about["made-by"].startswith("unseg ")
        assert artifact.about["created"].endswith("+00:00")
        assert {"python", "numpy", "h5py", "hdf5"} <= set(artifact.environment)
        assert artifact.about["seconds"] >= 0


def test_a_command_of_any_length_and_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/unseg", "superpixels", *[f"bild {i} ü.png" for i in range(10_000)]])
    with open_artifact(sample("metrics").write(tmp_path / "a.h5")) as artifact:
        assert artifact.about["command"].startswith("unseg superpixels 'bild 0 ü.png'")
        assert len(artifact.about["command"]) == 4000
    monkeypatch.setattr("sys.argv", ["/lib/unsegcli/__main__.py", "superpixels"])
    with open_artifact(sample("metrics").write(tmp_path / "b.h5")) as artifact:
        assert artifact.about["command"] == "unseg superpixels"


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprint_knows_no_place_or_time(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sample(kind).write(tmp_path / "a.h5")
    monkeypatch.setattr(time, "monotonic", lambda: 1e6)
    second = sample(kind).write(tmp_path / "deeper" / "b.h5")
    assert fingerprint(first) == fingerprint(second)
    assert problems(second) == []


@pytest.mark.parametrize("kind", PUBLIC)
def test_files_of_the_same_content_and_another_recipe_have_other_fingerprints(kind: str, tmp_path: Path) -> None:
    paths = [sample(kind).write(tmp_path / f"{seed}.h5", {**RECIPE, "revision": seed}) for seed in (1, 2)]
    assert fingerprint(paths[0]) != fingerprint(paths[1])
    assert [problems(path) for path in paths] == [[], []]


@pytest.mark.parametrize("kind", ["superpixels", "features", "segmentation"])
def test_fingerprint_does_not_depend_on_hints(kind: str, tmp_path: Path) -> None:
    times = np.array([1, 2], np.int64)
    moved: dict[str, Any] = {"sources/path": ["elsewhere/a.png", "b.tif"], "sources/modified": times}
    moved |= {"members/path": ["elsewhere/b1.tif", "b2.tif"], "members/modified": times}
    hints = {name for name, spec in KINDS[kind].fields.items() if spec.hint}
    assert hints == set(moved)
    first = sample(kind).write(tmp_path / "a.h5")
    second = sample(kind).changed(tables=moved).write(tmp_path / "b.h5")
    assert fingerprint(first) == fingerprint(second)
    assert problems(second) == []


def altered(values: Any) -> Any:
    """The same with one value changed, of the same type and shape."""
    if isinstance(values, list):
        return [values[0] + "x", *values[1:]]
    changed = np.array(values)
    changed.reshape(-1)[-1] = changed.reshape(-1)[-1] == 0
    return changed


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprint_depends_on_every_value_and_attribute(kind: str, tmp_path: Path) -> None:
    whole = sample(kind)
    hints = {name for name, spec in KINDS[kind].fields.items() if spec.hint}
    others = [whole.changed(tables={name: altered(whole.tables[name])}) for name in whole.tables.keys() - hints]
    for name, value in whole.attributes.items():
        others.append(whole.changed(attributes={name: value + (" " if isinstance(value, str) else 1)}))
    for group, arrays in whole.entries.items():
        key = next(iter(arrays))
        others.append(whole.changed(entries={group: {**arrays, key: altered(arrays[key])}}))
        others.append(whole.changed(entries={group: {f"{name}_": values for name, values in arrays.items()}}))
    for name in whole.windows[-1] if whole.windows else ():
        windows = [*whole.windows[:-1], {**whole.windows[-1], name: altered(whole.windows[-1][name])}]
        others.append(Sample(kind, whole.tables, whole.attributes, windows, whole.entries))
    prints = {fingerprint(whole.write(tmp_path / "whole.h5"))}
    for number, other in enumerate(others):
        prints.add(fingerprint(other.write(tmp_path / f"{number}.h5")))
    assert len(prints) == len(others) + 1


def test_swapping_two_windows_is_another_fingerprint(tmp_path: Path) -> None:
    whole = sample("segmentation")
    first, second, third = whole.windows
    swapped = Sample("segmentation", whole.tables, whole.attributes, [first, third, second])
    assert fingerprint(whole.write(tmp_path / "a.h5")) != fingerprint(swapped.write(tmp_path / "b.h5"))


def test_sizes_and_digests(tmp_path: Path) -> None:
    with open_artifact(sample("superpixels").write(tmp_path / "a.h5")) as artifact:
        datasets, memory, disk = artifact.sizes("images")
        assert (datasets, memory) == (3, (4 * 6 + 4 * 4 + 4 * 4) * 3)
        assert disk > 0
        assert artifact.sizes("windows/box")[:2] == (1, 3 * 4 * 4)
        assert len(artifact.digest("images", 2)) == 32
        assert artifact.digest("images", 2) == artifact.window_digests("images")[2].tobytes()
        assert artifact.window_count == 3


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    """Linux lets a file be named by any bytes; Python spells those that are no UTF-8 as surrogates."""
    name = os.fsdecode(b"bad-\xff.png")
    tables = {"sources/name": [name, "b.png"], "sources/path": [f"../data/{name}", "b.png"]}
    path = sample("superpixels").changed(tables=tables).write(tmp_path / "a.h5")
    with open_artifact(path) as artifact:
        assert artifact.table("sources/name") == tables["sources/name"]
    assert problems(path) == []


@pytest.mark.parametrize("kind", ["superpixels", "segmentation"])
def test_an_artifact_without_a_window(kind: str, tmp_path: Path) -> None:
    whole = sample(kind)
    empty = {
        name: [] if isinstance(values, list) else values[:0]
        for name, values in whole.tables.items()
        if name.partition("/")[0] in ("sources", "members", "windows", "skipped")
    }
    path = Sample(kind, {**whole.tables, **empty}, whole.attributes).write(tmp_path / "a.h5")
    assert problems(path) == []
    with open_artifact(path) as artifact:
        assert artifact.window_count == 0
        assert artifact.table("sources/name") == []


def test_public_kinds() -> None:
    assert PUBLIC == ["superpixels", "features", "model", "segmentation", "metrics"]


def test_asking_for_what_the_kind_does_not_have_is_a_bug_of_the_caller(tmp_path: Path) -> None:
    with open_artifact(sample("superpixels").write(tmp_path / "a.h5")) as artifact:
        with pytest.raises(KeyError, match="superpixels has no field 'centres' for each file"):
            artifact.table("centres")
        with pytest.raises(KeyError, match="for each window"):
            artifact.read("windows/box", 0)
        with pytest.raises(KeyError, match="for each entry"):
            artifact.entry("superpixels", "000000")


def test_names_of_windows_may_have_more_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a million windows: sorted as text, 1000000 comes before 999999."""
    for module in (reading, verifying, writing):
        monkeypatch.setattr(module, "window_name", lambda index: str(index + 9))
    path = sample("superpixels").write(tmp_path / "a.h5")
    assert problems(path) == []
    with open_artifact(path) as artifact:
        assert artifact.members("images") == ["10", "11", "9"]
        assert [artifact.read("images", index).shape for index in range(3)] == [(4, 6, 3), (4, 4, 3), (4, 4, 3)]


@pytest.mark.parametrize("like_ours", [True, False])
def test_stored_chunks_can_be_written_again(like_ours: bool, tmp_path: Path) -> None:
    """As they are if they are stored as this version does it, else compressed anew."""
    path = sample("superpixels").write(tmp_path / "a.h5")
    if not like_ours:
        with h5py.File(path, "r+") as file:
            values = file["images/000001"][...]
            del file["images/000001"]
            file.create_dataset("images/000001", data=values, compression="gzip")
    with open_artifact(path) as artifact:
        found, values = artifact.stored("images", 1), artifact.read("images", 1)
    assert found == encode(values)
