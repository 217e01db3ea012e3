"""What many tests need: small images in a folder, a clean logger, and a standard input that is no pipe."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

MakeImages = Callable[..., Path]

hypothesis.settings.register_profile("unseg", deadline=None)  # machines are busy, and the first call may compile
hypothesis.settings.load_profile("unseg")


def four_quadrants(height: int = 48, width: int = 64, noise_seed: int = 0) -> NDArray[np.uint8]:
    """An image (height, width, 3) of four plain colours with a little noise: the right regions are obvious."""
    colours = np.array([[[220, 30, 30], [30, 200, 40]], [[40, 60, 210], [230, 220, 40]]])
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    noise = np.random.default_rng(noise_seed).normal(0, 4, (height, width, 3))
    return np.clip(colours[rows[:, None], columns] + noise, 0, 255).astype(np.uint8)


def rewrite(path: Path, content: bytes) -> None:
    """Give a file other content of the same size, and its old times back."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def make_images(tmp_path: Path) -> MakeImages:
    """Write `count` images into a folder and return it."""

    def make(folder: str = "data", count: int = 3, height: int = 48, width: int = 64, suffix: str = ".png") -> Path:
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(four_quadrants(height, width, number)).save(target / f"p{number}{suffix}")
        return target

    return make


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored, and children inherit that; tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    """Commands set up the logger of the process; give every test its own."""
    logger = logging.getLogger("unseg")
    handlers, level = logger.handlers, logger.level
    logger.handlers, logger.level = [logging.NullHandler()], logging.NOTSET
    yield
    logger.handlers, logger.level = handlers, level


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks are slower on more threads, and round in another order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the package says."""
    with caplog.at_level(logging.INFO, logger="unseg"):
        yield caplog
