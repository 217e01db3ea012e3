"""What `unseg cluster` and `unseg evaluate` give on labelled sets: one to one, and a named map of 24 clusters.

    python tests/benchmarks/named_maps.py INPUT,LABELS,LEGEND ... [--seeds 0 1 2] [--json FILE]

Each input is a file of superpixels or of features, clustered with the defaults of the command. One to one has as many
clusters as the legend has classes, each class matched to at most one of them; of 24 clusters, each is named by its most
frequent class. All images are fitted and scored. With --json, each row is also added to a file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from unsegcli import Inputs, Run
from unsegcli.files import cluster, evaluate
from unsegcli.legend import read_legend
from unsegcli.params import Cluster, Evaluate
from unsegcli.store import open_artifact

NAMED_CLUSTERS = 24


def main() -> None:
    """Print a row for each input and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="INPUT,LABELS,LEGEND")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    for entry in asked.inputs:
        path, labels, legend = map(Path, entry.split(","))
        name = f"k-means on {_described(path)}"
        for seed in asked.seeds:
            classes = len(read_legend(legend).classes)
            matched = _scores(path, Cluster(classes=classes, seed=seed), labels, legend, "one-to-one")
            whole = _scores(path, Cluster(classes=NAMED_CLUSTERS, seed=seed), labels, legend, "many-to-one")
            row = {"set": path.stem, "row": name, "seed": seed, "matched": matched, "whole": whole}
            print(json.dumps(row), flush=True)
            if asked.json is not None:
                rows = [*(json.loads(asked.json.read_text()) if asked.json.exists() else []), row]
                asked.json.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def _described(path: Path) -> str:
    with open_artifact(path, "superpixels", "features") as artifact:
        if artifact.kind == "superpixels":
            return "regions"
        return f"features of {', '.join(artifact.table('pretrained/name'))}"


def _scores(path: Path, params: Cluster, labels: Path, legend: Path, matching: str) -> list[float]:
    """Cluster and score; return accuracy and mIoU."""
    with tempfile.TemporaryDirectory() as folder:
        made = cluster(Inputs([path]), params, Run(Path(folder) / "seg.h5")).path
        how = Evaluate(matching=matching, labels=labels, legend=legend, replicates=0)
        scores = evaluate(Inputs([made]), how, Run(Path(folder) / "metrics.h5")).scores["scores"]
    return [scores["accuracy"], scores["miou"]]


if __name__ == "__main__":
    main()
