"""Every preset file fits the settings that it is for."""

from __future__ import annotations

from dataclasses import fields
from typing import get_origin, get_type_hints

import pytest

from unsegcli import params
from unsegcli.errors import ConfigError
from unsegcli.params import Iem
from unsegcli.presets import FOLDER, preset_names, read_preset

OWNERS = {"iem": Iem}
FILES = [(owner, name) for owner in OWNERS for name in preset_names(owner)]


def test_every_file_has_an_owner() -> None:
    methods = {path.stem for path in (FOLDER.parent / "methods").glob("[a-z]*.py")}
    assert {path.stem.split("-")[0] for path in FOLDER.glob("*.toml")} <= {*OWNERS, *methods}
    assert preset_names("iem") == ["cars", "cub", "flowers", "flowers-figures"]
    assert preset_names("segnet") == ["iem"]


@pytest.mark.parametrize(("owner", "name"), FILES)
def test_every_key_is_a_setting_of_the_right_type(owner: str, name: str) -> None:
    settings = read_preset(owner, name)
    types = get_type_hints(OWNERS[owner], vars(params))
    assert settings
    assert {key: type(value) for key, value in settings.items()} == {
        key: get_origin(types[key]) or types[key] for key in settings
    }


@pytest.mark.parametrize(("owner", "name"), FILES)
def test_every_file_says_what_it_is_and_where_it_differs(owner: str, name: str) -> None:
    text = (FOLDER / f"{owner}-{name}.toml").read_text()
    assert text.startswith("# ")
    assert "Deviation:" in text


def test_squares_of_the_published_sets() -> None:
    squares = {name: read_preset("iem", name)["square"] * 128 for name in preset_names("iem")}
    assert squares == {"flowers": 78, "flowers-figures": 78, "cub": 44, "cars": 92}


def test_both_readings_of_the_weight_of_diversity() -> None:
    """The published program's, which is the default, and half of it, which the paper's figures fit."""
    published, shown = read_preset("iem", "flowers"), read_preset("iem", "flowers-figures")
    assert (published["diversity"], shown["diversity"]) == (1e-3, 5e-4)
    assert {**shown, "diversity": 1e-3} == published
    assert Iem(**published) == Iem()


@pytest.mark.parametrize("name", preset_names("iem"))
def test_presets_of_iem_pin_every_setting_that_the_masks_depend_on(name: str) -> None:
    apart = {"confidence", "trace"}  # what is stored or drawn besides the masks
    assert set(read_preset("iem", name)) == {one.name for one in fields(Iem)} - apart


def test_several_parts_are_said_to_be_recursive() -> None:
    """In the help and in every preset, since the paper writes one objective for all parts."""
    texts = [(FOLDER / f"iem-{name}.toml").read_text().lower() for name in preset_names("iem")]
    assert all("recursive" in text for text in [*texts, Iem.__dataclass_fields__["parts"].metadata["option"].help])


def test_name_with_and_without_its_owner() -> None:
    assert read_preset("iem", "iem-cub") == read_preset("iem", "cub") != read_preset("iem", "cars")
    assert read_preset("iem", None) == {}


@pytest.mark.parametrize("name", ["nonsense", "", "../iem-cub", "cub.toml"])
def test_wrong_name_lists_the_right_ones(name: str) -> None:
    with pytest.raises(ConfigError, match="cars, cub, flowers, flowers-figures"):
        read_preset("iem", name)
