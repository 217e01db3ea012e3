"""`map`: which commands it runs, what it makes of them, and that new images get the clusters of an earlier folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import four_quadrants
from PIL import Image
from reading_back import fingerprint
from typed import one_line, unseg

from unsegcli import store
from unsegcli.errors import ArtifactError, ConfigError, DataError, StepError, UnsegError
from unsegcli.params import Images, Inputs, Map, Run
from unsegcli.segmenters import map_costs
from unsegcli.segmenters.map_costs import Sizes, estimate, sizes_of
from unsegcli.stages import map as stage_file
from unsegcli.stages.map import FEWEST
from unsegcli.stages.map import map as make_map

SMALL = Map(classes=5, pixels_per_segment=100)
TINY = ("--steps", "2", "--set", "width=16")


@dataclass
class Typed:
    """Runs commands in this process instead of one of their own, with a tiny training, and notes them."""

    commands: list[list[str]] = field(default_factory=list)
    runs: bool = True  # or notes them only
    draws: bool = False  # whether `visualize` is run, too

    def __call__(self, arguments: Sequence[str]) -> None:
        self.commands.append(list(arguments))
        if self.runs and (self.draws or arguments[0] != "visualize"):
            unseg(*arguments, *(TINY if arguments[0] == "train" else ()))

    @property
    def names(self) -> list[str]:
        return [command[0] for command in self.commands]


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """The commands that `map` runs, and a trial of the machine that takes no time."""
    commands = Typed()
    monkeypatch.setattr(stage_file, "run_command", commands)
    monkeypatch.setattr(map_costs, "slowness", lambda: 1.0)
    return commands


@pytest.fixture
def only_typed(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """The commands, which are noted but not run."""
    monkeypatch.setattr(stage_file, "_skipped_in", lambda path: 0)
    monkeypatch.setattr(stage_file, "_say_what_was_made", lambda steps, seconds: None)
    monkeypatch.setattr(stage_file, "_say_how_to_export", lambda segmentation, named: None)
    typed.runs = False
    return typed


def write_images(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        Image.fromarray(four_quadrants(48, 64, number)).save(folder / f"p{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images in `data`, and in `map` what was made of them, of which two clusters have names."""
    top = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_file, "run_command", Typed(draws=True))
        patch.setattr(map_costs, "slowness", lambda: 1.0)
        make_map(Inputs(write_images(top / "data", FEWEST)), SMALL, Run(top / "map", workers=1))
    unseg("relabel", top / "map" / "segmentation.h5", "0+1=sand", "3=water", "-o", top / "map" / "named.h5")
    return top


def maps_of(path: Path) -> list[np.ndarray]:
    with store.open_artifact(path, "segmentation") as artifact:
        return [artifact.read("segmentation", row) for row in range(artifact.window_count)]


def categories_of(path: Path) -> tuple[list[str], list[str]]:
    with store.open_artifact(path, "segmentation") as artifact:
        return artifact.table("categories/name"), artifact.table("categories/color")


# What is made


def test_a_folder_holds_all_that_a_map_is_made_of(trained: Path) -> None:
    made = {path.name for path in (trained / "map").iterdir()}
    assert made == {"superpixels.h5", "model.h5", "segmentation.h5", "named.h5", "page"}
    with store.open_artifact(trained / "map" / "segmentation.h5", "segmentation") as artifact:
        assert artifact.attributes["clusters"] == 5
        assert artifact.recipe["method"] == "context"
    assert (trained / "map" / "page" / "index.html").is_file()


def test_commands_are_run_as_they_would_be_typed(tmp_path: Path, only_typed: Typed) -> None:
    folder, out = write_images(tmp_path / "data", FEWEST), str(tmp_path / "m")
    made = make_map(Inputs(folder, limit=8), Map(seed=3), Run(out, workers=2, device="cpu", force=True))
    shared, cpu = ["--workers", "2", "--force"], ["--device", "cpu"]
    assert only_typed.commands == [
        ["superpixels", str(folder), "--limit", "8", "-o", f"{out}/superpixels.h5", "--skip-bad", *shared],
        ["train", f"{out}/superpixels.h5", "--classes", "8", "--seed", "3", "-o", f"{out}/model.h5", *cpu, *shared],
        ["cluster", f"{out}/model.h5", "--classes", "24", "--seed", "3", *cpu, "-o", f"{out}/segmentation.h5", *shared],
        ["visualize", f"{out}/segmentation.h5", "-o", f"{out}/page", *shared],
    ]
    assert made == (Path(out) / "segmentation.h5", 0)


