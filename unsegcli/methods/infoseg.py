"""InfoSeg: maximise the mutual information between local features and the global feature of their class.

Maximising mutual information between local and global features (Harb and Knöbelreiter, GCPR 2021). A network computes
local features L of an image, one per position, and global features H, one per class. Each step segments by the
similarity of L and H (equations 1 to 3), and then maximises the mutual information of each position and the feature of
its class (equations 4 to 6). The equations are published, but not the code, layers or settings; each choice of ours is
marked `Deviation:` and listed in docs/methods.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.draws import Draws
from unsegcli.core.nn.distributed_sums import gathered, gathered_with_gradient, rank, ranks, share_of_mean
from unsegcli.core.nn.information import conditional_and_marginal_entropy
from unsegcli.core.nn.jitter import Strengths, jitter
from unsegcli.core.nn.networks import Residual, convolution, grow, still_statistics
from unsegcli.core.nn.pooling import levelled, pool, superpixel_means
from unsegcli.core.nn.shrinking import at_middles, shrunk
from unsegcli.errors import ConfigError, not_among
from unsegcli.methods._contract import Batch
from unsegcli.methods._guide import GuideSettings, first_grouping, with_guide
from unsegcli.methods._same_image import image_numbers, warn_of_single_image

REVISION = 4
MULTIPLE = 8  # the stride of the local features, with `shrink`
LIGHT = 0.1  # of random changes of light in the crops, where H is from a view of its own; hue by a quarter of it
CHOICES = {
    "negatives": ("all", "roll"),
    "projection": ("linear", "nonlinear"),
    "stride": ("2", "4"),
}
BOUNDS = {
    "tau": (1e-6, math.inf),
    "scale": (0, math.inf),
    "places": (1, math.inf),
    "blocks": (1, 9),
    "context": (0, 64),
    "agree": (0, 1),
}


@dataclass(frozen=True)
class Config(GuideSettings):
    """Settings; the defaults suit a few hundred images and two cores. Deviation: the guide is not in the paper."""

    # Each of the classes, K, has one global feature. Published sets have crops of 128 and 200.
    batch: int = 12  # crops in a step, at least 2: a crop is distinguished from the others; 8 to 64

    # Network. The paper has blocks A to D, L from C and H from D; what is in them is not public.
    shrink: int = 2  # downsampling factor of the input, by averaging: 1 for small images or fine detail
    width: int = 16  # channels of block A; B has twice, C four times, D eight times as many; 16 to 64
    blocks: int = 1  # residual blocks in B and in each half of D, 1 or 2; C has two
    stride: int = 4  # of B and C: 4, or 2 for finer and slower local features; D has four times as much
    features: int = 64  # F, length of local and global features; 32 to 256
    projection: str = "linear"  # from blocks to features: linear, or nonlinear with a way around as in Deep InfoMax

    # Segmentation, equations 1 to 3
    normalize: bool = True  # normalise L and H to length 1
    tau: float = 8.0  # of equation 1; 5 to 20 with `normalize`, else 0.1 to 10 over the root of F
    detach_v: bool = False  # no gradient through V in S: segment, then fit, as two separate steps
    pool_logits: bool = True  # one V for each superpixel, from its mean logits. Deviation: the paper has no superpixels

    # Information, equations 4 to 6
    scale: float = 0.0  # factor of T in equation 6; 0 = tau. The paper's is 1 as far as known, without `normalize`
    negatives: str = "all"  # L' of other images: all = many places with many, roll = the same place of one image
    places: int = 48  # of each image, for `negatives` all; 16 to 256
    agree: float = 1.0  # 0 to 1: spare places of the same class in other images. Deviation: 0 in the paper

    # Where H looks. Deviation: the paper takes H from the same pass as L, as far as known: context 0, not lit.
    context: int = 2  # H is from a view of the crop that is so many times smaller, half of these mirrored; 0 = as L
    context_light: float = 0.4  # of random changes of light in that view, 0 to 1; hue by a quarter of it


class Network(nn.Module):
    """Blocks A to D, and the projections to local and global features."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        _check(config)
        self.config = config
        widths = [config.width, 2 * config.width, 4 * config.width, 8 * config.width]
        near, far = _blocks(config, channels)
        self.near, self.far = nn.Sequential(*near), nn.Sequential(*far)
        self.local = _projection(widths[2], config.features, config)
        self.overall = _projection(widths[-1], config.classes * config.features, config)
        self.first = first_grouping(config, channels)

    def forward(
        self, images: Tensor, whole: Tensor | None = None, inside: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute local features (batch, features, rows, columns), and pooled features of images (batch, 8 width).

        Args:
            images: (batch, channels, height, width), values from 0 to 1.
            whole: other views of the images, for the pooled features; None = the same.
            inside: (batch, any height, width) valid pixels of those views; None = all.
        """
        maps = self.near(_prepared(images))
        local = self._length(self.local(maps).float(), 1)
        if whole is not None:
            with still_statistics(self.near):  # running statistics are those of the images to be segmented
                maps = self.near(_prepared(whole))
        return local, self._seen(maps, inside)

    def overview(self, whole: Tensor, inside: Tensor | None) -> Tensor:
        """Compute only the pooled features of images (batch, 8 width)."""
        return self._seen(self.near(_prepared(whole)), inside)

    def _seen(self, maps: Tensor, inside: Tensor | None) -> Tensor:
        """Apply block D in single precision: half precision sometimes gave NaN gradients at maps of 2 x 2."""
        with _exact(maps):
            return _mean_inside(self.far(maps.float()), inside)

    def class_features(self, seen: Tensor) -> Tensor:
        """Compute H (batch, classes, features) from pooled features (batch, 8 width)."""
        rows = self.overall(seen[:, :, None, None]).flatten(1).float()
        return self._length(rows.unflatten(1, (self.config.classes, self.config.features)), 2)

    def _length(self, vectors: Tensor, axis: int) -> Tensor:
        return functional.normalize(vectors, dim=axis) if self.config.normalize else vectors


@dataclass(frozen=True)
class Assigned:
    """Result of the segmentation step."""

    local: Tensor  # L (batch, features, rows, columns)
    logits: Tensor  # tau <L, H> (batch, classes, rows, columns), of each place by itself
    volume: Tensor  # V of equation 1, the same shape, sums to one
    mixture: Tensor  # S of equation 3 (batch, features, rows, columns)
    valid: Tensor  # (batch, rows, columns), bool


def needs(config: Config) -> tuple[str, ...]:
    """Return whether training needs superpixels: for `pool_logits` or the guide; the paper has none."""
    if config.guide:
        return ("superpixels", "regions")
    return ("superpixels",) if config.pool_logits else ()


def prepare(network: nn.Module, batches: Iterator[Batch], config: Config) -> None:
    """Warn of a single image, which has no negatives."""
    warn_of_single_image(batches)


def loss(network: Network, batch: Batch, config: Config) -> dict[str, Tensor]:
    """Compute equation 5 as a loss, low if positions match the feature of their class and other images do not."""
    batch = shrunk(batch, config.shrink)
    whole, inside = _changed_view(batch, config)
    local, seen = network(_lit(batch.images, batch, "crop", LIGHT if config.context else 0.0), whole, inside)
    with _exact(local):
        classes = network.class_features(seen)
        found = assigned(local, classes, batch, config)
        terms = {"positive": positive(found, config), "negative": negative(found, batch, config)}
        terms = {"loss": terms["positive"] + terms["negative"], **terms, "marginal": _marginal(found)}
        return with_guide(terms, network, batch, config, lambda: _posteriors(found, batch))


def cluster_scores(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute V of each pixel; with superpixels, all pixels of a superpixel have the same."""
    small = shrunk(batch, config.shrink)
    local, seen = network(small.images, _smaller(small.images, config), small.mask)
    classes = network.class_features(seen if batch.image_features is None else batch.image_features)
    logits = grow(_logits(local, classes, config), batch.images.shape[-2:])
    if batch.superpixels is not None:
        logits = levelled(logits, batch.superpixels, batch.superpixel_count)
    return logits.softmax(1)


def region_vectors(network: Network, batch: Batch, config: Config) -> Tensor:
    """Average the maps of block C, from which L is computed, over each superpixel: (superpixels, 4 width)."""
    assert batch.superpixels is not None
    return superpixel_means(dense_features(network, batch, config), batch.superpixels, batch.superpixel_count)


def dense_features(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute the maps of block C: (batch, 4 width, rows, columns)."""
    maps: Tensor = network.near(_prepared(shrunk(batch, config.shrink).images))
    return maps.float()


def image_features(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute pooled features of images (batch, 8 width); for a large image, they are averaged over its tiles."""
    small = shrunk(batch, config.shrink)
    whole = _smaller(small.images, config)
    found: Tensor = network.overview(small.images if whole is None else whole, small.mask)
    return found


def assigned(local: Tensor, classes: Tensor, batch: Batch, config: Config) -> Assigned:
    """Run the segmentation step: equations 1 to 3.

    Args:
        local: L (batch, features, rows, columns).
        classes: H (batch, classes, features).
        batch: batch with superpixels and mask.
        config: settings.
    """
    grid = (local.shape[2], local.shape[3])
    logits = _logits(local, classes, config)
    numbers = None if batch.superpixels is None else at_middles(batch.superpixels, grid)
    if config.pool_logits:
        if numbers is None:
            raise ValueError("the batch has no superpixels")
        volume = levelled(logits, numbers, batch.superpixel_count).softmax(1)
    else:
        volume = logits.softmax(1)
    valid = torch.ones_like(logits[:, 0], dtype=torch.bool) if batch.mask is None else at_middles(batch.mask, grid)
    chosen = volume.detach() if config.detach_v else volume
    mixture = torch.einsum("bkhw,bkf->bfhw", chosen, classes)
    return Assigned(local, logits, volume, mixture, valid if numbers is None else valid & (numbers >= 0))


def positive(found: Assigned, config: Config) -> Tensor:
    """The first half of equation 5: mean of softplus(-T) over all places, with T = <L, S> of equation 6."""
    likeness = _scale(config) * (found.local * found.mixture).sum(1)
    return share_of_mean(functional.softplus(-likeness), found.valid.to(likeness.dtype))


def negative(found: Assigned, batch: Batch, config: Config) -> Tensor:
    """The second half of equation 5: mean of softplus(T) over pairs of L' and S of different images."""
    return _rolled(found, batch, config) if config.negatives == "roll" else _all_pairs(found, batch, config)


def _rolled(found: Assigned, batch: Batch, config: Config) -> Tensor:
    """Use L' from the same position of another image: images are rolled by one number, drawn at each step."""
    count = len(found.local)
    in_all = count * ranks()
    steps = Draws(batch.seed, batch.step, torch.zeros(1, dtype=torch.int64)).integers("roll", below=in_all - 1)
    others = (rank() * count + torch.arange(count, device=found.local.device) + 1 + int(steps)) % in_all
    local = gathered_with_gradient(found.local)[others]
    likeness = _scale(config) * (local * found.mixture).sum(1)
    weights = (found.valid & gathered_with_gradient(found.valid.to(likeness.dtype))[others].bool()).to(likeness.dtype)
    images = image_numbers(batch)
    weights = weights * (images != gathered(images)[others]).to(weights.dtype)[:, None, None]
    if config.agree:
        volume = found.volume.detach()
        weights = weights * (1 - config.agree * (gathered_with_gradient(volume)[others] * volume).sum(1))
    return share_of_mean(functional.softplus(likeness), weights)


def _all_pairs(found: Assigned, batch: Batch, config: Config) -> Tensor:
    """Use L' from random positions of each image, each with S at such positions of all other images."""
    drawn, known = _places(found.valid, batch, config.places)
    local, mixture, volume = (_at(maps, drawn) for maps in (found.local, found.mixture, found.volume.detach()))
    weight = known.to(local.dtype)[:, None].expand_as(drawn).flatten()
    images = image_numbers(batch)[:, None].expand_as(drawn).flatten()
    likeness = _scale(config) * local @ gathered_with_gradient(mixture).T
    weights = weight[:, None] * gathered_with_gradient(weight)
    weights = weights * (images[:, None] != gathered(images))
    if config.agree:
        weights = weights * (1 - config.agree * volume @ gathered_with_gradient(volume).T)
    return share_of_mean(functional.softplus(likeness), weights)


def _places(valid: Tensor, batch: Batch, count: int) -> tuple[Tensor, Tensor]:
    """Draw random valid positions of each image (batch, count), as flat indices; and which images have any (batch,)."""
    so_far = valid.flatten(1).cumsum(1)
    total = so_far[:, -1:]
    drawn = Draws(batch.seed, batch.step, batch.index).uniform("places", count)
    wanted = (drawn * total).long().clamp_max((total - 1).clamp_min(0)) + 1
    return torch.searchsorted(so_far, wanted).clamp_max(so_far.shape[1] - 1), total[:, 0] > 0


def _at(maps: Tensor, places: Tensor) -> Tensor:
    """Gather vectors of (batch, vector, rows, columns) at positions (batch, count): (batch x count, vector)."""
    flat = maps.flatten(2)
    taken = flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1))
    return taken.transpose(1, 2).flatten(0, 1)


