"""`unseg prepare`: bring a published data set into a folder that all commands read."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from unsegcli import console
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.output_folder import FolderWriter, OutputFolder
from unsegcli.dataflow.runner import Outcome, UpToDate
from unsegcli.datasets._archives import Files, Member, ReadOnce, close_archives, files_below
from unsegcli.datasets._contract import DataSetFile, Plan, PublishedSet, Task
from unsegcli.datasets._description import IMAGES, Prepared, described, legend_of, say_counts, several
from unsegcli.datasets._load import find_set, known_sets
from unsegcli.datasets._prepared import ABOUT
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.legend import LEGEND_NAME, read_legend
from unsegcli.parallel import available_cores, ordered_map
from unsegcli.params import Inputs, Prepare, Run, recorded, spelling
from unsegcli.recipe import Recipe, listing_digest, make_recipe

REVISION = 1
UNPACKED = "unpacked"  # in the folder of unfinished files
USUAL = 20_000_000  # bytes whose reading is worth as much as a task
ALWAYS = ("name", "list", "incomplete")  # settings that every data set has


def prepare(inputs: Inputs, params: Prepare | None = None, run: Run | None = None) -> Outcome | dict[str, Any]:
    """Write the images, labels and legend of a published data set.

    Args:
        inputs: the files of its publishers: folders and archives.
        params: which data set, and what of it.
        run: how to run, and the folder to write.

    Returns:
        the folder; or a table of all data sets, if that was asked for.
    """
    params, run = params or Prepare(), run or Run()
    if params.list:
        return {"sets": [_row(published) for published, _ in known_sets().values()]}
    how = run.of("prepare")
    if is_artifact(how.output):
        raise ConfigError(f"-o {how.output}: prepare writes a folder of files; give the name of a folder")
    asked = _asked(inputs, params)
    if params.download and not _downloaded(asked, dry_run=how.dry_run):
        return Outcome(Path(how.output))
    folder = OutputFolder(how.output, "a prepared data set", _recipe(asked), force=how.force)
    if folder.finished() is not None:
        for text in json.loads((folder.path / ABOUT).read_text(encoding="utf-8"))["warnings"]:
            console.warn(text)
        return UpToDate(folder.path)
    try:
        if how.dry_run:
            with tempfile.TemporaryDirectory(prefix="unseg-") as place:
                _say_costs(asked, _planned(asked, Path(place)), folder)
        else:
            _make(asked, folder, how.workers)
    finally:
        close_archives()
    return Outcome(folder.path)


def _make(asked: Asked, folder: OutputFolder, workers: int) -> None:
    with folder.writing() as writer:
        plan = _planned(asked, writer.path_of(UNPACKED))
        found, read = _written(plan, writer, workers)
        prepared = Prepared(asked.published, plan, found, read, asked.inputs.limit)
        _finish(writer, prepared, folder.recipe)


# What is asked for


@dataclass(frozen=True)
class Asked:
    """What is to be prepared, and of which files."""

    published: PublishedSet
    file: DataSetFile
    inputs: Inputs
    params: Prepare


def _asked(inputs: Inputs, params: Prepare) -> Asked:
    """Find the data set, and check what was typed."""
    if not params.name:
        raise ConfigError("name a data set, such as `unseg prepare potsdam-3 Potsdam.zip`; --list shows all of them")
    published, file = find_set(params.name)
    if not inputs.paths:
        offered = f"they are offered at {published.link}; " if published.link else ""
        fetched = "; with --download, they are downloaded into it" if published.downloads else ""
        raise ConfigError(
            f"{published.name} needs its files, {'; '.join(published.needs)}; {offered}"
            f"then name their folder: `unseg prepare {published.name} FOLDER`{fetched}"
        )
    for one in fields(params):
        changed = getattr(params, one.name) != one.default
        if changed and one.name not in ALWAYS and one.name not in published.takes:
            raise ConfigError(f"{spelling(Prepare, one.name)}: {published.name} has no such setting")
    return Asked(published, file, inputs, params)


def _downloaded(asked: Asked, *, dry_run: bool) -> bool:
    """Download the files that are not in the folder given, or say which; return whether all are there."""
    from unsegcli.datasets._download import download, to_download

    folder, downloads = Path(asked.inputs.paths[0]), asked.published.downloads
    if len(asked.inputs.paths) != 1 or folder.is_file():
        raise ConfigError("--download: give one folder, into which the files are downloaded")
    if not dry_run:
        download(downloads, folder)
        return True
    lacking = to_download(downloads, folder)
    if lacking:
        console.note(f"would download to {folder}: {', '.join(one.url for one in lacking)}")
    return not lacking


def _row(published: PublishedSet) -> dict[str, Any]:
    return {
        "name": published.name,
        "what": published.what,
        "images": published.images or None,
        "classes": len(published.classes),
        "licence": published.licence,
        "link": published.link,
    }


def _recipe(asked: Asked) -> Recipe:
    """Return the recipe: the state of the sources stands for their content, which is large."""
    inputs, params = asked.inputs, asked.params
    sources = [(Path(path).name, _state_of(Path(path))) for path in inputs.paths]
    digests = {"sources": listing_digest(sources)}
    if params.names:
        digests["names"] = listing_digest((Path(path).name, _list_digest(Path(path))) for path in params.names)
    if params.labels is not None:
        digests["labels"] = _state_of(Path(params.labels))
    if params.legend is not None:
        digests["legend"] = _state_of(Path(params.legend))
    version = {"data_set_revision": getattr(asked.file, "REVISION", 1)}
    options = {name: value for name, value in recorded(params).items() if name not in ("name", "list")}
    settings = {"data_set": asked.published.name, **options, "limit": inputs.limit}
    return make_recipe("prepare", REVISION, [settings], digests, version)


def _list_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise DataError(f"--names {path}: cannot be read ({error.strerror})") from error


def _state_of(path: Path) -> str:
    """Return a digest of the names, sizes and times of a file, or of all files in a folder."""
    if path.is_dir():
        found = files_below(path)
        rows = sorted((one.relative_to(path).as_posix(), f"{size} {modified}") for one, size, modified in found)
    elif path.is_file():
        rows = [(path.name, f"{path.stat().st_size} {path.stat().st_mtime_ns}")]
    else:
        raise DataError(f"{path}: no such file or folder: check the spelling")
    return listing_digest(rows)


# What will be done


def _planned(asked: Asked, place: Path) -> Plan:
    """List the files and plan what is made of them; what must be unpacked goes into a folder."""
    files = Files(asked.inputs.paths, asked.published.archives, place)
    plan = asked.file.plan(asked.published, files, asked.params)
    return _limited(_checked(plan, asked), asked.inputs.limit)


def _checked(plan: Plan, asked: Asked) -> Plan:
    """Report what was found; raise an error if files are missing, or if there are none."""
    for text in plan.notes:
        console.note(text)
    for text in plan.warnings:
        console.warn(text)
    if not plan.missing and plan.tasks:
        return plan
    name, shown = asked.published.name, several(plan.missing)
    if not plan.tasks:
        places = ", ".join(str(path) for path in asked.inputs.paths)
        wanted = shown or "; ".join(asked.published.needs)
        raise DataError(f"{places}: nothing of {name} can be prepared, it is incomplete: {wanted}")
    if not asked.params.incomplete:
        raise DataError(f"{name} is incomplete: {shown}; --incomplete prepares what is there")
    console.warn(f"{name} is incomplete (--incomplete): {shown}")
    return plan


def _limited(plan: Plan, limit: int | None) -> Plan:
    """Keep what makes the first N images."""
    if limit is None:
        return plan
    kept: list[Task] = []
    names = [name for task in plan.tasks for name in task.outputs if name.startswith(f"{IMAGES}/")]
    wanted = {_key(name) for name in names[:limit]}
    for task in plan.tasks:
        outputs = tuple(name for name in task.outputs if _key(name) in wanted)
        if outputs:
            kept.append(replace(task, outputs=outputs, bytes=task.bytes * len(outputs) // len(task.outputs)))
    return replace(plan, tasks=tuple(kept))


def _key(name: str) -> str:
    """Return what an image and its label have in common: the path below their folders, without the suffix."""
    return Path(*Path(name).parts[1:]).with_suffix("").as_posix()


def _say_costs(asked: Asked, plan: Plan, folder: OutputFolder) -> None:
    names = [name for task in plan.tasks for name in task.outputs]
    images = sum(name.startswith(f"{IMAGES}/") for name in names)
    linked = sum(task.size for task in plan.tasks if task.make is None and task.members[0].is_file)
    written = sum(task.size for task in plan.tasks) - linked
    read = sum(member.size for task in plan.tasks for member in task.members)
    console.note(
        f"would write {console.count_images(images)} and {len(names) - images} label maps of {asked.published.name} to "
        f"{folder.path}: about {written / 1e6:,.1f} MB, and {linked / 1e6:,.1f} MB as links; reads {read / 1e6:,.1f} MB"
    )


# Doing it


@dataclass(frozen=True)
class Done:
    """What came of one task."""

    files: dict[str, bytes]
    counts: dict[str, int]
    digests: tuple[tuple[str, str], ...]  # (name, SHA-256) of what was read


def _written(plan: Plan, writer: FolderWriter, workers: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write all files; return counts and the digests of what was read."""
    counts: Counter[str] = Counter()
    digests: list[tuple[str, str]] = []
    with console.progress(len(plan.tasks), "preparing") as bar:
        for task in plan.tasks:
            if task.make is None:
                digests += _take(task, writer)
                bar.update()
        made = [task for task in plan.tasks if task.make is not None]
        processes = min(workers or available_cores(), plan.processes or available_cores())
        for done in ordered_map(_do, made, processes, _worth(made, plan.batch), plan.batch):
            for name, content in done.files.items():
                writer.add(name, content)
            counts.update(done.counts)
            digests += done.digests
            bar.update()
    return dict(counts), sorted(digests)


