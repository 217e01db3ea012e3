"""A linear probe of pixels: a 1 x 1 convolution on frozen features, trained with labels. Works on arrays only.

After Van Gansbeke et al., 2021: stochastic gradient descent with momentum, a learning rate that falls to a tenth after
25 of 60 epochs, cross entropy on logits that are upsampled to the labels. Pixels without a label count nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.draws import Draws

FALLS_AFTER = 25 / 60  # share of the epochs
SPREAD = 0.01  # deviation of the initial weights
NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class DenseExample:
    """The features and labels of one window."""

    features: NDArray[np.float16]  # (rows, columns, dimensions)
    spans: tuple[float, float]  # height and width of the window in cells: at most rows and columns
    truth: NDArray[Any]  # (height, width) of the window, negative = not labelled


@dataclass(frozen=True)
class PixelTraining:
    """How the classifier is trained."""

    epochs: int
    learning_rate: float
    momentum: float
    weight_decay: float
    batch: int  # windows in a step
    pixels: int  # of each window in a step, at random; 0 = all
    standardised: bool


@dataclass
class PixelClassifier:
    """A linear classifier of the features of pixels."""

    mean: Tensor  # (dimensions,)
    factor: Tensor  # (dimensions,)
    layer: nn.Conv2d

    def logits(self, features: Tensor) -> Tensor:
        """Compute the logits of cells: (batch, rows, columns, dimensions) to (batch, classes, rows, columns)."""
        found: Tensor = self.layer(((features.float() - self.mean) * self.factor).permute(0, 3, 1, 2))
        return found

    @torch.no_grad()
    def classes(
        self, features: NDArray[np.float16], spans: tuple[float, float], size: tuple[int, int]
    ) -> NDArray[np.int32]:
        """Return the class of each pixel of a window of a size (height, width); see `DenseExample`."""
        logits = self.logits(torch.from_numpy(features)[None])
        places = _places(_grid(*size), size, spans)[None]
        found = sampled(logits, places)[0].argmax(0).reshape(size)
        result: NDArray[np.int32] = found.numpy().astype(np.int32)
        return result


def fit_pixels(
    examples: Sequence[DenseExample],
    classes: int,
    how: PixelTraining,
    seed: int,
    after_epoch: Callable[[PixelClassifier], None] | None = None,
) -> PixelClassifier:
    """Train a classifier on windows.

    Args:
        examples: windows; those without a labelled pixel are left out.
        classes: number of classes.
        how: settings of the training.
        seed: of weights and draws.
        after_epoch: called after each epoch.
    """
    examples = [one for one in examples if (one.truth >= 0).any()]
    made = _initial(examples, classes, how, seed)
    optimizer = torch.optim.SGD(made.layer.parameters(), how.learning_rate, how.momentum, weight_decay=how.weight_decay)
    for epoch in range(how.epochs):
        if epoch >= FALLS_AFTER * how.epochs:
            optimizer.param_groups[0]["lr"] = how.learning_rate / 10
        for chosen in _batches(len(examples), how.batch, seed, epoch):
            draws = Draws(seed, epoch, torch.as_tensor(chosen))
            optimizer.zero_grad()
            _loss(made, [examples[at] for at in chosen], how.pixels, draws).backward()
            optimizer.step()
        if after_epoch is not None:
            after_epoch(made)
    return made


def _initial(examples: Sequence[DenseExample], classes: int, how: PixelTraining, seed: int) -> PixelClassifier:
    dimensions = examples[0].features.shape[2]
    layer = nn.Conv2d(dimensions, classes, 1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * SPREAD)
        layer.bias.zero_()  # type: ignore[union-attr]
    mean, factor = np.zeros(dimensions), np.ones(dimensions)
    if how.standardised:
        count, sums, squares = 0, np.zeros(dimensions), np.zeros(dimensions)
        for one in examples:
            rows = one.features.reshape(-1, dimensions).astype(np.float64)
            count, sums, squares = count + len(rows), sums + rows.sum(axis=0), squares + (rows**2).sum(axis=0)
        mean = sums / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        known = deviation > NEGLIGIBLE * np.maximum(1.0, np.abs(mean))
        factor = np.divide(1.0, deviation, out=np.zeros(dimensions), where=known)
    return PixelClassifier(torch.from_numpy(mean).float(), torch.from_numpy(factor).float(), layer)


def _batches(count: int, size: int, seed: int, epoch: int) -> Iterator[NDArray[np.int64]]:
    """Yield the windows of each step in random order; the last step may have fewer."""
    order = np.random.default_rng((seed, epoch)).permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def _loss(made: PixelClassifier, examples: Sequence[DenseExample], pixels: int, draws: Draws) -> Tensor:
    """Compute the mean cross entropy over the labelled pixels of some windows."""
    shapes = [one.truth.shape for one in examples]
    most = max(shape[0] * shape[1] for shape in shapes)
    uniform = draws.uniform("pixels", pixels).numpy() if pixels else None
    features, places, truths = [], [], []
    rows, columns = (max(one.features.shape[axis] for one in examples) for axis in (0, 1))
    for at, one in enumerate(examples):
        area = one.truth.size
        chosen = np.arange(area) if uniform is None else (uniform[at] * area).astype(np.int64).clip(0, area - 1)
        truth = np.full(most if uniform is None else pixels, -1, np.int64)  # padding is not labelled
        truth[: len(chosen)] = np.maximum(one.truth.ravel()[chosen], -1)
        padded = np.zeros((len(truth), 2))
        padded[: len(chosen)] = np.stack(np.divmod(chosen, one.truth.shape[1]), 1)
        features.append(_grown(one.features, rows, columns))
        places.append(_places(torch.from_numpy(padded), one.truth.shape, one.spans))
        truths.append(torch.from_numpy(truth))
    logits = sampled(made.logits(torch.from_numpy(np.stack(features))), torch.stack(places))
    wanted = torch.stack(truths)
    if not bool((wanted >= 0).any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits, wanted, ignore_index=-1)


def sampled(logits: Tensor, places: Tensor) -> Tensor:
    """Interpolate maps bilinearly: (batch, classes, places).

    Args:
        logits: (batch, classes, rows, columns).
        places: (batch, places, 2): row and column in cells, where the middle of the first cell is 0.5.
    """
    sides = places.new_tensor(logits.shape[2:])
    grid = (2 * places / sides - 1).flip(-1).float()
    return functional.grid_sample(logits, grid[:, None], padding_mode="border", align_corners=False)[:, :, 0]


def _places(pixels: Tensor, size: Sequence[int], spans: tuple[float, float]) -> Tensor:
    """Convert rows and columns of pixels (pixels, 2) of a window to cells."""
    sides = pixels.new_tensor([span / side for span, side in zip(spans, size, strict=True)])
    return (pixels + 0.5) * sides


def _grid(height: int, width: int) -> Tensor:
    """Return row and column of each pixel: (height * width, 2)."""
    return torch.cartesian_prod(torch.arange(height), torch.arange(width)).double()


def _grown(features: NDArray[np.float16], rows: int, columns: int) -> NDArray[np.float16]:
    """Repeat the last cells, so that the maps of a batch have the same size."""
    more = ((0, rows - features.shape[0]), (0, columns - features.shape[1]), (0, 0))
    return np.pad(features, more, "edge") if any(map(any, more)) else features
