"""Context: predict what a hidden region looks like from the regions around it; cluster what the prediction needs.

Our own method, not from a paper. Each superpixel has a word: the nearest of 48 k-means centres of its colour, texture
and patches. Blocks of superpixels are hidden, and a transformer predicts their words from the visible ones (the idea of
HuBERT, Hsu et al. 2021, on superpixels), in changed light. What the network says about a region while that region is
hidden is its context. Clusters are k-means on region features and context. Context counts by the share of the words'
entropy that it explains in images that are left out of the training, which needs no label: where it explains nothing,
the result is k-means on regions.

With a file of features, words are those of its vectors, and clusters are k-means on vectors and context.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unsegcli import console
from unsegcli.core.draws import Draws
from unsegcli.core.kmeans import kmeans
from unsegcli.core.nn.distributed_sums import ranks, summed
from unsegcli.core.nn.pooling import paint
from unsegcli.core.nn.region_jitter import jittered
from unsegcli.core.nn.tokens import TokenTransformer
from unsegcli.core.superpixels.features import OWN, feature_groups
from unsegcli.core.superpixels.region_sample import RegionSample
from unsegcli.core.superpixels.region_space import Space, dimensions_of, fit_group, fit_space, place_weights
from unsegcli.core.vector_space import (
    Layer,
    dimensions_of_layers,
    fit_vector_space,
    joined,
    length_of_layers,
    of_length,
)
from unsegcli.errors import ConfigError
from unsegcli.methods._contract import Batch, LoopSettings, Regions

SEES_REGIONS = True
SEES_VECTORS = True
MULTIPLE = 1  # any size will do
CONTEXT_DIMENSIONS = 24  # principal components of the context
NOTHING, EVERYTHING = 0.05, 0.25  # share of the words' entropy explained, at which context counts 0, and fully
HELD_OUT = 8  # every so many-th image is left out of the training, and with fewer images context does not count
BLOCKS, SMALLEST, LARGEST = 6, 0.14, 0.46  # hidden rectangles of an image, and their sides as shares of the image's
SAMPLE, OF_WORDS, OF_CLUSTERS = 60_000, 8_000, 20_000  # regions that spaces, words and clusters are fitted on
MOST_VALUES = 24_000_000  # of stored vectors in the sample, in all
WORD_ITERATIONS = 30  # of k-means
STARTS, ITERATIONS = 3, 100
SOFTNESS = 0.25  # difference of squared distances that changes scores by e, relative to the mean squared distance


@dataclass(frozen=True)
class Config(LoopSettings):
    """Settings."""

    crop: int = 512  # side of the square of an image that is looked at together, in pixels
    batch: int = 12  # images in a step
    min_steps: int = 300  # for datasets of few images
    optimizer: str = "adamw"  # the usual choice for transformers
    learning_rate: float = 2e-3  # at its maximum
    schedule: str = "one_cycle"  # a rise and a fall
    warmup: float = 0.15  # share of the training in which the rate rises
    weight_decay: float = 0.05  # 0 to 0.1
    grad_clip: float = 1.0  # maximum gradient norm
    words: int = 48  # region words, 16 to 128
    tokens: int = 400  # regions of a crop that are seen together, at most; of more, some are drawn
    width: int = 64  # of the transformer
    layers: int = 3  # blocks of attention
    heads: int = 4  # of attention; the width is a multiple of four times as many
    light: float = 2.0  # strength of the changes of light; 0 = none, 1 to 3
    patch_noise: float = 0.3  # added to the patch codes and stored vectors of an image, as a share of their deviation
    mirror: bool = True  # mirror half of the images
    views: int = 3  # pairs of complementary masks under which the context of a region is averaged
    context_weight: float = 1.0  # of the context in the clustering; colour and texture have 1, as each stored layer
    beside: float = 0.5  # length of hand-crafted features in the clustering, all stored vectors having 1; 0 = without


class Network(nn.Module):
    """A transformer on region tokens, and all that is fitted before and after its training."""

    input_scale: Tensor  # (2, inputs): mean to subtract, and factor
    space_mean: Tensor  # (features,)
    space_projection: Tensor  # (features, dimensions)
    word_centres: Tensor  # (words, dimensions)
    images: Tensor  # number of images
    explained: Tensor  # share of the entropy of the words, in the images that are held out
    context_mean: Tensor  # (width,)
    context_projection: Tensor  # (width, dimensions)
    centres: Tensor  # (clusters, all dimensions)
    spread: Tensor  # mean squared distance to the nearest centre

    def __init__(self, config: Config, channels: int, layers: tuple[Layer, ...] = ()) -> None:
        super().__init__()
        _check(config)
        groups, self.channels, self.layers = feature_groups(channels), channels, layers
        self.own = groups[OWN[-1]].stop if channels else 0  # number of own features, which come first
        self.crafted = groups["surroundings"].stop if channels else 0  # number of hand-crafted features
        self.patches, self.features = groups["patches"], self.crafted + sum(layer.size for layer in layers)
        self.vectors = dimensions_of_layers(layers)  # number of dimensions of vectors in the space, the first ones
        inputs = self.own + self.vectors
        self.entry = nn.Sequential(nn.Linear(inputs, config.width), nn.GELU(), nn.Linear(config.width, config.width))
        self.hidden = nn.Parameter(0.02 * torch.randn(config.width))
        self.transformer = TokenTransformer(config.width, config.layers, config.heads)
        self.exit = nn.Linear(config.width, config.words)
        beside = dimensions_of(channels) if self.crafted and (config.beside or not layers) else 0
        dimensions, kept = self.vectors + beside, min(CONTEXT_DIMENSIONS, config.width)
        buffers = {
            "input_scale": torch.zeros(2, inputs),
            "space_mean": torch.zeros(self.features),
            "space_projection": torch.zeros(self.features, dimensions),
            "word_centres": torch.zeros(config.words, self.vectors or self.own),
            "images": torch.zeros((), dtype=torch.int64),
            "explained": torch.zeros(()),
            "context_mean": torch.zeros(config.width),
            "context_projection": torch.zeros(config.width, kept),
            "centres": torch.zeros(config.classes, dimensions + kept),
            "spread": torch.ones(()),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, inputs: Tensor, centres: Tensor, present: Tensor, hidden: Tensor) -> Tensor:
        """Relate regions to each other: inputs (batch, tokens, inputs) to (batch, tokens, width)."""
        tokens = self.entry((inputs - self.input_scale[0]) * self.input_scale[1])
        tokens = torch.where(hidden[..., None], self.hidden.to(tokens.dtype), tokens)
        related: Tensor = self.transformer(tokens, centres, present)
        return related

    def in_space(self, features: Tensor) -> Tensor:
        """Map features (regions, features) to the space in which k-means compares regions, in single precision."""
        with torch.autocast(features.device.type, enabled=False):
            mapped: Tensor = (features.float() - self.space_mean) @ self.space_projection
        return mapped

    def words_of(self, features: Tensor) -> Tensor:
        """Return the word of each region: (regions,)."""
        with torch.autocast(features.device.type, enabled=False):
            return torch.cdist(self.in_space(features)[:, : self.word_centres.shape[1]], self.word_centres).argmin(1)

    def inputs_of(self, features: Tensor) -> Tensor:
        """Return what the transformer sees of each region, own features and vectors in the space: (regions, inputs)."""
        own = features[:, : self.own]
        return torch.cat([own, self.in_space(features)[:, : self.vectors]], 1) if self.layers else own

    def held_out(self, batch: Batch) -> Tensor:
        """Return which crops are of images that are left out of the training: (crops,)."""
        if batch.image_numbers is None or int(self.images) < HELD_OUT:
            return torch.zeros(len(batch.images), dtype=torch.bool, device=batch.images.device)
        return batch.image_numbers % HELD_OUT == HELD_OUT - 1

    @property
    def weight(self) -> float:
        """Weight of the context, 0 to 1, by what it explains."""
        return min(1.0, max(0.0, (float(self.explained) - NOTHING) / (EVERYTHING - NOTHING)))


class Tokens(NamedTuple):
    """Regions in rows; all of a row see each other."""

    numbers: Tensor  # (rows, tokens) number of the superpixel; anything where not present
    present: Tensor  # (rows, tokens)


def needs(config: Config) -> tuple[str, ...]:
    """Return what batches must hold."""
    return ("superpixels", "regions")


def prepare(network: Network, batches: Iterator[Batch], config: Config) -> None:
    """Fit the space of regions and their words on all images."""
    sample, seed = RegionSample(_sampled(network)), 0
    for batch in batches:
        regions, seed = _regions(batch), batch.seed
        images = torch.arange(len(batch.images)) + sample.added if batch.image_numbers is None else batch.image_numbers
        inside = regions.areas > 0
        rows = (regions.features, regions.areas, images.to(regions.crops.device)[regions.crops])
        sample.add(*(column[inside].cpu().numpy() for column in rows))
    features, areas, images_of = sample.arrays()
    numbers, images_of = np.unique(images_of, return_inverse=True)
    space = _space(network, features, areas, images_of, config)
    _set(network, {"images": len(numbers), "space_mean": space.mean, "space_projection": space.projection})
    _set(network, {"input_scale": _input_scale(network, features)})
    compared = space(features)[:, : network.word_centres.shape[1]]
    some = _evenly(len(compared), OF_WORDS)
    found = kmeans(
        compared[some],
        config.words,
        seed=seed,
        starts=1,
        iterations=WORD_ITERATIONS,
        weights=areas[some].astype(np.float64),
    )
    _set(network, {"word_centres": found.centres})


def loss(network: Network, batch: Batch, config: Config) -> Mapping[str, Tensor]:
    """Compute the cross entropy of the words of hidden regions."""
    regions, draws = _regions(batch), Draws(batch.seed, batch.step, batch.index)
    tokens = drawn_tokens(regions, draws, config.tokens)
    centres = regions.centres[tokens.numbers]
    hidden = hidden_blocks(centres, tokens.present, draws) & ~network.held_out(batch)[:, None]
    words = network.words_of(regions.features)[tokens.numbers]
    if config.mirror:
        sides = 2 * draws.integers("mirror", below=2).view(-1, 1) - 1
        centres = torch.stack([centres[..., 0], centres[..., 1] * sides], -1)
    seen = _in_other_light(network, network.inputs_of(regions.features)[tokens.numbers], draws, config)
    logits = network.exit(network(seen, centres, tokens.present, hidden))
    guessed, wanted = logits[hidden].float(), words[hidden]
    share = ranks() / summed(hidden.sum()).clamp_min(1)
    lost = functional.cross_entropy(guessed, wanted, reduction="sum")
    return {"loss": share * lost, "right": share * (guessed.argmax(1) == wanted).sum()}


def finish(network: Network, batches: Iterator[Batch], config: Config) -> None:
    """Measure what context explains, and cluster the regions of all images."""
    sample, measured, seed = RegionSample(_sampled(network)), Explained(config.words), 0
    for batch in batches:
        regions, seed = _regions(batch), batch.seed
        measured.add(network, batch, config)
        context, inside = contexts_of(network, regions, config, batch.seed), regions.areas > 0
        sample.add(*(column[inside].cpu().numpy() for column in (regions.features, regions.areas, context)))
    features, areas, contexts = sample.arrays()
    share = areas.astype(np.float64) / areas.sum()
    mean = share @ contexts
    projection = fit_group(contexts, share, mean, config.context_weight, CONTEXT_DIMENSIONS, "context")
    _set(network, {"explained": measured.share, "context_mean": mean, "context_projection": projection})
    console.note(_verdict(network, config))
    some = _evenly(len(features), OF_CLUSTERS)
    device = network.centres.device
    rows = (torch.from_numpy(column[some]).to(device) for column in (features, contexts))
    points = _vectors(network, *rows).cpu().numpy()
    found = kmeans(
        points, config.classes, seed=seed, starts=STARTS, iterations=ITERATIONS, weights=areas[some].astype(np.float64)
    )
    _set(network, {"centres": found.centres, "spread": max(found.inertia / float(areas[some].sum()), 1e-12)})


def region_vectors(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute what regions are compared by: (superpixels, dimensions)."""
    regions = _regions(batch)
    return _vectors(network, regions.features, contexts_of(network, regions, config, batch.seed))


