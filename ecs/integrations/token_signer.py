"""
Access tokens: JSON web tokens by python-jose, behind a wrapper that believes nothing.

python-jose 3.5.0 accepts tokens without ``exp`` or ``aud``, unknown ``crit`` headers and junk in
the signature, and a deeply nested header ends in a RecursionError. So the form of a token is
checked before the library sees it, the library checks the signature alone, and the claims are
checked here, against a clock that is an argument.
"""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import jiter
from jose import jwk, jws
from jose.backends.base import Key

from ecs.domain.principal import Claims, PrincipalKind
from ecs.integrations.exceptions import InvalidToken

TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  (RFC 9068's media type, no secret)
TOKEN_CHARACTERS_MAX: Final = 4096
HEADER_BYTES_MAX: Final = 512
HEADER_NAMES: Final = frozenset({"alg", "typ", "kid"})
SEGMENTS: Final = 3
TIMESTAMP_MAX: Final = 253_402_300_799  # the last second of the year 9999
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 section 3.3


class TokenSigner:
    """Signs with the active key; verifies with every key of the ring, one algorithm only."""

    def __init__(
        self,
        *,
        keyring: Mapping[str, str],
        active_kid: str,
        algorithm: str,
        issuer: str,
        audience: str,
        leeway_seconds: int = 30,
    ) -> None:
        if active_kid not in keyring or not all(keyring.values()):
            raise ValueError("the active key must be in the ring and no key may be empty")
        # Key objects: given text, the library would try to read it as a JSON key set first.
        self._keys: Mapping[str, Key] = MappingProxyType(
            {kid: jwk.construct(secret.encode(), algorithm) for kid, secret in keyring.items()}
        )
        self._active_kid = active_kid
        self._algorithm = algorithm
        self._issuer = issuer
        self._audience = audience
        self._leeway_seconds = leeway_seconds

    def sign(  # noqa: PLR0913  (the claims)
        self,
        *,
        subject: UUID,
        kind: PrincipalKind,
        scopes: frozenset[str],
        token_version: int,
        issued_at: datetime,
        expires_seconds: int,
        token_id: UUID,
    ) -> str:
        """Return a signed access token that expires ``expires_seconds`` after ``issued_at``."""
        now = int(issued_at.timestamp())
        times = {"iat": now, "nbf": now, "exp": now + expires_seconds}
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(subject),
            "jti": str(token_id),
            "kind": kind.value,
            "scope": " ".join(sorted(scopes)),
            "tv": token_version,
            **times,
        }
        headers = {"kid": self._active_kid, "typ": TOKEN_TYPE}
        key = self._keys[self._active_kid]
        return str(jws.sign(claims, key, headers=headers, algorithm=self._algorithm))

    def verify(self, token: str, *, now: datetime) -> Claims:
        """Return what a good token says; raise ``InvalidToken`` for every other one."""
        try:
            return self._verify(token, int(now.timestamp()))
        except Exception:  # noqa: BLE001  (whatever a hostile token breaks, the answer is the same)
            raise InvalidToken from None

    def _verify(self, token: str, now: int) -> Claims:
        key = self._key_of(_header_of(token))
        payload = jws.verify(token, key, [self._algorithm])
        claims = _json_object(payload)
        self._check_parties(claims)
        self._check_times(claims, now)
        return _read(claims)

    def _key_of(self, header: Mapping[str, Any]) -> Any:
        _require(frozenset(header) == HEADER_NAMES)
        _require(header["typ"] == TOKEN_TYPE)
        _require(header["alg"] == self._algorithm)
        _require(isinstance(header["kid"], str))
        return self._keys[header["kid"]]

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        _require(claims["iss"] == self._issuer)
        _require(claims["aud"] == self._audience)  # A list is refused: one token, one audience.

    def _check_times(self, claims: Mapping[str, Any], now: int) -> None:
        issued, starts, expires = (_timestamp(claims[name]) for name in ("iat", "nbf", "exp"))
        _require(issued <= now + self._leeway_seconds)
        _require(starts <= now + self._leeway_seconds)
        _require(now < expires + self._leeway_seconds)
        _require(issued < expires)


def _require(condition: bool) -> None:  # noqa: FBT001  (an assertion that -O cannot remove)
    if not condition:
        raise InvalidToken


def _header_of(token: str) -> Mapping[str, Any]:
    """Return the header of a token whose three segments are canonical base64url."""
    _require(len(token) <= TOKEN_CHARACTERS_MAX)
    segments = token.split(".")
    _require(len(segments) == SEGMENTS)
    header, _, _ = [_canonical(segment) for segment in segments]
    _require(len(header) <= HEADER_BYTES_MAX)
    return _json_object(header)


def _canonical(segment: str) -> bytes:
    """Return the bytes of a segment that is their only possible spelling."""
    _require(_SEGMENT.fullmatch(segment) is not None)
    decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    _require(base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == segment)
    return decoded


def _json_object(text: bytes) -> Mapping[str, Any]:
    value = jiter.from_json(text, allow_inf_nan=False, catch_duplicate_keys=True)
    _require(isinstance(value, dict))
    return MappingProxyType(value)


def _timestamp(value: object) -> int:
    _require(type(value) is int)
    assert isinstance(value, int)
    _require(0 <= value <= TIMESTAMP_MAX)
    return value


def _uuid(value: object) -> UUID:
    _require(isinstance(value, str))
    uuid = UUID(str(value))
    _require(str(uuid) == value)
    return uuid


def _scopes(value: object) -> frozenset[str]:
    _require(isinstance(value, str))
    scopes = str(value).split(" ") if value else []
    _require(all(_SCOPE.fullmatch(scope) for scope in scopes))
    return frozenset(scopes)


def _read(claims: Mapping[str, Any]) -> Claims:
    version = claims["tv"]
    _require(type(version) is int and 0 <= version < 2**31)
    return Claims(
        subject=_uuid(claims["sub"]),
        kind=PrincipalKind(claims["kind"]),
        scopes=_scopes(claims["scope"]),
        token_version=version,
        token_id=_uuid(claims["jti"]),
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )
