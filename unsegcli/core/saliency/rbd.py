"""Boundary connectivity (RBD): background is what holds on to the border of the image; no learning and no labels.

Zhu and others, *Saliency optimization from robust background detection*, CVPR 2014.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from unsegcli.core.saliency.otsu import otsu
from unsegcli.core.superpixels.graph import Graph, Links, Square, distances, stretched

SPREAD_OF_CONNECTIVITY = 1.0
SPREAD_OF_PLACE = 0.4  # in shares of the image's sides
SURELY_BACKGROUND, SURE_WEIGHT = 3.0, 1000.0  # connectivity above which a superpixel is held down, and how hard
WEIGHT_OF_BACKGROUND, WEIGHT_OF_NEIGHBOURS = 5.0, 0.1
LEAST_GEODESIC, MOST_GEODESIC, MOST_COLOUR = 5.0, 10.0, 20.0  # bounds of the two spreads below, in units of Lab
TOP = 0.01  # share of the adjacent pairs that counts as the strongest edges
RIDGE = 1e-9  # keeps the equations solvable for superpixels of which nothing is known


def boundary_saliency(graph: Graph) -> NDArray[np.float64]:
    """How much each superpixel stands out: (superpixel,), 0 to 1; zeros if nothing does."""
    if not graph.apart.any():
        return np.zeros(graph.count)
    spreads = spreads_of(graph)
    connectivity = boundary_connectivity(graph, spreads.clip, spreads.geodesic)
    background = 1 - np.exp(-(connectivity**2) / (2 * SPREAD_OF_CONNECTIVITY**2))
    contrast = background_contrast(graph, background)
    held = np.where(connectivity > SURELY_BACKGROUND, SURE_WEIGHT, background)
    return stretched(_optimised(graph, contrast, held, spreads.colour))


def boundary_connectivity(graph: Graph, clip: float, spread: float) -> NDArray[np.float64]:
    """Length along the border of what a superpixel belongs to, over the root of its size: (superpixel,)."""
    closeness = np.exp(-(_geodesic(graph, clip) ** 2) / (2 * spread**2))
    connectivity: NDArray[np.float64] = closeness[:, graph.border].sum(axis=1) / np.sqrt(closeness.sum(axis=1))
    return connectivity


def background_contrast(graph: Graph, background: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in colour to the background nearby: (superpixel,), 0 to 1; zeros below Otsu's threshold."""
    nearness = np.exp(-(distances(graph.centres) ** 2) / (2 * SPREAD_OF_PLACE**2))
    contrast = stretched((graph.apart * nearness) @ background)
    return np.where(contrast > otsu(contrast).at, contrast, 0.0)


class Spreads(NamedTuple):
    """What counts as a small difference of colours in an image, in units of Lab."""

    clip: float  # a step along a way that is free
    geodesic: float
    colour: float


def spreads_of(graph: Graph) -> Spreads:
    """The spreads that fit the colours of the image."""
    least = _mean_of_nearest(graph.apart, graph.adjacent)
    edges = np.sort(graph.apart[np.triu(graph.adjacent)])[::-1]
    top = float(edges[: max(1, round(TOP * len(edges)))].mean()) if len(edges) else 0.0
    geodesic = max(LEAST_GEODESIC, min(MOST_GEODESIC, 3 * least, top / 10))
    return Spreads(_mean_of_nearest(graph.apart, graph.near), geodesic, min(3 * least, 0.2 * top, MOST_COLOUR))


def _mean_of_nearest(apart: Square, links: Links) -> float:
    """Mean distance of superpixels to the most alike that they are linked with; those without a link are left out."""
    least = np.where(links, apart, np.inf).min(axis=1)
    known = least[np.isfinite(least)]
    return float(known.mean()) if len(known) else 0.0


def _geodesic(graph: Graph, clip: float) -> Square:
    """Sum of the colour steps, less `clip` each, along the easiest way; all of the border is linked."""
    one, other = np.nonzero(graph.bordered(graph.adjacent))
    steps = np.maximum(0.0, graph.apart[one, other] - clip)
    # Explicit zeros are links of length zero.
    ways: Square = dijkstra(csr_array((steps, (one, other)), shape=graph.apart.shape), directed=False)
    return ways


def _optimised(
    graph: Graph, contrast: NDArray[np.float64], background: NDArray[np.float64], spread: float
) -> NDArray[np.float64]:
    """The values that follow contrast and background where these are sure, and are alike where colours are."""
    links = graph.bordered(graph.near)
    alike = np.exp(-(graph.apart**2) / (2 * spread**2)) if spread > 0 else (graph.apart == 0).astype(np.float64)
    weights = np.where(links, alike, 0.0) + WEIGHT_OF_NEIGHBOURS * graph.adjacent
    diagonal = weights.sum(axis=1) + WEIGHT_OF_BACKGROUND * background + contrast + RIDGE
    found: NDArray[np.float64] = np.linalg.solve(np.diag(diagonal) - weights, contrast)
    return found
