"""Every command, with files that are hostile and correctly stamped: it works, or ends with one line; it never hangs."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import four_quadrants
from hostile_files import Content, content_of, hostile, with_value
from PIL import Image
from reading_back import fingerprint as fingerprint_in
from tiny_model import write_method, write_model
from toy import tiny_sets, write_features
from typed import unseg
from typer.testing import CliRunner

from unsegcli.cli import app

ONE = ("--workers", "1")
CPU = ("--device", "cpu", *ONE)
CONTEXT = ("--method", "context", "--classes", "3", "--steps", "1", *CPU)
CONTEXT += tuple(word for pair in tiny_sets("context") for word in ("--set", pair))
MASKS = ("--method", "maskcontrast", "--steps", "1", *CPU)
MASKS += tuple(word for pair in tiny_sets("maskcontrast") for word in ("--set", pair))
ENDINGS = {"visualize": ".h5", "export": ".h5"}  # of the usual output: these write folders
SEEDS = 8  # hostile files of each kind in the slow test
SECONDS = 60  # that a command may take; each takes about a tenth of one

COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "superpixels": [
        ("inspect", "FILE"),
        ("inspect", "FILE", "--verify", "--json"),
        ("superpixels", "FILE", *ONE),
        ("superpixels", "data", "--like", "FILE", *ONE),
        ("features", "FILE", "--backbone", "context.h5", *CPU),
        ("cluster", "FILE", "--classes", "2", *ONE),
        ("cluster", "model.h5", "FILE", "--method", "mine.py", *CPU),
        ("iem", "FILE", "--iterations", "2", *ONE),
        ("proposals", "FILE", *ONE),
        ("evaluate", "FILE", "--labels", "labels", *ONE),
        ("compare", "FILE", "superpixels.h5", "--labels", "labels", *ONE),
        ("probe", "FILE", "--labels", "labels", *ONE),
        ("visualize", "FILE", "--labels", "labels", *ONE),
        ("export", "FILE", *ONE),
        ("train", "FILE", "--method", "mine.py", "--steps", "1", "--set", "crop=16", *CPU),
    ],
    "shard": [
        ("inspect", "FILE", "--verify"),
        ("join", "FILE", "other-shard.h5"),
        ("join", "other-shard.h5", "FILE"),
        ("superpixels", "data", "--pixels-per-segment", "50", "--shard", "1/2", "-o", "FILE", *ONE),
    ],
    "features": [
        ("inspect", "FILE", "--verify"),
        ("cluster", "FILE", "--classes", "2", *ONE),
        ("probe", "FILE", "--labels", "labels", *ONE),
        ("train", "FILE", *CONTEXT),
    ],
    "context": [
        ("inspect", "FILE", "--verify"),
        ("cluster", "FILE", "data", *CPU),
        ("cluster", "FILE", "superpixels.h5", "--classes", "2", *CPU),
        ("probe", "FILE", "superpixels.h5", "--labels", "labels", *CPU),
        ("features", "superpixels.h5", "--backbone", "FILE", *CPU),
    ],
    "model": [
        ("inspect", "FILE", "--verify"),
        ("cluster", "FILE", "data", "--method", "mine.py", *CPU),
        ("cluster", "FILE", "superpixels.h5", "--method", "mine.py", *CPU),
        ("export", "FILE", "--method", "mine.py", "-o", "out.safetensors"),
    ],
    "segmentation": [
        ("inspect", "FILE"),
        ("inspect", "FILE", "--verify"),
        ("evaluate", "FILE", "--labels", "labels", *ONE),
        ("compare", "FILE", "segmentation.h5", "--labels", "labels", *ONE),
        ("visualize", "FILE", "--labels", "labels", *ONE),
        ("visualize", "FILE", "superpixels.h5", *ONE),
        ("export", "FILE", *ONE),
        ("relabel", "FILE", "0=sea", "1+2=land"),
        ("relabel", "segmentation.h5", "--like", "FILE"),
        ("cluster", "data", "--centres", "FILE", *ONE),
    ],
    "mask": [
        ("inspect", "FILE", "--verify"),
        ("evaluate", "FILE", "--labels", "labels", *ONE),
        ("visualize", "FILE", *ONE),
        ("train", "superpixels.h5", *MASKS, "--proposals", "FILE"),
        ("retrieve", "context.h5", "superpixels.h5", "--proposals", "FILE", "--labels", "labels", *CPU),
    ],
    "metrics": [
        ("inspect", "FILE", "--verify"),
        ("visualize", "segmentation.h5", "--metrics", "FILE", *ONE),
        ("export", "segmentation.h5", "--metrics", "FILE", *ONE),
        ("relabel", "segmentation.h5", "--metrics", "FILE"),
        ("evaluate", "segmentation.h5", "--labels", "labels", "-o", "FILE", "--table", "text", *ONE),
    ],
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound file of each kind."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("data", "labels"):
        (folder / name).mkdir()
    truth = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 12, axis=0), 16, axis=1)
    for number in range(2):
        Image.fromarray(four_quadrants(24, 32, number)).save(folder / "data" / f"p{number}.png")
        Image.fromarray(truth).save(folder / "labels" / f"p{number}.png")
    write_method(folder / "mine.py")
    with contextlib.chdir(folder):
        unseg("superpixels", "data", "--pixels-per-segment", "50", "-o", "superpixels.h5", *ONE)
        for name, number in (("shard", 1), ("other-shard", 2)):
            shard = ("--shard", f"{number}/2", "-o", f"{name}.h5")
            unseg("superpixels", "data", "--pixels-per-segment", "50", *shard, *ONE)
        unseg("cluster", "superpixels.h5", "--classes", "4", "-o", "segmentation.h5", *ONE)
        unseg("evaluate", "segmentation.h5", "--labels", "labels", "--hungarian", "-o", "metrics.h5", *ONE)
    write_features(folder / "features.h5", folder / "superpixels.h5")
    write_model(folder / "model.h5", folder / "mine.py")
    return folder


@pytest.fixture(scope="module")
def trained(sound: Path) -> Path:
    """The same with the files that take a training or some compiled code."""
    with contextlib.chdir(sound):
        unseg("train", "superpixels.h5", "-o", "context.h5", *CONTEXT)
        unseg("iem", "data", "--iterations", "2", "-o", "mask.h5", *ONE)
    return sound


class Late(BaseException):
    """A command takes too long; nothing may catch this by mistake."""


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail if this takes longer."""

    def late(*_: object) -> None:
        raise Late(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def wrong_with(folder: Path, words: Sequence[str]) -> str:
    """Type a command; return what is wrong with how it ended, nothing if it is as it should be."""
    typed = ["hostile.h5" if word == "FILE" else word for word in words]
    if "-o" not in typed and typed[0] != "inspect":
        typed += ["-o", str(Path(tempfile.mkdtemp(dir=folder)) / "out.h5").removesuffix(ENDINGS.get(typed[0], ""))]
    try:
        with contextlib.chdir(folder), at_most(SECONDS):
            result = CliRunner().invoke(app, typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
    except (Exception, Late) as error:  # noqa: BLE001 - any of them is what this looks for
        return f"{' '.join(typed)}: {type(error).__name__}: {error}"
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    good = result.exit_code == 0 or (result.exit_code in (1, 2) and len(lines) == 1)
    return "" if good else f"{' '.join(typed)}: exit {result.exit_code}: {result.stderr}"


def with_json(part: str, name: str, *place: Any, value: Any) -> Callable[[Content], None]:
    """Replace one value of a JSON text."""

    def change(content: Content) -> None:
        holder = getattr(content, part) if part else vars(content)
        holder[name] = with_value(holder[name], place, value)

    return change


def without_windows_of_the_last(content: Content) -> None:
    content.windows = content.windows[:1]
    content.tables |= {name: values[:1] for name, values in content.tables.items() if name.startswith("windows/")}


def claiming_more_clusters(content: Content) -> None:
    content.attributes["clusters"] = 65535


def mask_of_nothing(content: Content) -> None:
    content.attributes |= {"role": "mask", "clusters": 0}


def relabelled_from_itself(content: Content) -> None:
    """The fingerprint is that of the file as it will be: that is no part of it."""
    content.recipe["stage"] = "relabel"
    content.inputs = {}
    fingerprint = fingerprint_in(content.write(Path(tempfile.mkdtemp()) / "x.h5"))
    content.inputs = {"segmentation": {"path": "hostile.h5", "fingerprint": fingerprint}}


READ = ("inspect", "FILE")
LIKE = ("superpixels", "data", "--like", "FILE", *ONE)
MODELLED = ("cluster", "FILE", "data", "--method", "mine.py", *CPU)
SPLIT = ("relabel", "FILE", "--split", "0")
EVALUATED = ("evaluate", "FILE", "--labels", "labels", *ONE)
PRINTED = ("evaluate", "segmentation.h5", "--labels", "labels", "--hungarian", "-o", "FILE", "--table", "text", *ONE)
SHOWN = ("visualize", "segmentation.h5", "--metrics", "FILE", *ONE)
NAMED = ("relabel", "segmentation.h5", "--metrics", "FILE")
CASES: dict[str, tuple[str, Callable[[Content], None], tuple[str, ...]]] = {
    "an interval that is text": ("metrics", with_json("tables", "scores", "interval", "miou", value=""), PRINTED),
    "scores without a protocol": ("metrics", with_json("tables", "scores", "protocol", value=None), PRINTED),
    "a class that is not there": ("metrics", with_json("tables", "scores", "assignment", 0, value=10**15), SHOWN),
    "an assignment of texts": ("metrics", with_json("tables", "scores", "assignment", value=["x"]), NAMED),
    "names that are numbers": ("metrics", with_json("tables", "scores", "legend_classes", value=[1, 2]), SHOWN),
    "a list in the place of settings": ("superpixels", with_json("", "recipe", "parameters", value=[]), LIKE),
    "a number of segments that is text": (
        "superpixels", with_json("", "recipe", "parameters", "segments", value="x"), LIKE,
    ),
    "windows of text": ("superpixels", with_json("", "recipe", "parameters", "patch", value="x"), LIKE),
    "a size that is text": ("superpixels", with_json("attributes", "reading", "size", value=["x"]), LIKE),
    "a scale below 0": ("superpixels", with_json("attributes", "reading", "scale", value=-1), LIKE),
    "a source without windows": ("segmentation", without_windows_of_the_last, EVALUATED),
    "more clusters than the maps can hold": ("segmentation", claiming_more_clusters, READ),
    "a mask of nothing": ("segmentation", mask_of_nothing, READ),
    "a recipe that is no recipe": ("segmentation", with_json("", "recipe", value={"stage": 1}), READ),
    "a model without channels": ("model", with_json("attributes", "reading", "channels", value=None), MODELLED),
    "a segmentation that was relabelled from itself": ("segmentation", relabelled_from_itself, SPLIT),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_a_hostile_value_is_refused_in_one_line(what: str, sound: Path) -> None:
    kind, change, words = CASES[what]
    content = content_of(sound / f"{kind}.h5")
    change(content)
    content.write(sound / "hostile.h5")
    assert wrong_with(sound, words) == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", COMMANDS)
def test_every_command_works_or_ends_with_one_line(kind: str, seed: int, trained: Path) -> None:
    what, content = hostile(content_of(trained / f"{kind}.h5"), seed)
    found = []
    for words in COMMANDS[kind]:
        content.write(trained / "hostile.h5")  # anew, since it is the output of some
        found += [wrong] if (wrong := wrong_with(trained, words)) else []
    assert found == [], what
