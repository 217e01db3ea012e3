"""Prepare data sets from tiny trees, and look at what was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.params import Inputs, Prepare, Run
from unsegcli.stages.prepare import prepare


def prepared(output: Path, *sources: Path, name: str, **settings: object) -> Path:
    done = prepare(Inputs(sources), Prepare(name=name, **settings), Run(output=output, workers=1))  # type: ignore[arg-type]
    assert not isinstance(done, dict)
    return done.path


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def names_below(folder: Path) -> list[str]:
    """The names of all files below a folder, without their suffixes."""
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*") if path.is_file())
