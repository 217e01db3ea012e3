"""What a trained maskcontrast model knows beside floors: linear probe of pixels and retrieval of objects.

    python tests/benchmarks/embedding_trials.py DATA --proposals MASKS.h5 [--seeds 0 1 2] [--trials NAME ...] [--check]

DATA holds images/ and labels/. MASKS.h5 is made by `unseg proposals DATA`. Each trial is trained from random weights,
with each seed, into the folder given by --cache, and is not trained again if it is there. Retrieval has all classes of
stuff as background: those named in STUFF, where the legend has them; its objects are the given
masks. Printed are mean IoU of the model, of its
untrained network and of colour histograms, as mean and deviation over the seeds; --check fails unless the model is
above both floors by more than the deviation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unsegcli.params import Inputs, Probe, Retrieve, Run
from unsegcli.stages.probe import probe
from unsegcli.stages.retrieve import retrieve

STUFF = {"grass", "tree", "sky", "mountain", "water", "road", "building"}
COLOURS_KEPT = ["hue=0.02", "saturation=0.2", "grey=0.0"]  # weaker changes of colour
TRIALS: dict[str, list[str]] = {
    "default": [],
    "sharp": ["temperature=0.1"],
    "colours": [*COLOURS_KEPT],
    "sharp, colours": ["temperature=0.1", *COLOURS_KEPT],
    "longer": ["temperature=0.1", *COLOURS_KEPT, "view=96", "dimensions=64", "epochs=100"],
    "resnet18": ["temperature=0.1", *COLOURS_KEPT, "architecture=resnet18", "view=96", "epochs=40"],
}
ROW = "{:16} {:14} {:>15} {:>15} {:>15}"


def main() -> None:
    """Train, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--proposals", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--trials", nargs="+", default=["default"], choices=TRIALS)
    parser.add_argument("--cache", type=Path, default=Path("embedding-trials"))
    parser.add_argument("--check", action="store_true", help="fail unless the model is above both floors")
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    held = True
    print(ROW.format("trial", "measure", "model", "untrained", "colours"))
    for trial in asked.trials:
        models = [_trained(trial, seed, asked) for seed in asked.seeds]
        for measure, scores in (("retrieval", _retrieval), ("probe of pixels", _probe)):
            values = np.array([scores(model, asked) for model in models])
            means, spread = values.mean(axis=0), values.std(axis=0, ddof=1 if len(values) > 1 else 0)
            print(ROW.format(trial, measure, *(f"{m:.3f} ± {s:.3f}" for m, s in zip(means, spread, strict=True))))
            held &= bool(means[0] - spread[0] > max(means[1:]))
    if asked.check and not held:
        sys.exit("the model is not above its floors")


def _trained(trial: str, seed: int, asked: argparse.Namespace) -> Path:
    path: Path = asked.cache / f"{trial.replace(', ', '-')}-{seed}.h5"
    if not path.exists():
        settings = [part for setting in TRIALS[trial] if "epochs" not in setting for part in ("--set", setting)]
        length = [part for one in TRIALS[trial] if "epochs" in one for part in ("--epochs", one.partition("=")[2])]
        command = ["train", asked.data, "--method", "maskcontrast", "--proposals", asked.proposals, "--seed", seed]
        whole: Sequence[Any] = [sys.executable, "-m", "unsegcli", *command, *settings, *length, "-o", path]
        subprocess.run([str(part) for part in whole], check=True, stdout=subprocess.DEVNULL)
    return path


def _retrieval(model: Path, asked: argparse.Namespace) -> list[float]:
    params = Retrieve(floors=True, legend=_legend_of_things(asked), proposals=asked.proposals)
    return _miou(retrieve(Inputs([model, asked.data]), params, Run(asked.cache / "retrieval.h5", force=True)).scores)


def _probe(model: Path, asked: argparse.Namespace) -> list[float]:
    params = Probe(per="pixel", floors=True, halves=1)
    return _miou(probe(Inputs([model, asked.data]), params, Run(asked.cache / "probe.h5", force=True)).scores)


def _miou(result: dict[str, Any]) -> list[float]:
    return [result["scores"]["miou"], *(floor["scores"]["miou"] for floor in result["floors"])]


def _legend_of_things(asked: argparse.Namespace) -> Path:
    """Write the legend of the data anew, with all stuff as the background."""
    given = tomllib.loads((asked.data / "classes.toml").read_text())
    stuff = [value for one in given["class"] if one["name"] in STUFF for value in one["from"]]
    things = [one for one in given["class"] if one["name"] not in STUFF]
    lines = [f"ignore = {given.get('ignore', [])}", "[[class]]", 'name = "background"', f"from = {stuff}"]
    for one in things:
        lines += ["[[class]]", f'name = "{one["name"]}"', f"from = {one['from']}"]
    path: Path = asked.cache / "things.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    main()
