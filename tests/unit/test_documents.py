"""What the documents link to, name and promise to run is there."""

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from ecs.integrations.rabbitmq.handling import UNPROCESSABLE
from ecs.wire.emotions import EXPLANATIONS
from ecs.wire.ingestion import INVALID_FIELD
from scripts.stack.place import CHECKOUT
from scripts.stack.programs import program_names
from tests.documents import anchors, blocks, code, documents, links
from workers.emotions_consumer import MALFORMED

# "bash" and "sql" are run by tests; the others are looked at.
LANGUAGES: Final = {"bash", "sql", "mermaid", "text", "json", "python", "nginx", "ini", ""}
FOLDERS: Final = "deploy|docs|ecs|migrations|nginx|scripts|tests|workers"
NAMED_FILE: Final = re.compile(rf"((?:{FOLDERS})/[\w./-]*)(?:::(\w+))?")
TARGET: Final = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
NAMED_TARGET: Final = re.compile(r"^make ([a-z][a-z0-9-]*)", re.MULTILINE)

of_each_document = pytest.mark.parametrize(
    "document", documents(), ids=[str(path.relative_to(CHECKOUT)) for path in documents()]
)


@of_each_document
def test_every_block_says_what_it_is(document: Path) -> None:
    assert {block.language for block in blocks(document)} <= LANGUAGES


@of_each_document
def test_what_no_test_runs_says_why(document: Path) -> None:
    reasons = [block.reason for block in blocks(document) if block.reason is not None]
    assert all(len(reason.split()) >= 3 for reason in reasons), reasons


@of_each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [link for link in links(document) if not _leads_somewhere(document, link)] == []


@of_each_document
def test_every_file_and_test_that_is_named_exists(document: Path) -> None:
    named = [match for text in code(document) if (match := NAMED_FILE.fullmatch(text))]
    assert [match[0] for match in named if not _exists(match[1], match[2])] == []


@of_each_document
def test_every_target_that_is_named_is_in_the_makefile(document: Path) -> None:
    targets = set(TARGET.findall((CHECKOUT / "Makefile").read_text()))
    typed = [*code(document), *(block.text for block in blocks(document))]
    named = {target for text in typed for target in NAMED_TARGET.findall(text)}
    assert named - targets == set()


def test_what_make_does_elsewhere_is_said_for_production_too() -> None:
    text = (CHECKOUT / "docs" / "operations.md").read_text()
    compose = "docker compose -f docker-compose.prod.yml run --rm tools python -m"
    assert f"\n{compose} scripts.rotate_encryption\n" in text
    assert f'\ntools() {{ {compose} "$@"; }}\n' in text
    run = set(re.findall(r"^tools scripts\.(\w+)", text, re.MULTILINE))
    assert run >= {"audit_verify", "dead_letters", "rotate_encryption"}
    assert [name for name in run if not (CHECKOUT / f"scripts/{name}.py").exists()] == []


def test_an_anchor_is_made_as_code_hosts_make_it(tmp_path: Path) -> None:
    document = tmp_path / "one.md"
    document.write_text("# Parked outbox rows\n\n## A `job`, lost\n\n```bash\n# no heading\n```\n")
    assert anchors(document) == {"parked-outbox-rows", "a-job-lost"}


def test_a_block_is_read_with_the_reason_before_it() -> None:
    found = list(blocks(CHECKOUT / "docs" / "operations.md"))
    assert [block for block in found if block.reason]
    assert [block for block in found if block.language == "bash" and not block.reason]


def test_every_process_is_in_the_table_of_the_operators() -> None:
    (table,) = re.findall(
        r"^\| native \|.*?\n\n",
        (CHECKOUT / "docs" / "operations.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    services = yaml.safe_load((CHECKOUT / "docker-compose.prod.yml").read_text())["services"]
    named = set(re.findall(r"`([a-z0-9-]+)`", table))
    assert {*program_names(), *services} - named == set()


def test_every_code_of_a_dead_letter_is_explained_to_the_operators() -> None:
    codes = {*map(str, EXPLANATIONS), MALFORMED, INVALID_FIELD, UNPROCESSABLE, "delivery_limit"}
    explained = set(code(CHECKOUT / "docs" / "operations.md"))
    assert codes - explained == set()


def _leads_somewhere(document: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    return target.exists() and (not anchor or anchor in anchors(target))


def _exists(name: str, test: str | None) -> bool:
    path = CHECKOUT / name
    if not test:
        return path.exists()
    return path.exists() and re.search(rf"(class|def) {test}\b", path.read_text()) is not None
