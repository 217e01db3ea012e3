"""Every command, with files that are hostile and correctly stamped: it works, or ends with one line; it never hangs."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import four_quadrants
from PIL import Image
from tiny_model import write_method, write_model
from toy import tiny_sets, write_features
from typed import unseg

ONE = ("--workers", "1")
CPU = ("--device", "cpu", *ONE)
CONTEXT = ("--method", "context", "--classes", "3", "--steps", "1", *CPU)
CONTEXT += tuple(word for pair in tiny_sets("context") for word in ("--set", pair))
MASKS = ("--method", "maskcontrast", "--steps", "1", *CPU)
MASKS += tuple(word for pair in tiny_sets("maskcontrast") for word in ("--set", pair))
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
    for number in range(2):
        Image.fromarray(four_quadrants(24, 32, number)).save(folder / "data" / f"p{number}.png")
        truth = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 12, axis=0), 16, axis=1)
        Image.fromarray(truth).save(folder / "labels" / f"p{number}.png")
    write_method(folder / "mine.py")
    with contextlib.chdir(folder):
        unseg("superpixels", "data", "--pixels-per-segment", "50", "-o", "superpixels.h5", *ONE)
        unseg("cluster", "superpixels.h5", "--classes", "4", "-o", "segmentation.h5", *ONE)
        unseg("evaluate", "segmentation.h5", "--labels", "labels", "--hungarian", "-o", "metrics.h5", *ONE)
        unseg("train", "superpixels.h5", "-o", "context.h5", *CONTEXT)
        unseg("iem", "data", "--iterations", "2", "-o", "mask.h5", *ONE)
        write_features(folder / "features.h5", folder / "superpixels.h5")
        write_model(folder / "model.h5", folder / "mine.py")
    return folder


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail if this takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(folder: Path, words: tuple[str, ...], number: int) -> str:
    """Type a command; return what is wrong with how it ended, nothing if it is as it should be."""
    names = {"FILE": "hostile.h5", "MODEL": "model.h5"}
    typed = [names.get(word, word) for word in words]
    if "-o" not in typed and typed[0] != "inspect":
        typed += ["-o", f"out{number}" if typed[0] in ("visualize", "export") else f"out{number}.h5"]
    try:
        with contextlib.chdir(folder), at_most(SECONDS):
            code, said = typed_in_process(typed)
    except Exception as error:  # noqa: BLE001 - any of them is what this looks for
        return f"{type(error).__name__}: {error}"
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    return "" if code == 0 or (code in (1, 2) and len(lines) == 1) else f"exit {code}: {said}"


def typed_in_process(typed: list[str]) -> tuple[int, str]:
    from typer.testing import CliRunner

    from unsegcli.cli import app

    result = CliRunner().invoke(app, typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr
