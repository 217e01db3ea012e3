"""`unseg probe`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unsegcli.cli._command import command
from unsegcli.cli._subjects import (
    divided_how,
    floors_of_subject,
    networks_of,
    row_of_subject,
    show_subjects,
    takes_subjects,
)
from unsegcli.cli._tables import Part, Table, print_parts, with_spread
from unsegcli.params import Inputs, Probe, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.dataflow.score_files import SubjectScores

ARGUMENT = (
    "Models, each on its training data or on the images or superpixels named after it; superpixels, whose features are "
    "those of k-means; or files of features. Default: paths from a pipe, else a file in the working folder."
)
TAKES = takes_subjects(ARGUMENT)


def _show(found: SubjectScores, run: Run, terminal: Terminal) -> None:
    show_subjects(found, terminal, describe_probes)


@command("probe", Probe, TAKES, _show)
def probe(inputs: Inputs, params: Probe, run: Run) -> Any:
    """Measure what vectors contain, by a linear probe.

    A linear classifier is trained on the labels of one half of the images and scored on the other half, both ways.
    The scores measure a representation; they are no result of a method without labels.

    Examples:  unseg probe sp.h5 model.h5   |   unseg probe model.h5 new/   |   unseg probe model.h5 --per pixel
    """
    from unsegcli.stages.probe import probe as stage

    return stage(inputs, params, run)


def show_probes(result: dict[str, Any]) -> None:
    """Print scores as tables."""
    print_parts(describe_probes(result))


def describe_probes(result: dict[str, Any]) -> Iterator[Part]:
    """Yield one row for each file; and floors, what is possible, and what one gets for nothing."""
    runs = result.get("runs", [result])
    first = runs[0]
    compare = [row for run in runs for row in floors_of_subject(run, len(runs) > 1)]
    if first["ceiling"] is not None:
        ceiling = {name: first["ceiling"][name] for name in first["scores"]}
        compare.append({"file": "ceiling", **with_spread(ceiling.items(), {})})
    chance = {"accuracy": first["chance"]["largest_class"], "miou": first["chance"]["largest_class_miou"]}
    compare.append({"file": "chance: largest class", **with_spread(chance.items(), {})})
    chosen = "; the epoch is chosen on labels" if "chosen on labels" in first["labels_used"] else ""
    title = f"linear probe, trained and scored on labels{chosen}; {divided_how(first)}"
    yield Table([row_of_subject(run) for run in runs], title, compare)
    yield from networks_of(runs)
