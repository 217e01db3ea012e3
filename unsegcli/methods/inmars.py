"""InMARS: cluster superpixels by information maximisation, regularised by adversarial perturbations.

Information maximisation and adversarial regularisation over superpixels (Mirsadeghi, Royat and Rezatofighi, RA-L 2021).
There is no public code for the equations of the paper; this implementation is based on IMSAT (Hu et al., ICML 2017),
whose code is public. Each choice of ours is marked `Deviation:` and listed in docs/methods.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unsegcli.core.draws import Draws
from unsegcli.core.nn.distributed_sums import ranks, summed
from unsegcli.core.nn.information import conditional_and_marginal_entropy
from unsegcli.core.nn.jitter import Strengths, jitter
from unsegcli.core.nn.networks import grow, small_trunk, still_statistics
from unsegcli.core.nn.pooling import levelled, pool, superpixel_means
from unsegcli.core.nn.shrinking import at_middles, shrunk
from unsegcli.core.nn.warp import SEEN, drawn_affine, inverse, there_and_back, warp
from unsegcli.methods._contract import Batch
from unsegcli.methods._guide import GuideSettings, first_grouping, with_guide

REVISION = 5
MULTIPLE = 8  # the network's stride, with `shrink`


@dataclass(frozen=True)
class Config(GuideSettings):
    """Settings; the defaults suit a few hundred images and two cores. Deviation: the guide is not in the paper."""

    # Crops of whole images keep the information in positions; twice as many epochs gave no improvement.
    batch: int = 12  # crops in a step
    shrink: int = 2  # downsampling factor of the input, by averaging: 1 for small images or fine detail
    width: int = 16  # features of the first convolution; four times as many at the end
    overclusters: int = 24  # of a second head that helps the trunk and is not used afterwards; 0 = none
    evenness: float = 1.0  # mu of IMSAT's equation: weight of even clusters; 1 = mutual information, 4 forces them
    noise: float = 0.02  # length of the adversarial noise, as its root mean square a value (pixels run from 0 to 1)
    noise_weight: float = 1.0  # of the divergence under that noise; 0 = none
    power_steps: int = 1  # gradient steps that find the noise
    probe: float = 0.01  # length of the random start, as a share of the noise; 1e-3 to 1e-1, far below 1
    in_turns: bool = True  # alternate noise and spatial change from step to step, each with twice its weight
    tries: int = 2  # spatial changes, of which the worst is used; 1 = a random one, 0 = none
    space_weight: float = 1.0  # of the divergence under the spatial change
    turn: float = 15.0  # degrees, largest
    zoom: float = 0.2  # largest change of scale
    shift: float = 0.1  # largest, as a share of the crop
    shear: float = 10.0  # degrees, largest
    flip: bool = True  # mirror half of the changed crops
    light: float = 0.1  # of random changes of light in the changed crops; Deviation: 0 in the paper
    alone: float = 0.0  # share of the training with information maximisation only, before regularisation
    rising: float = 0.0  # share of the training in which the weight of regularisation rises
    pool_logits: bool = True  # average logits in a superpixel, not probabilities


class Network(nn.Module):
    """A small convolutional network that predicts a score for each cluster at a quarter of the resolution."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.trunk = small_trunk(channels, config.width)
        self.head = nn.Conv2d(4 * config.width, config.classes + config.overclusters, 1)
        nn.init.normal_(self.head.weight, std=0.01)  # so that all clusters are almost equally likely at first
        self.first = first_grouping(config, channels)

    def features(self, images: Tensor) -> Tensor:
        """Features (batch, features, rows, columns) of images with values from 0 to 1."""
        maps: Tensor = self.trunk((images - 0.5) / 0.25)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, clusters of both heads, rows, columns) of images with values from 0 to 1."""
        logits: Tensor = self.head(self.features(images))
        return logits.float()


Posteriors = list[Tensor]  # of each head: log probabilities (superpixels, clusters)


@dataclass(frozen=True)
class GridRegions:
    """Regions of a batch on the grid of the logits, and their weights."""

    numbers: Tensor  # (batch, rows, columns)
    count: int
    areas: Tensor  # (superpixels,) positions of the grid
    weights: Tensor  # (superpixels,) sum to one over all processes

    def posteriors(self, logits: Tensor, config: Config, seen: Tensor | None = None) -> tuple[Posteriors, Tensor]:
        """Compute log probabilities of each head, and the number of positions of each superpixel."""
        heads = logits.split([config.classes, config.overclusters], 1) if config.overclusters else (logits,)
        if config.pool_logits:
            pooled = [pool(head, self.numbers, self.count, seen) for head in heads]
            return [found.means.log_softmax(1) for found in pooled], pooled[0].areas
        pooled = [pool(head.softmax(1), self.numbers, self.count, seen) for head in heads]
        return [found.means.clamp_min(1e-8).log() for found in pooled], pooled[0].areas

    def crop_of(self) -> Tensor:
        """Return the crop of each superpixel (superpixels,); 0 for superpixels without pixels."""
        crops = torch.arange(len(self.numbers), device=self.numbers.device).view(-1, 1, 1).expand_as(self.numbers)
        inside = self.numbers >= 0
        found = torch.zeros(self.count, dtype=torch.int64, device=self.numbers.device)
        found[self.numbers[inside]] = crops[inside]
        return found


def needs(config: Config) -> tuple[str, ...]:
    """Return that training needs superpixels, and their features for the guide."""
    return ("superpixels", "regions") if config.guide else ("superpixels",)


def loss(network: nn.Module, batch: Batch, config: Config) -> dict[str, Tensor]:
    """Compute the negative information, and the divergences under noise and under a spatial change."""
    batch = shrunk(batch, config.shrink)
    logits = network(batch.images)
    superpixels = _superpixels(batch, (logits.shape[2], logits.shape[3]))
    clean, _ = superpixels.posteriors(logits, config)
    entropies = [conditional_and_marginal_entropy(head.exp(), superpixels.weights) for head in clean]
    information = torch.stack([head.conditional - config.evenness * head.marginal for head in entropies]).sum()
    terms = {"loss": information, "conditional": entropies[0].conditional, "marginal": entropies[0].marginal}
    terms = with_guide(terms, network, batch, config, lambda: clean[0])
    noise, space = _weights(config, batch)
    target = [head.detach() for head in clean]
    if noise:
        noisy = batch.images + adversarial_noise(network, batch, config, target, superpixels)
        with still_statistics(network):
            disturbed, _ = superpixels.posteriors(network(noisy), config)
        terms["noise"] = divergence(target, disturbed, superpixels.weights)
        terms["loss"] = terms["loss"] + noise * terms["noise"]
    if space:
        terms["space"] = _spatial(network, batch, config, target, superpixels)
        terms["loss"] = terms["loss"] + space * terms["space"]
    return terms


def cluster_scores(network: nn.Module, batch: Batch, config: Config) -> Tensor:
    """Compute probabilities of each pixel; with superpixels, all pixels of a superpixel have the same."""
    logits = grow(network(shrunk(batch, config.shrink).images)[:, : config.classes], batch.images.shape[-2:])
    if batch.superpixels is not None:
        logits = levelled(logits, batch.superpixels, batch.superpixel_count)
    return logits.softmax(1)


def region_vectors(network: Network, batch: Batch, config: Config) -> Tensor:
    """Average the features of the trunk over each superpixel: (superpixels, 4 width)."""
    assert batch.superpixels is not None
    return superpixel_means(dense_features(network, batch, config), batch.superpixels, batch.superpixel_count)


def dense_features(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute the features of the trunk: (batch, 4 width, rows, columns)."""
    return network.features(shrunk(batch, config.shrink).images).float()