def test_a_second_run_repeats_nothing(trained: Path, typed: Typed) -> None:
    typed.draws = True
    before = {path: path.stat().st_mtime_ns for path in (trained / "map").rglob("*.*")}
    made = unseg("map", trained / "data", "--classes", 5, "--pixels-per-segment", 100, "-o", trained / "map")
    assert made.stderr.splitlines()[0] == "all steps seem to be up to date"
    assert typed.names == ["superpixels", "train", "cluster", "visualize"]
    assert {path: path.stat().st_mtime_ns for path in (trained / "map").rglob("*.*")} == before
    assert made.stdout.splitlines()[-1] == str(trained / "map" / "segmentation.h5"), "which a pipe hands on"
    last = [line.split()[0] for line in made.stderr.splitlines()[-5:]]
    assert last == ["map:", "open", "name", "the", "a"], "what was made, the page, how to name, new images, networks"


def test_another_number_of_clusters_needs_no_training(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "map", tmp_path / "map")
    made = make_map(Inputs(trained / "data"), replace(SMALL, classes=3), Run(tmp_path / "map", workers=1))
    assert fingerprint(tmp_path / "map" / "model.h5") == fingerprint(trained / "map" / "model.h5")
    assert max(found.max() for found in maps_of(made.path)) == 2


def test_clusters_of_the_number_of_the_model_are_stored_too(tmp_path: Path, only_typed: Typed) -> None:
    """Without centres, which `cluster` does not store for a model's own clusters, new images could not get them."""
    make_map(Inputs(write_images(tmp_path / "data", FEWEST)), Map(classes=8), Run(tmp_path / "m"))
    trained, clustered = only_typed.commands[1:3]
    assert trained[trained.index("--classes") + 1] != clustered[clustered.index("--classes") + 1] == "8"


def test_quick_and_few_images_are_mapped_without_a_training(
    tmp_path: Path, only_typed: Typed, said: pytest.LogCaptureFixture
) -> None:
    make_map(Inputs(write_images(tmp_path / "few", FEWEST - 1)), SMALL, Run(tmp_path / "a"))
    assert only_typed.names == ["superpixels", "cluster", "visualize"]
    assert "fewer than 8 images: no network is trained" in said.text
    assert "try --backbone lite0 (pip install '.[lite]'" in said.messages[-1]
    make_map(Inputs(write_images(tmp_path / "more", FEWEST)), Map(quick=True), Run(tmp_path / "b"))
    assert only_typed.names[3:] == ["superpixels", "cluster", "visualize"]
    assert "--quick: no network is trained" in said.text


def test_an_unreadable_image_is_counted_and_does_not_stop_the_map(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "data", 2)
    (folder / "broken.png").write_bytes(b"no image")
    assert make_map(Inputs(folder), SMALL, Run(tmp_path / "m", workers=1)).skipped == 1


def test_a_large_image_is_cut_into_windows(tmp_path: Path, only_typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_file, "PATCHED_ABOVE", 1000)
    folder = write_images(tmp_path / "data", 1)
    make_map(Inputs(folder), Map(), Run(tmp_path / "m"))
    make_map(Inputs(folder, Images(patch=32)), Map(), Run(tmp_path / "n"))
    cut = [command for command in only_typed.commands if command[0] == "superpixels"]
    assert [command[2:-3] for command in cut] == [["--patch", "1152", "--stride", "1024"], ["--patch", "32"]]


def test_a_dry_run_shows_the_commands_and_writes_nothing(
    tmp_path: Path, typed: Typed, said: pytest.LogCaptureFixture
) -> None:
    folder = write_images(tmp_path / "data", FEWEST)
    make_map(Inputs(folder), Map(backbone="lite0"), Run(tmp_path / "m", dry_run=True))
    assert not typed.commands
    assert not (tmp_path / "m").exists()
    assert said.messages[0].startswith("8 images of 0.0 megapixels: about ")
    assert [message.split()[3] for message in said.messages[1:]] == ["superpixels", "features", "cluster", "visualize"]
    assert "--backbone lite0" in said.messages[2]


# The clusters of an earlier folder


def test_the_same_images_get_the_same_map_with_its_names(trained: Path, tmp_path: Path, typed: Typed) -> None:
    made = make_map(Inputs(trained / "data"), Map(like=trained / "map"), Run(tmp_path / "same", workers=1))
    assert typed.names == ["superpixels", "cluster", "visualize"]
    named = trained / "map" / "named.h5"
    assert all(_equal(maps_of(made.path), maps_of(named)))
    assert categories_of(made.path) == categories_of(named)
    assert categories_of(made.path)[0][:2] == ["sand", "water"]


