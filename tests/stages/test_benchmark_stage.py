"""`benchmark`: which commands it runs, what it makes of their scores, and published rows beside them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import published_trees_objects
import pytest
import typer.main
from PIL import Image
from published_trees import potsdam_files, zipped
from toy import two_colours
from typed import one_line, unseg

from unsegcli.cli import app
from unsegcli.cli._table_forms import as_markdown
from unsegcli.cli._tables import Table
from unsegcli.cli.benchmark import describe
from unsegcli.core.scoring.protocols import PROTOCOLS
from unsegcli.dataflow import benchmark_runs
from unsegcli.datasets import _row_runs, potsdam
from unsegcli.datasets._compared import compared
from unsegcli.datasets._load import known_sets
from unsegcli.datasets._published import VIDEO, find_row, known_rows
from unsegcli.errors import StepError
from unsegcli.params import Benchmark, Inputs, Run
from unsegcli.presets import read_preset
from unsegcli.segmenters import map_costs
from unsegcli.stages.benchmark import benchmark

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
LEGEND = "".join(f'[[class]]\nname = "{name}"\nfrom = [{number}]\n' for number, name in enumerate(("left", "right")))
COUNT = 4


@dataclass
class Typed:
    """Runs commands in this process instead of one of their own, with a tiny training, and notes them."""

    commands: list[list[str]] = field(default_factory=list)
    fails: str = ""  # a command with this word fails
    sets: tuple[str, ...] = ("batch=2", "crop=16", "reach=2")  # settings of a tiny training

    def __call__(self, arguments: Sequence[str]) -> None:
        self.commands.append(list(arguments))
        if self.fails and self.fails in arguments:
            raise StepError("`unseg train` failed with exit code 1; see above", 1)
        tiny = [part for one in self.sets for part in ("--set", one)]
        unseg(*arguments, *(tiny if arguments[0] == "train" else ()))


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """The commands that are run, and a trial of the machine that takes no time."""
    commands = Typed()
    for module in (benchmark_runs, _row_runs):
        monkeypatch.setattr(module, "run_command", commands)
    monkeypatch.setattr(map_costs, "slowness", lambda: 1.0)
    return commands


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two colours, whose labels are the colours; and a legend that merges both."""
    top = tmp_path_factory.mktemp("bench") / "toy"
    for folder in ("images", "labels"):
        (top / folder).mkdir(parents=True)
    for number in range(COUNT):
        pixels = two_colours(number, 40, 40)
        Image.fromarray(pixels).save(top / "images" / f"p{number}.png")
        Image.fromarray((pixels[:, :, 0] > 130).astype(np.uint8)).save(top / "labels" / f"p{number}.png")
    (top / "classes.toml").write_text(LEGEND)
    (top / "one.toml").write_text('[[class]]\nname = "all"\nfrom = [0, 1]\n')
    return top


def names(said: pytest.LogCaptureFixture) -> list[list[str]]:
    """The commands that a dry run names."""
    lines = [message for message in said.messages if message.startswith("would run: ")]
    return [shlex.split(line.removeprefix("would run: unseg ")) for line in lines]


# A table of methods and sets


