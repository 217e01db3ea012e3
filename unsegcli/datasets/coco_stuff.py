"""COCO-Stuff 164k with classes merged to 3, 15 or 27, and COCO-Persons: persons against everything else.

Where the facts come from:

* The publishers offer train2017.zip and val2017.zip (train2017/000000000009.jpg), stuffthingmaps_trainval2017.zip
  (train2017/000000000009.png, values 0 to 90 for things, 91 to 181 for stuff, 255 for pixels without a label) and
  annotations_trainval2017.zip (annotations/instances_train2017.json): github.com/nightrome/cocostuff, README, and
  github.com/xu-ji/IIC, datasets/setup_cocostuff164k.sh.
* The merges: github.com/xu-ji/IIC, code/datasets/segmentation/util/cocostuff_fine_to_coarse.py, and the table in
  github.com/mhamilton723/STEGO, src/data.py, which is the same.
* The lists of images: curated/train2017/Coco164kFew_Stuff_6.txt (3 classes) and Coco164kFull_Stuff_Coarse_7.txt (15 and
  27) in COCOStuff164kCurated.tar.gz of IIC's authors; their numbers of lines and digests as in the first commit of
  github.com/janghyuncho/PiCIE.
* Sizes and crops: for 3 and 15 classes `_prepare_test` in github.com/xu-ji/IIC,
  code/datasets/segmentation/cocostuff.py, with the settings of its examples (factor 0.33, crop 128); for 27 classes
  github.com/janghyuncho/PiCIE, data/coco_eval_dataset.py.
* IIC's code with 3 classes turns pixels without a label into sky (`_CocoFew._filter_label` there): a setting here.

Deviation: colours are stored as whole numbers after scaling, where IIC goes on with real ones when it scores; images
that are trained on have the crop in the middle, where IIC draws one at random at each step.

Deviation, COCO-Persons: the list of InfoSeg was not published. Here an image is taken if its sides have 360 pixels or
more, and its annotated persons cover a fifth to four fifths of it; its scores are not those of COCO-Persons.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from unsegcli.datasets._archives import Files, Member, ReadOnce
from unsegcli.datasets._contract import (
    VOID,
    Plan,
    PublishedSet,
    ScoringRules,
    SetClass,
    SetSplit,
    Task,
    Written,
)
from unsegcli.datasets._pixels import (
    label_bytes,
    png_bytes,
    read_image,
    read_numbers,
    read_rgb,
    resized_crop,
    scaled_crop,
)
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Prepare

SPLITS = ("train2017", "val2017")
FACTOR, CROP = 0.33, 128  # of IIC
RESIZED = 320  # of PiCIE
PERSON, MARGIN = 0, 254  # values in label maps: a thing; of COCO-Persons only, outside the image
SHORTEST = 360  # pixels of the shorter side
COVERED = (0.2, 0.8)  # share of an image that persons cover
BLOCK = 1 << 20
# Name, colour, values; the first twelve are things.
COARSE = (
    ("electronic", "#5f9ea0", range(71, 77)),
    ("appliance", "#708090", range(77, 83)),
    ("food thing", "#d2691e", range(51, 61)),
    ("furniture thing", "#8b4513", range(61, 71)),
    ("indoor", "#bc8f8f", range(83, 91)),
    ("kitchen", "#b8860b", range(43, 51)),
    ("accessory", "#c71585", range(25, 33)),
    ("animal", "#cd853f", range(15, 25)),
    ("outdoor", "#daa520", range(9, 15)),
    ("person", "#dc143c", (0,)),
    ("sports", "#ff8c00", range(33, 43)),
    ("vehicle", "#00008b", range(1, 9)),
    ("ceiling", "#d3d3d3", (101, 102)),
    ("floor", "#a0522d", (100, 113, 114, 115, 116, 117)),
    ("food", "#ff7f50", (120, 121, 152, 169)),
    ("furniture", "#deb887", (97, 106, 107, 109, 111, 122, 129, 132, 155, 160, 164)),
    ("raw material", "#9370db", (99, 131, 138, 142)),
    ("textile", "#ee82ee", (91, 92, 103, 104, 108, 130, 136, 140, 151, 166, 167)),
    ("wall", "#f5deb3", range(170, 177)),
    ("window", "#afeeee", (179, 180)),
    ("building", "#696969", (94, 95, 127, 150, 157, 165)),
    ("ground", "#806040", (110, 124, 125, 135, 139, 143, 144, 146, 148, 153, 158)),
    ("plant", "#228b22", (93, 96, 118, 123, 128, 133, 141, 162, 168)),
    ("sky", "#87ceeb", (105, 156)),
    ("solid", "#a9a9a9", (126, 134, 149, 159, 161, 181)),
    ("structural", "#556b2f", (98, 112, 137, 145, 163)),
    ("water", "#1e90ff", (119, 147, 154, 177, 178)),
)
ALL = tuple(SetClass(name, color, tuple(values)) for name, color, values in COARSE)
STUFF = ALL[12:]
FEW = tuple(next(one for one in ALL if one.name == name) for name in ("sky", "plant", "ground"))
PEOPLE = (
    SetClass("person", "#dc143c", (PERSON,)),
    SetClass("other", "#a9a9a9", (*range(1, 182), VOID)),
)
# The beginnings of the MD5 digests of the published lists.
LISTS = {
    "Coco164kFew_Stuff_6": {"train2017": "927206d2d27f", "val2017": "64df373a5e6d"},
    "Coco164kFull_Stuff_Coarse_7": {"train2017": "bf3d54a2d1d4", "val2017": "de66cfb97c6e"},
}
LIST_OF = {
    "coco-stuff-3": "Coco164kFew_Stuff_6",
    "coco-stuff-15": "Coco164kFull_Stuff_Coarse_7",
    "coco-stuff-27": "Coco164kFull_Stuff_Coarse_7",
}
PHOTOGRAPHS = ("train2017.zip and val2017.zip", "stuffthingmaps_trainval2017.zip")
CURATED = "the lists of images, {}.txt of train2017 and of val2017, from COCOStuff164kCurated.tar.gz (or by --names)"
IIC_NOTES = (
    "the images that are scored are those that are trained on",
    "IIC leaves pixels of other classes out of its training loss, by their labels",
)


def _iic_rules(clusters: int, notes: Sequence[str]) -> ScoringRules:
    return ScoringRules(
        protocol="iic",
        matching="one-to-one, by pixels",
        level="data set",
        clusters=clusters,
        trained_on=SPLITS,
        scored_on=SPLITS,
        size="the middle 128 x 128 of images at 0.33 of their size",
        reproduced=("scores on images of the training",),
        notes=tuple(notes),
    )


def _set(
    name: str,
    what: str,
    classes: Sequence[SetClass],
    images: tuple[int, int],
    rules: ScoringRules,
    takes: tuple[str, ...] = (),
) -> PublishedSet:
    named = {value for one in classes for value in one.values}
    return PublishedSet(
        name=name,
        what=what,
        licence="annotations CC BY 4.0; each photograph has its own licence on Flickr",
        link="https://github.com/nightrome/cocostuff",
        needs=(*PHOTOGRAPHS, CURATED.format(LIST_OF[name])),
        classes=tuple(classes),
        ignore=tuple(value for value in (*range(182), VOID) if value not in named),
        splits=tuple(SetSplit(split, count, count) for split, count in zip(SPLITS, images, strict=True)),
        rules=rules,
        archives=("train2017.zip", "val2017.zip", "stuffthingmaps_trainval2017.zip", "COCOStuff164kCurated.tar.gz"),
        takes=("names", "original_size", *takes),
    )


SETS = (
    _set(
        "coco-stuff-3",
        "photographs; sky, plants and ground",
        FEW,
        (35_228, 1_432),
        rules=_iic_rules(3, IIC_NOTES),
        takes=("unlabelled_as_sky",),
    ),
    _set(
        "coco-stuff-15",
        "photographs; 15 classes of stuff",
        STUFF,
        (49_629, 2_175),
        rules=_iic_rules(15, IIC_NOTES),
    ),
    _set(
        "coco-stuff-27",
        "photographs; 12 classes of things and 15 of stuff",
        ALL,
        (49_629, 2_175),
        rules=ScoringRules(
            protocol="picie",
            matching="one-to-one, by pixels",
            level="data set",
            clusters=27,
            trained_on=("train2017",),
            scored_on=("val2017",),
            size="the middle 320 x 320 of images whose shorter side is resized to 320",
            reproduced=("images scaled and centre-cropped to 320 x 320", "the curated image list"),
            notes=("STEGO and later systems also average mirrored images and apply a CRF",),
        ),
    ),
    PublishedSet(
        name="coco-persons",
        what="photographs; persons and everything else; a stand-in for the list of InfoSeg, which is not public",
        licence="annotations CC BY 4.0; each photograph has its own licence on Flickr",
        link="https://cocodataset.org/#download",
        needs=(*PHOTOGRAPHS, "annotations_trainval2017.zip"),
        classes=PEOPLE,
        ignore=(MARGIN,),
        splits=tuple(SetSplit(split, 0, 0) for split in SPLITS),
        rules=_iic_rules(
            2,
            (
                "the images are not those of InfoSeg, whose list is not public: its number is of another data set",
                "the images that are scored are those that are trained on",
            ),
        ),
        archives=("train2017.zip", "val2017.zip", "stuffthingmaps_trainval2017.zip", "annotations_trainval2017.zip"),
        takes=("original_size",),
        labels_used="converted for scoring, and choosing the images",
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Take the images of the lists, or those with persons."""
    images = {split: {one.stem: one for one in files.find(f"{split}/*.jpg")} for split in SPLITS}
    if published.name == "coco-persons":
        wanted = {split: _with_persons(split, files) for split in SPLITS}
        lists: tuple[dict[str, object], ...] = ()
        warnings = ["the images are chosen by a rule of our own, since the list of InfoSeg is not public"]
    else:
        wanted, lists, warnings = _listed(published, files, params, images)
    tasks: list[Task] = []
    missing: list[str] = []
    for split in SPLITS:
        labels = {one.stem: one for one in files.find(f"{split}/*.png")}
        if wanted[split] and not (images[split] and labels):
            missing += [f"{split}.zip"] * (not images[split])
            missing += [f"{split}/ of stuffthingmaps_trainval2017.zip"] * (not labels)
            continue
        for name in wanted[split]:
            if name in images[split] and name in labels:
                tasks += _tasks(published, split, (images[split][name], labels[name]), params)
            elif name not in images[split]:
                missing.append(f"{split}/{name}.jpg (of {split}.zip)")
            else:
                missing.append(f"{split}/{name}.png (of stuffthingmaps_trainval2017.zip)")
    classes, ignore = None, None
    if params.unlabelled_as_sky:
        sky, *others = published.classes
        classes = (SetClass(sky.name, sky.color, (*sky.values, VOID)), *others)
        ignore = tuple(value for value in published.ignore if value != VOID)
    return Plan(
        tuple(tasks), tuple(missing), (), tuple(warnings), classes=classes, ignore=ignore, lists=lists, batch=16
    )


