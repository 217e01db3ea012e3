"""Every preset file fits the settings that it is for."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from unsegcli import params
from unsegcli.errors import ConfigError
from unsegcli.methods._load import find_method, method_names
from unsegcli.params import Iem
from unsegcli.presets import FOLDER, preset_names, read_preset

OWNERS = {"iem": Iem}
FILES = [(owner, name) for owner in OWNERS for name in preset_names(owner)]


def test_every_file_has_an_owner() -> None:
    methods = {path.stem for path in (FOLDER.parent / "methods").glob("[a-z]*.py")}
    assert {path.stem.split("-")[0] for path in FOLDER.glob("*.toml")} <= {*OWNERS, *methods}
    assert preset_names("iem") == ["cars", "cub", "flowers"]
    assert preset_names("segnet") == ["iem"]


@pytest.mark.parametrize(("owner", "name"), FILES)
def test_every_key_is_a_setting_of_the_right_type(owner: str, name: str) -> None:
    settings = read_preset(owner, name)
    types = get_type_hints(OWNERS[owner], vars(params))
    assert settings
    assert {key: type(value) for key, value in settings.items()} == {key: types[key] for key in settings}


@pytest.mark.parametrize(("owner", "name"), FILES)
def test_every_file_says_what_it_is_and_where_it_differs(owner: str, name: str) -> None:
    text = (FOLDER / f"{owner}-{name}.toml").read_text()
    assert text.startswith("# ")
    assert "Deviation:" in text


def test_squares_of_the_published_sets() -> None:
    squares = {name: read_preset("iem", name)["square"] * 128 for name in preset_names("iem")}
    assert squares == {"flowers": 78, "cub": 44, "cars": 92}


def test_name_with_and_without_its_owner() -> None:
    assert read_preset("iem", "iem-cub") == read_preset("iem", "cub") != read_preset("iem", "cars")
    assert read_preset("iem", None) == {}


@pytest.mark.parametrize("name", ["nonsense", "", "../iem-cub", "cub.toml"])
def test_wrong_name_lists_the_right_ones(name: str) -> None:
    with pytest.raises(ConfigError, match="cars, cub, flowers"):
        read_preset("iem", name)


METHOD_PRESETS = [(method, name) for method in method_names() for name in preset_names(method)]


@pytest.mark.parametrize(("method", "name"), METHOD_PRESETS)
def test_a_preset_of_a_method_pins_every_setting(method: str, name: str) -> None:
    """So that a new default never changes what a preset means."""
    settings = read_preset(method, name)
    types = get_type_hints(find_method(method).module.Config)
    assert types.keys() - settings.keys() == set()
    assert {key: type(value) for key, value in settings.items()} == {key: types[key] for key in settings}


@pytest.mark.parametrize("name", preset_names("inmars"))
def test_presets_of_inmars_weigh_as_imsat(name: str) -> None:
    """IMSAT minimises R + 0.1 x information: the perturbations count ten times as much. A start as VAT's is short."""
    settings = read_preset("inmars", name)
    assert settings["noise_weight"] == settings["space_weight"] == 10
    assert settings["probe"] <= 0.01
