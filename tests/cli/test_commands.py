"""The commands as typed, in process: inputs, outputs, exit codes, and what is said on which stream."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeImages, rewrite
from typed import HARMLESS, HOSTILE, one_line, unseg

from unsegcli import __version__, console, store
from unsegcli.cli._forms import value_from
from unsegcli.dataflow import dataset as dataset
from unsegcli.errors import CHANGED
from unsegcli.params import Cluster

SEGMENTS = ["--pixels-per-segment", "100", "--workers", "1"]


@pytest.fixture
def here(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with images in data/."""
    make_images()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_version() -> None:
    assert unseg("--version").stdout == f"unseg {__version__}\n"


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep(given: str | None, expected: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Awake, they use up most of the processor time of a training on a shared machine."""
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    unseg("inspect", "nothing.h5", expect=1)
    assert os.environ["OMP_WAIT_POLICY"] == expected


def test_only_the_path_goes_to_standard_output(here: Path) -> None:
    result = unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS)
    assert result.stdout == "sp.h5\n"
    again = unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS)
    assert again.stdout == "sp.h5\n"
    assert "up to date" in again.stderr


def test_working_folder_is_the_last_resort(here: Path) -> None:
    result = unseg("superpixels", *SEGMENTS)
    assert result.stdout == "superpixels.h5\n"
    assert "data/" in result.stderr
    result = unseg("cluster", "--classes", "4", "--workers", "1")
    assert result.stdout == "segmentation.h5\n"
    assert "superpixels.h5" in result.stderr


def test_several_candidates_are_listed_newest_first(here: Path) -> None:
    for number, name in enumerate(("old.h5", "new.h5")):
        unseg("superpixels", "data", "-o", name, *SEGMENTS, "--limit", str(number + 1))
        os.utime(name, (1e9 + number, 1e9 + number))
    message = one_line(unseg("cluster", expect=1))
    assert "new.h5, old.h5" in message


def test_shards_as_typed(here: Path) -> None:
    """Each prints its path, so that they can be piped; the last line says what comes next."""
    first = unseg("superpixels", "data", "--shard", "1/2", *SEGMENTS)
    assert first.stdout == "superpixels-1-of-2.h5\n"
    assert "superpixels: shard 1 of 2, 1 image, " in first.stderr
    second = unseg("superpixels", "data", "--shard", "2/2", *SEGMENTS)
    assert unseg("join", "superpixels-1-of-2.h5", "superpixels-2-of-2.h5", "-o", "whole.h5").stdout == "whole.h5\n"
    unseg("superpixels", "data", "-o", "superpixels.h5", *SEGMENTS)
    with store.open_artifact("whole.h5") as joined, store.open_artifact("superpixels.h5") as whole:
        assert joined.fingerprint == whole.fingerprint
    assert "recipe.shard" in unseg("inspect", second.stdout.strip()).stdout
    assert "is up to date" in unseg("join", "superpixels-1-of-2.h5", "superpixels-2-of-2.h5", "-o", "whole.h5").stderr
    assert "is shard 1 of 2" in one_line(unseg("train", "superpixels-1-of-2.h5", expect=1))
    assert "no input given" in one_line(unseg("join", expect=1))
    for wrong in ("0/2", "3/2", "2", "1/", "a/b", "1/0"):
        assert (
            f"--shard {wrong}: must be I/N, from 1/N to N/N" in unseg("iem", "data", "--shard", wrong, expect=2).stderr
        )
    unseg("cluster", "--classes", "2", "-o", "map.h5", "--workers", "1", "--limit", "2", expect=1)  # of two whole files
    Path("whole.h5").unlink()
    assert "using superpixels.h5 (superpixels)" in unseg("cluster", "--classes", "2", "--workers", "1").stderr
    said = one_line(unseg("iem", "data", "--shard", "1/2", "--trace", "ways", expect=2))
    assert said == "error: --trace draws all images, so it cannot be used with --shard: leave out one of them"


def test_artifacts_of_other_kinds_are_not_candidates(here: Path) -> None:
    unseg("superpixels", *SEGMENTS)
    unseg("cluster", "--classes", "3", "-o", "a.h5")
    (here / "junk.h5").write_text("not HDF5")
    assert unseg("cluster", "--classes", "3", "-o", "b.h5").stdout == "b.h5\n"


def test_default_number_of_clusters_is_said(here: Path) -> None:
    unseg("superpixels", *SEGMENTS)
    assert "8 clusters; use" in unseg("cluster").stderr
    assert "8 clusters; use" not in unseg("cluster", "--classes", "8").stderr


@pytest.mark.parametrize(
    "given", [("cluster",), ("cluster", "--features", "bands"), ("train",), ("train", "--method", "iic")]
)
def test_a_missing_input_is_all_that_is_said(here: Path, given: tuple[str, ...]) -> None:
    assert unseg(*given, "model.h5", expect=1).stderr == "error: model.h5: no such file\n"


def test_replacing_names_what_differs(here: Path) -> None:
    unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS)
    result = unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS, "--compactness", "3")
    assert "compactness 10, now 3" in result.stderr


def test_another_kind_is_replaced_only_by_force(here: Path) -> None:
    unseg("superpixels", *SEGMENTS)
    unseg("cluster", "--classes", "3")
    assert "--force" in one_line(unseg("superpixels", "data", "-o", "segmentation.h5", *SEGMENTS, expect=1))
    unseg("superpixels", "data", "-o", "segmentation.h5", *SEGMENTS, "--force")
    assert store.kind_of("segmentation.h5") == "superpixels"


def test_an_interruption_promises_nothing_that_is_not_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unsegcli.stages.superpixels.superpixels", stopped)
    assert one_line(unseg("superpixels", *SEGMENTS, expect=130)) == (
        "error: interrupted; unfinished work is not kept; run the same command again to start it again"
    )


def test_quiet_and_verbose(here: Path) -> None:
    assert unseg("superpixels", *SEGMENTS, "--quiet").stderr == ""
    assert unseg("superpixels", *SEGMENTS, "-q").stderr == ""
    assert unseg("superpixels", *SEGMENTS, "-v").stderr != ""


def test_bad_image_fails_the_command_but_not_the_file(here: Path) -> None:
    (here / "data" / "z.png").write_bytes(b"broken")
    for _ in range(2):  # also when nothing is left to do
        result = unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS, expect=1)
        assert result.stdout == "sp.h5\n"
        assert "1 image could not be read and was skipped" in one_line(result)
        assert "--skip-bad" in one_line(result)
        assert "z.png" in result.stderr
    unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS, "--skip-bad")
    # What was left out stays known further down the line, but is no failure of a command that read no image.
    for _ in range(2):
        assert "z.png" in unseg("cluster", "sp.h5", "--classes", "3").stderr


@pytest.fixture
def changing(make_images: MakeImages, here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bytes]:
    """Images in bmp/, of which one changes right after it was digested, with its size and time kept.

    Takes the path of that image or mask; returns what it held before.
    """
    make_images("bmp", suffix=".bmp")

    def change(path: str) -> bytes:
        before = Path(path).read_bytes()
        digest = dataset.digest_files

        def digest_then_change(*arguments: Any) -> Any:
            found = digest(*arguments)
            if any(file.path == Path(path) for file in found):
                monkeypatch.setattr(dataset, "digest_files", digest)
                rewrite(Path(path), before[:-1] + bytes([before[-1] ^ 1]))
            return found

        monkeypatch.setattr(dataset, "digest_files", digest_then_change)
        return before

    return change


def names_in(path: str) -> list[str]:
    with store.open_artifact(path) as artifact:
        return list(artifact.table("sources/name"))


def test_an_image_that_changes_during_the_run_is_left_out(changing: Callable[[str], bytes]) -> None:
    before = changing("bmp/p1.bmp")
    result = unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS, expect=1)
    assert result.stdout == "sp.h5\n"
    assert "--skip-bad" in one_line(result)
    assert f"skipped p1.bmp: {CHANGED}" in result.stderr
    assert names_in("sp.h5") == ["p0.bmp", "p2.bmp"]
    unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS)
    assert names_in("sp.h5") == ["p0.bmp", "p1.bmp", "p2.bmp"]
    changing("bmp/p1.bmp")
    unseg("superpixels", "bmp", "-o", "skipped.h5", *SEGMENTS, "--skip-bad")
    assert names_in("skipped.h5") == ["p0.bmp", "p2.bmp"]
    assert Path("bmp/p1.bmp").read_bytes() == before


def test_an_image_that_changes_and_changes_back_is_there_in_the_next_run(changing: Callable[[str], bytes]) -> None:
    """Although the recipe is the same then."""
    before = changing("bmp/p1.bmp")
    unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS, expect=1)
    rewrite(Path("bmp/p1.bmp"), before)
    assert "will be made again" in unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS).stderr
    assert names_in("sp.h5") == ["p0.bmp", "p1.bmp", "p2.bmp"]
    assert "up to date" in unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS).stderr


def test_a_mask_that_changes_during_the_run_leaves_its_image_out(
    changing: Callable[[str], bytes], make_images: MakeImages
) -> None:
    make_images("valid", suffix=".bmp")
    changing("valid/p1.bmp")
    result = unseg("superpixels", "bmp", "--mask", "valid", "-o", "sp.h5", *SEGMENTS, expect=1)
    assert f"valid/p1.bmp: {CHANGED}" in result.stderr
    assert names_in("sp.h5") == ["p0.bmp", "p2.bmp"]
    unseg("superpixels", "bmp", "--mask", "valid", "-o", "sp.h5", *SEGMENTS)


def test_a_digest_of_an_earlier_output_is_checked_where_pixels_are_read(
    changing: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the clock of a file server is so slow that a change seems to be from before that run."""
    monkeypatch.setattr(dataset, "_begun", lambda _: 2**62)
    unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS)
    content = Path("bmp/p1.bmp").read_bytes()
    rewrite(Path("bmp/p1.bmp"), content[:-1] + bytes([content[-1] ^ 1]))
    assert "up to date" in unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS).stderr
    more = [*SEGMENTS, "--compactness", "3"]
    assert f"p1.bmp: {CHANGED}" in unseg("superpixels", "bmp", "-o", "sp.h5", *more, expect=1).stderr
    unseg("superpixels", "bmp", "-o", "sp.h5", *more)
    with store.open_artifact("sp.h5") as artifact:
        digests = list(artifact.table("sources/digest"))
    assert digests[1] == hashlib.sha256(Path("bmp/p1.bmp").read_bytes()).hexdigest()


