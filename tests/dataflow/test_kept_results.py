"""Images are added, changed and removed: only new results are computed, and the output equals that of a full run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import features, iem, proposals, superpixels
from conftest import MakeImages, four_quadrants
from PIL import Image
from reading_back import fingerprint, table_of

from unsegcli import store
from unsegcli.dataflow import runner
from unsegcli.params import Features, Iem, Images, Proposals, Superpixels

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Iem(size=(64,), sigma=2.5, kernel=7)
RANDOM = Features(backbone="timm:vit_tiny_patch16_224", weights="none", resize=1.0)
Make = Callable[[Path, Path], Any]
MAKERS: dict[str, Make] = {
    "superpixels": lambda data, to: superpixels([data], to, Superpixels(pixels_per_segment=100), workers=1),
    "windows": lambda data, to: superpixels(
        [data], to, Superpixels(pixels_per_segment=100), Images(patch=32, stride=32), workers=1
    ),
    "iem": lambda data, to: iem([data], to, QUICK, workers=1),
    "features": lambda data, to: features([data], to, RANDOM, workers=1),
    "proposals": lambda data, to: proposals([data], to, Proposals(cue="otsu"), workers=1),
}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images whose windows are computed, not copied."""
    names: list[str] = []
    before = runner._worked_on

    def noted(work: Any, window: Any, number: int, count: int) -> Any:
        names.append(window.name)
        return before(work, window, number, count)

    monkeypatch.setattr(runner, "_worked_on", noted)
    return names


def add(folder: Path, name: str, seed: int) -> None:
    Image.fromarray(four_quadrants(noise_seed=seed)).save(folder / name)


def whole(path: Path) -> dict[str, Any]:
    """Everything that two equal runs have in common."""
    with store.open_artifact(path) as artifact:
        assert store.problems_of(artifact) == []
        tables = {name: table_of(path, name) for name in artifact.field_names() if name.startswith("windows/")}
        return {
            "fingerprint": artifact.fingerprint,
            "recipe": artifact.recipe,
            **{n: np.asarray(v).tolist() for n, v in tables.items()},
        }


@pytest.mark.parametrize("stage", MAKERS)
def test_only_new_and_changed_images_are_computed(
    stage: str, make_images: MakeImages, tmp_path: Path, computed: list[str], said: pytest.LogCaptureFixture
) -> None:
    data, make = make_images(), MAKERS[stage]
    names = sorted(path.name for path in data.iterdir())
    out = make(data, tmp_path / "out.h5").path
    add(data, "a-new.png", 7)
    add(data, names[1], 8)  # changed
    (data / names[2]).rename(data / "z-renamed.png")
    (data / "broken.png").write_bytes(b"no image")
    computed.clear()
    make(data, out)
    assert set(computed) == {"a-new.png", names[1]}
    assert f"the results of 2 of 4 images are taken from the earlier {out}" in said.messages
    fresh = make(data, tmp_path / "fresh.h5").path
    assert whole(out) == whole(fresh)


def test_other_settings_take_nothing(make_images: MakeImages, tmp_path: Path, computed: list[str]) -> None:
    data = make_images()
    out = iem([data], tmp_path / "out.h5", QUICK, workers=1).path
    add(data, "a-new.png", 7)
    computed.clear()
    iem([data], out, Iem(size=(64,), sigma=3.0, kernel=7), workers=1)
    assert len(computed) == 4


def test_a_scaling_that_changes_with_the_images_takes_nothing(tmp_path: Path, computed: list[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        Image.fromarray(four_quadrants(noise_seed=number)[..., 0].astype(np.uint16) * 20).save(data / f"{number}.png")
    make = MAKERS["superpixels"]
    out = make(data, tmp_path / "out.h5").path
    Image.fromarray(four_quadrants(noise_seed=9)[..., 0].astype(np.uint16) * 200).save(data / "bright.png")
    computed.clear()
    make(data, out)
    assert len(computed) == 4
    assert fingerprint(out) == fingerprint(make(data, tmp_path / "fresh.h5").path)


def test_results_in_a_damaged_output_are_computed_again(
    make_images: MakeImages, tmp_path: Path, computed: list[str]
) -> None:
    data, make = make_images(), MAKERS["superpixels"]
    out = make(data, tmp_path / "out.h5").path
    with store.open_artifact(out) as artifact:
        place = artifact._dataset("superpixels/000001").id.get_chunk_info(0).byte_offset
    content = bytearray(out.read_bytes())
    content[place + 5] ^= 0xFF
    out.write_bytes(content)
    add(data, "z-new.png", 7)
    computed.clear()
    make(data, out)
    assert set(computed) == {sorted(path.name for path in data.iterdir())[1], "z-new.png"}
    assert fingerprint(out) == fingerprint(make(data, tmp_path / "fresh.h5").path)


def test_masks_take_nothing(make_images: MakeImages, tmp_path: Path, computed: list[str]) -> None:
    data, masks = make_images(), tmp_path / "masks"
    masks.mkdir()
    for path in data.iterdir():
        Image.fromarray(np.full((48, 64), 255, np.uint8)).save(masks / path.name)
    out = superpixels([data], tmp_path / "out.h5", workers=1, mask=masks).path
    shutil.copy(next(data.iterdir()), data / "z.png")
    shutil.copy(next(masks.iterdir()), masks / "z.png")
    computed.clear()
    superpixels([data], out, workers=1, mask=masks)
    assert len(computed) == 4


def test_features_of_superpixels_are_taken_where_the_superpixels_are_the_same(
    make_images: MakeImages, tmp_path: Path, computed: list[str]
) -> None:
    data = make_images()

    def make(to: Path) -> Path:
        cut = MAKERS["superpixels"](data, tmp_path / "sp.h5").path
        computed.clear()
        return features([cut], to, RANDOM, workers=1).path

    out = make(tmp_path / "out.h5")
    add(data, "a-new.png", 7)
    make(out)
    assert computed == ["a-new.png"]
    assert whole(out) == whole(make(tmp_path / "fresh.h5"))


def test_a_dry_run_estimates_what_is_to_be_computed(
    make_images: MakeImages, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    data = make_images()
    out = MAKERS["superpixels"](data, tmp_path / "out.h5").path
    add(data, "a-new.png", 7)
    superpixels([data], out, Superpixels(pixels_per_segment=100), workers=1, dry_run=True)
    assert f"the results of 3 of 4 images are taken from the earlier {out}" in said.messages
    assert said.messages[-1].startswith(f"would write {out}: 1 image, about ")


def test_removing_an_image_computes_nothing(
    make_images: MakeImages, tmp_path: Path, computed: list[str], said: pytest.LogCaptureFixture
) -> None:
    data, make = make_images(), MAKERS["superpixels"]
    out = make(data, tmp_path / "out.h5").path
    next(data.iterdir()).unlink()
    computed.clear()
    superpixels([data], out, Superpixels(pixels_per_segment=100), workers=1, dry_run=True)
    assert said.messages[-1] == f"would write {out}: no image is to be computed"
    make(data, out)
    assert computed == []
    assert whole(out) == whole(make(data, tmp_path / "fresh.h5").path)
