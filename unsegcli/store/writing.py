"""Writing artifacts whole or not at all.

Results are first kept as shards in `OUTPUT.partial/`, each renamed into place, so that a killed run goes on where
it was. At the end the shards are assembled into one file, checked, stamped and renamed: a file that exists is
complete. Nothing is ever written into an existing artifact.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from unsegcli import console
from unsegcli._version import __version__
from unsegcli.errors import CHANGED, ArtifactError, ConfigError
from unsegcli.recipe import Recipe, canonical, differing_keys, recipe_digest
from unsegcli.store.chunks import (
    GZIP_LEVEL,
    Chunk,
    Encoded,
    array_digest,
    checksum_holds,
    chunk_shape_of,
    little_endian,
)
from unsegcli.store.kinds import FORMAT, KINDS, window_name
from unsegcli.store.reading import Artifact, open_artifact

LIBRARY_VERSIONS = ("v110", "v110")  # readable since HDF5 1.10; small headers
SHARD_BYTES = 32_000_000
SHARD_SECONDS = 10.0
CHECKPOINT = "checkpoint.h5"  # of a training, beside the shards of other stages
OURS = re.compile(  # beside the lock
    r"shard-\d+\.(h5|tmp)|recipe\.(json|tmp)|assembled\.tmp|checkpoint\.h5(\.partial)?|pictures-\d+\.bin"
)
COMMAND_LENGTH = 4000  # a shell may expand a glob to more than an attribute holds
LIBRARIES = ("numpy", "scipy", "scikit-image", "h5py", "imagecodecs", "torch", "torchvision")


class Finished(NamedTuple):
    """What an unchanged output says about the run that made it."""

    skipped: int


class Target:
    """The file that a stage is about to make."""

    def __init__(
        self,
        path: str | Path,
        kind: str,
        recipe: Recipe,
        *,
        force: bool = False,
        reads: Iterable[str | Path] = (),
        upgrade: Callable[[Recipe, Recipe], Recipe] | None = None,
    ) -> None:
        """Decide on nothing yet.

        Args:
            path: the file to make.
            kind: its kind.
            recipe: what makes it; the same recipe means the same content.
            force: replace a model, or a file that unseg did not make.
            reads: inputs, which are never replaced.
            upgrade: brings the recipe of an output that an older version wrote (first) to the form of today's (second).
        """
        self.path = Path(path)
        _check_writable(self.path)
        for given in map(Path, reads):
            if given.exists() and self.path.exists() and given.samefile(self.path):
                raise ArtifactError(f"{self.path}: is what this command reads; take another name with -o")
        self.kind = kind
        self.recipe = recipe
        self.force = force
        self._upgrade = upgrade
        self.partial = self.path.with_name(self.path.name + ".partial")

    def finished(self) -> Finished | None:
        """The existing output if its recipe is this one; else None. Refuses what must not be replaced."""
        if not self.path.exists():
            return None
        try:
            with open_artifact(self.path) as old:
                before = self._upgraded(old)
                if old.kind == self.kind and recipe_digest(before) == recipe_digest(self.recipe):
                    if self._is_to_be_completed(old):
                        console.note(f"{self.path} lacks images that changed while it was made, and is made again")
                        return None
                    console.note(f"{self.path} is up to date: nothing to do")
                    return Finished(len(old.table("skipped/name")) if old.has("skipped/name") else 0)
                kind, changed = old.kind, differing_keys(before, self.recipe)
        except ArtifactError as error:
            self._refuse_unless_forced(f"is not an artifact that can be read ({error})")
            return None
        except ConfigError as error:  # settings that no recipe of today has
            self._refuse_unless_forced(str(error))
            return None
        if kind != self.kind:
            self._refuse_unless_forced(f"is of kind {kind}, and {self.kind} is to be written")
        elif kind in ("model", "checkpoint"):
            self._refuse_unless_forced(f"is a {kind} of another recipe ({', '.join(changed)})")
        console.note(f"{self.path} will be replaced, its recipe differs in: {', '.join(changed)}")
        return None

    def _upgraded(self, old: Artifact) -> Recipe:
        return old.recipe if self._upgrade is None or old.kind != self.kind else self._upgrade(old.recipe, self.recipe)

    def _is_to_be_completed(self, old: Artifact) -> bool:
        """Whether images were left out that changed while they were read here: they may well be as before again."""
        if "pictures" not in self.recipe["inputs"] or self.kind == "model" or not old.has("skipped/reason"):
            return False
        return any(reason.endswith(CHANGED) for reason in old.table("skipped/reason"))

    def _refuse_unless_forced(self, why: str) -> None:
        if not self.force:
            raise ArtifactError(f"{self.path}: {why}; take another name with -o, or replace it with --force")
        console.note(f"{self.path} {why}; it will be replaced, as --force says")

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Hold the lock on the partial folder and go on from the shards that are there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"{self.path}: its folder cannot be made ({error.strerror}); take another place with -o"
            ) from error
        with _lock(self.partial, self.path):
            self._prepare_partial()
            writer = Writer(self)
            try:
                yield writer
            except BaseException:
                writer.keep_or_clear()
                raise

    def _prepare_partial(self) -> None:
        marker = self.partial / "recipe.json"
        wanted = canonical({"kind": self.kind, "kind-version": KINDS[self.kind].version, "recipe": self.recipe})
        if marker.exists():
            found = marker.read_text()
            if found == wanted:
                return
            old = json.loads(found).get("recipe", {})
            keys = ", ".join(differing_keys(old, self.recipe)) or "the format's version"
            if (self.partial / CHECKPOINT).exists() and not self.force:
                raise ArtifactError(
                    f"{self.partial}: holds an unfinished training of another recipe ({keys}); go on with that one, "
                    "take another name with -o, or throw its work away with --force"
                )
            console.warn(f"{self.partial} was begun with another recipe ({keys}): its work is thrown away")
        old_files = [file for file in self.partial.iterdir() if file.name != "lock"]
        for old_file in old_files:
            if not OURS.fullmatch(old_file.name):
                raise ArtifactError(f"{self.partial}: holds {old_file.name}, which is not ours; move it away")
        for old_file in old_files:
            shutil.rmtree(old_file) if old_file.is_dir() else old_file.unlink()
        _write_text_atomically(marker, wanted)


class Writer:
    """Takes results one unit (one source image) after another, in order.

    `notes` holds what the stage said about each finished unit, also of an earlier, interrupted run: its length
    is the number of units that need not be computed again.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.notes: list[Any] = []
        self._shards: list[Path] = []
        self._pending: list[tuple[list[dict[str, Encoded]], Any]] = []
        self._pending_bytes = 0
        self._started = self._last_shard = time.monotonic()
        self._collect_shards()

    def _collect_shards(self) -> None:
        """Take the shards that follow each other from 0; anything after a gap is of no use."""
        for path in sorted(self.target.partial.glob("shard-*.h5")):
            first = int(path.stem.removeprefix("shard-"))
            if first != len(self.notes):
                path.unlink()
                continue
            try:
                with h5py.File(path, "r") as shard:
                    self.notes += json.loads(bytes(shard["notes"][...]))
            except (OSError, KeyError, ValueError, RuntimeError):
                console.warn(f"{path}: is damaged; what it held is computed again")
                path.unlink()
                continue
            self._shards.append(path)
        if self.notes:
            console.note(f"going on after {console.count_images(len(self.notes))} that an interrupted run finished")

    def append(self, windows: Sequence[Mapping[str, Encoded]], note: Any) -> None:
        """Add one unit: the encoded datasets of each of its windows, and a JSON value to find in `notes`."""
        self._pending.append(([dict(window) for window in windows], note))
        self._pending_bytes += sum(part.stored_bytes for window in windows for part in window.values())
        overdue = time.monotonic() - self._last_shard > SHARD_SECONDS
        if self._pending_bytes > SHARD_BYTES or overdue:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        name = f"shard-{len(self.notes):09d}"
        temporary = self.target.partial / f"{name}.tmp"
        notes = [note for _, note in self._pending]
        # In memory first: HDF5 cannot even close a file on a full disk, and a plain write fails cleanly.
        memory = h5py.File(temporary, "w", libver=LIBRARY_VERSIONS, driver="core", backing_store=False)
        with memory as shard:
            digests: dict[str, list[bytes]] = {}
            windows = [window for unit, _ in self._pending for window in unit]
            for index, window in enumerate(windows):
                for field, encoded in window.items():
                    _create(shard.require_group(field), window_name(index), encoded)
                    digests.setdefault(field, []).append(encoded.digest)
            for field, rows in digests.items():
                shard[f"digests/{field}"] = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
            shard.attrs["windows"] = len(windows)
            shard["notes"] = np.frombuffer(canonical(notes).encode(), np.uint8)
            shard.flush()
            _write_bytes(temporary, shard.id.get_file_image())
        path = temporary.with_suffix(".h5")
        _rename_durably(temporary, path)
        self._shards.append(path)
        self.notes += notes
        console.detail(f"{path.name}: {console.count_images(len(notes))}, {self._pending_bytes / 1e6:,.1f} MB")
        self._pending, self._pending_bytes, self._last_shard = [], 0, time.monotonic()

    def pending_notes(self) -> list[Any]:
        """What was said about the units that are not in a shard yet."""
        return [note for _, note in self._pending]

    def keep_or_clear(self) -> None:
        """After a failure: keep what is done for the next run, or leave nothing behind if nothing is."""
        with contextlib.suppress(OSError, RuntimeError):  # the failure itself may be a full disk
            self._flush()
        if not self._shards and not (self.target.partial / CHECKPOINT).exists():
            _remove_partial(self.target.partial)

    def finish(
        self,
        tables: Mapping[str, Any],
        attributes: Mapping[str, Any],
        inputs: Mapping[str, Any],
        entries: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    ) -> None:
        """Assemble the artifact, check it, stamp it and rename it into place.

        Args:
            tables: field name to array or list of strings, for fields that the file has once.
            attributes: the kind's own attributes.
            inputs: name to {"path", "fingerprint"}: where the inputs lay.
            entries: field name to arrays by name, for fields with one dataset for each entry.
        """
        self._flush()
        temporary = self.target.partial / "assembled.tmp"
        temporary.unlink(missing_ok=True)
        _check_room(temporary, sum(shard.stat().st_size for shard in self._shards))
        with _plain_errors(temporary), h5py.File(temporary, "w", libver=LIBRARY_VERSIONS) as file:
            lines = self._copy_shards(file)
            for name, values in tables.items():
                lines |= _write_table(file, name, values)
            for group, arrays in (entries or {}).items():
                file.require_group(group)
                for key, values in arrays.items():
                    lines |= _write_table(file, f"{group}/{key}", values)
            fingerprint = fingerprint_of(self.target.kind, attributes, lines)
            file.attrs.update(attributes)
            self._stamp(file, fingerprint, inputs)
        try:
            _check_assembled(temporary)
        except ArtifactError:
            for shard in self._shards:
                if _wrong_chunk(shard):
                    shard.unlink()  # or the next run would meet the same
            raise
        _rename_durably(temporary, self.target.path)
        _remove_partial(self.target.partial)

    def _copy_shards(self, file: h5py.File) -> dict[str, bytes]:
        """Copy the compressed chunks as they are; return the digest of every dataset."""
        per_window = [name for name, spec in KINDS[self.target.kind].fields.items() if spec.per == "window"]
        digests: dict[str, list[NDArray[np.uint8]]] = {}
        lines: dict[str, bytes] = {}
        first = 0
        for path in self._shards:
            with h5py.File(path, "r") as shard:
                count = int(shard.attrs["windows"])
                for field in (field for field in per_window if field in shard):
                    source, group = shard[field].id, file.require_group(field)
                    rows = shard[f"digests/{field}"][...]
                    for index, row in enumerate(rows):
                        part = h5py.h5d.open(source, window_name(index).encode())
                        _create(group, window_name(first + index), _copied(part))
                        lines[f"{field}/{window_name(first + index)}"] = row.tobytes()
                    digests.setdefault(field, []).append(rows)
                first += count
        for name in per_window:
            if KINDS[self.target.kind].fields[name].required:
                file.require_group(name)
                digests.setdefault(name, [])
        for name, rows in digests.items():
            _write_table(file, f"digests/{name}", np.concatenate([np.zeros((0, 32), np.uint8), *rows]))
        return lines

    def _stamp(self, file: h5py.File, fingerprint: str, inputs: Mapping[str, Any]) -> None:
        environment = _environment()
        file.attrs["kind"] = self.target.kind
        file.attrs["kind-version"] = KINDS[self.target.kind].version
        file.attrs["recipe"] = canonical(self.target.recipe)
        file.attrs["fingerprint"] = fingerprint
        file.attrs["made-by"] = f"unseg {__version__}"
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        file.attrs["command"] = _command()
        file.attrs["seconds"] = round(time.monotonic() - self._started, 3)
        file.attrs["environment"] = canonical(environment)
        file.attrs["inputs"] = canonical(dict(inputs))
        file.flush()
        file.attrs["format"] = FORMAT  # last: without it the file is nobody's


