"""`unseg relabel`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Relabel, Run

ARGUMENT = (
    "A segmentation, then rules: 3=water names cluster 3, 1+4=roof merges two clusters, roof=building renames a "
    "category. Default file: the path from a pipe, else a segmentation in the working folder."
)


def _files_and_rules(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    from unsegcli.names import files_and_rules

    files, rules = files_and_rules(words)
    return files, {"rules": rules}


TAKES = Takes(kinds=("segmentation",), run=("output", "force"), argument=ARGUMENT, divide=_files_and_rules)


@command("relabel", Relabel, TAKES)
def relabel(inputs: Inputs, params: Relabel, run: Run) -> Any:
    """Name, merge or renumber clusters.

    Examples:  unseg relabel segmentation.h5 3=water 1+4=roof   |   unseg relabel segmentation.h5 --names names.toml
    """
    from unsegcli.stages.relabel import relabel as stage

    return stage(inputs, params, run)
