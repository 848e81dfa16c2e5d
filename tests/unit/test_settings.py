"""Settings: what is read, what is refused, and how a process says so."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_settings import BaseSettings

from ecs import config
from ecs.config import SettingsError, read_settings

CHECKOUT: Final = Path(__file__).parents[2]
STRONG: Final = "kq3VbX0yZr8Lw5Tn2Jf7Hd1Sg6Pc9Mu4Ae"
PASSWORD: Final = "Wm4xTz9Rc2Kb"
KEYS: Final = (
    *("JWT_SECRET", "CLIENT_SECRET_KEY"),
    *("BLIND_INDEX_KEY", "AUDIT_SEAL_KEY", "IDEMPOTENCY_KEY", "BUREAU_KEY"),
)


def ring(*keys: bytes) -> str:
    """What ENCRYPTION_KEYS holds: keys with the ids 1, 2, ..."""
    named = {str(number): b64encode(key).decode() for number, key in enumerate(keys, start=1)}
    return json.dumps(named)


RING_KEY: Final = bytes.fromhex("8f2c71d05e4ab39607f1c85d2e9a6b340d7e58c1f2936ba4e01d7c85923fa6b4")
RING: Final = ring(RING_KEY)
ENOUGH: Final = {
    "DB_URL": f"postgresql://ecs_app:{PASSWORD}@db:5432/ecs",
    "REDIS_URL": f"redis://:{PASSWORD}@cache:6379/0",
    "RABBITMQ_PASS": STRONG,
    "ENCRYPTION_KEYS": RING,
    "ENCRYPTION_ACTIVE_KEY_ID": "1",
    # One strong key, turned: each is another.
    **{name: STRONG[turn:] + STRONG[:turn] for turn, name in enumerate(KEYS)},
}
WEAK_KEYS: Final = {
    "empty": "",
    "short": "kq3VbX0yZr8Lw5Tn2Jf7Hd1Sg6Pc9Mu",
    "known": "please-change-me-before-you-go-to-production",
    "tutorial": "09d25e094faa6ca2556c-this-is-the-secret-key",
    "regular": "abababababababababababababababababababab",
}
# Every variable with values that it does not take; each holds a mark that no message may show.
WRONG: Final[dict[str, tuple[str, ...]]] = {
    "ENVIRONMENT": ("staging-7788", "PRODUCTION-7788"),
    "DEBUG": ("perhaps-7788", "7788"),
    "APP_PORT": ("77880", "-7788", "port-7788", "7788.5"),
    "LOG_LEVEL": ("loud-7788", "INFO-7788"),
    "DB_URL": (
        "mysql://7788",
        "postgresql://u:p7788@db:port/ecs",
        "postgresql://u:p7788@db:5432",
        "postgresql://u:p7788@:5432/ecs",
        "postgresql://u:p7788@[::1/ecs",
        "postgresql://u:p7788@db/ecs extra",
        "postgresql://u:p7788@d\u2100b/ecs",
        "postgresql://u:p7788@db/ecs?ssl=require",
        "postgresql://u:p7788@db/ecs?sslmode=sometimes",
        "postgresql://u:p7788@db/ecs?sslmode=require&connect_timeout=7788",
        "postgresql://u:p7788@db/ecs#7788",
        "7788",
    ),
    "DB_OWNER_URL": ("sqlite:///7788", "postgresql://u:p7788@db:77880/ecs"),
    "REDIS_URL": ("http://7788", "redis://:7788", "redis://:p7788@cache:6379/first"),
    "JWT_SECRET": ("short-7788",),
    "JWT_EXPIRES_SECONDS": ("-7788", "7788000", "7788 s", "7788.5"),
    "JWT_ALGORITHM": ("none-7788", "HS7788"),
    "JWT_ISSUER": ("7788" * 51,),
    "JWT_AUDIENCE": ("7788" * 51,),
    "CLIENT_SECRET_KEY": ("short-7788",),
    "RABBITMQ_USER": ("7788" * 51,),
    "RABBITMQ_PASS": ("short-7788",),
    "RABBITMQ_HOST": ("7788" * 51,),
    "RABBITMQ_PORT": ("77880", "amqp-7788"),
    "FEATURE_ENGINEERING_TRANSACTIONS_LAST_DAYS": ("7788", "week-7788"),
    "FEATURE_ENGINEERING_TRANSACTIONS_LIMIT": ("77880", "-7788"),
    "FEATURE_ENGINEERING_EMOTIONAL_EVENTS_PERIOD_DAYS": ("7788", "-7788"),
    "FEATURE_ENGINEERING_EMOTIONAL_EVENTS_LIMIT": ("7788", "all-7788"),
    "CREDIT_CURRENCY": ("real7788", "7788"),
    "CREDIT_OFFER_EXPIRES_HOURS": ("7788.5", "77880"),
    "ENCRYPTION_KEYS": (
        "keys-7788",
        "7788",
        '{"1": "7788"}',
        '{"1": 7788}',
        '["7788"]',
        "[" * 9000 + "7788",
        ring(RING_KEY[:31]).replace("1", "id-7788", 1),
        RING.replace("1", "an id 7788", 1),
        RING.replace("1", "7788" * 9, 1),
        RING.replace("{", f'{{"1": "{b64encode(b"7788" * 8).decode()}", ', 1),
        ring(RING_KEY, RING_KEY),
        RING.replace("=", "7788"),
        "{}",
    ),
    "ENCRYPTION_ACTIVE_KEY_ID": ("no id 7788", "7788", "7788" * 9),
    "BLIND_INDEX_KEY": ("short-7788",),
    "AUDIT_SEAL_KEY": ("short-7788",),
    "IDEMPOTENCY_KEY": ("short-7788",),
    "BUREAU_KEY": ("short-7788",),
    "BUREAU_SIMULATION": ("sleeps-7788", "ANSWERS-7788"),
    "PREQUALIFICATION_TEST_PANS": ("7788", "ABCDE7788", "abcde7788f"),
    "SMTP_URL": ("http://7788", "smtp://u:p7788@mail.example.com", "smtps://mail:25/7788"),
    "MAIL_FROM": ("7788", "two words 7788", "<no@7788"),
    "METRICS_ENABLED": ("perhaps-7788", "7788"),
    "METRICS_HOST": ("7788" * 51,),
    "METRICS_PORT": ("77880", "-7788", "port-7788"),
    "SENTRY_DSN": ("7788", "ftp://key@7788/1", "https://7788.example.com/1", "https://key@h7788/"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        "7788",
        "grpc://7788:4317",
        "http://7788/v1/traces",
        "http://u:p7788@collector:4318",
    ),
}
MARK: Final = "7788"
COMPOSE_ONLY: Final = re.compile(r"POSTGRES_|REDIS_PASSWORD$|GRAFANA_")
SENTENCE: Final = re.compile(r"^[A-Z_]+ (?:must be|is missing: it must be) .+, e\.g\. .+$")
ENTRY_POINTS: Final = {
    "ecs.api": ["ecs.api", "--port", "0"],
    "alembic": ["alembic", "current"],
    "workers.rq_worker": ["workers.rq_worker", "accounts"],
    "scripts.create_client": ["scripts.create_client", "--name=a", "--scopes=emotions:ingest"],
    "scripts.forget_user": ["scripts.forget_user", "--email=a@example.com"],
    "scripts.explain_decision": ["scripts.explain_decision", "--offer", "0" * 32],
}


def variables() -> set[str]:
    """The names of the environment that the settings are read from."""
    models = [model for model in vars(config).values() if _is_settings(model)]
    return {
        str(field.validation_alias or f"{model.model_config.get('env_prefix', '')}{name}").upper()
        for model in models
        for name, field in model.model_fields.items()
        if not _is_settings(field.annotation)
    }


def _is_settings(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseSettings) and value is not BaseSettings


def set_up(environment: pytest.MonkeyPatch) -> None:
    """Leave nothing but what has to be there."""
    for name in [name for name in os.environ if name.upper() in variables()]:
        environment.delenv(name)
    for name, value in ENOUGH.items():
        environment.setenv(name, value)


def complaints() -> tuple[str, ...]:
    """What is wrong with the environment."""
    try:
        read_settings()
    except SettingsError as error:
        return error.complaints
    return ()


def entry_points() -> dict[str, list[str]]:
    """The words after ``python -m`` of everything that reads the settings."""
    files = [file for folder in ("workers", "scripts") for file in (CHECKOUT / folder).glob("*.py")]
    modules = {
        f"{file.parent.name}.{file.stem}": file.read_text()
        for file in files
        if re.search(r"settings_or_exit\(\)|\bserve\(", file.read_text())
        and "__main__" in file.read_text()
    }
    return {name: [name] for name in modules} | ENTRY_POINTS


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A production environment with nothing but what has to be there."""
    set_up(monkeypatch)
    return monkeypatch