def _check_writable(path: Path) -> None:
    """Find out now, not after hours, that the output cannot be written."""
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder; name a file in it with -o")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ArtifactError(f"{path}: nothing can be written in {folder}; take another place with -o")


def write_whole(
    target: Target,
    tables: Mapping[str, Any],
    attributes: Mapping[str, Any],
    inputs: Mapping[str, Any],
    windows: Sequence[Mapping[str, Encoded]] = (),
    entries: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
) -> None:
    """Write an artifact whose content is all at hand."""
    with target.writing() as writer:
        if windows and not writer.notes:
            writer.append(windows, None)
        writer.finish(tables, attributes, inputs, entries)


def fingerprint_of(kind: str, attributes: Mapping[str, Any], digests: Mapping[str, bytes]) -> str:
    """SHA-256 over kind, the kind's own attributes, and the digest of every dataset that is not a hint."""
    hints = {name for name, spec in KINDS[kind].fields.items() if spec.hint}
    whole = hashlib.sha256(f"{kind}\n{canonical(dict(attributes))}\n".encode())
    for name in sorted(digests.keys() - hints):
        whole.update(f"{name} {digests[name].hex()}\n".encode())
    return whole.hexdigest()


def table_array(values: Any) -> NDArray[Any]:
    """A table as an array; strings become UTF-8 of fixed length."""
    if isinstance(values, list) and (not values or isinstance(values[0], str)):
        encoded = [value.encode("utf-8", errors="surrogateescape") for value in values]
        return np.array(encoded, dtype=f"S{max(map(len, encoded), default=1) or 1}")
    return little_endian(np.asarray(values))


