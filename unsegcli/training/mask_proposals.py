"""Object masks that were made before, brought to the pixels of the windows that a training works on.

Nothing is learned or stored here, and where the masks come from makes no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.dataflow.dataset import Supply, Window
from unsegcli.dataflow.label_maps import StoredMap, check_aspect, open_predictions
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.working import Source
from unsegcli.methods._load import Loaded
from unsegcli.training.data import Picture

LEAST, MOST = 0.01, 0.99  # share of a window's valid pixels that a usable mask covers
NO_MASK, NO_OBJECT, NOT_SURE = "have no mask there", "have a mask below 1 % or above 99 % of the area", "are not sure"


@dataclass(frozen=True)
class Proposals:
    """The masks of all pictures of one artifact."""

    path: str
    fingerprint: str
    by_content: dict[tuple[str, int], StoredMap]  # digest of the picture file and page
    by_name: dict[str, StoredMap]

    @property
    def hint(self) -> dict[str, str]:
        """Where it lies, for those who look at what learned from it."""
        return {"path": self.path, "fingerprint": self.fingerprint}

    def named_in(self, supply: Supply) -> Supply:
        """The supply with these masks among its inputs."""
        return replace(
            supply,
            inputs={**supply.inputs, "proposals": self.fingerprint},
            hints={**supply.hints, "proposals": self.hint},
        )

    def check(self, sources: Iterable[Source]) -> None:
        """Refuse masks that bear the name of one of these pictures, but are of another content."""
        for source in sources:
            named = self.by_name.get(source.name)
            if named is None or (source.digest, source.page) in self.by_content:
                continue
            what = f"{self.path}: the mask of {source.name}"
            check_aspect((source.height, source.width), named, f"{what} is of another picture, since this")
            raise DataError(f"{what} was made from another picture, or from this one before it changed; make it again")

    def on(self, window: Window) -> tuple[NDArray[np.bool_], float] | None:
        """The mask (height, width) of a window and its confidence, 1 where none is stored; None = no mask."""
        digest, page, *_ = window.key.split(" ")
        found = self.by_content.get((digest, int(page)))
        if found is None:
            return None
        mask: NDArray[np.bool_] = found.on(window.grid)[window.box.slices] > 0  # -1 = void, which is no object
        return mask, found.certainty(window.box, window.grid)


def open_proposals(path: str | Path) -> Proposals:
    """Take an artifact of kind segmentation whose values are object masks."""
    role = _role_of(path)
    if role not in ("mask", "proposal"):
        raise ConfigError(
            f"--proposals {path}: holds {role}, not object masks; make those with `unseg iem PICTURES -o masks.h5`"
        )
    run = open_predictions(path)
    maps = [item for item in run.maps if isinstance(item, StoredMap)]
    return Proposals(
        str(path),
        run.inputs["segmentation"],
        {(item.source.digest, item.source.page): item for item in maps},
        {item.name: item for item in maps},
    )


def proposals_for(method: Loaded, given: str | Path | None, least_confidence: float) -> Proposals | None:
    """The masks that a method learns from; None for a method that learns from none."""
    if "proposals" in method.needs:
        if given is None:
            raise ConfigError(
                f"--method {method.name} learns from object masks: make them with `unseg proposals PICTURES -o "
                "masks.h5`, and give them with --proposals masks.h5"
            )
        return open_proposals(given)
    if given is not None or least_confidence:
        name = "--proposals" if given is not None else "--min-confidence"
        raise ConfigError(f"{name}: --method {method.name} does not learn from object masks; leave it out")
    return None


def with_proposal(picture: Picture, proposal: tuple[NDArray[np.bool_], float] | None) -> Picture:
    """The picture with its mask; nothing outside the valid pixels is object."""
    if proposal is None:
        return picture
    mask, confidence = proposal
    inside = mask if picture.valid is None else mask & picture.valid
    return replace(picture, proposal=inside, confidence=confidence)


def usable(pictures: Iterable[Picture], least_confidence: float, left_out: Counter[str]) -> Iterator[Picture]:
    """The pictures that have a mask to learn from; the others are counted by the reason."""
    for picture in pictures:
        reason = _fault(picture, least_confidence)
        if reason:
            left_out[reason] += 1
        else:
            yield picture


def report_left_out(left_out: Counter[str], kept: int, path: str) -> None:
    """Say how many pictures have no mask to learn from, and why; it is an error if that holds for all."""
    total = left_out.total()
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    if total and not kept:
        raise DataError(f"{path}: has no usable mask for these pictures ({reasons}); make masks of these very pictures")
    if total:
        console.note(f"{total} of {total + kept} pictures are left out for want of a usable mask in {path}: {reasons}")


def _fault(picture: Picture, least_confidence: float) -> str:
    if picture.proposal is None:
        return NO_MASK
    pixels = picture.proposal.size if picture.valid is None else int(picture.valid.sum())
    if not LEAST * pixels <= int(picture.proposal.sum()) <= MOST * pixels or not pixels:
        return NO_OBJECT
    return NOT_SURE if picture.confidence < least_confidence else ""


def _role_of(path: str | Path) -> str:
    with store.open_artifact(path, "segmentation") as artifact:
        return str(artifact.attributes["role"])
