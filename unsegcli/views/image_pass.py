"""One pass over all images in worker processes, an estimate of it, and what both write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from unsegcli import console
from unsegcli.dataflow.output_folder import FolderWriter, OutputFolder
from unsegcli.dataflow.runner import Outcome, report_skipped
from unsegcli.errors import DataError
from unsegcli.parallel import available_cores, ordered_map
from unsegcli.views import drawing

TRIED = 3  # images used for an estimate
IMAGES_WORTH_A_TASK = 2  # drawing is slow, so few images are worth another process

Task = TypeVar("Task")
Made = TypeVar("Made")


def each(tasks: Sequence[Task], work: Callable[[Task], Made], workers: int, what: str) -> Iterator[Made]:
    """Yield the result of each task, in order, and show progress."""
    with console.progress(len(tasks), what) as bar:
        for made in ordered_map(work, tasks, workers, expected=len(tasks) // IMAGES_WORTH_A_TASK):
            bar.update()
            yield made


def estimated(
    folder: OutputFolder,
    tasks: Sequence[Task],
    work: Callable[[Task], Made],
    stored: Callable[[Made], int],
    workers: int,
) -> Outcome:
    """Process a few images, and report an estimate for all of them."""
    tried = [tasks[number] for number in drawing.spread(len(tasks), TRIED)]
    work(tried[0])  # not timed, since it imports modules
    started = time.monotonic()
    size = sum(stored(work(task)) for task in tried)
    share = len(tasks) / len(tried)
    processes = min(workers or available_cores(), max(1, len(tasks) // 16))
    seconds = (time.monotonic() - started) * share / processes
    console.note(
        f"would write {console.count_images(len(tasks))} to {folder.path}: about {seconds:,.0f} s on {processes} "
        f"processes, {size * share / 1e6:,.1f} MB on disk; estimated from {console.count_images(len(tried))}"
    )
    return Outcome(folder.path)


def finish(
    folder: OutputFolder, writer: FolderWriter, images: int, skipped: Sequence[tuple[str, str]], labels_used: str
) -> Outcome:
    """Report images without a readable label map, and say in the folder what labels were used for."""
    if len(skipped) == images:
        raise DataError(f"no label map could be read; the first error: {skipped[0][0]}: {skipped[0][1]}")
    writer.about |= {"images": images - len(skipped), "skipped": len(skipped), "labels_used": labels_used or None}
    report_skipped(skipped)
    return Outcome(folder.path, len(skipped))
