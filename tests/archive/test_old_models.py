"""Models that an earlier version trained: those with kept settings are used as they are, the others refused by name.

They were made, like the superpixels that they learned from, by the last version that had the settings that are gone,
from two two-colour images of 16 x 16 pixels, by `TRAIN` and, for mixed.h5, with `--set mix=0.2` besides.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from toy import write_images
from typed import unseg

from unsegcli import store
from unsegcli.errors import ConfigError
from unsegcli.methods._load import find_method
from unsegcli.methods._older import REMOVED, of_today

MODELS = Path(__file__).parent / "models"
SETS = ("width=2", "features=2", "batch=2", "crop=16", "shrink=1", "guide_batches=1")
TRAIN = ["train", "superpixels.h5", "--method", "infoseg", "--classes", "2", "--steps", "2", "--workers", "1"]
TRAIN += [word for pair in SETS for word in ("--set", pair)]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the old files, as the working folder."""
    for path in MODELS.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)


def error_of(*arguments: str, expect: int = 1) -> str:
    lines = unseg(*arguments, expect=expect).stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


def test_a_model_of_kept_settings_clusters_images() -> None:
    with store.open_artifact("kept.h5", "model") as artifact:
        assert set(REMOVED["infoseg"]) < set(json.loads(artifact.attributes["config"]))
    write_images(Path("images"), 2, 16, 16)
    for given in ([], ["images"]):
        assert unseg("cluster", "kept.h5", *given, "-o", "out.h5", "--workers", "1").stdout == "out.h5\n"
        with store.open_artifact("out.h5", "segmentation") as artifact:
            assert set(np.unique(artifact.read("segmentation", 0))) <= {0, 1}
            confidence = artifact.table("windows/confidence")
        assert ((confidence >= 0.5) & (confidence <= 1)).all()


def test_a_model_of_kept_settings_differs_in_the_version_of_its_method_only() -> None:
    """Its first grouping gave the place in the image another weight."""
    assert "was trained in another way (another version of the method);" in error_of(*TRAIN, "-o", "kept.h5")


def test_a_model_of_a_setting_that_is_gone_is_refused_by_its_name() -> None:
    gone = "it was trained with mix = 0.2, which this version no longer supports"
    assert gone in error_of("cluster", "mixed.h5")
    assert gone in error_of(*TRAIN, "-o", "mixed.h5")
    assert unseg(*TRAIN, "-o", "mixed.h5", "--force").stdout == "mixed.h5\n"
    assert unseg("cluster", "mixed.h5", "--workers", "1").stdout == "segmentation.h5\n"


def test_a_setting_that_is_gone_cannot_be_given() -> None:
    Path("old.toml").write_text("mix = 0.1\n")
    assert "mix: this setting of infoseg was removed; leave it out" in error_of(*TRAIN, "--set", "mix=0.1", expect=2)
    assert "mix: this setting of infoseg was removed; leave it out" in error_of(
        *TRAIN, "--config", "old.toml", expect=2
    )


@pytest.mark.parametrize("method", REMOVED)
def test_what_is_gone_is_gone(method: str) -> None:
    present = vars(find_method(method).module.Config())
    assert not set(REMOVED[method]) & set(present)
    assert {gone.needs for gone in REMOVED[method].values()} - {""} <= set(REMOVED[method]) | set(present)


@pytest.mark.parametrize(
    ("settings", "fine"),
    [
        ({"light": 0.1, "context": 2}, True), ({"light": 0.1, "context": 0}, False),
        ({"light": 0.0, "context": 2}, False), ({"light": 0.0, "context": 0}, True),
        ({"context_flip": False, "context": 0}, True), ({"context_flip": False, "context": 2}, False),
        ({"turn": 15.0, "flip": True, "consistency_light": 0.4, "consistency": 0.0}, True),
        ({"consistency": 1.0}, False), ({"memory": 0.9, "mix": 0.0}, True), ({"mix": 0.1}, False),
        ({"local_block": "b"}, False), ({"hard": True}, False), ({"optimizer": "sgd", "anything": 1}, True), ({}, True),
    ],
)  # fmt: skip
def test_which_values_mean_what_the_code_does(settings: dict[str, object], fine: bool) -> None:
    if fine:
        expected = {name: value for name, value in settings.items() if name not in REMOVED["infoseg"]}
        assert of_today("infoseg", settings) == expected
        return
    with pytest.raises(ConfigError, match=f"it was trained with {next(iter(settings))} = "):
        of_today("infoseg", settings)


def test_a_file_of_ones_own_of_the_same_name_has_lost_nothing() -> None:
    settings = {"mix": 0.5, "by_area": False}
    assert of_today("infoseg 0123456789abcdef", settings) == settings
