"""The documents against the code: what they say is so, what they show runs, and nothing is left unsaid."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
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
from typer.testing import CliRunner

from unsegcli import params, store
from unsegcli.cli import app
from unsegcli.images.working import Reading
from unsegcli.methods._load import find_method
from unsegcli.segmenters.cutting import ALGORITHMS
from unsegcli.store.kinds import COMMON_ATTRIBUTES, KINDS, ROLES, Field

ROOT = Path(__file__).parent.parent
README, GUIDE = ROOT / "README.md", ROOT / "docs" / "guide"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE, FORMAT, DESIGN = (ROOT / "docs" / f"{name}.md" for name in ("reference", "format", "design"))
EXAMPLES = sorted((ROOT / "examples").glob("*.sh"))
BASELINES, ABLATIONS = ROOT / "examples" / "baselines.sh", ROOT / "examples" / "iem_ablations.sh"
LEARNED, METHOD = ROOT / "examples" / "learned.sh", ROOT / "examples" / "method.py"
REFINING = ROOT / "examples" / "refine_masks.sh"

# Every spelling of every option. A new one is added here on purpose, after a look at those that are there.
OPTIONS = set(
    """
    --algorithm --alpha --axes --bands --blur --centres --classes --compactness --confidence --crop --diversity
    --dry-run --features --force --grid --help --hungarian --ignore --images --init
    --install-completion --into --split
    --iterations --json --kernel --labels --legend --like --limit --many-to-one --mask --match-by --max-pixels
    --metrics --named-on --no-labels --no-pixels --no-smooth --nodata --output --parts --patch --per-image --percentiles
    --mosaics --names --pixels --pixels-per-segment --polarity --preset --protocol --quiet --repeats --replicates --role
    --samples --scale --scale-factor --scaling --seed --segments --show-completion --sigma --size --skip-bad
    --mosaic --resampling --band-range
    --smooth --square --starts --stride --tolerance --trace --update --verbose --verify --version --workers
    --backbone --layers --resize --pca --pooled --dense --dask
    --per --flips --refine --tile --describe --device --method --cue
    --proposals --min-confidence --weights --object-is --objects --threshold --pooling
    --area --clean --masks --no-clean --smallest --phases --separate --contrast
    --first --frames --neighbours --radius --temperature --cell
    --metric --pca --whiten --colours --no-refine
    --quick --table --page --coordinates --shard
    --restarts --max-classes --ceiling --background --place --squash --mini-batch --halves
    --panels
    --pixel-size --sieve --simplify --to --values
    --best-epoch --fit-on --score-on --floors --learning-rate --only --outside --what
    --data --methods
    --checkpoint-minutes --compile --config --epochs --keep-every --memory --minutes --precision --seeds --set --steps
    --download --incomplete --list --original-size --unlabelled-as-sky
    -h -o -q -v
    """.split()  # noqa: SIM905
)
OF_TORCHRUN = {"--nproc-per-node", "--nnodes", "--node-rank", "--master-addr"}
OF_SLURM = {"--array", "--cpus-per-task", "--dependency", "--parsable", "--wrap"}
OF_DASK = {"--scheduler-file", "--nworkers", "--nthreads"}
# Options of scripts in tests/benchmarks.
OF_BENCHMARKS = {
    "--cache",
    "--check",
    "--data",
    "--measures",
    "--models",
    "--mosaics",
    "--options",
    "--places",
    "--tiles",
    "--trials",
}
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


def script(name: str) -> Any:
    """A script in docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_commands_say() -> None:
    assert REFERENCE.read_text() == script("make_reference").reference(), "run python docs/make_reference.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_reference_has_a_section_for_each_command(name: str) -> None:
    text = REFERENCE.read_text()
    where = section(text, f"## unseg {name}")
    for option in options_of(COMMANDS[name]):
        if option.name != "help":
            for spelling in spellings(option):
                assert f"`{spelling}`" in where, f"{name} {spelling}"


