"""Two-colour images, batches of them, tiny settings for any method, and a method file as a user would write it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from unsegcli import store
from unsegcli.core.superpixels.features import feature_groups, region_features
from unsegcli.core.superpixels.regions import places_of, pool
from unsegcli.dataflow.dataset import Window, dataset_from_artifact, dataset_from_files
from unsegcli.dataflow.runner import Result, write_artifact
from unsegcli.methods._contract import Batch, Regions
from unsegcli.methods._load import Loaded, config_from, find_method
from unsegcli.params import Images, Inputs
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.data import Pool, TrainingImage, described, fill

# Of whatever fields a method has. Such images cannot be made smaller; weights do not fall by themselves.
TINY = {
    "classes": 3, "crop": 16, "batch": 4, "width": 4, "overclusters": 5, "shrink": 1, "guide_batches": 4,
    "guide_end": 1.0, "view": 32, "head": 8, "dimensions": 6, "queue": 6, "stride": 4, "heads": 1, "words": 5,
}  # fmt: skip
SQUARE = 4  # side of the superpixels

USERS_METHOD = '''
"""Each pixel by itself: as sure as possible, and all clusters alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from unsegcli.core.nn.information import conditional_and_marginal_entropy


@dataclass(frozen=True)
class Config:
    classes: int = 3
    crop: int = 16
    batch: int = 4
    epochs: int = 2
    optimizer: str = "adam"
    learning_rate: float = 0.01
    schedule: str = "constant"
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    grad_clip: float = 0.0
    breaks: int = -1  # step at which the loss becomes no number
    shy: bool = False  # has a term in every second step only


def Network(config, channels):
    return nn.Conv2d(channels, config.classes, 1)


def loss(network, batch, config):
    scores = network(batch.images).softmax(1).permute(0, 2, 3, 1).reshape(-1, config.classes)
    conditional, marginal = conditional_and_marginal_entropy(scores)
    total = conditional - 2 * marginal
    if batch.step == config.breaks:
        total = total * float("nan")
    terms = {"loss": total, "sure": conditional}
    return {**terms, "even": marginal} if not config.shy or batch.step % 2 else terms


def cluster_scores(network, batch, config):
    return network(batch.images).softmax(1)
