"""Tiny data sets of objects, contours and videos, in the layout, names and encodings of their publishers.

Every function writes one unpacked download below a folder; `packed` makes the archive that is published.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

HEIGHT, WIDTH = 20, 24
FLOWER_SETS = {"trnid": [2, 5], "valid": [3, 7], "tstid": [1, 4, 6]}
BIRDS = {  # name: its code in the split of ReDO: 0 train, 1 val, 2 test
    "001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111": 0,
    "001.Black_footed_Albatross/Black_Footed_Albatross_0002_55": 2,
    "002.Laysan_Albatross/Laysan_Albatross_0001_545": 0,
    "002.Laysan_Albatross/Laysan_Albatross_0002_1027": 1,
}
VOTES = np.array([0, 51, 102, 153, 204, 255], dtype=np.uint8)  # grey levels of CUB: how many of five people agree
VOC_TRAIN, VOC_VAL = ["2007_000032", "2007_000039"], ["2007_000033"]
SBD_TRAIN, SBD_VAL = ["2008_000002", "2007_000033", "2007_000032"], ["2008_000003"]
VIDEOS = {"train": {"bear": 3}, "val": {"blackswan": 4, "bmx-trees": 3}}
BERKELEY = {"train": ["100075", "8143"], "val": ["101085"], "test": ["2018", "3063", "5096"]}


def photograph(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A smooth image (height, width, 3)."""
    corners = np.random.default_rng(seed).integers(40, 216, (2, 2, 3)).astype(np.uint8)
    return np.array(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))


