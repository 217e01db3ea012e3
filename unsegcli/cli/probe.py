"""`unseg probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unsegcli import console
from unsegcli.cli._command import Takes, command
from unsegcli.cli._guard import refuse_skipped
from unsegcli.cli._tables import print_networks, print_rows, print_scores, with_spread
from unsegcli.params import Inputs, Probe, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.stages.probe import ProbeScores

ARGUMENT = (
    "Models, each on its training data or on the images or superpixels named after it; superpixels, whose features are "
    "those of k-means; or files of features. Default: paths from a pipe, else a file in the working folder."
)
TAKES = Takes(
    kinds=("model", "features", "superpixels"),
    images=True,
    finds_images=False,
    folded=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "device", "workers", "force"),
    terminal=("json", "skip_bad", "quiet", "verbose"),
    argument=ARGUMENT,
    preset=True,
)


def _show(found: ProbeScores, run: Run, terminal: Terminal) -> None:
    print_scores(found.scores, terminal, show_probes)
    console.note(f"scores saved in {found.path}")
    refuse_skipped(found.skipped, skip_bad=terminal.skip_bad)


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
    """Print one row for each file and its floors, and rows of what is possible and of what one gets for nothing."""
    runs = result.get("runs", [result])
    first = runs[0]
    rows = []
    for run in runs:
        rows.append(_row(run["input"], run, run["vectors"]["dimensions"]))
        rows += [_row(f"  floor: {floor['of']}", floor, floor["dimensions"]) for floor in run["floors"]]
    if first["ceiling"] is not None:
        ceiling = {name: first["ceiling"][name] for name in first["scores"]}
        rows.append({"file": "ceiling", **with_spread(ceiling.items(), {})})
    chance = {"accuracy": first["chance"]["largest_class"], "miou": first["chance"]["largest_class_miou"]}
    rows.append({"file": "chance: largest class", **with_spread(chance.items(), {})})
    halves = first["protocol"]["halves"]
    images = f"mean and deviation over {halves} random halves" if halves else "on the images of the lists"
    chosen = "; the epoch is chosen on labels" if "chosen on labels" in first["labels_used"] else ""
    print_rows(f"linear probe, trained and scored on labels{chosen}; {images}", rows)
    for run in runs:
        print_networks(run, f"{run['input']}: " if len(runs) > 1 else "")


def _row(name: str, found: dict[str, Any], dimensions: int) -> dict[str, Any]:
    return {"file": name, "dimensions": dimensions, **with_spread(found["scores"].items(), found["spread"])}
