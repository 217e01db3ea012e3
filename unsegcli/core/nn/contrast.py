"""Contrastive loss between pixels and mean vectors of objects, and loss of objectness.

Sums are over all processes, so that the mean of their losses is the loss of the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.nn.distributed_sums import rank, ranks, summed

EVEN = 1.02  # in the weight of an image, 1 / ln(1.02 + its share of the foreground)


def object_means(vectors: Tensor, masks: Tensor) -> Tensor:
    """Compute the mean direction of each image's object: (batch, dimensions) of length 1; 0 for an empty mask.

    Args:
        vectors: (batch, dimensions, rows, columns), of any length.
        masks: (batch, rows, columns), bool.
    """
    directions = functional.normalize(vectors, dim=1)
    sums = torch.einsum("bdrc,brc->bd", directions, masks.to(directions.dtype))
    return functional.normalize(sums, dim=1)


def pixel_contrast(
    vectors: Tensor,
    masks: Tensor,
    means: Tensor,
    usable: Tensor,
    others: Tensor,
    temperature: float,
    same: Tensor | None = None,
) -> Tensor:
    """Cross entropy of classifying each foreground pixel by the object that it belongs to, weighted by image.

    Args:
        vectors: (batch, dimensions, rows, columns) of this process, of any length.
        masks: (batch, rows, columns), bool; pixels outside are not used.
        means: (all, dimensions) of length 1, of objects in the other view, over all processes; without gradient.
        usable: (all,) which images have an object in both views; only these are used.
        others: (count, dimensions) of length 1: objects of earlier steps.
        temperature: divisor of the cosines.
        same: (batch, all + count), bool: objects of the same image, which are no negatives; None = only its own.
    """
    mine = slice(rank() * len(vectors), (rank() + 1) * len(vectors))
    masks = masks & usable[mine, None, None]
    weights = image_weights(masks.sum((1, 2)))
    image, row, column = masks.nonzero(as_tuple=True)
    directions = functional.normalize(vectors, dim=1)[image, :, row, column]
    logits = torch.cat(
        [(directions @ means.T).masked_fill(~usable, -torch.inf), directions @ others.T], 1
    )  # (pixels, all + count)
    if same is not None:
        rows = torch.arange(len(image), device=image.device)
        left_out = same[image].index_put((rows, image + mine.start), torch.tensor(False, device=image.device))
        logits = logits.masked_fill(left_out, -torch.inf)
    surprise = functional.cross_entropy(logits / temperature, image + mine.start, reduction="none")
    weight = weights[image].to(surprise.dtype)
    total = summed(weight.sum()).clamp_min(torch.finfo(surprise.dtype).tiny)
    return ranks() * (weight * surprise).sum() / total


def image_weights(areas: Tensor) -> Tensor:
    """Compute 1 / ln(1.02 + p) for each image (batch,); p is its share of the foreground pixels of all processes."""
    total = summed(areas.sum().double()).clamp_min(1)
    return 1 / torch.log(EVEN + areas / total)


def balanced_entropy(logits: Tensor, masks: Tensor, valid: Tensor | None = None) -> Tensor:
    """Balanced binary cross entropy: object pixels are weighted by the share of background, and vice versa.

    Args:
        logits: (batch, rows, columns), above 0 = object.
        masks: (batch, rows, columns), bool: object pixels.
        valid: (batch, rows, columns), bool; None = all.
    """
    valid = torch.ones_like(masks) if valid is None else valid
    counts = summed(torch.stack([(valid & ~masks).sum(), valid.sum()]).to(logits.dtype))
    share = counts[0] / counts[1].clamp_min(1)
    each = torch.where(masks, share * functional.softplus(-logits), (1 - share) * functional.softplus(logits))
    return ranks() * (each * valid).sum() / counts[1].clamp_min(1)
