"""A method file that breaks its promise is refused in one line, before an image is read; a good one passes unseen."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import tiny, users_method

from unsegcli.errors import ConfigError, DataError
from unsegcli.methods._load import config_from, find_method, method_names
from unsegcli.params import Train
from unsegcli.training.contract_check import check_method
from unsegcli.training.job import TrainingJob

pytestmark = pytest.mark.usefixtures("one_thread")

TOTAL = 'terms = {"loss": total, "sure": conditional}'
SCORES = "    return network(batch.images).softmax(1)\n"


def order_of(method: Any, config: Any = None, **params: Any) -> TrainingJob:
    return TrainingJob(method, config or config_from(method, {}), Train(**params), torch.device("cpu"), 3.0)


def changed(folder: Path, old: str, new: str, more: str = "") -> TrainingJob:
    """An job for the user's method with a mistake in it."""
    path = users_method(folder, more=more)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return order_of(find_method(str(path)))


def error_of(job: TrainingJob, channels: int = 3) -> str:
    with pytest.raises((ConfigError, DataError)) as caught:
        check_method(job, channels)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("--method mine.py: ")
    return text.removeprefix("--method mine.py: ")


@pytest.mark.parametrize("name", method_names())
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_methods_of_the_program_pass(name: str, channels: int) -> None:
    loaded = find_method(name)
    check_method(order_of(loaded, tiny(loaded)), channels)


def test_a_good_method_changes_nothing(tmp_path: Path) -> None:
    more = """
import numpy, random

def after_step(network, batch, config):
    random.random(), numpy.random.random(), torch.rand(1)
"""
    job = order_of(find_method(str(users_method(tmp_path, more=more))))
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index, union-attr, call-overload]
    check_method(job, 4)
    assert states[0] == random.getstate()
    assert states[1] == np.random.get_state()[1].tolist()  # type: ignore[index, union-attr, call-overload]
    assert torch.equal(states[2], torch.get_rng_state())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (TOTAL, 'terms = {"a": total}', 'must return a mapping with the key "loss", but returned keys a'),
        (TOTAL, "return {}", 'must return a mapping with the key "loss", but returned no keys'),
        (TOTAL, "return total", 'must return a mapping with the key "loss", but returned a tensor of shape ()'),
        (TOTAL, "return None", 'must return a mapping with the key "loss", but returned NoneType'),
        (
            TOTAL, 'return {"loss": scores.sum(1)}',
            'loss must return a scalar tensor as "loss", but returned a tensor of shape (4096,)',
        ),
        (TOTAL, 'return {"loss": 1.5}', 'a scalar tensor as "loss", but returned 1.5, of type float'),
        (TOTAL, 'return {"loss": total, "sure": 2}', 'a scalar tensor as "sure", but returned 2, of type int'),
        (TOTAL, 'return {"loss": total.detach()}', '"loss" has no gradient'),
        (
            TOTAL, 'return {"loss": torch.ones((), requires_grad=True)}',
            'the gradient of "loss" reaches no weight of the network',
        ),
        (
            SCORES, SCORES.replace("(1)\n", "(1)[:, :, ::2, ::2]\n"),
            "(batch, classes, height, width) = (4, 3, 32, 32), but returned a tensor of shape (4, 3, 16, 16)",
        ),
        (
            SCORES, "    return torch.cat([network(batch.images)] * 3, 1).softmax(1)\n",
            "(batch, classes, height, width) = (4, 3, 32, 32), but returned a tensor of shape (4, 9, 32, 32)",
        ),
        (SCORES, SCORES.replace("(1)\n", "(1) * 2\n"), "must sum to 1 over the classes, but sum to 2 to 2"),
        (SCORES, SCORES.replace("(1)\n", "(1) / 0\n"), "cluster_scores returned values that are NaN or infinite"),
        ("return nn.Conv2d(channels, config.classes, 1)", "return 7", "must return a torch module, but returned 7"),
        (
            "return nn.Conv2d(channels, config.classes, 1)",
            "return nn.Conv2d(channels, config.classes, 1).requires_grad_(False)", "no trainable weights",
        ),
    ],
)  # fmt: skip
def test_a_broken_promise_is_named(old: str, new: str, words: str, tmp_path: Path) -> None:
    text = error_of(changed(tmp_path, old, new))
    assert words in text


