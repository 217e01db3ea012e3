"""Write artifacts atomically.

Results are first written as shards to `OUTPUT.partial/`, each renamed into place, so that a killed run can be
resumed. At the end the shards are assembled into one file, which is checked, stamped and renamed: a file that exists
is complete. An existing artifact is never modified.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import inspect
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
from pathlib import Path
from typing import IO, Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from unsegcli import console
from unsegcli._version import __version__
from unsegcli.errors import CHANGED, CHANGED_BEFORE, VANISHED, ArtifactError, ConfigError
from unsegcli.recipe import Recipe, canonical, differences, parse_json, recipe_digest
from unsegcli.store.chunks import (
    GZIP_LEVEL,
    Encoded,
    array_digest,
    checksum_holds,
    chunk_shape_of,
    little_endian,
)
from unsegcli.store.durable import (
    PatientFile,
    hold_lock,
    make_folders,
    naming_output,
    rename_durably,
    sync_file,
    sync_folder,
)
from unsegcli.store.kinds import FORMAT, KINDS, RECIPE_COUNTS_FROM, window_name
from unsegcli.store.patient_signals import signals_wait_for
from unsegcli.store.reading import Artifact, open_artifact
from unsegcli.store.unpacking import stored_chunks

LIBRARY_VERSIONS = ("v110", "v110")  # readable since HDF5 1.10; small headers
SHARD_BYTES = 32_000_000
SHARD_SECONDS = 10.0
CHECKPOINT = "checkpoint.h5"  # of a training run
RECIPE_FILE = "recipe.json"
OURS = re.compile(  # files of a partial folder, apart from the lock
    r"shard-\d+\.(h5|tmp)|recipe\.(json|tmp)|assembled\.tmp|checkpoint\.h5(\.partial)?|pictures-\d+\.bin"
)
# What HDF5 calls while it writes, and what must not stop half way.
CALLED = {one.__code__ for one in (*vars(PatientFile).values(), h5py.File.close) if inspect.isfunction(one)}
COMMAND_LENGTH = 4000  # a glob expanded by the shell may exceed the size of an attribute
LIBRARIES = ("numpy", "scipy", "scikit-image", "h5py", "imagecodecs", "torch", "torchvision")


class Finished(NamedTuple):
    """The result of the run that made an up-to-date output."""

    skipped: int


class Target:
    """The file that a stage is to write."""

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
        """Check that the file can be written; write nothing yet.

        Args:
            path: the file to write.
            kind: its kind.
            recipe: the recipe of the content; the same recipe means the same content.
            force: replace a model, or a file that unseg did not make.
            reads: inputs, which are never replaced.
            upgrade: converts the recipe of an older output (first argument) to the form of the new one (second).
        """
        self.path = Path(path)
        _check_writable(self.path)
        for given in map(Path, reads):
            if given.exists() and self.path.exists() and given.samefile(self.path):
                raise ArtifactError(f"{self.path}: is an input of this command; choose another name with -o")
        self.kind = kind
        self.recipe = recipe
        self.force = force
        self._upgrade = upgrade
        self.mark: dict[str, Any] = {}  # of the partial folder, where it differs from that of an ordinary run
        self._partial_is_kept = False
        self.partial = self.path.with_name(self.path.name + ".partial")

    def finished(self) -> Finished | None:
        """Return the existing output if it is up to date, else None. Refuses an output that must not be replaced."""
        if not self.path.exists():
            return None
        try:
            with open_artifact(self.path) as old:
                before = self._upgraded(old)
                if old.kind == self.kind and recipe_digest(before) == recipe_digest(self.recipe):
                    if self._is_to_be_completed(old):
                        console.note(
                            f"{self.path} lacks images that had changed or were missing; it will be made again"
                        )
                        return None
                    console.note(f"{self.path} is up to date: nothing to do")
                    self._remove_what_a_kill_left()
                    return Finished(len(old.table("skipped/name")) if old.has("skipped/name") else 0)
                kind, changed = old.kind, differences(before, self.recipe)
        except ArtifactError as error:
            self._refuse_unless_forced(f"is not a readable artifact ({error})")
            return None
        except ConfigError as error:  # settings that recipes no longer have
            self._refuse_unless_forced(str(error))
            return None
        if kind != self.kind:
            self._refuse_unless_forced(f"is of kind {kind}, but the output is of kind {self.kind}")
        elif kind in ("model", "checkpoint"):
            self._refuse_unless_forced(f"was trained in another way ({changed})")
        elif "shard" in before and "shard" in self.recipe and before["shard"] != self.recipe["shard"]:
            self._refuse_unless_forced(f"is another shard ({changed})")
        console.note(f"{self.path} will be replaced: {changed}")
        return None

    def _remove_what_a_kill_left(self) -> None:
        """Remove the partial folder of a run that was killed after its last rename; work of another recipe stays."""
        with contextlib.suppress(OSError, ArtifactError):  # there is none, or it is not ours, or in use
            marker = self.partial / RECIPE_FILE
            names = [path.name for path in self.partial.iterdir()]
            if self.partial.is_symlink() or not all(name == "lock" or OURS.fullmatch(name) for name in names):
                return
            if marker.exists() and marker.read_bytes() != self._marked().encode():
                return
            with _lock(self.partial, self.path):
                _remove_partial(self.partial)

    def _marked(self) -> str:
        """Return what the partial folder of this recipe is marked with."""
        about = {"kind": self.kind, "kind-version": KINDS[self.kind].version, "recipe": self.recipe}
        return canonical({**about, **self.mark})

    def _upgraded(self, old: Artifact) -> Recipe:
        return old.recipe if self._upgrade is None or old.kind != self.kind else self._upgrade(old.recipe, self.recipe)

    def _is_to_be_completed(self, old: Artifact) -> bool:
        """Return whether images were skipped that changed or were missing during the run: they may be readable now."""
        if "pictures" not in self.recipe["inputs"] or self.kind == "model" or not old.has("skipped/reason"):
            return False
        return any(reason.endswith((CHANGED, CHANGED_BEFORE, VANISHED)) for reason in old.table("skipped/reason"))

    def _refuse_unless_forced(self, why: str) -> None:
        if not self.force:
            raise ArtifactError(f"{self.path}: {why}; choose another name with -o, or replace it with --force")
        console.note(f"{self.path} {why}; it will be replaced (--force)")

    @contextmanager
    def writing(self, unit: str = "image") -> Iterator[Writer]:
        """Lock the partial folder and resume from its shards; `unit` is what a unit is called in messages."""
        try:
            make_folders(self.path.parent)
        except OSError as error:
            raise ArtifactError(
                f"{self.path}: its folder cannot be made ({error.strerror}); choose another folder with -o"
            ) from error
        with naming_output(self.path), _lock(self.partial, self.path):
            self._prepare_partial()
            writer = Writer(self, unit)
            try:
                yield writer
            except BaseException as stop:
                kept = writer.keep_or_clear()
                if isinstance(stop, OSError):
                    kept = kept or ["nothing was finished, so nothing is kept"]
                elif isinstance(stop, Exception):
                    kept = []  # says by itself what to do
                for fact in kept:
                    stop.add_note(fact)
                raise

    def keep_partial(self) -> None:
        """Wait until the recipe of an unfinished run, and the name of its folder, are on the disk."""
        if not self._partial_is_kept:
            sync_file(self.partial / RECIPE_FILE)
            sync_folder(self.partial.parent)
            self._partial_is_kept = True

    def _prepare_partial(self) -> None:
        marker = self.partial / RECIPE_FILE
        wanted = self._marked()
        if marker.exists():
            if marker.read_bytes() == wanted.encode():
                return
            changed = self._difference(marker)
            if (self.partial / CHECKPOINT).exists() and not self.force:
                raise ArtifactError(
                    f"{self.partial}: holds a training that was started in another way and is not finished "
                    f"({changed}); finish it with its own command, choose another name with -o, or discard it with "
                    "--force"
                )
            console.warn(f"{self.partial} was started in another way ({changed}): its results are discarded")
        self._remove_old_files()
        _write_text_atomically(marker, wanted)

    def _difference(self, marker: Path) -> str:
        """Say in words how the recipe of an unfinished run differs; it may be empty, cut off or not ours."""
        try:
            old = parse_json(marker.read_bytes())
            return differences(old["recipe"], self.recipe) or "another version of the format"
        except (ValueError, KeyError, TypeError, AttributeError):
            return "its recipe cannot be read"

    def _remove_old_files(self) -> None:
        old_files = [file for file in self.partial.iterdir() if file.name != "lock"]
        for old_file in old_files:
            if not OURS.fullmatch(old_file.name):
                raise ArtifactError(f"{self.partial}: {old_file.name} was not made by unseg; move it away")
        for old_file in old_files:
            shutil.rmtree(old_file) if old_file.is_dir() else old_file.unlink()


class Writer:
    """Writes the results of units (source images), in order.

    `notes` holds the note of the stage on each finished unit, including those of an interrupted run: its length is
    the number of units that need not be computed again.
    """

    def __init__(self, target: Target, unit: str) -> None:
        self.target = target
        self.unit = unit
        self.notes: list[Any] = []
        self._shards: list[Path] = []
        self._pending: list[tuple[list[dict[str, Encoded]], Any]] = []
        self._pending_bytes = 0
        self._started = self._last_shard = time.monotonic()
        self._collect_shards()

    def _collect_shards(self) -> None:
        """Collect consecutive shards from 0 and remove shards after a gap."""
        for path in sorted(self.target.partial.glob("shard-*.h5")):
            first = int(path.stem.removeprefix("shard-"))
            if first != len(self.notes):
                path.unlink()
                continue
            try:
                with h5py.File(path, "r") as shard:
                    self.notes += json.loads(bytes(shard["notes"][...]))
            except (OSError, KeyError, ValueError, RuntimeError):
                console.warn(f"{path}: is damaged; its results will be computed again")
                path.unlink()
                continue
            self._shards.append(path)
        if self.notes:
            console.note(f"resuming after {console.counted(len(self.notes), self.unit)} finished by an interrupted run")

    def append(self, windows: Sequence[Mapping[str, Encoded]], note: Any) -> None:
        """Add one unit: the encoded datasets of each of its windows, and a JSON value for `notes`."""
        self._pending.append(([dict(window) for window in windows], note))
        self._pending_bytes += sum(part.stored_bytes for window in windows for part in window.values())
        overdue = time.monotonic() - self._last_shard > SHARD_SECONDS
        if self._pending_bytes > SHARD_BYTES or overdue:
            self._flush()

    def _flush(self, *, durably: bool = True) -> None:
        if not self._pending:
            return
        name = f"shard-{len(self.notes):09d}"
        temporary = self.target.partial / f"{name}.tmp"
        notes = [note for _, note in self._pending]
        # Built in memory: HDF5 cannot close a file on a full disk, whereas a plain write fails cleanly.
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
        if durably:
            self.target.keep_partial()
            rename_durably(temporary, path)
        else:
            temporary.replace(path)
        self._shards.append(path)
        written = self._pending_bytes
        # Ctrl-C may come between any two lines; what is both pending and noted would be stored twice.
        self._pending = []
        self.notes += notes
        self._pending_bytes, self._last_shard = 0, time.monotonic()
        console.detail(f"{path.name}: {console.counted(len(notes), self.unit)}, {written / 1e6:,.1f} MB")

    @property
    def count(self) -> int:
        """Number of units added, including those of an interrupted run."""
        return len(self.notes) + len(self._pending)

    def pending_notes(self) -> list[Any]:
        """Return the notes on units that are not in a shard yet."""
        return [note for _, note in self._pending]

    def keep_or_clear(self) -> list[str]:
        """Clean up after a failure: save finished units for the next run, or remove the folder if there are none.

        Returns:
            what is kept, in words; nothing if nothing is.
        """
        with contextlib.suppress(OSError, RuntimeError):  # the disk may be full
            self._flush()
        checkpoint = self.target.partial / CHECKPOINT
        if not self._shards and not checkpoint.exists():
            _remove_partial(self.target.partial)
        verb = "is" if len(self.notes) == 1 else "are"
        kept = [f"{console.counted(len(self.notes), self.unit)} {verb} finished and kept"] if self.notes else []
        with (
            contextlib.suppress(ArtifactError, ValueError, KeyError, TypeError),
            open_artifact(checkpoint, "checkpoint") as artifact,
        ):
            about = json.loads(artifact.attributes["progress"])
            kept.append(f"checkpoint saved at step {about['step']} of {about['steps']}")
        return kept

    def finish(
        self,
        tables: Mapping[str, Any],
        attributes: Mapping[str, Any],
        inputs: Mapping[str, Any],
        entries: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    ) -> None:
        """Assemble the artifact, check it, stamp it and rename it into place.

        Args:
            tables: field name to array or list of strings, for fields with one dataset per file.
            attributes: the kind's own attributes.
            inputs: name to {"path", "fingerprint"} of each input.
            entries: field name to arrays by name, for fields with one dataset per entry.
        """
        self._flush(durably=False)  # what the assembled file soon holds as well
        temporary = self.target.partial / "assembled.tmp"
        temporary.unlink(missing_ok=True)
        _check_room(temporary, sum(shard.stat().st_size for shard in self._shards))
        with _new_file(temporary) as file:
            lines = self._copy_shards(file)
            for name, values in tables.items():
                lines |= _write_table(file, name, values)
            for group, arrays in (entries or {}).items():
                file.require_group(group)
                for key, values in arrays.items():
                    lines |= _write_table(file, f"{group}/{key}", values)
            version = KINDS[self.target.kind].version
            fingerprint = fingerprint_of(self.target.kind, version, attributes, self.target.recipe, lines)
            file.attrs.update(attributes)
            self._stamp(file, fingerprint, inputs)
        try:
            _check_assembled(temporary)
        except ArtifactError:
            for shard in self._shards:
                if _wrong_chunk(shard):
                    shard.unlink()  # otherwise the next run would fail again
            raise
        rename_durably(temporary, self.target.path)
        _remove_partial(self.target.partial)

    def _copy_shards(self, file: h5py.File) -> dict[str, bytes]:
        """Copy the compressed chunks unchanged; return the digest of every dataset."""
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
                        _create(group, window_name(first + index), stored_chunks(part))
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
        file.attrs["format"] = FORMAT  # last: a file without it is not an artifact


def _check_writable(path: Path) -> None:
    """Check before any work is done that the output can be written."""
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder; give the name of a file with -o")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ArtifactError(f"{path}: {folder} is not writable; choose another folder with -o")


def write_whole(
    target: Target,
    tables: Mapping[str, Any],
    attributes: Mapping[str, Any],
    inputs: Mapping[str, Any],
    windows: Sequence[Mapping[str, Encoded]] = (),
    entries: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
) -> None:
    """Write an artifact whose content is entirely in memory."""
    with target.writing() as writer:
        if windows and not writer.notes:
            writer.append(windows, None)
        writer.finish(tables, attributes, inputs, entries)


def fingerprint_of(
    kind: str, version: int, attributes: Mapping[str, Any], recipe: Recipe, digests: Mapping[str, bytes]
) -> str:
    """Compute the SHA-256 of kind, own attributes, recipe, and the digest of every dataset that is not a hint.

    Files of older versions have no recipe in their fingerprint.
    """
    hints = {name for name, spec in KINDS[kind].fields.items() if spec.hint}
    whole = hashlib.sha256(f"{kind}\n{canonical(dict(attributes))}\n".encode())
    if version >= RECIPE_COUNTS_FROM:
        whole.update(f"{canonical(recipe)}\n".encode())
    for name in sorted(digests.keys() - hints):
        whole.update(f"{name} {digests[name].hex()}\n".encode())
    return whole.hexdigest()


def table_array(values: Any) -> NDArray[Any]:
    """Convert a table to an array; strings become UTF-8 of fixed length."""
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
    """Create a dataset from compressed chunks, with the fast low-level API of h5py."""
    space = h5py.h5s.create_simple(encoded.shape)
    dtype = h5py.h5t.py_create(np.dtype(encoded.dtype))
    dataset = h5py.h5d.create(group.id, name.encode(), dtype, space, _filters(encoded.chunk_shape))
    for offset, mask, stored in encoded.chunks:
        dataset.write_direct_chunk(offset, stored, mask)


@functools.lru_cache(maxsize=64)
def _filters(chunk_shape: tuple[int, ...]) -> Any:
    """Return the creation properties of chunked datasets."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(chunk_shape)
    properties.set_shuffle()
    properties.set_deflate(GZIP_LEVEL)
    properties.set_fletcher32()
    properties.set_obj_track_times(False)
    return properties


