"""Every preset file fits the settings that it is for."""

from __future__ import annotations

import math
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from unsegcli import params
from unsegcli.errors import ConfigError
from unsegcli.methods._load import find_method, method_names
from unsegcli.params import K_MEANS, MODEL, OBJECTS, Cluster, Iem, Probe, Retrieve
from unsegcli.presets import FOLDER, preset_names, read_preset

OWNERS = {"iem": Iem, "cluster": Cluster, "probe": Probe, "retrieve": Retrieve}
FILES = [(owner, name) for owner in OWNERS for name in preset_names(owner)]


def test_every_file_has_an_owner() -> None:
    methods = {path.stem for path in (FOLDER.parent / "methods").glob("[a-z]*.py")}
    assert {path.stem.split("-")[0] for path in FOLDER.glob("*.toml")} <= {*OWNERS, *methods}
    assert preset_names("iem") == ["cars", "cub", "flowers", "flowers-figures"]
    assert preset_names("segnet") == ["iem"]
    assert preset_names("cluster") == ["maskcontrast-voc"]
    assert preset_names("probe") == ["maskcontrast-voc"]
    assert preset_names("retrieve") == ["maskcontrast-voc-7"]


def allowed(kind: Any) -> set[type]:
    """The types of a setting, such as int and str of `int | str`."""
    return {get_origin(one) or one for one in (get_args(kind) if isinstance(kind, UnionType) else (kind,))}


@pytest.mark.parametrize(("owner", "name"), FILES)
def test_every_key_is_a_setting_of_the_right_type(owner: str, name: str) -> None:
    settings = read_preset(owner, name)
    types = get_type_hints(OWNERS[owner], vars(params))
    assert settings
    assert [key for key, value in settings.items() if type(value) not in allowed(types[key])] == []


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


def test_preset_of_maskcontrast_is_the_published_clustering() -> None:
    published = read_preset("cluster", "maskcontrast-voc")
    assert published["threshold"] == pytest.approx(1 / (1 + math.exp(-0.5)), abs=1e-5), "a logit of 0.5"
    assert (published["pooling"], published["squash"], published["mini_batch"]) == ("logit", 512, 1000)
    assert (published["classes"], published["seed"], published["starts"]) == (20, 1234, 3)
    of_models = {
        one.name for one in fields(Cluster) if one.metadata and one.metadata["option"].panel in (MODEL, OBJECTS)
    }
    assert set(published) == of_models | {"classes", "starts", "iterations", "seed"}, "every setting is pinned"
    assert not {one.name for one in fields(Cluster) if one.metadata and one.metadata["option"].panel == K_MEANS} & (
        set(published) - {"starts"}
    ), "settings of k-means on regions and bands are refused with a model"


def test_presets_of_probe_and_retrieve_are_the_published_protocols() -> None:
    """Every setting but those of the images and of how they are divided is pinned."""
    clustered = read_preset("cluster", "maskcontrast-voc")
    objects = {name: clustered[name] for name in ("objects", "threshold", "pooling", "squash")}
    looked_up = read_preset("retrieve", "maskcontrast-voc-7")
    assert looked_up.items() >= objects.items()
    assert looked_up["only"] == ("bus", "aeroplane", "car", "person", "cat", "cow", "bottle")
    images = {"halves", "fit_on", "score_on", "seed", "ignore", "labels", "legend", "method", "floors"}
    assert set(looked_up) == {one.name for one in fields(Retrieve)} - images - {"proposals"}
    linear = read_preset("probe", "maskcontrast-voc")
    assert set(linear) == {one.name for one in fields(Probe)} - images
    assert (linear["learning_rate"], linear["momentum"], linear["weight_decay"]) == (0.1, 0.9, 1e-4)
    assert (linear["epochs"], linear["batch"], linear["squash"], linear["best_epoch"]) == (60, 16, 512, False)


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
