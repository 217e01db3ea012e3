"""`unseg iem --refine`: masks by IEM, a network that learns from them, and that network's masks.

Each of the three is run as a command that a user could type.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unsegcli import console, store
from unsegcli.dataflow.commands import run_command
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.runner import Outcome
from unsegcli.errors import ConfigError
from unsegcli.params import Iem, Pictures, Refine

MASKS, MODEL = "masks.h5", "model.h5"
DRAWING = ("--per", "pixel", "--flips", "--refine")  # the network is right about objects, and coarse about outlines


@dataclass(frozen=True)
class Typed:
    """Options as a user types them, by the commands that take them."""

    iem: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()  # on how pictures are read: of iem and train, and the model keeps them
    cluster: tuple[str, ...] = ()
    every: tuple[str, ...] = ()  # of all three


def refine(
    inputs: Sequence[str],
    output: str | Path = "segmentation.h5",
    params: Refine | None = None,
    parting: Iem | None = None,
    pictures: Pictures | None = None,
    *,
    typed: Typed | None = None,
    device: str = "auto",
    dry_run: bool = False,
) -> Outcome:
    """Write the masks of a network that has learned from those of IEM.

    Args:
        inputs: folders, files, globs or lists of pictures; or an artifact of superpixels, for its pixels.
        output: the segmentation to write; what lies between goes into a folder beside it.
        params: length and seed of the training.
        parting: settings of IEM, for the size of its pictures.
        pictures: how pictures are read, for whether they are cut into patches.
        typed: all of that and more, as options.
        device: where the network runs.
        dry_run: only say what would be done.
    """
    params, parting, pictures = params or Refine(), parting or Iem(), pictures or Pictures()
    _check(params, parting)
    output = Path(output)
    commands = _commands(list(inputs), output, params, _size(inputs, parting, pictures), typed or Typed(), device)
    if dry_run:
        _say(commands, output)
        return Outcome(output)
    _between(output).mkdir(parents=True, exist_ok=True)
    console.note(f"the masks of IEM, and the network that learns from them, go into {_between(output)}")
    for command in commands:
        run_command([*command, "--skip-bad"])  # the last one's are told below
    return _outcome(output)


def _commands(
    inputs: list[str], output: Path, params: Refine, size: list[str], typed: Typed, device: str
) -> list[list[str]]:
    masks, model = (str(_between(output) / name) for name in (MASKS, MODEL))
    learning = ["--method", "segnet", "--proposals", masks, "--steps", str(params.steps), "--seed", str(params.seed)]
    place = ["--device", device]
    return [
        ["iem", *inputs, "-o", masks, *typed.iem, *typed.reading, *typed.every],
        ["train", *inputs, "-o", model, *learning, *place, *size, *typed.reading, *typed.every],
        ["cluster", model, *inputs, "-o", str(output), *DRAWING, *place, *typed.cluster, *typed.every],
    ]


def _say(commands: Sequence[Sequence[str]], output: Path) -> None:
    """What each command says it would do; of one whose input is yet to be made, only how it is called."""
    needed = [None, _between(output) / MASKS, _between(output) / MODEL]
    for command, file in zip(commands, needed, strict=True):
        if file is None or file.exists():
            run_command([*command, "--skip-bad", "--dry-run"])
        else:
            console.note(f"would then run: {shlex.join(['unseg', *command])}")


def _between(output: Path) -> Path:
    """The folder of what is made on the way: not beside the output itself, where later commands look for input."""
    return output.with_name(f"{output.stem}-refine")


def _size(inputs: Sequence[str], parting: Iem, pictures: Pictures) -> list[str]:
    """The network works on pictures as large as those of IEM: its masks are as fine as those that it learns from."""
    if not parting.size or pictures.patch or is_artifact(inputs[0]):
        return []
    return ["--size", "x".join(map(str, parting.size))]


def _outcome(output: Path) -> Outcome:
    with store.open_artifact(output, "segmentation") as artifact:
        read_here = "pictures" in artifact.recipe["inputs"]
        return Outcome(output, len(artifact.table("skipped/name")) if read_here else 0)


def _check(params: Refine, parting: Iem) -> None:
    if params.steps < 1 or params.seed < 0:
        raise ConfigError("--steps must be at least 1, and --seed not below 0")
    if parting.parts > 2:
        raise ConfigError(f"--parts {parting.parts}: --refine is for objects against background; leave one of them out")
    if parting.crop:
        raise ConfigError("--crop leaves parts of the pictures void, and --refine is for whole ones; leave one out")