def test_images_that_changed_since_their_superpixels_are_told(changing: Callable[[str], bytes]) -> None:
    unseg("superpixels", "bmp", "-o", "sp.h5", *SEGMENTS, "--no-pixels")
    content = Path("bmp/p1.bmp").read_bytes()
    rewrite(Path("bmp/p1.bmp"), content[:-1] + bytes([content[-1] ^ 1]))
    result = unseg("cluster", "sp.h5", "--classes", "3", "--workers", "1", expect=1)
    assert "skipped p1.bmp: has changed since sp.h5 was made; make sp.h5 again" in result.stderr


def test_dry_run_prints_no_path(here: Path) -> None:
    result = unseg("superpixels", "data", "-o", "sp.h5", "--dry-run")
    assert result.stdout == ""
    assert "3 images" in result.stderr
    assert not Path("sp.h5").exists()
    unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS)
    assert "3 images" in unseg("cluster", "sp.h5", "--dry-run").stderr
    assert not list(here.glob("segmentation.h5*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["superpixels", "nowhere"], ["nowhere", "spelling"]),
        (["superpixels", "empty"], ["empty"]),
        (["superpixels", "data", "--bands", "4"], ["band 4", "has 3"]),
        (["superpixels", "data", "--max-pixels", "100"], ["--max-pixels", "48 x 64"]),
        (["superpixels", "data", "--mask", "nowhere"], ["nowhere"]),
        (["superpixels", "data", "-o", "data"], ["data", "folder", "-o"]),
        (["superpixels", "data", "-o", "junk.h5"], ["junk.h5", "--force"]),
        (["cluster"], ["superpixels", "unseg cluster"]),
        (["cluster", "nowhere.h5"], ["nowhere.h5", "no such file"]),
        (["train", "data", "--method", "nowhere.py"], ["nowhere.py", "cannot be read"]),
        (["cluster", "junk.h5"], ["junk.h5", "not an HDF5 file"]),
        (["inspect", "data"], ["folder"]),
        (["inspect"], ["name a file", "unseg inspect"]),
        (["superpixels", ""], ["empty", "variable"]),
        (["inspect", "data/p0.png"], ["p0.png", "HDF5"]),
    ],
    ids=" ".join,
)
def test_mistakes_are_answered_in_one_line(arguments: Sequence[str], words: Sequence[str], here: Path) -> None:
    (here / "empty").mkdir()
    if "junk.h5" in arguments:
        (here / "junk.h5").write_text("not HDF5")
    message = one_line(unseg(*arguments, expect=1))
    for word in words:
        assert word in message
    assert not list(here.glob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["superpixels", "--no-such-option"], ["--no-such-option", "unseg superpixels --help"]),
        (["superpixels", "--compactnes", "3"], ["did you mean --compactness?"]),
        (["train", "--clases", "3"], ["did you mean --classes?"]),
        (["train", "--segments", "9"], ["--segments: is an option of `unseg superpixels`, not of `unseg train`"]),
        (["train", "--segmnts", "9"], ["did you mean --segments? (of `unseg superpixels`)"]),
        (["train", "data", "--set", "optimizer=Adam"], ["did you mean adam?"]),
        (["train", "data", "--preset", "iic-potsdam"], ["context has no presets; iic-potsdam is for iic"]),
        (["superpixels", "data", "--algorithm", "quickshift"], ["slic, slic-skimage, felzenszwalb"]),
        (["superpixels", "data", "--algorithm", "slick"], ["did you mean slic?"]),
        (["no-such-command"], ["no-such-command", "superpixels, features, train, cluster"]),
        (["superpixel"], ["did you mean superpixels?"]),
        (["superpixels", "data", "--segments"], ["--segments", "needs a value"]),
        (["superpixels", "data", "--segments", "0"], ["--segments 0", "a whole number from 1"]),
        (["superpixels", "data", "--segments", "few"], ["--segments few", "a whole number from 1"]),
        (["superpixels", "data", "--size", "0"], ["--size 0", "256"]),
        (["superpixels", "data", "--size", "3x4x5"], ["--size", "240x320"]),
        (["superpixels", "data", "--size", "32", "--scale", "0.5"], ["--size", "--scale"]),
        (["superpixels", "data", "--bands", "a,b"], ["--bands", "4,1,2"]),
        (["superpixels", "data", "--percentiles", "99,1"], ["--percentiles", "1,99"]),
        (["superpixels", "data", "--scale", "nan"], ["--scale"]),
        (["superpixels", "data", "--segments", "5", "--pixels-per-segment", "5"], ["one of them"]),
        (["superpixels", "data", "--scaling", "picture"], ["is now called image"]),
        (["evaluate", "data", "--polarity", "bright"], ["--polarity bright", "must be given or best-of-two here"]),
        (["iem", "data", "--refine"], ["was removed", "--method segnet", "examples/refine_masks.sh"]),
        (["proposals", "data", "--method", "mr"], ["is now called --cue"]),
        (["cluster", "data", "--objects", "component"], ["is now called --object-is"]),
        (["visualize", "seg.h5", "--format", "tiff"], ["is now `unseg export --to png`, tiff, geotiff or npy"]),
        (["superpixels", "data", "--stride", "9"], ["--stride 9", "--patch"]),
        (["superpixels", "data", "--patch", "9", "--stride", "10"], ["--stride 10"]),
        (["superpixels", "data", "--scale", "0"], ["--scale"]),
        (["superpixels", "data", "--axes", "xyz"], ["--axes"]),
        (["superpixels", "data", "--compactness", "0"], ["--compactness"]),
        (["cluster", "data"], ["unseg superpixels", "--features bands"]),
        (["superpixels", "data", "--mask", "data", "--no-pixels"], ["--mask", "--no-pixels"]),
        (["train", "data", "--method", "inmar"], ["did you mean inmars?"]),
        (["train", "data", "--method", "iic", "--set", "crops=9"], ["did you mean crop?"]),
        (["train", "data", "--method", "iic", "--set", "crop=x"], ["crop x: must be a whole number"]),
        (["train", "data", "--method", "iic", "--preset", "x"], ["--preset x"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_misuse_is_one_line_and_exits_with_2(arguments: Sequence[str], words: Sequence[str], here: Path) -> None:
    message = one_line(unseg(*arguments, expect=2))
    assert all(word in message for word in words), message
    assert not list(here.glob("*.h5*"))


@pytest.mark.parametrize("method", ["MR", "Mr"])
def test_names_may_be_typed_in_any_case(method: str, here: Path) -> None:
    unseg("proposals", "data", "--cue", method, "--size", "32", "--workers", "1")


def test_images_in_the_working_folder_itself_are_pointed_at(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "data")
    assert "use `unseg superpixels .`" in one_line(unseg("superpixels", expect=1))


def test_a_path_may_hold_any_character(make_images: MakeImages, here: Path) -> None:
    make_images("mit Leerzeichen und Ümläuten")
    output = "größe 1.h5"
    unseg("superpixels", "mit Leerzeichen und Ümläuten", "-o", output, *SEGMENTS)
    assert "every invariant holds" in unseg("inspect", output, "--verify").stdout


def test_inspect_prints_a_table_or_json(here: Path) -> None:
    unseg("superpixels", *SEGMENTS)
    text = unseg("inspect", "superpixels.h5").stdout
    for word in ("superpixels version 2", "recipe.parameters.compactness", "made from\n  images: /", "data"):
        assert word in text
    described = json.loads(unseg("inspect", "superpixels.h5", "--json", "--verify").stdout)
    assert described["problems"] == []


def test_inspect_verify_fails_on_a_broken_invariant(here: Path) -> None:
    import h5py

    unseg("superpixels", *SEGMENTS)
    with h5py.File("superpixels.h5", "r+") as file:
        file["windows/superpixels"][0] = 3
    result = unseg("inspect", "superpixels.h5", "--verify", expect=1)
    assert "windows/superpixels" in result.stdout or "fingerprint" in result.stdout
    one_line(result)


def test_sources_of_every_form(here: Path) -> None:
    (here / "list.txt").write_text("data/p0.png\n# a comment\n\ndata/p2.png\n")
    for number, (inputs, count) in enumerate(
        [
            (["data"], 3),
            (["data/p1.png"], 1),
            (["data/p[01].png"], 2),
            (["data/p0.png", "data/p2.png"], 2),
            (["list.txt"], 2),
        ]
    ):
        unseg("superpixels", *inputs, "-o", f"{number}.h5", *SEGMENTS)
        with store.open_artifact(f"{number}.h5") as artifact:
            assert len(artifact.table("sources/name")) == count


def test_commands_of_the_readme_take_no_more_than_is_typed(here: Path) -> None:
    assert "Usage" in unseg("superpixels", "--help").stdout
    assert "Usage" in unseg("cluster", "-h").stdout
    unseg(expect=2)  # help, as for any misuse


def test_a_file_name_need_not_be_utf8(here: Path) -> None:
    """Linux allows any bytes; such a name must come through every stage and through --verify."""
    odd = os.fsdecode(b"data/\xff image.png")
    Path("data/p0.png").rename(odd)
    unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS)
    unseg("cluster", "sp.h5", "--classes", "3")
    assert "every invariant holds" in unseg("inspect", "segmentation.h5", "--verify").stdout
    with store.open_artifact("sp.h5") as artifact:
        assert os.fsdecode(b"\xff image.png") in artifact.table("sources/name")


def test_a_name_cannot_tell_the_terminal_what_to_do(here: Path) -> None:
    """Not in messages, nor in what `inspect` prints, which as JSON is still the name."""
    (here / "data" / f"{HOSTILE}.png").write_bytes(b"broken")
    result = unseg("superpixels", "data", "-o", "sp.h5", *SEGMENTS, expect=1)
    assert f"skipped {HARMLESS}.png" in result.stderr
    printed = [result.stderr, unseg("inspect", "sp.h5").stdout, unseg("inspect", "sp.h5", "--json").stdout]
    printed.append(one_line(unseg("inspect", HOSTILE, expect=1)))
    printed.append(one_line(unseg("inspect", "sp.h5", f"--{HOSTILE}", expect=2)))
    assert not any(console.CONTROL.search(text.replace("\n", "")) for text in printed)
    assert json.loads(printed[2])["skipped"][0]["name"] == f"{HOSTILE}.png"


def test_masks_need_the_pixels_stored(here: Path) -> None:
    message = one_line(unseg("superpixels", "data", "--mask", "data", "--no-pixels", expect=2))
    assert "--mask" in message
    assert "--no-pixels" in message


def test_options_on_reading_images_are_folded_away_where_the_input_is_a_file_of_ours() -> None:
    whole, folded = unseg("superpixels", "--help").stdout, unseg("train", "--help").stdout
    assert "--percentiles" in whole
    assert "How images are read" in whole
    assert "--percentiles" not in folded
    assert "`unseg superpixels" in folded
    assert folded.count("\n") < 110


def test_another_name_of_a_value_is_taken() -> None:
    described = next(one.metadata["option"] for one in fields(Cluster) if one.name == "features")
    assert value_from("--features", "rgb", described, "str") == "bands"
