import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from pydantic_settings import BaseSettings

from ecs import config
from ecs.config import SettingsError, read_settings

CHECKOUT: Final = Path(__file__).parents[2]
STRONG: Final = "kq3VbX0yZr8Lw5Tn2Jf7Hd1Sg6Pc9Mu4Ae"
ENOUGH: Final = {
    "DB_URL": "postgresql://ecs_app:pw@db:5432/ecs",
    "REDIS_URL": "redis://cache:6379/0",
    "JWT_SECRET": STRONG,
    "CLIENT_SECRET_KEY": STRONG[::-1],
}
WEAK: Final = {
    "empty": "",
    "short": "kq3VbX0yZr8Lw5Tn2Jf7Hd1Sg6Pc9Mu",
    "known": "please-change-me-before-you-go-to-production",
    "tutorial": "09d25e094faa6ca2556c-this-is-the-secret-key",
    "regular": "abababababababababababababababababababab",
}
SECRETS: Final = ("JWT_SECRET", "CLIENT_SECRET_KEY")
PUBLISHED: Final = re.compile(r"(?:JWT_SECRET|CLIENT_SECRET_KEY)(?:=|:\s*\$\{\w+:-)([^}\s]+)")


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


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A production environment with nothing but what has to be there."""
    for name in [name for name in os.environ if name.upper() in variables()]:
        monkeypatch.delenv(name)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


class TestExample:
    def test_names_exactly_the_variables_there_are(self) -> None:
        text = (CHECKOUT / ".env.example").read_text()
        named = set(re.findall(r"^([A-Z_]+)=", text, flags=re.MULTILINE))
        assert {name for name in named if not name.startswith("POSTGRES_")} == variables()

    def test_explains_each_variable(self) -> None:
        blocks = (CHECKOUT / ".env.example").read_text().split("\n")
        for line, following in pairwise(blocks):
            if re.match(r"[A-Z_]+=", following):
                assert line.startswith("#") or re.match(r"[A-Z_]+=", line), following

    def test_cannot_be_used_in_production_as_it_is(self, environment: pytest.MonkeyPatch) -> None:
        text = (CHECKOUT / ".env.example").read_text()
        for name, value in re.findall(r"^([A-Z_]+)=(.*)$", text, flags=re.MULTILINE):
            environment.setenv(name, value)
        assert read_settings().environment == "development"
        environment.setenv("ENVIRONMENT", "production")
        with pytest.raises(SettingsError, match=r"JWT_SECRET|CLIENT_SECRET_KEY"):
            read_settings()


class TestSecrets:
    @pytest.mark.parametrize("variable", SECRETS)
    @pytest.mark.parametrize("secret", WEAK.values(), ids=WEAK)
    def test_a_weak_one_is_refused_in_production_by_name_and_without_its_value(
        self, environment: pytest.MonkeyPatch, variable: str, secret: str
    ) -> None:
        environment.setenv(variable, secret)
        with pytest.raises(SettingsError) as refused:
            read_settings()
        assert variable in str(refused.value)
        assert not secret or secret not in str(refused.value)

    @pytest.mark.parametrize("file", [".env.example", "docker-compose.dev.yml"])
    @pytest.mark.parametrize("variable", SECRETS)
    def test_none_that_we_publish_is_accepted_in_production(
        self, environment: pytest.MonkeyPatch, variable: str, file: str
    ) -> None:
        published = PUBLISHED.findall((CHECKOUT / file).read_text())
        assert len(published) == len(SECRETS)
        for secret in published:
            environment.setenv(variable, secret)
            with pytest.raises(SettingsError, match=variable):
                read_settings()

    @pytest.mark.parametrize("variable", SECRETS)
    @pytest.mark.parametrize("kind", ["development", "test"])
    def test_only_an_empty_one_is_refused_elsewhere(
        self, environment: pytest.MonkeyPatch, variable: str, kind: str
    ) -> None:
        environment.setenv("ENVIRONMENT", kind)
        environment.setenv(variable, WEAK["known"])
        assert read_settings().environment == kind
        environment.setenv(variable, "")
        with pytest.raises(SettingsError, match=variable):
            read_settings()

    def test_a_strong_one_is_accepted_in_production(self, environment: pytest.MonkeyPatch) -> None:
        assert read_settings().environment == "production"

    def test_none_is_shown_by_accident(self, environment: pytest.MonkeyPatch) -> None:
        settings = read_settings()
        assert STRONG not in repr(settings)
        assert STRONG not in str(settings.model_dump())


class TestSettings:
    @pytest.mark.parametrize("variable", ENOUGH)
    def test_a_missing_one_is_named(self, environment: pytest.MonkeyPatch, variable: str) -> None:
        environment.delenv(variable)
        with pytest.raises(SettingsError, match=variable):
            read_settings()

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("ENVIRONMENT", "staging-of-7788"),
            ("DEBUG", "perhaps-7788"),
            ("APP_PORT", "77880"),
            ("DB_URL", "mysql://7788"),
            ("DB_OWNER_URL", "sqlite:///7788"),
            ("REDIS_URL", "http://7788"),
            ("JWT_ALGORITHM", "none-7788"),
            ("JWT_EXPIRES_SECONDS", "-7788"),
            ("RABBITMQ_PORT", "77880"),
            ("FEATURE_ENGINEERING_TRANSACTIONS_LIMIT", "77880"),
            ("CREDIT_CURRENCY", "real7788"),
            ("CREDIT_OFFER_EXPIRES_HOURS", "7788.5"),
            ("LOG_LEVEL", "loud-7788"),
        ],
    )
    def test_an_unusable_one_is_named_and_its_value_is_not_shown(
        self, environment: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        environment.setenv(variable, value)
        with pytest.raises(SettingsError) as refused:
            read_settings()
        assert re.search(rf"\b{variable}\b", str(refused.value))
        assert "7788" not in str(refused.value)

    def test_debugging_is_refused_in_production(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("DEBUG", "true")
        with pytest.raises(SettingsError, match="DEBUG"):
            read_settings()
        environment.setenv("ENVIRONMENT", "development")
        assert read_settings().debug

    def test_production_is_the_default(self, environment: pytest.MonkeyPatch) -> None:
        assert not read_settings().development

    @pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", "postgresql+asyncpg://"])
    @pytest.mark.parametrize("variable", ["DB_URL", "DB_OWNER_URL"])
    def test_a_database_url_gets_the_driver(
        self, environment: pytest.MonkeyPatch, variable: str, scheme: str
    ) -> None:
        environment.setenv(variable, f"{scheme}me:postgresql%3A@db/ecs")
        url = getattr(read_settings(), variable.lower())
        assert url == "postgresql+asyncpg://me:postgresql%3A@db/ecs"

    def test_settings_do_not_change_while_the_process_runs(
        self, environment: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ValueError, match="frozen"):
            read_settings().debug = True  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("variable", "value"),
    [("JWT_SECRET", WEAK["short"]), ("JWT_SECRET", ""), ("DEBUG", "true"), ("DB_URL", None)],
)
def test_the_process_does_not_start_and_names_the_variable(
    variable: str, value: str | None
) -> None:
    environment = {"PATH": os.environ["PATH"], **ENOUGH, variable: value or ""}
    if value is None:
        del environment[variable]
    started = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-m", "uvicorn", "ecs.api.asgi:create", "--factory", "--port", "0"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert process.returncode != 0
    assert time.monotonic() - started < 15  # 5 s are promised for a machine that is not busy.
    assert variable in process.stderr
    assert not value or value == "true" or value not in process.stdout + process.stderr
    assert "Traceback" not in process.stderr
