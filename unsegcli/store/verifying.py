"""Check all invariants of an artifact, for `unseg inspect --verify`.

Reports all problems instead of stopping at the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box, cores
from unsegcli.errors import ArtifactError
from unsegcli.recipe import canonical
from unsegcli.store.chunks import array_digest
from unsegcli.store.kinds import KINDS, OBJECT_ROLES, ROLES, UNKNOWN_DISTANCE, window_name
from unsegcli.store.reading import Artifact
from unsegcli.store.writing import fingerprint_of, table_array


def problems_of(artifact: Artifact, step: Callable[[], object] = lambda: None) -> list[str]:
    """Return all broken invariants, one line each; empty if the artifact is valid.

    Args:
        artifact: an open artifact.
        step: called after each dataset, for a progress bar.
    """
    found = list(_unreadable_and_digests(artifact, step))
    if found:
        return found  # further checks of damaged values would be meaningless
    if canonical(artifact.recipe) != artifact.about["recipe"]:
        found.append("the recipe is not in its canonical form")
    if artifact.has("windows/source"):
        found += _window_problems(artifact)
    found += _value_problems(artifact)
    return found


def _unreadable_and_digests(artifact: Artifact, step: Callable[[], object]) -> Iterator[str]:
    digests: dict[str, bytes] = {}
    for name in artifact.field_names():
        per = KINDS[artifact.kind].fields[name].per
        try:
            if per == "window":
                artifact.members(name)
                expected = artifact.window_digests(name)
                for index in range(artifact.window_count):
                    digest = array_digest(_raw(artifact, name, index))
                    if digest != bytes(expected[index]):
                        yield f"{name}/{window_name(index)} is damaged: its digest differs"
                    digests[f"{name}/{window_name(index)}"] = digest
                    step()
            elif per == "entry":
                for key in artifact.entries(name):
                    digests[f"{name}/{key}"] = array_digest(artifact.entry(name, key))
                    step()
            else:
                digests[name] = array_digest(table_array(artifact.table(name)))
                step()
        except ArtifactError as error:
            yield str(error)
            return
    computed = fingerprint_of(artifact.kind, artifact.written_version, artifact.attributes, artifact.recipe, digests)
    if computed != artifact.fingerprint:
        yield "the fingerprint does not match the content"


def _window_problems(artifact: Artifact) -> Iterator[str]:
    sources, boxes, grids = (artifact.table(f"windows/{name}") for name in ("source", "box", "grid"))
    count = len(artifact.table("sources/name"))
    tiles = artifact.table("members/source") if artifact.has("members/source") else np.zeros(0)
    if len(tiles) and tiles.max() >= count:
        yield f"members/source refers to a source outside 0 to {count - 1}"
        return
    for source in np.unique(sources):
        members = np.flatnonzero(sources == source)
        rows, columns = grids[members[0]]
        windows = [Box(*map(int, boxes[i])) for i in members]
        owned = cores(windows)
        covered = sum(core.height * core.width for core in owned)
        # If two windows do not touch, the core of one extends beyond its window.
        inside = all(
            w.top <= c.top and w.left <= c.left and c.bottom <= w.bottom and c.right <= w.right
            for w, c in zip(windows, owned, strict=True)
        )
        if (grids[members] != grids[members[0]]).any() or covered != rows * columns or not inside:
            yield f"the windows of source {source} do not cover its image exactly"


def _value_problems(artifact: Artifact) -> Iterator[str]:
    checks: dict[str, Callable[[Artifact, int], str | None]] = {
        "superpixels": _superpixel_problem,
        "segmentation": _segmentation_problem,
        "features": _feature_problem,
        "distances": _distance_problem,
    }
    if artifact.kind == "segmentation" and artifact.attributes["role"] not in ROLES:
        yield f"the role {artifact.attributes['role']!r} is not one of: {', '.join(ROLES)}"
    yield from _shard_problems(artifact)
    if artifact.kind == "metrics":
        yield from _per_image_problems(artifact)
    for name, check in checks.items():
        for index in range(artifact.window_count if artifact.has(name) else 0):
            problem = check(artifact, index)
            if problem:
                yield f"{name}/{window_name(index)} {problem}"


def _shard_problems(artifact: Artifact) -> Iterator[str]:
    have = [name for name in ("shard/number", "shard/of") if artifact.has(name)]
    if len(have) == 1:
        yield f"{have[0]} is there alone: shard/number and shard/of belong together"
    elif have:
        number, of = (int(artifact.table(name)[0]) for name in have)
        if not 1 <= number <= of:
            yield f"shard/number is {number}, which is not from 1 to {of}"


def _per_image_problems(artifact: Artifact) -> Iterator[str]:
    there = [name for name in ("per-image", "pairs", "image-scores") if artifact.has(name)]
    if there and not artifact.has("images/name"):
        yield f"images/name is missing: {there[0]} does not say which images it is about"
        return
    if artifact.has("image-scores") and not artifact.has("images/score"):
        yield "images/score is missing: image-scores does not say which scores it has"
    if artifact.has("pairs"):
        yield from _pair_problems(artifact)
    if (
        "per-image" in there
        and artifact.has("matrix")
        and not np.array_equal(artifact.table("per-image").sum(0), artifact.table("matrix"))
    ):
        yield "per-image does not add up to matrix"


def _pair_problems(artifact: Artifact) -> Iterator[str]:
    pairs, count = artifact.table("pairs"), len(artifact.table("images/name"))
    if (pairs < 0).any() or (len(pairs) and pairs[:, 1].max() >= count):
        yield f"pairs has a number below 0, or an image outside 0 to {count - 1}"
    elif artifact.has("matrix"):
        matrix = np.zeros_like(artifact.table("matrix"))
        inside = (pairs[:, 2:4] < matrix.shape).all(axis=1)
        np.add.at(matrix, tuple(pairs[inside, 2:4].T), pairs[inside, 4])
        if not inside.all() or not np.array_equal(matrix, artifact.table("matrix")):
            yield "pairs does not add up to matrix"


def _distance_problem(artifact: Artifact, index: int) -> str | None:
    if not artifact.has("windows/farthest"):
        return "cannot be used without windows/farthest"
    labels, (own, second) = _raw(artifact, "segmentation", index), np.moveaxis(_raw(artifact, "distances", index), 2, 0)
    if ((own == UNKNOWN_DISTANCE) != (labels == np.iinfo(labels.dtype).max)).any():
        return "is not void where the segmentation is void, and only there"
    return "has a second centre that is nearer than the own one" if (own > second).any() else None


def _superpixel_problem(artifact: Artifact, index: int) -> str | None:
    from unsegcli.core.superpixels.regions import is_connected

    regions = _raw(artifact, "superpixels", index)
    void = np.iinfo(regions.dtype).max
    count = int(artifact.table("windows/superpixels")[index])
    used = np.unique(regions)
    if not np.array_equal(used[used != void], np.arange(count)):
        return f"is not numbered from 0 to {count - 1} without gaps"
    return None if is_connected(_signed(regions, void)) else "has a superpixel that is not connected"


def _segmentation_problem(artifact: Artifact, index: int) -> str | None:
    if artifact.attributes["role"] in OBJECT_ROLES:
        return None
    labels = _raw(artifact, "segmentation", index)
    void = np.iinfo(labels.dtype).max
    inside = labels[labels != void]
    clusters = artifact.attributes["clusters"]
    return f"has a category above {clusters - 1}" if inside.size and inside.max() >= clusters else None


def _feature_problem(artifact: Artifact, index: int) -> str | None:
    return None if np.isfinite(_raw(artifact, "features", index)).all() else "has values that are not finite"


def _raw(artifact: Artifact, name: str, index: int) -> NDArray[Any]:
    """Read values without the checks of reading, so that all problems can be listed."""
    return artifact.read(name, index, checked=False)


def _signed(regions: NDArray[Any], void: int) -> NDArray[np.int64]:
    return np.where(regions == void, -1, regions.astype(np.int64))
