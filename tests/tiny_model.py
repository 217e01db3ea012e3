"""A method file as a user would write it, small enough to know what it must give, and models made with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unsegcli import store
from unsegcli.images.working import Reading
from unsegcli.methods._load import find_method
from unsegcli.segmenters.weights import state_to_arrays

SOURCE = '''
"""One convolution: each pixel goes to the colour that it is nearest to."""

from dataclasses import dataclass

import torch
from torch import nn

{more}

@dataclass(frozen=True)
class Config:
    classes: int = 4
    crop: int = 64
    batch: int = 2
    epochs: int = 1
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    grad_clip: float = 0.0
    kernel: int = 1
    layers: int = 1
    sharpness: float = 1.0


class Network(nn.Module):
    def __init__(self, config, channels):
        super().__init__()
        width = [channels, *[8] * (config.layers - 1), config.classes]
        self.layers = nn.Sequential(
            *(nn.Conv2d(a, b, config.kernel, padding=config.kernel // 2) for a, b in zip(width, width[1:]))
        )

    def forward(self, images):
        return self.layers(images)


def loss(network, batch, config):
    return {{"loss": network(batch.images).square().mean()}}


def cluster_scores(network, batch, config):
    assert not torch.is_grad_enabled() and not network.training
    assert batch.proposals is None
    return (config.sharpness * network(batch.images)).softmax(1)
'''
COLOURS = np.array([[220, 30, 30], [30, 200, 40], [40, 60, 210], [230, 220, 40]], np.float32) / 255  # of four_quadrants
PLAIN = Reading(
    axes="auto", bands=(), alpha="none", channels=3, values="bytes", nodata=None, percentiles=(1.0, 99.0),
    scaling="folder", size=(), scale=1.0, max_pixels=200_000_000,
)  # fmt: skip


def write_method(path: Path, more: str = "") -> Path:
    """The method file; `more` are further lines of it."""
    path.write_text(SOURCE.format(more=more))
    return path


def write_model(
    path: Path,
    method: Path,
    *,
    channels: int = 3,
    reading: Reading = PLAIN,
    scaling: Any = None,
    inputs: dict[str, dict[str, str]] | None = None,
    nearest: bool = True,
    changed: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """A model of that method: nearest of the four colours, or with weights by chance."""
    loaded = find_method(str(method))
    config = {"classes": 4, **settings}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = loaded.module.Network(loaded.module.Config(**config), channels)
    if nearest:
        convolution = network.layers[0]
        convolution.weight.data[:] = torch.from_numpy(20 * 2 * COLOURS)[:, :, None, None]
        convolution.bias.data[:] = torch.from_numpy(-20 * (COLOURS**2).sum(1))
    weights, halves = state_to_arrays(network.state_dict())
    attributes = {
        "method": loaded.identity,
        "config": json.dumps(config),
        "reading": reading.to_json(),
        "bfloat16": json.dumps(halves),
        **(changed or {}),
    }
    tables = {} if scaling is None else {"scaling": np.asarray(scaling, np.float64)}
    target = store.Target(path, "model", recipe or {"stage": "train", "test": path.name}, force=True)
    store.write_whole(target, tables, attributes, inputs or {}, entries={"weights": weights})
    return path
