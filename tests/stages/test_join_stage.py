"""Every stage that works on images by themselves can be run in shards, whose files together are those of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from called import cluster, evaluate, export, features, iem, join, proposals, relabel, superpixels, train, visualize
from conftest import MakeImages, four_quadrants
from PIL import Image
from reading_back import fingerprint, table_of
from sample_artifacts import RECIPE, sample

from unsegcli import store
from unsegcli.dataflow import runner
from unsegcli.errors import ArtifactError, ConfigError, DataError, UnsegError
from unsegcli.params import Cluster, Features, Iem, Images, Inputs, Join, Proposals, Run, Superpixels
from unsegcli.segmenters import baselines
from unsegcli.stages import join as stage

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Superpixels(pixels_per_segment=100)
RANDOM = Features(backbone="timm:vit_tiny_patch16_224", weights="none", resize=1.0)
Make = Callable[..., Any]


def of_superpixels(data: Path, to: Path, **how: Any) -> Any:
    return superpixels([data], to, SMALL, workers=1, **how)


MAKERS: dict[str, Make] = {
    "superpixels": of_superpixels,
    "windows": lambda data, to, **how: superpixels([data], to, SMALL, Images(patch=32, stride=24), workers=1, **how),
    "iem": lambda data, to, **how: iem([data], to, Iem(size=(64,), sigma=2.5, kernel=7), workers=1, **how),
    "features": lambda data, to, **how: features([data], to, RANDOM, workers=1, **how),
    "proposals": lambda data, to, **how: proposals([data], to, Proposals(cue="otsu"), workers=1, **how),
    "pixels": lambda data, to, **how: cluster([data], to, Cluster(features="bands", classes=3), workers=1, **how),
}


def content(path: Path) -> dict[str, Any]:
    """All datasets of a file, and all attributes that two equal runs have in common."""
    found: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        found[name] = None if isinstance(item, h5py.Group) else (item.dtype.str, item.shape, item[...].tobytes())

    with h5py.File(path, "r") as file:
        file.visititems(note)
        own = {name: value for name, value in file.attrs.items() if name not in ("created", "command", "seconds")}
    with store.open_artifact(path) as artifact:
        assert store.problems_of(artifact) == []
    return {**found, **own}


def mixed_images(folder: Path, count: int = 5) -> Path:
    """Colour images, the last grey; one that is no image, and one whose pixels are cut off."""
    folder.mkdir()
    for number in range(count):
        pixels = four_quadrants(noise_seed=number)
        Image.fromarray(pixels if number < count - 1 else pixels[..., 0]).save(folder / f"{number}.png")
    (folder / "0-no-image.png").write_bytes(b"nothing")
    body = (folder / "2.png").read_bytes()
    (folder / "2-cut-off.png").write_bytes(body[: len(body) // 2])
    return folder


def shards(make: Make, data: Path, folder: Path, of: int) -> list[Path]:
    return [make(data, folder / f"s{number}.h5", shard=(number, of)).path for number in range(1, of + 1)]


@pytest.mark.parametrize("name", MAKERS)
def test_joined_shards_are_the_file_of_one_run(name: str, tmp_path: Path) -> None:
    data, make = mixed_images(tmp_path / "data"), MAKERS[name]
    whole = make(data, tmp_path / "whole.h5").path
    parts = shards(make, data, tmp_path / "elsewhere", 3)
    joined = join(parts[::-1], tmp_path / "joined.h5").path
    assert content(joined) == content(whole)
    assert not joined.with_name("joined.h5.partial").exists()


def test_each_image_in_a_shard_of_its_own(tmp_path: Path) -> None:
    data = mixed_images(tmp_path / "data")
    whole = of_superpixels(data, tmp_path / "whole.h5").path
    parts = shards(of_superpixels, data, tmp_path, 6)  # one of them has no image that can be read
    counts = [len(table_of(part, "sources/name")) for part in parts]
    assert sorted(counts) == [0, 1, 1, 1, 1, 1]
    assert content(join(parts, tmp_path / "joined.h5").path) == content(whole)
    with pytest.raises(ConfigError, match="--shard 1/7: there are only 6 images; use at most 6 shards"):
        of_superpixels(data, tmp_path / "s.h5", shard=(1, 7))


def test_shards_of_what_comes_from_superpixels(tmp_path: Path) -> None:
    data = mixed_images(tmp_path / "data")
    sp = of_superpixels(data, tmp_path / "sp.h5").path
    makers: list[Make] = [
        lambda data, to, **how: cluster([data], to, Cluster(classes=3), workers=1, **how),
        lambda data, to, **how: features([data], to, Features(**{**vars(RANDOM), "pca": 4}), workers=1, **how),
        lambda data, to, **how: superpixels([data], to, Superpixels(pixels_per_segment=64), workers=1, **how),
        lambda data, to, **how: proposals([data], to, Proposals(), workers=1, **how),
    ]
    for number, make in enumerate(makers):
        whole = make(sp, tmp_path / f"whole-{number}.h5").path
        parts = shards(make, sp, tmp_path / str(number), 2)
        assert content(join(parts, tmp_path / f"joined-{number}.h5").path) == content(whole)


def test_images_that_share_a_scaling(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        bright = four_quadrants(noise_seed=number)[..., 0].astype(np.uint16) * (20 + 30 * number)
        Image.fromarray(bright).save(data / f"{number}.png")
    whole = of_superpixels(data, tmp_path / "whole.h5").path
    parts = shards(of_superpixels, data, tmp_path, 4)
    assert content(join(parts, tmp_path / "joined.h5").path) == content(whole)


def test_the_names_of_outputs(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_images()
    monkeypatch.chdir(tmp_path)
    assert str(of_superpixels(data, "", shard=(2, 3)).path) == "superpixels-2-of-3.h5"  # type: ignore[arg-type]
    again = of_superpixels(data, "", shard=(2, 3))  # type: ignore[arg-type]
    assert isinstance(again, runner.UpToDate)
    assert str(join(shards(of_superpixels, data, tmp_path, 2)).path) == "joined.h5"


def test_a_shard_is_not_replaced_by_another(make_images: MakeImages, tmp_path: Path) -> None:
    data = make_images()
    one = of_superpixels(data, tmp_path / "s.h5", shard=(1, 3)).path
    with pytest.raises(ArtifactError, match=r"is another shard \(shard 1/3, now 2/3\); choose another name"):
        of_superpixels(data, one, shard=(2, 3))
    assert table_of(of_superpixels(data, one, shard=(2, 3), force=True).path, "shard/number").tolist() == [2]


def test_what_is_missing_doubled_or_foreign_is_named(make_images: MakeImages, tmp_path: Path) -> None:
    data = make_images(count=4)
    one, two, three, four = shards(of_superpixels, data, tmp_path, 4)
    out, other = tmp_path / "out.h5", tmp_path / "other.h5"
    with pytest.raises(DataError, match="1 shard is missing: 3/4; make them with --shard, and give all 4 files"):
        join([one, two, four], out)
    with pytest.raises(DataError, match="2 shards are missing: 1/4, 3/4"):
        join([two, four], out)
    other.write_bytes(two.read_bytes())
    with pytest.raises(DataError, match=r"other.h5: shard 2/4 is given twice, also as .*s2.h5; leave out one"):
        join([one, two, three, other, four], out)
    superpixels([data], other, Superpixels(pixels_per_segment=80), workers=1, shard=(2, 4), force=True)
    with pytest.raises(DataError, match=r"other.h5: is of another run than .*s1.h5: pixels per segment 100, now 80"):
        join([one, other, three, four], out)
    of_superpixels(data, other, shard=(2, 3), force=True)
    with pytest.raises(DataError, match=r"other.h5: is of another run than .*: one of 3 shards, not of 4; leave it"):
        join([one, other, three, four], out)
    proposals([data], other, Proposals(cue="otsu"), workers=1, shard=(2, 4), force=True)
    with pytest.raises(DataError, match=r"other.h5: is of another run than .*: of kind segmentation, not superpixels"):
        join([one, other, three, four], out)
    of_superpixels(data, other, force=True)
    with pytest.raises(DataError, match=r"other.h5: is not a shard: it was made without --shard"):
        join([one, other, three, four], out)
    assert not out.exists()
    assert not out.with_name("out.h5.partial").exists()


def test_centres_that_differ_are_found(make_images: MakeImages, tmp_path: Path) -> None:
    recipe = {**RECIPE, "shard": [1, 2]}
    tables = {"shard/of": np.array([2], np.int32)}
    one = sample("segmentation").changed(tables={**tables, "shard/number": np.array([1], np.int32)})
    two = one.changed(tables={"shard/number": np.array([2], np.int32)})
    a, b = one.write(tmp_path / "a.h5", recipe), two.write(tmp_path / "b.h5", {**recipe, "shard": [2, 2]})
    assert len(table_of(join([a, b], tmp_path / "both.h5").path, "windows/source")) == 6
    centres = two.tables["fit/centres"] * (1 + 1e-15)
    two.changed(tables={"fit/centres": centres}).write(b, {**recipe, "shard": [2, 2]})
    with pytest.raises(DataError, match=r"b.h5: has another fit/centres than .*a.h5, though both were asked for"):
        join([a, b], tmp_path / "out.h5")


@pytest.mark.parametrize("kind", ["superpixels", "features", "segmentation"])
def test_every_field_is_joined(kind: str, tmp_path: Path) -> None:
    """Two samples with every optional field, one after the other."""
    paths = []
    for number in (1, 2):
        tables = {"shard/number": np.array([number], np.int32), "shard/of": np.array([2], np.int32)}
        recipe = {**RECIPE, "shard": [number, 2]}
        paths.append(sample(kind).changed(tables=tables).write(tmp_path / f"{number}.h5", recipe))
    joined = join(paths, tmp_path / "deeper" / "out.h5").path
    with store.open_artifact(joined, kind) as whole, store.open_artifact(paths[1]) as part:
        assert store.problems_of(whole) == []
        assert set(whole.field_names()) == set(part.field_names()) - {"shard/number", "shard/of"}
        assert whole.table("windows/source").tolist() == [0, 1, 1, 2, 3, 3]
        assert whole.table("members/source").tolist() == [1, 1, 3, 3]
        assert whole.table("sources/path")[2] == "../../data/a.png"
        assert whole.inputs["pictures"]["path"] == "../../data"
        for field in (name for name, spec in store.KINDS[kind].fields.items() if spec.per == "window"):
            assert np.array_equal(whole.read(field, 5), part.read(field, 2))


def test_places_that_only_some_shards_have(tmp_path: Path) -> None:
    whole = sample("superpixels")
    own = {name: rows for name, rows in whole.tables.items() if name not in ("sources/crs", "sources/transform")}
    one = replace(whole, tables={name: rows for name, rows in own.items() if not name.startswith("members/")})
    paths = []
    for number, part in enumerate((one, whole), start=1):
        tables = {"shard/number": np.array([number], np.int32), "shard/of": np.array([2], np.int32)}
        paths.append(part.changed(tables=tables).write(tmp_path / f"{number}.h5", {**RECIPE, "shard": [number, 2]}))
    joined = join(paths, tmp_path / "out.h5").path
    assert table_of(joined, "sources/crs") == ["", "", "", "EPSG:32633"]
    assert np.isnan(table_of(joined, "sources/transform")).all(axis=1).tolist() == [True, True, True, False]
    assert table_of(joined, "members/source").tolist() == [3, 3]


def test_a_damaged_shard_is_named(make_images: MakeImages, tmp_path: Path) -> None:
    one, two = shards(of_superpixels, make_images(), tmp_path, 2)
    with h5py.File(two, "r+") as file:
        values = file["images/000000"][...]
        values[3, 4] += 1
        file["images/000000"][...] = values
    with pytest.raises(ArtifactError, match=r"s2.h5: images/000000 has been changed since it was written"):
        join([one, two], tmp_path / "out.h5")


def test_a_shard_that_is_replaced_meanwhile(make_images: MakeImages, tmp_path: Path) -> None:
    data = make_images(count=4)
    parts = shards(of_superpixels, data, tmp_path, 2)
    found = stage.read_shards(parts)
    of_superpixels(data, parts[1], shard=(1, 2), force=True)
    with pytest.raises(DataError, match=r"s2.h5: was replaced while it was being read; run the command again"):
        list(stage._windows(found, 0))


def test_an_interrupted_join_goes_on(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    data = make_images(count=5)
    whole = of_superpixels(data, tmp_path / "whole.h5").path
    parts, out = shards(of_superpixels, data, tmp_path, 2), tmp_path / "out.h5"
    before = store.Writer.append

    def stopping(writer: store.Writer, windows: Any, note: Any) -> None:
        if writer.count == 3:
            raise KeyboardInterrupt
        before(writer, windows, note)

    with monkeypatch.context() as patch:
        patch.setattr(store.Writer, "append", stopping)
        with pytest.raises(KeyboardInterrupt):
            join(parts, out)
    join(parts, out)
    assert "resuming after 3 windows finished by an interrupted run" in said.messages
    assert content(out) == content(whole)


def test_an_interrupted_run_of_the_same_recipe_is_not_gone_on_with(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    data = make_images(count=4)
    parts, out = shards(of_superpixels, data, tmp_path, 2), tmp_path / "out.h5"
    before = runner._worked_on

    def stopping(work: Any, window: Any, number: int, count: int) -> Any:
        if window.name == sorted(path.name for path in data.iterdir())[2]:
            raise KeyboardInterrupt
        return before(work, window, number, count)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_worked_on", stopping)
        with pytest.raises(KeyboardInterrupt):
            of_superpixels(data, out)
    join(parts, out)
    assert any("was started in another way" in message for message in said.messages)
    assert content(out) == content(of_superpixels(data, tmp_path / "whole.h5").path)


def test_what_is_up_to_date_is_left_alone(make_images: MakeImages, tmp_path: Path) -> None:
    parts = shards(of_superpixels, make_images(), tmp_path, 2)
    out = join(parts, tmp_path / "out.h5").path
    written = out.stat().st_mtime_ns
    assert isinstance(join(parts, out), runner.UpToDate)
    assert out.stat().st_mtime_ns == written
    with pytest.raises(ArtifactError, match="is an input of this command"):
        join(parts, parts[0])
    with pytest.raises(ConfigError, match="join needs the files of all shards"):
        stage.join(Inputs([]), Join(), Run())


def test_a_shard_is_no_input_of_other_commands(make_images: MakeImages, tmp_path: Path) -> None:
    data = make_images()
    sp = of_superpixels(data, tmp_path / "sp.h5", shard=(1, 2)).path
    seg = cluster([data], tmp_path / "seg.h5", Cluster(features="bands", classes=2), workers=1, shard=(2, 2)).path
    out = tmp_path / "out.h5"
    calls: list[Callable[[], Any]] = [
        lambda: train(sp, out),
        lambda: cluster(sp, out),
        lambda: superpixels([sp], out),
        lambda: iem(sp, out),
        lambda: proposals(sp, out),
        lambda: evaluate(sp, out),
        lambda: superpixels([data], out, Superpixels(like=sp)),
        lambda: cluster([data], out, centres=seg),
        lambda: evaluate(seg, out),
        lambda: export(seg, tmp_path / "exported"),
        lambda: visualize(seg, tmp_path / "page"),
        lambda: relabel(seg, ["0=sea"], out),
    ]
    for call in calls:
        with pytest.raises(UnsegError, match=r"is shard [12] of 2; make one file of all shards with `unseg join`"):
            call()
    assert not out.exists()


def test_images_are_cut_evenly_and_in_order(make_images: MakeImages, tmp_path: Path) -> None:
    data = make_images(count=7)
    parts = shards(of_superpixels, data, tmp_path, 3)
    names = [table_of(part, "sources/name") for part in parts]
    assert list(map(len, names)) == [2, 2, 3]
    assert [*names[0], *names[1], *names[2]] == sorted(path.name for path in data.iterdir())
    assert len({fingerprint(part) for part in parts}) == 3


def test_added_images_are_taken_from_an_earlier_shard(
    make_images: MakeImages, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    data = make_images(count=4)
    parts = shards(of_superpixels, data, tmp_path, 2)
    Image.fromarray(four_quadrants(noise_seed=9)).save(data / "zz.png")
    shards(of_superpixels, data, tmp_path, 2)
    assert f"the results of 2 of 3 images are taken from the earlier {parts[1]}" in said.messages
    whole = of_superpixels(data, tmp_path / "whole.h5").path
    assert content(join(parts, tmp_path / "out.h5").path) == content(whole)


def test_a_dry_run_estimates_a_shard(make_images: MakeImages, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    of_superpixels(make_images(count=5), tmp_path / "out.h5", shard=(1, 2), dry_run=True)
    assert any("would write" in message and ": 2 images" in message for message in said.messages)


def test_many_images_are_clustered_on_a_sample(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    """The sample is defined by all images, so that each shard fits the same centres."""
    sp = of_superpixels(make_images(count=5), tmp_path / "sp.h5").path
    monkeypatch.setattr(baselines, "IMAGES_SAMPLED", 3)

    def make(data: Path, to: Path, **how: Any) -> Any:
        return cluster([data], to, Cluster(classes=3), workers=1, **how)

    whole = make(sp, tmp_path / "whole.h5").path
    assert "k-means is fitted on 3 of 5 windows, chosen at random" in said.messages
    with store.open_artifact(whole) as artifact:
        assert artifact.recipe["sampled_images"] == 3
    joined = join(shards(make, sp, tmp_path, 2), tmp_path / "joined.h5").path
    assert content(joined) == content(whole)
    monkeypatch.setattr(baselines, "IMAGES_SAMPLED", 5)
    with store.open_artifact(make(sp, tmp_path / "all.h5").path) as artifact:
        assert "sampled_images" not in artifact.recipe