def _tasks(published: PublishedSet, split: str, pair: tuple[Member, Member], params: Prepare) -> list[Task]:
    names = f"images/{split}/{pair[0].stem}", f"labels/{split}/{pair[0].stem}.png"
    if params.original_size:
        return [Task(pair[:1], (f"{names[0]}.jpg",)), Task(pair[1:], names[1:])]
    if published.rules.protocol == "picie":
        make, side = partial(make_resized, classes=published.classes), RESIZED
    else:
        margin = MARGIN if MARGIN in published.ignore and published.name == "coco-persons" else PERSON
        make, side = partial(make_scaled, classes=published.classes, margin=margin), CROP
    return [Task(pair, (f"{names[0]}.png", names[1]), make, bytes=2 * side * side)]


def make_scaled(
    members: Sequence[ReadOnce], outputs: Sequence[str], classes: Sequence[SetClass], margin: int
) -> Written:
    """Scale an image and its labels, and take the middle, as IIC does."""
    pixels, values = read_rgb(members[0]), read_numbers(members[1])
    _check_same_size(members, pixels.shape[:2], values.shape)
    image = scaled_crop(pixels, FACTOR, CROP, labels=False)
    label = scaled_crop(values, FACTOR, CROP, labels=True, padding=margin)
    return Written({outputs[0]: png_bytes(image), outputs[1]: label_bytes(label, classes)})


