"""`unseg proposals`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Proposals, Run

TAKES = Takes(
    kinds=("superpixels",),
    images=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "workers", "dask", "force", "dry_run", "shard"),
)


@command("proposals", Proposals, TAKES)
def proposals(inputs: Inputs, params: Proposals, run: Run) -> Any:
    """Propose a mask of objects for each image.

    No training is needed: the object is what differs from the border of the image, or what cannot be inpainted. With
    --cue otsu or kmeans, objects are all that is brighter, or darker, than the background, as cells are.

    Examples:  unseg proposals photos/ -o proposals.h5   |   unseg proposals cells/ --cue otsu   |   unseg proposals
    photos/ --masks other-tool/
    """
    from unsegcli.stages.proposals import proposals as stage

    return stage(inputs, params, run)
