"""The commands of published rows that are no clusters of pixels: masks of objects, clusters of objects, and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unsegcli.dataflow.method_commands import MATCHED, Job, LabelledSet, Running, Step

IEM_SIDE = "128"  # pixels of the images that SegNet sees
CLUSTERED, PROBED, RETRIEVED = "maskcontrast-voc", "maskcontrast-voc", "maskcontrast-voc-7"  # presets


@dataclass(frozen=True)
class Paper:
    """What a row needs besides the images."""

    kind: str  # of the task
    fit_on: Path  # a list of the images whose labels are learned from, by probe and retrieve
    score_on: Path
    masks: str = ""  # preset of `unseg iem` for the data set
    model: Path | None = None  # trained before, for videos


def paper_job(method: str, seed: int, where: LabelledSet, running: Running, paper: Paper) -> Job:
    """Return the commands of a row with one seed."""
    steps = _PaperCommands(where, running, seed, method, paper)
    made: dict[str, Callable[[], Iterator[Step]]] = {
        "masks": steps.segnet if method == "iem-segnet" else steps.masks,
        "objects": steps.clustered,
        "object-probe": steps.probed,
        "object-retrieval": steps.retrieved,
        "video": steps.video,
    }
    return Job(where.name, method, seed, tuple(made[paper.kind]()))


@dataclass(frozen=True)
class _PaperCommands:
    where: LabelledSet
    running: Running
    seed: int
    method: str
    paper: Paper

    # Masks of objects

    def masks(self) -> Iterator[Step]:
        """Masks of a method that is not trained."""
        commands = {
            "iem": ["iem", *self._scored_images, "--preset", self.paper.masks],
            "square": ["iem", *self._scored_images, "--preset", self.paper.masks, "--iterations", "0"],
            "proposals": ["proposals", *self._scored_images],
        }
        made = self._file("masks", seeded=False)
        yield self._step(commands[self.method], made, "proposals")
        yield self._evaluated(made)

    def segnet(self) -> Iterator[Step]:
        """A network that is trained on the masks of IEM."""
        masks, model, made = self._file("masks", seeded=False), self._file("model"), self._file()
        images = self._learned_images
        yield self._step(["iem", *images, "--preset", self.paper.masks], masks, "proposals")
        train = ["train", *images, "--size", IEM_SIDE, "--method", "segnet", "--preset", "iem", "--proposals", masks]
        yield self._trained(train, model, "segnet")
        yield self._step(["cluster", model, *self._scored_images, "--per", "pixel", *self._device], made, "network")
        yield self._evaluated(made)

    # Objects

    def clustered(self) -> Iterator[Step]:
        """Clusters of the objects that MaskContrast finds."""
        made = self._file()
        yield from self._maskcontrast()
        cluster = ["cluster", self._model, *self._scored_images, "--preset", CLUSTERED]
        yield self._step([*cluster, *self._device], made, "network")
        yield self._evaluated(made)

    def probed(self) -> Iterator[Step]:
        """A linear classifier of its features."""
        yield from self._looked_up("probe", PROBED)

    def retrieved(self) -> Iterator[Step]:
        """The class of the most similar labelled object."""
        yield from self._looked_up("retrieve", RETRIEVED)

    def _looked_up(self, command: str, preset: str) -> Iterator[Step]:
        yield from self._maskcontrast()
        made = self._file(command)
        lists = ["--fit-on", str(self.paper.fit_on), "--score-on", str(self.paper.score_on)]
        whole = [str(self.where.data), *self.where.reading, "--skip-bad"]
        options = ["--preset", preset, *lists, *self._truth(self.where.data / "labels"), *self._device]
        yield self._with_scores(self._step([command, self._model, *whole, *options], made, "probe"))

    def _maskcontrast(self) -> Iterator[Step]:
        masks = self._file("proposals", seeded=False)
        yield self._step(["proposals", *self._learned_images], masks, "proposals")
        train = ["train", *self._learned_images, "--method", "maskcontrast", "--preset", self.where.preset]
        yield self._trained([*train, "--proposals", masks, *self.running.weights], self._model, "maskcontrast")

    # Videos

    def video(self) -> Iterator[Step]:
        """The labels of the first frames, followed through videos."""
        made, labels = self._file(seeded=False), self.where.labels
        model = [] if self.paper.model is None else [str(self.paper.model)]
        follow = ["propagate", *model, *self._scored_images, "--first", str(labels)]
        yield self._step([*follow, *(self._device if model else [])], made, "network")
        yield self._evaluated(made)

    # Steps

    def _trained(self, command: Sequence[str], model: str, method: str) -> Step:
        seed = ["--seed", str(self.seed)] if self.seed else []
        return self._step([*command, *seed, *self.running.length, *self._device], model, f"train {method}")

    def _evaluated(self, made: str) -> Step:
        metrics = Path(made).with_name(f"{Path(made).stem}-{MATCHED}.h5")
        command = ["evaluate", made, *self.where.scoring, *self._truth(self.where.labels)]
        return self._with_scores(self._step(command, metrics, "evaluate"))

    def _with_scores(self, step: Step) -> Step:
        return replace(step, method=self.method, seed=self.seed, measure=MATCHED)

    def _truth(self, labels: Path | None) -> list[str]:
        given = {"--labels": labels, "--legend": self.where.legend}
        return [part for option, path in given.items() if path is not None for part in (option, str(path))]

    @property
    def _device(self) -> tuple[str, ...]:
        return self.running.device

    @property
    def _learned_images(self) -> list[str]:
        return [*map(str, self.where.learned), *self.where.reading, "--skip-bad"]

    @property
    def _scored_images(self) -> list[str]:
        return [*map(str, self.where.scored), *self.where.reading, "--skip-bad"]

    @property
    def _model(self) -> str:
        return self._file("model")

    def _file(self, what: str = "", seeded: bool = True) -> str:
        parts = [self.method, *([f"seed{self.seed}"] if seeded else []), *([what] if what else [])]
        return str(self.where.folder / f"{'-'.join(parts)}.h5")

    def _step(self, command: Sequence[str], output: str | Path, cost: str) -> Step:
        return self.running.step(command, output, cost)
