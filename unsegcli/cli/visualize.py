"""`unseg visualize`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Run, Visualize

ARGUMENT = (
    "Output of `unseg cluster` or `unseg superpixels`, or a folder of label maps from any tool. Default: the path "
    "from a pipe, else a file in the working folder."
)
TAKES = Takes(kinds=("segmentation", "superpixels"), inputs=("source_folder", "limit"), argument=ARGUMENT)


@command("visualize", Visualize, TAKES)
def visualize(inputs: Inputs, params: Visualize, run: Run) -> Any:
    """Show results and name clusters on a page.

    The page opens in a browser, without network. Several results of the same images are shown side by side. For files
    that other programs read, see `unseg export`.

    Example:  unseg visualize segmentation.h5 --metrics metrics.h5
    """
    from unsegcli.stages.visualize import visualize as stage

    return stage(inputs, params, run)
