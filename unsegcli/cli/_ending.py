"""The last line of a command: what was made, in how long, where, and the command that usually comes next."""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsegcli import console
from unsegcli.errors import as_unseg_writes
from unsegcli.params import Inputs, as_typed

if TYPE_CHECKING:
    from unsegcli.dataflow.runner import Outcome
    from unsegcli.store import Artifact

END_THEMSELVES = ("map",)  # they say at their end what was made


@dataclass(frozen=True)
class Ended:
    """A command that has come to its end."""

    name: str
    outcomes: Sequence[Outcome]
    inputs: Inputs
    params: Any
    seconds: float

    @property
    def paths(self) -> list[str]:
        """What it wrote, or found up to date."""
        return [str(outcome.path) for outcome in self.outcomes]


def say_ending(ended: Ended) -> None:
    """Print the last line; where a terminal is too narrow for it, the next command is on a line of its own."""
    if not ended.outcomes or ended.name in END_THEMSELVES:
        return
    width = console.width_of(sys.stderr)
    facts = _shared([list(_contents(Path(path))) for path in ended.paths])
    while width and len(_made(ended, facts)) > width and len(facts) > 1:
        facts.pop()
    lines = [_made(ended, facts)]
    following = _next_command(ended) if _is_last() else ""
    if following:
        whole = f"{lines[0]}; next: {following}"
        lines = [whole] if not width or len(whole) <= width else [*lines, f"next: {following}"]
    for line in lines:
        console.note(line)


def _shared(facts: Sequence[Sequence[str]]) -> list[str]:
    """Return the facts that hold for every output."""
    return [fact for fact in facts[0] if all(fact in others for others in facts)]


def _made(ended: Ended, facts: Sequence[str]) -> str:
    from unsegcli.dataflow.runner import UpToDate

    first, *others = ended.paths
    if others:
        facts = [f"{len(ended.paths)} files", *(f"{fact} each" for fact in facts)]
        first = f"{first} to {others[-1]}"
    if all(isinstance(outcome, UpToDate) for outcome in ended.outcomes):
        return f"{ended.name}: {', '.join(facts)} in {first}"
    return f"{ended.name}: {', '.join([*facts, console.duration(ended.seconds, 1)])} -> {first}"


def _is_last() -> bool:
    """Return whether nothing else goes on with the output: a pipe does, and a command that runs others."""
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # no standard output, or one without a file descriptor
        return False
    return sys.stdout.isatty() or stat.S_ISREG(mode)


# What was made


def _contents(path: Path) -> Iterator[str]:
    """Yield what an output holds, the most important first."""
    from unsegcli import store
    from unsegcli.images.find import MARKER

    if path.is_dir():
        if (path / MARKER).is_file():
            yield console.count_images(json.loads((path / MARKER).read_text(encoding="utf-8"))["images"])
    elif store.kind_of(path) is None:
        yield f"{path.stat().st_size / 1e6:,.1f} MB"
    else:
        with store.open_artifact(path) as artifact:
            if artifact.shard is not None:
                yield "shard {} of {}".format(*artifact.shard)
            if artifact.has("sources/name"):
                yield console.count_images(len(artifact.table("sources/name")))
            yield from CONTENTS[artifact.kind](artifact)


def _of_superpixels(artifact: Artifact) -> Iterator[str]:
    yield f"{int(artifact.table('windows/superpixels').sum()):,} superpixels"


def _of_features(artifact: Artifact) -> Iterator[str]:
    if artifact.has("windows/superpixels"):
        yield from _of_superpixels(artifact)
    if artifact.has("layers/dimensions"):
        yield f"{int(artifact.table('layers/dimensions').sum()):,} dimensions"


def _of_model(artifact: Artifact) -> Iterator[str]:
    yield artifact.attributes["method"].partition(" ")[0]
    if "loss" in artifact.entries("history"):
        yield f"{len(artifact.entry('history', 'loss')):,} steps"


def _of_segmentation(artifact: Artifact) -> Iterator[str]:
    role = artifact.attributes["role"]
    if role in ("clusters", "classes"):
        yield f"{artifact.attributes['clusters']} {role}"


def _of_metrics(artifact: Artifact) -> Iterator[str]:
    scores = json.loads(bytes(artifact.table("scores")))
    with as_unseg_writes(artifact.path, "scores"):
        runs = scores.get("runs", [scores])
        first = runs[0]["input"]
    yield f"scores of {len(runs)} results" if len(runs) > 1 else f"scores of {first}"