def rectangle(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    """An object (height, width): a rectangle somewhere in the middle, with edges on multiples of 8 where JPEG cuts."""
    mask = np.zeros((height, width), dtype=bool)
    mask[8:16, 8 : 16 + 8 * (seed % 2)] = True
    return mask


def save_photograph(path: Path, seed: int, grey: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(photograph(seed))
    (image.convert("L") if grey else image).save(path, quality=95)


def packed(folder: Path, archive: Path, *names: str) -> Path:
    """Pack files and folders of a folder, as `tar c NAME...` or `zip -r NAME...` does there."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for name in names:
                for path in sorted([folder / name, *(folder / name).rglob("*")]):
                    zipped.write(path, path.relative_to(folder))
        return archive
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as tar:
        for name in names:
            tar.add(folder / name, name)
    return archive


# ------------------------------------------------------------------------------------------------ flowers-102


def flowers(root: Path) -> Path:
    """jpg/, segmim/, setid.mat and imagelabels.mat of Flowers-102; the segmentations are JPEG on blue."""
    for number in range(1, 8):
        save_photograph(root / "jpg" / f"image_{number:05d}.jpg", number)
        shown = photograph(number)
        shown[~rectangle(number)] = (0, 0, 254)
        (root / "segmim").mkdir(exist_ok=True)
        Image.fromarray(shown).save(root / "segmim" / f"segmim_{number:05d}.jpg", quality=95)
    savemat(root / "setid.mat", {name: np.array([numbers], np.uint16) for name, numbers in FLOWER_SETS.items()})
    savemat(root / "imagelabels.mat", {"labels": np.ones((1, 7), np.uint8)})
    return root


# ------------------------------------------------------------------------------------------------ cub-200


def birds(root: Path) -> Path:
    """CUB_200_2011/ and segmentations/, as their two archives unpack."""
    inside = root / "CUB_200_2011"
    for number, name in enumerate(BIRDS, 1):
        save_photograph(inside / "images" / f"{name}.jpg", number, grey=number == 3)
        path = root / "segmentations" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(bird_votes(number)).convert("LA" if number == 2 else "L").save(path)
    lists = {
        "images.txt": [f"{number} {name}.jpg" for number, name in enumerate(BIRDS, 1)],
        "image_class_labels.txt": [f"{number} {int(name[:3])}" for number, name in enumerate(BIRDS, 1)],
        "train_test_split.txt": [f"{number} {number % 2}" for number in range(1, len(BIRDS) + 1)],
        "classes.txt": ["1 001.Black_footed_Albatross", "2 002.Laysan_Albatross"],
    }
    for name, lines in lists.items():
        (inside / name).write_text("".join(f"{line}\n" for line in lines))
    (root / "attributes.txt").write_text("1 has_bill_shape::curved_(up_or_down)\n")
    return root


def bird_votes(number: int) -> NDArray[np.uint8]:
    """The grey levels of one segmentation of CUB: columns of all six levels in the object."""
    return np.where(rectangle(number), VOTES[np.arange(WIDTH) // 2 % 6], 0).astype(np.uint8)


def redo_split(path: Path) -> Path:
    """The list of ReDO: image number and code in every line."""
    path.write_text("".join(f"{number} {code}\n" for number, code in enumerate(BIRDS.values(), 1)))
    return path


# ------------------------------------------------------------------------------------------------ voc-2012


def voc_palette() -> list[int]:
    """The colour table of PASCAL VOC: the bits of the number, spread over red, green and blue."""
    colours = np.zeros((256, 3), dtype=int)
    for bit in range(8):
        for band in range(3):
            colours[:, band] |= ((np.arange(256) >> (3 * bit + band)) & 1) << (7 - bit)
    return [int(value) for value in colours.ravel()]


def voc_map(name: str) -> NDArray[np.uint8]:
    """The classes of one image: a sheep or so on background, with a void line around it."""
    numbers = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    numbers[6:16, 6:18] = 255
    numbers[7:15, 7:17] = int(name[-2:]) % 20 + 1
    return numbers


def voc(root: Path) -> Path:
    """VOCdevkit/, as VOCtrainval_11-May-2012.tar unpacks."""
    inside = root / "VOCdevkit" / "VOC2012"
    for number, name in enumerate([*VOC_TRAIN, *VOC_VAL, "2008_000002", "2008_000003", "2009_000001"]):
        save_photograph(inside / "JPEGImages" / f"{name}.jpg", number)
    for name in [*VOC_TRAIN, *VOC_VAL]:
        image = Image.fromarray(voc_map(name))
        image.putpalette(voc_palette())  # makes it a palette image
        path = inside / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    lists = inside / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in {"train": VOC_TRAIN, "val": VOC_VAL, "trainval": sorted(VOC_TRAIN + VOC_VAL)}.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def sbd(root: Path) -> Path:
    """benchmark_RELEASE/, as benchmark.tgz unpacks."""
    inside = root / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls"):
        (inside / folder).mkdir(parents=True)
    for number, name in enumerate([*SBD_TRAIN, *SBD_VAL]):
        save_photograph(inside / "img" / f"{name}.jpg", number)
        boundaries = np.empty((20, 1), dtype=object)
        for place in range(20):
            boundaries[place, 0] = csc_matrix((HEIGHT, WIDTH), dtype=np.float64)
        content = {"Boundaries": boundaries, "Segmentation": sbd_map(name), "CategoriesPresent": np.array([[9.0]])}
        savemat(inside / "cls" / f"{name}.mat", {"GTcls": content}, do_compression=True)
    for split, names in {"train": SBD_TRAIN, "val": SBD_VAL}.items():
        (inside / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def sbd_map(name: str) -> NDArray[np.uint8]:
    """The classes that SBD gives an image: no void, and other numbers than those of VOC."""
    numbers = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    numbers[5:17, 5:19] = int(name[-2:]) % 20 + 2
    return numbers


# ------------------------------------------------------------------------------------------------ davis-2016


def videos(root: Path) -> Path:
    """DAVIS/, as DAVIS-data.zip unpacks; one annotation is stored in colour."""
    inside = root / "DAVIS"
    lists = inside / "ImageSets" / "480p"
    lists.mkdir(parents=True)
    for split, sequences in VIDEOS.items():
        lines = []
        for sequence, frames in sequences.items():
            for frame in range(frames):
                image, label = (f"/{kind}/480p/{sequence}/{frame:05d}" for kind in ("JPEGImages", "Annotations"))
                save_photograph(inside / f"{image[1:]}.jpg", frame)
                mask = Image.fromarray(rectangle(frame).astype(np.uint8) * 255)
                (inside / label[1:]).parent.mkdir(parents=True, exist_ok=True)
                mask.convert("RGB" if sequence == "bmx-trees" else "L").save(inside / f"{label[1:]}.png")
                lines.append(f"{image}.jpg {label}.png \n")
        (lists / f"{split}.txt").write_text("".join(lines))
    return root


# ------------------------------------------------------------------------------------------------ bsds500


def berkeley(root: Path) -> Path:
    """BSR/, as BSR_bsds500.tgz unpacks: with files of a file manager beside the images, and several annotators."""
    data = root / "BSR" / "BSDS500" / "data"
    for split, names in BERKELEY.items():
        for number, name in enumerate(names):
            save_photograph(data / "images" / split / f"{name}.jpg", number)
            (data / "groundTruth" / split).mkdir(parents=True, exist_ok=True)
            savemat(data / "groundTruth" / split / f"{name}.mat", {"groundTruth": annotators(number)})
        (data / "images" / split / "Thumbs.db").write_bytes(b"no image")
    (root / "BSR" / "bench").mkdir()
    (root / "BSR" / "bench" / "README").write_text("code\n")
    return root


def annotators(number: int) -> NDArray[np.object_]:
    """The cells (1, annotators) of a groundTruth."""
    cells = np.empty((1, 2), dtype=object)
    for place in range(2):
        segmentation = rectangle(number + place).astype(np.uint16) + 1
        cells[0, place] = {"Segmentation": segmentation, "Boundaries": (segmentation > 1).astype(np.uint8)}
    return cells