'''


def users_method(folder: Path, name: str = "mine.py", more: str = "") -> Path:
    """Write the method file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(USERS_METHOD + more)
    return path


def two_colours(seed: int, height: int = 20, width: int = 20, bands: int = 3) -> NDArray[np.uint8]:
    """An image (height, width, bands) of two colours with a little noise, parted at a column that differs."""
    random = np.random.default_rng(seed)
    parted = np.arange(width) >= random.integers(width // 3, 2 * width // 3)
    plain = np.where(parted[:, None], np.linspace(40, 90, bands), np.linspace(220, 160, bands))
    return np.clip(plain + random.normal(0, 6, (height, width, bands)), 0, 255).astype(np.uint8)


def squares(height: int, width: int, side: int = SQUARE) -> NDArray[np.int32]:
    """Superpixels that are squares."""
    rows, columns = np.arange(height) // side, np.arange(width) // side
    return (rows[:, None] * -(-width // side) + columns).astype(np.int32)


def object_mask(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Of a two-colour image, the side that is darker in its first band: (height, width)."""
    return pixels[:, :, 0] < 130


def toy_pool(count: int = 6, height: int = 20, width: int = 20, bands: int = 3) -> Pool:
    """Images with superpixels and object masks, in memory."""
    images = [two_colours(number, height, width, bands) for number in range(count)]
    return fill(
        described(TrainingImage(pixels, None, squares(height, width), proposal=object_mask(pixels)))
        for pixels in images
    )


def toy_batches(loaded: Loaded, config: Any, pool: Pool | None = None, **more: Any) -> Batches:
    """Batches of the toy set, as the loop makes them."""
    given: dict[str, Any] = {"seed": 0, "steps": 40, **more}
    return Batches(pool or toy_pool(), config.batch, config.crop, needs=loaded.needs(config), **given)


def toy_batch(loaded: Loaded, config: Any, step: int = 0, bands: int = 3, **changed: Any) -> Batch:
    """One batch, ready for a network."""
    batch = on_device(toy_batches(loaded, config, toy_pool(bands=bands)).at(step), torch.device("cpu"))
    return dataclasses.replace(batch, **{"progress": 1.0, **changed})


def tiny(loaded: Loaded, **more: Any) -> Any:
    """Tiny settings of a method."""
    known = {field.name for field in dataclasses.fields(loaded.module.Config)}
    known -= {"classes"} if loaded.role == "mask" else set()
    return config_from(loaded, {**{name: value for name, value in TINY.items() if name in known}, **more})


def tiny_sets(name: str, **more: Any) -> list[str]:
    """The same as arguments of `--set`."""
    loaded = find_method(name)
    config = vars(tiny(loaded, **more))
    names = [key for key in {**TINY, **more} if key in config and key != "classes"]
    return [f"{key}={config[key]}" for key in names]


def make_network(loaded: Loaded, config: Any, bands: int = 3, seed: int = 0) -> torch.nn.Module:
    """A network at its start, prepared."""
    torch.manual_seed(seed)
    network = loaded.module.Network(config, bands).train()
    if hasattr(loaded.module, "prepare"):
        batches = toy_batches(loaded, config, toy_pool(bands=bands))
        loaded.module.prepare(network, batches.one_pass(torch.device("cpu")), config)
    return network


def regions_of(images: torch.Tensor, numbers: torch.Tensor, count: int) -> Regions:
    """What a method is told about superpixels (batch, height, width), numbered through the batch, -1 = void."""
    features = np.zeros((count, feature_groups(images.shape[1])["surroundings"].stop), np.float32)
    centres, areas, crops = np.zeros((count, 2), np.float32), np.zeros(count, np.float32), np.zeros(count, np.int64)
    for crop, (image, own) in enumerate(zip(images, numbers.numpy(), strict=True)):
        here = np.unique(own[own >= 0])
        local = np.where(own < 0, -1, np.searchsorted(here, own)).astype(np.int32)
        features[here] = region_features(image.permute(1, 2, 0).numpy(), local)
        centres[here], areas[here] = places_of(local, len(here))
        crops[here] = crop
    return Regions(*map(torch.from_numpy, (features, centres, areas, crops)))


def write_images(folder: Path, count: int = 6, height: int = 20, width: int = 20) -> Path:
    """A folder of two-colour images."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(two_colours(number, height, width)).save(folder / f"p{number}.png")
    return folder


def write_features(
    path: Path,
    superpixels: Path,
    sizes: tuple[int, ...] = (2, 40),
    pixels: bool = True,
    dense: bool = False,
    digest: str = "0" * 64,
) -> Path:
    """Vectors of superpixels, as a network of two layers would give them: functions of their mean colours."""
    dataset = dataset_from_artifact(superpixels)
    chance = np.random.default_rng(0)
    weights = [chance.normal(0, 0.01, (3, size)) for size in sizes]

    def work(window: Window) -> Result:
        regions = window.superpixels
        assert regions is not None
        count = int(regions.max(initial=-1)) + 1
        colours = pool(window.pixels.astype(np.float32), regions, count)
        vectors = np.concatenate([np.tanh(colours @ one) for one in weights], axis=1).astype(np.float32)
        datasets = {"dense": np.zeros((2, 2, 3), np.float16)} if dense else {"features": vectors}
        datasets |= {"images": window.pixels} if pixels else {}
        return Result(
            {
                "superpixels": store.encode(window.regions),
                **{name: store.encode(one) for name, one in datasets.items()},
            },
            {"superpixels": count},
        )

    tables = {
        "layers/name": [f"block{number}" for number in range(len(sizes))],
        "layers/dimensions": np.array(sizes, np.int32),
        "pretrained/name": ["lite0"],
        "pretrained/digest": [digest],
        "pretrained/licence": ["Apache-2.0"],
        "pretrained/labels": ["ImageNet-1k"],
    }
    target = store.Target(path, "features", {"stage": "test", "inputs": {**dataset.inputs, "test": path.name}})
    return write_artifact(target, dataset, work, "features", {}, 1, tables).path


def write_masks(
    path: Path,
    folder: Path,
    mask_of: Callable[[Window], NDArray[Any]] = lambda window: object_mask(window.pixels),
    confidence_of: Callable[[Window], float] | None = None,
    role: str = "proposal",
    **reading: Any,
) -> Path:
    """Masks of the images of a folder, as a command would write them."""
    dataset = dataset_from_files(Inputs(folder, Images(**reading))).opened(1)
    inputs = {**dataset.inputs, "test": path.name}
    target = store.Target(path, "segmentation", {"stage": "test", "inputs": inputs}, force=True)

    def work(window: Window) -> Result:
        datasets = {"segmentation": store.encode(mask_of(window).astype(np.uint8))}
        return Result(datasets, {} if confidence_of is None else {"confidence": confidence_of(window)})

    return write_artifact(target, dataset, work, "masks", {"role": role, "clusters": 2}, 1).path
