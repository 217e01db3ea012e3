"""One small, valid artifact of every kind, and plain views of what a file holds: for the tests of the format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from unsegcli.store import KINDS, Artifact, Target, encode, open_artifact, problems_of, write_whole

RECIPE = {"stage": "sample", "revision": 1, "parameters": {"size": [4, 6], "scale": 0.5}, "inputs": {"pictures": "ab"}}
INPUTS = {"pictures": {"path": "../data", "fingerprint": "ab"}}
VOID8, VOID16 = 255, 65535
PUBLIC = [name for name, kind in KINDS.items() if not kind.private]


@dataclass
class Sample:
    """What goes into a file: arguments of `write_whole`, still as arrays."""

    kind: str
    tables: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    windows: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    entries: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)

    def write(self, path: Path, recipe: dict[str, Any] | None = None, *, force: bool = False) -> Path:
        """Write it, as a stage would."""
        target = Target(path, self.kind, recipe or RECIPE, force=force)
        windows = [{name: encode(values) for name, values in window.items()} for window in self.windows]
        write_whole(target, self.tables, self.attributes, INPUTS, windows, self.entries)
        return path

    def changed(self, **parts: dict[str, Any]) -> Sample:
        """The same with some tables, attributes or entries replaced."""
        return replace(self, **{name: {**getattr(self, name), **values} for name, values in parts.items()})


def sample(kind: str) -> Sample:
    """A valid sample of a kind, with every optional field."""
    return {
        "superpixels": superpixels,
        "features": features,
        "model": model,
        "segmentation": segmentation,
        "metrics": metrics,
        "checkpoint": checkpoint,
    }[kind]()


def images() -> dict[str, Any]:
    """Tables of two sources: one of a single window, the other cut in two that overlap by two columns."""
    return {
        "sources/name": ["a.png", "süd/b.tif#2"],
        "sources/path": ["../data/a.png", "../data/süd/b.tif"],
        "sources/page": np.array([0, 1], np.int32),
        "sources/digest": ["0" * 64, "f" * 64],
        "sources/bytes": np.array([120, 5_000_000_000], np.int64),
        "sources/modified": np.array([1_700_000_000_000_000_001, 2], np.int64),
        "sources/size": np.array([[4, 6], [8, 12]], np.int32),
        "sources/orientation": np.array([1, 6], np.uint8),
        "sources/bands": np.array([3, 4], np.int32),
        "sources/scaling": np.array([[[0, 255]] * 3, [[1.5, 900.25]] * 3], np.float64),
        "windows/source": np.array([0, 1, 1], np.int32),
        "windows/box": np.array([[0, 0, 4, 6], [0, 0, 4, 4], [0, 2, 4, 4]], np.int32),
        "windows/grid": np.array([[4, 6]] * 3, np.int32),
        "sources/crs": ["", "EPSG:32633"],
        "sources/transform": np.array([[np.nan] * 6, [0.5, 0, 4e5, 0, -0.5, 5.25e6]]),
        "members/source": np.array([1, 1], np.int32),
        "members/path": ["../data/süd/b1.tif", "../data/süd/b2.tif"],
        "members/digest": ["1" * 64, "2" * 64],
        "members/bytes": np.array([7, 5_000_000_000], np.int64),
        "members/modified": np.array([3, 4], np.int64),
        "members/box": np.array([[0, 0, 8, 7], [0, 6, 8, 6]], np.int32),
        "skipped/name": ["broken.png"],
        "skipped/reason": ["cannot be decoded"],
    }


def pretrained() -> dict[str, Any]:
    """Tables of two pretrained networks, of one of which not everything is known."""
    return {
        "pretrained/name": ["lite0", "süd.pth"],
        "pretrained/digest": ["0" * 64, "f" * 64],
        "pretrained/licence": ["Apache-2.0", ""],
        "pretrained/labels": ["ImageNet-1k", ""],
    }


def shard() -> dict[str, Any]:
    """Tables of the third of five parts of a divided run."""
    return {"shard/number": np.array([3], np.int32), "shard/of": np.array([5], np.int32)}


LABELS = {"labels/used": ["relabel: names from süd.h5", "propagate: first.png"]}


def region_maps() -> list[NDArray[np.uint16]]:
    """Superpixels of the three windows: 3, 2 and 2 of them, the first map with a void corner."""
    first = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 1, 1], [2, 2, 2, 2, 1, VOID16]], np.uint16)
    halves = np.repeat(np.array([[0, 0, 1, 1]], np.uint16), 4, axis=0)
    return [first, halves, halves.T.copy()]


def superpixels() -> Sample:
    random = np.random.default_rng(1)
    windows = [
        {"superpixels": regions, "images": random.integers(0, 256, (*regions.shape, 3)).astype(np.uint8)}
        for regions in region_maps()
    ]
    tables = {**images(), **shard(), "windows/superpixels": np.array([3, 2, 2], np.int64)}
    return Sample("superpixels", tables, {"reading": '{"axes":"yxc"}'}, windows)


def features() -> Sample:
    random = np.random.default_rng(2)
    windows = [
        {
            "superpixels": regions,
            "images": random.integers(0, 256, (*regions.shape, 3)).astype(np.uint8),
            "features": random.normal(size=(count, 5)).astype(np.float32),
            "dense": random.normal(size=(2, columns, 5)).astype(np.float16),
            "valid": regions != VOID16,
        }
        for regions, count, columns in zip(region_maps(), (3, 2, 2), (3, 2, 2), strict=True)
    ]
    tables: dict[str, Any] = {
        **images(),
        **shard(),
        "windows/superpixels": np.array([3, 2, 2], np.int64),
        "windows/cell": np.full((3, 2), 2.0),
        "layers/name": ["10", "15"],
        "layers/dimensions": np.array([2, 3], np.int32),
        "layers/weight": np.array([0.5, 1.0]),
        "resize": np.array([2.0]),
        "layers/features": np.array([4, 3], np.int32),
        "pca/mean": random.normal(size=7).astype(np.float32),
        "pca/components": random.normal(size=(7, 3)).astype(np.float32),
        **pretrained(),
    }
    return Sample("features", tables, {"reading": '{"axes":"yxc"}'}, windows)


def some_distances(random: np.random.Generator, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return random.integers(0, 255, (*labels.shape, 2)).astype(np.uint8)


def segmentation() -> Sample:
    random = np.random.default_rng(3)
    shapes = [(4, 6), (4, 4), (4, 4)]
    maps = [random.choice([0, 1, 2, VOID8], shape).astype(np.uint8) for shape in shapes]
    windows = [
        {
            "segmentation": labels,
            "confidence": random.random(labels.shape).astype(np.float16),
            "distances": np.where((labels == VOID8)[:, :, None], VOID8, np.sort(some_distances(random, labels))),
        }
        for labels in maps
    ]
    tables = {
        **images(),
        **shard(),
        "windows/farthest": np.array([2.5, 7, 1]),
        "windows/confidence": np.array([0.25, 0.5, 1], np.float32),
        "categories/name": ["sea", "wood", "süd", ""],
        "categories/color": ["#0000ff", "#00ff00", "#ff0000", "#000000"],
        "centres": random.normal(size=(4, 3)),
        "fit/centres": random.normal(size=(4, 3)),
        "fit/mean": random.uniform(size=3),
        "fit/projection": random.normal(size=(3, 3)),
        "fit/scaling": random.uniform(size=(3, 3)),
        "fit/settings": np.frombuffer(b'{"features":"bands"}', np.uint8),
        "fit/category": np.array([0, 1, 3, 1], np.int32),
        "choice/clusters": np.arange(2, 5, dtype=np.int32),
        "choice/stability": random.uniform(size=3),
        **pretrained(),
        **LABELS,
    }
    return Sample("segmentation", tables, {"role": "clusters", "clusters": 4, "reading": "{}"}, windows)


def state() -> dict[str, NDArray[Any]]:
    """Entries as networks have them: dotted names, a scalar, an empty tensor, whole numbers, half floats."""
    random = np.random.default_rng(4)
    return {
        "features.0.weight": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "features.0.bias": np.zeros(4, np.float32),
        "head.weight": random.normal(size=(2, 4)).astype(np.float16),
        "norm.num_batches_tracked": np.array(17, np.int64),
        "temperature": np.array(0.5, np.float64),
        "queue.empty": np.zeros((0, 128), np.float32),
        "mask": np.array([True, False, True]),
        "half.raw": np.array([0x3F80, 0xC000], np.uint16),
    }


def model() -> Sample:
    history = {"loss": np.array([3.0, 2.5, 2.25]), "accuracy": np.array([0.5])}
    attributes = {"method": "iic", "config": '{"classes":4}', "reading": "{}", "bfloat16": '["half.raw"]'}
    tables: dict[str, Any] = {
        "scaling": np.array([(0.0, 255.0), (-1.5, 4000.25)]),
        "cutting": np.frombuffer(b'{"segments":0}', np.uint8),
        "vectors": np.frombuffer(b'{"dimensions":[5]}', np.uint8),
        "skipped/name": ["broken.png"],
        "skipped/reason": ["cannot be decoded"],
        **pretrained(),
        **LABELS,
    }
    return Sample("model", tables, attributes, [], {"weights": state(), "history": history})


def metrics() -> Sample:
    scores = np.frombuffer(json.dumps({"miou": 0.5, "name": "ü"}).encode(), np.uint8)
    images = np.array([[[5, 0, 0], [1, 0, 10**12]], [[0, 0, 2], [0, 7, 0]]], np.int64)
    tables = {"scores": scores, "matrix": images.sum(0), "per-image": images, "images/name": ["a.png", "süd/b.tif#2"]}
    pairs = [[0, image, *pair, images[image, *pair]] for image, *pair in np.argwhere(images).tolist()]
    tables |= {"pairs": np.array(pairs), "image-scores": np.array([[[0.5], [np.nan]]]), "images/score": ["iou"]}
    return Sample("metrics", {**tables, **pretrained(), **LABELS})


def checkpoint() -> Sample:
    return Sample("checkpoint", {}, {"progress": '{"step":3}'}, [], {"state": state()})


def values_of(artifact: Artifact) -> dict[str, Any]:
    """Everything in an artifact that is not a note for people."""
    found: dict[str, Any] = {f"@{name}": value for name, value in artifact.attributes.items()}
    found["@kind"] = artifact.kind
    for name in artifact.field_names():
        per = KINDS[artifact.kind].fields[name].per
        if per == "file":
            found[name] = artifact.table(name)
        elif per == "entry":
            found |= {f"{name}/{key}": artifact.entry(name, key) for key in artifact.entries(name)}
        else:
            found |= {f"{name}/{index}": artifact.read(name, index) for index in range(artifact.window_count)}
    return found


def written_values(written: Sample) -> dict[str, Any]:
    """What `values_of` must give for a file made from a sample."""
    found: dict[str, Any] = {f"@{name}": value for name, value in written.attributes.items()}
    found["@kind"] = written.kind
    found |= written.tables
    for group, arrays in written.entries.items():
        found |= {f"{group}/{key}": values for key, values in arrays.items()}
    for index, window in enumerate(written.windows):
        found |= {f"{name}/{index}": values for name, values in window.items()}
    return found


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Names whose values, types or shapes differ."""
    return [name for name in sorted(found.keys() | wanted.keys()) if not _same(found.get(name), wanted.get(name))]


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, np.ndarray) and isinstance(wanted, np.ndarray):
        equal = np.array_equal(found, wanted, equal_nan=found.dtype.kind == "f")
        return bool(found.dtype == wanted.dtype and found.shape == wanted.shape and equal)
    return type(found) is type(wanted) and bool(found == wanted)


def problems(path: Path) -> list[str]:
    """What verifying says."""
    with open_artifact(path) as artifact:
        return problems_of(artifact)


def plain_datasets(path: Path) -> Iterator[tuple[str, Any]]:
    """Every dataset of a file with its values, read by h5py alone."""
    with h5py.File(path) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            yield name, file[name][()]
