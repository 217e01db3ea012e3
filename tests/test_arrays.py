"""The functions on arrays: what the commands give for the same image, mistakes in one line, nothing heavy loaded."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import four_quadrants
from numpy.typing import NDArray
from PIL import Image
from test_layers import HEAVY, modules_loaded_by
from tiny_model import PLAIN, write_method, write_model

import unsegcli
from unsegcli import Inputs, Run, arrays, files, store
from unsegcli.dataflow.dataset import release_artifacts
from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.errors import ConfigError
from unsegcli.images.working import Reading
from unsegcli.params import Cluster, Evaluate, Iem, Images, Superpixels

FINE = Superpixels(segments=24)
AS_STORED = Images(axes="yxc")
Pixels = NDArray[Any]


def images() -> dict[str, Pixels]:
    """One of each kind, all of 40 x 56 pixels."""
    colours = four_quadrants(40, 56)
    deep = np.random.default_rng(0).integers(0, 40, (40, 56, 5)) + 9 * four_quadrants(40, 56)[:, :, [0, 1, 2, 0, 1]]
    holes = deep[:, :, :3] / 1000.0
    holes[:6, :9, 1] = np.nan
    cut = np.dstack([colours, np.full((40, 56), 255, np.uint8)])
    cut[30:, :, 3] = 0
    return {
        "rgb": colours,
        "grey": colours[:, :, 0],
        "two": colours[:, :, :2],
        "five": deep.clip(0, 255).astype(np.uint8),
        "uint16": deep[:, :, :3].astype(np.uint16),
        "uint16 of five": deep.astype(np.uint16),
        "float": holes,
        "float32 grey": holes[:, :, 1].astype(np.float32),
        "alpha": cut,
        "opaque": np.dstack([colours, np.full((40, 56), 255, np.uint8)]),
        "bool": colours[:, :, 0] > 100,
    }


KINDS = list(images())


def saved(folder: Path, image: Pixels, name: str = "p0") -> Inputs:
    """The image as the only file of a folder, for the command."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", image if image.ndim == 3 else image[:, :, None])
    return Inputs(folder, AS_STORED)


def masked(folder: Path, valid: Pixels, inputs: Inputs) -> Inputs:
    """The same with a mask of valid pixels."""
    folder.mkdir()
    Image.fromarray(np.where(valid, 255, 0).astype(np.uint8)).save(folder / "p0.png")
    return Inputs(inputs.paths, inputs.images, mask=folder)


def painted(path: Path, shape: tuple[int, ...] | None = None) -> list[Pixels]:
    """The label maps in an artifact on the grids of their images, -1 = void."""
    found = [item.on(item.source_grid) for item in open_predictions(path).maps]
    release_artifacts()
    return found


def corner(shape: tuple[int, ...] = (40, 56)) -> NDArray[np.bool_]:
    """Valid pixels: all but a corner."""
    valid = np.ones(shape, bool)
    valid[:15, :20] = False
    return valid


# ------------------------------------------------------------------------------------------- the same as the commands


@pytest.mark.parametrize("kind", KINDS)
def test_superpixels_are_those_of_the_command(tmp_path: Path, kind: str) -> None:
    image = images()[kind]
    before = image.copy()
    made = files.superpixels(saved(tmp_path / "data", image), FINE, Run(tmp_path / "sp.h5", workers=1))
    found = unsegcli.superpixels(image, FINE)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, painted(made.path)[0])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("kind", ["rgb", "uint16 of five", "float"])
def test_superpixels_of_valid_pixels(tmp_path: Path, kind: str) -> None:
    image, valid = images()[kind], corner()
    inputs = masked(tmp_path / "masks", valid, saved(tmp_path / "data", image))
    made = files.superpixels(inputs, FINE, Run(tmp_path / "sp.h5", workers=1))
    found = unsegcli.superpixels(image, FINE, valid=valid.astype(np.uint8))
    np.testing.assert_array_equal(found, painted(made.path)[0])
    assert (found[~valid] == -1).all()


