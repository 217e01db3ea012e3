"""Write one small file of each public kind, in its present version, unless it is there: `python make_archive.py`.

What is there was written by the version of its day and is never written again; test_archive.py has its numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.store import KINDS, Target, encode, write_whole

HERE = Path(__file__).parent
RECIPE = {"stage": "archive", "revision": 1, "parameters": {"classes": 3, "scale": 0.5}, "inputs": {"pictures": "ab"}}
INPUTS = {"pictures": {"path": "../data", "fingerprint": "ab"}}
READING = '{"axes": "yxc"}'

SHARD = {"shard/number": np.array([2], np.int32), "shard/of": np.array([3], np.int32)}
PRETRAINED = {
    "pretrained/name": ["lite0", "süd.pth"],
    "pretrained/digest": ["0" * 64, "f" * 64],
    "pretrained/licence": ["Apache-2.0", ""],
    "pretrained/labels": ["ImageNet-1k", ""],
}
LABELS = {"labels/used": ["relabel: names from süd.h5"]}

Windows = list[dict[str, NDArray[Any]]]
Content = tuple[dict[str, Any], dict[str, Any], Windows, dict[str, dict[str, NDArray[Any]]]]


def images() -> dict[str, Any]:
    """Two images: a.png is one window, b.tif is cut in two that overlap by one column."""
    return {
        "sources/name": ["a.png", "ü/b.tif#1"],
        "sources/path": ["../data/a.png", "../data/ü/b.tif"],
        "sources/page": np.array([0, 1], np.int32),
        "sources/digest": ["0" * 64, "f" * 64],
        "sources/bytes": np.array([100, 5_000_000_000], np.int64),
        "sources/modified": np.array([1, 2], np.int64),
        "sources/size": np.array([[2, 3], [4, 10]], np.int32),
        "sources/orientation": np.array([1, 6], np.uint8),
        "sources/bands": np.array([3, 4], np.int32),
        "sources/scaling": np.array([[[0, 255]] * 2, [[0.5, 900.25]] * 2], np.float64),
        "sources/crs": ["", "EPSG:32633"],
        "sources/transform": np.array([[np.nan] * 6, [0.5, 0, 4e5, 0, -0.5, 5.25e6]]),
        **SHARD,
        "windows/source": np.array([0, 1, 1], np.int32),
        "windows/box": np.array([[0, 0, 2, 3], [0, 0, 2, 3], [0, 2, 2, 3]], np.int32),
        "windows/grid": np.array([[2, 3], [2, 5], [2, 5]], np.int32),
        "skipped/name": ["bad.png"],
        "skipped/reason": ["cannot be decoded"],
    }


def regions() -> list[NDArray[np.uint16]]:
    return [np.array(rows, np.uint16) for rows in ([[0, 0, 1], [2, 2, 65535]], [[0, 1, 1]] * 2, [[0] * 3] * 2)]


def superpixels() -> Content:
    windows = [
        {"superpixels": cut, "images": (np.arange(12).reshape(2, 3, 2) + 100 * number).astype(np.uint8)}
        for number, cut in enumerate(regions())
    ]
    return {**images(), "windows/superpixels": np.array([3, 2, 1])}, {"reading": READING}, windows, {}


def features() -> Content:
    windows = [
        {
            "superpixels": cut,
            "images": np.full((2, 3, 2), count, np.uint8),
            "features": np.arange(count * 4, dtype=np.float32).reshape(count, 4) / 8,
            "dense": np.arange(8, dtype=np.float16).reshape(1, 2, 4) / 8,
            "valid": cut != 65535,
        }
        for cut, count in zip(regions(), (3, 2, 1), strict=True)
    ]
    tables = {
        **images(),
        "windows/superpixels": np.array([3, 2, 1]),
        "windows/cell": np.full((3, 2), 2.0),
        "layers/name": ["10", "15"],
        "layers/dimensions": np.array([1, 3], np.int32),
        **PRETRAINED,
    }
    return tables, {"reading": READING}, windows, {}


def model() -> Content:
    entries = {
        "weights": {
            "trunk.0.weight": np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2) / 4,
            "trunk.0.steps": np.array(7, np.int64),
            "head.raw": np.array([0x3F80, 0xC000], np.uint16),
        },
        "history": {"loss": np.array([3.0, 2.5])},
    }
    attributes = {"method": "iic", "config": '{"classes": 3}', "reading": READING, "bfloat16": '["head.raw"]'}
    return {**PRETRAINED, **LABELS}, attributes, [], entries


def segmentation() -> Content:
    windows = [
        {
            "segmentation": np.array([[0, 1, 2], [number, 255, 0]], np.uint8),
            "confidence": np.full((2, 3), number / 4, np.float16),
            "distances": np.array([[[0, 255], [1, 2], [3, 254]], [[4, 4], [255, 255], [5, 6]]], np.uint8),
        }
        for number in range(3)
    ]
    tables = {
        **images(),
        "windows/confidence": np.array([0, 0.25, 1], np.float32),
        "windows/farthest": np.array([0.5, 1, 2]),
        "categories/name": ["sea", "wood", "süd"],
        "categories/color": ["#0000ff", "#00ff00", "#ff0000"],
        "centres": np.array([[0.5, 1], [2, 3], [4, 5.25]]),
        **PRETRAINED,
        **LABELS,
    }
    return tables, {"role": "clusters", "clusters": 3, "reading": READING}, windows, {}


def metrics() -> Content:
    scores = np.frombuffer('{"miou":0.5,"name":"ü"}'.encode(), np.uint8)
    images = np.array([[[5, 0], [0, 10**12]], [[0, 0], [1, 0]]])
    tables = {"scores": scores, "matrix": images.sum(0), "per-image": images, "images/name": ["a.png", "ü/b.tif#1"]}
    return {**tables, **PRETRAINED, **LABELS}, {}, [], {}


MAKERS = {
    "superpixels": superpixels,
    "features": features,
    "model": model,
    "segmentation": segmentation,
    "metrics": metrics,
}


def main() -> None:
    sys.argv = ["make_archive.py"]  # what the file says of how it was made
    for kind, make in MAKERS.items():
        path = HERE / f"{kind}-{KINDS[kind].version}.h5"
        if path.exists():
            continue
        tables, attributes, windows, entries = make()
        encoded = [{name: encode(values) for name, values in window.items()} for window in windows]
        write_whole(Target(path, kind, RECIPE), tables, attributes, INPUTS, encoded, entries)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
