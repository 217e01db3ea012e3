"""Read artifacts; every link, filter, type and shape is checked before values are used.

Files are never modified, and their content cannot run code.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ArtifactError
from unsegcli.store.kinds import COMMON_ATTRIBUTES, FORMAT, KINDS, Field, Kind, window_name

FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
LARGEST_RATIO = 1100  # deflate compresses at most 1032:1: a file that claims more is a decompression bomb
# Exceptions of h5py for damaged files and for types that NumPy does not have.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
FREE_AXES = ("step", "row", "column")  # each quantity has its own steps, and each window its own grid of cells
SMALL = 1 << 20  # bytes that are read regardless of the ratio
# (kind, version) -> function that converts an older file, in memory, to the next version
Upgrade = Callable[[h5py.File], None]


def only_adds(file: h5py.File) -> None:
    """Upgrade to a version that only has more optional fields: nothing changes, so no copy is needed."""


UPGRADES: dict[tuple[str, int], Upgrade] = {
    (kind, 1): only_adds for kind in ("superpixels", "features", "model", "segmentation", "metrics")
}


class Artifact:
    """An open artifact; use `open_artifact`."""

    def __init__(self, path: Path, file: h5py.File, kind_name: str, written_version: int) -> None:
        self.path = path
        self.kind = kind_name
        self.written_version = written_version  # of the kind in the file, before upgrades
        self._file = file
        self._spec: Kind = KINDS[kind_name]
        self.about = {name: self._attribute(name) for name in COMMON_ATTRIBUTES}
        self.attributes = {name: self._attribute(name, type_) for name, type_ in self._spec.attributes.items()}
        self.recipe: dict[str, Any] = self._json("recipe")
        self.inputs: dict[str, Any] = self._json("inputs")
        for hint in self.inputs.values():
            if not isinstance(hint, dict) or not {"path", "fingerprint"} <= {k for k, v in hint.items() if _plain(v)}:
                raise self._fail("the attribute inputs does not give path and fingerprint of each input")
        self.environment: dict[str, Any] = self._json("environment")
        self.fingerprint = str(self.about["fingerprint"])
        self._check_members()
        self._lengths: dict[str, int] = {}
        self._tables: dict[str, Any] = {}

    # -- content -------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Return whether an (optional) field is present."""
        return name in self._file

    @property
    def window_count(self) -> int:
        """Number of windows."""
        return len(self.table("windows/source"))

    def entries(self, name: str) -> list[str]:
        """Return the names of the datasets in a group with one dataset per entry."""
        return self.members(name) if self.has(name) else []

    def field_names(self) -> list[str]:
        """Return the names of the fields present, in the order of KINDS."""
        return [name for name in self._spec.fields if self.has(name)]

    def sizes(self, name: str) -> tuple[int, int, int]:
        """Return the number of datasets, bytes in memory and bytes on disk of a field."""
        per = self._spec.fields[name].per
        paths = [name] if per == "file" else [f"{name}/{inner}" for inner in self.members(name)]
        datasets = [self._dataset(path) for path in paths]
        return len(datasets), sum(d.nbytes for d in datasets), sum(d.id.get_storage_size() for d in datasets)

    # -- values --------------------------------------------------------------------------------------------

    def table(self, name: str) -> Any:
        """Read a field with one dataset per file: an array, or a list of strings. The result is cached."""
        if name not in self._tables:
            self._tables[name] = self._read(name, self._field(name, "file"))
        return self._tables[name]

    def read(self, name: str, index: int, part: tuple[slice, ...] = ()) -> NDArray[Any]:
        """Read the dataset of one window, such as `read("superpixels", 3)`, or a part of it."""
        path = f"{name}/{window_name(index)}"
        return cast(NDArray[Any], self._read(path, self._field(name, "window"), index, part))

    def entry(self, name: str, key: str) -> NDArray[Any]:
        """Read the dataset of one entry, such as a weight."""
        return cast(NDArray[Any], self._read(f"{name}/{key}", self._field(name, "entry")))

    def digest(self, name: str, index: int) -> bytes:
        """Return the stored digest of the dataset of one window."""
        rows = self.window_digests(name)
        return bytes(rows[index])

    def window_digests(self, name: str) -> NDArray[np.uint8]:
        """Return the stored digests of a field with one dataset per window: (window, 32)."""
        key = f"digests/{name}"
        if key not in self._tables:
            self._tables[key] = self._read(key, Field("uint8", ("window", "32"), ""))
        return cast("NDArray[np.uint8]", self._tables[key])

    # -- checks --------------------------------------------------------------------------------------------

    def _fail(self, what: str) -> ArtifactError:
        return ArtifactError(f"{self.path}: {what}; make it again from its inputs")

    def _attribute(self, name: str, type_: type | None = None) -> Any:
        value = _attribute_value(self.path, self._file, name)
        if value is None:
            raise self._fail(f"the attribute {name} is missing")
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str) and not _plain(value):
            raise self._fail(f"the attribute {name} is not UTF-8")
        if type_ is not None and not isinstance(value, type_):
            raise self._fail(f"the attribute {name} should be of type {type_.__name__}")
        return value

    def _json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(self.about[name], parse_constant=_no_number)
        except (TypeError, ValueError):
            value = None
        if not isinstance(value, dict):
            raise self._fail(f"the attribute {name} is not a JSON object")
        return value

    def _field(self, name: str, per: str) -> Field:
        found = self._spec.fields.get(name)
        if found is None or found.per != per:
            raise KeyError(f"{self.kind} has no field {name!r} for each {per}")
        return found

    def _check_members(self) -> None:
        """Refuse unknown names, links to other files, and missing fields."""
        allowed = set(self._spec.fields)
        per_window = {name for name, spec in self._spec.fields.items() if spec.per == "window"}
        allowed |= {f"digests/{name}" for name in per_window}
        for name in self._file:
            _require_hard_link(self._file, name, self.path)
            if any(key.startswith(f"{name}/") for key in allowed):
                if not isinstance(self._file[name], h5py.Group):
                    raise self._fail(f"{name} should be a group")
                for inner in self._file[name]:
                    _require_hard_link(self._file[name], inner, self.path)
                    if f"{name}/{inner}" not in allowed:
                        raise self._fail(f"{name}/{inner} is not a field of kind {self.kind}")
            elif name not in allowed:
                raise self._fail(f"{name} is not a field of kind {self.kind}")
        for name, spec in self._spec.fields.items():
            if spec.required and name not in self._file:
                raise self._fail(f"{name} is missing")
            if name in self._file and (spec.per == "file") is isinstance(self._file[name], h5py.Group):
                raise self._fail(f"{name} should be a {'dataset' if spec.per == 'file' else 'group'}")

    def _read(self, path: str, spec: Field, window: int | None = None, part: tuple[slice, ...] = ()) -> Any:
        if not self._file:
            raise ValueError(f"{self.path} is closed: read {path} inside the with block")
        dataset = self._dataset(path)
        self._check_dataset(path, dataset, spec, window)
        try:
            values = dataset[part or ...]
        except DAMAGE as error:
            raise self._fail(f"{path} cannot be read: the file is damaged ({_first_line(error)})") from error
        if spec.types == "text":
            return [row.decode("utf-8", errors="surrogateescape") for row in values]
        return values

    def members(self, name: str) -> list[str]:
        """Return the sorted names in a group; those of a field with one dataset per window are checked."""
        found = sorted(self._file[name])
        if self._spec.fields[name].per == "window" and found != [window_name(i) for i in range(self.window_count)]:
            raise self._fail(f"{name} does not have exactly one dataset for each of the {self.window_count} windows")
        return found

    def _dataset(self, path: str) -> h5py.Dataset:
        """Open a dataset of this file, refusing links and external storage."""
        parent, _, name = path.rpartition("/")
        try:
            group = self._file[parent or "/"] if not parent or parent in self._file else None
            if group is None or name not in group:
                raise self._fail(f"{path} is missing")
            _require_hard_link(group, name, self.path)
            dataset = group[name]
            if not isinstance(dataset, h5py.Dataset):
                raise self._fail(f"{path} should be a dataset")
            if dataset.shape is None or dataset.dtype is None:
                raise self._fail(f"{path} has no values")
        except DAMAGE as error:
            raise self._fail(f"{path} is damaged ({_first_line(error)})") from error
        _require_own_storage(dataset, self.path)
        return dataset

    def _check_dataset(self, path: str, dataset: Any, spec: Field, window: int | None) -> None:
        if spec.types == "text":
            if dataset.dtype.kind != "S":
                raise self._fail(f"{path} should hold text of fixed length")
        elif dataset.dtype.name not in spec.types.split():
            raise self._fail(f"{path} is of type {dataset.dtype.name}, not one of: {spec.types}")
        if dataset.nbytes > SMALL + LARGEST_RATIO * dataset.id.get_storage_size():
            raise self._fail(f"{path} claims {dataset.nbytes:,} bytes, which is more than its stored size can hold")
        if spec.axes != ("...",):
            self._check_shape(path, dataset.shape, spec, window)

    def _check_shape(self, path: str, shape: tuple[int, ...], spec: Field, window: int | None) -> None:
        if len(shape) != len(spec.axes):
            raise self._fail(f"{path} has {len(shape)} axes instead of ({', '.join(spec.axes)})")
        for axis, length in zip(spec.axes, shape, strict=True):
            expected = self._length(axis, length, window)
            if length != expected:
                raise self._fail(f"{path} has length {length} on the axis {axis}, not {expected}")

    def _length(self, axis: str, found: int, window: int | None) -> int:
        """Return the required length of an axis: given by its name, by the window, or by its first occurrence."""
        if axis.isdigit():
            return int(axis)
        if window is not None and axis in ("height", "width"):
            return int(self.table("windows/box")[window][2 if axis == "height" else 3])
        if window is not None and axis == "superpixel":
            return int(self.table("windows/superpixels")[window])
        if axis in FREE_AXES:
            return found
        return self._lengths.setdefault(axis, found)