@pytest.fixture(scope="module")
def table(labelled: Path) -> dict[str, Any]:
    """A table with two seeds, made in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_runs, "run_command", Typed())
        patch.setattr(map_costs, "slowness", lambda: 1.0)
        methods = Benchmark([labelled], ("pixels", "regions", "probe"), seeds=2)
        return benchmark(Inputs([]), methods, Run(labelled.parent / "out", workers=1)).result


def test_each_method_and_seed_has_a_row(table: dict[str, Any]) -> None:
    rows = {(row["row"], row["seed"]): row for row in table["rows"]}
    methods = [("k-means, pixels", 0), ("k-means, pixels", 1), ("k-means, regions", 0), ("k-means, regions", 1)]
    assert set(rows) == {*methods, ("largest class everywhere", 0), ("ceiling: linear probe, with labels", 0)}
    assert all(rows[one]["matched"][0] > 0.9 for one in methods), "colours are easy"
    assert rows["k-means, pixels", 1]["named"] == [1.0, 1.0]
    assert set(table["measures"]) == {"matched", "named", "probe"}
    assert table["labels_used"] == "scoring, and for learning the ceiling"
    assert [(one["name"], one["classes"]) for one in table["sets"]] == [("toy", 2)]


def test_the_largest_class_is_its_share_of_the_pixels(table: dict[str, Any], labelled: Path) -> None:
    right = np.mean([np.asarray(Image.open(path)) for path in sorted((labelled / "labels").iterdir())])
    share = max(right, 1 - right)
    row = next(row for row in table["rows"] if row["row"] == "largest class everywhere")
    assert row["matched"] == pytest.approx([share, share / 2])


def test_a_second_run_repeats_nothing(
    table: dict[str, Any], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = labelled.parent / "out"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")}
    asked = ("benchmark", "--data", labelled, "--methods", "pixels,regions,probe", "--seeds", 2, "-o", out)
    done = unseg(*asked, "--workers", 1, "--table", "markdown")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")} == before
    kept = json.loads((out / "benchmark.json").read_text())
    assert kept["rows"] == table["rows"]
    lines = done.stdout.splitlines()
    assert "| method | toy accuracy | toy miou |" in lines
    assert [line.split(" | ")[0] for line in lines if line.startswith("| k-means")] == [
        "| k-means, pixels",
        "| k-means, regions",
    ] * 2, "one to one, and named"
    assert "0.000 |" in next(line for line in lines if line.startswith("| k-means, regions")), "a deviation over seeds"


def test_commands_are_those_that_a_user_would_type(
    labelled: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    params = Benchmark([labelled], ("all",), seeds=2, steps=7)
    found = benchmark(Inputs([], limit=3), params, Run(tmp_path / "o", workers=2, device="cpu", dry_run=True))
    assert not found.result
    assert not (tmp_path / "o").exists()
    commands, folder = names(said), tmp_path / "o" / "toy"
    assert commands.count(commands[3]) == 1
    images = [str(labelled), "--limit", "3", "--skip-bad"]
    assert ["superpixels", *images, "-o", f"{folder}/superpixels.h5", "--workers", "2"] in commands
    train = ["train", f"{folder}/superpixels.h5", "--method", "infoseg", "--classes", "2", "--seed", "1"]
    more = ["--steps", "7", "--device", "cpu", "-o", f"{folder}/infoseg-seed1-model.h5", "--workers", "2"]
    assert [*train, *more] in commands
    methods = [command[command.index("--method") + 1] for command in commands if command[0] == "train"]
    assert methods == ["context", "iic", "infoseg", "inmars"] * 2
    assert sum(command[0] == "probe" for command in commands) == 1
    assert said.messages[0].startswith("40 commands, 13 results on 1 sets: about ")


def test_a_legend_in_the_folder_names_another_set(
    labelled: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    params = Benchmark([labelled, labelled / "one.toml"], ("pixels",), seeds=2)
    benchmark(Inputs([]), params, Run(tmp_path / "o", dry_run=True))
    fitted = ["toy-one" in command[-1] for command in names(said) if command[0] == "cluster"]
    assert fitted == [False, True] * 2, "all sets with one seed, then with the next"
    scored = [command for command in names(said) if command[0] == "evaluate"][:4]
    assert [("--legend" in command, "toy-one" in command[1]) for command in scored] == [(False, False)] * 2 + [
        (True, True)
    ] * 2


def test_a_network_a_model_and_a_file_of_ones_own_are_methods(
    labelled: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    params = Benchmark([labelled], ("maskcontrast", "lite0", "timm:resnet10t.c3_in1k", "a/mine.py", "b/model.h5"))
    benchmark(Inputs([]), params, Run(tmp_path / "o", dry_run=True))
    commands = names(said)
    backbones = [command[command.index("--backbone") + 1] for command in commands if command[0] == "features"]
    assert backbones == ["lite0", "timm:resnet10t.c3_in1k", "b/model.h5"]
    outputs = [Path(command[command.index("-o") + 1]).name for command in commands if command[0] == "features"]
    assert outputs == ["lite0-features.h5", "timm-resnet10t.c3_in1k-features.h5", "model-features.h5"]
    own = [command for command in commands if "a/mine.py" in command]
    assert [command[0] for command in own] == ["train", "cluster"]
    assert [command[0] for command in commands if "maskcontrast-seed0-model.h5" in " ".join(command)][:2] == [
        "train",
        "cluster",
    ]
    for command in commands:
        COMMANDS[command[0]].make_context(command[0], command[1:])


def test_a_method_that_fails_does_not_stop_the_others(labelled: Path, tmp_path: Path, typed: Typed) -> None:
    typed.fails = "iic"
    asked = ("benchmark", "--data", labelled, "--methods", "iic,pixels", "-o", tmp_path / "o", "--workers", 1)
    done = unseg(*asked, expect=1)
    result = json.loads(done.stdout)
    assert result["failed"] == ["toy: iic, seed 0"]
    assert {row["row"] for row in result["rows"]} == {"k-means, pixels", "largest class everywhere"}
    assert "1 result is missing, since a command failed: toy: iic, seed 0" in done.stderr


def test_an_interruption_stops_all(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: Sequence[str]) -> None:
        raise StepError("interrupted", 130)

    monkeypatch.setattr(benchmark_runs, "run_command", interrupted)
    with pytest.raises(StepError):
        benchmark(Inputs([]), Benchmark([labelled], ("pixels",)), Run(tmp_path / "o"))


MISTAKES = [
    ([], "give labelled images with --data FOLDER, or published rows, see --list"),
    (["--data", "none"], "--data none: no such folder"),
    (["--data", "."], "has no classes.toml"),
    (["--data", "toy", "--data", "toy"], "another set is called toy, too"),
    (["--data", "toy", "--methods", "infosec"], "did you mean infoseg?"),
    (
        ["--data", "toy", "--methods", "a/mine.py,b/mine.py"],
        "files would have the same names",
    ),
    (["--data", "toy", "--steps", "3", "--minutes", "1"], "--steps and --minutes cannot be used together"),
    (["--data", "toy", "-o", "toy/classes.toml"], "give the name of a folder"),
    (["infoseg/potsdam3", "--data", "toy"], "did you mean infoseg/potsdam-3?"),
    (["infoseg/potsdam-3"], "give the folder that `unseg prepare potsdam-3` made"),
    (["maskcontrast/davis", "--data", "videos"], "run maskcontrast/voc in benchmark, or type MODEL.h5/davis"),
    (["--list", "nothing"], "no row has nothing in its name"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_mistakes_are_told_before_anything_runs(
    options: list[str], message: str, labelled: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed
) -> None:
    monkeypatch.chdir(labelled.parent)
    (labelled.parent / "videos").mkdir(exist_ok=True)
    (labelled.parent / "videos" / "prepared.json").write_text('{"name": "davis-2016"}')
    asked = 1 if message.startswith(("--data none", "has no classes")) else 2  # of files, and of what was typed
    assert message in one_line(unseg("benchmark", *options, expect=asked))
    assert not typed.commands


# Published rows


def test_the_commands_of_all_rows_have_known_options_and_presets(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    for name in known_sets():
        (tmp_path / name).mkdir()
        (tmp_path / name / "prepared.json").write_text(json.dumps({"name": name}))
    params = Benchmark([tmp_path / name for name in known_sets()], seeds=2, minutes=1.5, weights="w.pth")
    for row in known_rows():
        said.clear()
        run = Run(tmp_path / "o", workers=1, device="cpu", dry_run=True)
        benchmark(Inputs([row.name], limit=3), params, run)
        commands = names(said)
        assert str(tmp_path / row.published.name) in commands[0][1] + commands[0][2], "the images"
        for name, *arguments in commands:
            COMMANDS[name].make_context(name, arguments)
            if "--preset" in arguments:
                owner = arguments[arguments.index("--method") + 1] if name == "train" else name
                assert read_preset(owner, arguments[arguments.index("--preset") + 1])
        assert any("--legend" in command for command in commands), row.name
        seeds = {command[command.index("--seed") + 1] for command in commands if "--seed" in command}
        untrained = row.method in ("iem", "square", "proposals", "colours") or row.kind == VIDEO
        assert seeds == (set() if untrained else {"1"}), f"{row.name}: those of seed 0 have no option"


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archives of Potsdam, with tiles of one patch of 32 pixels."""
    monkeypatch.setattr(potsdam, "PATCH", 32)
    monkeypatch.setattr(potsdam, "TILE", 64)
    images, labels = potsdam_files()
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/4_Ortho_RGBIR.zip").write_bytes(zipped(images))
    (tmp_path / "downloads/5_Labels_for_participants.zip").write_bytes(zipped(labels))
    return tmp_path / "downloads"


