"""Colour-blind-safe colours for categories; a number always has the same colour."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import DataError

Color = tuple[int, int, int]

# Paul Tol's "bright" scheme, made for colour-blind readers; further colours are chosen to differ most from these.
FIRST = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
LIGHTNESS = (35.0, 90.0)  # of further colours: neither black nor white, which mean void and error
MOST_CHROMA = 62.0  # saturated blues are far apart in CIELAB, but hard to distinguish
MOST_DISTINCT = 64  # more categories than this repeat the colours
CONFUSABLE = 18.0  # distance in Lab below which two colours can be confused
# What land cover, streets, photographs and microscopy usually show. Kinds of one thing have similar colours; things
# that are often seen together can be told apart, also by colour-blind readers.
USUAL_COLORS: dict[str, str] = {
    **{"water": "#5e99ee", "sea": "#23508d", "ocean": "#23508d", "river": "#5e99ee", "lake": "#4a86d8"},
    **{"tree": "#2f6a58", "forest": "#143c28", "bush": "#2f7d52", "vegetation": "#42ac69", "plant": "#42ac69"},
    **{"grass": "#e0eb81", "meadow": "#cfe06f", "lawn": "#e0eb81", "flower": "#e07bd0"},
    **{"crop": "#b8aa35", "field": "#b8aa35", "farmland": "#b8aa35"},
    **{"soil": "#4f3e14", "bare soil": "#4f3e14", "ground": "#837264", "sand": "#eae7b1", "beach": "#eae7b1"},
    **{"road": "#3e5e72", "street": "#3e5e72", "pavement": "#dfd6e3", "sidewalk": "#dfd6e3"},
    **{"building": "#f56c63", "house": "#f56c63", "roof": "#ba5228", "wall": "#f4c4b1"},
    **{"window": "#14a7b8", "door": "#413521", "car": "#7644a0", "vehicle": "#7644a0", "boat": "#7644a0"},
    **{"person": "#e75ea8", "people": "#e75ea8", "sky": "#7fc4f5", "cloud": "#bcbaa9"},
    **{"snow": "#e7f4e5", "ice": "#aad2df", "rock": "#837264", "shadow": "#263142"},
    **{"background": "#d6d0db", "nucleus": "#835bbc", "nuclei": "#835bbc", "cell": "#d27e96"},
}
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))


def palette(count: int) -> NDArray[np.uint8]:
    """Return the colours of categories 0 to count - 1: (count, 3). A longer palette begins with the shorter one."""
    distinct = _distinct()
    return distinct[np.arange(count) % len(distinct)]


def parse_color(text: str) -> Color:
    """Parse `#rrggbb` as (red, green, blue)."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise DataError(f"{text!r} is not a colour: write it as #rrggbb, such as #4477aa")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def usual_color(name: str) -> str | None:
    """Return the colour that a thing of this name, or of its plural, usually has on maps; None if there is none."""
    key = " ".join(name.lower().split())
    return USUAL_COLORS.get(key) or USUAL_COLORS.get(key.removesuffix("s"))


def class_colors(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """Choose the colours of classes: those given ("" = none), else the usual ones of their names, else the palette's.

    A usual colour is left out if it could be confused with a colour that is already taken.
    """
    found = list(given)
    for number, name in enumerate(names):
        wish = "" if found[number] else usual_color(name) or ""
        if wish and not confusable(wish, [color for color in found if color]):
            found[number] = wish
    settled = [color for color in found if color]
    for number, color in enumerate(map(hex_color, palette(len(names)).tolist())):
        if not found[number]:
            found[number] = unlike_color([one for one in found if one]) if confusable(color, settled) else color
    return found


def hex_color(color: Sequence[int]) -> str:
    """Write (red, green, blue) as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def unlike_color(used: Sequence[str]) -> str:
    """Return the first colour of the palette that cannot be confused with those used, else the most different one."""
    candidates = palette(MOST_DISTINCT)
    if not used:
        return hex_color(candidates[0].tolist())
    apart = _apart(candidates, used)
    best = int(np.flatnonzero(apart > CONFUSABLE)[0]) if (apart > CONFUSABLE).any() else int(apart.argmax())
    return hex_color(candidates[best].tolist())


def confusable(color: str, others: Sequence[str]) -> bool:
    """Return whether a colour can be confused with one of the others."""
    return bool(others) and nearest_distance(color, others) <= CONFUSABLE


def nearest_distance(color: str, others: Sequence[str]) -> float:
    """Return the distance of a colour to the nearest of the others."""
    return float(_apart(np.array([parse_color(color)], np.uint8), others)[0])


def _apart(colors: NDArray[np.uint8], others: Sequence[str]) -> NDArray[np.float64]:
    """Compute the distance of each colour to the nearest of the others."""
    nearest: NDArray[np.float64] = seen_distance(colors, np.array([*map(parse_color, others)], np.uint8)).min(axis=1)
    return nearest


def seen_distance(colors: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the minimum CIELAB distance of each pair in normal, protan and deutan vision: (colors, others)."""
    ours, theirs = _seen(colors), _seen(others)
    apart = np.sqrt(((ours[:, :, None, :] - theirs[:, None, :, :]) ** 2).sum(axis=3))
    least: NDArray[np.float64] = apart.min(axis=0)
    return least


@functools.cache
def _distinct() -> NDArray[np.uint8]:
    """Extend the base scheme greedily by the colour farthest from all previous ones."""
    levels = np.linspace(0, 255, 12).round().astype(np.uint8)
    candidates = np.array(list(itertools.product(levels, repeat=3)), np.uint8)
    lightness, green_red, blue_yellow = _seen(candidates)[0].T
    calm = np.hypot(green_red, blue_yellow) <= MOST_CHROMA
    candidates = candidates[(lightness >= LIGHTNESS[0]) & (lightness <= LIGHTNESS[1]) & calm]
    chosen = [parse_color(text) for text in FIRST]
    nearest = seen_distance(candidates, np.array(chosen, np.uint8)).min(axis=1)
    while len(chosen) < MOST_DISTINCT:
        best = candidates[int(nearest.argmax())]
        chosen.append((int(best[0]), int(best[1]), int(best[2])))
        nearest = np.minimum(nearest, seen_distance(candidates, best[None])[:, 0])
    return np.array(chosen, np.uint8)


def _seen(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert colours to CIELAB under each kind of vision: (sights, colors, 3)."""
    from skimage.color import rgb2lab

    unit = colors.astype(np.float64) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    sights = []
    for matrix in (np.eye(3), np.array(PROTANOPIA), np.array(DEUTERANOPIA)):
        seen = np.clip(linear @ matrix.T, 0, 1)
        gamma = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
        sights.append(rgb2lab(gamma[None])[0])
    return np.stack(sights)
