"""Describe a prepared data set: its legend, and what `prepared.json` says of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unsegcli import console
from unsegcli._version import __version__
from unsegcli.datasets._contract import Plan, PublishedSet, SetClass
from unsegcli.recipe import Recipe, listing_digest

SHOWN = 5  # missing files in a line
IMAGES, LABELS = "images", "labels"  # folders
Counts = dict[str, dict[str, int]]  # split -> images and labels; "" = those in the folder of none


@dataclass(frozen=True)
class Prepared:
    """What was prepared, and how."""

    published: PublishedSet
    plan: Plan
    found: dict[str, int]  # sentences and counts of all tasks
    read: Sequence[tuple[str, str]]  # (name, SHA-256) of what was read
    limit: int | None  # on the number of images

    @property
    def names(self) -> list[str]:
        """The files that the tasks announce."""
        return sorted(name for task in self.plan.tasks for name in task.outputs)

    @property
    def counts(self) -> Counts:
        """How many images and labels there are in each split."""
        found = {split.name: {IMAGES: 0, LABELS: 0} for split in self.published.splits}
        for name in self.names:
            kind, split, *_ = name.split("/")
            found[split if split in found else ""][kind] += 1
        return found

    @property
    def ignore(self) -> Sequence[int]:
        """The values of label files that are not scored."""
        return self.published.ignore if self.plan.ignore is None else self.plan.ignore

    @property
    def classes(self) -> Sequence[SetClass]:
        """The classes, after the settings."""
        return self.published.classes if self.plan.classes is None else self.plan.classes


def several(lines: Sequence[str]) -> str:
    """Return lines as one: the first ones, and how many more there are."""
    more = f"; and {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


def say_counts(prepared: Prepared) -> list[str]:
    """Say how many images there are in each split; warn of those that are not as many as published, and return it."""
    odd = []
    for split in prepared.published.splits:
        found = prepared.counts[split.name]
        images = console.count_images(found[IMAGES])
        said = f"{split.name or prepared.published.name}: {images}, {found[LABELS]:,} with labels"
        if not split.images:
            console.note(f"{said}; how many there should be is not published")
        elif (found[IMAGES], found[LABELS]) == (split.images, split.labels):
            console.note(f"{said}, as published")
        elif prepared.limit is not None:
            console.note(f"{said} (--limit {prepared.limit})")
        else:
            odd.append(f"{said}, but {split.images:,} and {split.labels:,} are published")
            console.warn(odd[-1])
    return odd


def described(prepared: Prepared, odd: Sequence[str], recipe: Recipe) -> dict[str, Any]:
    """Return what `prepared.json` holds.

    Args:
        prepared: the data set.
        odd: what `say_counts` returned.
        recipe: how it was made.
    """
    published, plan, counts = prepared.published, prepared.plan, prepared.counts
    expected = {split.name: {IMAGES: split.images, LABELS: split.labels} for split in published.splits}
    return {
        "format": "unseg-prepared",
        "version": 1,
        "name": published.name,
        "what": published.what,
        "licence": published.licence,
        "link": published.link,
        "made_by": f"unseg {__version__}",
        "labels_used": published.labels_used,
        "options": recipe["parameters"],
        "counts": counts,
        "published_counts": expected,
        "as_published": counts == expected and not plan.warnings,
        "missing": list(plan.missing),
        "warnings": [*plan.warnings, *odd],
        "found": prepared.found,
        "lists": list(plan.lists),
        "read": {"files": len(prepared.read), "digest": listing_digest(prepared.read)},
        "rules": asdict(published.rules),
        "recipe": recipe,
    }


def legend_of(prepared: Prepared) -> bytes | None:
    """Return the legend as TOML; None if there are no classes."""
    if prepared.plan.legend is not None or not prepared.classes:
        return prepared.plan.legend
    lines = [f"# Classes of {prepared.published.name}", f"ignore = {sorted(prepared.ignore)}"]
    for one in prepared.classes:
        lines += [
            "",
            "[[class]]",
            f"name = {json.dumps(one.name)}",
            f'color = "{one.color}"',
            f"from = {list(one.values)}",
        ]
    return ("\n".join(lines) + "\n").encode()
