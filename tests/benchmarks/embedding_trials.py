"""What a trained maskcontrast model knows beside floors: linear probes, and retrieval of objects.

    python tests/benchmarks/embedding_trials.py DATA --proposals MASKS.h5 [--seeds 0 1 2] [--trials NAME ...] [--check]

DATA holds images/, labels/ and classes.toml. MASKS.h5 is made by `unseg proposals DATA`. Each trial is trained from
random weights, with each seed, into the folder given by --cache; neither training nor scores are computed again if they
are there. Measured are the probe of superpixels (mean of three random halves of the images), the probe of pixels (one),
and retrieval of the given masks (three), where all stuff is background: the classes named in STUFF. Floors are the
untrained network and colour histograms, which are the same for all trials; a seed draws the halves and the untrained
network too. Printed is mean IoU, as mean and deviation over the seeds; --json adds each row to a file; --check fails
unless each trial is above both floors by more than its deviation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unsegcli.params import Inputs, Probe, Retrieve, Run
from unsegcli.stages.probe import probe
from unsegcli.stages.retrieve import retrieve

STUFF = {"grass", "tree", "sky", "mountain", "water", "road", "building"}
SHARP, SOFT = ["temperature=0.1"], ["temperature=0.5"]
WEAK, STRONG = ["hue=0.02", "saturation=0.2", "grey=0.0"], ["hue=0.1", "saturation=0.4", "grey=0.2"]  # colour changes
TRIALS = {
    "published": SOFT + STRONG,
    "sharp": SHARP + STRONG,
    "weak": SOFT + WEAK,
    "sharp-weak": SHARP + WEAK,
}
TITLES = {
    "published": "MaskContrast, temperature 0.5, strong changes of colour (published)",
    "sharp": "MaskContrast, temperature 0.1, strong changes of colour",
    "weak": "MaskContrast, temperature 0.5, weak changes of colour",
    "sharp-weak": "MaskContrast, temperature 0.1, weak changes of colour",
}
Measure = Callable[[Path, int, bool, argparse.Namespace], dict[str, Any]]
Scores = dict[str, list[float]]  # accuracy and mean IoU by the name of the row


def main() -> None:
    """Train, measure, and print a table."""
    asked = _asked()
    asked.cache.mkdir(parents=True, exist_ok=True)
    for trial in asked.trials:
        for seed in asked.seeds:
            _trained(trial, seed, asked)
    held = True
    for name in asked.measures:
        rows: dict[str, list[list[float]]] = {}
        for seed in asked.seeds:
            for row, score in _measured(name, seed, asked).items():
                rows.setdefault(row, []).append(score)
                _keep(row, seed, name, score, asked)
        _print(name, rows)
        held &= _above_floors(rows)
    if asked.check and not held:
        sys.exit("a trial is not above its floors")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--proposals", type=Path, required=True)
    parser.add_argument("--legend", type=Path, help="of the probes; default: DATA/classes.toml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--trials", nargs="+", default=["sharp-weak"], choices=TRIALS)
    parser.add_argument("--measures", nargs="+", default=list(MEASURES), choices=MEASURES)
    parser.add_argument("--cache", type=Path, default=Path("embedding-trials"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    asked.legend = asked.legend or asked.data / "classes.toml"
    return asked


def _trained(trial: str, seed: int, asked: argparse.Namespace) -> Path:
    path: Path = asked.cache / f"{trial}-{seed}.h5"
    if not path.exists():
        settings = [part for setting in TRIALS[trial] for part in ("--set", setting)]
        command = ["train", asked.data, "--method", "maskcontrast", "--proposals", asked.proposals, "--seed", seed]
        whole: Sequence[Any] = [sys.executable, "-m", "unsegcli", *command, *settings, "-o", path]
        subprocess.run([str(part) for part in whole], check=True, stdout=subprocess.DEVNULL)
    return path


def _measured(name: str, seed: int, asked: argparse.Namespace) -> Scores:
    """Return the scores of all trials, and those of the floors, which are computed with the first one."""
    found: Scores = {}
    for trial in asked.trials:
        result = MEASURES[name](_trained(trial, seed, asked), seed, trial == asked.trials[0], asked)
        found |= {floor["of"]: _pair(floor) for floor in result["floors"]}
        found[TITLES[trial]] = _pair(result)
    return found


def _pair(result: dict[str, Any]) -> list[float]:
    return [result["scores"]["accuracy"], result["scores"]["miou"]]


def _superpixels(model: Path, seed: int, floors: bool, asked: argparse.Namespace) -> dict[str, Any]:
    params = Probe(floors=floors, seed=seed, legend=asked.legend)
    return probe(Inputs([model, asked.data]), params, _run("probe", model, floors, asked)).scores


def _pixels(model: Path, seed: int, floors: bool, asked: argparse.Namespace) -> dict[str, Any]:
    params = Probe(per="pixel", halves=1, floors=floors, seed=seed, legend=asked.legend)
    return probe(Inputs([model, asked.data]), params, _run("pixels", model, floors, asked)).scores


def _retrieval(model: Path, seed: int, floors: bool, asked: argparse.Namespace) -> dict[str, Any]:
    legend = _legend_of_things(asked)
    params = Retrieve(floors=floors, seed=seed, legend=legend, proposals=asked.proposals)
    return retrieve(Inputs([model, asked.data]), params, _run("retrieval", model, floors, asked)).scores


MEASURES: dict[str, Measure] = {"probe": _superpixels, "pixels": _pixels, "retrieval": _retrieval}


def _run(measure: str, model: Path, floors: bool, asked: argparse.Namespace) -> Run:
    parts = [measure, asked.legend.stem, model.stem, *(["floors"] if floors else [])]
    return Run(asked.cache / f"scores-{'-'.join(parts)}.h5", workers=1)


def _legend_of_things(asked: argparse.Namespace) -> Path:
    """Write the legend of the data anew, with all stuff as the background."""
    given = tomllib.loads(asked.legend.read_text())
    stuff = [value for one in given["class"] if one["name"] in STUFF for value in one["from"]]
    things = [one for one in given["class"] if one["name"] not in STUFF]
    lines = [f"ignore = {given.get('ignore', [])}", "[[class]]", 'name = "background"', f"from = {stuff}"]
    for one in things:
        lines += ["[[class]]", f'name = "{one["name"]}"', f"from = {one['from']}"]
    path: Path = asked.cache / f"things-{asked.legend.stem}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _keep(row: str, seed: int, measure: str, score: list[float], asked: argparse.Namespace) -> None:
    """Add a score to the file of rows, in the place of an earlier one."""
    if asked.json is None:
        return
    rows = json.loads(asked.json.read_text()) if asked.json.exists() else []
    name = asked.data.name if asked.legend.stem == "classes" else f"{asked.data.name}-{asked.legend.stem}"
    key = {"set": name, "row": row, "seed": seed}
    own = next((one for one in rows if key.items() <= one.items()), None)
    if own is None:
        own = key
        rows.append(own)
    own[measure] = score
    asked.json.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def _print(measure: str, rows: dict[str, list[list[float]]]) -> None:
    print(measure)
    for row, scores in rows.items():
        mean, spread = _summary(scores)
        print(f"    {row:70} {mean:.3f} ± {spread:.3f}   {' '.join(f'{score[1]:.3f}' for score in scores)}", flush=True)


def _summary(scores: list[list[float]]) -> tuple[float, float]:
    """Return mean and deviation of mean IoU over the seeds."""
    values = np.array(scores)[:, 1]
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _above_floors(rows: dict[str, list[list[float]]]) -> bool:
    trained = {row: _summary(scores) for row, scores in rows.items() if row in TITLES.values()}
    floor = max(_summary(scores)[0] for row, scores in rows.items() if row not in trained)
    return all(mean - spread > floor for mean, spread in trained.values())


if __name__ == "__main__":
    main()