def make_resized(members: Sequence[ReadOnce], outputs: Sequence[str], classes: Sequence[SetClass]) -> Written:
    """Resize an image and its labels, and take the middle, as PiCIE does."""
    image, label = read_image(members[0]).convert("RGB"), read_image(members[1])
    _check_same_size(members, image.size, label.size)
    pixels, values = resized_crop(image, RESIZED, labels=False), resized_crop(label, RESIZED, labels=True)
    return Written({outputs[0]: png_bytes(pixels), outputs[1]: label_bytes(values, classes)})


def _check_same_size(members: Sequence[ReadOnce], image: tuple[int, ...], label: tuple[int, ...]) -> None:
    if image != label:
        raise DataError(f"{members[1].member.where} and {members[0].member.where} differ in size: {label} and {image}")


# Lists of images


def _listed(
    published: PublishedSet, files: Files, params: Prepare, images: Mapping[str, Mapping[str, Member]]
) -> tuple[dict[str, list[str]], tuple[dict[str, object], ...], list[str]]:
    """Return the wanted images of each split, what is known of the lists, and warnings."""
    contents = {str(path): Path(path).read_bytes() for path in params.names} or _lists_in(
        files, LIST_OF[published.name]
    )
    if not contents:
        raise ConfigError(
            f"{published.name} is {published.images:,} chosen images, whose lists are needed: give "
            f"{LIST_OF[published.name]}.txt of train2017 and of val2017 with --names, or name "
            "COCOStuff164kCurated.tar.gz as another source"
        )
    known = {one: f"{LIST_OF[published.name]} of {split}" for split, one in LISTS[LIST_OF[published.name]].items()}
    wanted: dict[str, list[str]] = {split: [] for split in SPLITS}
    lists, warnings = [], []
    for file, content in contents.items():
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        what = known.get(md5[:12], "")
        names = _names_in(content, file)
        for name in names:
            wanted[_split_of(name, file, what, images)].append(name)
        sha = hashlib.sha256(content).hexdigest()
        lists.append(
            {"file": Path(file).name, "names": len(names), "md5": md5, "sha256": sha, "published": what or None}
        )
        if not what:
            warnings.append(f"{file} ({len(names):,} names, MD5 {md5}) is not a published list of {published.name}")
    return wanted, tuple(lists), warnings


