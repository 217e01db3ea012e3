"""What a file in this folder offers: `SETS`, the data sets in it, and `plan`, which says what to write of the files.

`plan` looks at names and sizes and decides what is written. It opens nothing large: that is done by the tasks that it
returns, one at a time, in worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from unsegcli.params import Prepare

if TYPE_CHECKING:
    from unsegcli.datasets._archives import Files, Member, ReadOnce

VOID = 255  # in label files that are written here: not scored


@dataclass(frozen=True)
class SetClass:
    """A class of a data set."""

    name: str
    color: str  # "#rrggbb"
    values: tuple[int, ...]  # the values of label files that mean it; several = a merge


@dataclass(frozen=True)
class SetSplit:
    """A split of a data set, with its published numbers; 0 images = they are not known."""

    name: str  # of its folder; "" = the set has no splits, and no such folder
    images: int
    labels: int


@dataclass(frozen=True)
class ScoringRules:
    """How a data set is used in papers: what is trained on, what is scored, and how."""

    protocol: str  # of `unseg evaluate --protocol`; "" = its default
    matching: str  # in words, such as "one-to-one, by pixels"
    level: str  # "data set": one matching for all images; "image": one for each image
    clusters: int  # how many are asked for
    trained_on: tuple[str, ...]  # splits
    scored_on: tuple[str, ...]  # splits
    size: str  # in words, such as "200 x 200, patches of tiles at half their size"
    notes: tuple[str, ...] = ()  # whole sentences on what readers of a score must know, without a full stop
    args: tuple[str, ...] = ()  # further options of `unseg evaluate`
    reproduced: tuple[str, ...] = ()  # what `unseg evaluate` says it does not do, but the prepared images have


@dataclass(frozen=True)
class Download:
    """A file that publishers offer under an address."""

    url: str
    md5: str  # hexadecimal

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class PublishedSet:
    """A data set as its publishers and the papers describe it."""

    name: str  # as typed
    what: str  # one line for the list
    licence: str
    link: str  # "" = it is the user's own
    needs: tuple[str, ...]  # files to download, one line each
    classes: tuple[SetClass, ...]
    ignore: tuple[int, ...]  # values of label files that are not scored
    splits: tuple[SetSplit, ...]
    rules: ScoringRules
    archives: tuple[str, ...] = ()  # patterns of archives that are opened where they lie in a folder or in an archive
    takes: tuple[str, ...] = ()  # settings of `Prepare` that it has
    labels_used: str = "converted for scoring"  # what labels were used for
    downloads: tuple[Download, ...] = ()  # what --download fetches into the folder given

    @property
    def images(self) -> int:
        """Number of images in all splits."""
        return sum(split.images for split in self.splits)


@dataclass(frozen=True)
class Written:
    """What a task made."""

    files: dict[str, bytes]  # path in the prepared folder -> content
    counts: dict[str, int] = field(default_factory=dict)  # sentences with numbers, added up over all tasks


@dataclass(frozen=True)
class Task:
    """Files that are made together.

    Without `make`, the only member is taken as it is: linked if it is a file of its own, else copied.
    """

    members: tuple[Member, ...]  # what is read
    outputs: tuple[str, ...]  # paths in the prepared folder: images/SPLIT/NAME and labels/SPLIT/NAME
    make: Callable[[Sequence[ReadOnce], Sequence[str]], Written] | None = None  # picklable: from members and outputs
    bytes: int = 0  # about how many are written; 0 = as many as are read

    @property
    def size(self) -> int:
        """Number of bytes that are written, roughly."""
        return self.bytes or sum(member.size for member in self.members)


@dataclass(frozen=True)
class Plan:
    """What is written of the files that were found."""

    tasks: tuple[Task, ...]
    missing: tuple[str, ...] = ()  # what should be there, each with what was expected; for users, in one line each
    notes: tuple[str, ...] = ()  # what was found or decided
    warnings: tuple[str, ...] = ()  # why scores cannot be compared with published ones
    classes: tuple[SetClass, ...] | None = None  # instead of those of the set, where a setting changes them
    ignore: tuple[int, ...] | None = None
    legend: bytes | None = None  # a legend file of the user, instead of classes
    lists: tuple[Mapping[str, object], ...] = ()  # of names that the user gave: file, digests, what it is
    batch: int = 1  # tasks that go to a process at once; more for small files
    processes: int = 0  # more would only take memory; 0 = as many as there are


class DataSetFile(Protocol):
    """A file in this folder."""

    SETS: tuple[PublishedSet, ...]

    @staticmethod
    def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
        """Return what is written of the files of one of `SETS`."""
