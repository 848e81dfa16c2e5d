"""Whose data ``make clean-dev`` may remove."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from ecs.config import Settings
from scripts.clean_dev import is_of_the_native_stack, refusal
from tests.builders import settings_for

FAR: Final = "postgresql://ecs_owner:p%40ss@db.example.com:5432/ecs"
HERE: Final = "postgresql://ecs_owner:p%40ss@127.0.0.1:5432/ecs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a database is, for both roles."""

    owner_url: str
    app_url: str = "postgresql://ecs_app:p%40ss@127.0.0.1:5432/ecs"


def settings(owner_url: str, *, environment: str = "development") -> Settings:
    return settings_for(
        Addresses(owner_url=owner_url), "redis://127.0.0.1", environment=environment
    )


class TestRefusal:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "postgres"])
    def test_asks_nobody_about_a_database_that_is_here(self, host: str) -> None:
        assert not refusal(settings(HERE.replace("127.0.0.1", host)), confirmed="")

    def test_wants_a_database_elsewhere_to_be_named(self) -> None:
        for wrong in ("", "yes", "ECS", "ecs_other"):
            said = refusal(settings(FAR), confirmed=wrong)
            assert "db.example.com" in said
            assert "CONFIRM=ecs " in said
            assert "p%40ss" not in said
        assert not refusal(settings(FAR), confirmed="ecs")

    @pytest.mark.parametrize("url", [HERE, FAR])
    def test_never_touches_production(self, url: str) -> None:
        assert "production" in refusal(settings(url, environment="production"), confirmed="ecs")


class TestMail:
    @pytest.mark.parametrize("line", ["DB_OWNER_URL={}", "DB_OWNER_URL='{}'"])
    def test_goes_with_the_database_of_its_own_stack_alone(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "env").write_text(f"DB_URL=x\n{line.format(HERE)}\n")
        assert is_of_the_native_stack(settings(HERE), tmp_path)
        assert not is_of_the_native_stack(settings(FAR), tmp_path)

    def test_stays_when_there_is_no_stack(self, tmp_path: Path) -> None:
        assert not is_of_the_native_stack(settings(HERE), tmp_path)
