"""`unseg features`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Features, Inputs, Run

TAKES = Takes(
    kinds=("superpixels",),
    images=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "device", "workers", "dask", "force", "dry_run", "shard"),
)


@command("features", Features, TAKES)
def features(inputs: Inputs, params: Features, run: Run) -> Any:
    """Compute features of images by a pretrained network.

    There is one vector for each superpixel, or for each cell of the network's grid if the input has no superpixels.
    What the weights were learned from, and their licence, is printed and stored. Pretrained on labels, a network is not
    free of labels.

    Examples:  unseg features sp.h5 --backbone lite0   |   unseg features photos/ --backbone timm:resnet50 --layers 3,4
    """
    from unsegcli.stages.features import features as stage

    return stage(inputs, params, run)
