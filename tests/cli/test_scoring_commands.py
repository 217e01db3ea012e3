"""`evaluate`, `relabel` and `demo` as typed: what is printed where, and the whole way in one go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeImages
from PIL import Image
from typed import unseg

from unsegcli import store
from unsegcli.cli.evaluate import show_scores
from unsegcli.cli.retrieve import show_retrieval
from unsegcli.stages.demo import MAPS, SCORED, best_of, compared

QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 24, axis=0), 32, axis=1)


@pytest.fixture
def here(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with labelled images in data/, and a segmentation of them."""
    make_images("data/images")
    (tmp_path / "data" / "labels").mkdir()
    for number in range(3):
        Image.fromarray(QUADRANTS).save(tmp_path / "data" / "labels" / f"p{number}.png")
    monkeypatch.chdir(tmp_path)
    unseg("cluster", "data", "--features", "bands", "--blur", "1", "--classes", "4", "--workers", "1")
    return tmp_path


def test_evaluate_works_as_typed(here: Path) -> None:
    result = unseg("evaluate", "--hungarian")
    found = json.loads(result.stdout)
    assert found["scores"]["accuracy"] > 0.9
    assert found["labels_used"] == "scoring"
    assert "metrics.h5" in result.stderr
    assert "metrics.h5" not in result.stdout
    again = unseg("evaluate", "--hungarian")
    assert again.stdout == result.stdout, "scores are told again when nothing has changed"
    assert "up to date" in again.stderr


def test_evaluate_takes_a_folder_of_any_tool(here: Path) -> None:
    found = json.loads(unseg("evaluate", "data/labels", "--labels", "data/labels").stdout)
    assert found["scores"]["accuracy"] == 1
    assert found["role"] == "clusters"
    assert (
        json.loads(unseg("evaluate", "data/labels", "--labels", "data/labels", "--role", "classes").stdout)["protocol"][
            "matching"
        ]
        == "none"
    )


def test_evaluate_answers_mistakes_in_one_line(here: Path) -> None:
    (here / "data" / "labels").rename(here / "truth")
    result = unseg("evaluate", expect=1)
    assert "--labels" in result.stderr
    assert result.stderr.count("error:") == 1
    assert "--role" in unseg("evaluate", "segmentation.h5", "--labels", "truth", "--role", "mask", expect=2).stderr
    unseg("evaluate", "--protocol", "none", expect=2)