@pytest.mark.slow
def test_a_published_row_from_the_download_to_the_comparison(downloads: Path, tmp_path: Path, typed: Typed) -> None:
    asked = ("iic/potsdam-3", "pixels/potsdam-3", "--data", downloads, "--seeds", 2, "--steps", 1)
    done = unseg("benchmark", *asked, "-o", tmp_path / "o", "--workers", 1, "--json")
    assert [command[0] for command in typed.commands] == [
        "prepare",
        *["train", "cluster", "evaluate"] * 2,
        *["cluster", "evaluate"] * 2,
    ]
    row, other = json.loads(done.stdout)["rows"]
    assert row["published"][0]["value"] == 65.1
    assert row["difference"] == pytest.approx(row["ours"]["mean"] - 65.1)
    assert len(row["ours"]["seeds"]) == 2
    assert 0 < row["ours"]["mean"] < 100
    assert row["scores"][0]["accuracy"] == pytest.approx(row["ours"]["seeds"][0] / 100)
    assert row["beside"][0]["system"] == "largest class everywhere"
    assert 33 < row["beside"][0]["value"] < 60
    assert {"InfoSeg", "AC", "STEGO"} <= {one["system"] for one in row["beside"]}
    protocols = {one["system"]: one["protocol"] for one in row["beside"]}
    assert protocols["STEGO"].startswith("other protocol: centre crop")
    assert not protocols["InfoSeg"].startswith("other protocol")
    words = " | ".join(row["differences"])
    assert "the images that are scored are among those that are trained on" in words
    assert "the published score is the best epoch by labelled accuracy" in words
    assert "not reproduced: choice of the checkpoint by labelled accuracy" in words
    assert "settings: the preset potsdam-3" in words
    assert "training was limited by --steps 1" in words
    assert other["difference"] is None
    assert "no settings of a paper" in " | ".join(other["differences"])


