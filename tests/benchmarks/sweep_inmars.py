"""The weights of InMARS, changed one at a time: accuracy and mIoU of short trainings.

    python tests/benchmarks/sweep_inmars.py SUPERPIXELS K [--legend L] [--steps N] [--seeds N] [--only NAME=VALUE ...]

Every row is a training with one setting other than the default; labels are read by `unseg evaluate` only. A default
that is chosen by this table is chosen with labels, and docs/results.md says so.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from unsegcli.params import Cluster, Evaluate, Inputs, Run, Train
from unsegcli.stages import train as training
from unsegcli.stages.cluster import cluster
from unsegcli.stages.evaluate import evaluate

DEFAULTS = ""
CHANGES = (
    DEFAULTS,
    "noise_weight=0",
    "noise_weight=10",
    "space_weight=0",
    "space_weight=10",
    "noise=0.005",
    "noise=0.08",
    "tries=1",
    "in_turns=false",
)


def main() -> None:
    """Train, cluster and score each row, and print it at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("superpixels", type=Path)
    parser.add_argument("classes", type=int)
    parser.add_argument("--legend", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=CHANGES, help="rows to compute, such as noise=0.08")
    asked = parser.parse_args()
    training.WATCH_TIMES = 1  # nobody looks at the clusters on the way
    for change in asked.only:
        scores = [_scores(asked, change, seed) for seed in range(asked.seeds)]
        means = [sum(values) / len(scores) for values in zip(*scores, strict=True)]
        print(f"{asked.superpixels.stem} {change or 'defaults'}: {means[0]:.3f} / {means[1]:.3f}", flush=True)


def _scores(asked: argparse.Namespace, change: str, seed: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Run(Path(folder) / f"{name}.h5", workers=1) for name in ("model", "clusters", "metrics")}
        params = Train("inmars", classes=asked.classes, steps=asked.steps, seed=seed, sets=[change] if change else [])
        made = training.train(Inputs(asked.superpixels), params, runs["model"])[0]
        clusters = cluster(Inputs(made.path), Cluster(), runs["clusters"])
        protocol = Evaluate(replicates=0, legend=asked.legend)
        found = evaluate(Inputs(clusters.path), protocol, runs["metrics"]).scores["scores"]
        return found["accuracy"], found["miou"]


if __name__ == "__main__":
    main()
