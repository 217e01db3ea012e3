"""The palette: stable as it grows, and far enough apart for every kind of sight."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from unsegcli.core.palette import (
    CONFUSABLE,
    FIRST,
    MOST_DISTINCT,
    USUAL_COLORS,
    class_colors,
    confusable,
    hex_color,
    palette,
    parse_color,
    seen_distance,
    usual_color,
)
from unsegcli.errors import DataError


@pytest.mark.parametrize("count", [0, 1, 7, 8, 20, MOST_DISTINCT])
def test_a_longer_palette_begins_with_the_shorter_one(count: int) -> None:
    assert palette(count).shape == (count, 3)
    np.testing.assert_array_equal(palette(count), palette(MOST_DISTINCT)[:count])


def test_it_begins_with_the_scheme_for_colour_blind_readers() -> None:
    np.testing.assert_array_equal(palette(len(FIRST)), [parse_color(text) for text in FIRST])


@pytest.mark.parametrize(("count", "least"), [(7, 12.0), (12, 12.0), (30, 9.0), (MOST_DISTINCT, 5.0)])
def test_any_two_colours_differ_for_everybody(count: int, least: float) -> None:
    apart = seen_distance(palette(count), palette(count))
    assert apart[~np.eye(count, dtype=bool)].min() > least


def test_more_categories_than_colours_begin_again() -> None:
    long = palette(2 * MOST_DISTINCT + 3)
    np.testing.assert_array_equal(long[MOST_DISTINCT:], long[: MOST_DISTINCT + 3])


def test_distance_is_that_of_the_weakest_sight() -> None:
    red, green = np.array([[200, 60, 60]], np.uint8), np.array([[100, 110, 60]], np.uint8)
    assert seen_distance(red, red)[0, 0] == 0
    from skimage.color import rgb2lab

    normal = np.linalg.norm(rgb2lab(red[None] / 255) - rgb2lab(green[None] / 255))
    assert seen_distance(red, green)[0, 0] < normal / 2  # as protanopes see them


def test_colours_are_parsed() -> None:
    assert parse_color("#4477aA") == (0x44, 0x77, 0xAA)
    for text in ("4477aa", "#4477a", "#4477ag", "red", "#4477aa\n"):
        with pytest.raises(DataError, match="not a colour"):
            parse_color(text)


@pytest.mark.parametrize(
    "together",
    [
        "water forest grass crop sand road building car shadow",
        "water tree grass crop soil sand road building vehicle shadow cloud",
        "sky vegetation wall window door roof road car sidewalk",
        "sky tree building road car person grass water",
        "sky cloud sea sand grass rock person snow",
        "nucleus cell background",
    ],
)
def test_usual_colours_of_things_seen_together_are_not_confused(together: str) -> None:
    names = together.split()
    shown = np.array([parse_color(USUAL_COLORS[name]) for name in names], np.uint8)
    apart = seen_distance(shown, shown)
    for one, other in itertools.combinations(range(len(names)), 2):
        assert apart[one, other] > CONFUSABLE - 0.5, f"{names[one]} and {names[other]}"


def test_water_is_blue_and_names_are_found_in_any_case_and_number() -> None:
    red, green, blue = parse_color(USUAL_COLORS["water"])
    assert blue > green > red
    assert usual_color(" Water") == USUAL_COLORS["water"]
    assert usual_color("Trees") == USUAL_COLORS["tree"]
    assert usual_color("Bare  soil") == USUAL_COLORS["bare soil"]
    assert usual_color("cluster 3") is None
    assert all(name == name.lower() for name in USUAL_COLORS)
    assert usual_color("s") is None


def test_classes_have_their_usual_colours_where_these_can_be_told_apart() -> None:
    usual = class_colors(["tree", "Trees", "asphalt", "water"], ["", "", "", "#e02020"])
    assert (usual[0], usual[3]) == (USUAL_COLORS["tree"], "#e02020")
    assert usual[1] != usual[0], "the same thing twice"
    assert all(not confusable(color, usual[:number]) for number, color in enumerate(usual))
    assert class_colors(["0", "1"], ["", ""]) == [hex_color(color) for color in palette(2).tolist()]
