"""Boundary connectivity and manifold ranking: against plain loops, on shapes, on what has nothing to show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.saliency.mr import ranking_saliency
from unsegcli.core.saliency.otsu import otsu
from unsegcli.core.saliency.rbd import boundary_connectivity, boundary_saliency, spreads_of
from unsegcli.core.superpixels.graph import Graph, graph_of
from unsegcli.core.superpixels.regions import contiguous, paint
from unsegcli.core.superpixels.slic import slic

Saliency = Callable[[Graph], NDArray[np.float64]]
Values = NDArray[np.float64]
BOTH = [boundary_saliency, ranking_saliency]


def squares(height: int, width: int, side: int) -> NDArray[np.int32]:
    rows, columns = np.arange(height) // side, np.arange(width) // side
    return contiguous((rows[:, None] * -(-width // side) + columns).astype(np.int32))


def textured(
    height: int = 90, width: int = 120, bands: int = 3, seed: int = 0, top: int = 25, left: int = 35
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A bright box on a dark ground, both with a texture, and the box."""
    random = np.random.default_rng(seed)
    box = np.zeros((height, width), np.bool_)
    box[max(0, top) : top + 40, max(0, left) : left + 45] = True
    wave = 15 * np.sin(np.arange(width) / 2.5)[None, :, None]
    plain = np.where(box[:, :, None], np.linspace(210, 120, bands), np.linspace(60, 80, bands))
    return np.clip(plain + wave + random.normal(0, 5, (height, width, bands)), 0, 255).astype(np.uint8), box


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def found_in(
    pixels: NDArray[np.uint8], saliency: Saliency, valid: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    regions = slic(pixels, valid, 150, 10.0)
    graph = graph_of(pixels, regions)
    values = saliency(graph)
    assert values.shape == (graph.count,)
    assert ((values >= 0) & (values <= 1)).all()
    return paint(values > otsu(values, graph.areas).at, regions, False)


# ---------------------------------------------------------------------------------------- plain loops


def plain_geodesic(graph: Graph, clip: float) -> Values:
    """All shortest ways, by trying every stop on the way."""
    count = graph.count
    way = np.full((count, count), np.inf)
    for i in range(count):
        way[i, i] = 0.0
        for j in range(count):
            if i != j and (graph.adjacent[i, j] or (graph.border[i] and graph.border[j])):
                way[i, j] = max(0.0, float(np.linalg.norm(graph.colours[i] - graph.colours[j])) - clip)
    for stop in range(count):
        for i in range(count):
            for j in range(count):
                way[i, j] = min(way[i, j], way[i, stop] + way[stop, j])
    return way


def plain_neighbours(graph: Graph, hops: int) -> list[set[int]]:
    first = [set(np.flatnonzero(row).tolist()) for row in graph.adjacent]
    if hops == 1:
        return first
    return [(near | {far for other in near for far in first[other]}) - {i} for i, near in enumerate(first)]


def plain_distance(graph: Graph, i: int, j: int) -> float:
    return float(np.sqrt(((graph.colours[i] - graph.colours[j]) ** 2).sum()))


def plain_boundary(graph: Graph) -> Values:
    count = graph.count
    apart = np.array([[plain_distance(graph, i, j) for j in range(count)] for i in range(count)])
    one, two = plain_neighbours(graph, 1), plain_neighbours(graph, 2)
    clip = np.mean([min(apart[i, j] for j in two[i]) for i in range(count)])
    least = np.mean([min(apart[i, j] for j in one[i]) for i in range(count)])
    edges = sorted((apart[i, j] for i in range(count) for j in one[i] if i < j), reverse=True)
    top = np.mean(edges[: max(1, round(0.01 * len(edges)))])
    geodesic_spread = max(5.0, min(10.0, 3 * least, top / 10))
    colour_spread = min(3 * least, 0.2 * top, 20.0)
    way = plain_geodesic(graph, clip)
    connectivity = np.zeros(count)
    for i in range(count):
        close = [np.exp(-(way[i, j] ** 2) / (2 * geodesic_spread**2)) for j in range(count)]
        connectivity[i] = sum(close[j] for j in range(count) if graph.border[j]) / np.sqrt(sum(close))
    background = 1 - np.exp(-(connectivity**2) / 2)
    contrast = np.zeros(count)
    for i in range(count):
        for j in range(count):
            place = ((graph.centres[i] - graph.centres[j]) ** 2).sum()
            contrast[i] += apart[i, j] * np.exp(-place / (2 * 0.4**2)) * background[j]
    contrast = (contrast - contrast.min()) / (contrast.max() - contrast.min())
    contrast[contrast <= otsu(contrast).at] = 0.0
    held = np.where(connectivity > 3, 1000.0, background)
    equations = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            weight = 0.0
            if i != j and (j in two[i] or (graph.border[i] and graph.border[j])):
                weight += np.exp(-(apart[i, j] ** 2) / (2 * colour_spread**2))
            if j in one[i]:
                weight += 0.1
            equations[i, i] += weight
            equations[i, j] -= weight
        equations[i, i] += 5 * held[i] + contrast[i]
    values = np.linalg.solve(equations, contrast)
    result: Values = (values - values.min()) / (values.max() - values.min())
    return result


def plain_ranking(graph: Graph) -> Values:
    count = graph.count
    two = plain_neighbours(graph, 2)
    linked = [
        (i, j)
        for i in range(count)
        for j in range(count)
        if i != j and (j in two[i] or (graph.border[i] and graph.border[j]))
    ]
    lengths = {pair: plain_distance(graph, *pair) for pair in linked}
    low, high = min(lengths.values()), max(lengths.values())
    weights = np.zeros((count, count))
    for pair, length in lengths.items():
        weights[pair] = np.exp(-10 * (length - low) / (high - low))
    ranks = np.linalg.inv(np.diag(weights.sum(axis=1)) - 0.99 * weights)
    for i in range(count):
        ranks[i, i] = 0.0
    unlike = np.ones(count)
    for side in graph.sides:
        rank = ranks @ side
        unlike *= 1 - (rank - rank.min()) / (rank.max() - rank.min())
    values = ranks @ (unlike > unlike.mean())
    result: Values = (values - values.min()) / (values.max() - values.min())
    return result


@pytest.mark.parametrize("bands", [3, 5])
@pytest.mark.parametrize(
    ("saliency", "plain"), [(boundary_saliency, plain_boundary), (ranking_saliency, plain_ranking)]
)
def test_values_are_those_of_plain_loops(saliency: Saliency, plain: Saliency, bands: int) -> None:
    pixels, _ = textured(60, 70, bands, top=12, left=14)
    graph = graph_of(pixels, squares(60, 70, 10))
    np.testing.assert_allclose(saliency(graph), plain(graph), atol=1e-6)


# ---------------------------------------------------------------------------------------- boundary connectivity


def test_connectivity_of_two_plain_parts_by_hand() -> None:
    """Far-off colours: a part of n superpixels, b of them at the border, has b over the root of n."""
    regions = squares(5, 5, 1)
    pixels = np.zeros((5, 5, 3), np.uint8)
    pixels[1:3, 1:4] = 255
    graph = graph_of(pixels, regions)
    found = boundary_connectivity(graph, clip=0.0, spread=5.0)
    inside = pixels[:, :, 0].ravel() > 0
    np.testing.assert_allclose(found[inside], 0, atol=1e-6)
    np.testing.assert_allclose(found[~inside], 16 / np.sqrt(19), rtol=1e-6)


def test_spreads_have_bounds() -> None:
    quiet = graph_of(textured(seed=1)[0] // 8, squares(90, 120, 10))
    assert spreads_of(quiet).geodesic == 5.0
    random = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    loud = spreads_of(graph_of(random, squares(20, 20, 1)))
    assert loud.geodesic == 10.0
    assert loud.colour <= 20.0


# ---------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("saliency", BOTH)
@pytest.mark.parametrize("bands", [1, 3, 4, 7])
def test_object_in_the_middle_is_found(saliency: Saliency, bands: int) -> None:
    pixels, box = textured(bands=bands)
    assert iou(found_in(pixels, saliency), box) > 0.85


def test_object_at_the_border_is_found_by_connectivity() -> None:
    pixels, box = textured(top=-10, left=35)
    assert iou(found_in(pixels, boundary_saliency), box) > 0.8


@pytest.mark.parametrize("saliency", BOTH)
def test_void_frame_moves_the_border(saliency: Saliency) -> None:
    pixels, box = textured()
    valid = np.zeros(box.shape, np.bool_)
    valid[8:-8, 12:-12] = True
    found = found_in(pixels, saliency, valid)
    assert not found[~valid].any()
    assert iou(found, box) > 0.85
    pixels[~valid] = np.random.default_rng(5).integers(0, 256, (int((~valid).sum()), 3))
    np.testing.assert_array_equal(found_in(pixels, saliency, valid), found)


@pytest.mark.parametrize("saliency", BOTH)
def test_island_amid_void_does_no_harm(saliency: Saliency) -> None:
    pixels, box = textured()
    regions = squares(90, 120, 10)
    around = np.zeros(box.shape, np.bool_)
    around[30:60, 40:70] = True
    around[40:50, 50:60] = False
    values = saliency(graph_of(pixels, contiguous(regions, ~around)))
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("saliency", BOTH)
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_image_has_the_same_values(saliency: Saliency, turns: int) -> None:
    pixels, _ = textured(90, 90)
    regions = slic(pixels, None, 100, 10.0)
    straight = paint(saliency(graph_of(pixels, regions)), regions, 0.0)
    turned_regions = np.ascontiguousarray(np.rot90(regions, turns))
    turned = saliency(graph_of(np.ascontiguousarray(np.rot90(pixels, turns)), turned_regions))
    np.testing.assert_allclose(np.rot90(paint(turned, turned_regions, 0.0), -turns), straight, atol=1e-9)


@pytest.mark.parametrize("saliency", BOTH)
def test_numbering_of_superpixels_is_no_matter(saliency: Saliency) -> None:
    pixels, _ = textured()
    regions = squares(90, 120, 10)
    order = np.random.default_rng(3).permutation(int(regions.max()) + 1).astype(np.int32)
    values, others = (saliency(graph_of(pixels, numbered)) for numbered in (regions, order[regions]))
    np.testing.assert_allclose(others[order], values, atol=1e-9)


@pytest.mark.parametrize("saliency", BOTH)
@pytest.mark.parametrize(
    ("pixels", "side"),
    [
        (np.full((30, 40, 3), 99, np.uint8), 10),
        (np.arange(36, dtype=np.uint8).reshape(3, 4, 3), 10),  # one superpixel
        (np.full((1, 1, 3), 7, np.uint8), 1),
        (np.full((20, 20, 4), 7, np.uint8), 5),
    ],
    ids=["flat", "one superpixel", "one pixel", "flat, four bands"],
)
def test_where_there_is_nothing_nothing_stands_out(saliency: Saliency, pixels: NDArray[np.uint8], side: int) -> None:
    values = saliency(graph_of(pixels, squares(*pixels.shape[:2], side)))
    assert (values == 0).all()


@pytest.mark.parametrize("saliency", BOTH)
@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (1, 9), (3, 3)])
def test_tiny_images_have_finite_values(saliency: Saliency, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    values = saliency(graph_of(pixels, squares(*shape, 1)))
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()