class TestExample:
    def test_names_exactly_the_variables_there_are(self) -> None:
        text = (CHECKOUT / ".env.example").read_text()
        named = set(re.findall(r"^([A-Z_]+)=", text, flags=re.MULTILINE))
        assert {one for one in named if not COMPOSE_ONLY.match(one)} == variables()

    def test_explains_each_variable(self) -> None:
        blocks = (CHECKOUT / ".env.example").read_text().split("\n")
        for line, following in pairwise(blocks):
            if re.match(r"[A-Z_]+=", following):
                assert line.startswith("#") or re.match(r"[A-Z_]+=", line), following

    def test_cannot_be_used_in_production_as_it_is(self, environment: pytest.MonkeyPatch) -> None:
        text = (CHECKOUT / ".env.example").read_text()
        for name, value in re.findall(r"^([A-Z_]+)=(.*)$", text, flags=re.MULTILINE):
            environment.setenv(name, " ".join(shlex.split(value)))
        assert read_settings().environment == "development"
        environment.setenv("ENVIRONMENT", "production")
        with pytest.raises(SettingsError) as refused:
            read_settings()
        said = {complaint.split()[0] for complaint in refused.value.complaints}
        assert said == {
            *KEYS,
            *("DEBUG", "DB_URL", "DB_OWNER_URL", "REDIS_URL", "RABBITMQ_PASS"),
            *("ENCRYPTION_KEYS", "PREQUALIFICATION_TEST_PANS"),
        }