def adversarial_noise(
    network: nn.Module, batch: Batch, config: Config, target: Posteriors, superpixels: GridRegions
) -> Tensor:
    """Find the noise of given length that changes the superpixels of each crop most (virtual adversarial training).

    A random start is so short that the gradient there is linear in it: then a step is one of the power method on the
    curvature of the divergence. Half precision would round such a start away, so all passes are in single precision.
    The noise is 0 on void pixels, and its root mean square is that of the valid ones.
    """
    images = batch.images
    valid = torch.ones_like(images[:, :1]) if batch.mask is None else batch.mask[:, None].to(images.dtype)
    length = config.noise * (images.shape[1] * valid.sum((1, 2, 3), keepdim=True)).sqrt()  # (batch, 1, 1, 1)
    draws = Draws(batch.seed, batch.step, batch.index)
    noise = _of_length(draws.normal("noise", *images.shape[1:]).to(images.dtype) * valid, 1.0)
    rounded = torch.is_autocast_enabled(images.device.type)
    with still_statistics(network), torch.autocast(images.device.type, enabled=False):
        if rounded:
            with torch.no_grad():
                target, _ = superpixels.posteriors(network(images), config)
        for _ in range(config.power_steps):
            noise = (config.probe * length * noise).requires_grad_()
            disturbed, _ = superpixels.posteriors(network(images + noise), config)
            change = divergence(target, disturbed, superpixels.weights)
            (gradient,) = torch.autograd.grad(change, noise)
            noise = _of_length(gradient * valid, 1.0)
    found: Tensor = length * noise.detach()
    return found


def divergence(target: Posteriors, other: Posteriors, weights: Tensor) -> Tensor:
    """Compute the weighted Kullback-Leibler divergence over superpixels, summed over heads.

    Weights sum to one over all processes, so that the mean over processes of this, as of every loss, is the whole.
    """
    result: Tensor = (weights * _divergences(target, other)).sum() * ranks()
    return result


