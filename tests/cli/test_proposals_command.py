"""`unseg proposals` as typed, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import MakeImages
from PIL import Image
from reading_back import parameters_of
from typed import one_line, unseg

from unsegcli import store

QUICK = ["--cue", "mr", "--size", "48", "--workers", "1"]


@pytest.fixture
def here(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_images(count=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_the_path_goes_to_standard_output(here: Path) -> None:
    assert unseg("proposals", *QUICK).stdout == "proposals.h5\n"
    again = unseg("proposals", *QUICK)
    assert again.stdout == "proposals.h5\n"
    assert "up to date" in again.stderr


def test_commands_that_do_not_take_proposals_by_themselves_say_so(here: Path) -> None:
    unseg("proposals", "data", "--cue", "otsu", "--workers", "1", "-o", "nuclei.h5")
    for command in ("export", "evaluate", "visualize"):
        failed = unseg(command, expect=1)
        assert f"name the input as in `unseg {command} nuclei.h5`, since proposals must be named" in failed.stderr


def test_consensus_in_300_pixels_is_the_default(here: Path) -> None:
    unseg("proposals", "data", "--limit", "1", "--workers", "1")
    assert (parameters_of("proposals.h5")["method"], parameters_of("proposals.h5")["size"]) == ("consensus", [300])


def test_every_setting_can_be_given(here: Path) -> None:
    unseg("proposals", "data", *QUICK, "--smallest", "0.02", "--area", "0.05,0.9", "--confidence", "-o", "a.h5")
    found = parameters_of("a.h5")
    expected = {"method": "mr", "size": [48], "smallest": 0.02, "area": [0.05, 0.9], "confidence": True, "clean": True}
    assert {name: found[name] for name in expected} == expected
    unseg("proposals", "data", "--cue", "mr", "--scale", "0.5", "--no-clean", "--workers", "1")
    assert parameters_of("proposals.h5")["clean"] is False
    with store.open_artifact("proposals.h5") as artifact:
        assert artifact.table("windows/grid").tolist() == [[24, 32]] * 2
    unseg(
        "proposals", "data", "--cue", "otsu", "--phases", "3", "--polarity", "dark", "--separate", "1.5", "-o", "o.h5"
    )
    found = parameters_of("o.h5")
    expected = {"method": "otsu", "size": [], "smallest": 5e-5, "area": [0, 1], "phases": 3, "polarity": "dark"}
    assert {name: found[name] for name in expected} == expected
    assert found["separate"] == 1.5


def test_masks_of_another_tool(here: Path) -> None:
    (here / "masks").mkdir()
    for number in range(2):
        Image.fromarray(np.eye(48, 64, dtype=np.uint8)).save(here / "masks" / f"p{number}.png")
    unseg("proposals", "data", "--masks", "masks", "--workers", "1")
    with store.open_artifact("proposals.h5") as artifact:
        np.testing.assert_array_equal(artifact.read("segmentation", 1), np.eye(48, 64))
    Image.fromarray(np.zeros((64, 48), np.uint8)).save(here / "masks" / "p1.png")
    message = one_line(unseg("proposals", "data", "--masks", "masks", expect=1))
    assert "p1.png: the mask is 64 x 48, but p1.png is 48 x 64" in message


def test_proposals_are_not_taken_from_the_folder_but_when_they_are_named(here: Path) -> None:
    unseg("proposals", *QUICK)
    for command in ("evaluate", "visualize"):
        assert "no input given" in one_line(unseg(command, expect=1))
    assert unseg("export", "proposals.h5", "--to", "png").stdout == "export\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--smallest", "2"], "--smallest 2"),
        (["--ceu", "mr"], "--ceu"),
        (["--smallest", "few"], "--smallest few"),
        (["--cue", "rdb"], "rbd, mr, iem, consensus"),
        (["--cue", "mbd"], "rbd, mr, iem, consensus"),
        (["--masks", "masks", "--cue", "mr"], "give one of them"),
        (["--size", "64", "--scale", "0.5"], "give one of them"),
        (["--method", "otsu"], "is now called --cue"),
        (["--phases", "4"], "--phases 4: must be a whole number from 2 to 3"),
        (["--cue", "otsu", "--polarity", "given"], "--polarity given: must be one of auto, bright, dark"),
        (["--polarity", "dark"], "only for --cue otsu or kmeans; add --cue otsu or kmeans, or leave it out"),
        (["--area", "0.1"], "--area 0.1"),
        (["--area", "0.9,0.1"], "--area 0.9,0.1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_typing_errors_are_one_line(arguments: list[str], message: str, here: Path) -> None:
    assert message in one_line(unseg("proposals", "data", *arguments, expect=2))
    assert not list(here.glob("*.h5*"))


def test_missing_masks_are_an_error(here: Path) -> None:
    assert "no such folder" in one_line(unseg("proposals", "data", "--masks", "nowhere", expect=1))
    assert not list(here.glob("*.h5*"))


def test_empty_folder_is_an_error(here: Path) -> None:
    (here / "empty").mkdir()
    assert "empty" in one_line(unseg("proposals", "empty", expect=1))


def test_artifacts_have_their_pixels_already(here: Path) -> None:
    unseg("superpixels", "data", "-o", "sp.h5", "--pixels-per-segment", "100", "--workers", "1")
    assert "do not apply" in one_line(unseg("proposals", "sp.h5", "--patch", "20", expect=2))
    assert "already has superpixels" in one_line(unseg("proposals", "sp.h5", "--size", "20", expect=2))
    assert unseg("proposals", "sp.h5", "--cue", "rbd").stdout == "proposals.h5\n"


def test_bad_image_fails_the_command_but_not_the_file(here: Path) -> None:
    (here / "data" / "z.png").write_bytes(b"broken")
    result = unseg("proposals", "data", *QUICK, expect=1)
    assert result.stdout == "proposals.h5\n"
    assert "z.png" in result.stderr
    unseg("proposals", "data", *QUICK, "--skip-bad")
