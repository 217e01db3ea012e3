"""What `inspect` says of an artifact, and how it follows the chain back to the images."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from called import cluster, inspect, relabel, superpixels
from conftest import MakeImages
from stages.test_visualize_stage import segmentation

from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.errors import ArtifactError
from unsegcli.params import Cluster, Images, Superpixels


@pytest.fixture
def chain(make_images: MakeImages, tmp_path: Path) -> tuple[Path, Path]:
    sp = superpixels([make_images()], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    return sp, cluster([sp], tmp_path / "seg.h5", Cluster(classes=3), workers=1).path


def states(path: Path) -> list[tuple[int, str, str]]:
    return [(step["depth"], step["input"], step["state"]) for step in inspect(path)["provenance"]]


def test_chain_leads_back_to_the_images(chain: tuple[Path, Path]) -> None:
    assert states(chain[1]) == [(0, "superpixels", "unchanged"), (1, "pictures", "image files")]


def test_chain_survives_a_move_of_the_whole_folder(chain: tuple[Path, Path], tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    for item in (*chain, tmp_path / "data"):
        item.rename(home / item.name)
    assert states(home / "seg.h5") == [(0, "superpixels", "unchanged"), (1, "pictures", "image files")]


def test_chain_notices_a_changed_and_a_missing_input(chain: tuple[Path, Path], tmp_path: Path) -> None:
    superpixels([tmp_path / "data"], chain[0], Superpixels(pixels_per_segment=50), workers=1)
    assert states(chain[1]) == [(0, "superpixels", "has been made again since")]
    chain[0].unlink()
    assert states(chain[1]) == [(0, "superpixels", "no longer exists")]


def test_the_files_of_a_folder_are_named(chain: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"is a folder; name a file in it: {chain[1]}, {chain[0]}$"):
        inspect(tmp_path)
    with pytest.raises(ArtifactError, match="holds no HDF5 file"):
        inspect(tmp_path / "data")


def test_a_chain_in_a_circle_ends(chain: tuple[Path, Path]) -> None:
    described = inspect(chain[0])
    with h5py.File(chain[0], "r+") as file:
        hint = f'{{"superpixels":{{"fingerprint":"{described["fingerprint"]}","path":"sp.h5"}}}}'
        file.attrs["inputs"] = hint
    assert len(states(chain[0])) <= 20


def test_description_names_contents_and_settings(chain: tuple[Path, Path]) -> None:
    described = inspect(chain[0], verify=True)
    assert described["problems"] == []
    assert described["kind"] == "superpixels"
    assert described["sources"] == described["windows"] == 3
    assert described["recipe"]["parameters"]["pixels_per_segment"] == 100
    images = next(row for row in described["contents"] if row["field"] == "images")
    assert images["datasets"] == 3
    assert images["bytes"] == 3 * 48 * 64 * 3


def test_verify_finds_a_changed_value(chain: tuple[Path, Path]) -> None:
    with h5py.File(chain[1], "r+") as file:
        file["segmentation/000001"][0, 0] = (file["segmentation/000001"][0, 0] + 1) % 3
    problems = inspect(chain[1], verify=True)["problems"]
    assert any("segmentation/000001" in problem for problem in problems)


@pytest.mark.parametrize("role", ["mask", "proposal"])
def test_all_numbers_of_a_mask_are_objects(role: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 7, 254, 255]], np.uint8)
    found = inspect(segmentation(tmp_path / "a.h5", [values], clusters=2, role=role))
    assert [row["pixels"] for row in found["categories"]] == [1, 3]
    assert found["void_pixels"] == 1


def test_categories_have_the_names_and_areas_of_the_maps(chain: tuple[Path, Path], tmp_path: Path) -> None:
    path = relabel(chain[1], ["2=water", "0=barn"], tmp_path / "named.h5").path
    found = inspect(path)
    labels = np.stack([item.on(item.grid) for item in open_predictions(path).maps])
    assert [row["name"] for row in found["categories"]] == ["water", "barn", "cluster 2 (was 1)"]
    assert [row["pixels"] for row in found["categories"]] == np.bincount(labels.ravel()).tolist()
    assert [row["color"] for row in found["categories"]] == list(open_predictions(path).colors)
    assert sum(row["share"] for row in found["categories"]) == pytest.approx(1)
    assert "categories" not in inspect(chain[0])


def test_pixels_in_several_windows_or_none_are_counted_once(make_images: MakeImages, tmp_path: Path) -> None:
    from PIL import Image

    valid = np.full((48, 64), 255, np.uint8)
    valid[:5, :60] = 0
    (tmp_path / "masks").mkdir()
    Image.fromarray(valid).save(tmp_path / "masks" / "p0.png")
    params, patches = Cluster(classes=3, features="bands"), Images(patch=24, stride=16)
    folder, masks = make_images(count=1), tmp_path / "masks"
    path = cluster([folder], tmp_path / "seg.h5", params, patches, mask=masks, workers=1).path
    found = inspect(path)
    labels = open_predictions(path).maps[0].on((48, 64))
    assert found["windows"] > 4
    assert [row["pixels"] for row in found["categories"]] == np.bincount(labels[labels >= 0]).tolist()
    assert found["void_pixels"] == (labels < 0).sum() == 300
