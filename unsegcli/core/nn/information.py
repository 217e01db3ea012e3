"""Entropy and mutual information of soft assignments, of the whole batch over all processes.

All values are in nats. Sums over all processes are taken before normalisation, so that each value is that of the
global batch and the same on every process. Independent of images, superpixels and networks.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.nn.distributed_sums import summed

By = Literal["convolution", "fft"]

NOISE = 64  # times machine epsilon and the largest table: bound on the FFT error of an empty table
FACTORS = (2, 3, 5)  # sizes with only these prime factors are fast for any FFT


class Entropies(NamedTuple):
    """The two terms of mutual information: marginal - conditional."""

    conditional: Tensor  # () mean entropy of the cluster posteriors: 0 = every sample is certain
    marginal: Tensor  # () entropy of the mean posterior: log clusters = all are used equally


def entropy(probabilities: Tensor, axis: int = -1) -> Tensor:
    """Compute the entropy along an axis, which is removed; at least 0 if the axis sums to one.

    The logarithm is clamped at machine epsilon, so that values and gradients stay finite at 0.
    """
    return -(probabilities * probabilities.clamp_min(torch.finfo(probabilities.dtype).eps).log()).sum(axis)


def conditional_and_marginal_entropy(posteriors: Tensor, weights: Tensor | None = None) -> Entropies:
    """Compute the conditional and marginal entropies of the global batch.

    Args:
        posteriors: (samples, clusters), rows sum to one.
        weights: (samples,), not negative, of any sum; None = 1 each. If all weights are 0, both values are 0.
    """
    mass = torch.ones_like(posteriors[:, 0]) if weights is None else weights.to(posteriors.dtype)
    within = (mass * entropy(posteriors)).sum()
    used = (mass[:, None] * posteriors).sum(0)
    sums = summed(torch.cat([torch.stack([mass.sum(), within]), used]))
    means = sums[1:] / torch.where(sums[0] > 0, sums[0], 1)
    return Entropies(means[0], entropy(means[1:]))


def displacement_joints(first: Tensor, second: Tensor, mask: Tensor | None, reach: int, by: By | None = None) -> Tensor:
    """Count co-occurrences of clusters at each displacement: (clusters, clusters, 2 reach + 1, 2 reach + 1).

    Entry [a, b, reach + y, reach + x] is the sum over samples and pixels p of first[a, p + (y, x)] second[b, p].
    IIC, section 3.3 of the paper: the convolution of one view with the other.

    Measured on one core, forward and backward, as convolution and by FFT: clusters 5, batch 16, 64 x 64 pixels:
    reach 1 14 and 34 ms, reach 5 151 and 34 ms; clusters 25: reach 1 106 and 153 ms, reach 5 1069 and 107 ms;
    clusters 5, batch 24, 128 x 128: reach 1 78 and 140 ms, reach 10 3281 and 147 ms; 24 x 24 pixels, clusters 20:
    reach 1 15 and 17 ms, reach 2 27 and 21 ms. So the FFT is used from reach 2, whatever the other sizes. The counts
    are those of this process.

    Args:
        first: (batch, clusters, height, width).
        second: the same shape, aligned to the pixels of `first`.
        mask: (batch, height, width), weight of each pixel in both; None = 1 each.
        reach: largest displacement, in pixels.
        by: algorithm; None = the faster one.
    """
    if mask is not None:
        share = mask[:, None].to(first.dtype)
        first, second = first * share, second * share
    chosen = by or ("convolution" if reach < 2 else "fft")
    with torch.autocast(first.device.type, enabled=False):  # half precision is not exact enough for counts
        if chosen == "convolution":
            return functional.conv2d(first.transpose(0, 1), second.transpose(0, 1), padding=reach)
        return _joints_by_fft(first, second, reach)


def displaced_information(joints: Tensor, balance: float = 1.0, collapsed: bool = False) -> Tensor:
    """Compute the loss of IIC (), lower is better: joint minus `balance` times marginal entropies, mean over shifts.

    At balance 1 this is the negative mutual information, from -log clusters to 0.

    Args:
        joints: (clusters, clusters, shifts, shifts) of this process; they are summed over all processes here.
        balance: lambda of the paper; values above 1 favour clusters of equal size.
        collapsed: sum over the shifts first, which no published run does.
    """
    tables = summed(joints).flatten(2).permute(2, 0, 1)
    if collapsed:
        tables = tables.sum(0, keepdim=True)
    floor = torch.finfo(tables.dtype).eps
    totals = tables.sum((1, 2), keepdim=True)
    met = totals > NOISE * floor * totals.amax()  # a shift without overlap counts as 0
    tables = torch.where(met, tables / torch.where(met, totals, 1), 0)
    tables = (tables + tables.transpose(1, 2)) / 2
    marginals = tables.sum(2).clamp_min(floor)
    # As in the authors' code, entries are clamped at epsilon, also in the factor; FFT may give tiny negative entries.
    tables = tables.clamp_min(floor)
    logarithms = marginals.log()
    expected = balance * (logarithms[:, :, None] + logarithms[:, None, :])
    return (tables * (tables.log() - expected)).sum((1, 2)).mean().neg()


def _joints_by_fft(first: Tensor, second: Tensor, reach: int) -> Tensor:
    """Compute by FFT; the padding prevents wrap-around."""
    size = [_quick_size(max(side + reach, 2 * reach + 1)) for side in first.shape[2:]]
    spectra = [torch.fft.rfft2(maps, s=size) for maps in (first, second)]
    rows, columns = (spectrum.flatten(2) for spectrum in (spectra[0], spectra[1].conj()))
    product = rows.permute(2, 1, 0) @ columns.permute(2, 0, 1)  # (frequencies, clusters, clusters), summed over samples
    product = product.permute(1, 2, 0).unflatten(2, spectra[0].shape[2:])
    every: Tensor = torch.fft.irfft2(product, s=size)
    return every.roll((reach, reach), (2, 3))[:, :, : 2 * reach + 1, : 2 * reach + 1]


def _quick_size(least: int) -> int:
    """Return the smallest number from `least` on without large prime factors."""
    size = least
    while not _is_quick(size):
        size += 1
    return size


def _is_quick(size: int) -> bool:
    for factor in FACTORS:
        while size % factor == 0:
            size //= factor
    return size == 1