@pytest.mark.parametrize(("command", "option"), EVERY_OPTION, ids=lambda value: getattr(value, "name", value))
def test_every_option_is_in_the_reference_and_has_a_help_text(command: str, option: Any) -> None:
    if option.name != "help":
        for spelling in spellings(option):
            row = re.search(rf"^\| .*`{spelling}`.* \|.*$", REFERENCE.read_text(), re.MULTILINE)
            assert row, f"{command} {spelling} has no row in docs/reference.md"
    assert len((option.help or "").split()) >= FEWEST_WORDS, f"{command} {option.opts}"


def test_the_list_of_commands_fits_a_terminal() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout
    listed = shown.partition("Commands:")[2]
    assert all(re.search(rf"^  {name}  ", listed, re.MULTILINE) for name in COMMANDS)
    assert "..." not in listed


# Scores of a table, with the lines before it; a table of settings names the guide in its rows.
SCORED = re.compile(r"(?:^[^|\n]+\n)*\n?(?:^\|.*\n)+", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_tables_say_where_a_first_grouping_guided(page: Path) -> None:
    """InMARS and InfoSeg have it by default, so a bare name would claim its score for the method; IIC has none."""
    for title, name in (("InMARS", "inmars"), ("InfoSeg", "infoseg"), ("IIC", "iic")):
        guided = bool(getattr(find_method(name).module.Config(), "guide", 0))
        for table in SCORED.findall(page.read_text()):
            if "guide=0" not in table and re.search(r"\.\d\d", table):
                wrong = title if guided else rf"{title} \+ first grouping"
                assert not re.search(rf"\| {wrong}(, \d[^|]*)? \|", table), table


def test_tables_of_rows_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    rendering = importlib.import_module("render_results")
    page = rendering.PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- rows ") == page.count("<!-- end of rows -->") > 0
    assert rendering.rendered(page) == page
    assert rendering.rendered(page.replace("| floor all |", "| floor |")) == page


def test_a_table_of_measures_has_means_and_deviations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    rendering = importlib.import_module("render_results")
    rows = [{"set": "a", "row": "one", "seed": seed, "probe": [0.9, miou]} for seed, miou in enumerate((0.1, 0.3))]
    rows += [{"set": "a", "row": "other", "seed": 0, "new": [0.9, 0.5]}, {"set": "b", "row": "no", "probe": [1, 1]}]
    (tmp_path / "these.json").write_text(json.dumps(rows))
    monkeypatch.setattr(rendering, "ROWS", tmp_path)
    made = rendering.rendered("<!-- rows these a:probe,new -->\n<!-- end of rows -->")
    assert made.splitlines()[2:-2] == [
        "|  | probe of superpixels | new |",
        "| --- | --- | --- |",
        "| one | .200 ± .141 |  |",
        "| other |  | .500 |",
    ]


def test_a_table_of_a_benchmark_has_its_ceiling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    rendering = importlib.import_module("render_results")
    rows = [{"set": "a", "row": "ceiling: probe", "seed": 0, "probe": [0.9, 0.8]}]
    rows += [{"set": "a", "row": "one", "seed": seed, "matched": [0.4 + seed, 0.2]} for seed in (0, 0.2)]
    rows += [{"set": "a", "row": "one", "seed": 3, "named": [0.5, 0.5]}]
    (tmp_path / "these.json").write_text(json.dumps({"titles": {"a": "A set"}, "rows": rows}))
    monkeypatch.setattr(rendering, "ROWS", tmp_path)
    made = rendering.rendered("<!-- rows these matched -->\n<!-- end of rows -->")
    assert made.splitlines()[2:-2] == [
        "|  | A set | mean |",
        "| --- | --- | --- |",
        "| one | .500 / .200 | .500 / .200 |",
        "| ceiling: probe | .900 / .800 | .900 / .800 |",
    ]


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
    of_others = OF_TORCHRUN | OF_SLURM | OF_DASK | OF_BENCHMARKS
    assert named <= OPTIONS | of_others, f"{page.name} names {sorted(named - OPTIONS)}"


def test_reference_has_the_defaults_of_the_settings() -> None:
    stated = {
        "--pixels-per-segment": str(params.Superpixels.pixels_per_segment),
        "--classes": f"{params.DEFAULT_CLASSES}; {params.MAP_CLASSES} for map",
        "--starts": str(params.Cluster.starts),
        "--square": f"{params.Iem.square:.3g}",
        "--diversity": f"{params.Iem.diversity:g}",
        "--smooth": "smooth",
        "--area": ",".join(f"{value:g}" for value in params.Proposals().plausible_area) + "; 0,1 for otsu and kmeans",
        "--percentiles": ",".join(f"{value:g}" for value in params.Images.percentiles),
    }
    for option, default in stated.items():
        row = re.search(rf"^\| `{option}`.*$", REFERENCE.read_text(), re.MULTILINE)
        assert row, option
        assert row[0].split(" | ")[2] == f"`{default}`"


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
    """The pages of the guide through its contents; docs/index.md is the site's own."""
    linked = set(re.findall(r"\]\(docs/([\w./-]+\.md)\)", README.read_text()))
    assert linked >= {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert "guide/index.md" in linked
    contents = set(re.findall(r"\]\(([\w-]+\.md)\)", (GUIDE / "index.md").read_text()))
    assert contents == {page.name for page in GUIDE.glob("*.md")} - {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_project_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`((?:[\w.]+/)+\w+\.(?:py|sh|toml))`", page.read_text())
    places = [ROOT, ROOT / "unsegcli"]
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []


@pytest.mark.parametrize("index", [ROOT / "docs" / "index.md", GUIDE / "index.md"], ids=["docs", "guide"])
def test_the_site_has_every_page(index: Path) -> None:
    tree = re.search(r"^```\{toctree\}\n(.*?)^```$", index.read_text(), re.MULTILINE | re.DOTALL)
    assert tree is not None
    named = set(tree[1].split()) - {":hidden:", "guide/index"}
    assert named == {page.stem for page in index.parent.glob("*.md")} - {"index"}


def test_images_are_small_and_made_by_a_script() -> None:
    for image in (ROOT / "docs" / "images").iterdir():
        assert image.stat().st_size < 150_000
        assert image.name in (ROOT / "docs" / "make_images.py").read_text()


# ---------------------------------------------------------------------------------------- what pages show is run


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and content of the blocks that are to be run."""
    found = re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, code) for language, code in found if not re.search(r"^pip ", code, re.MULTILINE)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images of the kinds that the pages speak of, and `unseg` on the search path."""
    for folder in ("data", "photos", "labelled/images", "labelled/labels", "scenes", "stacks", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(2):
        for folder in ("data", "photos", "labelled/images"):
            Image.fromarray(four_quadrants(64, 64, number)).save(tmp_path / folder / f"p{number}.png")
        truth = np.arange(4, dtype=np.uint8).reshape(2, 2).repeat(32, axis=0).repeat(32, axis=1)
        Image.fromarray(truth).save(tmp_path / "labelled" / "labels" / f"p{number}.png")
    deep = np.random.default_rng(0).integers(0, 4000, (3, 64, 64)).astype(np.uint16)
    deep[:, 16:40, 16:40] += 4000
    tifffile.imwrite(tmp_path / "stacks" / "cells.tif", deep, photometric="minisblack")
    scene = np.dstack([*deep, deep[0]])
    tifffile.imwrite(tmp_path / "scenes" / "north.tif", scene, photometric="rgb", extrasamples=["unspecified"])
    program = tmp_path / "bin" / "unseg"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m unsegcli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
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


def commands_to_type(page: Path) -> list[str]:
    """The commands in the table "I have, I want, I type" of a page."""
    rows = table(page.read_text(), "I have", "I want", "I type")
    return [row[2].strip("`").replace("\\|", "|") for row in rows]


@pytest.mark.slow
def test_what_the_readme_tells_to_type_runs(place: Path) -> None:
    """Each row of its table by itself, in a folder that has what the row says."""
    run_shell(
        "cp scenes/north.tif scene.tif; cp stacks/cells.tif stack.tif; cp -r labelled dataset; cp -r photos new;"
        "cp -r stacks cells; cp -r labelled/labels labels;"
        "unseg superpixels photos/ -q | unseg train --steps 2 --set width=16 -o model.h5"
    )
    lines = commands_to_type(README)
    for line in lines:
        line = line.replace("-o learned.h5", "-o learned.h5 --steps 2 --set width=16")
        run_shell(line.replace("--minutes 2", "--steps 2 --set crop=64 --set batch=2"))
    made = {path.name for path in place.glob("*")}
    assert made >= {"visualization", "cover", "phases", "masks", "metrics.h5", "mine.h5", "new.h5", "learned.h5"}
    assert made >= {"map", "new-map", "best", "cells-shown", "files", "both.h5"}
    assert len(lines) == 17


# page -> what its blocks make
MADE = {
    "first-map": {"map", "named", "maps", "new-map", "fine.h5", "eight.h5"},
    "your-images": {"sp.h5", "five.h5", "maps", "each"},
    "choosing-a-method": {"sp.h5", "more-starts.h5", "floor.h5"},
    "training": {"sp.h5", "model.h5", "learned.h5", "iic-seed0.h5", "segmentation-iic-seed1.h5"},
    "object-masks": {"proposals.h5", "masks", "quick.h5", "masks.h5", "birds.h5", "ways"},
    "looking": {"sp.h5", "clusters.h5", "shown", "clusters.json"},
    "exporting": {"maps", "objects", "for-qupath"},
    "scores": {
        "sp.h5",
        "model.h5",
        "probe.h5",
        "pixels.h5",
        "objects.h5",
        "retrieval.h5",
        "regions.h5",
        "floor.h5",
        "regions-metrics.h5",
        "floor-metrics.h5",
        "compare.h5",
        "compared.txt",
        "shown",
    },
    "microscopy": {"cells.h5", "tissue.h5", "tissue", "phases.h5", "phases", "nuclei.h5", "shown", "counted"},
    "remote-sensing": {"scenes.h5", "cover.h5", "cover", "colours.h5"},
    "your-own-method": {"mine.py", "mine.h5", "mine-map.h5", "shown"},
    "running": {"sp.h5", "clusters.h5"},
    "features": {"sp.h5", "features.h5", "clusters.h5"},
}
QUICK = {"choosing-a-method", "running", "your-images"}


def test_no_page_of_the_guide_is_forgotten() -> None:
    assert set(MADE) == {page.stem for page in GUIDE.glob("*.md") if blocks(page)} - {"python"}


@pytest.mark.parametrize("page", [pytest.param(page, marks=() if page in QUICK else pytest.mark.slow) for page in MADE])
def test_what_the_guide_shows_runs(page: str, place: Path) -> None:
    run_blocks(GUIDE / f"{page}.md")
    made = {path.name for path in place.glob("*")}
    assert made >= MADE[page]
    assert "try.h5" not in made


@pytest.mark.slow
def test_what_the_page_on_many_machines_shows_runs(place: Path) -> None:
    """The shards one after the other, and the script of Slurm as its tasks run it; but for two shards."""
    page = (ROOT / "docs" / "scale.md").read_text()
    run_shell(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0])
    whole = (place / "sp.h5").rename(place / "whole.h5")
    script, submitted = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for task in ("1", "2"):
        variables = f"export SLURM_ARRAY_TASK_ID={task} SLURM_CPUS_PER_TASK=1\n"
        (place / f"sp-{task}.h5").unlink()
        run_shell(variables + script.replace("/8", "/2"))
    joining = re.search(r'--wrap "(.*)"', submitted)
    assert joining is not None
    run_shell(joining[1])
    with store.open_artifact(place / "sp.h5") as joined, store.open_artifact(whole) as one:
        assert joined.fingerprint == one.fingerprint


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


@pytest.mark.slow
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
    assert "segmentation version 2" in run_example(BASELINES, place, "../data", "3", "my results")
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
