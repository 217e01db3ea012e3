"""Do the signs that need no label say which of several trained models is good? Rank correlations with their scores.

    python tests/benchmarks/judge_runs.py DATA --models A.h5 B.h5 ... [--legend L] [--method FILE.py] [--table]

DATA holds images/ and labels/, or is a file of `unseg superpixels` of such images; the models were trained on it,
with different seeds or settings. Each model is judged without labels, as `unseg train --restarts` does, and then scored
with labels by `unseg cluster` and `unseg evaluate`, pixel by pixel; with superpixels also superpixel by superpixel.
Labels are read by that last command only. Printed is, for each sign, Spearman's rank correlation with accuracy and mIoU
over the models, and the score of the model that the sign would keep beside the mean and the best of all.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from unsegcli.params import Cluster, Evaluate, Inputs, Run
from unsegcli.segmenters.model_file import read_model_file
from unsegcli.segmenters.model_inputs import dataset_for
from unsegcli.stages.cluster import cluster
from unsegcli.stages.evaluate import evaluate
from unsegcli.training import restarts
from unsegcli.training.signs import SIGNS, Signals, judge

SCORES = ("accuracy", "miou")


def main() -> None:
    """Judge, score, and print how far the two agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--legend", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--method", help="file of the method, if it is your own")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", action="store_true", help="print signs and scores of every model, too")
    asked = parser.parse_args()
    dataset = dataset_for(read_model_file(asked.models[0]), Inputs(asked.data)).opened(1)
    signals = judge(asked.models, dataset, method=asked.method, device=asked.device)
    levels = ("pixel", "superpixel") if dataset.kind == "superpixels" else ("pixel",)
    for level in levels:
        scored = [_scores(path, level, asked) for path in asked.models]
        if asked.table:
            _print_models(asked.models, signals, scored)
        _print_correlations(level, signals, scored)


def _scores(model: Path, level: str, asked: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "segmentation.h5", workers=1, device=asked.device)
        made = cluster(Inputs([model, asked.data]), Cluster(per=level, method=asked.method), run)
        protocol = Evaluate(replicates=0, labels=asked.labels, legend=asked.legend)
        found = evaluate(Inputs(made.path), protocol, Run(Path(folder) / "metrics.h5", workers=1))
        return {name: found.scores["scores"][name] for name in SCORES}


def _print_models(models: Sequence[Path], signals: Sequence[Signals], scored: Sequence[dict[str, float]]) -> None:
    print("  ".join([f"{'model':24}", *SCORES, *SIGNS]))
    for path, signs, scores in zip(models, signals, scored, strict=True):
        values = [scores[name] for name in SCORES] + [signs[name] for name in SIGNS]
        print("  ".join([f"{path.name[-24:]:24}", *(f"{value:.3f}" for value in values)]))


def _print_correlations(level: str, signals: Sequence[Signals], scored: Sequence[dict[str, float]]) -> None:
    print(f"\n{len(scored)} models, scored by {level}")
    print(f"{'sign':14} {'accuracy':>9} {'miou':>9}   accuracy and mIoU of the one kept")
    truth = {name: [scores[name] for scores in scored] for name in SCORES}
    for sign in SIGNS:
        values = [signs[sign] for signs in signals]
        found = [f"{_rank_correlation(values, truth[name]):9.2f}" for name in SCORES]
        best = int(np.nanargmax(values)) if not all(map(math.isnan, values)) else 0
        print(f"{sign:14} {' '.join(found)}   {' '.join(f'{truth[name][best]:.3f}' for name in SCORES)}")
    kept, sign = restarts.best_run(signals)
    rows = {
        f"--restarts ({sign})": [truth[name][kept] for name in SCORES],
        "mean": [float(np.mean(truth[name])) for name in SCORES],
        "best": [max(truth[name]) for name in SCORES],
    }
    for name, row in rows.items():
        print(f"{name:36} {' '.join(f'{value:.3f}' for value in row)}")


def _rank_correlation(values: Sequence[float], scores: Sequence[float]) -> float:
    """Spearman's; NaN where there is nothing to rank."""
    known = [(value, score) for value, score in zip(values, scores, strict=True) if not math.isnan(value)]
    if len(known) < 3 or len({value for value, _ in known}) < 2 or len({score for _, score in known}) < 2:
        return math.nan
    return float(spearmanr(*zip(*known, strict=True)).statistic)


if __name__ == "__main__":
    main()
