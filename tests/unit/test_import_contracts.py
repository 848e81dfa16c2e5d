"""Each contract of ``.importlinter`` is tried with a violation, on a copy of the tree."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

CHECKOUT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("ecs", "workers", "scripts")
LINT: Final = Path(sys.executable).with_name("lint-imports")

# Contract, file, the line that must not be there.
VIOLATIONS: Final[tuple[tuple[str, str, str], ...]] = (
    ("layers", "ecs/services/jobs_service.py", "import ecs.api.deps"),
    ("layers", "ecs/services/jobs_service.py", "import ecs.config"),
    ("layers", "ecs/domain/jobs.py", "import ecs.repositories.schema"),
    ("layers", "ecs/repositories/schema.py", "import ecs.integrations.identifiers"),
    ("layers", "ecs/utils.py", '"""A module that belongs to no layer."""'),
    ("processes", "ecs/services/jobs_service.py", "import workers.runtime"),
    ("processes", "workers/cron.py", "import scripts.demo_people"),
    ("workers-are-not-web", "workers/cron.py", "import ecs.api.problem"),
    ("workers-are-not-web", "workers/cron.py", "import fastapi"),
    ("workers-are-not-web", "scripts/demo_people.py", "import ecs.repositories.schema"),
    ("workers-are-not-web", "scripts/demo_people.py", "import sqlalchemy"),
    ("pure-domain", "ecs/domain/jobs.py", "import pydantic"),
    ("pure-domain", "ecs/domain/jobs.py", "import structlog"),
    ("pure-domain", "ecs/domain/jobs.py", "import asyncio"),
    ("domains-are-independent", "ecs/domain/emotions/rule.py", "import ecs.domain.credit.policy"),
    (
        "services-are-independent",
        "ecs/services/jobs_service.py",
        "import ecs.services.auth_service",
    ),
    ("services-know-no-drivers", "ecs/services/jobs_service.py", "import redis"),
    ("services-know-no-drivers", "ecs/services/jobs_service.py", "import pydantic_settings"),
    ("services-know-no-drivers", "ecs/services/jobs_service.py", "import aio_pika"),
    ("amqp-stays-in-its-integration", "workers/cron.py", "import aio_pika"),
    ("amqp-stays-in-its-integration", "ecs/integrations/probes.py", "import aiormq"),
    ("http-stays-in-api", "ecs/services/jobs_service.py", "import fastapi"),
    ("http-stays-in-api", "ecs/integrations/identifiers.py", "import starlette"),
    ("sql-stays-in-repositories", "ecs/services/jobs_service.py", "import sqlalchemy"),
    ("sql-stays-in-repositories", "ecs/api/problem.py", "import asyncpg"),
    ("repositories-behind-services", "ecs/api/problem.py", "import ecs.repositories.schema"),
    (
        "tables-behind-repositories",
        "ecs/services/jobs_service.py",
        "import ecs.repositories.tables",
    ),
    ("integrations-behind-bootstrap", "ecs/api/problem.py", "import ecs.integrations.identifiers"),
    ("integrations-behind-bootstrap", "workers/cron.py", "import ecs.integrations.rq_publisher"),
    (
        "integrations-behind-bootstrap",
        "ecs/services/jobs_service.py",
        "import ecs.integrations.system_clock",
    ),
    ("acyclic", "ecs/domain/money.py", "import ecs.domain.credit.agreements"),
)


def contracts() -> dict[str, str]:
    """The title of each contract by its id."""
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / ".importlinter")
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): parser[section]["name"]
        for section in parser.sections()
        if section.startswith(prefix)
    }


@pytest.fixture
def lint(tmp_path: Path) -> Callable[[], tuple[int, str]]:
    """A copy of the tree, and what lints it."""
    for package in PACKAGES:
        shutil.copytree(
            CHECKOUT / package,
            tmp_path / package,
            ignore=lambda folder, names: {
                name for name in names if not (Path(folder, name).is_dir() or name.endswith(".py"))
            },
        )
    shutil.copy(CHECKOUT / ".importlinter", tmp_path)

    def run() -> tuple[int, str]:
        done = subprocess.run(
            [LINT, "--no-cache"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "500"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def broken(output: str) -> set[str]:
    """The ids of the contracts that were reported as broken."""
    titles = {title: contract for contract, title in contracts().items()}
    found = re.findall(r"^(.+?) BROKEN", output, flags=re.MULTILINE)
    return {titles[title] for title in found}


def test_the_tree_keeps_every_contract(lint: Callable[[], tuple[int, str]]) -> None:
    code, output = lint()
    assert code == 0, output
    assert broken(output) == set()


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        pytest.param(*violation, id=f"{violation[0]}-{number}")
        for number, violation in enumerate(VIOLATIONS)
    ],
)
def test_a_violation_is_found(
    lint: Callable[[], tuple[int, str]], tmp_path: Path, contract: str, file: str, line: str
) -> None:
    place = tmp_path / file
    place.write_text(f"{place.read_text() if place.exists() else ''}\n{line}\n")
    code, output = lint()
    assert code == 1, output
    assert contract in broken(output), output


def test_every_contract_is_tried() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(contracts())