@contextmanager
def open_artifact(path: str | Path, *kinds: str) -> Iterator[Artifact]:
    """Open an artifact for reading.

    Args:
        path: the file.
        kinds: accepted kinds; none = any.
    """
    path = Path(path)
    with _open(path) as file:
        name, version = _kind_and_version(path, file)
        if kinds and name not in kinds:
            raise ArtifactError(f"{path}: is of kind {name}, but {' or '.join(kinds)} is needed here")
        steps = _upgrades(path, name, version)
        if all(step is only_adds for step in steps):
            yield _artifact(path, file, name, version)
        else:
            with _upgraded(path, steps, version) as newer:
                yield _artifact(path, newer, name, version)


def _artifact(path: Path, file: h5py.File, name: str, version: int) -> Artifact:
    try:
        return Artifact(path, file, name, version)
    except DAMAGE as error:
        raise ArtifactError(f"{path}: is damaged ({_first_line(error)}); make it again from its inputs") from error


def kind_of(path: str | Path) -> str | None:
    """Return the kind of a file, or None if this version cannot read it as an artifact."""
    path = Path(path)
    with contextlib.suppress(ArtifactError), _open(path) as file:
        return _kind_and_version(path, file)[0]
    return None


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        if not path.exists():
            raise ArtifactError(f"{path}: no such file")
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file"
            raise ArtifactError(f"{path}: is {what}, but an HDF5 file is needed here")
        file = h5py.File(path, "r", locking=False)
    except PermissionError as error:
        raise ArtifactError(f"{path}: is not readable: check its permissions") from error
    except OSError as error:
        raise ArtifactError(
            f"{path}: is not an HDF5 file, or is truncated ({_first_line(error)}); make it again from its inputs"
        ) from error
    with file:
        yield file


