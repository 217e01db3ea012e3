"""`unseg evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unsegcli import console
from unsegcli.cli._command import Takes, command
from unsegcli.cli._tables import number, print_networks, print_rows, print_scores
from unsegcli.params import Evaluate, Inputs, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.stages.evaluate import Evaluated

ARGUMENT = (
    "Outputs of `unseg cluster` or `unseg superpixels`, or a folder of label maps from any tool. Several inputs give "
    "one row each; with as many clusters they are runs of one method, whose mean is printed too. Default: paths from a "
    "pipe, else a file in the working folder."
)
OF_ONE_RUN = ("ari", "live_clusters", "largest_cluster")  # scores that are left out where each run has one row
CEILINGS = {"component": "each connected part of a cluster", "picture": "each cluster of each image"}
TAKES = Takes(
    kinds=("segmentation", "superpixels"),
    run=("output", "workers", "force"),
    terminal=("json", "quiet", "verbose"),
    argument=ARGUMENT,
)


def _show(found: Evaluated, run: Run, terminal: Terminal) -> None:
    print_scores(found.scores, terminal, show_scores)


@command("evaluate", Evaluate, TAKES, _show)
def evaluate(inputs: Inputs, params: Evaluate, run: Run) -> Any:
    """Score label maps against ground truth.

    Label maps may come from unseg or any other tool. The output states the scoring protocol.

    Example:  unseg evaluate segmentation.h5 --hungarian
    """
    from unsegcli.stages.evaluate import evaluate as stage

    return stage(inputs, params, run)


def show_scores(result: dict[str, Any]) -> None:
    """Print scores as tables."""
    from rich.console import Console
    from rich.table import Table

    if "runs" in result:
        _show_runs(result)
        return
    _show_run(result, Console(highlight=False, markup=False, emoji=False), Table)


def _show_runs(result: dict[str, Any]) -> None:
    """Print one row for each run, and their mean if they are runs of one method."""
    rows = [{"file": run["input"], **_clusters(run), **_main(run["scores"])} for run in result["runs"]]
    rows += [
        {"file": name.replace("_", " "), **_main(result[name])}
        for name in ("mean", "standard_deviation")
        if name in result
    ]
    chance = result["runs"][0]["chance"].get("largest_class")
    compare = [] if chance is None else [{"file": "chance: largest class", "accuracy": chance}]
    protocol = result["runs"][0]["protocol"]
    said = [protocol["matching"], *([f"named by the {protocol['named_on']}"] if protocol["named_on"] else [])]
    print_rows(f"{len(result['runs'])} runs: {', '.join(said)}; {_labels_used(result['runs'])}", rows, compare)
    print_networks(result)


def _labels_used(runs: Sequence[dict[str, Any]]) -> str:
    """Say what labels were used for, before and in scoring."""
    uses = list(dict.fromkeys(run["labels_used"] for run in runs if run["labels_used"] != "scoring"))
    return f"labels used for {'; '.join(uses)}" if uses else "labels used for scoring only"


def _clusters(run: dict[str, Any]) -> dict[str, int]:
    clusters = run["protocol"]["clusters"]
    return {} if clusters is None else {"clusters": clusters}


def _main(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if name not in OF_ONE_RUN}


def _show_run(run: dict[str, Any], out: Any, table_type: Any) -> None:
    protocol = run["protocol"]
    out.print(f"{run['input']}: {console.count_images(run['images'])}; {_labels_used([run])}", style="bold")
    facts = ("matching", "cost", "level", "clusters", "classes", "polarity", "grid")
    said = [f"{name} {protocol[name]}" for name in facts if protocol[name] is not None]
    out.print(f"protocol {protocol['name']}: {', '.join(said)}")
    print_networks(run)
    if protocol["named_on"] is not None:
        out.print(f"clusters named by the labels of the {protocol['named_on']}")
    if protocol["not_reproduced"]:
        out.print(f"not reproduced: {'; '.join(protocol['not_reproduced'])}")
    if run.get("oracle_polarity"):
        out.print("polarity chosen with the labels of each image: an oracle, not a result")
    table = table_type("score", "value", "95 % interval")
    for name, value in run["scores"].items():
        low, high = run["interval"].get(name, (None, None))
        table.add_row(name.replace("_", " "), number(value), "" if low is None else f"{low:.3f} to {high:.3f}")
    out.print(table)
    if run["chance"]:
        chance = table_type("by chance", "value")
        for name, value in run["chance"].items():
            chance.add_row(name.replace("_", " "), number(value))
        out.print(chance)
    if run["per_class"]:
        classes = table_type("class", "IoU", "precision", "recall", "share of pixels", "clusters")
        total = sum(row["pixels"] for row in run["per_class"]) or 1
        for at, row in enumerate(run["per_class"]):
            matched = ", ".join(str(cluster) for cluster, given in enumerate(run["assignment"]) if given == at)
            scores = [number(row[name]) for name in ("iou", "precision", "recall")]
            classes.add_row(row["class"], *scores, f"{row['pixels'] / total:.3f}", matched)
        out.print(classes)
    if "per_object" in run:
        _show_objects(run, out, table_type)
    if run.get("miou_over"):
        out.print(f"miou is the mean over {len(run['miou_over'])} {protocol['miou_over']}")
    pixels = run["pixels"]
    out.print(", ".join(f"{value:,} pixels {name}" for name, value in pixels.items()))
    if "oracle_per_image" in run:
        oracle = run["oracle_per_image"]
        out.print(f"oracle, each image matched separately: accuracy {number(oracle['accuracy'])}")
    if "oracle_ceiling" in run:
        for sort, what in CEILINGS.items():
            best = ", ".join(f"{name} {number(value)}" for name, value in run["oracle_ceiling"][sort].items())
            out.print(f"oracle, {what} with its best class: {best}")
    if run["missing"]:
        out.print(f"{console.count_images(len(run['missing']))} without a label, not scored")


def _show_objects(run: dict[str, Any], out: Any, table_type: Any) -> None:
    """Print the scores of each object of each video."""
    out.print("the first and the last frame of each video are not scored; objects are those of its first labels")
    table = table_type("video", "object", "frames", "J", "J recall", "J decay", "F", "F recall", "F decay")
    for row in run["per_object"]:
        scores = [number(row[f"{what}_{name}"]) for what in "jf" for name in ("mean", "recall", "decay")]
        table.add_row(row["sequence"], str(row["object"]), str(row["frames"]), *scores)
    out.print(table)
