"""The commands that a method of a benchmark takes, from images with labels to scores, as a user could type them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unsegcli.errors import ConfigError, closest
from unsegcli.presets import preset_names

PIXELS, REGIONS, PROBE = "pixels", "regions", "probe"
OBJECTS = "maskcontrast"  # learns from object masks, and clusters objects
EMBEDS = "context"  # clusters are found after training, so that any number of them needs no other training
SEE_PIXELS = ("iic", "infoseg")  # with the settings of their papers
LEARNED = (EMBEDS, "iic", "infoseg", "inmars", OBJECTS)
METHODS = (PIXELS, REGIONS, *LEARNED, PROBE)
ALL = "all"  # but maskcontrast, which needs images of objects and takes most of the time
NETWORKS = ("lite0", "resnet18", "resnet34", "resnet50")  # whose features k-means clusters; and timm:NAME, and models
TITLES = {
    "majority": "largest class everywhere",
    PIXELS: "k-means, pixels",
    REGIONS: "k-means, regions",
    "context": "context",
    "iic": "IIC",
    "infoseg": "InfoSeg + first grouping",
    "inmars": "InMARS + first grouping",
    OBJECTS: "MaskContrast",
    PROBE: "ceiling: linear probe, with labels",
}
MATCHED, NAMED = "matched", "named"  # measures: one to one; many clusters, named by the labels of half of the images
ONE_PROCESS = ("propagate",)  # commands without --workers
NAMING = ("--many-to-one", "--named-on", "even")
EXTENSION = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Step:
    """A command, what it costs, and what its scores are."""

    arguments: tuple[str, ...]
    output: Path
    cost: str  # name of its cost in `benchmark_costs`
    method: str = ""  # whose scores it writes; empty if it writes none
    seed: int = 0
    measure: str = ""


@dataclass(frozen=True)
class LabelledSet:
    """Images with labels, how they are read and scored, and the folder that results are written to."""

    name: str
    data: Path  # the folder that holds images/ and labels/
    learned: tuple[Path, ...]  # folders of images that methods learn from
    scored: tuple[Path, ...]  # and of those that are scored
    classes: int
    folder: Path
    legend: Path | None = None
    labels: Path | None = None
    reading: tuple[str, ...] = ()  # options of commands that read images
    scoring: tuple[str, ...] = ()  # options of `unseg evaluate`
    clusters: int = 0  # of a named map; 0 = there is none
    preset: str = ""  # settings of methods that have a preset of this name

    @property
    def fitted_elsewhere(self) -> bool:
        """Whether other images are scored than methods learn from."""
        return self.scored != self.learned


@dataclass(frozen=True)
class Running:
    """How commands run, and options that several share."""

    length: tuple[str, ...] = ()  # of `unseg train`
    device: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()  # that networks start from, where a method can start from some
    workers: int = 0  # 0 = one for each processor
    force: bool = False

    def step(self, command: Sequence[str], output: str | Path, cost: str) -> Step:
        """Return a command with these options."""
        workers = ["--workers", str(self.workers)] if self.workers and command[0] not in ONE_PROCESS else []
        options = ["-o", str(output), *workers, *(["--force"] if self.force else [])]
        return Step((*command, *options), Path(output), cost)


@dataclass(frozen=True)
class Job:
    """A method with one seed on one set, and its commands; the first ones may be shared with other jobs."""

    name: str  # of the set
    method: str
    seed: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.method}, seed {self.seed}"


def chosen_methods(asked: Sequence[str]) -> list[str]:
    """Return the methods that were asked for, in order: `all` stands for those that suit any images."""
    found: list[str] = []
    for name in asked:
        suit_all = [method for method in METHODS if method != OBJECTS]
        found += suit_all if name.lower() == ALL else [_checked(name)]
    found = list(dict.fromkeys(found))
    twice = [method for method in found if [_slug(one) for one in found].count(_slug(method)) > 1]
    if twice:
        raise ConfigError(f"--methods {','.join(twice)}: their files would have the same names; rename one of them")
    return found


def _checked(name: str) -> str:
    if name.lower() in (*METHODS, *NETWORKS):
        return name.lower()
    if name.startswith("timm:") or name.endswith((".py", ".h5")):
        return name
    known = (ALL, *METHODS, *NETWORKS)
    raise ConfigError(
        f"--methods {name}: is not one of {', '.join(known)}, timm:NAME, a file of your own method or a model"
        f"{closest(name, known)}"
    )


def title_of(method: str) -> str:
    """Return the name of a method in tables."""
    if is_network(method):
        return f"k-means, features of {method if ':' in method else Path(method).name}"
    return TITLES.get(method, Path(method).stem)


def is_network(method: str) -> bool:
    """Whether k-means clusters the features of a network that was trained before."""
    return method in NETWORKS or method.startswith("timm:") or method.endswith(".h5")


def job_of(method: str, seed: int, where: LabelledSet, running: Running) -> Job:
    """Return the commands of a method with one seed; those that seeds and methods share are the same for all."""
    steps = _Commands(where, running, seed, method).steps()
    return Job(where.name, method, seed, tuple(steps))


@dataclass(frozen=True)
class _Commands:
    """The commands of one method with one seed on one set."""

    where: LabelledSet
    running: Running
    seed: int
    method: str

    def steps(self) -> Iterator[Step]:
        if self.method == PIXELS:
            yield from self._clustered(self._images(self.where.scored), "pixels", "--features", "bands")
        elif self.method == REGIONS:
            yield self._cut(self.where.scored)
            yield from self._clustered([self._superpixels(self.where.scored)], "regions")
        elif self.method == PROBE:
            yield from self._probed()
        elif is_network(self.method):
            yield from self._features()
        elif self.method == OBJECTS:
            yield from self._objects()
        else:
            yield from self._learned()

    # Shared steps

    def _cut(self, images: Sequence[Path]) -> Step:
        path = self._superpixels(images)
        return self._step(["superpixels", *self._images(images)], path, "superpixels")

    def _superpixels(self, images: Sequence[Path]) -> str:
        own = "-scored" if self.where.fitted_elsewhere and images == self.where.scored else ""
        return str(self.where.folder / f"superpixels{own}.h5")

    def _images(self, images: Sequence[Path]) -> list[str]:
        return [*map(str, images), *self.where.reading, "--skip-bad"]

    # Methods

    def _learned(self) -> Iterator[Step]:
        where, model, own = self.where, self._file("model"), ["--method", self.method]
        by_preset = where.preset in preset_names(self.method)
        settings = ["--preset", where.preset] if by_preset else ["--classes", str(where.classes)]
        pixels = by_preset and self.method in SEE_PIXELS
        if not pixels:
            yield self._cut(where.learned)
        learned = self._images(where.learned) if pixels else [self._superpixels(where.learned)]
        train = ["train", *learned, *own, *settings, *self._seed, *self.running.length, *self.running.device]
        yield self._step(train, model, f"train {self.method}")
        given = [model]
        if where.fitted_elsewhere:
            if not pixels:
                yield self._cut(where.scored)
            given += self._images(where.scored) if pixels else [self._superpixels(where.scored)]
        file = own if self.method.endswith(".py") else []
        if self.method == EMBEDS:
            yield from self._clustered(given, "vectors", *self.running.device)
        else:
            made = self._file()
            yield self._step(["cluster", *given, *file, *self.running.device], made, "network")
            yield self._scored(made, MATCHED)

    def _features(self) -> Iterator[Step]:
        where = self.where
        made = str(where.folder / f"{_slug(self.method)}-features.h5")
        superpixels = self._superpixels(where.scored)
        yield self._cut(where.scored)
        network = ["features", superpixels, "--backbone", self.method, *self.running.device]
        yield self._step(network, made, "features")
        yield from self._clustered([made], "regions")

    def _objects(self) -> Iterator[Step]:
        where, model, made = self.where, self._file("model"), self._file()
        images, masks = self._images(where.learned), str(where.folder / "proposals.h5")
        yield self._step(["proposals", *images], masks, "proposals")
        train = ["train", *images, "--method", OBJECTS, "--proposals", masks, *self._seed]
        yield self._step([*train, *self.running.length, *self.running.device], model, f"train {OBJECTS}")
        clusters = ["--classes", str(max(1, where.classes - 1)), *self._seed]  # and the background
        cluster = ["cluster", model, *self._images(where.scored), *clusters, *self.running.device]
        yield self._step(cluster, made, "network")
        yield self._scored(made, MATCHED)

    def _probed(self) -> Iterator[Step]:
        superpixels, made = self._superpixels(self.where.scored), self.where.folder / "probe.h5"
        yield self._cut(self.where.scored)
        probe = self._step(["probe", superpixels, *self._truth, *self.running.device], made, "probe")
        yield replace(probe, method=PROBE, measure=PROBE)

    # Clusters and scores

    def _clustered(self, given: Sequence[str], cost: str, *options: str) -> Iterator[Step]:
        """Cluster into as many clusters as there are classes, and into those of a named map."""
        numbers = list(dict.fromkeys(number for number in (self.where.classes, self.where.clusters) if number))
        made = Path(self._file())
        command = ["cluster", *given, *options, "--classes", ",".join(map(str, numbers)), *self._seed]
        yield self._step(command, made, cost)
        each = [made.with_name(f"{made.stem}-{number}.h5") for number in numbers] if len(numbers) > 1 else [made]
        yield self._scored(each[0], MATCHED)
        if self.where.clusters:
            yield self._scored(each[-1], NAMED)

    def _scored(self, made: str | Path, measure: str) -> Step:
        options = NAMING if measure == NAMED else self.where.scoring
        metrics = Path(made).with_name(f"{Path(made).stem}-{measure}.h5")
        step = self._step(["evaluate", str(made), *options, *self._truth], metrics, "evaluate")
        return replace(step, method=self.method, seed=self.seed, measure=measure)

    @property
    def _truth(self) -> list[str]:
        given = {"--labels": self.where.labels, "--legend": self.where.legend}
        return [part for option, path in given.items() if path is not None for part in (option, str(path))]

    @property
    def _seed(self) -> list[str]:
        return ["--seed", str(self.seed)] if self.seed else []

    def _file(self, what: str = "") -> str:
        parts = [_slug(self.method), f"seed{self.seed}", *([what] if what else [])]
        return str(self.where.folder / f"{'-'.join(parts)}.h5")

    def _step(self, command: Sequence[str], output: str | Path, cost: str) -> Step:
        return self.running.step(command, output, cost)


def _slug(method: str) -> str:
    """Return a method as part of a file name."""
    return EXTENSION.sub("-", Path(method).stem if method.endswith((".py", ".h5")) else method)
