"""The documents against the code: what they say is so, what they show runs, and nothing is left unsaid."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import typer.main
from conftest import four_quadrants
from PIL import Image

from unsegcli import params, store
from unsegcli.cli import app
from unsegcli.images.working import Reading
from unsegcli.stages.superpixels import ALGORITHMS
from unsegcli.store.kinds import COMMON_ATTRIBUTES, KINDS, ROLES, Field

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDE, FORMAT, DESIGN = (ROOT / "docs" / f"{name}.md" for name in ("guide", "format", "design"))
EXAMPLES = sorted((ROOT / "examples").glob("*.sh"))
BASELINES, ABLATIONS = ROOT / "examples" / "baselines.sh", ROOT / "examples" / "iem_ablations.sh"
LEARNED, METHOD = ROOT / "examples" / "learned.sh", ROOT / "examples" / "method.py"
REFINING = ROOT / "examples" / "refine_masks.sh"

# Every spelling of every option. A new one is added here on purpose, after a look at those that are there.
OPTIONS = set(
    """
    --algorithm --alpha --axes --bands --blur --classes --compactness --confidence --crop --diversity --dry-run
    --export --features --force --format --grid --help --hungarian --ignore --images --init --install-completion
    --iterations --json --kernel --labels --legend --like --limit --many-to-one --mask --match-by --max-pixels
    --metrics --no-labels --no-pixels --no-smooth --nodata --output --parts --patch --per-image --percentiles
    --mosaics --pixels --pixels-per-segment --polarity --preset --protocol --quiet --repeats --replicates --role
    --samples --scale --scale-factor --scaling --seed --segments --show-completion --sigma --size --skip-bad
    --smooth --square --starts --stride --tolerance --trace --update --verbose --verify --version --workers
    --per --flips --refine --tile --device --method --cue
    --proposals --min-confidence --weights --objects --threshold --pooling
    --area --clean --masks --no-clean --smallest
    --restarts --max-classes --ceiling --background
    --checkpoint-minutes --compile --config --epochs --keep-every --memory --minutes --precision --seeds --set --steps
    -h -o -q -v
    """.split()  # noqa: SIM905
)
OF_TORCHRUN = {"--nproc-per-node"}
OF_BENCHMARKS = {"--models", "--mosaics", "--table"}  # options of scripts in tests/benchmarks
# Options that differ between commands for a reason: each output is a file or folder of its own kind and name.
OUTPUT = {"--output"}
FEWEST_WORDS = 3


def spellings(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def context_of(command: Any) -> Any:
    """The context that a command would run in, which says how `--help` is spelled."""
    parent = None if command is ROOT_COMMAND else context_of(ROOT_COMMAND)
    return command.make_context(command.name, [], parent=parent, resilient_parsing=True)


def options_of(command: Any) -> list[Any]:
    """The options of a command, `--help` included."""
    found = command.get_params(context_of(command))
    return [parameter for parameter in found if parameter.param_type_name == "option"]


ROOT_COMMAND: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = dict(ROOT_COMMAND.commands)
EVERY_OPTION = [
    (name, option) for name, command in {"unseg": ROOT_COMMAND, **COMMANDS}.items() for option in options_of(command)
]


# ---------------------------------------------------------------------------------------- commands and options


def mentions(text: str, spelling: str) -> bool:
    """Whether an option stands in a text by itself, not as a part of a longer one."""
    return re.search(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", text) is not None


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    level = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^{level} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[1]


def test_a_part_of_a_longer_option_is_no_mention() -> None:
    assert mentions("say `--pixels` or", "--pixels")
    assert not mentions("--pixels-per-segment --no-pixels", "--pixels")


@pytest.mark.parametrize("name", COMMANDS)
def test_guide_has_a_section_for_each_command(name: str) -> None:
    text = GUIDE.read_text()
    shared = section(text, "## How images are read") + section(text, "## How a command runs")
    for option in options_of(COMMANDS[name]):
        if option.name != "help":
            where = section(text, f"## unseg {name}") + ("" if name == "inspect" else shared)
            for spelling in spellings(option):
                assert f"| `{spelling}`" in where or f", `{spelling}`" in where, f"{name} {spelling}"


@pytest.mark.parametrize(("command", "option"), EVERY_OPTION, ids=lambda value: getattr(value, "name", value))
def test_every_option_is_in_the_guide_and_has_a_help_text(command: str, option: Any) -> None:
    for spelling in spellings(option):
        assert mentions(GUIDE.read_text(), spelling), f"{command} {spelling} is not in docs/guide.md"
    assert len((option.help or "").split()) >= FEWEST_WORDS, f"{command} {option.opts}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_argument_says_what_it_is_for(name: str) -> None:
    assert len((COMMANDS[name].help or "").split()) > FEWEST_WORDS
    for parameter in COMMANDS[name].params:
        assert len((parameter.help or "").split()) > FEWEST_WORDS, parameter.name


def test_the_spellings_of_options_are_known() -> None:
    assert {spelling for _, option in EVERY_OPTION for spelling in spellings(option)} == OPTIONS


def test_one_spelling_has_one_meaning() -> None:
    seen: dict[str, tuple[str, dict[str, Any]]] = {}
    for command, option in EVERY_OPTION:
        facts = {
            "spellings": spellings(option),
            "help": option.help,
            "value": option.metavar,  # as the help shows it, choices included
            "range": (getattr(option, "min", None), getattr(option, "max", None)),
            "flag": option.is_flag,
            "panel": getattr(option, "rich_help_panel", None),
            "default": option.default,
        }
        for spelling in spellings(option):
            if spelling not in seen:
                seen[spelling] = command, facts
                continue
            other, before = seen[spelling]
            differing = {key for key, value in facts.items() if before[key] != value}
            if OUTPUT & set(spellings(option)):
                differing -= {"default", "help", "value"}
            assert not differing, f"{spelling} differs between {other} and {command} in: {differing}"


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=lambda page: page.name)
def test_no_page_names_an_option_that_is_not_there(page: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text()))
    assert named <= OPTIONS | OF_TORCHRUN | OF_BENCHMARKS, f"{page.name} names {sorted(named - OPTIONS)}"


def test_guide_has_the_defaults_of_the_settings() -> None:
    """Each default that a table of the guide states, in its words."""
    text = GUIDE.read_text()
    stated = {
        "--pixels-per-segment": params.Superpixels.pixels_per_segment,
        "--compactness": f"{params.Superpixels.compactness:g}",
        "--classes": params.DEFAULT_CLASSES,
        "--max-classes": params.Cluster.max_classes,
        "--blur": f"{params.Cluster.blur:g}",
        "--samples": params.Cluster.samples,
        "--starts": params.Cluster.starts,
        "--seed": params.Cluster.seed,
        "--replicates": params.Evaluate.replicates,
        "--mosaics": params.Demo.mosaics,
        "--square": f"{params.Iem.square:.3g}",
        "--iterations": params.Iem.iterations,
        "--diversity": f"{params.Iem.diversity:g}",
        "--sigma": f"{params.Iem.sigma:g}",
        "--kernel": params.Iem.kernel,
        "--repeats": params.Iem.repeats,
        "--scale-factor": params.Iem.scale_factor,
        "--parts": params.Iem.parts,
        "--smallest": f"{params.Proposals.smallest:g}",
        "--area": "`" + ",".join(f"{value:g}" for value in params.Proposals.area) + "`",
        "--percentiles": "`" + ",".join(f"{value:g}" for value in params.Images.percentiles) + "`",
        "--scale": f"{params.Images.scale:g}",
        "--max-pixels": f"{params.Images.max_pixels // 1_000_000} million",
    }
    for option, default in stated.items():
        row = re.search(rf"^\| `{option}` \|.*$", text, re.MULTILINE)
        assert row, option
        assert re.search(rf"default {default}(?![\d.]\d)", row[0]), f"{option}: {row[0]}"


# ---------------------------------------------------------------------------------------- the file format


def tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Header and rows of each Markdown table, cells without backticks."""
    for found in re.finditer(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[0].splitlines()]
        yield rows[0], rows[2:]