def test_tables_for_people(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(unseg("evaluate", "--per-image", "--protocol", "stego").stdout)
    show_scores(found)
    shown = capsys.readouterr().out
    for word in ("accuracy", "by chance", "largest class", "oracle", "not reproduced", "CRF", "pixels unmatched"):
        assert word in " ".join(shown.split())
    several: dict[str, Any] = json.loads(unseg("evaluate", "segmentation.h5", "segmentation.h5", "-o", "m2.h5").stdout)
    show_scores(several)
    shown = capsys.readouterr().out
    assert "2 runs" in shown
    below = shown.split("├")[-1]  # chance is apart from the results
    assert ("chance: largest class" in below, "segmentation" in below) == (True, False)
    assert sum("mean" in line for line in shown.splitlines()) == 1


def test_a_curve_over_numbers_of_clusters_has_one_row_for_each(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    made = unseg("cluster", "data", "--features", "bands", "--classes", "2,4,6", "-o", "c.h5", "--workers", "1").stdout
    assert made == "c-2.h5\nc-4.h5\nc-6.h5\n"
    found = json.loads(unseg("evaluate", *made.split(), "--many-to-one", "--named-on", "even", "-o", "m.h5").stdout)
    assert [run["protocol"]["clusters"] for run in found["runs"]] == [2, 4, 6]
    many = unseg("cluster", "data", "--features", "bands", "--classes", "8", "-o", "c-8.h5", "--workers", "1").stdout
    assert "8 clusters for 4 classes: matched one to one, 4 of them" in unseg("evaluate", many.strip()).stderr
    for fair in (["c-8.h5", "--many-to-one"], ["c-6.h5"]):
        assert "matched one to one" not in unseg("evaluate", *fair).stderr
    scores = [run["scores"]["accuracy"] for run in found["runs"]]
    assert scores[0] < 0.6 < 0.9 < scores[1]
    assert "mean" not in found, "a mean over numbers of clusters means nothing"
    show_scores(found)
    shown = capsys.readouterr().out
    for name, score in zip(made.split(), scores, strict=True):
        assert sum(name in line and f"{score:.3f}" in line for line in shown.splitlines()) == 1
    assert "named by the even images" in " ".join(shown.split())


def test_ceiling_is_shown_as_an_oracle(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(unseg("evaluate", "--ceiling", "--background", "0").stdout)
    show_scores(found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "oracle, each connected part of a cluster with its best class: accuracy" in shown
    assert "oracle, each cluster of each image with its best class: accuracy" in shown
    assert "is only for --ceiling" in unseg("evaluate", "--background", "0", expect=2).stderr


def test_relabel_by_hand_and_by_metrics(here: Path) -> None:
    assert unseg("relabel", "segmentation.h5", "0=a", "1+2=b", "-o", "hand.h5").stdout == "hand.h5\n"
    with store.open_artifact("hand.h5") as artifact:
        assert artifact.table("categories/name") == ["a", "b", "cluster 2 (was 3)"]
    unseg("evaluate", "segmentation.h5")
    assert "labels" in unseg("relabel", "segmentation.h5", "--metrics", "metrics.h5").stderr
    assert store.kind_of("relabelled.h5") == "segmentation"
    assert "3=water" in unseg("relabel", "segmentation.h5", expect=2).stderr


def test_a_chain_of_names_is_followed_and_nothing_is_overwritten(here: Path) -> None:
    assert unseg("relabel", "0=water", "1+2=roof").stdout == "relabelled.h5\n"
    again = unseg("relabel", "Roof=barn")
    assert again.stdout == "relabelled-2.h5\n"
    assert (
        "using relabelled.h5 (segmentation), the last of segmentation.h5 -> relabelled.h5: each was made"
        in again.stderr
    )
    with store.open_artifact("relabelled-2.h5") as artifact:
        assert artifact.table("categories/name") == ["water", "barn", "cluster 2 (was 3)"]
    assert unseg("relabel", "relabelled-2.h5", "barn=hut").stdout == "relabelled-3.h5\n"
    assert "relabelled-3.h5 (segmentation), the last of" in unseg("evaluate").stderr
    split = unseg("relabel", "relabelled.h5", "2=sand")
    assert split.stdout == "relabelled-4.h5\n", "relabelled-3.h5 was made from relabelled-2.h5"
    assert "relabelled-3.h5 has other names for the same clusters; it is kept" in split.stderr
    assert split.stderr.splitlines()[-1].startswith("relabel: 3 images, 3 clusters, ")
    assert unseg("relabel", "relabelled.h5", "2=sand").stderr.startswith("relabelled-4.h5 is up to date")
    (here / "relabelled-4.h5").unlink()
    text = unseg("inspect", "relabelled-3.h5").stdout
    assert "hut" in text.split("categories, 0 pixels are void")[1].split("contents")[0]
    unseg("relabel", "segmentation.h5", "3=sand", "-o", "other.h5")
    refused = unseg("visualize", expect=1).stderr
    assert "several segmentation files (other.h5, relabelled-3.h5): name one" in refused, "only the last of each chain"


def test_names_given_one_by_one_to_the_same_file_say_how_to_have_both(here: Path) -> None:
    unseg("relabel", "segmentation.h5", "3=water")
    second = unseg("relabel", "segmentation.h5", "1=roof")
    assert second.stdout == "relabelled-2.h5\n"
    assert "relabelled.h5 has other names for the same clusters; it is kept, and the output is relabelled-2.h5" in (
        second.stderr
    )
    assert "To go on from it, with its numbers: unseg relabel relabelled.h5 2=roof\n" in second.stderr
    assert "(relabelled-2.h5, relabelled.h5): name one, as in `unseg visualize relabelled-2.h5`" in (
        unseg("visualize", expect=1).stderr
    )
    both = unseg("relabel", "relabelled.h5", "2=roof").stdout.strip()
    with store.open_artifact(both) as artifact:
        assert artifact.table("categories/name") == ["roof", "water", "cluster 2 (was 0)", "cluster 3 (was 2)"]
    third = unseg("relabel", "segmentation.h5", "0+3=sea").stderr
    assert f"To go on from it, with its numbers: unseg relabel {both} RULES\n" in third, "3 has a name there already"
    fourth = unseg("relabel", "segmentation.h5", "0+2=sea").stderr
    assert "To go on from it, with its numbers: unseg relabel relabelled-4.h5 RULES\n" in fourth


def test_words_that_are_no_rules_and_outputs_that_are_no_files_are_explained(here: Path) -> None:
    for words, complaint in (
        (["0=sand,1=road"], "write 0=sand 1=road"),
        (["0:tree"], "write 0=tree"),
        (["0", "=", "tree"], "write 0=tree without spaces"),
        (["water"], "no such file; if it is meant as a rule: write 3=water"),
        (["0=a", "-o", "a.png"], "-o a.png: the output is an HDF5 file: name it a.h5"),
    ):
        assert complaint in unseg("relabel", "segmentation.h5", *words, expect=2).stderr
    assert "the output is a folder: name it a" in unseg("visualize", "segmentation.h5", "-o", "a.jpg", expect=2).stderr
    assert "an HDF5 file" in unseg("cluster", "superpixels.h5", "-o", "a.tif", expect=2).stderr


@pytest.mark.slow
def test_demo_goes_the_whole_way(tmp_path: Path) -> None:
    """The README's promise, with fewer images: every command runs, the scores beat chance, and it can be repeated."""
    command = [sys.executable, "-m", "unsegcli", "demo", "--mosaics", "12", "-o", "try"]
    environment = os.environ | {"COLUMNS": "100"}
    for again in (False, True):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "try/report"
        assert "$ unseg map data --seed 0 -o map" in done.stderr
        assert done.stderr.splitlines()[-1] == "then map images of your own:  unseg map PHOTOS -o map"
        assert ("up to date" in done.stderr) is again
        shown = "$ unseg visualize map/segmentation.h5 regions.h5 pixels.h5 --metrics metrics.h5 --metrics regions"
        assert shown in done.stderr, "all three with their scores"
    assert (tmp_path / "try" / "report" / "index.html").exists()
    with store.open_artifact(tmp_path / "try" / "metrics.h5") as artifact:
        scores = json.loads(bytes(artifact.table("scores")))
    assert scores["scores"]["accuracy"] > 1.3 * scores["chance"]["largest_class"]
    with store.open_artifact(tmp_path / "try" / "named.h5") as artifact:
        assert "brick" in artifact.table("categories/name")


def test_the_demo_shows_the_most_accurate_map_and_the_learned_one_if_they_tie() -> None:
    scores = {"metrics.h5": 0.5, "regions-metrics.h5": 0.6, "pixels-metrics.h5": 0.4}
    found = {name: {"scores": {"accuracy": accuracy}} for name, accuracy in scores.items()}
    assert MAPS[best_of(found)] == "regions.h5"
    assert best_of(found | {"metrics.h5": {"scores": {"accuracy": 0.6}}}) == "metrics.h5"
    assert set(MAPS) == set(SCORED)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ((0.60, 0.50), "better than"),
        ((0.64, 0.50), "about as good as"),  # its accuracy is inside the interval of the first
        ((0.60, 0.56), "about as good as"),  # its mIoU is
        ((0.60, 0.70), "about as good as"),  # one score is higher, one lower
        ((0.80, 0.70), "worse than"),
    ],
)
def test_the_demo_calls_better_only_what_lies_outside_the_intervals(other: tuple[float, float], verdict: str) -> None:
    def scored(accuracy: float, miou: float, spread: float) -> dict[str, Any]:
        around = {"accuracy": [accuracy - spread, accuracy + spread], "miou": [miou - spread, miou + spread]}
        return {"scores": {"accuracy": accuracy, "miou": miou}, "interval": around}

    own = scored(0.7, 0.6, 0.07)
    said = compared({"learned": own, "k-means": scored(*other, 0.01)})
    assert said == f"accuracy / mIoU: learned 0.700 / 0.600; {verdict} k-means {other[0]:.3f} / {other[1]:.3f}"
    narrow = scored(0.7, 0.6, 0.01)
    assert "about as good as" in compared({"learned": narrow, "k-means": scored(0.65, 0.55, 0.06)}), (
        "inside the other's"
    )
    assert "about as good as" in compared({"learned": narrow, "k-means": scored(0.2, 0.1, 0.1) | {"interval": {}}})


def test_demo_leaves_other_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "data").mkdir(parents=True)
    (tmp_path / "mine" / "data" / "thesis.txt").write_text("precious")
    assert "thesis.txt" in unseg("demo", "-o", "mine", "--mosaics", "8", expect=1).stderr
    assert sorted(path.name for path in (tmp_path / "mine").rglob("*")) == ["data", "thesis.txt"]


@pytest.mark.parametrize(("halves", "said"), [(3, "over 3 random halves"), (0, "on the images of the lists")])
def test_the_table_of_retrieval_names_networks_and_divisions(
    halves: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = {"scores": {"miou": 0.5}, "spread": {}}
    lite0 = {"name": "lite0", "licence": "Apache-2.0", "labels": "ImageNet-1k"}
    run = {"input": "f.h5", "vectors": {"dimensions": 4}, "floors": [{"of": "colours", "dimensions": 2, **scored}]}
    run |= {"pretrained": [lite0], "protocol": {"halves": halves}, "ceiling": scored, "chance": scored, **scored}
    show_retrieval(run)
    printed = capsys.readouterr().out
    assert said in printed
    assert "pretrained weights: lite0 (ImageNet-1k labels)" in printed