def _marginal(found: Assigned) -> Tensor:
    """Compute the entropy of the mean of V, for the log: 0 = a single class, log K = all classes equally frequent."""
    rows = found.volume.detach().permute(0, 2, 3, 1).flatten(0, 2)
    return conditional_and_marginal_entropy(rows, found.valid.flatten()).marginal


def _changed_view(batch: Batch, config: Config) -> tuple[Tensor | None, Tensor | None]:
    """Make the smaller view of each crop for H, with random light and flips, and its valid pixels."""
    whole = _smaller(batch.images, config)
    if whole is None:
        return None, batch.mask
    whole = _lit(whole, batch, "context", config.context_light)
    mirrored = Draws(batch.seed, batch.step, batch.index).integers("context flip", below=2).bool()
    whole = torch.where(mirrored[:, None, None, None], whole.flip(3), whole)
    if batch.mask is None:
        return whole, None
    return whole, torch.where(mirrored[:, None, None], batch.mask.flip(2), batch.mask)


def _smaller(images: Tensor, config: Config) -> Tensor | None:
    """Make the view of images for H; None = the images themselves, without a separate pass."""
    if not config.context:
        return None
    return functional.avg_pool2d(images, min(config.context, *images.shape[2:]), ceil_mode=True)


def _posteriors(found: Assigned, batch: Batch) -> Tensor:
    """Compute log probabilities of superpixels (superpixels, classes) from their mean logits."""
    if batch.superpixels is None:
        raise ValueError("the batch has no superpixels")
    numbers = at_middles(batch.superpixels, (found.logits.shape[2], found.logits.shape[3]))
    return pool(found.logits, numbers, batch.superpixel_count).means.log_softmax(1)


