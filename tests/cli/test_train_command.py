"""`unseg train` as typed: settings, what goes where, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy import tiny_sets, users_method, write_images, write_masks
from typed import unseg

from unsegcli import store

QUICK = ["--steps", "2", "--workers", "1"]


def one_line(*arguments: str, expect: int = 2) -> str:
    """The error message, which must be one line."""
    lines = unseg(*arguments, expect=expect).stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_images(tmp_path / "data", 3)
    users_method(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(path: str = "model.h5") -> dict[str, Any]:
    with store.open_artifact(path, "model") as artifact:
        return dict(json.loads(artifact.attributes["config"]))


def test_only_the_path_goes_to_standard_output(here: Path) -> None:
    first = unseg("train", "--method", "mine.py", *QUICK)
    assert first.stdout == "model.h5\n"
    assert "3 clusters; use --classes N" in first.stderr
    assert "mine on " in first.stderr
    again = unseg("train", "data", "--method", "mine.py", *QUICK)
    assert again.stdout == "model.h5\n"
    assert "up to date" in again.stderr


def test_several_seeds_print_a_path_each(here: Path) -> None:
    done = unseg("train", "data", "--method", "mine.py", "--seeds", "2", "--seed", "7", *QUICK)
    assert done.stdout == "model-seed7.h5\nmodel-seed8.h5\n"


def test_restarts_print_one_path(here: Path) -> None:
    done = unseg("train", "data", "--method", "mine.py", "--restarts", "2", "--seed", "7", *QUICK)
    assert done.stdout == "model.h5\n"
    assert "keeping the run with seed" in done.stderr
    assert sorted(path.name for path in here.glob("*.h5*")) == ["model.h5"]
    assert "--restarts keeps one model" in one_line(
        "train", "data", "--method", "mine.py", "--restarts", "2", "--seeds", "2", *QUICK
    )


def test_number_of_clusters_as_typed(here: Path) -> None:
    words = ["--classes", "auto", "--max-classes", "4"]
    done = unseg("train", "data", "--method", "mine.py", *words, *QUICK)
    assert "  2 clusters: stability" in done.stderr
    assert config()["classes"] == 2
    done = unseg("cluster", "data", "--features", "bands", *words, "--workers", "1")
    assert "  <- chosen" in done.stderr
    assert "a model is trained with one number" in unseg("train", "data", "--classes", "2,3", expect=2).stderr
    for wrong in ("many", "0", "2.5", "2,", "2,0"):
        for command in ("train", "cluster"):
            refused = unseg(command, "data", "--classes", wrong, expect=2).stderr
            assert f"--classes {wrong}: must be a whole number from 1, or auto" in refused
    assert "has no function region_vectors, which is needed for" in one_line(
        "cluster", "model.h5", "--method", "mine.py", "--classes", "auto"
    )


def test_settings_from_a_file_and_by_hand(here: Path) -> None:
    Path("more.toml").write_text("learning_rate = 0.5\ncrop = 12\n")
    words = "--config more.toml --set learning_rate=0.25 --set shy=yes --classes 4"
    unseg("train", "data", "--method", "mine.py", *words.split(), *QUICK)
    found = config()
    assert (found["learning_rate"], found["crop"], found["shy"], found["classes"]) == (0.25, 12, True, 4)


def test_result_is_used_by_cluster(here: Path) -> None:
    unseg("train", "data", "--method", "mine.py", *QUICK)
    assert unseg("cluster", "model.h5", "--method", "mine.py", "--workers", "1").stdout == "segmentation.h5\n"
    with store.open_artifact("segmentation.h5", "segmentation") as artifact:
        assert artifact.attributes["clusters"] == 3


def test_infoseg_takes_the_superpixels_of_the_working_folder(here: Path) -> None:
    unseg("superpixels", "data", "--pixels-per-segment", "20", "--workers", "1")
    sets = [word for pair in tiny_sets("infoseg") for word in ("--set", pair)]
    assert unseg("train", "--method", "infoseg", "--classes", "3", *sets, *QUICK).stdout == "model.h5\n"
    assert unseg("cluster", "--workers", "1").stdout == "segmentation.h5\n"


def test_dry_run_writes_and_prints_nothing(here: Path) -> None:
    done = unseg("train", "data", "--method", "mine.py", "--dry-run", *QUICK)
    assert done.stdout == ""
    assert "would train mine for 2 steps" in done.stderr
    assert not list(here.glob("*.h5*"))


def test_mistakes_are_one_line(here: Path) -> None:
    mine = ("train", "data", "--method", "mine.py")
    assert "choose from classes, crop, batch" in one_line(*mine, "--set", "ratte=1", *QUICK)
    assert "has no setting bacth; did you mean batch?" in one_line(*mine, "--set", "bacth=1", *QUICK)
    assert "learning_rate high: must be a number" in one_line(*mine, "--set", "learning_rate=high", *QUICK)
    assert "--steps and --epochs both" in one_line(*mine, "--epochs", "1", *QUICK)
    assert "is not one of context, iic, infoseg, inmars" in one_line("train", "data", "--method", "nonsense", *QUICK)
    assert "NaN or infinite at step 2" in one_line(*mine, "--set", "breaks=1", *QUICK, expect=1)
    assert not list(here.glob("*.h5*"))


def test_a_mistake_in_a_method_file_is_one_line(here: Path) -> None:
    path = users_method(here, "odd.py")
    path.write_text(path.read_text().replace("    total =", "    total = conditional / nothing\n    total ="))
    line = path.read_text().splitlines().index("    total = conditional / nothing") + 1
    given = ("train", "data", "--method", "odd.py", *QUICK)
    said = f"error: --method odd.py: line {line}, in loss: NameError: name 'nothing' is not defined"
    assert one_line(*given, expect=1) == said
    assert "Traceback" not in unseg(*given, expect=1).stderr
    assert "Traceback (most recent call last)" in unseg(*given, "--verbose", expect=1).stderr
    assert not list(here.glob("*.h5*"))


def test_a_preset_without_superpixels_takes_plain_images(here: Path) -> None:
    small = [word for pair in ("batch=2", "width=4", "features=4", "blocks=1") for word in ("--set", pair)]
    paper = ("--method", "infoseg", "--preset", "paper", *small, "--classes", "3", *QUICK)
    assert unseg("train", "data", *paper).stdout == "model.h5\n"
    assert unseg("cluster", "model.h5", "--workers", "1").stdout == "segmentation.h5\n"
    done = unseg("train", "data", *paper, "--set", "guide=1", "-o", "guided.h5")
    assert "$ unseg superpixels data -o guided-superpixels.h5" in done.stderr


def test_masks_are_handed_on(here: Path) -> None:
    users_method(here, "guided.py", '\ndef needs(config): return ("proposals",)\n')
    write_masks(here / "masks.h5", here / "data", confidence_of=lambda window: 0.5)
    guided = ("train", "data", "--method", "guided.py", *QUICK)
    assert unseg(*guided, "--proposals", "masks.h5").stdout == "model.h5\n"
    assert "3 below --min-confidence" in one_line(
        *guided, "--proposals", "masks.h5", "--min-confidence", "0.6", "-o", "b.h5", expect=1
    )
    assert "give them with --proposals" in one_line(*guided)
    assert "no such file" in one_line(*guided, "--proposals", "nothing.h5", expect=1)


def test_objects_are_grouped_as_asked(here: Path) -> None:
    write_masks(here / "masks.h5", here / "data")
    sets = [word for pair in tiny_sets("maskcontrast") for word in ("--set", pair)]
    trained = unseg("train", "data", "--method", "maskcontrast", "--proposals", "masks.h5", *sets, *QUICK)
    assert "--classes" not in trained.stderr, "clusters are found afterwards"
    given = ("cluster", "model.h5", "--classes", "2", "--threshold", "0.0001", "--pooling", "logit", "--workers", "1")
    done = unseg(*given, "--object-is", "component", "--seed", "3", "--starts", "2")
    assert "2 clusters of objects, 1 to 2, and background as cluster 0" in done.stderr
    with store.open_artifact("segmentation.h5", "segmentation") as artifact:
        assert artifact.attributes["clusters"] == 3
        told = artifact.recipe["parameters"]
        assert (told["classes"], told["seed"], told["starts"], told["pooling"]) == (2, 3, 2, "logit")
    alone = unseg("cluster", "model.h5", "--seed", "3", "--threshold", "0.0001", "--workers", "1", "-o", "b.h5")
    assert "8 clusters of objects, 1 to 8" in alone.stderr, "as the method's settings say"
    assert "--threshold 2: must be between 0 and 1" in one_line("cluster", "model.h5", "--threshold", "2")
    assert "cannot be read (No such file" in one_line(
        "train", "data", "--method", "maskcontrast", "--proposals", "masks.h5", "--weights", "w.pth", expect=1
    )


def test_a_broken_image_is_told(here: Path) -> None:
    Path("data/notes.png").write_text("no image")
    whole = Path("data/p1.png").read_bytes()
    Path("data/p1.png").write_bytes(whole[: len(whole) // 2])  # which is noticed only when it is decoded
    done = unseg("train", "data", "--method", "mine.py", *QUICK, expect=1)
    assert done.stdout == "model.h5\n"
    assert "skipped notes.png" in done.stderr
    assert "skipped p1.png" in done.stderr
    assert "2 images could not be read" in done.stderr
    assert unseg("train", "data", "--method", "mine.py", "-o", "b.h5", "--skip-bad", *QUICK).stdout == "b.h5\n"
