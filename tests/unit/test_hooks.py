"""The git hooks are valid, need nothing from outside, and find what they look for."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scripts.stack.place import CHECKOUT

CONFIGURATION: Final = CHECKOUT / ".pre-commit-config.yaml"
PRE_COMMIT: Final = Path(sys.executable).with_name("pre-commit")
# File and contents that the hook must refuse.
FAULTS: Final[dict[str, tuple[str, str]]] = {
    "lint": ("fault.py", "import os\n"),
    "formatting": ("fault.py", "x  =  1\n"),
    "image": ("Dockerfile", "FROM python:latest\n"),
    "compose": ("docker-compose.fault.yml", "services: 7\n"),
    "spaces": ("fault.md", "one \n"),
    "conflicts": ("fault.md", "<<<<<<" + "< HEAD\n"),
    "keys": ("fault.pem", "-----BEGIN EC PRIVATE" + " KEY-----\n"),
}


def hooks() -> list[dict[str, Any]]:
    (repository,) = yaml.safe_load(CONFIGURATION.read_text())["repos"]
    assert repository["repo"] == "local"
    return list(repository["hooks"])


def run(*words: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    return subprocess.run(
        words,
        cwd=folder,
        env=environment | {"PRE_COMMIT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A new repository with our hooks and our tools."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        (folder / name).write_text((CHECKOUT / name).read_text())
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    (folder / ".gitignore").write_text(".venv\n")
    run("git", "init", "--quiet", folder=folder, home=tmp_path)
    return folder


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    said = run(
        str(PRE_COMMIT), "validate-config", str(CONFIGURATION), folder=CHECKOUT, home=tmp_path
    )
    assert said.returncode == 0, said.stdout


def test_every_hook_is_ours_or_built_in() -> None:
    for hook in hooks():
        assert hook["language"] in {"system", "pygrep"}, hook["id"]
        if hook["language"] == "system":
            assert (CHECKOUT / hook["entry"].split()[0]).exists(), hook["id"]


def test_every_hook_that_reads_single_files_is_tried_with_a_fault() -> None:
    single = {hook["id"] for hook in hooks() if hook.get("pass_filenames", True)}
    assert single == set(FAULTS)


@pytest.mark.parametrize("hook", FAULTS)
def test_a_hook_refuses_its_fault(hook: str, repository: Path, tmp_path: Path) -> None:
    name, contents = FAULTS[hook]
    (repository / name).write_text(contents)
    run("git", "add", ".", folder=repository, home=tmp_path)
    said = run(str(PRE_COMMIT), "run", hook, "--all-files", folder=repository, home=tmp_path)
    assert said.returncode == 1, said.stdout
    assert name in said.stdout or hook in said.stdout


def test_the_tree_passes_those_that_the_lint_does_not_repeat(tmp_path: Path) -> None:
    repeated = {"lint", "formatting", "types", "imports"}
    for hook in [hook["id"] for hook in hooks() if hook["id"] not in repeated]:
        said = run(str(PRE_COMMIT), "run", hook, "--all-files", folder=CHECKOUT, home=tmp_path)
        assert said.returncode == 0, said.stdout
