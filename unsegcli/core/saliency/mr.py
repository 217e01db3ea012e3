"""Manifold ranking (MR): what is unlike all four sides of the image, and then what is like that; nothing is learned.

Yang and others, *Saliency detection via graph-based manifold ranking*, CVPR 2013.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.graph import Graph, Square, stretched

ALPHA = 0.99  # how much the graph counts against the query
FALL = 10.0  # how fast the weight of a link falls with the difference in colour, which is brought to 0 to 1


def ranking_saliency(graph: Graph) -> NDArray[np.float64]:
    """How much each superpixel stands out: (superpixel,), 0 to 1; zeros if nothing does."""
    if not graph.apart.any():
        return np.zeros(graph.count)
    ranks = ranking_matrix(graph)
    unlike = np.prod([1 - stretched(ranks @ side) for side in graph.sides.astype(np.float64)], axis=0)
    queries = unlike > unlike.mean()
    return stretched(ranks @ queries.astype(np.float64))


def ranking_matrix(graph: Graph) -> Square:
    """How much each superpixel (row) ranks by a query (column): (Degrees - alpha W)^-1 with zeros on the diagonal.

    Links join superpixels that touch or have a neighbour in common, and all of those at the border.
    """
    links = graph.bordered(graph.near)
    weights = np.where(links, np.exp(-FALL * _unit(graph.apart, links)), 0.0)
    degrees = weights.sum(axis=1)
    degrees[degrees == 0] = 1.0  # all alone, amid void: it ranks 0 by any query
    ranks: Square = np.linalg.inv(np.diag(degrees) - ALPHA * weights).astype(np.float64, copy=False)
    np.fill_diagonal(ranks, 0.0)
    return ranks


def _unit(apart: Square, links: NDArray[np.bool_]) -> Square:
    """Distances of the links, brought to 0 to 1; what stands elsewhere means nothing."""
    result = np.zeros_like(apart)
    result[links] = stretched(apart[links])
    return result