def test_new_images_get_what_the_earlier_centres_give_them_together(trained: Path, tmp_path: Path) -> None:
    new = write_images(tmp_path / "new", 3, first=100)
    made = make_map(Inputs(new), Map(like=trained / "map"), Run(tmp_path / "m", workers=1))
    shutil.copytree(trained / "data", tmp_path / "all")
    for path in new.iterdir():
        shutil.copy(path, tmp_path / "all")
    unseg("superpixels", tmp_path / "all", "--pixels-per-segment", 100, "-o", tmp_path / "sp.h5", "--workers", 1)
    model, centres = trained / "map" / "model.h5", trained / "map" / "named.h5"
    unseg("cluster", model, tmp_path / "sp.h5", "--centres", centres, "-o", tmp_path / "seg.h5")
    assert all(_equal(maps_of(made.path), maps_of(tmp_path / "seg.h5")[FEWEST:]))


def test_a_map_that_was_labelled_like_another_can_be_followed(trained: Path, tmp_path: Path) -> None:
    new = write_images(tmp_path / "new", 1, first=50)
    make_map(Inputs(new), Map(like=trained / "map"), Run(tmp_path / "m", workers=1))
    made = make_map(Inputs(new), Map(like=tmp_path / "m"), Run(tmp_path / "n", workers=1))
    assert all(_equal(maps_of(made.path), maps_of(tmp_path / "m" / "segmentation.h5")))
    assert categories_of(made.path)[0][:2] == ["sand", "water"]


def test_a_segmentation_can_be_chosen(trained: Path, tmp_path: Path) -> None:
    first = trained / "map" / "segmentation.h5"
    made = make_map(Inputs(trained / "data"), Map(like=first), Run(tmp_path / "m", workers=1))
    assert all(_equal(maps_of(made.path), maps_of(first)))


def test_images_of_sixteen_bits_keep_the_earlier_scaling(tmp_path: Path) -> None:
    for name, factor in (("old", 1), ("new", 3)):
        (tmp_path / name).mkdir()
        for number in range(2):
            deep = four_quadrants(48, 64, number).astype(np.uint16) * 50 * factor
            tifffile.imwrite(tmp_path / name / f"p{number}.tif", deep, photometric="rgb")
    make_map(Inputs(tmp_path / "old", Images(bands=(3, 1))), SMALL, Run(tmp_path / "a", workers=1))
    make_map(Inputs(tmp_path / "new"), Map(like=tmp_path / "a"), Run(tmp_path / "b", workers=1))
    stored = []
    for name in ("a", "b"):
        with store.open_artifact(tmp_path / name / "superpixels.h5", "superpixels") as artifact:
            stored.append((artifact.table("sources/scaling"), artifact.attributes["reading"]))
            assert artifact.read("images", 0).shape[2] == 2
    np.testing.assert_array_equal(stored[0][0], stored[1][0])
    assert stored[0][1] == stored[1][1]


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
def test_features_are_made_as_the_earlier_ones(own: bool, trained: Path, tmp_path: Path, typed: Typed) -> None:
    backbone = str(trained / "map" / "model.h5") if own else "lite0"
    old = make_map(Inputs(trained / "data"), Map(classes=5, backbone=backbone), Run(tmp_path / "a", workers=1))
    new = make_map(Inputs(trained / "data"), Map(like=tmp_path / "a"), Run(tmp_path / "b", workers=1))
    assert typed.names == ["superpixels", "features", "cluster", "visualize"] * 2
    assert all(_equal(maps_of(old.path), maps_of(new.path)))


def test_a_network_may_have_weights_of_a_file_also_for_new_images(tmp_path: Path, typed: Typed) -> None:
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    old, file, weights = write_images(tmp_path / "a", 1), tmp_path / "w.pth", ["--weights", str(tmp_path / "w.pth")]
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    network, folder = "timm:test_resnet", tmp_path / "m"
    make_map(Inputs(old), replace(SMALL, backbone=network, weights=file), Run(folder, workers=1))
    assert typed.commands[1][2:6] == ["--backbone", network, *weights]
    typed.runs = False
    with pytest.raises(
        ConfigError, match=r"test_resnet w\.pth, has the weights of a file; give it with --weights FILE"
    ):
        make_map(Inputs(old), Map(like=folder), Run(tmp_path / "n", dry_run=True))
    said = unseg("map", old, "--like", folder, *weights, "-o", tmp_path / "n", "--dry-run").stderr
    assert f"--backbone {network} --resize 4.0 {' '.join(weights)}" in said


