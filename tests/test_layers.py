"""Imports point strictly downward, labels have few readers, and nothing heavy stands at the top of the command line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unsegcli

PACKAGE = Path(unsegcli.__file__).parent

# From the top down; a module may import from its own layer and from those below it.
LAYERS = [
    ["cli"],
    ["arrays", "files"],
    ["stages"],
    ["training", "views", "datasets"],
    ["segmenters"],
    ["dataflow", "labels"],
    ["legend", "names"],
    ["images", "methods", "store"],
    ["core", "recipe", "parallel", "dask_map", "presets"],
    ["params", "errors", "console", "parsing", "_version"],
]
NO_SIBLINGS = ("stages", "methods", "datasets")
LABEL_READERS = {"evaluate", "visualize", "compare", "probe", "retrieve", "propagate", "prepare"}
ONLY_IMPORTER = {"typer": "cli", "h5py": "store", "distributed": "dask_map"}
RASTERIO_IN = {"images/rasters.py", "views/geo_files.py"}  # an optional package: nothing else may need it
HEAVY = {"numpy", "h5py", "torch", "torchvision", "numba", "skimage", "scipy", "PIL", "tifffile", "imagecodecs", "tqdm"}
HEAVY |= {"rich", "pydantic", "rasterio", "distributed", "dask"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path, *, top_only: bool = False) -> set[str]:
    """Dotted names of all modules that a file imports, also inside functions unless `top_only`."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = tree.body if top_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if top_only and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(part: str) -> int:
    found = [number for number, parts in enumerate(LAYERS) if part in parts]
    assert found, f"{part} has no layer yet: add it to LAYERS and to docs/design.md"
    return found[0]


def own_parts(path: Path, *, top_only: bool = False) -> set[str]:
    """First parts below `unsegcli` that a file imports."""
    return {name.split(".")[1] for name in imports_of(path, top_only=top_only) if name.startswith("unsegcli.")}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    public_names = set(unsegcli.__all__)
    for imported in own_parts(path) - public_names:
        assert layer_of(imported) >= layer_of(part), f"{path} imports {imported}, which lies above it"


@pytest.mark.parametrize("folder", NO_SIBLINGS)
def test_no_file_imports_a_sibling(folder: str) -> None:
    for path in (PACKAGE / folder).glob("*.py"):
        siblings = {name for name in imports_of(path) if name.startswith(f"unsegcli.{folder}.")}
        siblings -= {name for name in siblings if name.startswith(f"unsegcli.{folder}._")}
        assert not siblings, f"{path} imports {siblings}"


def test_labels_have_few_readers() -> None:
    for path in FILES:
        if any(name.startswith("unsegcli.labels") for name in imports_of(path)) and path.name != "labels.py":
            assert path.parent.name == "stages", f"{path} may not read labels"
            assert path.stem in LABEL_READERS, f"{path} may not read labels"


@pytest.mark.parametrize(("library", "part"), ONLY_IMPORTER.items())
def test_only_one_part_imports(library: str, part: str) -> None:
    for path in FILES:
        if any(name.split(".")[0] == library for name in imports_of(path)):
            assert part_of(path) == part, f"{path} imports {library}"


def test_gdal_has_one_way_in_and_one_way_out() -> None:
    """It is optional, so it is imported by name, and only when it is used."""
    calls = re.compile(r"""(?:import |_module\()["']?(?:rasterio|pyogrio)""")
    found = {str(path.relative_to(PACKAGE)) for path in FILES if calls.search(path.read_text())}
    assert "views/geo_files.py" in found
    assert found <= {"views/geo_files.py", "images/rasters.py"}


def test_nothing_heavy_at_the_top_of_the_command_line() -> None:
    for path in (PACKAGE / "cli").glob("*.py"):
        top = {name.split(".")[0] for name in imports_of(path, top_only=True)}
        assert not top & HEAVY, f"{path} imports {top & HEAVY} before its body runs"


def test_walk_sees_what_it_should() -> None:
    """The walk above is worth nothing if it finds no imports."""
    assert "unsegcli.store" in imports_of(PACKAGE / "stages" / "superpixels.py")
    assert "unsegcli.core.superpixels.slic" in imports_of(PACKAGE / "segmenters" / "cutting.py")
    assert "unsegcli.core.superpixels.slic" not in imports_of(PACKAGE / "segmenters" / "cutting.py", top_only=True)