def _lists_in(files: Files, name: str) -> dict[str, bytes]:
    """Return the lists among the files of the publishers."""
    found = [one for split in SPLITS for one in files.find(f"{split}/{name}.txt")]
    return {"/".join(one.name.split("/")[-2:]): bytes(one.read()) for one in found}


def _names_in(content: bytes, file: str) -> list[str]:
    lines = content.decode("utf-8-sig", errors="replace").split()
    names = list(dict.fromkeys(line.rsplit("/", 1)[-1].split(".")[0] for line in lines))
    wrong = next((name for name in names if not (name.isdigit() and len(name) == 12)), None)
    if wrong is not None or not names:
        raise DataError(f"{file}: {wrong or 'nothing'} is not the name of an image of COCO, such as 000000000009")
    return names


def _split_of(name: str, file: str, what: str, images: Mapping[str, Mapping[str, Member]]) -> str:
    """Return the split of an image: the one that has it, else the one that the list is named after."""
    for split in SPLITS:
        if name in images[split]:
            return split
    return "val2017" if "val" in f"{Path(file).parent.name} {Path(file).name} {what}" else "train2017"


# Persons


def _with_persons(split: str, files: Files) -> list[str]:
    """Return the images with enough persons, in order."""
    found = files.find(f"instances_{split}.json")
    if not found:
        raise DataError(
            f"coco-persons is incomplete: instances_{split}.json (of annotations_trainval2017.zip) is missing"
        )
    sizes: dict[int, tuple[str, int, int]] = {}
    covered: dict[int, float] = {}
    try:
        with found[0].opened() as stream:
            for key, one in objects_in(stream, ("images", "annotations")):
                if key == "images":
                    sizes[one["id"]] = str(one["file_name"]).split(".")[0], one["height"], one["width"]
                elif one["category_id"] == 1:
                    covered[one["image_id"]] = covered.get(one["image_id"], 0.0) + one["area"]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{found[0].where} is not a file of annotations of COCO: {error}") from error
    return sorted(
        name
        for number, (name, height, width) in sizes.items()
        if min(height, width) >= SHORTEST and COVERED[0] <= covered.get(number, 0.0) / (height * width) <= COVERED[1]
    )


def objects_in(stream: IO[bytes], keys: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects in some lists of a large JSON file, one by one, with the key of their list."""
    decoder, text, at = json.JSONDecoder(), "", 0
    key, reader = "", codecs.getreader("utf-8")(stream)
    while block := reader.read(BLOCK):
        text, at = text[at:] + block, 0
        while True:
            if not key:
                key, at = _next_list(text, at, keys)
            if not key:
                break
            place = _skip(text, at)
            if text[place : place + 1] == "]":
                key, at = "", place + 1
                continue
            try:
                one, at = decoder.raw_decode(text, place)
            except json.JSONDecodeError:
                break  # it goes on in the next block
            yield key, one
    if key:
        raise ValueError(f"the list {key} does not end")


def _next_list(text: str, at: int, keys: Sequence[str]) -> tuple[str, int]:
    """Return the key of the list that begins first, and where; without one, "" and from where to look again."""
    found = []
    for key in keys:
        place = text.find(f'"{key}"', at)
        begin = text.find("[", place) if place >= 0 else -1
        if begin >= 0 and not text[place + len(key) + 2 : begin].strip(" :\n\r\t"):
            found.append((begin + 1, key))
    if found:
        begin, key = min(found)
        return key, begin
    return "", max(at, len(text) - 64)


def _skip(text: str, at: int) -> int:
    """Return the next place that is neither space nor comma."""
    while at < len(text) and text[at] in " \n\r\t,":
        at += 1
    return at
