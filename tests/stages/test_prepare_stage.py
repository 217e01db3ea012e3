"""`unseg prepare` as it is typed, and what other commands make of its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from published_trees import potsdam_files, zipped
from typed import one_line, unseg

from unsegcli import store
from unsegcli.datasets import potsdam
from unsegcli.params import Inputs, Prepare, Run
from unsegcli.stages.prepare import prepare

TILES = 38
SIDE = 32  # of a patch, instead of 200


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(potsdam, "PATCH", SIDE)
    monkeypatch.setattr(potsdam, "TILE", 2 * SIDE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the archives of Potsdam, of small tiles."""
    images, labels = potsdam_files()
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/4_Ortho_RGBIR.zip").write_bytes(zipped(images))
    (tmp_path / "downloads/5_Labels_for_participants.zip").write_bytes(zipped(labels))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*more: str) -> str:
    done = unseg("prepare", "potsdam-3", "downloads", "-o", "out", "--workers", "1", *more)
    assert done.stdout == ("" if "--dry-run" in more else "out\n")
    return done.stderr


def test_every_command_reads_the_folder_as_typed(here: Path) -> None:
    typed()
    few = ["--workers", "1", "--limit", "30"]
    unseg("superpixels", "out", "-o", "sp.h5", "--segments", "9", *few)
    unseg("cluster", "sp.h5", "-o", "all.h5", "--classes", "3", "--workers", "1")
    unseg("cluster", "out/images/labelled", "--features", "bands", "-o", "labelled.h5", "--classes", "3", *few)
    for name, count in (("all.h5", 30), ("labelled.h5", 24)):
        with store.open_artifact(here / name) as artifact:
            assert len(artifact.table("sources/name")) == count
        scores = json.loads(unseg("evaluate", name, "--protocol", "iic", "--json", "-o", f"scores-{name}").stdout)
        assert scores["images"] == 24
        assert [one["class"] for one in scores["per_class"]] == [one.name for one in potsdam.MERGED]


def test_a_second_run_does_nothing_until_something_has_changed(here: Path) -> None:
    typed()
    made = (here / "out/prepared.json").stat().st_mtime_ns
    again = typed()
    assert "out is up to date: nothing to do" in again
    assert "labelled: 24 images, 24 with labels, but 5,400 and 5,400 are published" in again  # as before
    assert (here / "out/prepared.json").stat().st_mtime_ns == made
    (here / "downloads/new.txt").write_text("x")
    assert "will be replaced: other sources" in typed()
    again = unseg("prepare", "potsdam", "downloads", "-o", "out", "--workers", "1")
    assert "will be replaced: data set potsdam-3, now potsdam\n" in again.stderr


def test_what_was_written_among_the_sources_changes_nothing(here: Path) -> None:
    for _ in range(2):
        said = unseg("prepare", "potsdam", ".", "-o", "out", "--workers", "1").stderr
        unseg("superpixels", "out/images/unlabelled", "-o", "sp.h5", "--segments", "9", "--workers", "1")
    assert "out is up to date: nothing to do" in said


def test_a_dry_run_says_counts_and_bytes_and_writes_nothing(here: Path) -> None:
    said = typed("--dry-run")
    assert f"would write {TILES} images and 24 label maps of potsdam-3 to out: about 0.2 MB" in said
    assert sorted(one.name for one in here.iterdir()) == ["downloads"]


def test_the_first_images_are_prepared_with_their_labels(here: Path) -> None:
    typed("--limit", "5")
    images = sorted(one.stem for one in (here / "out/images").rglob("*.tif"))
    assert len(images) == 5
    assert images == sorted(one.stem for one in (here / "out/labels").rglob("*.png"))


def test_the_description_says_what_was_used(here: Path) -> None:
    typed("--limit", "3")
    about = json.loads((here / "out/prepared.json").read_text())
    assert about["labels_used"] == "converted for scoring"
    assert about["options"]["data_set"] == "potsdam-3"
    assert about["options"]["limit"] == 3
    assert about["as_published"] is False
    assert about["rules"]["scored_on"] == ["labelled"]
    assert len(about["read"]["digest"]) == 64
    assert json.loads((here / "out/unseg.json").read_text())["images"] == 3


def test_the_digest_of_what_was_read_is_that_of_the_content(here: Path) -> None:
    typed()
    first = json.loads((here / "out/prepared.json").read_text())["read"]["digest"]
    shutil.copytree(here / "downloads", here / "copies")
    copied = prepare(Inputs(["copies"]), Prepare(name="potsdam-3"), Run(output="copied", workers=1))
    assert not isinstance(copied, dict)
    assert json.loads((copied.path / "prepared.json").read_text())["read"]["digest"] == first
    content = bytearray((here / "copies/4_Ortho_RGBIR.zip").read_bytes())
    images, _ = potsdam_files()
    images["4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif"] = images["4_Ortho_RGBIR/top_potsdam_2_11_RGBIR.tif"]
    assert content != zipped(images)
    (here / "copies/4_Ortho_RGBIR.zip").write_bytes(zipped(images))
    changed = prepare(Inputs(["copies"]), Prepare(name="potsdam-3"), Run(output="changed", workers=1))
    assert not isinstance(changed, dict)
    assert json.loads((changed.path / "prepared.json").read_text())["read"]["digest"] != first


def test_an_error_in_a_worker_leaves_nothing_behind(here: Path) -> None:
    """Worker processes expect the published size of tiles."""
    done = unseg("prepare", "potsdam", "downloads", "-o", "out", "--workers", "2", expect=1)
    assert (
        "top_potsdam_2_10_RGBIR.tif is 64 x 64 x 4 of uint8, but 6000 x 6000 x 4 of uint8 is published" in done.stderr
    )
    assert not (here / "out").exists()
    assert not (here / "out.partial").exists()


def test_a_wrong_folder_is_named_with_what_is_needed(here: Path) -> None:
    (here / "empty").mkdir()
    for name, needed in (("potsdam-3", "4_Ortho_RGBIR.zip with 38 tiles"), ("folder", "a folder or archive of images")):
        said = one_line(unseg("prepare", name, "empty", "-o", "out", expect=1))
        assert f"empty: nothing of {name} can be prepared, it is incomplete: {needed}" in said


def test_many_missing_files_are_counted(here: Path) -> None:
    images, _ = potsdam_files()
    few = {name: content for name, content in images.items() if "_2_1" in name}
    (here / "downloads/4_Ortho_RGBIR.zip").write_bytes(zipped(few))
    said = one_line(unseg("prepare", "potsdam-3", "downloads", "-o", "out", expect=1))
    assert "potsdam-3 is incomplete: top_potsdam_3_10_RGBIR.tif (of 4_Ortho_RGBIR); " in said
    assert "; and 28 more; --incomplete prepares what is there" in said
    assert said.count("_RGBIR.tif") == 5


def test_a_file_is_no_name_of_a_folder(here: Path) -> None:
    said = one_line(unseg("prepare", "potsdam-3", "downloads", "-o", "out.h5", expect=2))
    assert "-o out.h5: prepare writes a folder of files; give the name of a folder" in said


def test_a_folder_of_others_is_not_replaced(here: Path) -> None:
    (here / "out").mkdir()
    (here / "out/mine.txt").write_text("mine")
    done = unseg("prepare", "potsdam", "downloads", "-o", "out", expect=1)
    assert "holds files that unseg did not make" in done.stderr


def test_the_next_command_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unsegcli.cli import _ending

    monkeypatch.setattr(_ending, "_is_last", lambda: True)
    assert typed().splitlines()[-1].endswith("next: unseg superpixels out")
