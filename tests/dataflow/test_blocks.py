"""Large images of an artifact are worked on in blocks of windows, with the same results as whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, superpixels
from PIL import Image
from reading_back import fingerprint

from unsegcli import store
from unsegcli.core.geometry import Box
from unsegcli.dataflow import dataset as datasets
from unsegcli.dataflow import runner
from unsegcli.dataflow.dataset import Dataset, Window, blocks_of, dataset_from_artifact, images_of, source_pixels
from unsegcli.errors import DataError
from unsegcli.params import Cluster, Images, Superpixels
from unsegcli.segmenters import baselines
from unsegcli.segmenters.behind import find_behind

HEIGHT, WIDTH = 60, 84
CUT = Superpixels(pixels_per_segment=30)
THREE = Cluster(classes=3)


@pytest.fixture(scope="module")
def sp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image of one window, and one of 3 x 4 windows with a stripe of void."""
    tmp_path = tmp_path_factory.mktemp("blocks")
    random = np.random.default_rng(0)
    pixels = (np.mgrid[:HEIGHT, :WIDTH].sum(0)[..., None] // 20 * 40 + random.integers(0, 20, (HEIGHT, WIDTH, 3))) % 255
    pixels[20:23] = 255
    (tmp_path / "data").mkdir()
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "data" / "large.png")
    Image.fromarray(pixels[:20, :24].astype(np.uint8)).save(tmp_path / "data" / "a.png")
    reading = Images(patch=24, stride=20, nodata=255)
    return superpixels([tmp_path / "data"], tmp_path / "sp.h5", CUT, reading, workers=1).path


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    datasets.release_artifacts()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows in a block."""
    monkeypatch.setattr(datasets, "PIXELS_OF_A_BLOCK", 3 * 24 * 44)


def test_blocks_are_parts_of_a_row_in_order() -> None:
    found = [Box(0, 0, 10, 10), Box(0, 8, 10, 10), Box(0, 16, 10, 10), Box(8, 0, 10, 10)]
    blocks = blocks_of(found, channels=datasets.PIXELS_OF_A_BLOCK // 180)
    assert [found[some] for some, _ in blocks] == [found[:2], found[2:3], found[3:]]
    assert [(block.number, block.share) for _, block in blocks] == [(0, 0.5), (1, 0.25), (2, 0.25)]


@pytest.mark.usefixtures("small_blocks")
def test_an_image_in_blocks_counts_once(sp: Path) -> None:
    dataset = dataset_from_artifact(sp)
    assert [unit.window_count for unit in dataset.units] == [1, *[2, 2] * 3]
    assert [source.name for source in dataset.sources] == ["a.png", "large.png"]
    assert images_of(dataset.units) == 2
    assert sum(map(source_pixels, dataset.units)) == HEIGHT * WIDTH + 20 * 24
    alone = dataset.in_windows().units
    boxes = [box for unit in dataset.units[1:] for box in (unit.block.boxes if unit.block else ())]
    assert [unit.windows()[0].box for unit in alone[1:]] == boxes
    assert sum(map(source_pixels, alone)) == HEIGHT * WIDTH + 20 * 24


def test_the_result_is_that_of_the_whole(sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cluster([sp], tmp_path / "whole.h5", THREE, workers=1).path
    monkeypatch.setattr(datasets, "PIXELS_OF_A_BLOCK", 3 * 24 * 44)
    parts = cluster([sp], tmp_path / "parts.h5", THREE, workers=1).path
    assert fingerprint(whole) == fingerprint(parts)
    behind = find_behind(parts, (), "").dataset()
    assert sum(unit.window_count for unit in behind.units) == 13


@pytest.mark.usefixtures("small_blocks")
def test_finished_blocks_are_kept(
    sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    work, calls = baselines.assign_window, []

    def stopping(window: Window, **more: Any) -> Any:
        calls.append(window.box)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return work(window, **more)

    monkeypatch.setattr(baselines, "assign_window", stopping)
    with pytest.raises(KeyboardInterrupt):
        cluster([sp], tmp_path / "seg.h5", THREE, workers=1)
    found = cluster([sp], tmp_path / "seg.h5", THREE, workers=1).path
    assert "resuming after 3 blocks finished" in said.text
    assert len(calls) == 6 + 13 - 5
    assert fingerprint(found) == fingerprint(cluster([sp], tmp_path / "again.h5", THREE, workers=1).path)
    (tmp_path / "seg.h5").unlink()
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        cluster([sp], tmp_path / "seg.h5", THREE, workers=1)
    monkeypatch.setattr(datasets, "PIXELS_OF_A_BLOCK", 10**9)
    with pytest.raises(DataError, match=r"seg\.h5\.partial: was begun by another version"):
        cluster([sp], tmp_path / "seg.h5", THREE, workers=1)


@pytest.mark.usefixtures("small_blocks")
def test_a_part_that_cannot_be_read_stops_the_run(sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = store.Artifact.read

    def broken(artifact: store.Artifact, name: str, index: int) -> Any:
        if index == 7:
            raise DataError("damaged")
        return read(artifact, name, index)

    monkeypatch.setattr(store.Artifact, "read", broken)
    with pytest.raises(DataError, match="cannot be read at row 20 and column 40 of the working image: damaged"):
        cluster([sp], tmp_path / "seg.h5", THREE, workers=1)
    bad: list[tuple[str, str]] = []
    with pytest.raises(DataError, match="row 20 and column 40"):
        list(runner.gather(dataset_from_artifact(sp), lambda window: window.box, "reading", 1, bad))
    assert bad == []


@pytest.mark.usefixtures("small_blocks")
def test_large_images_are_sampled_by_windows(
    sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    def boxes_of(dataset: Dataset) -> list[tuple[str, Box]]:
        return [(window.name, window.box) for unit in dataset.units for window in unit.windows()]

    dataset = dataset_from_artifact(sp)
    some, others = dataset.sample(2000, 9, 0), dataset.sample(2000, 9, 1)
    assert dataset.sample(10**6, 9, 0) is dataset
    assert len(boxes_of(some)) == round(13 * 2000 / (HEIGHT * WIDTH + 20 * 24)) == 5
    assert set(boxes_of(some)) < set(boxes_of(dataset))
    assert boxes_of(some) != boxes_of(others)
    monkeypatch.setattr(datasets, "PIXELS_OF_A_BLOCK", 3 * 24 * 24)
    assert boxes_of(dataset_from_artifact(sp).sample(2000, 9, 0)) == boxes_of(some), "blocks do not matter"
    monkeypatch.setattr(baselines, "PIXELS_SAMPLED", 2000)
    cluster([sp], tmp_path / "seg.h5", THREE, workers=1)
    assert "k-means is fitted on 5 of 13 windows" in said.text


@pytest.mark.usefixtures("small_blocks")
def test_windows_are_counted_that_are_fitted_on(
    sp: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    """A unit without a block may have several."""
    dataset = dataset_from_artifact(sp)
    first, second, *others = dataset.units
    together = replace(dataset, units=(first, replace(second, block=None), *others))
    monkeypatch.setattr(baselines, "PIXELS_SAMPLED", sum(map(source_pixels, together.units)) - 1)
    baselines.fitted_on(together, 0)
    assert "k-means is fitted on 13 of 13 windows" in said.text


@pytest.mark.usefixtures("small_blocks")
def test_a_dry_run_reads_a_few_windows(sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    read = store.Artifact.read

    def counting(artifact: store.Artifact, name: str, index: int) -> Any:
        taken.append(index)
        return read(artifact, name, index)

    monkeypatch.setattr(store.Artifact, "read", counting)
    cluster([sp], tmp_path / "seg.h5", THREE, workers=1, dry_run=True)
    assert len(set(taken)) <= 6
    assert not (tmp_path / "seg.h5").exists()
