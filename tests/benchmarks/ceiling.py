"""How well the network of InMARS does if it is given all labels: the ceiling of what it can reach without them.

    python tests/benchmarks/ceiling.py DATA CLASSES [LEGEND] [--steps N] [--seed N]

DATA holds images/ and labels/. The network, the crops, the rate and the number of steps are those of the default
training; the loss is cross entropy with the labels, and the score is that of the same images. It is no part of the
package, in which nothing that learns can read a label.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from unsegcli.core.geometry import sample_nearest
from unsegcli.core.nn.networks import grow
from unsegcli.core.nn.shrinking import shrunk
from unsegcli.dataflow.dataset import dataset_from_files
from unsegcli.labels import find_labels, match_labels, read_labels
from unsegcli.legend import find_legend, read_legend
from unsegcli.methods._contract import Batch
from unsegcli.methods.inmars import Config, Network
from unsegcli.params import Inputs
from unsegcli.training.optim import make_optimizer, rate_at, steps_of


def main() -> None:
    """Train with labels, and print accuracy and mIoU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("classes", type=int)
    parser.add_argument("legend", type=Path, nargs="?")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    images, labels = _images_and_labels(chosen.data, chosen.legend)
    config = dataclasses.replace(Config(), classes=chosen.classes, overclusters=0, guide=0)
    steps = chosen.steps or steps_of(config, len(images), None, None)
    network = _trained(images, labels, config, steps, chosen.seed)
    matrix = _matrix(network, images, labels, config)
    right = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - right
    print(f"accuracy {right.sum() / matrix.sum():.3f}  mIoU {(right / np.maximum(1, union)).mean():.3f}  {steps} steps")


def _images_and_labels(data: Path, legend_file: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
    dataset = dataset_from_files(Inputs(data)).opened(1)
    folder = find_labels(data)
    path = legend_file or find_legend(data)
    legend = read_legend(path) if path else None
    if folder is None:
        raise SystemExit(f"{data}: has no labels/")
    matched = match_labels([unit.source.name for unit in dataset.units], folder)
    images, labels = [], []
    for unit in dataset.units:
        if unit.source.name not in matched.paths:
            continue
        pixels = unit.windows()[0].pixels
        truth = read_labels(matched.paths[unit.source.name][0], legend)[0]
        images.append(torch.tensor(pixels).permute(2, 0, 1).float() / 255)
        labels.append(torch.from_numpy(sample_nearest(truth, pixels.shape[:2]).astype(np.int64)))
    return torch.stack(images), torch.stack(labels)


def _trained(images: torch.Tensor, labels: torch.Tensor, config: Config, steps: int, seed: int) -> Network:
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    network = Network(config, images.shape[1]).train()
    optimizer = make_optimizer(network, config)
    order = np.random.default_rng(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(config, step, steps)
        taken = torch.from_numpy(order.choice(len(images), config.batch))
        flip = bool(order.integers(2))
        images, truths = images[taken], labels[taken]
        images, truths = (images.flip(3), truths.flip(2)) if flip else (images, truths)
        loss = functional.cross_entropy(_logits(network, images, config), truths.clamp_min(-1), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.grad_clip)
        optimizer.step()
    return network


def _logits(network: Network, images: torch.Tensor, config: Config) -> torch.Tensor:
    batch = Batch(images, torch.arange(len(images)))
    return grow(network(shrunk(batch, config.shrink).images), images.shape[-2:])


def _matrix(network: Network, images: torch.Tensor, labels: torch.Tensor, config: Config) -> np.ndarray:
    network.eval()
    matrix = np.zeros((config.classes, config.classes), np.int64)
    with torch.no_grad():
        for image, truth in zip(images, labels, strict=True):
            found = _logits(network, image[None], config).argmax(1)[0]
            known = truth >= 0
            np.add.at(matrix, (found[known].numpy(), truth[known].numpy()), 1)
    return matrix


if __name__ == "__main__":
    main()
