"""Rows of results, from scores that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unsegcli.cli.benchmark import describe
from unsegcli.dataflow import result_rows
from unsegcli.dataflow.method_commands import MATCHED, NAMED, Job, Step
from unsegcli.dataflow.result_rows import mean_and_spread, rows_of

NETWORK = [{"name": "lite0", "digest": "0", "licence": "Apache-2.0", "labels": "ImageNet-1k"}]


def job(seed: int, *measures: str, method: str = "lite0", name: str = "toy") -> Job:
    first = Step(("features",), Path("f.h5"), "features")
    scored = [Step(("evaluate",), Path(f"{name}-{seed}-{one}.h5"), "evaluate", method, seed, one) for one in measures]
    return Job(name, method, seed, (first, *scored))


@pytest.fixture(autouse=True)
def _scores(monkeypatch: pytest.MonkeyPatch) -> None:
    def made_up(path: Path) -> dict[str, Any]:
        seed = int(path.stem.split("-")[1])
        scores = {"accuracy": 0.5 + seed / 10, "miou": 0.4, "nmi": 0.1}
        chance = {"largest_class": 0.3, "constant_miou": 0.15}
        return {"scores": scores, "chance": chance, "pretrained": NETWORK if path.stem.startswith("toy") else []}

    monkeypatch.setattr(result_rows, "scores_in", made_up)


def test_a_row_has_its_measures_and_what_went_in() -> None:
    majority, first, second = rows_of([job(0, MATCHED, NAMED), job(1, MATCHED)])
    title, words = "k-means, features of lite0", "pretrained weights: lite0 (ImageNet-1k labels)"
    assert first == {
        "set": "toy", "row": title, "seed": 0, "matched": [0.5, 0.4], "named": [0.5, 0.4], "pretrained": words,
    }  # fmt: skip
    assert (second["seed"], second["matched"]) == (1, [0.6, 0.4])
    assert "named" not in second
    assert majority["row"] == "largest class everywhere"
    assert majority["matched"] == [0.3, 0.15]


def test_a_mean_over_seeds_has_a_deviation() -> None:
    rows = [{"matched": [0.5, 0.1]}, {"matched": [0.7, 0.1]}, {"named": [0.0, 0.0]}]
    assert mean_and_spread(rows, "matched", 0) == pytest.approx((0.6, 0.1414213562))
    assert mean_and_spread(rows[:1], "matched", 0) == (0.5, None)
    assert mean_and_spread(rows, "probe", 0) is None


def test_a_table_says_which_networks_had_learned_before() -> None:
    rows = rows_of([job(0, MATCHED), job(0, MATCHED, method="regions", name="other")])
    facts = {"made_by": "unseg", "date": "today", "machine": "any", "labels_used": "scoring", "seeds": 1}
    *_, last = describe({**facts, "measures": {"matched": "matched"}, "rows": rows})
    assert last == "k-means, features of lite0: pretrained weights: lite0 (ImageNet-1k labels)"
