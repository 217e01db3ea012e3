"""Crops of large images are read from disk during the training, and are those of the same images in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from called import superpixels
from PIL import Image

from unsegcli.dataflow import dataset as datasets
from unsegcli.dataflow.dataset import Dataset, dataset_from_artifact, dataset_from_files
from unsegcli.methods._contract import Batch
from unsegcli.params import Images, Inputs, Superpixels
from unsegcli.training.batches import Batches
from unsegcli.training.data import LargeImage, Pool, Reader, TrainingImage

READING = Images(patch=24, stride=20, nodata=255)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of one window, and one of 3 x 3 windows with void, with their superpixels."""
    made = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 250, (64, 64, 3)).astype(np.uint8)
    pixels[20:40, 10:30] = 255
    (made / "data").mkdir()
    Image.fromarray(pixels[:24, :24]).save(made / "data" / "a.png")
    Image.fromarray(pixels).save(made / "data" / "b.png")
    for name, stored in (("sp.h5", True), ("bare.h5", False)):
        superpixels([made / "data"], made / name, Superpixels(pixels_per_segment=30, pixels=stored), READING, workers=1)
    return made


def pools(monkeypatch: pytest.MonkeyPatch, data: Dataset | Path, reader: Reader) -> tuple[Pool, Pool]:
    """The same images in memory, and left on disk."""

    def opened() -> Dataset:
        return (data if isinstance(data, Dataset) else dataset_from_artifact(data)).opened(1)

    monkeypatch.setattr(datasets, "decodes_in_parts", lambda source, reading: False)
    memory = reader.fill(opened())
    monkeypatch.setattr(datasets, "decodes_in_parts", lambda source, reading: source.name == "b.png")
    monkeypatch.setattr(datasets, "PIXELS_OF_A_BLOCK", 3 * 24 * 44)
    return memory, reader.fill(opened())


def same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return torch.equal(one, other) if one is not None and other is not None else one is other


def check_batches(memory: Pool, disk: Pool, needs: tuple[str, ...]) -> None:
    assert [type(image) for image in disk.images] == [TrainingImage, *[LargeImage] * 9]
    assert len(memory.images) == 10
    assert disk.stored_bytes < memory.stored_bytes
    assert (disk.channels, disk.largest) == (memory.channels, memory.largest)
    for crop in (12, 24):
        one, other = (Batches(pool, 10, crop, 0, 4, needs).at(1) for pool in (memory, disk))
        assert same(one.images, other.images)
        assert same(one.superpixels, other.superpixels)
        assert same(valid(one), valid(other))
        if one.regions is not None:
            assert other.regions is not None
            assert all(same(*pair) for pair in zip(one.regions, other.regions, strict=True))


def valid(batch: Batch) -> torch.Tensor:
    return (
        torch.ones(len(batch.images), *batch.images.shape[2:], dtype=torch.bool) if batch.mask is None else batch.mask
    )


@pytest.mark.parametrize("describe", [False, True])
def test_crops_from_superpixels(folder: Path, monkeypatch: pytest.MonkeyPatch, *, describe: bool) -> None:
    needs = ("superpixels", "regions") if describe else ("superpixels",)
    check_batches(*pools(monkeypatch, folder / "sp.h5", Reader(1, describe=describe)), needs)
    datasets.release_artifacts()


@pytest.mark.parametrize("stored", [False, True])
def test_crops_from_image_files(folder: Path, monkeypatch: pytest.MonkeyPatch, *, stored: bool) -> None:
    """Of an image that decodes in parts only the boxes that are asked for are read, with or without superpixels."""
    read: list[tuple[int, ...]] = []
    whole = datasets.read_working

    def part(source: datasets.Source, reading: datasets.Reading, box: datasets.Box) -> object:
        read.append(box[2:])
        pixels, inside = whole(source, reading)
        return pixels[box.slices], None if inside is None else inside[box.slices]

    monkeypatch.setattr(datasets, "read_box", part)
    found = folder / "bare.h5" if stored else dataset_from_files(Inputs([folder / "data"], READING))
    memory, disk = pools(monkeypatch, found, Reader(1))
    assert read == []
    check_batches(memory, disk, ("superpixels",) if stored else ())
    assert set(read) == {(12, 12), (24, 24)}
    datasets.release_artifacts()
