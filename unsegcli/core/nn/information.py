"""Entropy and mutual information of soft assignments, of the whole batch over all processes.

Everything is in nats. Sums go through `ranks.summed` before they are normalised, so that each value is that of the
global batch and the same on every process. Images, superpixels and networks are unknown here.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.nn.distributed_sums import summed

By = Literal["convolution", "fft"]

NOISE = 64  # times machine epsilon and the largest table: what a table that should be empty may hold after an FFT
FACTORS = (2, 3, 5)  # sizes made of these are quick for any FFT


class Entropies(NamedTuple):
    """The two terms of mutual information: marginal - conditional."""

    conditional: Tensor  # () mean entropy of a sample's clusters: 0 = every sample is sure
    marginal: Tensor  # () entropy of the clusters over all samples: log clusters = all are used alike


def entropy(probabilities: Tensor, axis: int = -1) -> Tensor:
    """Entropy along an axis, which disappears; at least 0 where the axis sums to one.

    Below machine epsilon the logarithm is that of epsilon: values and gradients stay finite at 0.
    """
    return -(probabilities * probabilities.clamp_min(torch.finfo(probabilities.dtype).eps).log()).sum(axis)


def conditional_and_marginal_entropy(posteriors: Tensor, weights: Tensor | None = None) -> Entropies:
    """Both entropies of the global batch.

    Args:
        posteriors: (samples, clusters), rows sum to one.
        weights: (samples,), not negative, of any sum; None = 1 each. With no weight at all both values are 0.
    """
    mass = torch.ones_like(posteriors[:, 0]) if weights is None else weights.to(posteriors.dtype)
    within = (mass * entropy(posteriors)).sum()
    used = (mass[:, None] * posteriors).sum(0)
    sums = summed(torch.cat([torch.stack([mass.sum(), within]), used]))
    means = sums[1:] / torch.where(sums[0] > 0, sums[0], 1)
    return Entropies(means[0], entropy(means[1:]))


def displacement_joints(first: Tensor, second: Tensor, mask: Tensor | None, reach: int, by: By | None = None) -> Tensor:
    """How often clusters meet at each displacement, on this process: (clusters, clusters, 2 reach + 1, 2 reach + 1).

    Entry [a, b, reach + y, reach + x] is the sum over samples and pixels p of first[a, p + (y, x)] second[b, p].
    IIC, section 3.3 of the paper: the convolution of one view with the other.

    Measured on one core, forward and backward, as convolution and by FFT: clusters 5, batch 16, 64 x 64 pixels:
    reach 1 14 and 34 ms, reach 5 151 and 34 ms; clusters 25: reach 1 106 and 153 ms, reach 5 1069 and 107 ms;
    clusters 5, batch 24, 128 x 128: reach 1 78 and 140 ms, reach 10 3281 and 147 ms; 24 x 24 pixels, clusters 20:
    reach 1 15 and 17 ms, reach 2 27 and 21 ms. So the FFT takes over at reach 2, whatever the other sizes.

    Args:
        first: (batch, clusters, height, width).
        second: the same shape, brought to the same pixels.
        mask: (batch, height, width), weight of each pixel in both; None = 1 each.
        reach: largest displacement, in pixels.
        by: how it is computed; None = the quicker way.
    """
    if mask is not None:
        share = mask[:, None].to(first.dtype)
        first, second = first * share, second * share
    chosen = by or ("convolution" if reach < 2 else "fft")
    with torch.autocast(first.device.type, enabled=False):  # half precision is too coarse for counts
        if chosen == "convolution":
            return functional.conv2d(first.transpose(0, 1), second.transpose(0, 1), padding=reach)
        return _joints_by_fft(first, second, reach)


def displaced_information(joints: Tensor, balance: float = 1.0, collapsed: bool = False) -> Tensor:
    """IIC's loss (), lower is better: joint entropy minus `balance` times both marginal entropies, mean over shifts.

    At balance 1 it is minus the mutual information: from -log clusters to 0.

    Args:
        joints: (clusters, clusters, shifts, shifts) of this process; they are summed over all processes here.
        balance: lambda of the paper; above 1 it pushes harder to clusters of equal size.
        collapsed: sum over the shifts first. No published run does.
    """
    tables = summed(joints).flatten(2).permute(2, 0, 1)
    if collapsed:
        tables = tables.sum(0, keepdim=True)
    floor = torch.finfo(tables.dtype).eps
    totals = tables.sum((1, 2), keepdim=True)
    met = totals > NOISE * floor * totals.amax()  # a shift at which nothing meets counts as 0
    tables = torch.where(met, tables / torch.where(met, totals, 1), 0)
    tables = (tables + tables.transpose(1, 2)) / 2
    marginals = tables.sum(2).clamp_min(floor)
    # The authors raise what is below epsilon to epsilon, in the factor too; by FFT such entries may be just below 0.
    tables = tables.clamp_min(floor)
    logarithms = marginals.log()
    expected = balance * (logarithms[:, :, None] + logarithms[:, None, :])
    return (tables * (tables.log() - expected)).sum((1, 2)).mean().neg()


def _joints_by_fft(first: Tensor, second: Tensor, reach: int) -> Tensor:
    """By the product of spectra; the padding keeps one border from meeting the other."""
    size = [_quick_size(max(side + reach, 2 * reach + 1)) for side in first.shape[2:]]
    spectra = [torch.fft.rfft2(maps, s=size) for maps in (first, second)]
    rows, columns = (spectrum.flatten(2) for spectrum in (spectra[0], spectra[1].conj()))
    product = rows.permute(2, 1, 0) @ columns.permute(2, 0, 1)  # (frequencies, clusters, clusters), summed over samples
    product = product.permute(1, 2, 0).unflatten(2, spectra[0].shape[2:])
    every: Tensor = torch.fft.irfft2(product, s=size)
    return every.roll((reach, reach), (2, 3))[:, :, : 2 * reach + 1, : 2 * reach + 1]


def _quick_size(least: int) -> int:
    """The next number from `least` on that has no large prime factor."""
    size = least
    while not _is_quick(size):
        size += 1
    return size


def _is_quick(size: int) -> bool:
    for factor in FACTORS:
        while size % factor == 0:
            size //= factor
    return size == 1
