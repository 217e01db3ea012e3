"""Take results of unchanged images from the earlier output that is about to be replaced.

If only the list of images has changed, those that were added or changed are computed, and the others are copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unsegcli import store
from unsegcli.core.geometry import Box
from unsegcli.dataflow.dataset import Block, Dataset, ImageUnit, StoredUnit, Unit, held_open, stored_sources
from unsegcli.errors import ArtifactError
from unsegcli.images.working import Source
from unsegcli.recipe import Recipe

LISTS = ("pictures", "superpixels")  # inputs that change if images are added
MASKS = "masks"  # which the output does not have, so that a changed mask would not be noticed
FROM_WINDOWS = ("superpixels", "confidence", "cell")  # tables of windows in which a result has an entry
Tables = Mapping[str, Any]


@dataclass(frozen=True)
class KeptUnit:
    """An image whose results are in an earlier output."""

    unit: Unit  # to be computed after all if the earlier output turns out to be damaged
    path: str
    fingerprint: str
    rows: tuple[int, ...]  # of its windows in the earlier output

    @property
    def source(self) -> Source:
        """Which image it is."""
        return self.unit.source

    @property
    def block(self) -> Block | None:
        """Which windows of the source these are; None = all."""
        return self.unit.block

    def results(self) -> list[tuple[dict[str, store.Encoded], dict[str, Any]]]:
        """Read the datasets of each window, and its entries in tables; values are checked against their digests."""
        earlier = held_open(self.path, self.fingerprint)
        return [_stored_result(earlier, row) for row in self.rows]


def kept_units(target: store.Target, dataset: Dataset, tables: Tables) -> dict[int, KeptUnit]:
    """Find the units whose results the earlier output has: of the same file, read and worked on in the same way.

    Args:
        target: the output; nothing is kept unless its recipe differs from the earlier one in the list of images only.
        dataset: opened images.
        tables: further datasets of the output, on which results may depend.

    Returns:
        the kept results by the number of the unit.
    """
    if not target.path.exists() or MASKS in dataset.inputs or dataset.reading is None:
        return {}
    try:
        with store.open_artifact(target.path, target.kind, shards=True) as earlier:
            if not (_is_made_alike(earlier, target) and _has_tables(earlier, tables)):
                return {}
            if earlier.attributes["reading"] != dataset.reading.to_json():
                return {}
            return _found_in(earlier, dataset.units)
    except ArtifactError:
        return {}


def _is_made_alike(earlier: store.Artifact, target: store.Target) -> bool:
    """Return whether recipes and format differ in nothing but the list of images."""
    if earlier.about["kind-version"] != store.KINDS[target.kind].version:
        return False
    return _without_lists(earlier.recipe) == _without_lists(target.recipe)


def _without_lists(recipe: Recipe) -> Recipe:
    kept = {name: ("" if name in LISTS else digest) for name, digest in recipe["inputs"].items()}
    return {**recipe, "inputs": kept}


def _has_tables(earlier: store.Artifact, tables: Tables) -> bool:
    return all(
        earlier.has(name) and np.array_equal(np.asarray(earlier.table(name)), np.asarray(values))
        for name, values in tables.items()
    )


def _found_in(earlier: store.Artifact, units: Sequence[Unit]) -> dict[int, KeptUnit]:
    rows = _rows_by_window(earlier)
    found = {}
    for number, unit in enumerate(units):
        own = [rows.get((*_identity(unit.source), box)) for box in _boxes(unit)]
        there = tuple(row for row in own if row is not None)
        if there and len(there) == len(own) and _has_superpixels_of(earlier, there, unit):
            found[number] = KeptUnit(unit, str(earlier.path), earlier.fingerprint, there)
    return found


def _rows_by_window(earlier: store.Artifact) -> dict[tuple[Any, ...], int]:
    """Return the row of each window of the earlier output, by what its image and its place are."""
    sources = stored_sources(earlier)
    identities = [None if source.members else _identity(source) for source in sources]
    places = zip(earlier.table("windows/source").tolist(), earlier.table("windows/box").tolist(), strict=True)
    found = {}
    for row, (number, box) in enumerate(places):
        identity = identities[number]
        if identity is not None:
            found[(*identity, Box(*box))] = row
    return found


def _identity(source: Source) -> tuple[Any, ...]:
    """Return all of a source that its working pixels depend on."""
    scaling = source.scaling if len(set(source.scaling)) > 1 else source.scaling[:1]  # of grey images it is repeated
    size = (source.height, source.width, source.orientation, source.bands)
    return (source.digest, source.page, *size, tuple(map(tuple, scaling)))


def _boxes(unit: Unit) -> list[Box]:
    """Return where the windows of a unit lie; none if its results cannot be kept."""
    if unit.source.members or unit.source.mask:
        return []
    if isinstance(unit, ImageUnit):
        return unit.boxes
    if isinstance(unit, StoredUnit):
        boxes = held_open(unit.path, unit.fingerprint).table("windows/box")
        return [Box(*(int(side) for side in boxes[row])) for row in unit.rows]
    return []


def _has_superpixels_of(earlier: store.Artifact, rows: Sequence[int], unit: Unit) -> bool:
    """Return whether the earlier output has the superpixels of a unit that comes from a file of superpixels."""
    if not isinstance(unit, StoredUnit):
        return True
    given = held_open(unit.path, unit.fingerprint)
    if not (earlier.has("superpixels") and given.has("superpixels")):
        return False
    pairs = zip(rows, unit.rows, strict=True)
    return all(earlier.digest("superpixels", row) == given.digest("superpixels", own) for row, own in pairs)


def _stored_result(earlier: store.Artifact, row: int) -> tuple[dict[str, store.Encoded], dict[str, Any]]:
    fields = store.KINDS[earlier.kind].fields
    names = [name for name, spec in fields.items() if spec.per == "window" and earlier.has(name)]
    datasets = {name: earlier.stored(name, row) for name in names}
    about = {name: earlier.table(f"windows/{name}")[row].tolist() for name in ("box", "grid")}
    extra = [name for name in FROM_WINDOWS if f"windows/{name}" in fields and earlier.has(f"windows/{name}")]
    entries = {name: earlier.table(f"windows/{name}")[row].tolist() for name in extra}
    return datasets, {**about, "warning": "", **entries}
