"""Check a user's own method with one training step on random images, before reading any data.

Errors in the method are reported in one line. The computed values are discarded and do not affect the result.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unsegcli import console
from unsegcli.core.nn.precision import PRECISIONS
from unsegcli.core.superpixels.features import feature_groups
from unsegcli.core.tiles import rounded_up
from unsegcli.core.vector_space import Layer
from unsegcli.dataflow.stored_vectors import seen_by_network
from unsegcli.errors import ConfigError, UnsegError
from unsegcli.methods._contract import Batch, Embedded, Regions
from unsegcli.methods._load import mistakes_named
from unsegcli.segmenters.trained import MULTIPLE
from unsegcli.segmenters.weights import state_to_arrays
from unsegcli.training.job import TrainingJob

SMALL, LARGE = 64, 512  # side of the crops in pixels: tried first, and the maximum
SQUARES = 4  # superpixels along a side
NEAR = 1e-3  # tolerance of the sum of scores


def check_method(job: TrainingJob, channels: int) -> None:
    """Raise an error if a method file violates `_contract.py` on images with this number of bands.

    Crops are small; if the method fails on them, it is checked again with its own crop size.
    """
    multiple = int(getattr(job.method.module, "MULTIPLE", MULTIPLE))
    small, own = (rounded_up(min(job.config.crop, most), multiple) for most in (SMALL, LARGE))
    with _random_state_restored(job.device):
        try:
            _check(job, channels, small)
        except UnsegError as error:
            if own == small:
                raise
            console.detail(f"with crops of {small} pixels: {error}; trying {own}")
            _check(job, channels, own)


def _check(job: TrainingJob, channels: int, side: int) -> None:
    method: Any = job.method.module
    config = job.config
    channels, layers = seen_by_network(job.vectors, channels)
    batch = _random_batch(job, channels, layers, side)
    torch.manual_seed(job.params.seed)
    with mistakes_named(job.method, "Network"):
        network = job.method.network(config, channels, layers)
    _check_network(job, network)
    network.to(job.device, memory_format=torch.channels_last).train()
    if hasattr(method, "prepare"):
        with mistakes_named(job.method, "prepare"):
            method.prepare(network, iter([batch]), config)
        network.train()
    _check_loss(job, network, batch)
    if hasattr(method, "after_step"):
        with mistakes_named(job.method, "after_step"):
            method.after_step(network, batch, config)
    if hasattr(method, "finish"):
        with mistakes_named(job.method, "finish"):
            method.finish(network.eval(), iter([batch]), config)
    _check_use(job, network.eval(), batch)
    with mistakes_named(job.method, "state_dict"):
        state = network.state_dict()
    try:
        state_to_arrays(state)
    except ConfigError as error:
        raise _method_error(job, str(error)) from error


def _check_network(job: TrainingJob, network: Any) -> None:
    if not isinstance(network, nn.Module):
        raise _method_error(job, f"Network must return a torch module, but returned {_describe(network)}")
    if not any(weight.requires_grad for weight in network.parameters()):
        raise _method_error(job, "Network has no trainable weights")


def _check_loss(job: TrainingJob, network: nn.Module, batch: Batch) -> None:
    half = PRECISIONS[job.precision]
    with mistakes_named(job.method, "loss"), torch.autocast(job.device.type, half) if half else nullcontext():
        terms = job.method.module.loss(network, batch, job.config)
    _check_terms(job, terms)
    with mistakes_named(job.method, "the gradient of loss"):
        terms["loss"].backward()
    if all(weight.grad is None for weight in network.parameters()):
        raise _method_error(job, 'the gradient of "loss" reaches no weight of the network')


def _check_terms(job: TrainingJob, terms: Any) -> None:
    if not isinstance(terms, Mapping):
        raise _method_error(job, f'loss must return a mapping with the key "loss", but returned {_describe(terms)}')
    if "loss" not in terms:
        keys = f"keys {', '.join(map(str, terms))}" if terms else "no keys"
        raise _method_error(job, f'loss must return a mapping with the key "loss", but returned {keys}')
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.shape != ():
            raise _method_error(job, f'loss must return a scalar tensor as "{name}", but returned {_describe(term)}')
    if not terms["loss"].requires_grad:
        raise _method_error(
            job, '"loss" has no gradient: compute it from the network output, without detach or no_grad'
        )


def _check_use(job: TrainingJob, network: nn.Module, batch: Batch) -> None:
    """Check the functions of the method that `unseg cluster` calls."""
    method: Any = job.method.module
    with torch.inference_mode():
        if hasattr(method, "image_features"):
            with mistakes_named(job.method, "image_features"):
                found = method.image_features(network, batch, job.config)
            if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(batch.images):
                raise _method_error(
                    job, f"image_features must return shape (batch, features), but returned {_describe(found)}"
                )
        if job.method.embeds:
            with mistakes_named(job.method, "embeddings"):
                found = method.embeddings(network, batch, job.config)
            _check_embeddings(job, found, batch)
        else:
            with mistakes_named(job.method, "cluster_scores"):
                found = method.cluster_scores(network, batch, job.config)
            _check_scores(job, found, batch)
        if hasattr(method, "region_vectors"):
            _check_vectors(job, network, batch)


def _check_vectors(job: TrainingJob, network: nn.Module, batch: Batch) -> None:
    method: Any = job.method.module
    count = SQUARES**2 * len(batch.images)
    numbers = _squares(len(batch.images), batch.images.shape[2]).to(job.device)
    with mistakes_named(job.method, "region_vectors"):
        found = method.region_vectors(network, replace(batch, superpixels=numbers, superpixel_count=count), job.config)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != count:
        axes = f"(superpixels, dimensions), {count} superpixels"
        raise _method_error(job, f"region_vectors must return shape {axes}, but returned {_describe(found)}")
    if not bool(found.isfinite().all()):
        raise _method_error(job, "region_vectors returned values that are NaN or infinite")


def _check_scores(job: TrainingJob, scores: Any, batch: Batch) -> None:
    wanted = (len(batch.images), job.config.classes, *batch.images.shape[2:])
    if not isinstance(scores, Tensor) or scores.shape != wanted:
        axes = f"(batch, classes, height, width) = {wanted}"
        raise _method_error(job, f"cluster_scores must return shape {axes}, but returned {_describe(scores)}")
    if not bool(scores.isfinite().all()):
        raise _method_error(job, "cluster_scores returned values that are NaN or infinite")
    sums = scores.float().sum(1)
    if float((sums - 1).abs().max()) > NEAR:
        low, high = float(sums.min()), float(sums.max())
        raise _method_error(job, f"cluster_scores must sum to 1 over the classes, but sum to {low:.3g} to {high:.3g}")


def _check_embeddings(job: TrainingJob, found: Any, batch: Batch) -> None:
    if not isinstance(found, Embedded):
        raise _method_error(
            job, f"embeddings must return an Embedded(vectors, objectness), but returned {_describe(found)}"
        )
    count, size = len(batch.images), tuple(batch.images.shape[2:])
    for name, axes, ndim in (("vectors", "(batch, dimensions, height, width)", 4),
                             ("objectness", "(batch, height, width)", 3)):  # fmt: skip
        values = getattr(found, name)
        shaped = isinstance(values, Tensor) and values.ndim == ndim
        if not shaped or len(values) != count or tuple(values.shape[-2:]) != size:
            raise _method_error(
                job,
                f"embeddings must return {name} of shape {axes}, {count} of {size}, but returned {_describe(values)}",
            )
        if not bool(values.isfinite().all()):
            raise _method_error(job, f"embeddings returned {name} that are NaN or infinite")


def _random_batch(job: TrainingJob, channels: int, layers: tuple[Layer, ...], side: int) -> Batch:
    """Make a batch of random crops with the inputs that the method needs."""
    count, device = job.config.batch, job.device
    needs = job.method.needs(job.config)
    generator = torch.Generator().manual_seed(job.params.seed)
    images = torch.rand(count, channels, side, side, generator=generator)
    rows = torch.arange(side) * SQUARES // side
    middle = (rows > 0) & (rows < SQUARES - 1)
    objects = (middle[:, None] & middle).expand(count, side, side).contiguous()
    return Batch(
        images=images.to(device, memory_format=torch.channels_last),
        index=torch.arange(count, device=device),
        seed=job.params.seed,
        superpixels=_squares(count, side).to(device) if "superpixels" in needs else None,
        superpixel_count=SQUARES**2 * count if "superpixels" in needs else 0,
        regions=_random_regions(count, channels, layers, generator, device) if "regions" in needs else None,
        place=torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=device).repeat(count, 1),
        proposals=objects.to(device) if "proposals" in needs else None,
        confidence=torch.ones(count, device=device) if "proposals" in needs else None,
    )


def _random_regions(
    count: int, channels: int, layers: tuple[Layer, ...], generator: torch.Generator, device: torch.device
) -> Regions:
    """Describe the squares of `_squares` by random features."""
    number = torch.arange(SQUARES**2 * count)
    inside = number % SQUARES**2
    crafted = feature_groups(channels)["surroundings"].stop if channels else 0
    features = torch.rand(len(number), crafted + sum(layer.size for layer in layers), generator=generator)
    centres = (torch.stack([inside // SQUARES, inside % SQUARES], 1) + 0.5) / SQUARES
    parts = (features, centres, torch.ones(len(number)), number // SQUARES**2)
    return Regions(*(part.to(device) for part in parts))


def _squares(count: int, side: int) -> Tensor:
    """Divide crops into superpixels: (count, side, side), numbered through all crops."""
    rows = torch.arange(side) * SQUARES // side
    squares: Tensor = rows[:, None] * SQUARES + rows + SQUARES**2 * torch.arange(count)[:, None, None]
    return squares


@contextmanager
def _random_state_restored(device: torch.device) -> Iterator[None]:
    """Restore the state of all random number generators on exit."""
    plain, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=True):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)


def _method_error(job: TrainingJob, text: str) -> ConfigError:
    return ConfigError(f"--method {job.method.file}: {text}")


def _describe(value: Any) -> str:
    """Describe a value briefly."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{value!r}, of type {type(value).__name__}" if isinstance(value, int | float) else type(value).__name__
