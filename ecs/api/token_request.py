"""Token requests as RFC 6749 writes them: a form, and perhaps HTTP Basic beside it."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID

from fastapi import Request

from ecs.api.error_handlers import CLIENT_CHALLENGE
from ecs.api.exceptions import TokenRequestError
from ecs.api.media_type import media_type_of
from ecs.wire.forms import parse_uuid

FORM: Final = "application/x-www-form-urlencoded"
FIELDS_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordGrant:
    """A person asks for a token."""

    username: str = field(repr=False)
    password: str = field(repr=False)
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientGrant:
    """A client program asks for a token; an id that is no id belongs to nobody."""

    client_id: UUID | None
    client_secret: str = field(repr=False)
    scopes: frozenset[str] | None


async def read_token_request(request: Request) -> PasswordGrant | ClientGrant:
    """Return what is asked for, or raise ``TokenRequestError`` in the words of the RFC."""
    form = _form(request.headers.get("content-type", ""), await request.body())
    scopes = frozenset(form["scope"].split()) if form.get("scope") else None
    match form.get("grant_type"):
        case "password":
            return PasswordGrant(
                username=_required(form, "username"),
                password=_required(form, "password"),
                scopes=scopes,
            )
        case "client_credentials":
            client_id, secret = _client(request, form)
            return ClientGrant(client_id=_id(client_id), client_secret=secret, scopes=scopes)
        case None:
            raise TokenRequestError("invalid_request", "grant_type is missing")
        case _:
            raise TokenRequestError(
                "unsupported_grant_type", "grant_type must be password or client_credentials"
            )


def _form(content_type: str, body: bytes) -> dict[str, str]:
    if media_type_of(content_type)[0] != FORM:
        raise TokenRequestError("invalid_request", f"send a form: Content-Type {FORM}")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), max_num_fields=FIELDS_MAX, encoding="utf-8", errors="strict"
        )
    except ValueError:
        raise TokenRequestError("invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise TokenRequestError("invalid_request", "a parameter is there twice")
    if any("\0" in value for value in form.values()):  # The database cannot hold it in a text.
        raise TokenRequestError("invalid_request", "a parameter holds the character NUL")
    return form


def _required(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise TokenRequestError("invalid_request", f"{name} is missing")
    return form[name]


def _client(request: Request, form: dict[str, str]) -> tuple[str, str]:
    header = request.headers.get("authorization")
    if header is None:
        return _required(form, "client_id"), _required(form, "client_secret")
    if "client_id" in form or "client_secret" in form:
        raise TokenRequestError(
            "invalid_request", "send the client's credentials in the form or by Basic, not both"
        )
    return _basic(header)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        decoded = ""
    client_id, colon, secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise TokenRequestError(
            "invalid_client",
            "the Authorization header is not HTTP Basic",
            status=401,
            headers=CLIENT_CHALLENGE,
        )
    return unquote_plus(client_id), unquote_plus(secret)


def _id(text: str) -> UUID | None:
    try:
        return parse_uuid(text)
    except ValueError:
        return None