def cluster_scores(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute scores that fall with the distance of a region from the centre of each cluster."""
    squared = torch.cdist(region_vectors(network, batch, config), network.centres).square()
    scores = (-squared / (SOFTNESS * network.spread)).softmax(1)
    if batch.superpixels is None:
        raise ValueError("the batch has no superpixels")
    return torch.where((batch.superpixels < 0)[:, None], 1 / config.classes, paint(scores, batch.superpixels))


def drawn_tokens(regions: Regions, draws: Draws, most: int) -> Tokens:
    """Draw up to `most` regions of each crop; those outside of it are left out."""
    rows, present = _in_rows(regions, len(draws.index))
    order = draws.uniform("tokens", rows.shape[1]).to(rows.device).masked_fill(~present, 2.0).argsort(1)[:, :most]
    return Tokens(rows.gather(1, order), present.gather(1, order))


def hidden_blocks(centres: Tensor, present: Tensor, draws: Draws) -> Tensor:
    """Draw rectangles of each crop; the regions with centres (batch, tokens, 2) in one of them are hidden."""
    extent = (centres * present[..., None]).amax(1)  # (batch, 2)
    middle = draws.uniform("blocks", BLOCKS, 2) * extent[:, None]
    reach = draws.uniform("sides of blocks", BLOCKS, 2, low=SMALLEST / 2, high=LARGEST / 2)
    inside = ((centres[:, None] - middle[:, :, None]).abs() < reach[:, :, None]).all(-1)
    return inside.any(1) & present


@torch.no_grad()
def contexts_of(network: Network, regions: Regions, config: Config, seed: int) -> Tensor:
    """Compute what the network says about each region while it is hidden: (superpixels, width); 0 outside the crop."""
    found = regions.features.new_zeros(len(regions.areas), config.width)
    if not bool((regions.areas > 0).any()):
        return found
    tokens = shuffled_groups(regions, config.tokens, seed)
    inputs, centres = network.inputs_of(regions.features)[tokens.numbers], regions.centres[tokens.numbers]
    random = torch.Generator().manual_seed(seed)
    for _ in range(config.views):
        mask = torch.rand(tokens.numbers.shape[1], generator=random).to(inputs.device) < 0.5
        for hidden in (mask, ~mask):
            chosen = hidden & tokens.present
            related = network(inputs, centres, tokens.present, chosen)
            found[tokens.numbers[chosen]] += related[chosen].to(found.dtype) / config.views
    return found


def shuffled_groups(regions: Regions, most: int, seed: int) -> Tokens:
    """Divide the regions of each crop at random into equal groups of up to `most`, which are the rows."""
    random = torch.Generator().manual_seed(seed)
    rows, present = _in_rows(regions, int(regions.crops.max()) + 1)
    groups = []
    for row, count in zip(rows, present.sum(1).tolist(), strict=True):
        order = torch.randperm(count, generator=random).to(row.device)
        groups += list(row[:count][order].tensor_split(max(1, -(-count // most))))
    longest = max(len(group) for group in groups)
    numbers = torch.stack([functional.pad(group, (0, longest - len(group))) for group in groups])
    lengths = torch.tensor([len(group) for group in groups], device=numbers.device)
    return Tokens(numbers, torch.arange(longest, device=numbers.device) < lengths[:, None])


def _in_rows(regions: Regions, crops: int) -> tuple[Tensor, Tensor]:
    """Return the numbers of the regions in each crop (crops, most), those inside first, and which are."""
    inside = (regions.areas > 0).nonzero()[:, 0]
    count = torch.bincount(regions.crops[inside], minlength=crops)
    present = torch.arange(max(1, int(count.max())), device=count.device) < count[:, None]
    rows = torch.zeros(present.shape, dtype=torch.int64, device=count.device)
    rows[present] = inside
    return rows, present


class Explained:
    """The share of the entropy of region words that context explains, summed over batches."""

    def __init__(self, words: int) -> None:
        self.seen, self.lost, self.hidden = np.zeros(words), 0.0, 0

    @torch.no_grad()
    def add(self, network: Network, batch: Batch, config: Config) -> None:
        """Predict hidden blocks of the images that are held out, in unchanged light."""
        regions, draws = _regions(batch), Draws(batch.seed, batch.step, batch.index)
        tokens = drawn_tokens(regions, draws, config.tokens)
        inputs, centres = network.inputs_of(regions.features)[tokens.numbers], regions.centres[tokens.numbers]
        hidden = hidden_blocks(centres, tokens.present, draws) & network.held_out(batch)[:, None]
        logits = network.exit(network(inputs, centres, tokens.present, hidden))
        words = network.words_of(regions.features)
        self.seen += np.bincount(words[regions.areas > 0].cpu().numpy(), minlength=len(self.seen))
        wanted = words[tokens.numbers][hidden]
        self.lost += float(functional.cross_entropy(logits[hidden].float(), wanted, reduction="sum"))
        self.hidden += len(wanted)

    @property
    def share(self) -> float:
        """The share, 0 to 1; 0 if there is only one word, or nothing was hidden."""
        if not self.hidden:
            return 0.0
        parts = self.seen[self.seen > 0] / self.seen.sum()
        entropy = float(-(parts * np.log(parts)).sum())
        return max(0.0, 1 - self.lost / self.hidden / entropy) if entropy > 0 else 0.0


def _verdict(network: Network, config: Config) -> str:
    """Say how much context counts, and why."""
    if int(network.images) < HELD_OUT:
        floor = "stored vectors" if network.layers else "regions"
        return (
            f"context does not count: what it explains cannot be measured with fewer than {HELD_OUT} images. "
            f"The result is that of k-means on {floor}. Cut large images with --patch"
        )
    return (
        f"context explains {float(network.explained):.0%} of the entropy of the {config.words} region words in images "
        f"that were held out, and counts by {network.weight:.2f}"
    )


def _check(config: Config) -> None:
    if config.width < 1 or config.heads < 1 or config.width % (4 * config.heads):
        raise ConfigError(f"width {config.width}: must be a multiple of 4 x {config.heads} heads")
    for name in ("words", "tokens", "layers", "views"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} {getattr(config, name)}: must be at least 1")
    if config.beside < 0:
        raise ConfigError(f"beside {config.beside:g}: must be at least 0")


def _regions(batch: Batch) -> Regions:
    if batch.regions is None:
        raise ValueError("the batch has no regions")
    return batch.regions


def _vectors(network: Network, features: Tensor, contexts: Tensor) -> Tensor:
    """Join what k-means on regions compares and the context, by its weight: (regions, dimensions)."""
    context = (contexts - network.context_mean) @ network.context_projection
    return torch.cat([network.in_space(features), network.weight * context], 1)


def _sampled(network: Network) -> int:
    """Return how many regions are kept of all; fewer if stored vectors are long."""
    return min(SAMPLE, MOST_VALUES // network.features) if network.layers else SAMPLE


def _space(
    network: Network, features: NDArray[Any], areas: NDArray[Any], images: NDArray[Any], config: Config
) -> Space:
    """Fit the space of regions: stored vectors, if there are any, come first there, and last in the features."""
    crafted, channels = features[:, : network.crafted], network.channels
    if not network.layers:
        return fit_space(crafted, areas, channels, place_weights(crafted, areas, channels, images))
    whole = length_of_layers(network.layers)
    vectors = fit_vector_space(features[:, network.crafted :], areas, network.layers)
    if not (network.crafted and config.beside):
        return joined([Space(np.zeros(network.crafted), np.zeros((network.crafted, 0))), vectors], [1.0, whole])
    space = fit_space(crafted, areas, channels, place_weights(crafted, areas, channels, images))
    both = joined([of_length(space, crafted, areas, config.beside), vectors], [whole, whole])
    return Space(both.mean, np.roll(both.projection, network.vectors, axis=1))


def _input_scale(network: Network, features: NDArray[Any]) -> NDArray[np.float64]:
    """Return mean and factor that standardise what the transformer sees.

    Patch codes share a factor, since they are components, as do stored vectors, whose layers have lengths already.
    """
    own, size = features[:, : network.own], network.vectors
    deviation = own.std(axis=0, dtype=np.float64)
    if network.own:
        deviation[network.patches] = np.sqrt((deviation[network.patches] ** 2).mean())
    factor = np.divide(1.0, deviation, out=np.zeros(len(deviation)), where=deviation > 1e-6)
    mean = np.concatenate([own.mean(axis=0, dtype=np.float64), np.zeros(size)])
    of_vectors = np.full(size, math.sqrt(size) / (length_of_layers(network.layers) or 1.0))
    return np.stack([mean, np.concatenate([factor, of_vectors])])


def _in_other_light(network: Network, inputs: Tensor, draws: Draws, config: Config) -> Tensor:
    """Change the light of own features, and add a noise to the vectors of each image: (batch, tokens, inputs)."""
    own, vectors = inputs[..., : network.own], inputs[..., network.own :]
    if network.own:
        noise = config.patch_noise / network.input_scale[1, network.patches.start].clamp_min(1e-6)
        own = jittered(own, network.channels, draws, config.light, noise)
    if not network.layers:
        return own
    noise = config.patch_noise / network.input_scale[1, network.own :]
    return torch.cat([own, vectors + noise * draws.normal("vectors of regions", network.vectors)[:, None]], -1)


def _set(network: Network, values: Mapping[str, Any]) -> None:
    """Set buffers."""
    for name, value in values.items():
        getattr(network, name).copy_(torch.as_tensor(np.asarray(value)))


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return up to `most` numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, max(0, count - 1), min(count, most)).round().astype(np.int64))
