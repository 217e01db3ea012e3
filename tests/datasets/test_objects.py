"""Flowers-102, CUB-200 and LSUN Car: one object in each image, cropped as ReDO and IEM do."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from preparing import names_below, pixels, prepared
from published_trees_objects import BIRDS, FLOWER_SETS, bird_votes, birds, flowers, packed, photograph, redo_split
from torchvision.datasets import Flowers102
from torchvision.transforms import v2

from unsegcli.datasets import flowers_102
from unsegcli.datasets._contract import Download
from unsegcli.datasets._download import download
from unsegcli.datasets._objects import squared
from unsegcli.errors import ConfigError, DataError
from unsegcli.labels import read_labels
from unsegcli.legend import read_legend
from unsegcli.params import Inputs, Prepare, Run
from unsegcli.stages.prepare import prepare

OUR_SPLITS = {"train": "tstid", "val": "valid", "test": "trnid"}
AS_IEM = v2.Compose([v2.Resize(128, v2.InterpolationMode.NEAREST), v2.CenterCrop(128)])


@pytest.fixture(scope="module")
def unpacked_flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flowers(tmp_path_factory.mktemp("unpacked") / "flowers-102")


@pytest.fixture(scope="module")
def flower_archives(unpacked_flowers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flowers")
    packed(unpacked_flowers, folder / "102flowers.tgz", "jpg")
    packed(unpacked_flowers, folder / "102segmentations.tgz", "segmim")
    shutil.copy(unpacked_flowers / "setid.mat", folder)
    return folder


@pytest.fixture(scope="module")
def bird_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return birds(tmp_path_factory.mktemp("birds"))


# ------------------------------------------------------------------------------------------------ flowers-102


def test_flowers_are_the_crops_and_masks_of_the_published_code(
    flower_archives: Path, unpacked_flowers: Path, tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "out", flower_archives, name="flowers-102")
    legend = read_legend(folder / "classes.toml")
    for split, theirs in OUR_SPLITS.items():
        numbers = FLOWER_SETS[theirs]
        assert names_below(folder / "images" / split) == [f"image_{number:05d}" for number in numbers]
        for number in numbers:
            whole = Image.open(unpacked_flowers / f"jpg/image_{number:05d}.jpg")
            image = folder / f"images/{split}/image_{number:05d}.png"
            np.testing.assert_array_equal(pixels(image), np.asarray(AS_IEM(whole)))
            red, green, blue = np.moveaxis(pixels(unpacked_flowers / f"segmim/segmim_{number:05d}.jpg"), 2, 0)
            flower = ~((red == 0) | (green == 0) | (blue == 254))
            [found] = read_labels(folder / f"labels/{split}/image_{number:05d}.png", legend)
            np.testing.assert_array_equal(found, np.asarray(AS_IEM(Image.fromarray(flower.astype(np.uint8)))))
            assert 0 < found.mean() < 1


@pytest.mark.parametrize("size", [(24, 20), (33, 20), (20, 33), (128, 128), (500, 667), (97, 64)])
def test_the_crop_is_that_of_torchvision(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8))
    np.testing.assert_array_equal(np.asarray(squared(image)), np.asarray(AS_IEM(image)))


def test_torchvision_reads_the_same_flowers(
    unpacked_flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flowers102, "_check_integrity", lambda _: True)  # digests of the published lists
    folder = prepared(tmp_path / "out", unpacked_flowers, name="flowers-102", original_size=True)
    for ours, theirs in (("train", "test"), ("val", "val"), ("test", "train")):  # swapped, as in ReDO
        other = Flowers102(unpacked_flowers.parent, theirs)
        images = sorted((folder / "images" / ours).iterdir())
        assert len(images) == len(other) > 0
        for path, (image, _) in zip(images, other, strict=True):
            np.testing.assert_array_equal(pixels(path), np.asarray(image))
            assert pixels(folder / "labels" / ours / f"{path.stem}.png").shape == pixels(path).shape[:2]


def test_whole_images_are_links_to_the_published_files(unpacked_flowers: Path, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out", unpacked_flowers, name="flowers-102", original_size=True)
    assert (folder / "images/test/image_00002.jpg").samefile(unpacked_flowers / "jpg/image_00002.jpg")


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("setid.mat", "setid.mat with the splits"),
        ("segmim/segmim_00004.jpg", r"incomplete: segmim/segmim_00004.jpg \(of 102segmentations.tgz\); --incomplete"),
        ("jpg", "incomplete: 102flowers.tgz with 7 files such as jpg/image_00001.jpg$"),
    ],
)
def test_what_is_missing_of_the_flowers_is_named(unpacked_flowers: Path, tmp_path: Path, lost: str, said: str) -> None:
    folder = shutil.copytree(unpacked_flowers, tmp_path / "in")
    shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
    with pytest.raises(DataError, match=said):
        prepared(tmp_path / "out", folder, name="flowers-102")
    assert not (tmp_path / "out").exists()


def test_a_half_archive_is_named(flower_archives: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(flower_archives, tmp_path / "in")
    archive = folder / "102segmentations.tgz"
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DataError, match=r"102segmentations.tgz is not a whole archive of .* download it again"):
        prepared(tmp_path / "out", folder, name="flowers-102")


def test_numbers_that_differ_from_the_published_ones_are_stored(flower_archives: Path, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out", flower_archives, name="flowers-102")
    about = json.loads((folder / "prepared.json").read_text())
    assert about["counts"]["train"] == {"images": 3, "labels": 3}
    assert about["published_counts"]["train"] == {"images": 6149, "labels": 6149}
    assert not about["as_published"]


def test_a_list_of_another_kind_is_refused(unpacked_flowers: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(unpacked_flowers, tmp_path / "in")
    shutil.copy(folder / "imagelabels.mat", folder / "setid.mat")
    with pytest.raises(DataError, match=r"setid.mat does not hold the lists tstid, valid, trnid"):
        prepared(tmp_path / "out", folder, name="flowers-102")


# ------------------------------------------------------------------------------------------------ downloads


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which this machine offers it to itself."""
    (tmp_path / "web").mkdir()
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(Server, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield tmp_path / "web", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def offered(web: tuple[Path, str], files: Mapping[str, bytes]) -> tuple[Download, ...]:
    for name, content in files.items():
        (web[0] / name).write_bytes(content)
    return tuple(Download(f"{web[1]}/{name}", hashlib.md5(one).hexdigest()) for name, one in files.items())


def test_a_download_has_the_published_digest_or_is_not_there(web: tuple[Path, str], tmp_path: Path) -> None:
    downloads = offered(web, {"a.tgz": b"whole", "b.tgz": b"whole too", "c.tgz": b"last"})
    (tmp_path / "web/b.tgz").write_bytes(b"whol")  # cut off on the way
    with pytest.raises(DataError, match=r"b.tgz was not downloaded whole .* into .*in yourself; then c.tgz is missing"):
        download(downloads, tmp_path / "in")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.tgz"]
    (tmp_path / "web/a.tgz").unlink()  # what is there is not fetched again
    (tmp_path / "web/b.tgz").write_bytes(b"whole too")
    download(downloads, tmp_path / "in")
    assert (tmp_path / "in/b.tgz").read_bytes() == b"whole too"


def test_without_files_it_is_said_that_they_can_be_downloaded() -> None:
    with pytest.raises(ConfigError, match=r"FOLDER`; with --download, they are downloaded into it"):
        prepare(Inputs([]), Prepare(name="flowers-102"), Run())


def test_download_and_prepare_in_one_command(
    web: tuple[Path, str], flower_archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [flower_set] = flowers_102.SETS
    files = {path.name: path.read_bytes() for path in flower_archives.iterdir()}
    monkeypatch.setitem(flower_set.__dict__, "downloads", offered(web, files))
    how = Prepare(name="flowers-102", download=True)
    prepare(Inputs([tmp_path / "in"]), how, Run(output=tmp_path / "out", dry_run=True))
    assert not (tmp_path / "in").exists()
    folder = prepared(tmp_path / "out", tmp_path / "in", name="flowers-102", download=True)
    assert len(names_below(folder / "images")) == 7
    with pytest.raises(ConfigError, match="--download: give one folder"):
        prepared(tmp_path / "out", tmp_path / "in", tmp_path, name="flowers-102", download=True)


def test_torchvision_knows_the_same_files() -> None:
    ours = {one.name: one.md5 for one in flowers_102.SETS[0].downloads}
    theirs = dict(Flowers102._file_dict.values())
    assert {name: theirs[name] for name in ("102flowers.tgz", "setid.mat")}.items() <= ours.items()


# ------------------------------------------------------------------------------------------------ cub-200


def test_birds_follow_the_split_of_redo(bird_folder: Path, tmp_path: Path) -> None:
    split = redo_split(tmp_path / "train_val_test_split.txt")
    folder = prepared(tmp_path / "out", bird_folder, name="cub-200", names=(split,))
    for code, name in enumerate(("train", "val", "test")):
        assert names_below(folder / "images" / name) == sorted(bird for bird, at in BIRDS.items() if at == code)
        assert names_below(folder / "labels" / name) == names_below(folder / "images" / name)
    about = json.loads((folder / "prepared.json").read_text())
    assert about["lists"][0]["sha256"] == hashlib.sha256(split.read_bytes()).hexdigest()


def test_birds_are_where_most_people_saw_them_and_grey_images_get_three_bands(
    bird_folder: Path, tmp_path: Path
) -> None:
    redo_split(bird_folder / "train_val_test_split.txt")
    archives = tmp_path / "in"
    archives.mkdir()
    packed(bird_folder, archives / "CUB_200_2011.tgz", "attributes.txt", "CUB_200_2011")
    packed(bird_folder, archives / "segmentations.tgz", "segmentations")
    (bird_folder / "train_val_test_split.txt").rename(archives / "train_val_test_split.txt")
    folder = prepared(tmp_path / "out", archives, name="cub-200")
    for number, (name, code) in enumerate(BIRDS.items(), 1):
        place = f"{('train', 'val', 'test')[code]}/{name}.png"
        expected = (bird_votes(number) / 255 > 0.5).astype(np.uint8)
        found = pixels(folder / "labels" / place)
        np.testing.assert_array_equal(found, np.asarray(AS_IEM(Image.fromarray(expected))))
        whole = Image.open(bird_folder / f"CUB_200_2011/images/{name}.jpg")
        np.testing.assert_array_equal(
            pixels(folder / "images" / place), np.asarray(AS_IEM(whole.convert("RGB"))), err_msg=whole.mode
        )


def test_without_the_list_of_redo_it_is_named(bird_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_val_test_split.txt of ReDO .*; give it with --names"):
        prepared(tmp_path / "out", bird_folder, name="cub-200")
    folder = prepared(tmp_path / "out", bird_folder, name="cub-200", incomplete=True)
    about = json.loads((folder / "prepared.json").read_text())
    assert about["warnings"][0].startswith("the split is that of the publishers, not that of ReDO")
    assert {split: found["images"] for split, found in about["counts"].items()} == {"train": 2, "val": 0, "test": 2}


def test_a_line_that_is_no_split_is_refused(bird_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("1 0\n2 7\n")
    with pytest.raises(DataError, match=r"list.txt: '2 7' is not the number of an image and its split"):
        prepared(tmp_path / "out", bird_folder, name="cub-200", names=(tmp_path / "list.txt",))


# ------------------------------------------------------------------------------------------------ lsun-car


@pytest.mark.parametrize("high", [1, 255])
@pytest.mark.parametrize("beside", [True, False])
def test_cars_have_the_masks_that_the_user_gives(tmp_path: Path, high: int, beside: bool) -> None:
    masks = tmp_path / ("in/masks" if beside else "predicted")
    for folder in (tmp_path / "in/images", masks):
        folder.mkdir(parents=True)
    car = np.zeros((20, 24), np.uint8)
    car[4:12, 3:20] = high
    for name in ("a", "b"):
        Image.fromarray(photograph(1)).save(tmp_path / f"in/images/{name}.webp", lossless=True)
        Image.fromarray(car).save(masks / f"{name}.png")
    given = {} if beside else {"labels": masks}
    folder = prepared(tmp_path / "out", tmp_path / "in", name="lsun-car", **given)
    np.testing.assert_array_equal(pixels(folder / "images/a.png"), np.asarray(AS_IEM(Image.fromarray(photograph(1)))))
    expected = np.asarray(AS_IEM(Image.fromarray((car > 0).astype(np.uint8))))
    np.testing.assert_array_equal(pixels(folder / "labels/a.png"), expected)


def test_a_car_without_a_mask_is_named(tmp_path: Path) -> None:
    for name in ("images/a", "images/b", "masks/a"):
        path = tmp_path / f"in/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(1)).convert("L").save(path)
    with pytest.raises(DataError, match=r"no label with the same stem for .*images/b.png; --incomplete"):
        prepared(tmp_path / "out", tmp_path / "in", name="lsun-car")
