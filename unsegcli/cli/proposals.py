"""`unseg proposals`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Proposals, Run

TAKES = Takes(kinds=("superpixels",), images=True, inputs=("mask", "source_folder", "limit"))


@command("proposals", Proposals, TAKES)
def proposals(inputs: Inputs, params: Proposals, run: Run) -> Any:
    """Propose one mask of an object for each image, for methods that learn from such masks.

    Nothing is learned here: the object is what is unlike the border of the image, or what cannot be filled in.

    Examples:  unseg proposals photos/ -o proposals.h5   |   unseg proposals photos/ --masks other-tool/
    """
    from unsegcli.stages.proposals import proposals as stage

    return stage(inputs, params, run)
