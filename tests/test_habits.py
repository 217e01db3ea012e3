"""What is checked before a commit, by .ci/run and by the hosted CI is the same, and what a release states is so."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import unsegcli

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = (ROOT / ".ci" / "run").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


HOOKS: list[dict[str, Any]] = [
    hook for repository in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]
]
CI: dict[str, Any] = read(ROOT / ".github" / "workflows" / "ci.yml")


def test_hooks_have_the_versions_of_the_dev_extra() -> None:
    pinned = {line for line in PROJECT["optional-dependencies"]["dev"] if "==" in line}
    wanted = {line for hook in HOOKS for line in hook["additional_dependencies"]}
    assert wanted <= pinned
    assert {line.split("==")[0] for line in wanted} == {"ruff", "pre-commit-hooks"}


def test_every_check_calls_the_same_tools() -> None:
    """The hosted CI calls .ci/run alone. That calls all hooks: ruff by itself, since it is to change nothing there."""
    by_itself = {"ruff check .": "ruff-check", "ruff format --check .": "ruff-format"}
    called = set(re.findall(r'^(?:SKIP=(?:\S+) )?"\$work/test/bin/(\S+)" ?(.*)$', RUN, re.MULTILINE))
    assert {tool for tool, _ in called} == {"pip", "ruff", "mypy", "pre-commit", "sphinx-build", "pytest", "python"}
    assert {f"ruff {arguments}" for tool, arguments in called if tool == "ruff"} == set(by_itself)
    assert f'SKIP={",".join(by_itself.values())} "$work/test/bin/pre-commit" run --all-files\n' in RUN
    assert set(by_itself.values()) <= {hook["id"] for hook in HOOKS}
    for hook in HOOKS:
        if hook["id"] in by_itself.values():
            assert " ".join(hook["entry"].split()[:2]) in {" ".join(line.split()[:2]) for line in by_itself}
    commands = [step["run"] for job in CI["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands == [".ci/run", '.ci/run -m "not slow"']


def test_the_pythons_that_are_tried_are_those_that_are_stated() -> None:
    stated = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    tried = CI["jobs"]["linux"]["strategy"]["matrix"]["python"]
    assert (tried[0], tried[-1]) == (stated[0], stated[-1])
    assert PROJECT["requires-python"] == f">={stated[0]}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_little_and_ends(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 30
        assert job.get("permissions", {}) == ({"id-token": "write"} if name == "publish" else {})
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", step.get("uses", "a/b@v1")), step


def test_what_is_published_was_tried_before() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "publish.yml")["jobs"]
    assert jobs["publish"]["needs"] == "build"
    assert ".ci/try" in "".join(step.get("run", "") for step in jobs["build"]["steps"])
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]


def test_the_citation_has_the_version_and_the_licence() -> None:
    citation = read(ROOT / "docs" / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == unsegcli.__version__
    assert citation["license"] == PROJECT["license"]
    assert {paper["notes"] for paper in citation["references"]} == {"InMARS", "InfoSeg", "IEM", "MaskContrast", "IIC"}


def test_on_windows_one_line_says_that_it_does_not_run_there() -> None:
    """Where there is no fcntl, so that the import of any command would fail."""
    code = "import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None; from unsegcli.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Windows" in done.stderr
