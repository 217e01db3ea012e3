"""`unseg prepare`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command, print_paths
from unsegcli.params import Inputs, Prepare, Run, Terminal

ARGUMENT = (
    "The name of a data set, see --list, then the files that its publishers offer: folders, zip or tar archives, "
    "unpacked or not."
)


def _name_and_sources(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    return words[1:], {"name": words[0] if words else ""}


def _show(result: Any, run: Run, terminal: Terminal) -> None:
    from unsegcli.cli._tables import Table, print_scores

    if isinstance(result, dict):
        print_scores(result, terminal, lambda found: [Table(found["sets"], "data sets")])
    else:
        print_paths(result, run, terminal)


TAKES = Takes(
    inputs=("limit",),
    terminal=("quiet", "verbose", "json"),
    argument=ARGUMENT,
    finds_inputs=False,
    divide=_name_and_sources,
)


@command("prepare", Prepare, TAKES, _show)
def prepare(inputs: Inputs, params: Prepare, run: Run) -> Any:
    """Bring a published data set into our layout.

    Writes images/, labels/, classes.toml and prepared.json, which says what was done: sizes, crops and merges are those
    of papers, and numbers of images are checked. All commands read the folder.

    Examples:  unseg prepare --list   |   unseg prepare potsdam-3 Potsdam.zip -o potsdam   |
    unseg prepare coco-stuff-3 COCO/ --names Few_train.txt --names Few_val.txt -o coco
    """
    from unsegcli.stages.prepare import prepare as stage

    return stage(inputs, params, run)
