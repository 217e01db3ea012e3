"""`unseg join`: make one file of the shards of a divided run, equal to that of one run over all images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unsegcli import console, store
from unsegcli.dataflow.dataset import relative_hints
from unsegcli.dataflow.joining import Shard, joined_tables, read_shards
from unsegcli.dataflow.runner import Outcome, UpToDate
from unsegcli.errors import DataError
from unsegcli.params import Inputs, Join, Run


def join(inputs: Inputs, params: Join | None = None, run: Run | None = None) -> Outcome:
    """Join the shards that `--shard` made; chunks are copied as they are, and checked.

    Args:
        inputs: the files of all shards, in any order.
        params: nothing.
        run: whether to overwrite, and the file to write.
    """
    run = (run or Run()).of("join")
    shards = read_shards(inputs.paths)
    first = shards[0]
    target = store.Target(run.output, first.kind, first.recipe, force=run.force, reads=inputs.paths)
    target.mark = {"joined": len(shards)}  # an unfinished join and an unfinished run do not go on with each other
    if target.finished() is not None:
        return UpToDate(target.path)
    total = sum(shard.windows for shard in shards)
    with target.writing("window") as writer:
        with console.progress(total, "joining", "window", done=writer.count) as bar:
            for window in _windows(shards, writer.count):
                writer.append([window], None)
                bar.update()
        tables = joined_tables(shards, target.path)
        writer.finish(tables, first.attributes, relative_hints(first.inputs, target.path))
    if tables["skipped/name"]:
        console.note(f"{console.count_images(len(tables['skipped/name']))} skipped; `unseg inspect` lists them")
    return Outcome(target.path)


def _windows(shards: Sequence[Shard], done: int) -> Iterator[dict[str, store.Encoded]]:
    """Yield the stored datasets of each window of all shards, apart from the first `done`."""
    for shard in shards:
        if done >= shard.windows:
            done -= shard.windows
            continue
        with store.open_artifact(shard.path, shard.kind, shards=True) as artifact:
            fields = store.KINDS[shard.kind].fields
            names = [name for name in artifact.field_names() if fields[name].per == "window"]
            if artifact.shard != (shard.number, shard.of) or artifact.window_count != shard.windows:
                raise DataError(f"{shard.path}: was replaced while it was being read; run the command again")
            for row in range(done, shard.windows):
                yield {name: artifact.stored(name, row) for name in names}
        done = 0
