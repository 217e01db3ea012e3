"""From windows of a supply to the pool of pictures that a training draws from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unsegcli import console
from unsegcli.core.nn.distributed_sums import rank
from unsegcli.dataflow.dataset import Supply, Window
from unsegcli.dataflow.runner import gather
from unsegcli.errors import DataError
from unsegcli.training.data import Picture, Pool, fill
from unsegcli.training.mask_proposals import Proposals, report_left_out, usable, with_proposal

Bad = list[tuple[str, str]]  # name and reason of pictures that cannot be read


@dataclass(frozen=True)
class Reader:
    """How windows become pictures of a training."""

    workers: int
    masks: Proposals | None = None
    min_confidence: float = 0.0

    def fill(self, supply: Supply, most_bytes: int = 0, spill: Path | None = None, bad: Bad | None = None) -> Pool:
        """All pictures that can be learned from."""
        pictures = gather(supply, partial(as_picture, masks=self.masks), "reading", self.workers, bad)
        if self.masks is None:
            return fill(pictures, most_bytes, spill)
        left_out: Counter[str] = Counter()
        pool = fill(usable(pictures, self.min_confidence, left_out), most_bytes, spill)
        report_left_out(left_out, len(pool.pictures), self.masks.path)
        return pool


def pool_of(supply: Supply, folder: Path, memory: float, reader: Reader, bad: Bad) -> Pool:
    """The pictures of a training, of which so many gigabytes in memory, the others in a file in the folder."""
    pool = reader.fill(supply, int(memory * 1e9), folder / f"pictures-{rank()}.bin", bad)
    if not pool.pictures:
        raise DataError("not one picture could be read")
    if pool.spilled_bytes:
        console.note(f"{pool.spilled_bytes / 1e9:.1f} GB of pictures lie in a file; more --memory would be quicker")
    return pool


def remove_spilled(folder: Path) -> None:
    """Remove what lies in files of the folder."""
    for spilled in folder.glob("pictures-*.bin"):
        spilled.unlink(missing_ok=True)


def as_picture(window: Window, masks: Proposals | None = None) -> Picture:
    """What a training needs of a window."""
    picture = Picture(window.pixels, window.valid, window.superpixels)
    return picture if masks is None else with_proposal(picture, masks.on(window))