def _worth(tasks: Sequence[Task], batch: int) -> int:
    """Return how many tasks of the usual size these are; large files are worth another process, too."""
    read = sum(member.size for task in tasks for member in task.members)
    return max(len(tasks) // batch, read // USUAL)


def _do(task: Task) -> Done:
    """Run a task, in a worker process."""
    assert task.make is not None
    members = [ReadOnce(member) for member in task.members]
    made = task.make(members, task.outputs)
    read = tuple((one.member.name, one.digest) for one in members if one.digest)
    return Done(made.files, made.counts, read)


def _take(task: Task, writer: FolderWriter) -> list[tuple[str, str]]:
    """Link a file, or copy a part of an archive piece by piece."""
    member, name = task.members[0], task.outputs[0]
    if member.is_file:
        writer.take(name, member.path)
        return []
    return [(member.name, _copied(member, writer, name))]


def _copied(member: Member, writer: FolderWriter, name: str) -> str:
    path = writer.path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with member.opened() as stream, path.open("wb") as out:
        while block := stream.read(1 << 20):
            out.write(block)
            digest.update(block)
            size += len(block)
    if size != member.size:
        raise DataError(f"{member.where} has {size:,} bytes, but should have {member.size:,}")
    writer.files.append(name)
    return digest.hexdigest()


def _finish(writer: FolderWriter, prepared: Prepared, recipe: Recipe) -> None:
    """Write the legend and the description, after a check that everything was written."""
    if prepared.names != sorted(writer.files):
        raise RuntimeError(f"{prepared.published.name}: its tasks did not write the files they announce")
    unpacked = writer.path_of(UNPACKED)
    if unpacked.is_dir():
        shutil.rmtree(unpacked)
    for sentence, count in prepared.found.items():
        console.note(f"{sentence}: {count:,}")
    if legend := legend_of(prepared):
        writer.add(LEGEND_NAME, legend)
        read_legend(writer.path_of(LEGEND_NAME))
    about = described(prepared, say_counts(prepared), recipe)
    writer.add(ABOUT, (json.dumps(about, indent=1) + "\n").encode())
    images = sum(one[IMAGES] for one in prepared.counts.values())
    writer.about |= {"images": images, "labels_used": prepared.published.labels_used}
