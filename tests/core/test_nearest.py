"""Products and bounds find the nearest centre that a plain search in float64 finds, also in close calls."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core import kmeans as module
from unsegcli.core.kmeans import assign, kmeans
from unsegcli.core.nearest import (
    FEW_POINTS,
    BoundedSearch,
    Search,
    by_products,
    distances_to_own,
    exact_nearest,
    frame_of,
    rounded,
    screen_of,
    squared_distances,
)

KINDS = ("plain", "ties", "far", "tiny", "huge", "repeated", "float32")


def points_of(kind: str, seed: int, count: int = 700, dimensions: int = 6) -> NDArray[np.floating]:
    """Points (points, dimensions) that are easy, or hard to tell apart."""
    plain = np.random.default_rng(seed).normal(size=(count, dimensions))
    made: dict[str, NDArray[np.floating]] = {
        "plain": plain,
        "ties": np.round(plain),
        "far": plain * 1e-4 + 1e6,
        "tiny": plain * 1e-160,
        "huge": plain * 1e139,
        "repeated": np.repeat(plain[: count // 10], 10, axis=0),
        "float32": plain.astype(np.float32),
    }
    return made[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("search", [Search, BoundedSearch])
def test_a_search_finds_what_a_plain_search_finds(kind: str, search: type) -> None:
    rows = points_of(kind, 0)
    columns = np.ascontiguousarray(rows.T, np.float64)
    screen = screen_of(columns)
    if search is BoundedSearch and not screen.frame.usable:
        pytest.skip("k-means does not use it there")
    chance = np.random.default_rng(1)
    centres = columns[:, chance.choice(len(rows), 9)].T.copy()
    found = search(screen, *((rows,) if search is BoundedSearch else ()), centres)
    before = found.nearest.copy()
    np.testing.assert_array_equal(before, exact_nearest(columns, centres)[0])
    for step in range(12):
        centres = centres + (centres - columns[:, :9].T) * chance.uniform(-1, 1, (9, 1)) * 0.5**step
        changed = found.move(centres)
        nearest, squared = exact_nearest(columns, centres)
        np.testing.assert_array_equal(found.nearest, nearest)
        np.testing.assert_array_equal(changed, nearest != before)
        np.testing.assert_array_equal(distances_to_own(columns, centres, nearest), squared)
        before = nearest


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_proved_is_so_and_most_is_proved(kind: str) -> None:
    rows = points_of(kind, 2).astype(np.float64)
    centres = rows[np.random.default_rng(3).choice(len(rows), 7)]
    frame = frame_of(rows)
    found = by_products(*rounded(frame(rows)), frame(centres))
    nearest = exact_nearest(np.ascontiguousarray(rows.T), centres)[0]
    np.testing.assert_array_equal(found.nearest[found.proved], nearest[found.proved])
    if kind in ("plain", "float32", "far"):
        assert found.proved.mean() > 0.99
    if kind in ("tiny", "huge"):
        assert not found.proved.any()


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_loops_give_the_same_bits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, weights = points_of(kind, 4), np.random.default_rng(5).integers(0, 9, 700)
    for spherical in (False, True):
        plain = kmeans(rows, 11, seed=0, starts=2, iterations=30, weights=weights, spherical=spherical)
        with monkeypatch.context() as patched:
            patched.setattr(module, "COMPILED_FROM", 0)
            fast = kmeans(rows, 11, seed=0, starts=2, iterations=30, weights=weights, spherical=spherical)
        np.testing.assert_array_equal(fast.centres, plain.centres)
        np.testing.assert_array_equal(fast.weights, plain.weights)
        assert (fast.inertias, fast.iterations) == (plain.inertias, plain.iterations)


@pytest.mark.parametrize("count", [1, 2, FEW_POINTS, FEW_POINTS + 1])
@pytest.mark.parametrize("each", [False, True])
def test_few_points_are_summed_in_the_same_order(count: int, each: bool) -> None:
    """Of as many dimensions as NumPy would sum in pairs."""
    random = np.random.default_rng(5)
    columns = random.normal(0, 1, (300, count)) * 10.0 ** random.integers(-8, 8, (300, 1))
    centre = random.normal(0, 1, (300, count) if each else 300)
    expected = np.zeros(count)
    for values, position in zip(columns, centre, strict=True):
        expected += (values - position) ** 2
    room = np.empty(count)
    assert squared_distances(columns, centre, room) is room
    np.testing.assert_array_equal(room, expected)
    np.testing.assert_array_equal(squared_distances(columns, centre), expected)


def test_points_far_outside_of_the_centres_are_assigned_exactly() -> None:
    centres = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    rows = np.array([[1e30, 1e30], [1e30, -1e30], [-1e140, 3.0], [2.0, 2.0]])
    nearest = exact_nearest(np.ascontiguousarray(rows.T), centres)[0]
    np.testing.assert_array_equal(assign(rows, centres), nearest)