LIMIT = 8  # parameters of a function
COMPILED = {"contour.py", "lattice.py", "local_kmeans.py"}  # compiled kernels take arrays one by one
BUILT = {"cli", "params"}  # where options are put together, names and values are data


def functions_of(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_have_few_parameters_and_no_bags(path: Path) -> None:
    if part_of(path) in BUILT or path.name in COMPILED:
        return
    for function in functions_of(path):
        named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        count = len([one for one in named if one.arg not in ("self", "cls")])
        assert count <= LIMIT, f"{path}: {function.name} has {count} parameters"
        assert function.args.kwarg is None, f"{path}: {function.name} hides parameters in **{function.args.kwarg}"


def test_every_stage_is_called_alike() -> None:
    for path in (PACKAGE / "stages").glob("[a-z]*.py"):
        stage = next(function for function in functions_of(path) if function.name == path.stem)
        wanted = ["params", "run"] if path.stem == "demo" else ["inputs", "params", "run"]
        assert [one.arg for one in stage.args.args] == wanted, path


def test_few_files_import_rasterio_and_only_where_it_is_used() -> None:
    named = [path for path in FILES if "import rasterio" in path.read_text() or "from rasterio" in path.read_text()]
    assert {str(path.relative_to(PACKAGE)) for path in named} <= RASTERIO_IN
    assert not [path for path in named if any(name.startswith("rasterio") for name in imports_of(path, top_only=True))]


def test_no_two_files_and_no_two_classes_share_a_name() -> None:
    """Beside commands and stages, and the names that methods and data sets have by agreement."""
    paths = [path for path in FILES if part_of(path) not in ("cli", "stages", "__init__", "__main__")]
    files = [path.name for path in paths if path.name not in ("__init__.py", "_contract.py", "_load.py")]
    assert not {name for name in files if files.count(name) > 1}
    classes = [
        node.name
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not (part_of(path) == "methods" and node.name in ("Config", "Network"))
    ]
    assert not {name for name in classes if classes.count(name) > 1}


def modules_loaded_by(code: str) -> set[str]:
    """Top-level names in sys.modules of a fresh interpreter after `code`."""
    script = f"{code}\nimport sys; print('\\n'.join(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stderr.splitlines()}


HELP = """
import sys
sys.argv = ["unseg", {arguments}]
try:
    from unsegcli.__main__ import main
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "'--help'",
        "'--version'",
        *(f"'{name}', '--help'" for name in ("superpixels", "train", "cluster", "iem", "proposals")),
    ],
)
def test_help_loads_nothing_heavy(arguments: str) -> None:
    assert not modules_loaded_by(HELP.format(arguments=arguments)) & HEAVY


def test_options_are_read_without_pydantic() -> None:
    """Typer would use it for each option, also of a command that runs."""
    code = HELP.format(arguments="'superpixels', 'missing', '--segments', '9', '--no-pixels', '--quiet'")
    loaded = modules_loaded_by(code)
    assert "numpy" in loaded  # it came as far as the stage
    assert "pydantic" not in loaded


def test_import_of_the_package_loads_nothing_heavy() -> None:
    loaded = modules_loaded_by("import unsegcli; dir(unsegcli); unsegcli.__version__")
    assert not loaded & (HEAVY | {"typer", "asyncio"})


def test_superpixels_cluster_iem_proposals_and_inspect_never_load_torch() -> None:
    loaded = modules_loaded_by(
        "from unsegcli import files; files.superpixels; files.cluster; files.iem; files.proposals; files.inspect"
    )
    assert "torch" not in loaded
    assert "numpy" in loaded  # something was imported


def test_a_worker_of_superpixels_imports_little() -> None:
    """What it is sent names this module; each worker waits for all that comes with it."""
    loaded = modules_loaded_by("import unsegcli.stages.superpixels")
    assert not loaded & (HEAVY - {"numpy", "PIL"})


def test_python_interface_has_what_it_names() -> None:
    for name in unsegcli.__all__:
        assert getattr(unsegcli, name) is not None
    for name in unsegcli.files.__all__:
        assert callable(getattr(unsegcli.files, name))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = unsegcli.no_such_name