def table(text: str, *header: str) -> list[list[str]]:
    """The rows of the one table that has this header; none if there is no such table."""
    found = [rows for head, rows in tables(text) if head == list(header)]
    assert len(found) <= 1, f"several tables {header}"
    return (
        [[cell.replace("`", "") if column == 0 else cell for column, cell in enumerate(row)] for row in found[0]]
        if found
        else []
    )


def documented_kinds() -> dict[str, tuple[int, str]]:
    """Name of each kind in docs/format.md, with its version and the text below its heading."""
    parts = re.split(r"^(?=##+ )", FORMAT.read_text(), flags=re.MULTILINE)
    found = {}
    for part in parts:
        heading = re.match(r"### `(\w+)`, version (\d+)\n", part)
        if heading:
            found[heading[1]] = int(heading[2]), part
    return found


def row_of(name: str, spec: Field) -> list[str]:
    yes_or_no = ["yes" if value else "no" for value in (spec.required, spec.hint)]
    return [name, spec.per, spec.types, ", ".join(spec.axes), *yes_or_no, spec.about]


def test_format_page_has_every_kind_and_no_other() -> None:
    assert list(documented_kinds()) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_format_page_has_every_field_of_a_kind_and_no_other(kind: str) -> None:
    version, text = documented_kinds()[kind]
    spec = KINDS[kind]
    assert version == spec.version
    rows = table(text, "field", "per", "types", "axes", "required", "hint", "about")
    assert rows == [row_of(name, field) for name, field in spec.fields.items()]
    words = {str: "text", int: "integer"}
    attributes = table(text, "own attribute", "type")
    assert attributes == [[name, words[type_]] for name, type_ in spec.attributes.items()]
    assert ("private" in text) == spec.private


