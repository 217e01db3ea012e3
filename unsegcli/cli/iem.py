"""`unseg iem`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Iem, Inputs, Run

TAKES = Takes(
    kinds=("superpixels",),
    images=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "workers", "dask", "force", "dry_run", "shard"),
    preset=True,
)


@command("iem", Iem, TAKES)
def iem(inputs: Inputs, params: Iem, run: Run) -> Any:
    """Segment each image into foreground and background.

    The method, inpainting error maximization, needs no training: foreground and background are chosen so that neither
    can be inpainted from the other.

    Examples:  unseg iem photos/ -o masks.h5   |   unseg iem photos/ --square 0.35 --trace ways/
    """
    from unsegcli.stages.iem import iem as stage

    return stage(inputs, params, run)
