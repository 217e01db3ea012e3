"""An older file is brought to the present version in memory; the file itself stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from reading_back import fingerprint
from sample_artifacts import RECIPE, sample

from unsegcli.errors import ArtifactError
from unsegcli.store import KINDS, Field, Target, open_artifact, problems_of
from unsegcli.store.reading import UPGRADES


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of version 1 of metrics, whose version 3 has its matrix under another name, and a unit."""
    present = KINDS["metrics"]
    first = {name: present.fields[name] for name in ("scores", "matrix")}
    monkeypatch.setitem(KINDS, "metrics", replace(present, version=1, fields=first))
    whole = sample("metrics")
    path = replace(whole, tables={name: whole.tables[name] for name in first}).write(tmp_path / "old.h5")
    fields = {"scores": present.fields["scores"], "confusion": Field("int64", ("class", "cluster"), "transposed")}
    monkeypatch.setitem(KINDS, "metrics", replace(present, version=3, fields=fields, attributes={"unit": str}))
    for step in (1, 2):
        monkeypatch.delitem(UPGRADES, ("metrics", step), raising=False)
    return path


def transpose(file: h5py.File) -> None:
    matrix = file["matrix"][...]
    del file["matrix"]
    file["confusion"] = matrix.T


def add_unit(file: h5py.File) -> None:
    file.attrs["unit"] = "pixel"


def test_step_by_step_and_in_memory_only(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPGRADES, ("metrics", 1), transpose)
    monkeypatch.setitem(UPGRADES, ("metrics", 2), add_unit)
    before, changed = old.read_bytes(), old.stat().st_mtime_ns
    with open_artifact(old) as artifact:
        np.testing.assert_array_equal(artifact.table("confusion"), [[5, 1], [0, 7], [2, 10**12]])
        assert artifact.attributes == {"unit": "pixel"}
        assert artifact.about["kind-version"] == 3
        assert artifact.path == old
    assert old.read_bytes() == before
    assert old.stat().st_mtime_ns == changed


@pytest.mark.parametrize("missing", [1, 2])
def test_a_version_that_nothing_leads_away_from(missing: int, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step, upgrade in [(1, transpose), (2, add_unit)]:
        if step != missing:
            monkeypatch.setitem(UPGRADES, ("metrics", step), upgrade)
    message = f"old.h5: metrics of version {missing} can no longer be read; make it again"
    with pytest.raises(ArtifactError, match=message), open_artifact(old):
        pass


def test_what_upgrades_make_is_checked_too(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPGRADES, ("metrics", 1), lambda file: None)
    monkeypatch.setitem(UPGRADES, ("metrics", 2), add_unit)
    message = r"old\.h5: matrix is not a field of kind metrics"
    with pytest.raises(ArtifactError, match=message), open_artifact(old):
        pass


def test_an_old_output_is_up_to_date_by_its_recipe(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPGRADES, ("metrics", 1), transpose)
    monkeypatch.setitem(UPGRADES, ("metrics", 2), add_unit)
    assert Target(old, "metrics", RECIPE).finished() is not None
    assert Target(old, "metrics", {**RECIPE, "revision": 2}).finished() is None


def test_the_fingerprint_stays_so_that_what_was_made_from_it_stays_too(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(old) as file:
        written = file.attrs["fingerprint"]
    monkeypatch.setitem(UPGRADES, ("metrics", 1), transpose)
    monkeypatch.setitem(UPGRADES, ("metrics", 2), add_unit)
    assert fingerprint(old) == written


def test_a_version_that_only_adds_fields_is_read_without_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "metrics", replace(KINDS["metrics"], version=1))
    path = sample("metrics").write(tmp_path / "old.h5")
    monkeypatch.undo()
    monkeypatch.setattr(h5py.File, "in_memory", None)
    with open_artifact(path) as artifact:
        assert (artifact.written_version, artifact.table("matrix").shape) == (1, (2, 3))
        assert problems_of(artifact) == []


def test_only_files_of_version_1_have_a_fingerprint_without_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it otherwise, whatever was made from an old file would be out of date."""
    monkeypatch.setitem(KINDS, "metrics", replace(KINDS["metrics"], version=1))
    old = [sample("metrics").write(tmp_path / f"{seed}.h5", {**RECIPE, "revision": seed}) for seed in (1, 2)]
    monkeypatch.undo()
    new = sample("metrics").write(tmp_path / "new.h5")
    assert fingerprint(old[0]) == fingerprint(old[1]) != fingerprint(new)
