"""Tiny trees in the layout, with the names and encodings in which data sets are published."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unsegcli.datasets import potsdam


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def unpacked(files: Mapping[str, bytes], folder: Path) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tiff(pixels: NDArray[Any], **how: Any) -> bytes:
    out = io.BytesIO()
    extra = ["unspecified"] * (pixels.shape[2] - 3)
    tifffile.imwrite(out, pixels, photometric="rgb", extrasamples=extra or None, **how)
    return out.getvalue()


def potsdam_tile(tile: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (side, side, 4) and colours of labels (side, side, 3) of one tile."""
    random = np.random.default_rng([ord(letter) for letter in tile])
    side = potsdam.TILE
    pixels = random.integers(0, 256, (side, side, 4), np.uint8)
    palette = np.array([list(bytes.fromhex(one.color[1:])) for one in potsdam.PALETTE], np.uint8)
    return pixels, palette[random.integers(0, 6, (side // 8, side // 8))].repeat(8, 0).repeat(8, 1)


def potsdam_files(labels: int = 24) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of 4_Ortho_RGBIR.zip and of 5_Labels_all.zip, or of 5_Labels_for_participants.zip."""
    tiles = (*potsdam.LABELLED, *potsdam.OTHER)
    made = {tile: potsdam_tile(tile) for tile in tiles}
    images = {f"4_Ortho_RGBIR/top_potsdam_{tile}_RGBIR.tif": tiff(made[tile][0]) for tile in tiles}
    images |= {name.replace(".tif", ".tfw"): b"0.05\n0\n0\n-0.05\n368800\n5812200\n" for name in images}
    wanted = tiles[:labels]
    return images, {f"top_potsdam_{tile}_label.tif": tiff(made[tile][1], compression="lzw") for tile in wanted}


def png(pixels: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def jpeg(pixels: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


COCO_SIZES = {"000000000009": (480, 640), "000000000025": (361, 500), "000000581921": (640, 427)}  # height, width


def coco_pixels(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels and labels of an image of COCO: blocks of all 182 values and of pixels without a label."""
    random = np.random.default_rng(int(name))
    height, width = COCO_SIZES[name]
    coarse = random.integers(0, 256, (height // 40 + 1, width // 40 + 1, 3), np.uint8)
    values = np.append(np.arange(182), [255] * 20).astype(np.uint8)[random.integers(0, 202, coarse.shape[:2])]
    pixels, labels = (one.repeat(40, 0).repeat(40, 1)[:height, :width] for one in (coarse, values))
    return pixels, labels


def coco_files() -> dict[str, dict[str, bytes]]:
    """The zip archives of COCO and COCO-Stuff: two images of train2017 and one of val2017."""
    splits = {"train2017": ["000000000009", "000000000025"], "val2017": ["000000581921"]}
    made = {
        f"{split}.zip": {f"{split}/{one}.jpg": jpeg(coco_pixels(one)[0]) for one in splits[split]} for split in splits
    }
    maps = {f"{split}/{one}.png": png(coco_pixels(one)[1]) for split in splits for one in splits[split]}
    people = {f"annotations/instances_{split}.json": coco_instances(splits[split]) for split in splits}
    return {**made, "stuffthingmaps_trainval2017.zip": maps, "annotations_trainval2017.zip": people}


def coco_instances(names: list[str]) -> bytes:
    """Annotations, with the keys in the published order: in the first image a third of the pixels are persons."""
    images = [
        {
            "license": 3,
            "file_name": f"{one}.jpg",
            "height": COCO_SIZES[one][0],
            "width": COCO_SIZES[one][1],
            "id": int(one),
        }
        for one in names
    ]
    areas = [(0, 1, 0.2), (0, 1, 0.13), (0, 18, 0.5), *((number, 1, 0.1) for number in range(1, len(names)))]
    annotations = [
        {
            "segmentation": [[1.5, 2.5, 30.0, 2.5, 30.0, 40.0]],
            "area": share * images[number]["height"] * images[number]["width"],
            "iscrowd": 0,
            "image_id": images[number]["id"],
            "bbox": [1.5, 2.5, 28.5, 37.5],
            "category_id": category,
            "id": place,
        }
        for place, (number, category, share) in enumerate(areas)
    ]
    categories = [{"supercategory": "person", "id": 1, "name": "person"}]
    whole = {"info": {"year": 2017}, "licenses": [{"id": 3}], "images": images, "annotations": annotations}
    return json.dumps({**whole, "categories": categories}).encode()


SCENES = {"train": ["aachen_000000_000019", "bochum_000000_000313"], "val": ["frankfurt_000000_000294"]}


def cityscapes_pixels(scene: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels and numbers of labels, 0 to 33, at an eighth of the published size."""
    random = np.random.default_rng(list(scene.encode()))
    pixels = random.integers(0, 256, (32, 64, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return pixels, random.integers(0, 34, (32, 64), np.uint8).repeat(8, 0).repeat(8, 1)


def cityscapes_files() -> dict[str, dict[str, bytes]]:
    """The zip archives of Cityscapes."""
    images, labels = {}, {"README": b"labels", "license.txt": b"licence"}
    for split, scenes in SCENES.items():
        for scene in scenes:
            city = scene.split("_")[0]
            images[f"leftImg8bit/{split}/{city}/{scene}_leftImg8bit.png"] = png(cityscapes_pixels(scene)[0])
            for what in ("labelIds", "instanceIds", "color"):
                label = png(cityscapes_pixels(scene)[1] if what == "labelIds" else np.zeros((4, 4), np.uint8))
                labels[f"gtFine/{split}/{city}/{scene}_gtFine_{what}.png"] = label
    return {"leftImg8bit_trainvaltest.zip": images, "gtFine_trainvaltest.zip": labels}
