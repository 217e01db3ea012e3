"""Read artifacts; every link, filter, type and shape is checked before values are used.

Files are never modified, and their content cannot run code.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ArtifactError
from unsegcli.recipe import parse_json
from unsegcli.store.chunks import Encoded, array_digest, encode
from unsegcli.store.kinds import COMMON_ATTRIBUTES, FORMAT, KINDS, NOT_TEXT, OBJECT_ROLES, Field, Kind, window_name
from unsegcli.store.plausible import (
    attribute_problem,
    map_problem,
    recipe_problem,
    table_problem,
    vector_problem,
    window_problem,
)
from unsegcli.store.unpacking import foreign_filter, implausible, is_ours, most_unpacked, stored_chunks, unpacked

# Exceptions of h5py for damaged files and for types that NumPy does not have.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
FREE_AXES = ("step", "row", "column")  # each quantity has its own steps, and each window its own grid of cells
LONGEST_ATTRIBUTE = 1 << 24  # bytes
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
        self._file_bytes: int = file.id.get_filesize()
        self._held: dict[int, str] = {}  # address in the file -> dataset of those that are kept or read together
        self._held_bytes = 0
        self._present: dict[str, bool] = {}  # field -> whether it is there
        self._groups: dict[str, Any] = {}  # those that datasets were read from; None if there is none
        self._windows_are_sound = False
        self._checked: dict[str, bytearray] = {}  # windows whose digests were found right
        self.about = {name: self._attribute(name, NOT_TEXT.get(name, (str,))) for name in COMMON_ATTRIBUTES}
        self.attributes = {name: self._own_attribute(name, type_) for name, type_ in self._spec.attributes.items()}
        self.recipe: dict[str, Any] = self._json("recipe")
        self._refuse("the recipe", recipe_problem(self.recipe))
        self.inputs: dict[str, Any] = self._json("inputs")
        for hint in self.inputs.values():
            if not isinstance(hint, dict) or not {"path", "fingerprint"} <= {k for k, v in hint.items() if _plain(v)}:
                raise self._fail("the attribute inputs does not give path and fingerprint of each input")
        self.environment: dict[str, Any] = self._json("environment")
        self.fingerprint = str(self.about["fingerprint"])
        with self._damage_named("a group"):
            self._check_members()
        self._lengths: dict[str, int] = {}
        self._tables: dict[str, Any] = {}

    # -- content -------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Return whether an (optional) field is present."""
        if name not in self._present:
            with self._damage_named(name):
                self._present[name] = name in self._file
        return self._present[name]

    @property
    def window_count(self) -> int:
        """Number of windows."""
        return len(self.table("windows/source"))

    @property
    def shard(self) -> tuple[int, int] | None:
        """Which of how many shards of a divided run this is; None = the whole."""
        names = ("shard/number", "shard/of")
        if not all(name in self._spec.fields and self.has(name) for name in names):
            return None
        number, of = (int(self.table(name)[0]) for name in names)
        return number, of

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
        with self._damage_named(name):
            return len(datasets), sum(d.nbytes for d in datasets), sum(d.id.get_storage_size() for d in datasets)

    # -- values --------------------------------------------------------------------------------------------

    def table(self, name: str) -> Any:
        """Read a field with one dataset per file: an array, or a list of strings. The result is cached."""
        if name not in self._tables:
            values = self._read(name, self._field(name, "file"))
            self._refuse(name, table_problem(name, values))
            self._tables[name] = values
            if name.startswith("windows/"):
                self._check_windows()
        return self._tables[name]

    def read(self, name: str, index: int, part: tuple[slice, ...] = (), *, checked: bool = True) -> NDArray[Any]:
        """Read the dataset of one window, such as `read("superpixels", 3)`, or a part of it.

        Args:
            name: field.
            index: window.
            part: rows and columns; all if it is empty.
            checked: refuse values that differ from their digest or that the kind does not allow.
        """
        path, field = f"{name}/{window_name(index)}", self._field(name, "window")
        if part and (not checked or self._is_checked(name, index)):
            return cast(NDArray[Any], self._read(path, field, index, part))
        values = cast(NDArray[Any], self._read(path, field, index))
        if checked:
            self._check_window(name, index, path, values)
        return values[part] if part else values

    def stored(self, name: str, index: int) -> Encoded:
        """Return the dataset of one window with its chunks as they are stored, after a check of its values."""
        values = self.read(name, index)
        dataset = self._dataset(f"{name}/{window_name(index)}")
        if not is_ours(dataset.id):
            return encode(values)
        return stored_chunks(dataset.id, self.digest(name, index))

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

    def _refuse(self, what: str, problem: str | None) -> None:
        if problem is not None:
            raise self._fail(f"{what} {problem}")

    @contextmanager
    def _damage_named(self, what: str) -> Iterator[None]:
        """Refuse a file in which HDF5 itself finds something wrong."""
        try:
            yield
        except DAMAGE as error:
            raise self._fail(f"{what} cannot be read: the file is damaged ({_first_line(error)})") from error

    def _attribute(self, name: str, types: tuple[type, ...]) -> Any:
        value = _attribute_value(self.path, self._file, name)
        if value is None:
            raise self._fail(f"the attribute {name} is missing")
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str) and not _plain(value):
            raise self._fail(f"the attribute {name} is not UTF-8")
        if not isinstance(value, types) or isinstance(value, bool):
            raise self._fail(f"the attribute {name} should be of type {types[-1].__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self._fail(f"the attribute {name} is not finite")
        return value

    def _own_attribute(self, name: str, type_: type) -> Any:
        value = self._attribute(name, (type_,))
        self._refuse(f"the attribute {name}", attribute_problem(name, value))
        return value

    def _check_windows(self) -> None:
        """Check the tables of windows against each other, once."""
        if not self._windows_are_sound:
            self._windows_are_sound = True
            source, box, grid = (self.table(f"windows/{name}") for name in ("source", "box", "grid"))
            counts = self.table("windows/superpixels") if self.has("windows/superpixels") else None
            problem = window_problem(len(self.table("sources/name")), source, box, grid, counts)
            if problem is not None:
                raise self._fail(problem)

    def _is_checked(self, name: str, index: int) -> bool:
        return bool(self._checked.setdefault(name, bytearray(self.window_count))[index])

    def _check_window(self, name: str, index: int, path: str, values: NDArray[Any]) -> None:
        """Check the values of a window when it is read for the first time."""
        if self._is_checked(name, index):
            return
        if array_digest(values) != self.digest(name, index):
            raise self._fail(f"{path} has been changed since it was written: its digest differs")
        if name == "superpixels":
            self._refuse(path, map_problem("superpixel", values, int(self.table("windows/superpixels")[index])))
        if name in ("features", "dense"):
            self._refuse(path, vector_problem(values))
        if name == "segmentation":
            limit = None if self.attributes["role"] in OBJECT_ROLES else self.attributes["clusters"]
            self._refuse(path, map_problem("category", values, limit))
        self._checked[name][index] = 1

    def _json(self, name: str) -> dict[str, Any]:
        try:
            value = parse_json(self.about[name])
        except ValueError:
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
        with self._damage_named(path):
            self._check_dataset(path, dataset, spec, window)
            if window is None:
                self._hold(path, dataset)
            values = unpacked(dataset, part)
        if spec.types == "text":
            return [row.decode("utf-8", errors="surrogateescape") for row in values]
        return values

    def members(self, name: str) -> list[str]:
        """Return the sorted names in a group; those of a field with one dataset per window are checked."""
        with self._damage_named(name):
            found = sorted(self._file[name])
        if self._spec.fields[name].per == "window" and found != sorted(map(window_name, range(self.window_count))):
            raise self._fail(f"{name} does not have exactly one dataset for each of the {self.window_count} windows")
        return found

    def _dataset(self, path: str) -> h5py.Dataset:
        """Open a dataset of this file, refusing links and external storage."""
        parent, _, name = path.rpartition("/")
        with self._damage_named(path):
            group = self._group(parent)
            dataset = None if group is None else _plain_dataset(group, name)
            if dataset is None:
                if group is None or name not in group:
                    raise self._fail(f"{path} is missing")
                _require_hard_link(group, name, self.path)
                dataset = group[name]
            if not isinstance(dataset, h5py.Dataset):
                raise self._fail(f"{path} should be a dataset")
            if dataset.shape is None or dataset.dtype is None:
                raise self._fail(f"{path} has no values")
            _require_own_storage(dataset, self.path)
        return dataset

    def _group(self, name: str) -> Any:
        if name not in self._groups:
            self._groups[name] = self._file[name or "/"] if not name or name in self._file else None
        return self._groups[name]

    def _check_dataset(self, path: str, dataset: Any, spec: Field, window: int | None) -> None:
        if spec.types == "text":
            if dataset.dtype.kind != "S":
                raise self._fail(f"{path} should hold text of fixed length")
        elif dataset.dtype.name not in spec.types.split():
            raise self._fail(f"{path} is of type {dataset.dtype.name}, not one of: {spec.types}")
        self._refuse(path, implausible(dataset, self._file_bytes, window="height" in spec.axes))
        if spec.axes != ("...",):
            self._check_shape(path, dataset.shape, spec, window)

    def _hold(self, path: str, dataset: h5py.Dataset) -> None:
        """Refuse what would fill the memory together: one dataset under many names, or many that share their bytes."""
        address = int(h5py.h5o.get_info(dataset.id).addr)
        if self._held.get(address) == path:
            return
        if address in self._held:
            raise self._fail(f"{path} is {self._held[address]} under another name, which is not allowed")
        self._held[address] = path
        self._held_bytes += dataset.nbytes
        if self._held_bytes > most_unpacked(self._file_bytes):
            raise self._fail(f"{path} and what was read before are more than is unpacked at once")

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
def open_artifact(path: str | Path, *kinds: str, shards: bool = False) -> Iterator[Artifact]:
    """Open an artifact for reading.

    Args:
        path: the file.
        kinds: accepted kinds, whole and not in shards; none = any file.
        shards: accept a shard of these kinds as well.
    """
    path = Path(path)
    with _open(path) as file:
        name, version = _kind_and_version(path, file)
        if kinds and name not in kinds:
            raise ArtifactError(f"{path}: is of kind {name}, but {' or '.join(kinds)} is needed here")
        steps = _upgrades(path, name, version)
        if all(step is only_adds for step in steps):
            yield _artifact(path, file, version, whole=bool(kinds) and not shards)
        else:
            with _upgraded(path, steps, version) as newer:
                yield _artifact(path, newer, version, whole=bool(kinds) and not shards)


def _artifact(path: Path, file: h5py.File, version: int, *, whole: bool) -> Artifact:
    try:
        artifact = Artifact(path, file, _kind_and_version(path, file)[0], version)
    except DAMAGE as error:
        raise ArtifactError(f"{path}: is damaged ({_first_line(error)}); make it again from its inputs") from error
    if whole and artifact.shard is not None:
        number, of = artifact.shard
        raise ArtifactError(f"{path}: is shard {number} of {of}; make one file of all shards with `unseg join`")
    return artifact


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
        if name not in file.attrs:
            return None
        attribute = file.attrs.get_id(name)
        if attribute.shape != () or attribute.get_storage_size() > LONGEST_ATTRIBUTE:
            raise ArtifactError(f"{path}: its attribute {name} is not one value; make it again from its inputs")
        return file.attrs[name]
    except DAMAGE as error:
        raise ArtifactError(
            f"{path}: its attribute {name} is damaged ({_first_line(error)}); make it again from its inputs"
        ) from error


def _plain(value: Any) -> bool:
    """Return whether a value is text that can be encoded as UTF-8."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_text(value: Any, wanted: str) -> bool:
    return isinstance(value, str) and value == wanted


def _plain_dataset(group: Any, name: str) -> h5py.Dataset | None:
    """Open a dataset by its hard link, much faster than by `group[name]`; None if anything about it is unusual."""
    key = name.encode("utf-8", errors="surrogateescape")
    try:
        if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            return None
        return h5py.Dataset(h5py.h5d.open(group.id, key), readonly=True)
    except (*DAMAGE, AttributeError):
        return None


def _require_hard_link(group: Any, name: str, path: Path) -> None:
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise ArtifactError(f"{path}: {name} is a link to another file ({link.filename}), which is not allowed")
    if isinstance(link, h5py.SoftLink):
        raise ArtifactError(f"{path}: {name} is a soft link, which is not allowed")


def _require_own_storage(dataset: h5py.Dataset, path: Path) -> None:
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL:
        raise ArtifactError(f"{path}: {dataset.name} is a virtual dataset, which is not allowed")
    if properties.get_external_count():
        raise ArtifactError(f"{path}: {dataset.name} stores its values in another file, which is not allowed")
    foreign = foreign_filter(properties)
    if foreign is not None:
        raise ArtifactError(
            f"{path}: {dataset.name} needs the HDF5 filter {foreign}; "
            "only shuffle, gzip and fletcher32 are supported, each once and in this order"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
