"""What the context method learns, beside its floors, its untrained network and other ways to learn; by labels.

    python tests/benchmarks/context_trials.py SUPERPIXELS,LABELS,LEGEND ... [--trials NAME ...] [--json FILE]

Each set is a file of `unseg superpixels`, the folder of its labels and a legend. Networks are trained by the loop's own
batches and rates, at the defaults of the method, for one seed after the other. Printed are the measures of
`region_measures.py`; with --json, each row is also added to a file. Trials:

    floors     what k-means on regions compares: colour and texture; with patches, surroundings, position
    default    the method as it is, and its context alone
    untrained  the same with the random initial weights: what the architecture gives without learning
    dark       no changes of light in training
    turns      images also turned and mirrored upside down in training, as images from the air can be
    teacher    the network predicts, beside the words, what an average of its weights says about the whole image
    pair       the contexts of two networks together
    again      a second network, whose words are groups of what the first one has learned
    smooth     the vectors of neighbours that look alike are averaged
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from region_floors import VARIANTS
from region_measures import SPLITS, Measured, Regions, measure, read_regions
from torch import Tensor
from torch.nn import functional

from unsegcli.core.draws import Draws
from unsegcli.core.kmeans import kmeans
from unsegcli.core.superpixels.region_space import fit_group, fit_space, place_weights
from unsegcli.core.superpixels.regions import borders
from unsegcli.methods import context
from unsegcli.methods._contract import Batch
from unsegcli.methods._contract import Regions as Described
from unsegcli.methods.context import Config, Network
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.data import Pool, TrainingImage, described, fill
from unsegcli.training.optim import make_optimizer, rate_at, steps_of

CPU = torch.device("cpu")
MOMENTUM, EARLY_MOMENTUM, EARLY = 0.99, 0.9, 50  # of the teacher's average, before and after so many steps
AGREEMENT = 1.0  # weight of its prediction
ROUNDS, SHARE = 2, 0.5  # of smoothing, and how much comes from neighbours in each
Points = NDArray[np.float32]
Loss = Callable[[Network, Batch, Config], Tensor]


@dataclass(frozen=True)
class Learned:
    """What a network knows about all regions of a set."""

    vectors: Points  # as they are clustered
    contexts: Points  # the context alone, reduced as in the vectors
    explained: float
    seconds: float  # CPU time of the training


def main() -> None:
    """Print a row for each set, trial and seed, and their means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SUPERPIXELS,LABELS,LEGEND")
    parser.add_argument("--trials", nargs="+", default=["floors", "default", "untrained"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    for entry in asked.sets:
        regions = read_regions(*map(Path, entry.split(",")))
        pool = fill(
            described(TrainingImage(*one)) for one in zip(regions.pixels, repeat(None), regions.maps, strict=False)
        )
        for trial in asked.trials:
            for name, seed, points, about in TRIALS[trial](regions, pool, asked.seeds):
                found = measure(points, regions.areas, regions.counts, regions.images, SPLITS)
                _report(regions.name, name, seed, found, about, asked.json)


def _report(dataset: str, name: str, seed: int, found: Measured, about: dict[str, float], file: Path | None) -> None:
    more = "  ".join(f"{key} {value:.2f}" for key, value in about.items())
    print(f"{dataset:9} {name:28} seed {seed}  {found}  {more}", flush=True)
    if file is not None:
        row = {
            "set": dataset,
            "row": name,
            "seed": seed,
            **{key: list(value) for key, value in found._asdict().items()},
        }
        rows = [*(json.loads(file.read_text()) if file.exists() else []), {**row, **about}]
        file.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


Row = tuple[str, int, Points, dict[str, float]]  # name, seed, vectors, and what else to print


def _floors(regions: Regions, pool: Pool, seeds: int) -> Iterator[Row]:
    place = place_weights(regions.features, regions.areas, regions.bands, regions.images)
    for name, groups in VARIANTS.items():
        space = fit_space(regions.features, regions.areas, regions.bands, place, groups)
        yield f"floor {name}", 0, space(regions.features), {}


def _trained_rows(name: str, loss: Loss, **settings: Any) -> Callable[[Regions, Pool, int], Iterator[Row]]:
    def rows(regions: Regions, pool: Pool, seeds: int) -> Iterator[Row]:
        for seed in range(seeds):
            learned = _learn(regions, pool, replace(Config(), **settings), seed, loss)[1]
            about = {"explained": learned.explained, "cpu s": learned.seconds}
            yield name, seed, learned.vectors, about
            yield f"{name}, context alone", seed, learned.contexts, {}

    return rows


def _untrained(regions: Regions, pool: Pool, seeds: int) -> Iterator[Row]:
    for seed in range(seeds):
        network, learned = _learn(regions, pool, Config(), seed, _plain, steps=0)
        yield "untrained, context alone", seed, learned.contexts, {}
        floor = learned.vectors[:, : network.space_projection.shape[1]]
        yield "untrained, context counting fully", seed, np.concatenate([floor, learned.contexts], axis=1), {}


def _pair(regions: Regions, pool: Pool, seeds: int) -> Iterator[Row]:
    for seed in range(seeds):
        network, one = _learn(regions, pool, Config(), seed, _plain)
        other = _learn(regions, pool, Config(), seed + 100, _plain)[1]
        floor = one.vectors[:, : network.space_projection.shape[1]]
        both = network.weight * _reduced(np.concatenate([one.contexts, other.contexts], axis=1), regions.areas)
        yield "two networks", seed, np.concatenate([floor, both], axis=1), {}


def _again(regions: Regions, pool: Pool, seeds: int) -> Iterator[Row]:
    for seed in range(seeds):
        first = _learn(regions, pool, Config(), seed, _plain)[1]
        some = np.linspace(0, len(first.vectors) - 1, 8000).astype(int)
        words = kmeans(first.vectors[some], Config().words, seed=seed, starts=1, iterations=30).centres
        numbers = torch.cdist(torch.from_numpy(first.vectors).double(), torch.from_numpy(words)).argmin(1)
        learned = _learn(regions, pool, Config(), seed, _plain, words=numbers)[1]
        yield "second round", seed, learned.vectors, {"explained": learned.explained}


def _smooth(regions: Regions, pool: Pool, seeds: int) -> Iterator[Row]:
    floor = fit_space(
        regions.features, regions.areas, regions.bands,
        place_weights(regions.features, regions.areas, regions.bands, regions.images),
    )(regions.features)  # fmt: skip
    yield "floor all, smoothed", 0, smoothed(floor, regions), {}
    for seed in range(seeds):
        learned = _learn(regions, pool, Config(), seed, _plain)[1]
        yield "default, smoothed", seed, smoothed(learned.vectors, regions), {}


def _plain(network: Network, batch: Batch, config: Config) -> Tensor:
    return context.loss(network, batch, config)["loss"]


def _turned(network: Network, batch: Batch, config: Config) -> Tensor:
    """The loss of images that are mirrored upside down and transposed at random."""
    regions = batch.regions
    assert regions is not None
    draws = Draws(batch.seed, batch.step, batch.index)
    upside, transposed = (draws.integers(name, below=2).bool()[regions.crops] for name in ("upside", "transposed"))
    centres = regions.centres
    centres = torch.stack([torch.where(upside, 1 - centres[:, 0], centres[:, 0]), centres[:, 1]], 1)
    centres = torch.where(transposed[:, None], centres.flip(1), centres)
    return _plain(network, replace(batch, regions=regions._replace(centres=centres)), config)


class _Taught:
    """The loss with a teacher: an average of the weights sees the whole image, and its output is predicted, too."""

    def __init__(self) -> None:
        self.teacher: Network | None = None

    def __call__(self, network: Network, batch: Batch, config: Config) -> Tensor:
        """Add the prediction of the teacher's normalised output at hidden regions."""
        if batch.step == 0 or self.teacher is None:
            self.teacher = copy.deepcopy(network)
        regions, draws = context._regions(batch), Draws(batch.seed, batch.step, batch.index)
        tokens = context.drawn_tokens(regions, draws, config.tokens)
        features, centres = regions.features[tokens.numbers][..., : network.own], regions.centres[tokens.numbers]
        hidden = context.hidden_blocks(centres, tokens.present, draws)
        with torch.no_grad():
            momentum = EARLY_MOMENTUM if batch.step < EARLY else MOMENTUM
            for kept, new in zip(self.teacher.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - momentum)
            seen = self.teacher(features, centres, tokens.present, torch.zeros_like(hidden))
            target = functional.layer_norm(seen, seen.shape[-1:])[hidden]
        found = network(features, centres, tokens.present, hidden)[hidden]
        return _plain(network, batch, config) + AGREEMENT * functional.smooth_l1_loss(found, target)


def _learn(
    regions: Regions,
    pool: Pool,
    config: Config,
    seed: int,
    loss: Loss,
    steps: int | None = None,
    words: Tensor | None = None,
) -> tuple[Network, Learned]:
    """Train a network, and compute what it knows about every region; `words` replaces the words of all regions."""
    torch.manual_seed(seed)
    network = Network(config, regions.bands).train()
    count = steps_of(config, len(pool.images), None, None) if steps is None else steps
    batches = Batches(pool, config.batch, config.crop, seed, count, ("superpixels", "regions"))
    context.prepare(network, batches.one_pass(CPU), config)
    if words is not None:
        known = {tuple(row): int(word) for row, word in zip(regions.features[:, :4].tolist(), words, strict=True)}
        network.words_of = lambda features: torch.tensor([known[tuple(row)] for row in features[:, :4].tolist()])  # type: ignore[method-assign]
    optimizer, started = make_optimizer(network, config), time.process_time()
    for step in range(count):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(config, step, count)
        optimizer.zero_grad()
        loss(network, on_device(batches.at(step), CPU), config).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.grad_clip)
        optimizer.step()
    seconds = time.process_time() - started
    context.finish(network.eval(), batches.one_pass(CPU), config)
    return network, _known(network, pool, config, seed, seconds)


def _known(network: Network, pool: Pool, config: Config, seed: int, seconds: float) -> Learned:
    vectors, contexts = [], []
    with torch.no_grad():
        for image in pool.images:
            parts = (image.features, image.centres, image.areas, np.zeros(image.superpixels, np.int64))
            regions = Described(*map(torch.from_numpy, parts))
            context_here = context.contexts_of(network, regions, config, seed)
            vectors.append(context._vectors(network, regions.features, context_here).numpy())
            contexts.append(((context_here - network.context_mean) @ network.context_projection).numpy())
    return Learned(np.concatenate(vectors), np.concatenate(contexts), float(network.explained), seconds)


def _reduced(points: Points, areas: NDArray[np.float64]) -> Points:
    share = areas / areas.sum()
    mean = share @ points
    return ((points - mean) @ fit_group(points, share, mean, 1.0, context.CONTEXT_DIMENSIONS, "")).astype(np.float32)


def smoothed(points: Points, regions: Regions) -> Points:
    """Average each vector with those of its neighbours, weighted by their border and by how alike they are."""
    from scipy.sparse import coo_array

    first = np.concatenate([[0], np.cumsum([int(one.max()) + 1 for one in regions.maps])])
    pairs = [np.stack(borders(one)) + start for one, start in zip(regions.maps, first, strict=False)]
    one, other = np.concatenate(pairs, axis=1)
    apart = ((points[one] - points[other]) ** 2).sum(axis=1)
    shares = np.exp(-apart / np.median(apart))
    total = np.bincount(one, shares, minlength=len(points))
    around = coo_array((shares / total[one], (one, other)), shape=(len(points),) * 2).tocsr()
    for _ in range(ROUNDS):
        points = (1 - SHARE) * points + SHARE * np.where(total[:, None] > 0, around @ points, points)
    return points.astype(np.float32)


TRIALS: dict[str, Callable[[Regions, Pool, int], Iterator[Row]]] = {
    "floors": _floors,
    "default": _trained_rows("default", _plain),
    "untrained": _untrained,
    "dark": _trained_rows("no changes of light", _plain, light=0.0, patch_noise=0.0),
    "turns": _trained_rows("turns", _turned),
    "teacher": _trained_rows("teacher", _Taught()),
    "pair": _pair,
    "again": _again,
    "smooth": _smooth,
}


if __name__ == "__main__":
    main()