def _kind_and_version(path: Path, file: h5py.File) -> tuple[str, int]:
    if not _is_text(_attribute_value(path, file, "format"), FORMAT):
        raise ArtifactError(f"{path}: is an HDF5 file, but was not written by unseg")
    name, version = _attribute_value(path, file, "kind"), _attribute_value(path, file, "kind-version")
    if not isinstance(name, str) or not isinstance(version, int | np.integer):
        raise ArtifactError(f"{path}: its attributes kind and kind-version are broken; make it again")
    if name not in KINDS or int(version) > KINDS[name].version:
        raise ArtifactError(
            f"{path}: was written by a newer unseg (kind {name}, version {version}): upgrade unseg to read it"
        )
    if int(version) < 1:
        raise ArtifactError(f"{path}: kind {name} has no version {version}; make it again from its inputs")
    return name, int(version)


def _upgrades(path: Path, name: str, version: int) -> list[Upgrade]:
    """Return the steps from a version of a kind to the present one."""
    steps = range(version, KINDS[name].version)
    missing = next((step for step in steps if (name, step) not in UPGRADES), None)
    if missing is not None:
        raise ArtifactError(f"{path}: {name} of version {missing} can no longer be read; make it again")
    return [UPGRADES[name, step] for step in steps]


@contextmanager
def _upgraded(path: Path, steps: list[Upgrade], version: int) -> Iterator[h5py.File]:
    """Open a copy in memory, upgraded to the present version step by step."""
    with h5py.File.in_memory(path.read_bytes()) as copy:
        for number, upgrade in enumerate(steps, version + 1):
            try:
                upgrade(copy)
            except DAMAGE as error:
                raise ArtifactError(f"{path}: is damaged ({_first_line(error)}); make it again") from error
            copy.attrs["kind-version"] = number
        yield copy


def _attribute_value(path: Path, file: h5py.File, name: str) -> Any:
    try:
        return file.attrs.get(name)
    except DAMAGE as error:
        raise ArtifactError(
            f"{path}: its attribute {name} is damaged ({_first_line(error)}); make it again from its inputs"
        ) from error


def _plain(value: Any) -> bool:
    """Return whether a value is text that can be encoded as UTF-8."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _is_text(value: Any, wanted: str) -> bool:
    return isinstance(value, str) and value == wanted


def _require_hard_link(group: Any, name: str, path: Path) -> None:
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise ArtifactError(f"{path}: {name} is a link to another file ({link.filename}), which is not allowed")
    if isinstance(link, h5py.SoftLink):
        raise ArtifactError(f"{path}: {name} is a soft link, which is not allowed")


def _require_own_storage(dataset: h5py.Dataset, path: Path) -> None:
    properties = dataset.id.get_create_plist()
    if dataset.is_virtual:
        raise ArtifactError(f"{path}: {dataset.name} is a virtual dataset, which is not allowed")
    if properties.get_external_count():
        raise ArtifactError(f"{path}: {dataset.name} stores its values in another file, which is not allowed")
    used = {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}
    if used - FILTERS:
        raise ArtifactError(
            f"{path}: {dataset.name} needs the HDF5 filter {min(used - FILTERS)}; "
            "only shuffle, gzip and fletcher32 are supported"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
