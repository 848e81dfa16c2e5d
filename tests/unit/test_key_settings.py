"""Keys and passwords among the settings: weak ones, shared ones, published ones, the keyring."""

import json
import re
from base64 import b64encode
from typing import Final
from urllib.parse import quote

import pytest

from ecs.config import SettingsError, read_settings
from tests.unit.test_settings import (
    CHECKOUT,
    ENOUGH,
    KEYS,
    PASSWORD,
    RING_KEY,
    SENTENCE,
    STRONG,
    WEAK_KEYS,
    WRONG,
    complaints,
    environment,
    ring,
)

__all__ = ["environment"]  # The fixture of a production environment.

# Where a password stands in a variable.
PASSWORDS: Final = {
    "RABBITMQ_PASS": "{}",
    "DB_URL": "postgresql://ecs_app:{}@db:5432/ecs",
    "DB_OWNER_URL": "postgresql://ecs_owner:{}@db:5432/ecs",
    "REDIS_URL": "redis://:{}@cache:6379/0",
}
WEAK_PASSWORDS: Final = ("", "kq3VbX0yZr8", "change-me-or-else", "MyPassword-2026!", "abababababab")
PUBLISHED: Final = re.compile(rf"(?:{'|'.join(KEYS)})(?:=|:\s*\$\{{\w+:-)([^}}\s]+)")
PUBLISHED_RING: Final = re.compile(r"ENCRYPTION_KEYS(?:=|: )'(.+)'")


class TestSecrets:
    @pytest.mark.parametrize("variable", KEYS)
    @pytest.mark.parametrize("secret", WEAK_KEYS.values(), ids=WEAK_KEYS)
    def test_a_weak_key_is_refused_in_production_by_name_and_without_its_value(
        self, environment: pytest.MonkeyPatch, variable: str, secret: str
    ) -> None:
        environment.setenv(variable, secret)
        assert [complaint.split()[0] for complaint in complaints()] == [variable]
        assert not secret or secret not in complaints()[0]

    @pytest.mark.parametrize("variable", PASSWORDS)
    @pytest.mark.parametrize("password", WEAK_PASSWORDS)
    def test_a_weak_password_is_refused_in_production_wherever_it_stands(
        self, environment: pytest.MonkeyPatch, variable: str, password: str
    ) -> None:
        environment.setenv(variable, PASSWORDS[variable].format(quote(password)))
        assert [complaint.split()[0] for complaint in complaints()] == [variable]
        assert not password or password not in complaints()[0]

    @pytest.mark.parametrize("variable", PASSWORDS)
    def test_a_weak_password_is_good_enough_elsewhere(
        self, environment: pytest.MonkeyPatch, variable: str
    ) -> None:
        environment.setenv("ENVIRONMENT", "development")
        environment.setenv(variable, PASSWORDS[variable].format("change-me"))
        assert complaints() == ()

    def test_a_missing_broker_password_is_refused_in_production(
        self, environment: pytest.MonkeyPatch
    ) -> None:
        environment.delenv("RABBITMQ_PASS")
        assert [complaint.split()[0] for complaint in complaints()] == ["RABBITMQ_PASS"]

    def test_a_name_in_small_letters_is_no_way_around(
        self, environment: pytest.MonkeyPatch
    ) -> None:
        environment.delenv("JWT_SECRET")
        environment.setenv("jwt_secret", WEAK_KEYS["known"])
        assert [complaint.split()[0] for complaint in complaints()] == ["JWT_SECRET"]

    @pytest.mark.parametrize("file", [".env.example", "docker-compose.dev.yml"])
    @pytest.mark.parametrize("variable", KEYS)
    def test_none_that_we_publish_is_accepted_in_production(
        self, environment: pytest.MonkeyPatch, variable: str, file: str
    ) -> None:
        published = PUBLISHED.findall((CHECKOUT / file).read_text())
        assert len(published) == len(KEYS)
        for secret in published:
            environment.setenv(variable, secret)
            with pytest.raises(SettingsError, match=variable):
                read_settings()

    @pytest.mark.parametrize("variable", KEYS)
    @pytest.mark.parametrize("kind", ["development", "test"])
    def test_only_an_empty_one_is_refused_elsewhere(
        self, environment: pytest.MonkeyPatch, variable: str, kind: str
    ) -> None:
        environment.setenv("ENVIRONMENT", kind)
        environment.setenv(variable, WEAK_KEYS["known"])
        assert read_settings().environment == kind
        environment.setenv(variable, "")
        with pytest.raises(SettingsError, match=variable):
            read_settings()

    def test_a_strong_one_is_accepted_in_production(self, environment: pytest.MonkeyPatch) -> None:
        assert read_settings().environment == "production"

    def test_none_is_shown_by_accident(self, environment: pytest.MonkeyPatch) -> None:
        settings = read_settings()
        assert STRONG not in repr(settings)
        assert PASSWORD not in repr(settings)
        assert STRONG not in str(settings.model_dump())


