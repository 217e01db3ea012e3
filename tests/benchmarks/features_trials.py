"""What context adds to the vectors of a pretrained network, with and without hand-crafted features beside them.

    python tests/benchmarks/features_trials.py FEATURES,LABELS,LEGEND ... [--seeds 0 1 2] [--json FILE]

Each set is a file of `unseg features` with the vectors of superpixels and the pixels, the folder of its labels and a
legend. Networks are trained by the loop's own batches and rates, at the defaults of the method, for one seed after the
other. Printed are the measures of `region_measures.py`; with --json, each row is also added to a file. Rows:

    vectors              the stored vectors, as they are compared
    hand-crafted         what k-means on regions compares
    vectors, beside W    both, the hand-crafted features with the length W, the vectors with 1
    ... and context      the same, each seed with the context that is learned on them
    context alone
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from region_measures import SPLITS, Measured, Regions, Score, mean_score, measure, read_regions, whole_map

from unsegcli.core.superpixels.region_space import Space, fit_space, place_weights
from unsegcli.core.vector_space import Layer, fit_vector_space, length_of_layers, of_length
from unsegcli.dataflow.stored_vectors import read_stored_vectors
from unsegcli.methods import context
from unsegcli.methods._contract import Regions as Described
from unsegcli.methods.context import Config, Network
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.data import Pool, TrainingImage, described, fill
from unsegcli.training.optim import make_optimizer, rate_at, steps_of

CPU = torch.device("cpu")
BESIDE = (0.5, 1.0)
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Floors:
    """What context is added to."""

    vectors: Points
    crafted: Points  # of the length of the vectors


def main() -> None:
    """Print a row for each set, space and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="FEATURES,LABELS,LEGEND")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    for entry in asked.sets:
        path = Path(entry.split(",")[0])
        layers = read_stored_vectors(path).weighted
        regions = read_regions(*map(Path, entry.split(",")))
        floors = _floors(regions, layers)
        for name, points in _spaces(floors) if 0 in asked.seeds else ():
            _report(regions, name, 0, points, {}, asked.json)
        pool = _pool(regions)
        for seed in asked.seeds:
            contexts, about = _learn(regions, pool, layers, seed)
            for name, points in _spaces(floors):
                _report(regions, f"{name} and context", seed, np.concatenate([points, contexts], 1), about, asked.json)
            _report(regions, "context alone", seed, contexts, about, asked.json)


def _floors(regions: Regions, layers: tuple[Layer, ...]) -> Floors:
    vectors = np.concatenate(regions.vectors)
    place = place_weights(regions.features, regions.areas, regions.bands, regions.images)
    space = fit_space(regions.features, regions.areas, regions.bands, place)
    whole = length_of_layers(layers)
    crafted: Space = of_length(space, regions.features, regions.areas, whole)
    found = whole * fit_vector_space(vectors, regions.areas, layers)(vectors)
    return Floors(found.astype(np.float32), crafted(regions.features))


def _spaces(floors: Floors) -> Iterator[tuple[str, Points]]:
    yield "vectors", floors.vectors
    for weight in BESIDE:
        beside = (weight * floors.crafted).astype(np.float32)
        yield f"vectors, beside {weight:g}", np.concatenate([floors.vectors, beside], axis=1)
    yield "hand-crafted", floors.crafted


def _pool(regions: Regions) -> Pool:
    parts = zip(regions.pixels, regions.maps, regions.vectors, strict=True)
    return fill(described(TrainingImage(pixels, None, one), vectors) for pixels, one, vectors in parts)


def _learn(regions: Regions, pool: Pool, layers: tuple[Layer, ...], seed: int) -> tuple[Points, dict[str, float]]:
    """Train a network; return the context of every region, by its weight, and what else to print."""
    config, started = Config(), time.process_time()
    torch.manual_seed(seed)
    network = Network(config, regions.bands, layers).train()
    steps = steps_of(config, len(pool.images), None, None)
    batches = Batches(pool, config.batch, config.crop, seed, steps, ("superpixels", "regions"))
    context.prepare(network, batches.one_pass(CPU), config)
    optimizer = make_optimizer(network, config)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(config, step, steps)
        optimizer.zero_grad()
        context.loss(network, on_device(batches.at(step), CPU), config)["loss"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.grad_clip)
        optimizer.step()
    context.finish(network.eval(), batches.one_pass(CPU), config)
    about = {"explained": float(network.explained), "cpu s": time.process_time() - started}
    return _contexts(network, pool, config, seed), about


def _contexts(network: Network, pool: Pool, config: Config, seed: int) -> Points:
    found = []
    with torch.no_grad():
        for image in pool.images:
            parts: tuple[Any, ...] = (image.features, image.centres, image.areas, np.zeros(image.superpixels, np.int64))
            regions = Described(*map(torch.from_numpy, parts))
            here = context.contexts_of(network, regions, config, seed)
            found.append((network.weight * ((here - network.context_mean) @ network.context_projection)).numpy())
    joined: Points = np.concatenate(found)
    return joined


def _report(regions: Regions, name: str, seed: int, points: Points, about: dict[str, float], file: Path | None) -> None:
    found: Measured = measure(points, regions.areas, regions.counts, regions.images, SPLITS)
    whole: Score = mean_score([whole_map(points, regions.areas, regions.counts, start) for start in range(SPLITS)])
    more = "  ".join(f"{key} {value:.2f}" for key, value in about.items())
    print(f"{regions.name:9} {name:34} seed {seed}  {found}  whole {whole}  {more}", flush=True)
    if file is not None:
        scores = {key: list(value) for key, value in found._asdict().items()}
        row = {"set": regions.name, "row": name, "seed": seed, **scores, "whole": list(whole), **about}
        rows = [*(json.loads(file.read_text()) if file.exists() else []), row]
        file.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
