"""Pixels of drawings at known places, and keys that fit."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.palette import palette
from unsegcli.views import drawing
from unsegcli.views.drawing import Key, Tile

COLORS = np.array([[200, 0, 0], [0, 100, 250]], np.uint8)


def test_categories_have_their_colours_and_void_is_striped() -> None:
    shown = drawing.colored(np.array([[0, 1], [-1, 2]]), COLORS)
    assert shown[0].tolist() == COLORS.tolist()
    assert {tuple(color) for color in shown[1].tolist()} <= {tuple(color) for color in drawing.VOID.tolist()}


def test_overlay_mixes_the_colour_with_the_image_in_grey() -> None:
    image = np.full((4, 4, 3), (30, 60, 90), np.uint8)
    labels = np.zeros((4, 4), int)
    labels[3, 3] = -1
    shown = drawing.overlaid(image, labels, COLORS)
    grey = drawing.FADED[0] + drawing.FADED[1] * 60
    expected = np.round(drawing.OVERLAY * COLORS[0] + (1 - drawing.OVERLAY) * grey)
    assert shown[0, 0].tolist() == expected.tolist()
    assert shown[3, 3].tolist() in drawing.VOID.tolist()


@pytest.mark.parametrize("level", [0, 255])
def test_an_overlaid_colour_stays_nearest_to_its_own_over_black_and_white(level: int) -> None:
    colors = palette(8)
    image = np.full((1, 8, 3), level, np.uint8)
    shown = drawing.overlaid(image, np.arange(8)[None], colors)[0].astype(int)
    middle = drawing.overlaid(np.full((1, 8, 3), 128, np.uint8), np.arange(8)[None], colors)[0].astype(int)
    nearest = np.linalg.norm(shown[:, None] - middle[None], axis=2).argmin(axis=1)
    assert nearest.tolist() == list(range(8))


def test_errors_are_red_where_wrong_pale_where_right_striped_where_not_scored() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    shown = drawing.errors(image, np.array([[True, False, True]]), np.array([[True, True, False]]))[0].astype(int)
    assert shown[0, 0] > 150
    assert shown[0, 1:].max() < 60
    assert shown[1].min() > 180
    assert shown[2].tolist() in drawing.VOID.tolist()


def test_a_dark_image_is_stretched_over_its_valid_pixels_and_a_bright_one_is_left() -> None:
    image = np.repeat(np.linspace(10, 60, 400).astype(np.uint8).reshape(20, 20, 1), 3, axis=2)
    image[:2] = 255  # not valid
    valid = np.ones((20, 20), bool)
    valid[:2] = False
    shown = drawing.brightened(image, valid)
    assert shown is not None
    low, high = np.percentile(image[valid], (1, 99))
    np.testing.assert_allclose(shown[9, 9], (image[9, 9] - low) * 255 / (high - low), atol=0.51)
    assert (shown[valid].min(), shown[valid].max()) == (0, 255)
    assert drawing.brightened(image, np.ones((20, 20), bool)) is None, "bright once the border counts"
    assert drawing.brightened(image, np.zeros((20, 20), bool)) is None
    assert drawing.brightened(np.full((4, 4, 3), 7, np.uint8), np.ones((4, 4), bool)) is None, "nothing to stretch"


def test_the_key_of_errors_has_the_colour_of_a_right_pixel() -> None:
    image, right = np.full((1, 1, 3), 127, np.uint8), np.ones((1, 1), bool)
    assert drawing.errors(image, ~right, right)[0, 0].tolist() == list(drawing.RIGHT)


def test_outlines_run_where_regions_meet_and_nowhere_else() -> None:
    image = np.full((40, 40, 3), 20, np.uint8)
    regions = np.repeat(np.arange(2), 20)[None].repeat(40, axis=0)
    shown = drawing.outlined(image, regions)
    assert (shown[:, 19] == drawing.OUTLINES[0]).all()
    assert (np.delete(shown, 19, axis=1) == 20).all()
    bright = drawing.outlined(np.full((40, 40, 3), 240, np.uint8), regions)
    assert (bright[:, 19] == drawing.OUTLINES[1]).all()


def test_mean_colours_are_the_means() -> None:
    image = np.zeros((1, 4, 3), np.uint8)
    image[0, :, 0] = [10, 20, 200, 99]
    shown = drawing.mean_colors(image, np.array([[5, 5, 7, -1]]))
    assert shown[0, :3, 0].tolist() == [15, 15, 200]
    assert shown[0, 3].tolist() in drawing.VOID.tolist()


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (8, 8, (320, 320)),
        (256, 256, (256, 256)),
        (128, 100, (256, 200)),
        (481, 321, (481, 321)),
        (4000, 3000, (512, 384)),
        (20, 2000, (12, 1200)),
        (1, 10_000, (1, 1200)),
        (10_000, 1, (512, 1)),
        (2, 60, (26, 780)),
    ],
)
def test_tiles_are_large_enough_and_not_too_large(height: int, width: int, grid: tuple[int, int]) -> None:
    assert drawing.tile_grid(height, width) == grid


@pytest.mark.parametrize("shape", [(8, 8), (2, 900), (900, 2), (1, 1)])
def test_panels_of_any_shape_can_be_drawn(shape: tuple[int, int]) -> None:
    tile = drawing.fitted(np.full((*shape, 3), 7, np.uint8), drawing.tile_grid(*shape))
    names = tuple((f"a class with a long name {number}", (1, 2, number)) for number in range(40))
    keys = [Key("truth", names), Key("", ()), Key("", (("void", None),))]
    shown = drawing.panel("\x00 <b> \n水 " + "x" * 500, [Tile("picture", tile)] * 3, keys)
    assert (shown[:, -drawing.MARGIN :] == 255).all()  # nothing runs out at the right
    assert (shown == 7).all(axis=2).sum() == 3 * tile.shape[0] * tile.shape[1]
    assert drawing.contact_sheet("t", [Tile("name", tile)] * 5, keys).shape[1] <= 1800


def test_what_the_font_lacks_is_marked() -> None:
    assert drawing._drawable("Straße 水\n Bäume") == "Strasse ? Baume"


def test_a_contact_sheet_spreads_over_all_images() -> None:
    assert drawing.spread(3, 60) == [0, 1, 2]
    chosen = drawing.spread(1000, 60)
    assert len(set(chosen)) == 60
    assert chosen[0] < 20
    assert chosen[-1] > 980


def test_bands_become_colours() -> None:
    pixels = np.arange(10, dtype=np.uint8).reshape(1, 2, 5)
    assert drawing.as_rgb(pixels)[0].tolist() == [[0, 1, 2], [5, 6, 7]]
    assert drawing.as_rgb(pixels[:, :, :2])[0].tolist() == [[0, 0, 0], [5, 5, 5]]