class TestSettings:
    @pytest.mark.parametrize("variable", ENOUGH)
    def test_a_missing_one_is_named(self, environment: pytest.MonkeyPatch, variable: str) -> None:
        environment.delenv(variable)
        with pytest.raises(SettingsError, match=variable):
            read_settings()

    @pytest.mark.parametrize(
        ("variable", "value"), [(name, value) for name, values in WRONG.items() for value in values]
    )
    def test_a_wrong_one_gets_its_rule_and_an_example_and_its_value_is_not_shown(
        self, environment: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        environment.setenv(variable, value)
        (complaint,) = complaints()
        assert complaint.startswith(f"{variable} must be ")
        assert SENTENCE.match(complaint)
        assert MARK not in complaint

    def test_the_table_of_wrong_values_leaves_none_out(self) -> None:
        assert set(WRONG) == variables()

    def test_all_wrong_ones_and_missing_ones_are_told_at_once(
        self, environment: pytest.MonkeyPatch
    ) -> None:
        environment.setenv("ENVIRONMENT", "development")
        wrong = {name: values[0] for name, values in WRONG.items() if name != "ENVIRONMENT"}
        for name, value in wrong.items():
            environment.setenv(name, value)
        environment.setenv("ENVIRONMENT", WRONG["ENVIRONMENT"][0])
        environment.delenv("REDIS_URL")
        assert sorted(complaint.split()[0] for complaint in complaints()) == sorted(WRONG)
        assert all(SENTENCE.match(complaint) for complaint in complaints())

    @given(variable=st.sampled_from(sorted(WRONG)), text=st.text(min_size=4))
    def test_no_complaint_ever_shows_a_value(self, variable: str, text: str) -> None:
        value = f"\N{BLACK STAR}{text}".replace("\0", "").encode(errors="replace").decode()
        with pytest.MonkeyPatch.context() as environment:
            set_up(environment)
            environment.setenv(variable, value)
            assert "\N{BLACK STAR}" not in "".join(complaints())

    @pytest.mark.parametrize(
        "name", ["MAIL", "CREDIT", "JWT", "FEATURES", "RABBITMQ", "ENCRYPTION", "BUREAU"]
    )
    def test_a_group_is_not_taken_from_a_variable_of_its_name(
        self, environment: pytest.MonkeyPatch, name: str
    ) -> None:
        environment.setenv(name, "/var/mail/root")  # As login shells set it.
        assert complaints() == ()

    def test_debugging_is_refused_in_production(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("DEBUG", "true")
        with pytest.raises(SettingsError, match="DEBUG"):
            read_settings()
        environment.setenv("ENVIRONMENT", "development")
        assert read_settings().debug

    @pytest.mark.parametrize("mode", ["refuses", "hangs"])
    def test_a_bureau_that_only_pretends_to_be_down_is_refused_in_production(
        self, environment: pytest.MonkeyPatch, mode: str
    ) -> None:
        environment.setenv("BUREAU_SIMULATION", mode)
        assert [complaint.split()[0] for complaint in complaints()] == ["BUREAU_SIMULATION"]
        environment.setenv("ENVIRONMENT", "test")
        assert read_settings().bureau.simulation == mode

    def test_no_test_pan_is_taken_in_production(self, environment: pytest.MonkeyPatch) -> None:
        assert read_settings().test_pans == frozenset()
        environment.setenv("PREQUALIFICATION_TEST_PANS", "ABCDE1234F,FGHIJ5678K")
        (complaint,) = complaints()
        assert complaint.startswith("PREQUALIFICATION_TEST_PANS must be ")
        environment.setenv("ENVIRONMENT", "test")
        assert read_settings().test_pans == {"ABCDE1234F", "FGHIJ5678K"}

    def test_production_is_the_default(self, environment: pytest.MonkeyPatch) -> None:
        assert not read_settings().development

    @pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", "postgresql+asyncpg://"])
    @pytest.mark.parametrize("variable", ["DB_URL", "DB_OWNER_URL"])
    def test_a_database_url_gets_the_driver(
        self, environment: pytest.MonkeyPatch, variable: str, scheme: str
    ) -> None:
        environment.setenv(variable, f"{scheme}me:postgresql%3AWm4x@db/ecs")
        url = getattr(read_settings(), variable.lower())
        assert url == "postgresql+asyncpg://me:postgresql%3AWm4x@db/ecs"

    def test_settings_do_not_change_while_the_process_runs(
        self, environment: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ValueError, match="frozen"):
            read_settings().debug = True  # type: ignore[misc]  # that is the point


class TestProcesses:
    @pytest.mark.parametrize("name", sorted(entry_points()))
    def test_none_starts_with_wrong_settings_and_each_says_which(self, name: str) -> None:
        wrong = {"DB_URL": "mysql://7788", "DB_OWNER_URL": "mysql://7788", "APP_PORT": "77880"}
        started = time.monotonic()
        process = start(entry_points()[name], ENOUGH | wrong | {"ENVIRONMENT": "development"})
        assert process.returncode == 1
        assert time.monotonic() - started < 15  # 5 s are promised for a machine that is not busy.
        lines = process.stderr.strip().splitlines()
        assert {line.split()[1] for line in lines} == set(wrong) - unread(name), process.stderr
        assert all(line.startswith("ecs: ") for line in lines)
        assert MARK not in process.stdout + process.stderr

    @pytest.mark.parametrize(
        ("variable", "value"),
        [("JWT_SECRET", WEAK_KEYS["short"]), ("JWT_SECRET", ""), ("DEBUG", "true")],
    )
    def test_no_weakness_starts_in_production(self, variable: str, value: str) -> None:
        process = start(ENTRY_POINTS["ecs.api"], ENOUGH | {variable: value})
        assert process.returncode == 1
        assert process.stderr.startswith(f"ecs: {variable} must be ")
        assert value in {"", "true"} or value not in process.stderr

    def test_a_migration_needs_no_other_setting_than_where(self) -> None:
        nowhere = {"DB_URL": "postgresql://o:weak@127.0.0.1:1/ecs"}
        assert "ConnectionRefused" in start(ENTRY_POINTS["alembic"], nowhere).stderr
        process = start(ENTRY_POINTS["alembic"], nowhere | {"ENVIRONMENT": "production"})
        assert process.stderr.startswith("ecs: DB_URL must be ")
        assert start(ENTRY_POINTS["alembic"], {}).stderr.startswith("ecs: DB_OWNER_URL is missing")


def unread(name: str) -> set[str]:
    """What an entry point has no use for."""
    return {"APP_PORT"} if name == "alembic" else set()


def start(words: list[str], environment: dict[str, str]) -> Any:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
