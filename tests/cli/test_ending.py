"""The last line of every command: what was made, and the command that comes next."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeImages
from typed import unseg

from unsegcli import console
from unsegcli.cli import _ending
from unsegcli.cli._ending import Ended, say_ending
from unsegcli.dataflow.runner import Outcome
from unsegcli.params import Images, Inputs, Proposals, Train

SHORT = {"superpixels": ["--segments", "30", "--workers", "1"], "train": ["--steps", "2", "--set", "crop=32"]}


@pytest.fixture
def here(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_images("my photos", count=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_ending, "_is_last", lambda: True)  # as on a terminal
    return tmp_path


def last_line(*typed: str) -> str:
    return unseg(*typed, *SHORT.get(typed[0], [])).stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "first", [["superpixels", "my photos", "-o", "s p.h5"], ["cluster", "my photos", "--features", "bands"]]
)
def test_the_printed_commands_lead_from_images_to_a_page(first: list[str], here: Path, one_thread: None) -> None:
    """Each is typed as it was printed; only the length of the training is cut."""
    typed, run = first, []
    while not typed[0].endswith(".html"):
        line = last_line(*typed)
        run.append(typed[0])
        assert line.startswith(f"{typed[0]}: 2 images, " if typed[0] not in ("train", "visualize") else typed[0])
        typed = shlex.split(line.split("; next: ")[1].removeprefix("unseg ").removeprefix("open "))[: len(line)]
        typed = typed[: typed.index("in")] if "in" in typed else typed
    assert (here / typed[0]).is_file()
    assert run == (
        ["superpixels", "train", "cluster", "visualize"] if first[0] == "superpixels" else ["cluster", "visualize"]
    )


def test_what_is_up_to_date_is_described_too(here: Path) -> None:
    made = last_line("superpixels", "my photos")
    assert re.fullmatch(
        r"superpixels: 2 images, \d+ superpixels, \d+\.\d s -> superpixels\.h5; next: unseg train superpixels\.h5", made
    )
    again = unseg("superpixels", "my photos", *SHORT["superpixels"]).stderr.splitlines()
    assert again[-1] == re.sub(r", [\d.]+ s -> ", " in ", made)
    assert again[-2] == "superpixels.h5 is up to date: nothing to do"
    assert unseg("superpixels", "my photos", "--quiet", *SHORT["superpixels"]).stderr == ""


def test_a_trial_has_no_ending(here: Path) -> None:
    assert "next:" not in unseg("superpixels", "my photos", "--dry-run").stderr


def test_scores_lead_to_a_page_with_their_names(here: Path, make_images: MakeImages) -> None:
    make_images("data/images", count=2)
    make_images("data/labels", count=0)
    import numpy as np
    from PIL import Image

    for number in range(2):
        Image.fromarray(np.repeat([[0, 1]], 48, 0).repeat(32, 1).astype(np.uint8)).save(f"data/labels/p{number}.png")
    unseg("cluster", "data", "--features", "bands", "--classes", "3", "--workers", "1")
    line = last_line("evaluate", "segmentation.h5")
    assert line.endswith(" -> metrics.h5; next: unseg visualize segmentation.h5 --metrics metrics.h5")
    assert unseg("visualize", "segmentation.h5", "--metrics", "metrics.h5").stdout == "visualization\n"
    unseg("cluster", "data", "--features", "bands", "--classes", "3", "--seed", "1", "-o", "b.h5", "--workers", "1")
    line = last_line("compare", "segmentation.h5", "b.h5", "data/labels", "--labels", "data/labels")
    shown = "unseg visualize segmentation.h5 data/labels --metrics compare.h5 --labels data/labels"
    assert line.endswith(f" -> compare.h5; next: {shown}"), "one run of each method"


def test_masks_lead_to_a_page(here: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture) -> None:
    masks = {"name": "proposals", "params": Proposals(), "outcomes": [Outcome(Path("my masks.h5"))]}
    (line,) = ending(None, monkeypatch, said, **masks)
    assert line.endswith("-> my masks.h5; next: unseg visualize 'my masks.h5'")


def ending(
    width: int | None, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture, **more: Any
) -> list[str]:
    monkeypatch.setattr(console, "width_of", lambda stream: width)
    monkeypatch.setattr(_ending, "_contents", lambda path: iter(["24 images", "12,482 superpixels"]))
    say_ending(Ended(**{"name": "train", "inputs": Inputs(["a"]), "params": Train(), "seconds": 83.4, **more}))
    return said.messages


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (None, ["train: 24 images, 12,482 superpixels, 1 min 23 s -> m.h5; next: unseg cluster m.h5"]),
        (82, ["train: 24 images, 12,482 superpixels, 1 min 23 s -> m.h5; next: unseg cluster m.h5"]),
        (81, ["train: 24 images, 12,482 superpixels, 1 min 23 s -> m.h5", "next: unseg cluster m.h5"]),
        (50, ["train: 24 images, 1 min 23 s -> m.h5", "next: unseg cluster m.h5"]),
    ],
)
def test_a_narrow_terminal_has_the_next_command_on_its_own_line(
    width: int | None, lines: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    assert ending(width, monkeypatch, said, outcomes=[Outcome(Path("m.h5"))]) == lines


def test_several_outputs_are_described_by_what_they_share(here: Path) -> None:
    line = last_line("cluster", "my photos", "--features", "bands", "--classes", "2,3")
    assert re.fullmatch(
        r"cluster: 2 files, 2 images each, [\d.]+ s -> segmentation-2\.h5 to segmentation-3\.h5; "
        r"next: unseg visualize segmentation-2\.h5",
        line,
    )


def test_the_first_of_several_models_is_clustered_by_its_own_method(
    here: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    three = [Outcome(Path(f"m-seed{seed}.h5")) for seed in range(3)]
    (line,) = ending(None, monkeypatch, said, outcomes=three, params=Train(method="own/mine.py"))
    assert line.endswith(" -> m-seed0.h5 to m-seed2.h5; next: unseg cluster m-seed0.h5 --method own/mine.py")


def test_moved_images_are_named_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    moved = Inputs(["sp.h5"], Images(), source_folder="new place")
    (line,) = ending(None, monkeypatch, said, outcomes=[Outcome(Path("m.h5"))], name="cluster", inputs=moved)
    assert line.endswith("next: unseg visualize m.h5 --images 'new place'")
    said.clear()
    (line,) = ending(None, monkeypatch, said, outcomes=[Outcome(Path("m.h5"))], name="probe", params=Proposals())
    assert "next" not in line


@pytest.mark.parametrize("piped", [False, True])
def test_a_pipe_goes_on_by_itself(piped: bool, make_images: MakeImages, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "unsegcli", "superpixels", str(make_images(count=1)), "-o", "sp.h5"]
    with (tmp_path / "out").open("w") as file:
        done = subprocess.run(
            [*command, *SHORT["superpixels"]],
            cwd=tmp_path,
            stdout=subprocess.PIPE if piped else file,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    assert done.stderr.endswith(" -> sp.h5\n" if piped else " -> sp.h5; next: unseg train sp.h5\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sp-1-of-2.h5", "unseg join sp-*-of-2.h5 -o sp.h5"),
        ("my images/a b-1-of-2.h5", "unseg join 'my images/a b-'*-of-2.h5 -o 'my images/a b.h5'"),
        ("part.h5", ""),
        ("-1-of-2-x.h5", ""),
    ],
)
def test_shards_are_joined_next(name: str, said: str) -> None:
    assert _ending._join(Path(name), 1, 2) == said