def _divergences(target: Posteriors, other: Posteriors) -> Tensor:
    """Compute the divergence of each superpixel (superpixels,), summed over heads."""
    return torch.stack([(one.exp() * (one - two)).sum(1) for one, two in zip(target, other, strict=True)]).sum(0)


def _spatial(network: nn.Module, batch: Batch, config: Config, target: Posteriors, superpixels: GridRegions) -> Tensor:
    """Compute the divergence under the worst of several random spatial changes of each crop."""
    tried = [_matrices(batch, config, attempt) for attempt in range(config.tries)]
    matrices = tried[0]
    if len(tried) > 1:
        changes = torch.stack([_change(network, batch, config, target, superpixels, one) for one in tried])
        matrices = torch.stack(tried)[changes.argmax(0), torch.arange(len(matrices), device=matrices.device)]
    with still_statistics(network):
        after, areas = _after(network, batch, config, superpixels, matrices)
    return divergence(target, after, _still_seen(superpixels, areas))


@torch.no_grad()
def _change(
    network: nn.Module,
    batch: Batch,
    config: Config,
    target: Posteriors,
    superpixels: GridRegions,
    matrices: Tensor,
) -> Tensor:
    """Compute the divergence of each crop (batch,) under a spatial change, averaged over its visible part."""
    with still_statistics(network):
        after, areas = _after(network, batch, config, superpixels, matrices)
    weights = _still_seen(superpixels, areas)
    rows = superpixels.crop_of()
    lost = weights.new_zeros(len(matrices)).index_add(0, rows, weights * _divergences(target, after))
    known = weights.new_zeros(len(matrices)).index_add(0, rows, weights)
    return lost / known.clamp_min(1e-12)


def _after(
    network: nn.Module, batch: Batch, config: Config, superpixels: GridRegions, matrices: Tensor
) -> tuple[Posteriors, Tensor]:
    """Compute posteriors of the changed crops on the original superpixels, and their numbers of visible positions."""
    images = batch.images
    if config.light:
        draws = Draws(batch.seed, batch.step, batch.index)
        light = Strengths(config.light, config.light, config.light, config.light / 4)
        images = jitter(images, draws, "space", light, valid=batch.mask)
    logits = warp(network(_moved(images, batch.mask, matrices)), inverse(matrices))
    return superpixels.posteriors(logits, config, there_and_back(logits, matrices))


def _moved(images: Tensor, mask: Tensor | None, matrices: Tensor) -> Tensor:
    """Transform images; the border shows their mirror image, and pixels that are partly void become void.

    A black border would change the batch statistics, and so the posteriors of everything inside.
    """
    moved = warp(images, matrices, mirrored=True)
    if mask is None:
        return moved
    return moved * (warp(mask[:, None].to(images.dtype), matrices, mirrored=True) > SEEN)


def _still_seen(superpixels: GridRegions, areas: Tensor) -> Tensor:
    """Return the weights of superpixels of which at least half is visible, normalised to sum to one."""
    weights = superpixels.weights * (2 * areas >= superpixels.areas)
    weights_in_all: Tensor = summed(weights.sum())
    return weights / weights_in_all.clamp_min(1e-12)


def _matrices(batch: Batch, config: Config, attempt: int) -> Tensor:
    return drawn_affine(
        Draws(batch.seed, batch.step, batch.index), f"space {attempt}", turn=config.turn, zoom=config.zoom,
        shift=config.shift, shear=config.shear, flip=config.flip,
    )  # fmt: skip


def _superpixels(batch: Batch, grid: tuple[int, int]) -> GridRegions:
    """Downsample superpixels to a grid (rows, columns) by the central pixels."""
    if batch.superpixels is None:
        raise ValueError("the batch has no superpixels")
    numbers = at_middles(batch.superpixels, grid)
    areas = pool(torch.ones_like(numbers, dtype=batch.images.dtype)[:, None], numbers, batch.superpixel_count).areas
    total: Tensor = summed(areas.sum())
    return GridRegions(numbers, batch.superpixel_count, areas, areas / total.clamp_min(1))


def _weights(config: Config, batch: Batch) -> tuple[float, float]:
    """Return the weights of noise and spatial change at this step."""
    share = _share(config, batch.progress)
    noise, space = share * config.noise_weight, share * config.space_weight * (config.tries > 0)
    if config.in_turns and noise and space:
        return (2 * noise, 0.0) if batch.step % 2 else (0.0, 2 * space)
    return noise, space


def _share(config: Config, progress: float) -> float:
    """Return the present factor of the regularisation: 0, then rising, then 1."""
    if progress < config.alone:
        return 0.0
    return min(1.0, (progress - config.alone) / config.rising) if config.rising else 1.0


def _of_length(values: Tensor, length: float) -> Tensor:
    """Rescale each sample (batch, ...) to a Euclidean length."""
    norms = values.flatten(1).norm(dim=1).clamp_min(1e-12)
    scaled: Tensor = length * values / norms.view(-1, *[1] * (values.dim() - 1))
    return scaled
