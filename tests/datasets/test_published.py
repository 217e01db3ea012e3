"""The file of published scores: every entry is whole, and every row that `unseg` has is found."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from unsegcli.core.scoring.protocols import PROTOCOLS
from unsegcli.datasets._load import known_sets
from unsegcli.datasets._published import BASELINES, CERTAINTIES, FILE, OURS, SCORES, find_row, known_rows
from unsegcli.datasets._row_runs import labels_used_by
from unsegcli.errors import ConfigError

CONTENT: dict[str, Any] = tomllib.loads(FILE.read_text(encoding="utf-8"))
NUMBERS = CONTENT["number"]


def test_every_number_has_system_task_scores_and_source() -> None:
    for one in NUMBERS:
        assert set(one) <= {"task", "system", "variant", "scores", "certainty", "source", "protocol"}, one
        assert one["system"] in CONTENT["system"], one
        assert one["task"] in CONTENT["task"], one
        assert one["certainty"] in CERTAINTIES, one
        assert one["source"], one
        assert one["scores"], one
        assert all(0 < value < 100 for value in one["scores"].values()), one


def test_no_number_is_given_twice() -> None:
    keys = [(one["task"], one["system"], one.get("variant")) for one in NUMBERS]
    assert len(set(keys)) == len(keys)


def test_every_system_is_described_and_used() -> None:
    assert {one["system"] for one in NUMBERS} == set(CONTENT["system"])
    for name, system in CONTENT["system"].items():
        assert {"title", "year", "weights", "protocol"} <= set(system), name


def test_every_task_is_of_a_known_set() -> None:
    for name, task in CONTENT["task"].items():
        assert task["set"] in known_sets(), name
        assert task["kind"] in BASELINES.keys() & OURS, name


def test_systems_with_other_data_or_weights_say_so() -> None:
    """The line from STEGO on crops, mirrors and divides otherwise, and starts from pretrained networks."""
    for name in ("stego", "hp", "smooseg", "eagle", "primaps", "cause", "features-kmeans"):
        assert CONTENT["system"][name]["protocol"], name
        assert "DINO" in CONTENT["system"][name]["weights"], name


# From the papers' tables, typed here a second time.
ROWS = {
    "iic/potsdam-3": 65.1, "inmars/potsdam-3": 70.1, "infoseg/potsdam-3": 71.6,
    "iic/potsdam": 45.4, "inmars/potsdam": 47.3, "infoseg/potsdam": 57.3,
    "iic/coco-stuff-3": 72.3, "inmars/coco-stuff-3": 73.1, "infoseg/coco-stuff-3": 73.8,
    "iic/coco-stuff-15": 27.7, "inmars/coco-stuff-15": 31.0, "infoseg/coco-stuff-15": 38.8,
    "infoseg/coco-persons": 69.6, "iic/coco-stuff-27": 6.7, "iic/cityscapes-27": 6.4,
    "iem/flowers": 76.8, "iem-segnet/flowers": 78.9, "iem/cub": 52.2, "iem-segnet/cub": 55.1,
    "iem/lsun-car": 65.1, "iem-segnet/lsun-car": 68.5,
    "maskcontrast/voc": 35.0, "maskcontrast/voc-probe": 58.4, "maskcontrast/voc-retrieval-7": 53.4,
}  # fmt: skip


def test_rows_have_the_scores_of_the_papers() -> None:
    found = {row.name: row.numbers[0].scores[row.score] for row in known_rows() if row.numbers}
    assert found == ROWS


def test_a_row_reads_what_it_scores_and_learns_from() -> None:
    wanted = {
        "iem/flowers": 1_020,
        "iem-segnet/flowers": 7_169,
        "pixels/potsdam-3": 8_550,
        "pixels/coco-stuff-27": 2_175,
        "maskcontrast/davis": 1_376,
        "iem/lsun-car": 0,
    }
    assert {name: find_row(name).images for name in wanted} == wanted


def test_rows_that_learn_from_labels_say_so() -> None:
    assert labels_used_by([find_row("iem/flowers"), find_row("pixels/potsdam")]) == "scoring"
    probe = [find_row(name) for name in ("maskcontrast/voc", "maskcontrast/voc-probe", "colours/davis")]
    assert labels_used_by(probe) == (
        "scoring, and for learning a linear classifier, and for the first frame of each video"
    )


def test_all_compared_scores_have_words() -> None:
    assert {row.score for row in known_rows()} <= set(SCORES)
    assert all("_" not in words for words in SCORES.values())


def test_what_prepared_images_reproduce_is_what_scoring_leaves_open() -> None:
    """Else a sentence that was changed in one place would be printed as not reproduced."""
    for published, _ in known_sets().values():
        rules = published.rules
        open_ones = PROTOCOLS[rules.protocol].not_reproduced if rules.protocol else ()
        assert set(rules.reproduced) <= set(open_ones), published.name


@pytest.mark.parametrize("name", [name for name in ROWS if not name.endswith("-27")])
def test_rows_of_papers_have_a_preset(name: str) -> None:
    assert find_row(name).preset


def test_any_network_is_a_row_of_clusters() -> None:
    assert find_row("timm:vit_small_patch14_dinov2.lvd142m/potsdam-3").method == "timm:vit_small_patch14_dinov2.lvd142m"
    assert find_row("some/where/model.h5/davis").method == "some/where/model.h5"
    for wrong in ("timm:resnet18/flowers", "infoseg/nowhere", "infoseg", "stego/potsdam-3"):
        with pytest.raises(ConfigError, match="benchmark --list"):
            find_row(wrong)
