"""Every target of the Makefile, on a copy of it beside programs that only note their words."""

import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from scripts.stack.place import CHECKOUT
from tests.makefile import PROGRAMS, READ_BY_CONTAINERS, Folder

STACK_IS_DOWN: Final = (
    "The stack is not running: start it (make up), or give DB_URL=<the owner's URL>."
)
STACK_IS_LOST: Final = (
    "The stack was started, and does not answer any more: start it again (make up)."
)
NO_ENGINE: Final = (
    "No Docker engine answers here. Without one: make run (the native stack, all of it)."
)
OWNER: Final = "postgresql://owner:it's$9 odd@127.0.0.1/ecs"
DEV: Final = "compose -f docker-compose.dev.yml"
PROD: Final = "compose -f docker-compose.prod.yml"
IN_DOCKER: Final = {
    "run-dev": f"{DEV} up --build --detach",
    "down-dev": f"{DEV} down",
    "run-prod": f"{PROD} up --build --detach",
    "down-prod": f"{PROD} down",
    "db-up": f"{DEV} up --detach --wait postgres",
    "db-down": f"{DEV} stop postgres",
}
WITH_DATA: Final = {
    "demo": "-m scripts.demo",
    "create-client NAME=feed SCOPES=emotions:ingest": (
        "-m scripts.create_client --name feed --scopes emotions:ingest"
    ),
    "seed-dev": "-m scripts.seed_dev",
    "clean-dev": "-m scripts.clean_dev",
    "produce-emotions": "-m scripts.produce_emotions",
    "produce-emotions COUNT=9 RATE=2 SEED=3 DAYS=4": (
        "-m scripts.produce_emotions --count 9 --rate 2 --seed 3 --days 4"
    ),
    "audit-verify": "-m scripts.audit_verify",
    "explain OFFER=7": "-m scripts.explain_decision --offer 7",
    "forget-user EMAIL=a@b.c": "-m scripts.forget_user --email a@b.c",
    "dead-letters": "-m scripts.dead_letters",
    "rotate-encryption": "-m scripts.rotate_encryption",
    "dead-letters REDRIVE=all": "-m scripts.dead_letters --redrive all",
    "dead-letters STREAM=decision DISCARD=all": (
        "-m scripts.dead_letters --stream decision --discard all"
    ),
    "migrate-generate MIGRATION_NAME=more": "-m alembic revision --autogenerate -m more",
    "migrate-upgrade": "-m alembic upgrade head",
    "migrate-downgrade": "-m alembic downgrade -1",
    "migrate-current": "-m alembic current",
    "migrate-history": "-m alembic history",
}
WITHOUT_DATA: Final = {
    "run": "-m scripts.stack run",
    "up": "-m scripts.stack up",
    "down": "-m scripts.stack down",
    "status": "-m scripts.stack status",
    "monitoring": "-m scripts.stack monitoring",
    "restart PROGRAM=cron": "-m scripts.stack restart cron",
    "new-encryption-key": "-m scripts.stack new-encryption-key",
    "drop-encryption-key KEY=1": "-m scripts.stack drop-encryption-key 1",
    "trace": "-m scripts.show_trace",
    "trace REQUEST=r-1": "-m scripts.show_trace --request r-1",
    "logs PROGRAM=api-1": "-m scripts.stack logs api-1",
    "test": "-m pytest -n 2 --dist worksteal",
    "test-unit ARGS=-x": "-m pytest tests/unit -x",
    "test-integration": "-m pytest -n 2 --dist worksteal tests/integration",
    "test-e2e": "-m pytest tests/e2e",
    "coverage": "-m scripts.coverage_report",
    "mutation": "run",
    "hooks": "install",
    "check": "-m mypy ecs workers scripts",
    "lint": "format --check .",
    "format": "format .",
    "benchmark-prequalification": "-m scripts.benchmark_prequalification",
    "benchmark-ingest": "-m scripts.benchmark_ingest",
    "benchmark-metrics": "-m scripts.benchmark_metrics",
}
MISSING_WORDS: Final = {
    "create-client": "Give NAME=",
    "drop-encryption-key": "Give KEY=",
    "create-client NAME=x": "Give NAME=",
    "explain": "Give OFFER=",
    "forget-user": "Give EMAIL=",
    "migrate-generate": "Give MIGRATION_NAME=",
}
OF_THE_SEED: Final = {
    *("migrate-generate", "migrate-upgrade", "migrate-downgrade", "migrate-current"),
    *("migrate-history", "db-up", "db-down", "seed-dev", "run-dev", "down-dev", "run-prod"),
    *("down-prod", "clean-dev", "produce-emotions", "help"),
}
ODD_WORDS: Final = ("$NAME", "a$(b", "$(shell touch made)", "100%", "a#b", "it's $$ \\ `id`")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def port() -> Iterator[int]:
    """Where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """Where nobody listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def targets() -> set[str]:
    return set(
        re.findall(r"^([a-z][a-z0-9-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    )


class TestHelp:
    def test_is_what_make_alone_says(self, folder: Folder) -> None:
        assert folder.make().said == folder.make("help").said

    def test_explains_every_target_in_a_group(self, folder: Folder) -> None:
        said = folder.make("help").said
        explained = re.findall(r"^  make ([a-z0-9-]+) +\S", said, re.MULTILINE)
        assert set(explained) == targets()
        groups = re.findall(r"^[A-Z].*$", said, re.MULTILINE)
        assert len(groups) >= 6

    def test_knows_every_target_of_the_seed(self) -> None:
        assert targets() >= OF_THE_SEED

    def test_no_target_is_left_without_a_test(self) -> None:
        tested = {words.split()[0] for words in (*IN_DOCKER, *WITH_DATA, *WITHOUT_DATA)}
        assert targets() - tested == {"help"}


class TestDocker:
    @pytest.mark.parametrize("target", IN_DOCKER)
    def test_without_an_engine_a_line_says_so_and_points_to_make_run(
        self, folder: Folder, target: str
    ) -> None:
        folder.engine(answers=False)
        made = folder.make(target)
        assert (made.code, made.complained, made.called) == (2, [NO_ENGINE], ["info"])

    @pytest.mark.parametrize("target", IN_DOCKER)
    def test_without_docker_at_all_it_says_the_same(self, folder: Folder, target: str) -> None:
        folder.program("bin/docker", "#!/bin/sh\nexit 127\n")
        made = folder.make(target)
        assert (made.code, made.complained) == (2, [NO_ENGINE])

    @pytest.mark.parametrize(("target", "words"), IN_DOCKER.items(), ids=IN_DOCKER)
    def test_with_an_engine_compose_is_called(
        self, folder: Folder, target: str, words: str
    ) -> None:
        folder.engine(answers=True)
        (folder.path / ".env").write_text("# No change-me is left.\nJWT_SECRET=x\n")
        made = folder.make(target)
        assert made.code == 0, made.complained
        assert made.called[:2] == ["info", words]

    @pytest.mark.parametrize("target", ["run-dev", "run-prod"])
    def test_what_containers_read_becomes_readable_and_nothing_else(
        self, folder: Folder, target: str
    ) -> None:
        folder.engine(answers=True)
        (folder.path / ".env").write_text("JWT_SECRET=x\n")
        (folder.path / "nginx/nginx.conf").touch()
        private = [*(folder.path / name for name in READ_BY_CONTAINERS), folder.path / ".env"]
        for path in (folder.path / "nginx/nginx.conf", *private):
            path.chmod(0o700 if path.is_dir() else 0o600)
        assert folder.make(target).code == 0
        assert {stat.S_IMODE(path.stat().st_mode) for path in private[:-1]} == {0o755}
        assert stat.S_IMODE((folder.path / "nginx/nginx.conf").stat().st_mode) == 0o644
        assert stat.S_IMODE(private[-1].stat().st_mode) == 0o600

    def test_production_without_settings_says_what_to_do(self, folder: Folder) -> None:
        folder.engine(answers=True)
        made = folder.make("run-prod")
        assert (made.code, made.called) == (2, ["info"])
        assert "cp .env.example .env" in made.complained[0]

    def test_production_with_known_secrets_says_what_to_do(self, folder: Folder) -> None:
        folder.engine(answers=True)
        shutil.copy(CHECKOUT / ".env.example", folder.path / ".env")
        made = folder.make("run-prod")
        assert (made.code, made.called) == (2, ["info"])
        assert "change-me" in made.complained[0]

    def test_production_with_the_known_keys_for_pans_says_what_to_do(self, folder: Folder) -> None:
        folder.engine(answers=True)
        example = (CHECKOUT / ".env.example").read_text()
        (line,) = re.findall(r"^ENCRYPTION_KEYS=.*$", example, re.MULTILINE)
        (folder.path / ".env").write_text(line)
        made = folder.make("run-prod")
        assert (made.code, made.called) == (2, ["info"])


class TestData:
    @pytest.mark.parametrize("target", WITH_DATA)
    def test_all_say_the_same_when_the_stack_is_down(self, folder: Folder, target: str) -> None:
        folder.engine(answers=False)
        made = folder.make(*target.split(" "))
        assert (made.code, made.complained) == (2, [STACK_IS_DOWN])
        assert [call for call in made.called if "-m" in call] == []

    @pytest.mark.parametrize(("target", "words"), WITH_DATA.items(), ids=WITH_DATA)
    def test_work_on_the_running_stack(
        self, folder: Folder, port: int, target: str, words: str
    ) -> None:
        folder.stack(port=port)
        made = folder.make(*target.split(" "), DB_URL="of the caller's shell")
        assert made.code == 0, made.complained
        assert made.called[0] == f"{words} [of-the-stack|native]"

    @pytest.mark.parametrize("target", ["migrate-upgrade", "seed-dev", "clean-dev"])
    def test_work_on_the_database_that_is_given_whatever_its_password(
        self, folder: Folder, target: str
    ) -> None:
        (folder.path / ".env").write_text("DB_OWNER_URL=other\nJWT_SECRET='of .env'\n")
        made = folder.make(target, f"DB_URL={OWNER}")
        assert made.code == 0, made.complained
        assert made.called[0] == f"{WITH_DATA[target]} [{OWNER}|of .env]"

    def test_a_given_database_goes_before_the_stacks(self, folder: Folder, port: int) -> None:
        folder.stack(port=port)
        made = folder.make("seed-dev", f"DB_URL={OWNER}")
        assert made.called[0] == f"-m scripts.seed_dev [{OWNER}|native]"

    @pytest.mark.parametrize("target", ["seed-dev", "produce-emotions", "migrate-upgrade"])
    def test_work_inside_of_compose_when_that_is_what_runs(
        self, folder: Folder, target: str
    ) -> None:
        folder.engine(answers=True, running=True)
        made = folder.make(target)
        assert made.code == 0, made.complained
        assert f"{DEV} run --rm tools python {WITH_DATA[target]}" in made.called

    def test_a_stack_that_was_killed_does_not_hide_the_one_in_compose(
        self, folder: Folder, closed_port: int
    ) -> None:
        folder.stack(port=closed_port)
        folder.engine(answers=True, running=True)
        assert f"{DEV} run --rm tools python -m scripts.seed_dev" in folder.make("seed-dev").called

    def test_a_stack_that_was_killed_does_not_hide_the_database_that_is_given(
        self, folder: Folder, closed_port: int
    ) -> None:
        folder.stack(port=closed_port)
        (folder.path / ".env").write_text("JWT_SECRET='of .env'\n")
        made = folder.make("seed-dev", f"DB_URL={OWNER}")
        assert made.called[0] == f"-m scripts.seed_dev [{OWNER}|of .env]"

    @pytest.mark.parametrize("target", WITH_DATA)
    def test_a_stack_that_was_killed_is_told_from_one_that_never_was(
        self, folder: Folder, closed_port: int, target: str
    ) -> None:
        folder.stack(port=closed_port)
        folder.engine(answers=False)
        made = folder.make(*target.split(" "))
        assert (made.code, made.complained) == (2, [STACK_IS_LOST])

    def test_the_demo_asks_the_api_of_compose(self, folder: Folder) -> None:
        folder.engine(answers=True, running=True)
        words = "tools python -m scripts.demo --url http://api:8000"
        assert f"{DEV} run --rm {words}" in folder.make("demo").called

    @pytest.mark.parametrize("odd", ODD_WORDS)
    def test_words_arrive_as_they_were_typed(self, folder: Folder, port: int, odd: str) -> None:
        folder.stack(port=port)
        made = folder.make("create-client", f"NAME={odd}", "SCOPES=a:b")
        assert made.called == [
            f"-m scripts.create_client --name {odd} --scopes a:b [of-the-stack|native]"
        ]
        given = folder.make("clean-dev", f"DB_URL=postgresql://o:{odd}@h/d", "CONFIRM=d")
        said = f"-m scripts.clean_dev --confirm d [postgresql://o:{odd}@h/d|native]"
        assert given.called == [said]
        dropped = folder.make("drop-encryption-key", f"KEY={odd}")
        assert dropped.called == [f"-m scripts.stack drop-encryption-key {odd} [|]"]

    @pytest.mark.parametrize(("target", "complaint"), MISSING_WORDS.items(), ids=MISSING_WORDS)
    def test_a_missing_word_is_asked_for(
        self, folder: Folder, port: int, target: str, complaint: str
    ) -> None:
        folder.stack(port=port)
        made = folder.make(*target.split())
        assert (made.code, made.called) == (2, [])
        assert made.complained[0].startswith(complaint)


class TestTheRest:
    @pytest.mark.parametrize(("target", "words"), WITHOUT_DATA.items(), ids=WITHOUT_DATA)
    def test_calls_what_it_promises(self, folder: Folder, target: str, words: str) -> None:
        made = folder.make(*target.split())
        assert made.code == 0, made.complained
        assert [call for call in made.called if call.startswith(words)]

    def test_a_key_that_is_inherited_is_not_dropped(self, folder: Folder) -> None:
        made = folder.make("drop-encryption-key", "--environment-overrides", KEY="1")
        assert (made.code, made.called) == (2, [])

    @pytest.mark.parametrize("target", ["run", "up"])
    def test_who_is_told_of_traces_and_errors_is_who_is_named_to_make(
        self, folder: Folder, target: str
    ) -> None:
        telling = '#!/bin/sh\necho "$GIVEN_TRACES|$GIVEN_SENTRY_DSN" >> "$SCRIBE"\n'
        folder.program(".venv/bin/python", telling)
        inherited = folder.make(target, TRACES="1", SENTRY_DSN="http://a$b@h/1")
        given = folder.make(target, "TRACES=1", "SENTRY_DSN=http://a$b@h/1")
        assert (inherited.called, given.called) == (["|"], ["1|http://a$b@h/1"])

    @pytest.mark.parametrize("target", ["status", "lint", "test", "seed-dev"])
    def test_fails_when_what_it_calls_fails(self, folder: Folder, port: int, target: str) -> None:
        folder.stack(port=port)
        for program in PROGRAMS:
            folder.program(f".venv/bin/{program}", "#!/bin/sh\nexit 3\n")
        assert folder.make(target).code == 2

    def test_a_module_that_is_called_is_there(self) -> None:
        called = set(re.findall(r"-m (scripts\.\w+)", (CHECKOUT / "Makefile").read_text()))
        assert [
            module
            for module in called
            if not (CHECKOUT / module.replace(".", os.sep)).with_suffix(".py").exists()
            and not (CHECKOUT / module.replace(".", os.sep)).is_dir()
        ] == []
