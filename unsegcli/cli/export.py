"""`unseg export`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Export, Inputs, Run

TAKES = Takes(
    kinds=("model",),
    run=("output", "force"),
    terminal=("quiet", "verbose"),
    argument="A model. Default: a path from a pipe, else a model in the working folder.",
)


@command("export", Export, TAKES)
def export(inputs: Inputs, params: Export, run: Run) -> Any:
    """Write parts of a model for other programs.

    The weights of a backbone have torchvision's names, for fine-tuning elsewhere. The file has the format safetensors,
    which holds numbers only and cannot run code.

    Example:  unseg export model.h5 -o weights.safetensors
    """
    from unsegcli.stages.export import export as stage

    return stage(inputs, params, run)