@pytest.mark.parametrize("kind", ["rgb", "grey", "two", "uint16 of five", "float", "alpha"])
@pytest.mark.parametrize("settings", [Iem(iterations=20), Iem(size=(), crop=True, parts=3, iterations=5)])
def test_iem_is_that_of_the_command(tmp_path: Path, kind: str, settings: Iem) -> None:
    image = images()[kind]
    stored = settings if settings.parts > 2 else Iem(iterations=20, confidence=True)
    made = files.iem(saved(tmp_path / "data", image), stored, Run(tmp_path / "m.h5", workers=1))
    found = unsegcli.iem(image, settings)
    wanted = painted(made.path)[0]
    np.testing.assert_array_equal(found.parts, wanted)
    np.testing.assert_array_equal(found.mask, wanted > 0)
    assert found.mask.shape == image.shape[:2]
    with store.open_artifact(made.path) as artifact:
        assert np.float32(found.confidence) == artifact.table("windows/confidence")[0]
    if settings.parts == 2:
        item = open_predictions(made.path).maps[0]
        np.testing.assert_array_equal(found.objectness.astype(np.float16), item.confidence(item.source_grid))
        release_artifacts()


def test_iem_begins_with_the_mask_that_is_given(tmp_path: Path) -> None:
    image, valid = images()["rgb"], corner()
    start = np.zeros((40, 56), bool)
    start[22:38, 30:50] = True
    (tmp_path / "first").mkdir()
    Image.fromarray(start.astype(np.uint8)).save(tmp_path / "first" / "p0.png")
    inputs = masked(tmp_path / "masks", valid, saved(tmp_path / "data", image))
    settings = Iem(iterations=3, init=str(tmp_path / "first"))
    made = files.iem(inputs, settings, Run(tmp_path / "m.h5", workers=1))
    found = unsegcli.iem(image, Iem(iterations=3), valid=valid, start=start)
    np.testing.assert_array_equal(found.parts, painted(made.path)[0])
    assert (found.parts[~valid] == -1).all()
    assert (found.mask != unsegcli.iem(image, Iem(iterations=3), valid=valid).mask).any()


def test_iem_of_one_colour_says_what_is_wrong() -> None:
    found = unsegcli.iem(np.full((20, 20), 7, np.uint8))
    assert "one colour" in found.warning
    assert not found.mask.any()