class TestKeyring:
    def test_is_read_with_the_key_that_encrypts(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("ENCRYPTION_KEYS", ring(RING_KEY, RING_KEY[::-1]))
        environment.setenv("ENCRYPTION_ACTIVE_KEY_ID", "2")
        encryption = read_settings().encryption
        assert encryption.keyring == {"1": RING_KEY, "2": RING_KEY[::-1]}
        assert encryption.active_key_id == "2"

    @pytest.mark.parametrize(
        ("key", "reason"),
        [(b"ab" * 16, "too regular"), (b"please-change-me-or-be-refused!!", "known default")],
    )
    def test_a_weak_key_is_refused_in_production_and_good_enough_elsewhere(
        self, environment: pytest.MonkeyPatch, key: bytes, reason: str
    ) -> None:
        environment.setenv("ENCRYPTION_KEYS", ring(RING_KEY, key))
        (complaint,) = complaints()
        assert SENTENCE.match(complaint)
        assert reason in complaint
        assert b64encode(key).decode() not in complaint
        environment.setenv("ENVIRONMENT", "development")
        assert complaints() == ()

    @pytest.mark.parametrize("file", [".env.example", "docker-compose.dev.yml"])
    def test_none_that_we_publish_is_accepted_in_production(
        self, environment: pytest.MonkeyPatch, file: str
    ) -> None:
        (published,) = PUBLISHED_RING.findall((CHECKOUT / file).read_text())
        for key_id, key in json.loads(published).items():
            environment.setenv("ENCRYPTION_KEYS", json.dumps({key_id: key}))
            environment.setenv("ENCRYPTION_ACTIVE_KEY_ID", key_id)
            assert [complaint.split()[0] for complaint in complaints()] == ["ENCRYPTION_KEYS"]

    def test_is_not_shown_by_accident(self, environment: pytest.MonkeyPatch) -> None:
        settings = read_settings()
        for shown in (repr(settings), str(settings), str(settings.model_dump())):
            assert b64encode(RING_KEY).decode() not in shown
            assert repr(RING_KEY) not in shown


class TestPurposes:
    @pytest.mark.parametrize("variable", sorted(set(KEYS) - {"JWT_SECRET"}))
    def test_a_key_for_two_purposes_is_refused_in_production_by_both_names(
        self, environment: pytest.MonkeyPatch, variable: str
    ) -> None:
        environment.setenv(variable, ENOUGH["JWT_SECRET"])
        (complaint,) = complaints()
        assert complaint.startswith(f"{variable} must be a key of its own")
        assert "JWT_SECRET" in complaint
        assert SENTENCE.match(complaint)
        assert ENOUGH["JWT_SECRET"] not in complaint
        environment.setenv("ENVIRONMENT", "test")
        assert complaints() == ()

    def test_a_key_of_the_ring_has_no_other_purpose(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("BLIND_INDEX_KEY", b64encode(RING_KEY).decode())
        (complaint,) = complaints()
        assert complaint.startswith("BLIND_INDEX_KEY must be a key of its own")

    def test_no_key_is_left_out(self, environment: pytest.MonkeyPatch) -> None:
        assert tuple(read_settings().keys) == KEYS
        assert {name for name in WRONG if WRONG[name] == ("short-7788",)} == {
            *KEYS,
            "RABBITMQ_PASS",
        }