def test_what_cannot_be_stored_is_named(tmp_path: Path) -> None:
    job = changed(
        tmp_path, "return nn.Conv2d(channels, config.classes, 1)",
        'network = nn.Conv2d(channels, config.classes, 1)\n    network.register_buffer("wave", torch.zeros(1, '
        "dtype=torch.float8_e4m3fn))\n    return network",
    )  # fmt: skip
    assert "the network's wave is of type torch.float8_e4m3fn, which cannot be stored" in error_of(job)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    scores =", '    raise ValueError("two\\n    lines")\n    scores =', "in loss: ValueError: two"),
        ("    total =", "    total = undefined\n    total =", "in loss: NameError: name 'undefined' is not defined"),
        ("def loss(network, batch, config):", "def loss(network, batch):", "in loss: TypeError: loss() takes 2"),
        (SCORES, "    return helper(batch)\n\n\ndef helper(batch):\n    return batch.colour\n", "in helper: Attribute"),
    ],
)
def test_an_exception_keeps_its_words_and_its_line(
    old: str, new: str, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="unseg"):
        text = error_of(changed(tmp_path, old, new))
    assert words in text
    assert "Traceback (most recent call last)" in caplog.text
    lines = (tmp_path / "mine.py").read_text().splitlines()
    if text.startswith("line "):
        number = int(text.split()[1].rstrip(","))
        assert lines[number - 1].strip() in {"raise ValueError(\"two\\n    lines\")", "total = undefined",
                                             "return batch.colour"}  # fmt: skip
    else:
        assert "takes 2" in words, "no line of the file is at fault where Python cannot call the function"


@pytest.mark.parametrize("name", ["prepare", "after_step", "image_features", "region_vectors"])
def test_what_a_method_may_have_is_tried_too(name: str, tmp_path: Path) -> None:
    more = f"\ndef {name}(*given):\n    raise KeyError('gone')\n"
    job = order_of(find_method(str(users_method(tmp_path, more=more))))
    last = len((tmp_path / "mine.py").read_text().splitlines())
    assert error_of(job) == f"line {last}, in {name}: KeyError: 'gone'"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            "torch.zeros(64, 2)[:-1]",
            "dimensions), 64 superpixels, but returned a tensor of shape (63, 2)",
        ),
        ("torch.zeros(64, 2) / 0", "region_vectors returned values that are NaN or infinite"),
        ("None", "but returned NoneType"),
    ],
)
def test_vectors_must_fit(result: str, words: str, tmp_path: Path) -> None:
    more = "\ndef region_vectors(network, batch, config):\n    assert batch.superpixel_count == 64\n    return %s\n"
    check_method(order_of(find_method(str(users_method(tmp_path / "a", more=more % "torch.zeros(64, 2)")))), 3)
    wrong = order_of(find_method(str(users_method(tmp_path / "b", more=more % result))))
    assert words in error_of(wrong)


def test_embeddings_must_fit(tmp_path: Path) -> None:
    more = """
from unsegcli.methods._contract import Embedded

def embeddings(network, batch, config):
    found = network(batch.images)
    return Embedded(found, found%s)
"""
    check_method(order_of(find_method(str(users_method(tmp_path / "a", more=more % "[:, 0]")))), 3)
    wrong = order_of(find_method(str(users_method(tmp_path / "b", more=more % ""))))
    assert (
        "must return objectness of shape (batch, height, width), 4 of (32, 32), but returned a tensor of shape (4, 3"
        in error_of(wrong)
    )


def test_a_method_for_large_crops_alone_gets_them(tmp_path: Path) -> None:
    large = "    assert batch.images.shape[2] >= 96, 'too small'\n    scores ="
    job = changed(tmp_path, "    scores =", large, more="\nMULTIPLE = 8\n")
    assert "AssertionError: too small" in error_of(job)
    check_method(order_of(job.method, config_from(job.method, {"crop": 100})), 3)


def test_superpixels_and_masks_are_there_where_they_are_needed(tmp_path: Path) -> None:
    more = "\ndef needs(config): return ('superpixels', 'proposals')\n"
    check = (
        "    assert batch.superpixels.unique().tolist() == list(range(batch.superpixel_count))\n"
        "    assert batch.proposals.any() and not batch.proposals.all() and len(batch.confidence) == 4\n    scores ="
    )
    check_method(changed(tmp_path, "    scores =", check, more), 3)
    assert "AttributeError" in error_of(changed(tmp_path / "without", "    scores =", check))