def _write_table(file: h5py.File, name: str, values: Any) -> dict[str, bytes]:
    array = table_array(values)
    filters: dict[str, Any] = {}
    if array.size and array.ndim:
        filters = {
            "chunks": chunk_shape_of(array.shape),
            "shuffle": True,
            "compression": "gzip",
            "compression_opts": GZIP_LEVEL,
            "fletcher32": True,
        }
    marked = array.astype(h5py.string_dtype("utf-8", array.dtype.itemsize)) if array.dtype.kind == "S" else array
    file.create_dataset(name, data=marked, **filters)
    return {name: array_digest(array)}


def _create(group: h5py.Group, name: str, encoded: Encoded) -> None:
    """Create a dataset from chunks that are compressed already, by the quick, lower half of h5py."""
    space = h5py.h5s.create_simple(encoded.shape)
    dtype = h5py.h5t.py_create(np.dtype(encoded.dtype))
    dataset = h5py.h5d.create(group.id, name.encode(), dtype, space, _filters(encoded.chunk_shape))
    for offset, mask, stored in encoded.chunks:
        dataset.write_direct_chunk(offset, stored, mask)


@functools.lru_cache(maxsize=64)
def _filters(chunk_shape: tuple[int, ...]) -> Any:
    """The creation properties of every dataset of ours that is not tiny."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(chunk_shape)
    properties.set_shuffle()
    properties.set_deflate(GZIP_LEVEL)
    properties.set_fletcher32()
    properties.set_obj_track_times(False)
    return properties


def _copied(part: h5py.h5d.DatasetID) -> Encoded:
    """A dataset of a shard with its chunks as they are stored."""
    chunks = []
    for number in range(part.get_num_chunks()):
        offset = part.get_chunk_info(number).chunk_offset
        mask, stored = part.read_direct_chunk(offset)
        chunks.append(Chunk(offset, mask, stored))
    shape = part.get_create_plist().get_chunk()
    return Encoded(part.dtype.str, part.shape, shape, tuple(chunks), b"")


def _check_assembled(path: Path) -> None:
    """Read back every compressed chunk and compare its checksum, before the file gets its name."""
    wrong = _wrong_chunk(path)
    if wrong:
        raise ArtifactError(f"{path}: {wrong} was not written correctly; check the disk and run again")
    with open_artifact(path):
        pass


def _wrong_chunk(path: Path) -> str | None:
    """The first dataset with a chunk whose checksum does not hold."""

    def check(name: str, item: Any) -> str | None:
        if isinstance(item, h5py.Dataset) and item.chunks:
            for number in range(item.id.get_num_chunks()):
                offset = item.id.get_chunk_info(number).chunk_offset
                if not checksum_holds(item.id.read_direct_chunk(offset)[1]):
                    return name
        return None

    with h5py.File(path, "r") as file:
        found: str | None = file.visititems(check)
        return found


@contextmanager
def _lock(partial: Path, output: Path) -> Iterator[None]:
    """Hold `partial/lock`; the system lets go of it when this process ends, however it ends."""
    handle = None
    while handle is None:
        try:
            partial.mkdir(exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"{output}: nothing can be written there ({error.strerror}); take another place with -o"
            ) from error
        handle = _locked(partial / "lock", output)
    with handle:
        yield


def _locked(path: Path, output: Path) -> IO[str] | None:
    """The open lock file; None if the one before us removed the folder between our opening and our locking."""
    try:
        # Not emptied, nor followed if it is a link: it may be somebody else's.
        handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR):
            raise
        raise ArtifactError(f"{path}: is in the way, as a link or a folder; move it away") from error
    if os.fstat(handle.fileno()).st_size:  # ours are empty
        handle.close()
        raise ArtifactError(f"{path}: was not made by unseg; move it away")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.stat(), os.fstat(handle.fileno())):
            return handle
    except BlockingIOError:
        handle.close()
        raise ArtifactError(
            f"{output}: another unseg is writing it now; wait for it, or take another name with -o"
        ) from None
    except FileNotFoundError:
        pass
    handle.close()
    return None


def _remove_partial(partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)


def _rename_durably(temporary: Path, final: Path) -> None:
    """Rename so that after a power cut there is the old file or the whole new one."""
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(final)


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _check_room(path: Path, needed: int) -> None:
    """Find out before assembling that the disk is too small."""
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free", str(path))


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Raise what the system said, where HDF5 wraps it into a text of its own."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        code = re.search(r"errno = (\d+)", str(error))
        if code is None:
            raise
        path.unlink(missing_ok=True)
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error


def _write_text_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    _rename_durably(temporary, path)


def _command() -> str:
    program = Path(sys.argv[0]).name if sys.argv else ""
    typed = shlex.join([program, *sys.argv[1:]])[:COMMAND_LENGTH]
    return typed.encode("utf-8", errors="backslashreplace").decode()  # file names need not be UTF-8


def _environment() -> dict[str, Any]:
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "hdf5": h5py.version.hdf5_version,
        **versions,
    }
