"""`unseg evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from unsegcli import console
from unsegcli.cli._command import Takes, command
from unsegcli.cli._tables import Interval, Part, Table, networks_said, number, print_parts, print_scores
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
    terminal=("json", "table", "quiet", "verbose"),
    argument=ARGUMENT,
)


def _show(found: Evaluated, run: Run, terminal: Terminal) -> None:
    print_scores(found.scores, terminal, describe_scores, found.path if found.unchanged else None)


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
    print_parts(describe_scores(result))


def describe_scores(result: dict[str, Any]) -> Iterator[Part]:
    """Yield scores as tables and lines of text."""
    yield from _describe_runs(result) if "runs" in result else _describe_run(result)


def _describe_runs(result: dict[str, Any]) -> Iterator[Part]:
    """Yield one row for each run, and their mean if they are runs of one method."""
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
    yield Table(rows, f"{len(result['runs'])} runs: {', '.join(said)}; {_labels_used(result['runs'])}", compare)
    yield from networks_said(result)


def _labels_used(runs: Sequence[dict[str, Any]]) -> str:
    """Say what labels were used for, before and in scoring."""
    uses = list(dict.fromkeys(run["labels_used"] for run in runs if run["labels_used"] != "scoring"))
    return f"labels used for {'; '.join(uses)}" if uses else "labels used for scoring only"


def _clusters(run: dict[str, Any]) -> dict[str, int]:
    clusters = run["protocol"]["clusters"]
    return {} if clusters is None else {"clusters": clusters}


def _main(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if name not in OF_ONE_RUN}


def _describe_run(run: dict[str, Any]) -> Iterator[Part]:
    yield f"{run['input']}: {console.count_images(run['images'])}; {_labels_used([run])}"
    yield from _protocol(run)
    rows = [
        {
            "score": name.replace("_", " "),
            "value": value,
            "interval": Interval(*run["interval"].get(name, (None, None))),
        }
        for name, value in run["scores"].items()
    ]
    yield Table(rows)
    if run["chance"]:
        yield Table([{"by_chance": name.replace("_", " "), "value": value} for name, value in run["chance"].items()])
    if run["per_class"]:
        yield _classes(run)
    if "per_object" in run:
        yield "the first and the last frame of each video are not scored; objects are those of its first labels"
        yield _objects(run)
    if run.get("miou_over"):
        yield f"miou is the mean over {len(run['miou_over'])} {run['protocol']['miou_over']}"
    yield ", ".join(f"{value:,} pixels {name}" for name, value in run["pixels"].items())
    yield from _oracles(run)
    if run["missing"]:
        yield f"{console.count_images(len(run['missing']))} without a label, not scored"


def _protocol(run: dict[str, Any]) -> Iterator[str]:
    protocol = run["protocol"]
    facts = ("matching", "cost", "level", "clusters", "classes", "polarity", "grid")
    said = [f"{name} {protocol[name]}" for name in facts if protocol[name] is not None]
    yield f"protocol {protocol['name']}: {', '.join(said)}"
    yield from networks_said(run)
    if protocol["named_on"] is not None:
        yield f"clusters named by the labels of the {protocol['named_on']}"
    if protocol["not_reproduced"]:
        yield f"not reproduced: {'; '.join(protocol['not_reproduced'])}"
    if run.get("oracle_polarity"):
        yield "polarity chosen with the labels of each image: an oracle, not a result"


def _classes(run: dict[str, Any]) -> Table:
    """Return the scores of each class, and the clusters that were matched to it."""
    total = sum(row["pixels"] for row in run["per_class"]) or 1
    rows = []
    for at, row in enumerate(run["per_class"]):
        matched = ", ".join(str(cluster) for cluster, given in enumerate(run["assignment"]) if given == at)
        scores = {"IoU": row["iou"], "precision": row["precision"], "recall": row["recall"]}
        rows.append({"class": row["class"], **scores, "share_of_pixels": row["pixels"] / total, "clusters": matched})
    return Table(rows)


def _objects(run: dict[str, Any]) -> Table:
    """Return the scores of each object of each video."""
    names = {"mean": "", "recall": " recall", "decay": " decay"}
    shown = {f"{what}_{key}": f"{what.upper()}{name}" for what in "jf" for key, name in names.items()}
    return Table(
        [
            {
                "video": row["sequence"],
                "object": str(row["object"]),
                "frames": row["frames"],
                **{name: row[key] for key, name in shown.items()},
            }
            for row in run["per_object"]
        ]
    )


def _oracles(run: dict[str, Any]) -> Iterator[str]:
    if "oracle_per_image" in run:
        yield f"oracle, each image matched separately: accuracy {number(run['oracle_per_image']['accuracy'])}"
    for sort, what in CEILINGS.items() if "oracle_ceiling" in run else ():
        best = ", ".join(f"{name} {number(value)}" for name, value in run["oracle_ceiling"][sort].items())
        yield f"oracle, {what} with its best class: {best}"