@pytest.mark.parametrize("settings", [Cluster(classes=4), Cluster()])
def test_cluster_is_that_of_the_commands(tmp_path: Path, settings: Cluster) -> None:
    several = [four_quadrants(40, 56, 1), four_quadrants(56, 40, 2), four_quadrants(48, 48, 3)]
    for number, image in enumerate(several):
        inputs = saved(tmp_path / "data", image, f"p{number}")
    made = files.superpixels(inputs, FINE, Run(tmp_path / "sp.h5", workers=1))
    wanted = painted(files.cluster(Inputs(made.path), settings, Run(tmp_path / "c.h5", workers=1)).path)
    regions = [unsegcli.superpixels(image, FINE) for image in several]
    for found in (unsegcli.cluster(several, settings, FINE), unsegcli.cluster(several, settings, regions)):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_cluster_scales_all_images_alike(tmp_path: Path) -> None:
    several = [images()["uint16"], images()["uint16"] // 2 + 900]
    for number, image in enumerate(several):
        inputs = saved(tmp_path / "data", image, f"p{number}")
    made = files.superpixels(inputs, FINE, Run(tmp_path / "sp.h5", workers=1))
    done = files.cluster(Inputs(made.path), Cluster(classes=3), Run(tmp_path / "c.h5", workers=1))
    for one, other in zip(unsegcli.cluster(several, Cluster(classes=3), FINE), painted(done.path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_cluster_by_bands_and_with_void_superpixels() -> None:
    image = four_quadrants(40, 56)
    found = unsegcli.cluster([image, image], Cluster(classes=4, features="bands"))
    np.testing.assert_array_equal(found[0], found[1])
    assert len(np.unique(found[0])) == 4
    regions = np.where(corner(), unsegcli.superpixels(image, FINE), -1)
    assert ((unsegcli.cluster([image], Cluster(classes=2), [regions])[0] >= 0) == corner()).all()


# ------------------------------------------------------------------------------------------- models

WHOLE = Reading(**{**vars(PLAIN), "channels": 5, "values": "whole"})
SMALL = Reading(**{**vars(PLAIN), "size": (32,)})
SCALING = [(100.0, 1500.0)] * 5


@pytest.fixture
def method(tmp_path: Path, one_thread: None) -> Path:
    """A user's method."""
    return write_method(tmp_path / "mine.py")


@pytest.mark.parametrize("kind", ["rgb", "grey"])
def test_a_model_of_a_users_method_segments_as_the_command(tmp_path: Path, method: Path, kind: str) -> None:
    path = write_model(tmp_path / "model.h5", method)
    image = images()[kind]
    settings = Cluster(method=method, confidence=True)
    inputs = Inputs([path, *saved(tmp_path / "data", image).paths])
    done = files.cluster(inputs, settings, Run(tmp_path / "s.h5", workers=1, device="cpu"))
    model = unsegcli.load_model(path, method=method, device="cpu")
    assert (model.method, model.classes, model.bands) == ("mine", 4, 3)
    labels, sure = model.segment(image, confidence=True)
    np.testing.assert_array_equal(labels, painted(done.path)[0])
    item = open_predictions(done.path).maps[0]
    np.testing.assert_array_equal(sure.astype(np.float16), item.confidence(item.source_grid))
    np.testing.assert_array_equal(model.segment(image), labels)
    release_artifacts()


@pytest.mark.parametrize("name", ["iic", "infoseg", "inmars"])
def test_a_model_of_a_shipped_method_segments_as_the_command(tmp_path: Path, one_thread: None, name: str) -> None:
    path = write_model(tmp_path / "model.h5", name, nearest=False)  # type: ignore[arg-type]
    image = four_quadrants(72, 56)
    inputs = saved(tmp_path / "data", image)
    model = unsegcli.load_model(path, device="cpu")
    run = Run(tmp_path / "s.h5", workers=1, device="cpu")
    done = files.cluster(Inputs([path, *inputs.paths]), Cluster(), run)
    np.testing.assert_array_equal(model.segment(image), painted(done.path)[0])
    cut = files.superpixels(masked(tmp_path / "masks", corner((72, 56)), inputs), FINE, Run(tmp_path / "sp.h5"))
    done = files.cluster(Inputs([path, cut.path]), Cluster(), Run(tmp_path / "t.h5", workers=1, device="cpu"))
    regions = unsegcli.superpixels(image, FINE, valid=corner((72, 56)))
    np.testing.assert_array_equal(model.segment(image, superpixels=regions), painted(done.path)[0])


def test_a_model_scales_as_it_learned_and_works_at_its_size(tmp_path: Path, method: Path) -> None:
    deep = write_model(
        tmp_path / "deep.h5", method, channels=5, reading=WHOLE, scaling=SCALING, nearest=False, classes=6
    )
    small = write_model(tmp_path / "small.h5", method, reading=SMALL)
    for path, kind in ((deep, "uint16 of five"), (small, "rgb")):
        image, valid = images()[kind], corner()
        inputs = masked(tmp_path / f"masks {kind}", valid, saved(tmp_path / kind, image))
        inputs = Inputs([path, *inputs.paths], mask=inputs.mask)
        run = Run(tmp_path / f"{kind}.h5", workers=1, device="cpu")
        done = files.cluster(inputs, Cluster(method=method), run)
        found = unsegcli.load_model(path, method=method, device="cpu").segment(image, valid=valid)
        np.testing.assert_array_equal(found, painted(done.path)[0])
        assert (found[:10, :10] == -1).all()
    with pytest.raises(ConfigError, match="3 bands"):
        unsegcli.load_model(deep, method=method).segment(images()["uint16"])
    with pytest.raises(ConfigError, match="uint8"):
        unsegcli.load_model(deep, method=method).segment(images()["five"])


def test_a_model_that_groups_objects_afterwards_says_where_that_is_done(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.h5", "maskcontrast", nearest=False)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"unsegcli\.files\.cluster"):
        unsegcli.load_model(path, device="cpu").segment(four_quadrants(40, 56))


# ------------------------------------------------------------------------------------------- scores


def pairs(count: int = 3) -> tuple[list[Pixels], list[Pixels]]:
    """Predictions and truths, with void and ignored pixels."""
    random = np.random.default_rng(0)
    truths = [random.integers(0, 3, (20, 30)).astype(np.uint8) for _ in range(count)]
    found = [np.where(random.random((20, 30)) < 0.3, 3, (truth + 1) % 3).astype(np.uint8) for truth in truths]
    for truth in truths:
        truth[:2] = 255
    return found, truths


def scored_by_command(tmp_path: Path, found: list[Pixels], truths: list[Pixels], settings: Evaluate) -> dict[str, Any]:
    for name, maps in (("found", found), ("labels", truths)):
        (tmp_path / name).mkdir()
        for number, one in enumerate(maps):
            Image.fromarray(one).save(tmp_path / name / f"p{number}.png")
    settings = Evaluate(**{**vars(settings), "labels": tmp_path / "labels"})
    scores: dict[str, Any] = files.evaluate(Inputs(tmp_path / "found"), settings, Run(tmp_path / "m.h5")).scores
    of_files = ("input", "missing", "labels", "legend", "pretrained")  # arrays do not say where they come from
    return {name: value for name, value in scores.items() if name not in of_files}


@pytest.mark.parametrize(
    "settings",
    [
        Evaluate(ignore=(255,)),
        Evaluate(ignore=(255,), matching="many-to-one", per_image=True, ceiling=True, replicates=10),
        Evaluate(ignore=(255,), protocol="stego"),
        Evaluate(ignore=(255,), role="classes", replicates=0),
        Evaluate(ignore=(255,), role="mask"),
        Evaluate(role="mask", protocol="iem", ignore=(255,)),
        Evaluate(ignore=(255,), role="superpixels"),
    ],
    ids=lambda one: f"{one.role} {one.protocol} {one.matching}",
)
def test_scores_are_those_of_the_command(tmp_path: Path, settings: Evaluate) -> None:
    found, truths = pairs()
    wanted = scored_by_command(tmp_path, found, truths, settings)
    assert arrays.evaluate(found, truths, settings) == wanted
    assert wanted["labels_used"] == "scoring"


def test_scores_of_one_pair_of_a_stack_and_of_names() -> None:
    found, truths = pairs()
    one = unsegcli.evaluate(found[0], truths[0], ignore=[255])
    assert one["images"] == 1
    assert one["scores"]["accuracy"] > 0.6
    assert unsegcli.evaluate(np.stack(found), np.stack(truths), ignore=[255]) == unsegcli.evaluate(
        found, truths, ignore=[255]
    )
    named = unsegcli.evaluate(found[0], truths[0], ignore=[255], clusters=6, classes=["a", "b", "c", "none"])
    assert [one["class"] for one in named["per_class"]] == ["a", "b", "c", "none"]
    assert len(named["assignment"]) == 6
    assert named["scores"]["accuracy"] == one["scores"]["accuracy"]


def test_truth_may_be_negative_or_not_a_number_and_masks_truth_values() -> None:
    found, truths = pairs(1)
    signed = np.where(truths[0] == 255, -1, truths[0].astype(np.int64))
    floats = np.where(truths[0] == 255, np.nan, truths[0])
    wanted = unsegcli.evaluate(found[0], truths[0], ignore=[255])
    for truth in (signed, floats):
        scores = unsegcli.evaluate(found[0], truth)
        assert {**scores, "protocol": 0} == {**wanted, "protocol": 0}
    mask = unsegcli.evaluate(found[0] > 0, truths[0] > 0, role="mask")
    assert mask == unsegcli.evaluate(found[0], np.sign(truths[0]), role="mask")
    assert mask["scores"]["iou"] > 0


def test_scores_of_iem_on_its_own_grid() -> None:
    image = four_quadrants(40, 56)
    found = unsegcli.iem(image, Iem(iterations=5))
    scores = unsegcli.evaluate(found.mask, found.mask, role="mask")
    assert scores["scores"]["iou"] == 1


# ------------------------------------------------------------------------------------------- mistakes

COLOURS = four_quadrants(20, 30)
MAP = np.zeros((20, 30), int)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: unsegcli.superpixels(Inputs("data")), "unsegcli.files.superpixels"),  # type: ignore[arg-type]
        (lambda: unsegcli.superpixels("data"), "unsegcli.files.superpixels"),  # type: ignore[arg-type]
        (lambda: unsegcli.superpixels([Path("a.png"), "b.png"]), "unsegcli.files.superpixels"),  # type: ignore[arg-type]
        (lambda: unsegcli.iem(Inputs("data")), "unsegcli.files.iem"),  # type: ignore[arg-type]
        (lambda: unsegcli.cluster(["sp.h5"]), "unsegcli.files.cluster"),  # type: ignore[list-item]
        (lambda: unsegcli.evaluate(Inputs("seg.h5"), Evaluate()), "unsegcli.files.evaluate"),  # type: ignore[arg-type]
        (lambda: unsegcli.superpixels([1, 2]), "list"),  # type: ignore[arg-type]
        (lambda: unsegcli.superpixels(None), "NoneType"),  # type: ignore[arg-type]
        (lambda: unsegcli.superpixels(np.zeros(5)), "an array of 5"),
        (lambda: unsegcli.superpixels(np.zeros((2, 3, 4, 5))), "2 x 3 x 4 x 5"),
        (lambda: unsegcli.superpixels(np.zeros((0, 4))), "no pixels"),
        (lambda: unsegcli.superpixels(np.zeros((4, 4), complex)), "complex128"),
        (lambda: unsegcli.superpixels(np.array([["a"]])), "not whole or real"),
        (lambda: unsegcli.superpixels(np.zeros((3, 40, 50), np.uint8)), "np.moveaxis"),
        (lambda: unsegcli.superpixels(COLOURS, 200), "unsegcli.params.Superpixels"),  # type: ignore[arg-type]
        (lambda: unsegcli.superpixels(COLOURS, Superpixels(compactness=0)), "--compactness"),
        (lambda: unsegcli.superpixels(COLOURS, valid=np.ones((3, 3), bool)), "the image is 20 x 30"),
        (lambda: unsegcli.superpixels(COLOURS, valid=np.ones((20, 30))), "truth values"),
        (lambda: unsegcli.iem(COLOURS, start=np.ones((3, 3), bool)), "start"),
        (lambda: unsegcli.iem(COLOURS, Iem(init="first.h5")), "start="),
        (lambda: unsegcli.iem(COLOURS, Iem(init="superpixels"), start=MAP), "one of them"),
        (lambda: unsegcli.iem(COLOURS, Iem(trace="folder")), "trace"),
        (lambda: unsegcli.iem(COLOURS, Iem(kernel=4)), "odd"),
        (lambda: unsegcli.cluster(COLOURS), "[image]"),
        (lambda: unsegcli.cluster([]), "a list of arrays"),
        (lambda: unsegcli.cluster(7), "not int"),  # type: ignore[arg-type]
        (lambda: unsegcli.cluster([COLOURS, COLOURS[:, :, [0, 1, 2, 0, 1]]]), "different numbers of bands"),
        (lambda: unsegcli.cluster([COLOURS], Cluster(per="pixel")), "load_model"),
        (lambda: unsegcli.cluster([COLOURS], superpixels=[]), "0 maps for 1 images"),
        (lambda: unsegcli.cluster([COLOURS], Cluster(features="bands"), [MAP]), "bands"),
        (lambda: unsegcli.evaluate(MAP, MAP[:5]), "bring both to one grid"),
        (lambda: unsegcli.evaluate([MAP, MAP], [MAP]), "2 predictions and 1 truths"),
        (lambda: unsegcli.evaluate([], []), "a list of arrays"),
        (lambda: unsegcli.evaluate([MAP, MAP[:, :4]], [MAP, MAP]), "prediction 1 is 20 x 4"),
        (lambda: unsegcli.evaluate(MAP + 0.5, MAP), "fractions"),
        (lambda: unsegcli.evaluate(MAP + 70_000, MAP), "above 65535"),
        (lambda: unsegcli.evaluate([COLOURS], [MAP]), "(height, width) is wanted"),
        (lambda: unsegcli.evaluate(MAP, MAP, role="masks"), "is not one of"),
        (lambda: unsegcli.evaluate(MAP, MAP, Evaluate(ceiling=True, background=4)), "the clusters 0 to 0"),
        (lambda: unsegcli.evaluate(MAP, MAP, Evaluate(protocol="iem")), "object masks"),
        (lambda: unsegcli.load_model(Inputs("model.h5")), "path"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_are_one_line(call: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_old_names_say_where_they_are() -> None:
    with pytest.raises(AttributeError, match=r"it is unsegcli\.files\.train"):
        _ = unsegcli.train
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = files.no_such_name


# ------------------------------------------------------------------------------------------- what is loaded


def test_functions_on_arrays_load_nothing_but_numpy() -> None:
    loaded = modules_loaded_by("from unsegcli import superpixels, iem, cluster, evaluate, load_model, Model, files")
    assert loaded & HEAVY == {"numpy"}
    assert not modules_loaded_by("from unsegcli import files") & HEAVY


def test_only_models_load_torch() -> None:
    code = """
import numpy as np, unsegcli
from unsegcli.params import Cluster, Iem, Superpixels
image = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
regions = unsegcli.superpixels(image, Superpixels(segments=6))
unsegcli.iem(image, Iem(iterations=1, size=()))
unsegcli.evaluate(unsegcli.cluster([image], Cluster(classes=2), [regions])[0], regions)
"""
    assert "torch" not in modules_loaded_by(code)


def test_examples_in_the_docstrings_run(tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "model.h5", "iic", nearest=False)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(arrays)
    assert done.failed == 0
    assert done.attempted >= 20
    for name in set(arrays.__all__) - {"Model", "ObjectMask"}:
        assert ">>> " in getattr(arrays, name).__doc__


def test_arrays_that_cannot_be_written_and_views_will_do(tmp_path: Path, method: Path) -> None:
    reading = Reading(**{**vars(PLAIN), "channels": 1})
    path = write_model(tmp_path / "model.h5", method, channels=1, reading=reading, nearest=False)
    model = unsegcli.load_model(path, method=method, device="cpu")
    image = four_quadrants(40, 56)[:, :, 0].copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(model.segment(image), model.segment(image.copy()))
    np.testing.assert_array_equal(unsegcli.superpixels(image, FINE), unsegcli.superpixels(image.copy(), FINE))
    np.testing.assert_array_equal(unsegcli.iem(image).parts, unsegcli.iem(image.copy()).parts)
    turned = image[::-1, ::-1].T
    np.testing.assert_array_equal(unsegcli.superpixels(turned, FINE), unsegcli.superpixels(turned.copy(), FINE))
    void = unsegcli.superpixels(image, FINE, valid=np.zeros((40, 56), bool))
    assert (void == -1).all()
    assert (model.segment(image, superpixels=void) == -1).all()
