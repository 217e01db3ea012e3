"""Saliency by manifold ranking (MR): dissimilarity from the four image sides, then similarity to the result.

Yang and others, *Saliency detection via graph-based manifold ranking*, CVPR 2013.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.graph import Graph, Square, stretched

ALPHA = 0.99  # weight of the graph against the query
FALL = 10.0  # decay of the link weight with the colour difference, rescaled to 0 to 1


def ranking_saliency(graph: Graph) -> NDArray[np.float64]:
    """Compute the saliency of each superpixel: (superpixel,), 0 to 1; zeros if there is none."""
    if not graph.apart.any():
        return np.zeros(graph.count)
    ranks = ranking_matrix(graph)
    unlike = np.prod([1 - stretched(ranks @ side) for side in graph.sides.astype(np.float64)], axis=0)
    queries = unlike > unlike.mean()
    return stretched(ranks @ queries.astype(np.float64))


def ranking_matrix(graph: Graph) -> Square:
    """Compute the rank of each superpixel (row) by each query (column): (D - alpha W)^-1 with zero diagonal.

    Links connect superpixels that are adjacent or have a common neighbour, and all superpixels at the border.
    """
    links = graph.bordered(graph.near)
    weights = np.where(links, np.exp(-FALL * _unit(graph.apart, links)), 0.0)
    degrees = weights.sum(axis=1)
    degrees[degrees == 0] = 1.0  # isolated by void: its rank is 0 for any query
    ranks: Square = np.linalg.inv(np.diag(degrees) - ALPHA * weights).astype(np.float64, copy=False)
    np.fill_diagonal(ranks, 0.0)
    return ranks


def _unit(apart: Square, links: NDArray[np.bool_]) -> Square:
    """Rescale the distances of the links to 0 to 1; other entries are meaningless."""
    result = np.zeros_like(apart)
    result[links] = stretched(apart[links])
    return result