def _lit(images: Tensor, batch: Batch, purpose: str, strength: float) -> Tensor:
    """Jitter the light of images; void stays black."""
    if not strength:
        return images
    draws = Draws(batch.seed, batch.step, batch.index)
    valid = None if batch.mask is None else at_middles(batch.mask, images.shape[2:])
    return jitter(images, draws, purpose, Strengths(strength, strength, strength, strength / 4), valid=valid)


def _prepared(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.25


def _logits(local: Tensor, classes: Tensor, config: Config) -> Tensor:
    """tau <L, H> of equation 1: (batch, classes, rows, columns)."""
    return config.tau * torch.einsum("bfhw,bkf->bkhw", local, classes)


def _scale(config: Config) -> float:
    return config.scale or config.tau


def _exact(values: Tensor) -> AbstractContextManager[None]:
    """Disable autocast: half precision is not exact enough for the bound."""
    return torch.autocast(values.device.type, enabled=False)


def _mean_inside(maps: Tensor, inside: Tensor | None) -> Tensor:
    """Average (batch, channels, rows, columns) over valid pixels, weighted by their share: (batch, channels)."""
    if inside is None:
        return maps.mean((2, 3))
    share = functional.interpolate(inside[:, None].to(maps.dtype), tuple(maps.shape[2:]), mode="area")
    mean: Tensor = (share * maps).sum((2, 3)) / share.sum((2, 3)).clamp_min(1e-6)
    return mean


def _blocks(config: Config, bands: int) -> tuple[list[nn.Module], list[nn.Module]]:
    """Build blocks A to C, which compute local features, and D.

    Deviation: the content of the blocks is ours: A two convolutions, B to D residual blocks, C dilated.
    """
    width, deeper = config.width, range(config.blocks - 1)
    near: list[nn.Module] = [
        convolution(bands, width, stride=config.stride // 2), convolution(width, width),
        Residual(width, 2 * width, stride=2), *(Residual(2 * width, 2 * width) for _ in deeper),
        Residual(2 * width, 4 * width), Residual(4 * width, 4 * width, dilation=2),
    ]  # fmt: skip
    far: list[nn.Module] = [
        Residual(4 * width, 8 * width, stride=2), *(Residual(8 * width, 8 * width) for _ in deeper),
        Residual(8 * width, 8 * width, stride=2), *(Residual(8 * width, 8 * width) for _ in deeper),
    ]  # fmt: skip
    return near, far


class _Around(nn.Module):
    """A hidden layer with a linear skip connection, as in the projections of Deep InfoMax."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(convolution(inputs, outputs, 1), nn.Conv2d(outputs, outputs, 1))
        self.around = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, inputs, rows, columns) to (batch, outputs, rows, columns)."""
        result: Tensor = self.hidden(maps) + self.around(maps)
        return result


def _projection(inputs: int, outputs: int, config: Config) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 1) if config.projection == "linear" else _Around(inputs, outputs)


def _check(config: Config) -> None:
    """Check settings."""
    for name, known in CHOICES.items():
        if str(getattr(config, name)) not in known:
            raise ConfigError(not_among(name, str(getattr(config, name)), known))
    if config.batch < 2:
        raise ConfigError(f"batch {config.batch}: must be at least 2: a crop is compared with the others of its step")
    for name, (least, most) in BOUNDS.items():
        if not least <= getattr(config, name) <= most:
            raise ConfigError(f"{name} {getattr(config, name)}: must be from {least:g} to {most:g}")
