"""`unseg proposals`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Proposals, Run

TAKES = Takes(kinds=("superpixels",), images=True, inputs=("mask", "source_folder", "limit"))


@command("proposals", Proposals, TAKES)
def proposals(inputs: Inputs, params: Proposals, run: Run) -> Any:
    """Propose one object mask for each image.

    The masks are for methods that learn from them. No training is needed: the object is what differs from the border of
    the image, or what cannot be inpainted.

    Examples:  unseg proposals photos/ -o proposals.h5   |   unseg proposals photos/ --masks other-tool/
    """
    from unsegcli.stages.proposals import proposals as stage

    return stage(inputs, params, run)