def _equal(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> Iterator[bool]:
    return (np.array_equal(one, other) for one, other in zip(some, others, strict=True))


# Mistakes

Given = Callable[[Path], Map]
MISTAKES: list[tuple[Given, type[UnsegError], str]] = [
    (lambda top: Map(quick=True, backbone="lite0"), ConfigError, "--quick and --backbone cannot be used together"),
    (lambda top: Map(backbone="lite1"), ConfigError, r"is not one of lite0, .*; did you mean lite0\?"),
    (lambda top: Map(backbone="timm:nonet"), ConfigError, "has no such network"),
    (lambda top: Map(backbone=str(top / "map" / "none.h5")), ArtifactError, "none.h5"),
    (lambda top: Map(backbone="lite0", weights="none.pth"), DataError, r"--weights none\.pth: cannot be read"),
    (lambda top: Map(weights="w.pth"), ConfigError, "name it with --backbone"),
    (lambda top: Map(like=top / "map", weights="w.pth"), ConfigError, "was made without a network that others trained"),
    (lambda top: Map(classes=1), ConfigError, "--classes 1: .* give 2 or more"),
    (lambda top: Map(classes=(3, 4)), ConfigError, "a map has one number of clusters"),
    (lambda top: Map(like=top / "map", classes=3, seed=1), ConfigError, "leave out --classes, --seed"),
    (lambda top: Map(like=top / "data"), DataError, "has no segmentation.h5; give a folder that `unseg map` made"),
]


@pytest.mark.parametrize(("given", "error", "message"), MISTAKES)
def test_mistakes_are_told_before_anything_is_done(
    given: Given, error: type[UnsegError], message: str, trained: Path, tmp_path: Path, typed: Typed
) -> None:
    with pytest.raises(error, match=message):
        make_map(Inputs(trained / "data"), given(trained), Run(tmp_path / "m"))
    assert not typed.commands
    assert not (tmp_path / "m").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "data", 1)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=f"-o {tmp_path}/m/n: {tmp_path} is not writable; choose another folder"):
        make_map(Inputs(folder), Map(), Run(tmp_path / "m" / "n"))
    assert not typed.commands


def test_files_of_earlier_commands_and_the_earlier_folder_itself_are_refused(trained: Path) -> None:
    with pytest.raises(ConfigError, match="map starts from images"):
        make_map(Inputs(trained / "map" / "superpixels.h5"), Map(), Run(trained / "m"))
    with pytest.raises(ConfigError, match="is the folder of --like"):
        make_map(Inputs(trained / "data"), Map(like=trained / "map"), Run(trained / "map"))
    with pytest.raises(ConfigError, match="leave out --bands"):
        make_map(Inputs(trained / "data", Images(bands=(1,))), Map(like=trained / "map"), Run(trained / "m"))


@pytest.mark.parametrize("name", ["segmentation.h5", "segmentation.h5/m", "new.h5"])
def test_a_file_is_refused_where_a_folder_is_to_be(name: str, trained: Path, typed: Typed) -> None:
    output = trained / "map" / name
    for dry in ((), ("--dry-run",)):
        said = one_line(unseg("map", trained / "data", "-o", output, *dry, expect=2))
        assert f"-o {output}: " in said
        assert "but map writes a folder" in said
    assert not typed.commands


