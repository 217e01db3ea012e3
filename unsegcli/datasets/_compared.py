"""Our scores of a row beside the published ones, with all that differs between the two in words."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from unsegcli.dataflow.provenance import in_words
from unsegcli.datasets._description import several
from unsegcli.datasets._published import CERTAINTIES, PERCENT, SCORES, VIDEO, BenchmarkRow, PublishedNumber

SAME = "the same, as far as is known"


def compared(
    row: BenchmarkRow, found: Sequence[Mapping[str, Any]], how: Sequence[str], prepared: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the scores of our runs, the published ones, and what differs.

    Args:
        row: what was run.
        found: what `evaluate`, `probe` or `retrieve` wrote, for each seed.
        how: what is special about these runs, in words.
        prepared: the description of the prepared data set.
    """
    seeds = [PERCENT * score_of(one, row.score) for one in found]
    ours = statistics.fmean(seeds)
    published = row.numbers[0].scores.get(row.score) if row.numbers else None
    return {
        "row": row.name,
        "task": row.task,
        "score": row.score,
        "score_in_words": SCORES[row.score],
        "ours": {"mean": ours, "deviation": statistics.stdev(seeds) if len(seeds) > 1 else None, "seeds": seeds},
        "scores": [one["scores"] for one in found],
        "published": [said_of(one, row.score) for one in row.numbers],
        "difference": None if published is None else ours - published,
        "protocol": protocol_of(row),
        "differences": [*_differences(row, found, prepared), *how],
        "beside": [*_for_nothing(found[0], row.score), *(said_of(one, row.score) for one in row.others)],
        "labels_used": list(dict.fromkeys(one["labels_used"] for one in found)),
    }


def score_of(found: Mapping[str, Any], name: str) -> float:
    """Return one score."""
    scores: Mapping[str, float] = found["scores"]
    return scores[name]


def said_of(number: PublishedNumber, score: str) -> dict[str, Any]:
    """Describe a published score."""
    same = (SAME, number.chosen)
    return {
        "system": number.system + (f" ({number.variant})" if number.variant else ""),
        "value": number.scores.get(score),
        "scores": dict(number.scores),
        "weights": number.weights,
        "protocol": f"other protocol: {number.protocol}" if number.protocol else "; ".join(filter(None, same)),
        "certainty": CERTAINTIES[number.certainty],
        "source": number.source,
    }


def _for_nothing(found: Mapping[str, Any], score: str) -> list[dict[str, Any]]:
    """Describe the score of the largest class everywhere, if there is one."""
    chance = found.get("chance", {})
    names = {"accuracy": ("largest_class",), "miou": ("constant_miou", "largest_class_miou")}.get(score, ())
    return [
        {
            "system": "largest class everywhere",
            "value": PERCENT * chance[name],
            "scores": {score: PERCENT * chance[name]},
            "weights": "none",
            "protocol": SAME,
            "certainty": "measured here",
            "source": "the labels",
        }
        for name in names
        if name in chance
    ]


def protocol_of(row: BenchmarkRow) -> str:
    """Say how a row is trained and scored."""
    rules = row.published.rules
    trained, scored = (" and ".join(one) or "all images" for one in (rules.trained_on, rules.scored_on))
    learned = "" if row.kind == VIDEO else f"trained on {trained}, "
    return (
        f"{learned}scored on {scored}; matching: {rules.matching}, at the level of the {rules.level}; "
        f"{rules.clusters} clusters; {rules.size}"
    )


def _differences(row: BenchmarkRow, found: Sequence[Mapping[str, Any]], prepared: Mapping[str, Any]) -> list[str]:
    """Say what differs from what was published, and what else to know."""
    rules = row.published.rules
    whole = prepared.get("options", {}).get("original_size", False)
    done = () if whole else rules.reproduced
    said = [text for one in found[:1] for text in one["protocol"].get("not_reproduced", []) if text not in done]
    lines = [f"not reproduced: {text}" for text in said]
    lines += ["prepared with --original-size: images are not scaled and cropped as papers do"] if whole else []
    seen = set(rules.trained_on) & set(rules.scored_on) or not rules.trained_on
    if seen and not any("trained on" in note for note in rules.notes):
        lines.append("training images are scored, by us as in the papers")
    lines += [*rules.notes, *(row.left_open if row.numbers else ["of this method, no score is published here"])]
    settings = f"the preset {row.preset}" if row.preset else "the defaults of `unseg`, no settings of a paper"
    lines.append(f"settings: {settings}; the last step is scored, nothing is chosen by labels")
    lines += filter(None, [in_words(found[0].get("pretrained", []))])
    lines += [f"missing in the download: {several(prepared['missing'])}"] if prepared.get("missing") else []
    lines += [str(text) for text in prepared.get("warnings", [])]
    if not prepared.get("as_published", True):
        lines.append("the prepared images are not all those that are published")
    return lines