def test_format_page_has_every_common_attribute_and_no_other() -> None:
    rows = table(FORMAT.read_text(), "attribute", "meaning")
    assert rows == [[name, meaning] for name, meaning in COMMON_ATTRIBUTES.items()]


def test_format_page_has_every_role_and_every_key_of_how_images_are_read() -> None:
    text = FORMAT.read_text()
    assert tuple(row[0] for row in table(text, "role", "values")) == ROLES
    keys = [row[0] for row in table(section(text, "## Sources, windows and skipped images"), "key", "value")]
    assert keys == [field.name for field in dataclasses.fields(Reading)]


# ---------------------------------------------------------------------------------------- design and settings


def test_design_page_names_every_part_of_the_package() -> None:
    package = ROOT / "unsegcli"
    parts = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    parts |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    layers = section(DESIGN.read_text(), "## Layers")
    assert not {part for part in parts if f"`{part}`" not in layers}
    named = {
        name for row in table(layers, "layer", "what it is for", "what it must not do") for name in row[0].split(", ")
    }
    assert named == parts


def test_design_page_gives_a_reason_for_every_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=~!\[; ]", requirement)[0] for requirement in project["dependencies"]}
    reasons = table(section(DESIGN.read_text(), "## Dependencies"), "package", "why")
    assert {row[0] for row in reasons} == wanted
    assert all(row[1] for row in reasons)


def test_methods_page_names_every_algorithm() -> None:
    text = (ROOT / "docs" / "methods.md").read_text()
    for name in ALGORITHMS:
        assert f"--algorithm {name}" in text


SETTINGS = [
    value
    for value in vars(params).values()
    if dataclasses.is_dataclass(value) and isinstance(value, type) and value is not params.Option
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.__name__)
def test_every_setting_says_what_it_is(settings: type) -> None:
    """By its help text, or by a comment where it is no option."""
    source = inspect.getsource(settings)
    for field in dataclasses.fields(settings):
        if "option" in field.metadata:
            assert len(field.metadata["option"].help.split()) >= FEWEST_WORDS, field.name
        elif field.name != "images":
            assert re.search(rf"^    {field.name}: [^\n]*  # \S", source, re.MULTILINE), f"{field.name} has no comment"


# ---------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", without_blocks(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([\w.]+)\)", PAGES[0].read_text()))
    assert linked == {page.name for page in PAGES[1:]}


