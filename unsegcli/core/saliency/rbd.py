"""Saliency by boundary connectivity (RBD): background is connected to the image border; without learning or labels.

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
SPREAD_OF_PLACE = 0.4  # as a share of the image sides
SURELY_BACKGROUND, SURE_WEIGHT = 3.0, 1000.0  # connectivity of certain background, and the weight of this term
WEIGHT_OF_BACKGROUND, WEIGHT_OF_NEIGHBOURS = 5.0, 0.1
LEAST_GEODESIC, MOST_GEODESIC, MOST_COLOUR = 5.0, 10.0, 20.0  # bounds of the two spreads below, in units of CIELAB
TOP = 0.01  # share of adjacent pairs considered as the strongest edges
RIDGE = 1e-9  # makes the equations solvable for superpixels without any term


def boundary_saliency(graph: Graph) -> NDArray[np.float64]:
    """Compute the saliency of each superpixel: (superpixel,), 0 to 1; zeros if there is none."""
    if not graph.apart.any():
        return np.zeros(graph.count)
    spreads = spreads_of(graph)
    connectivity = boundary_connectivity(graph, spreads.clip, spreads.geodesic)
    background = 1 - np.exp(-(connectivity**2) / (2 * SPREAD_OF_CONNECTIVITY**2))
    contrast = background_contrast(graph, background)
    held = np.where(connectivity > SURELY_BACKGROUND, SURE_WEIGHT, background)
    return stretched(_optimised(graph, contrast, held, spreads.colour))


def boundary_connectivity(graph: Graph, clip: float, spread: float) -> NDArray[np.float64]:
    """Compute boundary connectivity: border length over square root of area of the soft region: (superpixel,)."""
    closeness = np.exp(-(_geodesic(graph, clip) ** 2) / (2 * spread**2))
    connectivity: NDArray[np.float64] = closeness[:, graph.border].sum(axis=1) / np.sqrt(closeness.sum(axis=1))
    return connectivity


def background_contrast(graph: Graph, background: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the background-weighted contrast: (superpixel,), 0 to 1; zeros up to Otsu's threshold."""
    nearness = np.exp(-(distances(graph.centres) ** 2) / (2 * SPREAD_OF_PLACE**2))
    contrast = stretched((graph.apart * nearness) @ background)
    return np.where(contrast > otsu(contrast).at, contrast, 0.0)


class Spreads(NamedTuple):
    """Scales of small colour differences in an image, in units of CIELAB."""

    clip: float  # colour differences up to this do not add to a path
    geodesic: float
    colour: float


def spreads_of(graph: Graph) -> Spreads:
    """Adapt the spreads to the colours of the image."""
    least = _mean_of_nearest(graph.apart, graph.adjacent)
    edges = np.sort(graph.apart[np.triu(graph.adjacent)])[::-1]
    top = float(edges[: max(1, round(TOP * len(edges)))].mean()) if len(edges) else 0.0
    geodesic = max(LEAST_GEODESIC, min(MOST_GEODESIC, 3 * least, top / 10))
    return Spreads(_mean_of_nearest(graph.apart, graph.near), geodesic, min(3 * least, 0.2 * top, MOST_COLOUR))


def _mean_of_nearest(apart: Square, links: Links) -> float:
    """Average the distance of superpixels to their most similar linked superpixel; unlinked ones are skipped."""
    least = np.where(links, apart, np.inf).min(axis=1)
    known = least[np.isfinite(least)]
    return float(known.mean()) if len(known) else 0.0


def _geodesic(graph: Graph, clip: float) -> Square:
    """Compute geodesic distances: the smallest sum of colour steps above `clip`; border superpixels are linked."""
    one, other = np.nonzero(graph.bordered(graph.adjacent))
    steps = np.maximum(0.0, graph.apart[one, other] - clip)
    # Explicit zeros are edges of length zero.
    ways: Square = dijkstra(csr_array((steps, (one, other)), shape=graph.apart.shape), directed=False)
    return ways


def _optimised(
    graph: Graph, contrast: NDArray[np.float64], background: NDArray[np.float64], spread: float
) -> NDArray[np.float64]:
    """Solve for saliency values by least squares: background, foreground and smoothness terms."""
    links = graph.bordered(graph.near)
    alike = np.exp(-(graph.apart**2) / (2 * spread**2)) if spread > 0 else (graph.apart == 0).astype(np.float64)
    weights = np.where(links, alike, 0.0) + WEIGHT_OF_NEIGHBOURS * graph.adjacent
    diagonal = weights.sum(axis=1) + WEIGHT_OF_BACKGROUND * background + contrast + RIDGE
    found: NDArray[np.float64] = np.linalg.solve(np.diag(diagonal) - weights, contrast)
    return found
