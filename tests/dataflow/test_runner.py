"""How much is sent to a worker process at once."""

from __future__ import annotations

import pytest

from unsegcli.dataflow.dataset import ImageUnit
from unsegcli.dataflow.runner import MOST_AT_ONCE, batch_of
from unsegcli.images.working import Reading, Source

READING = Reading("auto", (), "none", 3, "bytes", None, (1, 99), "folder", (), 1.0, 1 << 40)


def units_of(*sides: int) -> list[ImageUnit]:
    """Square images that are not there."""
    sources = [Source("a", "/a", 0, "", 0, 0, side, side, 1, ((0.0, 255.0),) * 3) for side in sides]
    return [ImageUnit(source, READING, 0, 0) for source in sources]


@pytest.mark.parametrize(
    ("sides", "batch"),
    [((32, 32, 32), 15), ((8,), MOST_AT_ONCE), ((1000, 1000), 1), ((8, 8, 8, 1000), 1), ((90, 90), 1), ((89,), 2)],
)
def test_small_images_are_sent_many_at_once_and_large_ones_alone(sides: tuple[int, ...], batch: int) -> None:
    assert batch_of(units_of(*sides)) == batch


def test_no_image_is_no_batch_of_nothing() -> None:
    assert batch_of([]) == MOST_AT_ONCE