# ---------------------------------------------------------------------------------------- what pages show is run


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and content of the blocks that are to be run."""
    found = re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, code) for language, code in found if not code.startswith("pip ")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images of the kinds that the guide speaks of, and `unseg` on the search path."""
    for folder in ("data", "scenes", "stacks", "bin"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        Image.fromarray(four_quadrants(64, 64, number)).save(tmp_path / "data" / f"p{number}.png")
    deep = np.random.default_rng(0).integers(0, 4000, (3, 64, 64)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stacks" / "cells.tif", deep, photometric="minisblack")
    scene = np.dstack([*deep, deep[0]])
    tifffile.imwrite(tmp_path / "scenes" / "north.tif", scene, photometric="rgb", extrasamples=["unspecified"])
    program = tmp_path / "bin" / "unseg"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m unsegcli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_shell(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euo", "pipefail", "-c", code, "bash", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def run_blocks(page: Path) -> int:
    """Run the blocks of a page in their order; return how many there are."""
    for language, code in blocks(page):
        if language == "sh":
            run_shell(code)
        else:
            exec(compile(code, str(page), "exec"), {"__name__": "__main__"})
    return len(blocks(page))


@pytest.mark.slow
def test_what_the_readme_shows_runs(place: Path) -> None:
    assert run_blocks(ROOT / "README.md") >= 3
    assert {path.name for path in place.glob("*.h5")} >= {"sp.h5", "segmentation.h5", "clusters.h5", "floor.h5"}


@pytest.mark.slow
def test_what_the_guide_shows_runs(place: Path) -> None:
    assert run_blocks(GUIDE) >= 8
    made = {path.name for path in place.glob("*.h5")}
    assert made >= {"sp.h5", "clusters.h5", "floor.h5", "scenes.h5", "cover.h5", "cells.h5", "tissue.h5", "five.h5"}
    assert "try.h5" not in made
    assert {path.name for path in (place / "each").iterdir()} == {"p0.h5", "p1.h5"}


def test_format_page_reads_files_and_computes_the_fingerprint(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_shell("unseg superpixels data/ -o sp.h5 -q | unseg cluster --classes 3 -q")
    run_blocks(FORMAT)
    assert capsys.readouterr().out.startswith("p0.png [ 0  0 64 64] (64, 64) ")
    first = blocks(FORMAT)[0][1].replace("sp.h5", "segmentation.h5")
    exec(compile(first, "format.md", "exec"), {})


def run_example(script: Path, place: Path, *arguments: str) -> str:
    """What an example prints, run from a folder with a space in its name."""
    assert os.access(script, os.X_OK)
    assert "\nset -euo pipefail\n" in script.read_text()
    elsewhere = place / "somewhere else"
    elsewhere.mkdir()
    return run_shell(f"cd {shlex.quote(str(elsewhere))} && {shlex.join([str(script), *arguments])}").stdout


def test_every_example_is_run_here() -> None:
    assert set(EXAMPLES) == {BASELINES, ABLATIONS, LEARNED, REFINING}
    assert {path for path in METHOD.parent.glob("*") if path.is_file()} == {*EXAMPLES, METHOD}


def test_the_example_of_a_method_learns_and_labels(place: Path) -> None:
    small = "--classes 4 --steps 30 --set crop=64 --set batch=2 --set width=4 --workers 1"
    run_shell(f"cp {shlex.quote(str(METHOD))} mine.py; unseg train data --method mine.py {small}")
    run_shell("unseg cluster model.h5 --method mine.py --workers 1")
    with store.open_artifact("model.h5", "model") as artifact:
        losses = artifact.entry("history", "loss")
    assert losses[-5:].mean() < losses[:5].mean() - 0.1, "it learns"
    with store.open_artifact("segmentation.h5", "segmentation") as artifact:
        assert artifact.read("segmentation", 0).max() < 4
        confidence = artifact.table("windows/confidence")
    assert np.isfinite(confidence).all()
    assert (confidence > 0.25).all()


def test_the_example_of_a_method_is_short() -> None:
    code = [line for line in METHOD.read_text().splitlines() if line.strip() and not line.startswith(('"""', "from "))]
    assert len(code) <= 40


def test_baselines_run(place: Path) -> None:
    assert "segmentation version 1" in run_example(BASELINES, place, "../data", "3", "my results")
    made = {path.name for path in (place / "somewhere else" / "my results").iterdir()}
    assert made == {"superpixels.h5", "regions.h5", "floor.h5"}


def with_labels(place: Path) -> None:
    """Give two of the images labels."""
    (place / "data" / "images").mkdir()
    (place / "data" / "labels").mkdir()
    for number in range(2):
        (place / "data" / f"p{number}.png").rename(place / "data" / "images" / f"p{number}.png")
        Image.fromarray(np.eye(64, dtype=np.uint8)).save(place / "data" / "labels" / f"p{number}.png")


@pytest.mark.slow
def test_learned_methods_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_labels(place)
    monkeypatch.setenv("SEEDS", "0")
    monkeypatch.setenv("STEPS", "2")
    lines = run_example(LEARNED, place, "../data", "2", "", "my results").splitlines()
    assert [line.split()[0] for line in lines] == ["method-seed", "iic-0", "infoseg-0", "inmars-0"]
    assert all(0 <= float(score) <= 1 for line in lines[1:] for score in line.split()[1:])


@pytest.mark.slow
def test_masks_are_refined(place: Path) -> None:
    run_shell(f"cd {shlex.quote(str(place))} && STEPS=2 {shlex.quote(str(REFINING))} data out")
    assert {path.name for path in (place / "out").iterdir()} == {"masks.h5", "model.h5", "refined.h5"}


@pytest.mark.slow
def test_ablations_run(place: Path) -> None:
    with_labels(place)
    lines = run_example(ABLATIONS, place, "../data", "my results").splitlines()
    runs = re.findall(r"^run ([\w-]+)", ABLATIONS.read_text(), re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["run", *runs]
    assert all(0 <= float(line.split()[1]) <= 1 for line in lines[1:])


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.name)
def test_examples_say_how_they_are_used(script: Path) -> None:
    done = subprocess.run([str(script)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
