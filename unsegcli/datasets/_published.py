"""Published scores, and the rows of a benchmark: a method of `unseg` on a task of which scores were published."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsegcli.datasets._contract import PublishedSet
from unsegcli.datasets._load import find_set
from unsegcli.errors import ConfigError, closest
from unsegcli.presets import preset_names, read_preset

FILE = Path(__file__).with_name("published.toml")
CERTAINTIES = {
    "F": "found in the source",
    "C": "read in published code",
    "M": "from memory, not confirmed",
}
SCORES = {  # names of scores in files, and in words
    "accuracy": "pixel accuracy",
    "miou": "mIoU",
    "miou_only": "mIoU of 7 classes",
    "iou": "IoU",
    "dice": "Dice",
    "j_and_f": "mean of J and F",
}
CLUSTERS, MASKS, OBJECTS = "clusters", "masks", "objects"
OBJECT_PROBE, RETRIEVAL, VIDEO = "object-probe", "object-retrieval", "video"
# kind of task -> methods of `unseg` that can be run on it, besides those that have a preset or published scores
BASELINES = {
    CLUSTERS: ("context", "pixels", "regions", "lite0"),
    MASKS: ("proposals", "square"),
    OBJECTS: (),
    OBJECT_PROBE: (),
    RETRIEVAL: (),
    VIDEO: ("colours",),
}
# kind of task -> published systems that `unseg` has
OURS = {
    CLUSTERS: ("iic", "inmars", "infoseg"),
    MASKS: ("iem", "iem-segnet"),
    OBJECTS: ("maskcontrast",),
    OBJECT_PROBE: ("maskcontrast",),
    RETRIEVAL: ("maskcontrast",),
    VIDEO: ("maskcontrast",),
}
# (method, kind of task) -> the preset for it, where it is not named like the data set
PRESETS = {
    ("maskcontrast", OBJECTS): "voc-unsupervised",
    ("maskcontrast", OBJECT_PROBE): "voc-unsupervised",
    ("maskcontrast", RETRIEVAL): "voc-unsupervised",
    ("iem-segnet", MASKS): "iem",
}
TRAINED = ("context", "iic", "inmars", "infoseg", "iem-segnet", "maskcontrast")  # methods of `unseg`
OWNERS = {"iem-segnet": "segnet", "square": "iem"}  # whose presets a method has
MASK_PRESETS = {"flowers-102": "flowers", "cub-200": "cub", "lsun-car": "cars"}
PERCENT = 100


@dataclass(frozen=True)
class PublishedNumber:
    """Scores of a system on a task, in percent."""

    system: str  # its title
    variant: str
    scores: Mapping[str, float]
    weights: str  # what its network starts from
    protocol: str  # how it differs from the rules of the task; "" = by them
    chosen: str  # how the published run was chosen; "" = not stated
    certainty: str  # one of CERTAINTIES
    source: str


@dataclass(frozen=True)
class BenchmarkRow:
    """A method of `unseg` on a task."""

    method: str
    task: str
    kind: str
    score: str  # the one that is compared
    published: PublishedSet

    @property
    def name(self) -> str:
        """The row as typed."""
        return f"{self.method}/{self.task}"

    @property
    def preset(self) -> str:
        """The name of the preset for it; "" = there is none."""
        named = PRESETS.get((self.method, self.kind), MASK_PRESETS.get(self.published.name, self.published.name))
        return named if named in preset_names(OWNERS.get(self.method, self.method)) else ""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the preset; empty if there is none."""
        return read_preset(OWNERS.get(self.method, self.method), self.preset) if self.preset else {}

    @property
    def images(self) -> int:
        """How many images it reads: those that are scored, and those that are learned from; 0 = not known."""
        scored, trained = set(self.published.rules.scored_on), set(self.published.rules.trained_on)
        learns = self.method in TRAINED and self.kind != VIDEO
        read = scored | trained if learns or scored <= trained else scored
        return sum(split.images for split in self.published.splits if not read or split.name in read)

    @property
    def numbers(self) -> list[PublishedNumber]:
        """The published scores of the same system; the first one is compared with."""
        return [one for name, one in _numbers(self.task) if name == self.method]

    @property
    def others(self) -> list[PublishedNumber]:
        """The published scores of other systems."""
        return [one for name, one in _numbers(self.task) if name != self.method]

    @property
    def left_open(self) -> list[str]:
        """What the paper leaves open, and how its result was chosen."""
        system = _content()["system"].get(self.method, {})
        return [*([system["chosen"]] if "chosen" in system else []), *system.get("unknown", [])]


def known_rows() -> list[BenchmarkRow]:
    """Return the rows that are listed, task after task."""
    return [_row(method, task) for task in _content()["task"] for method in _methods_of(task)]


def find_row(name: str) -> BenchmarkRow:
    """Return a row, given as METHOD/TASK; any network whose features can be clustered is a method too."""
    method, _, task = name.rpartition("/")
    tasks = _content()["task"]
    known = [row.name for row in known_rows()]
    if task not in tasks or not (method in _methods_of(task) or _is_network(method, tasks[task]["kind"])):
        raise ConfigError(f"row {name}: is none of those that `unseg benchmark --list` shows{closest(name, known)}")
    return _row(method, task)


def _is_network(method: str, kind: str) -> bool:
    suits = {CLUSTERS: method.startswith(("timm:", "resnet")) or method.endswith(".h5"), VIDEO: method.endswith(".h5")}
    return suits.get(kind, False)


def _methods_of(task: str) -> list[str]:
    kind = _content()["task"][task]["kind"]
    published = {name for name, _ in _numbers(task)}
    data = _content()["task"][task]["set"]
    ours = [one for one in OURS[kind] if one in published or kind == VIDEO or data in preset_names(one)]
    return [*ours, *BASELINES[kind]]


def _row(method: str, task: str) -> BenchmarkRow:
    found = _content()["task"][task]
    return BenchmarkRow(method, task, found["kind"], found["score"], find_set(found["set"])[0])


def _numbers(task: str) -> list[tuple[str, PublishedNumber]]:
    """Return the scores on a task, with the names of the systems."""
    return [(one["system"], _number(one)) for one in _content()["number"] if one["task"] == task]


def _number(one: Mapping[str, Any]) -> PublishedNumber:
    system = _content()["system"][one["system"]]
    return PublishedNumber(
        system["title"],
        one.get("variant", ""),
        one["scores"],
        system["weights"],
        one.get("protocol", system["protocol"]),
        system.get("chosen", ""),
        one["certainty"],
        one["source"],
    )


@functools.cache
def _content() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
