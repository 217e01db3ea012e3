"""`unseg iem` as typed: presets, what wins over them, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import MakeImages
from reading_back import parameters_of
from typed import one_line, unseg

from unsegcli import store
from unsegcli.params import Iem

QUICK = ["--iterations", "2", "--workers", "1"]


@pytest.fixture
def here(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_images(count=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parameters() -> dict[str, Any]:
    return parameters_of("segmentation.h5")


def test_only_the_path_goes_to_standard_output(here: Path) -> None:
    assert unseg("iem", *QUICK).stdout == "segmentation.h5\n"
    again = unseg("iem", *QUICK)
    assert again.stdout == "segmentation.h5\n"
    assert "up to date" in again.stderr
    assert parameters()["square"] == Iem.square
    with store.open_artifact("segmentation.h5") as artifact:
        assert artifact.attributes["role"] == "mask"


def test_result_goes_on_to_evaluate_and_visualize(here: Path) -> None:
    unseg("iem", "data", "-o", "masks.h5", *QUICK)
    assert unseg("export", "masks.h5", "--to", "png").stdout == "export\n"
    assert sorted(path.name for path in (here / "export").glob("*.png")) == ["p0.png", "p1.png"]


def test_preset_is_taken_and_an_option_wins_over_it(here: Path) -> None:
    unseg("iem", "data", "--preset", "cub", *QUICK)
    assert (parameters()["square"], parameters()["diversity"]) == (
        44 / 128,
        2.5e-4,
    )
    assert (parameters()["size"], parameters()["iterations"]) == ([128], 2)
    unseg("iem", "data", "--preset", "iem-cub", "--square", "0.5", *QUICK)
    assert (parameters()["square"], parameters()["diversity"]) == (0.5, 2.5e-4)
    unseg("iem", "data", "--preset", "cub", "--square", str(Iem.square), *QUICK)
    assert parameters()["square"] == Iem.square, "also where the option is what the default would be"


def test_every_setting_can_be_given(here: Path) -> None:
    given = "--size 40x50 --sigma 2 --kernel 5 --repeats 3 --scale-factor 2 --diversity 0.01 --init superpixels"
    rest = "--square 0.4 --crop --no-smooth --update all --confidence"
    unseg("iem", "data", *given.split(), *rest.split(), *QUICK)
    found = parameters()
    expected = {
        **{"size": [40, 50], "sigma": 2.0, "kernel": 5, "repeats": 3, "scale_factor": 2, "diversity": 0.01},
        **{"init": "superpixels", "square": 0.4, "crop": True, "smooth": False, "update": "all", "confidence": True},
        "iterations": 2,
    }
    assert {name: found[name] for name in expected} == expected
    unseg("iem", "data", "--parts", "4", *QUICK)
    assert parameters()["parts"] == 4


def test_scale_takes_the_place_of_the_default_size(here: Path) -> None:
    unseg("iem", "data", "--scale", "0.5", *QUICK)
    with store.open_artifact("segmentation.h5") as artifact:
        assert artifact.table("windows/grid").tolist() == [[24, 32]] * 2
    unseg("iem", "data", "--scale", "0.5", "--preset", "cub", *QUICK)
    with store.open_artifact("segmentation.h5") as artifact:
        assert artifact.table("windows/grid").tolist() == [[24, 32]] * 2
    unseg("iem", "data", *QUICK)
    with store.open_artifact("segmentation.h5") as artifact:
        assert artifact.table("windows/grid").tolist() == [[128, 171]] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "nonsense"], "cars, cub, flowers"),
        (["--kernel", "4"], "odd"),
        (["--init", "sqare"], "--init sqare"),
        (["--parts", "3", "--confidence"], "only for --parts 2"),
        (["--square", "60"], "between 0 and 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(arguments: list[str], message: str, here: Path) -> None:
    assert message in one_line(unseg("iem", "data", *arguments, expect=2))
    assert not list(here.glob("*.h5*"))


@pytest.mark.parametrize(
    "arguments",
    [["--sqare", "0.5"], ["--update", "some"], ["--sigma", "wide"], ["--size", "64", "--scale", "0.5"], ["--refine"]],
)
def test_typing_errors_are_one_line(arguments: list[str], here: Path) -> None:
    assert arguments[0] in one_line(unseg("iem", "data", *arguments, expect=2))


def test_artifacts_have_their_pixels_already(here: Path) -> None:
    unseg("superpixels", "data", "-o", "sp.h5", "--pixels-per-segment", "100", "--workers", "1")
    assert "do not apply" in one_line(unseg("iem", "sp.h5", "--patch", "20", expect=2))
    assert unseg("iem", "sp.h5", "--size", "32", *QUICK).stdout == "segmentation.h5\n"
    with store.open_artifact("segmentation.h5") as artifact:
        assert artifact.table("windows/grid").tolist() == [[48, 64]] * 2


def test_bad_image_fails_the_command_but_not_the_file(here: Path) -> None:
    (here / "data" / "z.png").write_bytes(b"broken")
    result = unseg("iem", "data", *QUICK, expect=1)
    assert result.stdout == "segmentation.h5\n"
    assert "z.png" in result.stderr
    unseg("iem", "data", *QUICK, "--skip-bad")
