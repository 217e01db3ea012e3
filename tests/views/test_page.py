"""The parts of the page: maps that decode exactly, scripts that cannot be ended, suggestions, curves, names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from page_files import decoded

from unsegcli.core.geometry import sample_nearest
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.views import page
from unsegcli.views.about import facts, seen
from unsegcli.views.cluster_crops import MOST, BestPlaces, Place
from unsegcli.views.cluster_facts import facts_of, looks_of
from unsegcli.views.curves import MOST_POINTS, curves_of
from unsegcli.views.encoded_maps import encoded_map, map_grid
from unsegcli.views.merging import closest, distances_between, together, touching
from unsegcli.views.page_data import short_names


@pytest.mark.parametrize("largest", [0, 1, 254, 255, 256, 65_536, 1_000_000])
def test_maps_decode_exactly(largest: int) -> None:
    values = np.random.default_rng(largest).integers(-1, largest + 1, (5, 7)).astype(np.int32)
    values[0, :2] = -1, largest
    np.testing.assert_array_equal(decoded(encoded_map(values)), values)


def test_a_map_that_was_made_smaller_decodes_exactly() -> None:
    values = np.arange(600 * 50, dtype=np.int32).reshape(600, 50)
    smaller = sample_nearest(values, (300, 25))
    assert not smaller.flags.c_contiguous
    np.testing.assert_array_equal(decoded(encoded_map(smaller)), smaller)


def test_maps_are_at_most_as_large_as_a_screen_needs() -> None:
    assert map_grid((1600, 30)) == (1600, 30)
    assert map_grid((4000, 3200)) == (1600, 1280)
    assert map_grid((1, 9999)) == (1, 1600)


def test_no_text_can_end_a_script() -> None:
    evil = {"</script><!--": ["\u2028\u2029", "caf\udce9", "\ud800", "a\0b", "水", 1, None, True]}
    text = page.script("unseg.page", evil).decode("ascii")
    assert text.startswith("unseg.page(")
    for one in ("<", "\u2028", "\u2029"):
        assert one not in text
    found = json.loads(text[len("unseg.page(") : -3])
    assert found == {"</script><!--": ["\ufffd\ufffd", "caf\ufffd", "?", "a\ufffdb", "水", 1, None, True]}


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page.script("unseg.page", float("nan"))


def test_the_title_is_text() -> None:
    text = page.index('</title><script>alert("\udce9")').decode()
    assert "<title>&lt;/title&gt;&lt;script&gt;alert(&quot;\ufffd&quot;)</title>" in text


def test_names_of_files_need_no_quoting() -> None:
    assert page.addressable(["a#1.png", "50%.png", "caf\udce9.png", "水 1.png"]) == [
        "a_1.png", "50_.png", "caf_.png", "水 1.png",
    ]  # fmt: skip


def test_distances_between_merged_clusters_are_those_of_their_nearest_centres() -> None:
    centres = np.array([[0.0, 0], [3, 4], [0, 1]])
    apart = distances_between(centres, np.array([0, 1, 1]), 3)
    assert apart[0, 1] == 1
    assert np.isinf(apart[2]).all()


def test_touching_is_relative_to_chance() -> None:
    found = touching([(0, 1, 6), (1, 2, 2)], 4)
    # Borders of 6, 8 and 2 of 16 in all: 0 and 1 would share 6 * 8 / 16 = 3.
    np.testing.assert_allclose(found[0], [0, 2, 0, 0])
    np.testing.assert_allclose(found[2], [0, 2, 0, 0])


def test_the_closest_clusters_are_suggested_first() -> None:
    apart = np.array([[0, 4, 1, 9.0], [4, 0, 2, np.inf], [1, 2, 0, 9], [9, np.inf, 9, 0]])
    touch = np.array([[0, 3, 1, 0], [3, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0.0]])
    found = closest(apart, touch, np.array([0, 1, 2]), "Their centres are")
    # The ranks by distance are 1, 1/2, 0; those by borders 1/2, 0, 1.
    assert [one.clusters for one in found] == [(0, 2), (0, 1), (1, 2)]
    assert [one.closeness for one in found] == [0.75, 0.5, 0.25]
    assert found[0].why == (
        "Their centres are 50% as far apart as usual, and they touch 1.0 times as often as at random."
    )
    assert (1, 3) not in [one.clusters for one in closest(apart, touch, np.arange(4), "")]
    assert closest(apart, touch, np.array([1, 3]), "") == []


def test_equal_pairs_are_equally_close() -> None:
    assert together(np.array([0.0, 0, 5, 0])).tolist() == [1 / 3, 1 / 3, 1, 1 / 3]


def test_looks_are_colour_and_roughness() -> None:
    rgb = np.zeros((4, 8, 3), np.uint8)
    rgb[:, 4:] = 255
    rgb[::2, :4] = 119  # lightness 50 and 0 in turns
    found = looks_of(np.repeat([[0, 1]], 4, axis=1).repeat(4, axis=0).astype(np.int32), rgb)
    lightness, _, _, rough = (found.sums / found.pixels[:, None]).T
    assert lightness == pytest.approx([25, 100], abs=0.5)
    assert rough[0] == pytest.approx(50 * 3 / 4, abs=0.5)  # the first row has none above
    assert rough[1] == pytest.approx(75 / 4, abs=0.5)  # where it meets the other


@dataclass
class Confident:
    """A label map with confidence."""

    sure: NDArray[np.float16]
    source_grid: tuple[int, int] = (2, 2)

    def distances(self, grid: tuple[int, int]) -> None:
        return None

    def confidence(self, grid: tuple[int, int]) -> NDArray[np.float16]:
        return self.sure


@pytest.mark.parametrize(("role", "expected"), [("clusters", (1 + 0.5 + 0) / 3), ("mask", (1 + 0 + 1) / 3)])
def test_confidence_gives_the_certainty_where_there_are_no_distances(role: str, expected: float) -> None:
    item: Any = Confident(np.array([[1, 0.5], [0, 0]], np.float16))
    facts = facts_of(item, np.array([[0, 1], [1, -1]], np.int32), (2, 2), role, [1, 2, 1], None)
    assert facts.certainty == pytest.approx(expected)
    assert (facts.areas, facts.void, facts.by_distance) == (((0, 1), (1, 2)), 1, False)


def test_places_of_several_images_come_before_several_of_one() -> None:
    best = BestPlaces()
    for image in range(4):
        best.add(image, [Place(0, 0, rank, 1 - 0.1 * rank - 0.01 * image, (rank, 0, 4, 4)) for rank in range(3)])
    typical, doubtful = best.of(0)
    assert [(one.image, one.rank) for one in typical] == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1)]
    assert (len(typical), doubtful) == (MOST, [])


def test_a_place_is_not_shown_twice() -> None:
    best = BestPlaces()
    best.add(
        0, [Place(0, 0, 0, 0.5, (0, 0, 4, 4)), Place(0, 1, 0, 0.5, (0, 0, 4, 4)), Place(0, 1, 1, 0.4, (4, 0, 8, 4))]
    )
    assert [one.box for one in best.of(0)[1]] == [(4, 0, 8, 4)]


def test_curves_have_steps_and_leave_out_what_was_not_measured() -> None:
    history = {
        "loss": np.array([4, 3, np.nan, 1.0]),
        "watch-step": np.array([2.0, 4]),
        "watch-live_clusters": np.array([5.0, 8]),
        "classes-tried": np.array([4.0, 8]),
        "classes-stability": np.array([0.5, 0.9]),
        "restart-kept": np.array([1.0, 0]),
        "once": np.array([1.0]),
    }
    found = {one["name"]: (one["unit"], one["points"]) for one in curves_of(history)}
    assert found == {
        "loss": ("", [(1, 4.0), (2, 3.0), (4, 1.0)]),
        "live clusters": ("", [(2, 5.0), (4, 8.0)]),
        "stability by number of clusters": ("clusters", [(4, 0.5), (8, 0.9)]),
    }
    (long,) = curves_of({"loss": np.arange(4.0 * MOST_POINTS)})
    assert long["points"][:2] == [(4, 1.5), (8, 5.5)]
    assert len(long["points"]) == MOST_POINTS


def test_results_have_short_names_that_differ() -> None:
    def named(*paths: str) -> list[str]:
        return short_names([Predictions(path, "clusters", 2, (), {}, {}) for path in paths])

    assert named("x/a.h5", "y/b.h5") == ["a", "b"]
    assert named("x/a.h5", "y/a.h5") == ["x", "y"]
    assert named("x/a.h5", "y/a.h5", "b.h5") == ["x/a", "y/a", "b"]
    assert named("q/x/a.h5", "r/x/a.h5") == ["x/a 1", "x/a 2"]
    assert named("a.h5", "a.h5") == ["a 1", "a 2"]


def test_no_path_on_the_page_tells_where_the_working_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert seen(str(tmp_path / "maps" / "a.h5")) == "maps/a.h5"
    assert seen("../x/a.h5") == "../x/a.h5"  # as it was typed
    assert seen("/home/someone/a.h5") == "a.h5"
    run = Predictions("/home/someone/folder", "clusters", 2, (), {}, {})
    rows = dict(facts(run, {"labels": Path("/home/someone/labels"), "visualize limit": 0, "legend": None}))
    assert rows == {"input": "folder", "role": "clusters", "labels": "labels", "visualize limit": "0"}