def test_rows_of_the_same_objects_share_one_training(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    (tmp_path / "prepared.json").write_text('{"name": "voc-2012"}')
    rows = ["maskcontrast/voc", "maskcontrast/voc-probe", "maskcontrast/voc-retrieval-7"]
    benchmark(Inputs(rows), Benchmark([tmp_path]), Run(tmp_path / "o", dry_run=True))
    assert [command[0] for command in names(said)] == ["proposals", "train", "cluster", "evaluate", "probe", "retrieve"]


OBJECTS = [
    ("flowers", "flowers-102", ("iem/flowers", "square/flowers", "proposals/flowers", "iem-segnet/flowers")),
    ("videos", "davis-2016", ("colours/davis",)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("tree", "name", "rows"), OBJECTS)
def test_rows_of_objects_come_to_scores(
    tree: str, name: str, rows: tuple[str, ...], tmp_path: Path, typed: Typed
) -> None:
    source = getattr(published_trees_objects, tree)(tmp_path / "source")
    typed.sets = ("batch=2", "crop=32", "width=4", "architecture=small")
    unseg("prepare", name, source, "-o", tmp_path / "ready", "--workers", 1)
    asked = (*rows, "--data", tmp_path / "ready", "--steps", 2, "-o", tmp_path / "o", "--workers", 1)
    found = json.loads(unseg("benchmark", *asked).stdout)
    assert [row["row"] for row in found["rows"]] == list(rows)
    assert not found["failed"]
    assert all(0 <= row["ours"]["mean"] <= 100 for row in found["rows"])


def test_a_prepared_folder_is_used_as_it_is(downloads: Path, tmp_path: Path, typed: Typed) -> None:
    unseg("prepare", "potsdam-3", downloads, "-o", tmp_path / "ready", "--workers", 1)
    asked = ("regions/potsdam-3", "--data", tmp_path / "ready", "-o", tmp_path / "o", "--workers", 1)
    done = unseg("benchmark", *asked, "--table", "markdown")
    assert [command[0] for command in typed.commands] == ["superpixels", "cluster", "evaluate"]
    assert "**potsdam-3, in percent: trained on labelled and unlabelled, scored on labelled;" in done.stdout
    assert "| STEGO | 77.0 | other protocol:" in done.stdout
    assert "* settings: the defaults of `unseg`, no settings of a paper" in done.stdout


def test_rows_of_a_task_share_a_table_with_one_decimal(tmp_path: Path) -> None:
    """`_compared` is asked with scores that no command has to make."""
    found = {"scores": {"iou": 0.51234}, "labels_used": "scoring", "protocol": asdict(PROTOCOLS["iem"])}
    about = {"missing": [f"image_{number}.jpg" for number in range(9)], "options": {}}
    rows = [compared(find_row(name), [found], [], about) for name in ("iem/flowers", "square/flowers")]
    result = {"made_by": "", "date": "", "machine": "", "labels_used": "scoring", "rows": rows}
    tables, texts = ([part for part in describe(result) if isinstance(part, kind)] for kind in (Table, str))
    assert len(tables) == 1
    written = as_markdown(tables)
    assert "**flowers, in percent: trained on train, scored on test;" in written
    assert "| unseg iem/flowers, one run, last step | 51.2 |" in written
    assert "| difference of iem/flowers | -25.6 |" in written
    assert "| unseg square/flowers, one run, last step | 51.2 |" in written
    assert written.count("| IEM |") == 1
    assert "| system | IoU |" in written
    assert not any("centre crop" in text for text in texts), "the prepared images are cropped"
    assert sum("train and test are swapped" in text for text in texts) == 1
    assert "* square/flowers: of this method, no score is published here" in texts
    assert any("image_4.jpg; and 4 more" in text for text in texts)
    whole = compared(find_row("iem/flowers"), [found], [], {"options": {"original_size": True}})
    assert any("centre crop" in text for text in whole["differences"])
    assert any("--original-size" in text for text in whole["differences"])


def test_hours_are_said_with_two_digits_and_scores_in_words(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    listed = unseg("benchmark", "--list", "maskcontrast/voc-retrieval-7", "--table", "csv").stdout
    assert (
        'maskcontrast/voc-retrieval-7,"53.4 mIoU of 7 classes, found in the source",voc-unsupervised,"1,300",' in listed
    )
    (tmp_path / "prepared.json").write_text('{"name": "potsdam-3"}')
    params = Benchmark([tmp_path], seeds=3, steps=5)
    benchmark(Inputs(["infoseg/potsdam-3"], limit=9), params, Run(tmp_path / "o", dry_run=True))
    wanted = "infoseg/potsdam-3: about 390 hours of one processor for 3 seeds, less with --steps 5 --limit 9"
    assert wanted in said.messages


def test_rows_are_listed_with_published_scores() -> None:
    listed = json.loads(unseg("benchmark", "--list", "infoseg").stdout)["listed"]
    assert [row["row"] for row in listed] == [
        f"infoseg/{task}" for task in ("potsdam-3", "potsdam", "coco-stuff-3", "coco-stuff-15", "coco-persons")
    ]
    first = listed[0]
    assert (first["published"], first["score"], first["preset"], first["needs_gpu"]) == (
        71.6,
        "accuracy",
        "potsdam-3",
        True,
    )
    assert first["hours"] == 130.0, "two digits: it is a guess"
    table = unseg("benchmark", "--list", "iem/", "--table", "csv").stdout.splitlines()
    firsts = [line.partition(",")[0] for line in table if line]
    assert firsts == ["row", "iem/flowers", "row", "iem/cub", "row", "iem/lsun-car"]


@pytest.mark.slow
def test_a_table_is_made_by_processes(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(map_costs, "slowness", lambda: 1.0)
    params = Benchmark([labelled], ("regions",))
    made = benchmark(Inputs([]), params, Run(tmp_path / "o", workers=1))
    assert {row["row"] for row in made.result["rows"]} == {"k-means, regions", "largest class everywhere"}
    assert made.path.is_file()
