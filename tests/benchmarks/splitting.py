"""What dividing mixed clusters adds to a named map, against as many clusters made at once.

    python tests/benchmarks/splitting.py INPUT,LABELS,LEGEND ... [--classes 12] [--splits 4] [--seeds 0 1 2]

Each input is a file of superpixels or of features. Each cluster is named by its most frequent class; the cluster with
most pixels of other classes counts as mixed, as a person would see, and is divided in two by `unseg relabel --split`.
After that many divisions the same is measured for as many clusters by `unseg cluster`. The last column says which share
of the pixels keep their cluster when the centres of the divided file are applied to the same images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from unsegcli import Inputs, Run
from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.files import cluster, evaluate, relabel
from unsegcli.params import Cluster, Evaluate, Relabel
from unsegcli.store import open_artifact


def main() -> None:
    """Print a row for each input and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="INPUT,LABELS,LEGEND")
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    print("| set | seed | clusters | accuracy | after each division | clusters at once | centres applied |")
    print("|---|---|---|---|---|---|---|")
    for entry in asked.inputs:
        path, labels, legend = map(Path, entry.split(","))
        how = Evaluate(matching="many-to-one", labels=labels, legend=legend, replicates=0)
        for seed in asked.seeds:
            with tempfile.TemporaryDirectory() as folder:
                row = _row(path, how, Path(folder), asked.classes, asked.splits, seed)
            print(f"| {path.name.split('.')[0]} | {seed} | {asked.classes} | {row}", flush=True)


def _row(path: Path, how: Evaluate, folder: Path, classes: int, splits: int, seed: int) -> str:
    here = cluster(Inputs([path]), Cluster(classes=classes, seed=seed), Run(folder / "0.h5")).path
    first, worst = _named(here, how)
    divided = []
    for number in range(1, splits + 1):
        here = relabel(Inputs([here]), Relabel(split=str(worst)), Run(folder / f"{number}.h5")).path
        accuracy, worst = _named(here, how)
        divided.append(accuracy)
    many = cluster(Inputs([path]), Cluster(classes=classes + splits, seed=seed), Run(folder / "many.h5")).path
    applied = cluster(Inputs([path]), Cluster(centres=here), Run(folder / "applied.h5")).path
    steps = " ".join(f"{accuracy:.3f}" for accuracy in divided)
    return f"{first:.3f} | {steps} | {_named(many, how)[0]:.3f} | {_same(here, applied):.3f} |"


def _named(path: Path, how: Evaluate) -> tuple[float, int]:
    """Return the accuracy of the named map, and the cluster that holds most pixels of other classes than its own."""
    made = evaluate(Inputs([path]), how, Run(path.with_suffix(".m.h5")))
    with open_artifact(made.path, "metrics") as artifact:
        matrix = artifact.table("matrix")[:-1]
    return float(made.scores["scores"]["accuracy"]), int((matrix.sum(axis=1) - matrix.max(axis=1)).argmax())


def _same(one: Path, other: Path) -> float:
    pairs = zip(open_predictions(one).maps, open_predictions(other).maps, strict=True)
    found = [(int((a.on(a.grid) == b.on(b.grid)).sum()), a.grid[0] * a.grid[1]) for a, b in pairs]
    return float(np.sum([same for same, _ in found]) / np.sum([pixels for _, pixels in found]))


if __name__ == "__main__":
    main()
