"""Which crops show the same image: two of them are no negative pair."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from unsegcli import console
from unsegcli.core.nn.distributed_sums import rank
from unsegcli.methods._contract import Batch

UNKNOWN = -1  # number of an image that is like no other


def image_numbers(batch: Batch) -> Tensor:
    """Return the number of the image of each crop (batch,): a small dataset has some images twice in a batch."""
    if batch.image_numbers is not None:
        return batch.image_numbers
    count = len(batch.images)
    return rank() * count + torch.arange(count, device=batch.images.device)


def warn_of_single_image(batches: Iterator[Batch]) -> None:
    """Warn if the dataset, each image of which is in `batches` once, has one image only."""
    first = next(batches, None)
    if first is not None and len(first.images) == 1 and next(batches, None) is None:
        console.warn(
            "there is only one image, but this method compares each image with others: it learns nothing from such "
            "comparisons here. Add images, or cut the image into windows (--patch)"
        )
