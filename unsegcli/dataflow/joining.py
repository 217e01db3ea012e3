"""Join the tables of the shards of a divided run, so that they are those of one run over all images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.errors import ConfigError, DataError
from unsegcli.recipe import Recipe, canonical, differences

KINDS = ("superpixels", "features", "segmentation")  # that can be divided
FOLLOWING = ("source", "window", "member", "skipped")  # axes along which the tables of shards follow each other
OF_SOURCES = ("windows/source", "members/source")  # tables of numbers of sources
NOT_KNOWN = {"sources/crs": "", "sources/transform": np.nan}  # of shards none of whose images lies on the map
PATHS = ("sources/path", "members/path")
SHARD = ("shard/number", "shard/of")


class Shard(NamedTuple):
    """One shard, and what must be the same in all of them."""

    path: Path
    number: int
    of: int
    kind: str
    recipe: Recipe  # without the shard
    attributes: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, str]]  # with absolute paths
    sources: int
    windows: int
    maps: frozenset[str]  # fields with a dataset for each window
    tables: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As it is called in messages."""
        return f"{self.number}/{self.of}"


def read_shards(paths: Sequence[str | Path]) -> list[Shard]:
    """Read all but the windows of every shard of one run, and return them in order.

    Raises an error that names what is missing, what is there twice, and what belongs to another run.
    """
    if not paths:
        raise ConfigError("join needs the files of all shards, but none is given")
    found = [_read_shard(Path(path)) for path in paths]
    for shard in found[1:]:
        _check_same_run(found[0], shard)
    by_number: dict[int, Shard] = {}
    for shard in found:
        other = by_number.setdefault(shard.number, shard)
        if other is not shard:
            raise DataError(f"{shard.path}: shard {shard.name} is given twice, also as {other.path}; leave out one")
    of = found[0].of
    missing = [f"{number}/{of}" for number in range(1, of + 1) if number not in by_number]
    if missing:
        what = "shard is" if len(missing) == 1 else "shards are"
        listed = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise DataError(f"{len(missing)} {what} missing: {listed}; make them with --shard, and give all {of} files")
    return [by_number[number] for number in range(1, of + 1)]


def _read_shard(path: Path) -> Shard:
    with store.open_artifact(path, *KINDS, shards=True) as artifact:
        if artifact.shard is None:
            raise DataError(f"{path}: is not a shard: it was made without --shard, and is whole already")
        folder = path.resolve().parent
        names = [name for name in artifact.field_names() if store.KINDS[artifact.kind].fields[name].per == "file"]
        tables = {name: artifact.table(name) for name in names if name not in SHARD}
        for name in PATHS:
            if name in tables:
                tables[name] = [os.path.normpath(folder / one) for one in tables[name]]
        number, of = artifact.shard
        return Shard(
            path,
            number,
            of,
            artifact.kind,
            {name: value for name, value in artifact.recipe.items() if name != "shard"},
            artifact.attributes,
            {name: {**hint, "path": os.path.normpath(folder / hint["path"])} for name, hint in artifact.inputs.items()},
            len(artifact.table("sources/name")),
            artifact.window_count,
            frozenset(set(artifact.field_names()) - set(names)),
            tables,
        )


def _check_same_run(first: Shard, other: Shard) -> None:
    """Raise an error if a shard is not of the run that another one is of."""
    foreign = f"{other.path}: is of another run than {first.path}"
    if first.kind != other.kind:
        raise DataError(f"{foreign}: of kind {other.kind}, not {first.kind}; leave it out")
    if canonical(first.recipe) != canonical(other.recipe):
        raise DataError(f"{foreign}: {differences(first.recipe, other.recipe)}; make it again in the same way")
    if first.of != other.of:
        raise DataError(f"{foreign}: one of {other.of} shards, not of {first.of}; leave it out")
    same = sorted(_common(first) | _common(other))
    names = [name for name in same if not _equal(first.tables.get(name), other.tables.get(name))]
    names += [name for name, value in first.attributes.items() if other.attributes[name] != value]
    if first.windows and other.windows:
        names += sorted(first.maps ^ other.maps)
    if names:
        raise DataError(
            f"{other.path}: has another {names[0]} than {first.path}, though both were asked for the same; make it "
            "again with the same version of unseg on a machine of the same sort"
        )


def _common(shard: Shard) -> set[str]:
    """Return the names of the tables that are the same in all shards."""
    fields = store.KINDS[shard.kind].fields
    return {name for name in shard.tables if fields[name].axes[0] not in FOLLOWING}


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        numbers = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=numbers)
    return type(one) is type(other) and bool(one == other)


def joined_tables(shards: Sequence[Shard], output: Path) -> dict[str, Any]:
    """Return the tables of all shards together, with paths relative to the output."""
    fields, folder = store.KINDS[shards[0].kind].fields, output.resolve().parent
    joined: dict[str, Any] = {}
    for name in dict.fromkeys(name for shard in shards for name in shard.tables):
        follows = fields[name].axes[0] in FOLLOWING
        joined[name] = _following(name, shards) if follows else shards[0].tables[name]
        if name in PATHS:
            joined[name] = [os.path.relpath(path, folder) for path in joined[name]]
    return joined


def _following(name: str, shards: Sequence[Shard]) -> Any:
    """Return the rows of a table of all shards, one shard after the other."""
    parts = []
    before = 0
    for shard in shards:
        rows = shard.tables[name] if name in shard.tables else _rows_not_known(name, shard, shards)
        parts.append(rows + rows.dtype.type(before) if name in OF_SOURCES else rows)
        before += shard.sources
    if isinstance(parts[0], list):
        return [row for rows in parts for row in rows]
    return np.concatenate(_of_one_width(parts) if name == "sources/scaling" else parts)


def _rows_not_known(name: str, shard: Shard, shards: Sequence[Shard]) -> Any:
    """Return the rows of a table that a shard does not have, since none of its images has a value."""
    like = next(other.tables[name] for other in shards if name in other.tables)
    axis = store.KINDS[shard.kind].fields[name].axes[0]
    count = {"source": shard.sources, "window": shard.windows}.get(axis, 0)
    if count and name not in NOT_KNOWN:
        raise DataError(f"{shard.path}: has no {name}, which other shards have; make it again in the same way")
    if isinstance(like, list):
        return [NOT_KNOWN.get(name)] * count
    return np.full((count, *like.shape[1:]), NOT_KNOWN.get(name, 0), like.dtype)


def _of_one_width(parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Repeat the scaling of grey images if other shards have colour images as well."""
    width = max(part.shape[1] for part in parts)
    return [np.repeat(part, width, axis=1) if part.shape[1] == 1 else part for part in parts]
