"""What ``Tokens``, ``Passwords`` and ``ClientSecrets`` promise, tried on each adapter there is."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.people import CLIENT_SCOPES, USER_SCOPES
from ecs.domain.principal import PrincipalKind
from ecs.integrations.client_secrets import ClientSecrets as HmacSecrets
from ecs.integrations.exceptions import InvalidToken
from ecs.integrations.password_hasher import PasswordHasher
from ecs.integrations.token_signer import TokenSigner
from ecs.services.ports import ClientSecrets, Passwords, Tokens

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
SECONDS = 900
SOMEBODY, TOKEN_ID = UUID(int=1), UUID(int=2)


def a_signer(secret: str = "k" * 40, **changes: str) -> TokenSigner:
    values = {"active_kid": "1", "algorithm": "HS256", "issuer": "ecs", "audience": "ecs-api"}
    return TokenSigner(keyring={"1": secret}, **(values | changes))  # type: ignore[arg-type]  # texts


def signed(tokens: Tokens, **changes: Any) -> str:
    values: dict[str, Any] = {
        "subject": SOMEBODY,
        "kind": PrincipalKind.USER,
        "scopes": USER_SCOPES,
        "token_version": 0,
        "issued_at": NOW,
        "expires_seconds": SECONDS,
        "token_id": TOKEN_ID,
    }
    return tokens.sign(**(values | changes))


class TestTokens:
    @pytest.fixture
    def tokens(self) -> Tokens:
        return a_signer()

    @pytest.mark.parametrize(
        ("kind", "scopes", "version"),
        [
            (PrincipalKind.USER, USER_SCOPES, 0),
            (PrincipalKind.CLIENT, CLIENT_SCOPES, 7),
            (PrincipalKind.USER, frozenset[str](), 2**31 - 1),
        ],
    )
    def test_what_was_signed_is_read_back(
        self, tokens: Tokens, kind: PrincipalKind, scopes: frozenset[str], version: int
    ) -> None:
        claims = tokens.verify(
            signed(tokens, kind=kind, scopes=scopes, token_version=version), now=NOW
        )
        assert (claims.subject, claims.token_id) == (SOMEBODY, TOKEN_ID)
        assert (claims.kind, claims.scopes, claims.token_version) == (kind, scopes, version)
        assert (claims.issued_at, claims.expires_at) == (NOW, NOW + timedelta(seconds=SECONDS))

    def test_a_token_ends(self, tokens: Tokens) -> None:
        token = signed(tokens)
        tokens.verify(token, now=NOW + timedelta(seconds=SECONDS))  # Clocks may differ a little.
        with pytest.raises(InvalidToken):
            tokens.verify(token, now=NOW + timedelta(seconds=SECONDS + 31))

    def test_a_token_is_not_good_before_its_time(self, tokens: Tokens) -> None:
        with pytest.raises(InvalidToken):
            tokens.verify(signed(tokens), now=NOW - timedelta(seconds=31))

    @pytest.mark.parametrize(
        "others",
        [
            a_signer("x" * 40),
            a_signer(issuer="somebody"),
            a_signer(audience="something"),
            TokenSigner(
                keyring={"2": "k" * 40},
                active_kid="2",
                algorithm="HS256",
                issuer="ecs",
                audience="ecs-api",
            ),
        ],
        ids=["key", "issuer", "audience", "key-id"],
    )
    def test_tokens_of_others_are_not_believed(self, tokens: Tokens, others: Tokens) -> None:
        with pytest.raises(InvalidToken):
            tokens.verify(signed(others), now=NOW)

    @given(text=st.text(max_size=200) | st.from_regex(r"[\w-]{1,50}\.[\w-]{1,50}\.[\w-]{1,50}"))
    def test_any_text_is_refused_and_nothing_else_happens(self, text: str) -> None:
        with pytest.raises(InvalidToken):
            a_signer().verify(text, now=NOW)

    @given(data=st.data())
    def test_a_token_with_one_character_changed_is_refused(self, data: st.DataObject) -> None:
        tokens = a_signer()
        token = signed(tokens)
        place = data.draw(st.integers(0, len(token) - 1))
        other = data.draw(st.sampled_from("aZ09-_.=").filter(lambda c: c != token[place]))
        with pytest.raises(InvalidToken):
            tokens.verify(token[:place] + other + token[place + 1 :], now=NOW)


class TestPasswords:
    @pytest.fixture
    def passwords(self) -> Iterator[Passwords]:
        hasher = PasswordHasher(time_cost=1, memory_cost_kib=64)
        yield hasher
        hasher.close()

    async def test_a_password_fits_its_hash_and_no_other(self, passwords: Passwords) -> None:
        hashed = await passwords.hash("correct horse")
        assert await passwords.verify("correct horse", hashed)
        assert not await passwords.verify("correct horse ", hashed)
        assert not await passwords.verify("", hashed)

    async def test_the_hash_does_not_show_the_password_or_an_equal_one(
        self, passwords: Passwords
    ) -> None:
        first, second = [await passwords.hash("correct horse") for _ in range(2)]
        assert first != second
        assert "correct" not in first

    async def test_damaged_hashes_fit_nothing(self, passwords: Passwords) -> None:
        assert not await passwords.verify("correct horse", "nobody can log in with this")

    async def test_verifying_nothing_answers_nothing(self, passwords: Passwords) -> None:
        await passwords.verify_nothing("correct horse")

    async def test_older_parameters_are_noticed(self, passwords: Passwords) -> None:
        stronger = PasswordHasher(time_cost=2, memory_cost_kib=64)
        hashed = await passwords.hash("correct horse")
        assert not passwords.needs_update(hashed)
        assert stronger.needs_update(hashed)
        assert await stronger.verify("correct horse", hashed)
        stronger.close()


class TestClientSecrets:
    @pytest.fixture
    def secrets(self) -> ClientSecrets:
        return HmacSecrets(key="k" * 40)

    def test_a_secret_fits_its_fingerprint_and_no_other(self, secrets: ClientSecrets) -> None:
        mine, other = secrets.make(), secrets.make()
        assert secrets.matches(mine, secrets.fingerprint(mine))
        assert not secrets.matches(mine, secrets.fingerprint(other))
        assert not secrets.matches(mine[:-1], secrets.fingerprint(mine))

    def test_a_fingerprint_is_of_the_length_that_is_stored(self, secrets: ClientSecrets) -> None:
        assert len(secrets.fingerprint(secrets.make())) == 32

    def test_a_fingerprint_needs_the_key(self, secrets: ClientSecrets) -> None:
        secret = secrets.make()
        assert not replace(HmacSecrets(key="other" * 8)).matches(
            secret, secrets.fingerprint(secret)
        )

    def test_secrets_are_long_and_never_the_same(self, secrets: ClientSecrets) -> None:
        made = {secrets.make() for _ in range(100)}
        assert len(made) == 100
        assert min(map(len, made)) >= 43

    @given(secret=st.text())
    def test_any_text_has_a_fingerprint(self, secret: str) -> None:
        secrets = HmacSecrets(key="k" * 40)
        assert secrets.matches(secret, secrets.fingerprint(secret))
