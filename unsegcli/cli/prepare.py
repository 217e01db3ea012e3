"""`unseg prepare`."""

from __future__ import annotations

import sys
from textwrap import wrap
from typing import Any

from unsegcli.cli._command import Takes, command, print_paths
from unsegcli.params import Inputs, Prepare, Run, Terminal

ARGUMENT = (
    "The name of a data set, see --list, then the files that its publishers offer: folders, zip or tar archives, "
    "unpacked or not."
)
LEAST_WIDTH = 40  # columns of the facts of a data set


def _name_and_sources(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    return words[1:], {"name": words[0] if words else ""}


def _show_sets(found: dict[str, Any]) -> list[str]:
    """Print the data sets, each with its facts below each other beside its name, and links whole; no table is left."""
    from unsegcli import console

    rows = found["sets"]
    margin = max(len(row["name"]) for row in rows) + 2
    width = max((console.width_of(sys.stdout) or console.USUAL_WIDTH) - margin, LEAST_WIDTH)
    for row in rows:
        images = f"{row['images']:,} images" if row["images"] else "number of images not known"
        classes = f", {row['classes']} classes" if row["classes"] else ""
        facts = [f"{row['what']}; {images}{classes}", row["licence"], row["link"]]
        lines = [line for fact in facts for line in wrap(fact, width, break_long_words=False, break_on_hyphens=False)]
        print(f"{row['name']:{margin}}{lines[0]}", *(" " * margin + line for line in lines[1:]), sep="\n")
    return []


def _show(result: Any, run: Run, terminal: Terminal) -> None:
    from unsegcli.cli._tables import print_scores

    if isinstance(result, dict):
        print_scores(result, terminal, _show_sets)
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
