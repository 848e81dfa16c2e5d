import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs.domain.principal import Claims, PrincipalKind
from ecs.integrations.exceptions import InvalidToken
from ecs.integrations.token_signer import TOKEN_CHARACTERS_MAX, TokenSigner
from tests.corpora import Issuer, bad_tokens, good_claims, signed

SECRET = "a test key that is long enough to be one"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
USER_ID = UUID("01890000-0000-7000-8000-00000000000a")
TOKEN_ID = UUID("01890000-0000-7000-8000-00000000000b")
ISSUER = Issuer(
    secret=SECRET,
    kid="1",
    issuer="ecs",
    audience="ecs-api",
    subject=str(USER_ID),
    now=int(NOW.timestamp()),
)
BAD = bad_tokens(ISSUER)


def signer(keyring: dict[str, str] | None = None, *, active_kid: str = "1") -> TokenSigner:
    return TokenSigner(
        keyring=keyring or {"1": SECRET},
        active_kid=active_kid,
        algorithm="HS256",
        issuer="ecs",
        audience="ecs-api",
    )


def token(by: TokenSigner | None = None, *, scopes: frozenset[str] = frozenset()) -> str:
    return (by or signer()).sign(
        subject=USER_ID,
        kind=PrincipalKind.USER,
        scopes=scopes,
        token_version=3,
        issued_at=NOW,
        expires_seconds=900,
        token_id=TOKEN_ID,
    )


def test_the_corpus_is_large() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("name", BAD)
def test_refuses_bad_tokens(name: str) -> None:
    with pytest.raises(InvalidToken):
        signer().verify(BAD[name], now=NOW)


def test_the_bad_tokens_differ_from_a_good_one() -> None:
    header = json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": "1"})

    claims = signer().verify(signed(ISSUER, header, json.dumps(good_claims(ISSUER))), now=NOW)

    assert claims.subject == USER_ID


def test_reads_back_what_it_signed() -> None:
    scopes = frozenset({"offers:read", "credit:apply"})

    assert signer().verify(token(scopes=scopes), now=NOW) == Claims(
        subject=USER_ID,
        kind=PrincipalKind.USER,
        scopes=scopes,
        token_version=3,
        token_id=TOKEN_ID,
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=900),
    )


@pytest.mark.parametrize(
    ("seconds", "good"), [(-31, False), (-30, True), (0, True), (929, True), (930, False)]
)
def test_holds_from_issue_to_expiry_with_the_leeway(*, seconds: int, good: bool) -> None:
    moment = NOW + timedelta(seconds=seconds)
    if good:
        signer().verify(token(), now=moment)
    else:
        with pytest.raises(InvalidToken):
            signer().verify(token(), now=moment)


def test_a_retired_key_ends_its_tokens_and_a_kept_one_does_not() -> None:
    old = token()
    both = signer({"1": SECRET, "2": SECRET[::-1]}, active_kid="2")
    new_only = signer({"2": SECRET[::-1]}, active_kid="2")

    both.verify(old, now=NOW)
    new_only.verify(token(both), now=NOW)
    with pytest.raises(InvalidToken):
        new_only.verify(old, now=NOW)


def test_a_key_that_looks_like_json_is_still_a_key() -> None:
    odd = signer({"1": '{"keys": []}'})

    assert odd.verify(token(odd), now=NOW).subject == USER_ID


@pytest.mark.parametrize("keyring", [{"1": ""}, {"2": SECRET}])
def test_cannot_be_made_without_a_key(keyring: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="ring"):
        signer(keyring)


@given(text=st.text(max_size=TOKEN_CHARACTERS_MAX + 10))
def test_text_is_refused_and_never_breaks_it(text: str) -> None:
    with pytest.raises(InvalidToken):
        signer().verify(text, now=NOW)


@settings(max_examples=200)
@given(data=st.data())
def test_every_changed_character_is_noticed(data: st.DataObject) -> None:
    good = token()
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.characters().filter(lambda character: character != good[place]))

    with pytest.raises(InvalidToken):
        signer().verify(good[:place] + other + good[place + 1 :], now=NOW)