def _check_assembled(path: Path) -> None:
    """Read back every compressed chunk and verify its checksum before the file is renamed."""
    wrong = _wrong_chunk(path)
    if wrong:
        raise ArtifactError(f"{path}: {wrong} was not written correctly; check the disk and run again")
    with open_artifact(path):
        pass


def _wrong_chunk(path: Path) -> str | None:
    """Return the first dataset with a chunk of a wrong checksum, or None."""

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
    """Hold a lock on `partial/lock`; the system releases it when this process ends."""
    handle = None
    while handle is None:
        try:
            partial.mkdir(exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"{output}: is not writable ({error.strerror}); choose another folder with -o"
            ) from error
        handle = _locked(partial / "lock", output)
    with handle:
        yield


def _locked(path: Path, output: Path) -> IO[str] | None:
    """Open and lock the lock file; None if an earlier run removed the folder between the two."""
    try:
        # Neither truncated nor followed if it is a link: it may not be ours.
        handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR):
            raise
        raise ArtifactError(f"{path}: is a link or a folder where a lock file must be made; move it away") from error
    if os.fstat(handle.fileno()).st_size:  # our lock files are empty
        handle.close()
        raise ArtifactError(f"{path}: was not made by unseg; move it away")
    try:
        hold_lock(handle, output)
        if os.path.samestat(path.stat(), os.fstat(handle.fileno())):
            return handle
    except FileNotFoundError:
        pass
    except ArtifactError:
        handle.close()
        raise
    handle.close()
    return None


def _remove_partial(partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _check_room(path: Path, needed: int) -> None:
    """Check for disk space before assembling."""
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free", str(path))


@contextmanager
def _new_file(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file; an error while it is written is raised after the file is closed, and removes it."""
    with contextlib.closing(PatientFile(path)) as content, signals_wait_for(CALLED):
        try:
            with h5py.File(content, "w", libver=LIBRARY_VERSIONS) as file:
                yield file
            content.check()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _write_text_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _command() -> str:
    program = Path(sys.argv[0]).name if sys.argv else ""
    program = "unseg" if program == "__main__.py" else program  # python -m unsegcli
    typed = shlex.join([program, *sys.argv[1:]])[:COMMAND_LENGTH]
    return typed.encode("utf-8", errors="backslashreplace").decode()  # file names may not be UTF-8


@functools.cache
def _environment() -> dict[str, Any]:
    from importlib import metadata

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