def test_a_map_like_that_of_the_default_folder_is_written_beside_it(
    trained: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "map", tmp_path / "map")
    shutil.copytree(trained / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    said = unseg("map", "data", "--like", "map", "--dry-run").stderr
    assert "-o new-map/segmentation.h5" in said


def test_a_file_that_was_made_again_is_named(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    folder = tmp_path / "copy" / "map"
    unseg("superpixels", tmp_path / "copy" / "data", "--segments", 4, "-o", folder / "superpixels.h5", "--workers", 1)
    with pytest.raises(DataError, match=r"superpixels\.h5, which .* came from, has been made again since"):
        make_map(Inputs(trained / "data"), Map(like=folder), Run(tmp_path / "m"))


def test_the_error_of_a_step_is_said_once(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(arguments: Sequence[str]) -> None:
        raise StepError("`unseg superpixels` failed", code)

    monkeypatch.setattr(stage_file, "run_command", fails)
    code = 2  # the command has said why
    assert "error: " not in unseg("map", trained / "data", "-o", tmp_path / "m", expect=2).stderr
    code = -9  # a killed one has not
    assert "`unseg superpixels` failed" in one_line(unseg("map", trained / "data", "-o", tmp_path / "m", expect=1))


# A folder that holds another map


def test_a_map_of_other_images_or_settings_is_not_replaced(trained: Path, tmp_path: Path, typed: Typed) -> None:
    other, folder = write_images(tmp_path / "other", FEWEST, first=100), trained / "map"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    few = ("--classes", 5)
    size = ("--pixels-per-segment", 100)
    for given, why in [
        ((other, *few, *size), "other images"),
        ((trained / "data", *few), "pixels per segment 100, now 200"),
        ((trained / "data", *few, *size, "--quick", "--scale", 2), "scale 1, now 2"),
        ((trained / "data", *few, *size, "--seed", 3), "its network: seed 0, now 3"),
        ((trained / "data", "--classes", 8, *size), "its network: classes 8, now 9"),
    ]:
        for dry in ((), ("--dry-run",)):
            said = one_line(unseg("map", *given, "-o", folder, *dry, expect=2))
            assert f"-o {folder}: holds a map that was made in another way ({why}); choose another folder" in said
            assert "with --force" in said
    assert not typed.commands
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == before
    unseg("map", other, "-o", folder, "--force", "--dry-run")


def test_a_map_without_a_network_is_not_replaced_by_one_of_other_images(tmp_path: Path, typed: Typed) -> None:
    old, new, out = write_images(tmp_path / "a", 2), write_images(tmp_path / "b", 2, 9), Run(tmp_path / "m", workers=1)
    make_map(Inputs(old), SMALL, out)
    with pytest.raises(ConfigError, match=r"\(other images\)"):
        make_map(Inputs(new), SMALL, out)
    make_map(Inputs(old), replace(SMALL, classes=3), out)
    make_map(Inputs(new), Map(like=out.output), Run(tmp_path / "n", workers=1))
    typed.commands.clear()
    make_map(Inputs(new), Map(like=out.output), Run(tmp_path / "n", workers=1))
    assert typed.names == ["superpixels", "cluster", "visualize"], "the same again has nothing to do"
    with pytest.raises(ConfigError, match=r"\(other images\)"):
        make_map(Inputs(old), Map(like=out.output), Run(tmp_path / "n", workers=1))


def test_superpixels_alone_are_replaced(tmp_path: Path, only_typed: Typed) -> None:
    """A run that was stopped before anything was made of them has nothing to lose."""
    old, new = write_images(tmp_path / "a", 2), write_images(tmp_path / "b", 2, 9)
    unseg("superpixels", old, "-o", tmp_path / "m" / "superpixels.h5", "--workers", 1)
    make_map(Inputs(new), Map(), Run(tmp_path / "m"))
    assert only_typed.names[0] == "superpixels"


# What it will cost


def test_sizes_are_those_of_the_working_images(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "data", 3)
    tifffile.imwrite(folder / "stack.tif", np.zeros((4, 20, 30), np.uint16), photometric="minisblack")
    (folder / "broken.png").write_bytes(b"no image")
    found = sizes_of(Inputs(folder))
    assert (found.images, found.windows, found.largest, found.bands) == (7, 7, 48 * 64, 3)
    assert found.pixels == 3 * 48 * 64 + 4 * 20 * 30
    assert found.seen == 16 * found.pixels, "small images are enlarged by 4 for a network"
    assert sizes_of(Inputs(folder, Images(scale=0.5), limit=4)).pixels == 3 * 24 * 32
    assert sizes_of(Inputs(folder / "p0.png", Images(patch=32))).windows == 4


def tiles_of_one_surface(folder: Path) -> list[Path]:
    """Two tiles side by side, each of 48 x 64 pixels, of half a metre."""
    rasterio = pytest.importorskip("rasterio")
    folder.mkdir()
    files = [folder / f"t{number}.tif" for number in range(2)]
    for number, file in enumerate(files):
        pixels = np.stack([four_quadrants()[:48, :64, band] for band in range(3)])
        place = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000 + 32 * number, 0, -0.5, 5_000_000)}
        shape = {"count": 3, "height": 48, "width": 64, "dtype": "uint8"}
        with rasterio.open(file, "w", driver="GTiff", **shape, **place) as opened:
            opened.write(pixels)
    return files


def test_tiles_of_a_mosaic_are_one_image(
    tmp_path: Path, only_typed: Typed, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    files = tiles_of_one_surface(tmp_path / "tiles")
    found = sizes_of(Inputs(files, Images(mosaic=True)))
    assert (found.images, found.windows, found.largest, found.tasks) == (1, 1, 48 * 128, 1)
    parts = sizes_of(Inputs(files, Images(mosaic=True, patch=32, stride=16)))
    assert (parts.images, parts.windows, parts.tasks) == (1, 14, 14)
    monkeypatch.setattr("unsegcli.segmenters.map_costs.PIXELS_OF_A_BLOCK", 3000)
    assert sizes_of(Inputs(files, Images(mosaic=True))).held == 1000
    monkeypatch.setattr(stage_file, "PATCHED_ABOVE", 48 * 128 - 1)
    make_map(Inputs(files, Images(mosaic=True)), Map(), Run(tmp_path / "m"))
    assert "1 image of 0.0 megapixels" in said.text
    assert "--mosaic" in only_typed.commands[0]


def test_a_map_of_a_place_says_how_to_open_it_in_a_geographic_program(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    files = tiles_of_one_surface(tmp_path / "tiles")
    first = tmp_path / "m"
    make_map(Inputs(files, Images(mosaic=True)), SMALL, Run(first, workers=1))
    assert f"unseg export {first}/named.h5 --to geotiff,gpkg,csv -o maps" in said.text
    make_map(Inputs(files, Images(mosaic=True)), Map(like=first), Run(tmp_path / "n", workers=1))
    assert f"unseg export {tmp_path}/n/segmentation.h5 --to geotiff,gpkg,csv -o maps" in said.text
    said.clear()
    make_map(Inputs(write_images(tmp_path / "data", 1)), SMALL, Run(tmp_path / "o", workers=1))
    assert "unseg export" not in said.text


def test_the_time_of_steps_that_are_up_to_date_is_not_counted(
    trained: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[list[str]] = []
    monkeypatch.setattr(stage_file, "estimate", lambda steps, *_: counted.append(steps) or "")
    shutil.copytree(trained / "map", tmp_path / "m")
    out = Run(tmp_path / "m", workers=1, dry_run=True)
    for given in (replace(SMALL, classes=3), replace(SMALL, quick=True), Map(like=trained / "map")):
        make_map(Inputs(trained / "data"), given, replace(out, output=tmp_path / ("n" if given.like else "m")))
    (tmp_path / "m" / "model.h5").unlink()
    make_map(Inputs(trained / "data"), SMALL, out)
    assert counted == [
        ["vectors", "page"],
        ["regions", "page"],
        ["superpixels", "vectors", "page"],
        ["train", "vectors", "page"],
    ]


def test_an_estimate_grows_with_the_images_and_falls_with_processes() -> None:
    def said_of(megapixels: int, steps: Sequence[str], workers: int = 1) -> str:
        pixels = megapixels * 1e6
        sizes = Sizes(megapixels, megapixels, pixels, 1_000_000, 3, pixels, 1_000_000, megapixels)
        return estimate(steps, sizes, workers)

    first, *rest = said_of(60, ["superpixels", "regions", "page"]).split(", ")
    cut, cluster, page = 2.5 + 60 * (0.18 + 0.002), 3 + 60 * (0.85 + 0.001), 2 + 60 * (0.15 + 0.02)
    assert first == f"60 images of 60.0 megapixels: about {5 * round((cut + cluster + page) / 5):.0f} seconds"
    assert rest == ["0.6 GB of memory and 228 MB on disk; estimated from the sizes of the images"]
    assert "about 2.4 hours" in said_of(2400, ["train"])
    assert said_of(60, ["superpixels"], 4) != said_of(60, ["superpixels"])
    assert "about 20 seconds" in said_of(0, ["train"])
    whole, large = (Sizes(1, 169, 144e6, pixels, 3, 144e6, 0, 169) for pixels in (16_000_000, 144_000_000))
    assert "0.8 GB of memory" in estimate(["page"], whole, 2)
    assert estimate(["page"], large, 2) == estimate(["page"], whole, 2), "a larger image is read part by part"


def test_the_trial_of_the_machine_takes_no_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pieces, tried = map_costs.pieces_of, []
    monkeypatch.setattr(map_costs, "pieces_of", lambda *given: tried.append(pieces(*given)))
    assert 0 < map_costs.slowness() < 100
    assert len(tried) == map_costs.TRIALS + 1
    monkeypatch.setattr(map_costs, "compiles_first", lambda params: True)
    assert map_costs.slowness() == 0
