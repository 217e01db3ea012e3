"""What a method does once before its first step: it sees every image once, and a training that goes on skips it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from called import train
from PIL import Image
from reading_back import history_of, weights_of
from toy import users_method, write_images

from unsegcli.params import Train

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = replace(Train(), steps=6)
MEAN_COLOUR = """

import os
import signal
from pathlib import Path

Plain = Network
HERE = Path("FOLDER")


def Network(config, channels):
    network = Plain(config, channels)
    network.register_buffer("colour", torch.zeros(channels, dtype=torch.float64))
    network.register_buffer("drawn", torch.zeros(2))
    return network


def prepare(network, batches, config):
    total, crops = torch.zeros_like(network.colour), 0
    for batch in batches:
        total += batch.images.double().mean((2, 3)).sum(0)
        crops += len(batch.images)
    network.colour.copy_(total / crops)
    network.drawn.uniform_()
    network.eval()
    with (HERE / "prepared.txt").open("a") as log:
        log.write(f"{crops}\\n")


plain_loss = loss


def loss(network, batch, config):
    assert network.training
    if batch.step == 3 and (HERE / "stop").exists():
        (HERE / "stop").unlink()
        os.kill(os.getpid(), signal.SIGINT)
    return plain_loss(network, batch, config)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")  # six


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return str(users_method(tmp_path, more=MEAN_COLOUR.replace("FOLDER", str(tmp_path))))


def passes(folder: Path) -> int:
    """How often all six images were looked at."""
    log = folder.parent / "prepared.txt"
    return log.read_text().splitlines().count("6") if log.exists() else 0


def trained(folder: Path, mine: str, name: str, params: Train = SHORT) -> Path:
    return train([folder], folder.parent / name, params, method=mine, sets=["crop=20"], workers=1)[0].path


def test_every_image_is_seen_once_before_the_first_step(folder: Path, mine: str) -> None:
    path = trained(folder, mine, "m.h5")
    pixels = np.stack([np.asarray(Image.open(one)) for one in sorted(folder.iterdir())])
    np.testing.assert_allclose(weights_of(path)["colour"], pixels.mean((0, 1, 2)) / 255, rtol=1e-6)
    assert passes(folder) == 1
    again = trained(folder, mine, "again.h5")
    assert {key: value.tobytes() for key, value in weights_of(again).items()} == {
        key: value.tobytes() for key, value in weights_of(path).items()
    }


def test_a_training_that_goes_on_does_not_call_it_again(folder: Path, mine: str) -> None:
    whole = trained(folder, mine, "whole.h5")
    (folder.parent / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        trained(folder, mine, "m.h5")
    assert passes(folder) == 2
    path = trained(folder, mine, "m.h5")
    assert passes(folder) == 2
    assert {key: value.tobytes() for key, value in weights_of(path).items()} == {
        key: value.tobytes() for key, value in weights_of(whole).items()
    }
    assert history_of(path)["loss"] == history_of(whole)["loss"]


def test_timing_prepares_a_network_that_is_thrown_away(
    folder: Path, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(folder, mine, "whole.h5")
    monkeypatch.setattr("unsegcli.training.setup.TIMED", 3)
    params = replace(Train(), minutes=1e-9)
    timed = trained(folder, mine, "timed.h5", params)
    assert passes(folder) == 3
    assert weights_of(timed)["colour"].tobytes() == weights_of(whole)["colour"].tobytes()
    train([folder], folder.parent / "no.h5", SHORT, method=mine, sets=["crop=20"], workers=1, dry_run=True)
    assert not (folder.parent / "no.h5").exists()