CONTENTS: dict[str, Callable[[Artifact], Iterator[str]]] = {
    "superpixels": _of_superpixels,
    "features": _of_features,
    "model": _of_model,
    "segmentation": _of_segmentation,
    "metrics": _of_metrics,
}


# What comes next


def _next_command(ended: Ended) -> str:
    """Return the command that usually comes next, as typed; empty if there is none."""
    shard = _shard_of(Path(ended.paths[0]))
    if shard is not None:
        return _join(Path(ended.paths[0]), *shard)
    if ended.name in NEXT:
        return shlex.join(["unseg", *NEXT[ended.name](ended)])
    page = Path(ended.paths[0]) / "index.html"
    return f"open {shlex.quote(str(page))} in a browser" if ended.name == "visualize" and page.is_file() else ""


def _shard_of(path: Path) -> tuple[int, int] | None:
    from unsegcli import store

    if not path.is_file() or store.kind_of(path) is None:
        return None
    with store.open_artifact(path) as artifact:
        return artifact.shard


def _join(path: Path, number: int, of: int) -> str:
    """Return the command that joins all shards, if this one has its usual name."""
    stem, found, _ = path.stem.rpartition(f"-{number}-of-{of}")
    if not found or not path.stem.endswith(found):
        return ""
    before, whole = (shlex.quote(str(path.with_name(name))) for name in (f"{stem}-", f"{stem}{path.suffix}"))
    return f"unseg join {before}*-of-{of}{path.suffix} -o {whole}"


def _joined(ended: Ended) -> list[str]:
    """Return what follows the command that would have made the whole file."""
    from unsegcli import store

    kind = store.kind_of(ended.paths[0]) or ""
    following = {"superpixels": _train, "features": _cluster, "segmentation": _visualize}
    return following[kind](ended)


def _moved(ended: Ended) -> list[str]:
    """Return the option that says where images are now, if they were moved."""
    return as_typed(Inputs((), source_folder=ended.inputs.source_folder))


def _superpixels(ended: Ended) -> list[str]:
    return ["superpixels", ended.paths[0]]


def _train(ended: Ended) -> list[str]:
    return ["train", ended.paths[0]]


def _cluster(ended: Ended) -> list[str]:
    method = str(getattr(ended.params, "method", ""))
    return ["cluster", ended.paths[0], *(["--method", method] if method.endswith(".py") else []), *_moved(ended)]


def _visualize(ended: Ended) -> list[str]:
    return ["visualize", ended.paths[0], *_moved(ended)]


def _visualize_scored(ended: Ended) -> list[str]:
    """Return the page of what was scored, with the names that the scores gave to clusters."""
    given, *others = map(str, ended.inputs.paths)
    named = ["--metrics", ended.paths[0]] if not others and _has_clusters(Path(given)) else []
    return ["visualize", given, *named, *_given(ended.params, ("labels", "legend")), *_moved(ended)]


def _visualize_compared(ended: Ended) -> list[str]:
    """Return the page of a run of each method, which begins with the images on which they differ most."""
    from unsegcli import store

    with store.open_artifact(ended.paths[0]) as artifact:
        scores = json.loads(bytes(artifact.table("scores")))
    with as_unseg_writes(ended.paths[0], "scores"):
        given = [str(ended.inputs.paths[method["runs"][0]]) for method in scores["methods"]]
    options = _given(ended.params, ("labels", "legend", "role"))
    return ["visualize", *given, "--metrics", ended.paths[0], *options, *_moved(ended)]


def _given(params: Any, names: Sequence[str]) -> list[str]:
    """Return some options of settings as typed, if they were given."""
    return [part for name in names if getattr(params, name) for part in (f"--{name}", str(getattr(params, name)))]


def _has_clusters(path: Path) -> bool:
    from unsegcli import store

    if not path.is_file() or store.kind_of(path) != "segmentation":
        return False
    with store.open_artifact(path) as artifact:
        return bool(artifact.attributes["role"] == "clusters")


NEXT: dict[str, Callable[[Ended], list[str]]] = {
    "prepare": _superpixels,
    "superpixels": _train,
    "features": _cluster,
    "train": _cluster,
    "cluster": _visualize,
    "iem": _visualize,
    "propagate": _visualize,
    "relabel": _visualize,
    "proposals": _visualize,
    "join": _joined,
    "evaluate": _visualize_scored,
    "compare": _visualize_compared,
}
