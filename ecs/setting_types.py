"""The kinds of values that settings have, and the rule of each in the words of a complaint."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ecs.domain.key_id import is_key_id
from ecs.domain.prequalification.pan import canonical
from ecs.integrations.mail.sender import sender_address

KEY_BYTES_MIN: Final = 32
PASSWORD_BYTES_MIN: Final = 12
DISTINCT_CHARACTERS_MIN: Final = 8
# What people paste from examples and tutorials; refused in production whatever its length.
KNOWN_DEFAULTS: Final = (
    "change",
    "default",
    "develop",
    "example",
    "only-for",
    "password",
    "secret",
    "your-",
)
ASYNC_DRIVER: Final = "postgresql+asyncpg://"
# Whether PostgreSQL is spoken to over TLS, in libpq's words: psql and pg_dump take the same URL.
TLS_QUERIES: Final = frozenset(
    f"sslmode={mode}"
    for mode in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
)
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
MAKE_ONE: Final = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
MAKE_KEYRING: Final = (
    "python3 -c 'import base64, json, secrets;"
    ' print(json.dumps({"1": base64.b64encode(secrets.token_bytes(32)).decode()}))\''
)
# Whether what anybody could guess is refused; true while a production process reads its settings.
_STRICT: Final[ContextVar[bool]] = ContextVar("strict", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a variable must be, where its type does not say it, and an example."""

    must: str
    example: str = ""


@contextmanager
def strict(is_production: bool) -> Iterator[None]:  # noqa: FBT001  (its one argument)
    """Refuse what anybody could guess, in this block, if this is production."""
    token = _STRICT.set(is_production)
    try:
        yield
    finally:
        _STRICT.reset(token)


def rule_of(field: FieldInfo) -> Rule:
    """Return a variable's rule: the one that is written down, or what its type and bounds say."""
    written = next((item for item in _metadata(field) if isinstance(item, Rule)), None)
    must = written.must if written else _must(field)
    default = str(field.default).lower() if field.annotation is bool else str(field.default)
    return Rule(must=must, example=written.example if written and written.example else default)


def _metadata(field: FieldInfo) -> list[Any]:
    nested = [item for kind in get_args(field.annotation) for item in _annotations(kind)]
    return [*field.metadata, *nested]


def _annotations(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__metadata__", ())


def _must(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        *others, last = map(str, get_args(field.annotation))
        return f"{', '.join(others)} or {last}" if others else last
    bounds = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("ge", "le")
        if hasattr(item, name)
    }
    return f"a whole number from {bounds['ge']} to {bounds['le']}"


def _refuse_guessable(secret: str, *, bytes_min: int) -> None:
    if not secret:
        raise PydanticCustomError("weak", "it is empty")
    if len(secret.encode(errors="surrogateescape")) < bytes_min:
        raise PydanticCustomError("weak", "it is shorter than {least} bytes", {"least": bytes_min})
    if len(set(secret)) < DISTINCT_CHARACTERS_MIN:
        raise PydanticCustomError("weak", "it is too regular")
    _refuse_known(secret)


def _refuse_known(secret: str) -> None:
    if _is_known(secret):
        raise PydanticCustomError("weak", "it is a known default")


def _is_known(secret: str) -> bool:
    return any(word in secret.lower() for word in KNOWN_DEFAULTS)


def _key(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise PydanticCustomError("weak", "it is empty")
    if _STRICT.get():
        _refuse_guessable(secret.get_secret_value(), bytes_min=KEY_BYTES_MIN)
    return secret


def _password(secret: SecretStr) -> SecretStr:
    if _STRICT.get():
        _refuse_guessable(secret.get_secret_value(), bytes_min=PASSWORD_BYTES_MIN)
    return secret


def _split(url: str, *, schemes: tuple[str, ...]) -> SplitResult:
    """Return the parts of a URL; what the library says about a wrong one may quote it."""
    refusal = PydanticCustomError("url", "it is no such URL")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise refusal from None
    if not usable or not url.isprintable() or " " in url:
        raise refusal
    return parts


def _refuse_guessable_password(parts: SplitResult) -> None:
    _refuse_password(parts, partial(_refuse_guessable, bytes_min=PASSWORD_BYTES_MIN))


def _refuse_password(parts: SplitResult, refuse: Callable[[str], None]) -> None:
    if _STRICT.get():
        try:
            refuse(unquote(parts.password or ""))
        except PydanticCustomError as weakness:
            reason = f"its password: {weakness.message()}"
            raise PydanticCustomError("weak", "{reason}", {"reason": reason}) from None


def _database_url(url: str) -> str:
    parts = _split(url, schemes=("postgres", "postgresql", "postgresql+asyncpg"))
    if not parts.path.strip("/"):
        raise PydanticCustomError("url", "it names no database")
    if parts.fragment or (parts.query and parts.query not in TLS_QUERIES):
        raise PydanticCustomError("url", "only ?sslmode=<mode> may follow the database")
    _refuse_guessable_password(parts)
    return ASYNC_DRIVER + url.partition("://")[2]


def _redis_url(url: str) -> str:
    parts = _split(url, schemes=("redis", "rediss"))
    if not (parts.path.strip("/") or "0").isdecimal():
        raise PydanticCustomError("url", "its database is not a number")
    _refuse_guessable_password(parts)
    return url


def _smtp_url(url: str) -> str:
    if not url:
        return url
    parts = _split(url, schemes=("smtp", "smtp+starttls", "smtps"))
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise PydanticCustomError("url", "nothing may follow the port")
    if parts.username is not None:
        _refuse_careless_login(parts)
    return url


def _refuse_careless_login(parts: SplitResult) -> None:
    if not (parts.username and parts.password):
        raise PydanticCustomError("url", "it is half a login")
    if _STRICT.get() and parts.scheme == "smtp" and parts.hostname not in LOOPBACK:
        raise PydanticCustomError("weak", "it sends a password in the clear")
    # How long it is, is the mail server's choice, not ours.
    _refuse_password(parts, _refuse_known)


def _sentry_dsn(dsn: str) -> str:
    if not dsn:
        return dsn
    parts = _split(dsn, schemes=("http", "https"))
    if not parts.username or not parts.path.strip("/"):
        raise PydanticCustomError("url", "it names no key, or no project")
    return dsn


def _collector_url(url: str) -> str:
    if not url:
        return url
    parts = _split(url, schemes=("http", "https"))
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise PydanticCustomError("url", "it is more than a scheme, a host and a port")
    return url


def _mail_address(sender: str) -> str:
    try:
        sender_address(sender)
    except ValueError:
        raise PydanticCustomError("address", "it is no such address") from None
    return sender


def _debug(debug: bool) -> bool:  # noqa: FBT001  (pydantic calls it)
    if debug and _STRICT.get():
        raise PydanticCustomError("weak", "this is production")
    return debug


def _keyring(text: SecretStr) -> SecretStr:
    """Check the JSON of a keyring; what is wrong is said without quoting any of it."""
    try:
        keys = read_keyring(text.get_secret_value())
    except ValueError:
        raise PydanticCustomError("weak", "it is no such JSON") from None
    if len(set(keys.values())) < len(keys):
        raise PydanticCustomError("weak", "two ids have the same key")
    if _STRICT.get():
        for key in keys.values():
            _refuse_guessable_bytes(key)
    return text


def _refuse_guessable_bytes(key: bytes) -> None:
    if len(set(key)) < DISTINCT_CHARACTERS_MIN:
        raise PydanticCustomError("weak", "a key is too regular")
    if _is_known(key.decode("latin-1")):
        raise PydanticCustomError("weak", "a key is a known default")


def read_keyring(text: str) -> dict[str, bytes]:
    """Return key ids and 32-byte keys, or raise ``ValueError``, which says nothing of them."""
    refusal = ValueError("no keyring")
    try:
        written: list[tuple[str, str]] = json.loads(text, object_pairs_hook=list)
        keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in written}
        are_ids = all(is_key_id(key_id) for key_id in keys)
    except (ValueError, TypeError, RecursionError):
        raise refusal from None
    # An id that stands there twice is a mistake: one of its keys would silently be lost.
    if not are_ids or len(keys) < len(written):
        raise refusal
    if {len(key) for key in keys.values()} != {KEY_BYTES_MIN}:
        raise refusal
    return keys


def _key_id(key_id: str) -> str:
    if not is_key_id(key_id):
        raise PydanticCustomError("weak", "it is no id of a key")
    return key_id


def _test_pans(text: str) -> str:
    if text and _STRICT.get():
        raise PydanticCustomError("weak", "this is production")
    if any(canonical(pan) != pan for pan in filter(None, text.split(","))):
        raise PydanticCustomError("weak", "one of them has another form")
    return text


def _simulated(mode: str) -> str:
    if mode != "answers" and _STRICT.get():
        raise PydanticCustomError("weak", "this is production")
    return mode


Keyring = Annotated[
    SecretStr,
    AfterValidator(_keyring),
    Rule(
        must=(
            "a JSON object of key ids (1 to 32 letters, digits, dots, - or _) and keys (32 random"
            " bytes in base64)"
        ),
        example=f"what this prints: {MAKE_KEYRING}",
    ),
]
KeyId = Annotated[
    str,
    AfterValidator(_key_id),
    Rule(must="the id of the key in ENCRYPTION_KEYS that encrypts", example="1"),
]
TestPans = Annotated[
    str,
    AfterValidator(_test_pans),
    Rule(
        must="PANs with commas between them, and empty in production",
        example="ABCDE1234F,FGHIJ5678K",
    ),
]
Simulated = Annotated[
    Literal["answers", "refuses", "hangs"],
    AfterValidator(_simulated),
    Rule(must="answers, refuses or hangs, and answers in production"),
]
Key = Annotated[
    SecretStr,
    AfterValidator(_key),
    Rule(must=f"{KEY_BYTES_MIN} random bytes or more", example=f"what this prints: {MAKE_ONE}"),
]
Password = Annotated[
    SecretStr,
    AfterValidator(_password),
    Rule(
        must=f"{PASSWORD_BYTES_MIN} bytes or more that nobody guesses",
        example=f"what this prints: {MAKE_ONE}",
    ),
]
DatabaseUrl = Annotated[
    str,
    AfterValidator(_database_url),
    Rule(
        must="the URL of a PostgreSQL database, with a password that nobody guesses",
        example="postgresql://ecs_app:<percent-encoded>@127.0.0.1:5432/ecs",
    ),
]
OwnerUrl = Annotated[
    DatabaseUrl | None,
    Rule(
        must="the same for the database's owner, who may migrate it",
        example="postgresql://ecs_owner:<percent-encoded>@127.0.0.1:5432/ecs",
    ),
]
RedisUrl = Annotated[
    str,
    AfterValidator(_redis_url),
    Rule(
        must="the URL of a Redis database, with a password that nobody guesses",
        example="redis://:<percent-encoded>@127.0.0.1:6379/0",
    ),
]
SmtpUrl = Annotated[
    str,
    AfterValidator(_smtp_url),
    Rule(
        must=(
            "empty, which turns e-mail off, or a mail server's URL: smtp://, smtp+starttls:// or"
            " smtps://, with a login only over TLS"
        ),
        example="smtp+starttls://ecs:<percent-encoded>@mail.example.com:587",
    ),
]
MailAddress = Annotated[
    str,
    AfterValidator(_mail_address),
    Rule(must="an ASCII address, alone or in <> behind a short name"),
]
SentryDsn = Annotated[
    str,
    AfterValidator(_sentry_dsn),
    Rule(
        must="empty, which reports no errors, or a project's DSN: https://<key>@<host>/<project>",
        example="https://<key>@sentry.example.com/1",
    ),
]
CollectorUrl = Annotated[
    str,
    AfterValidator(_collector_url),
    Rule(
        must="empty, which traces nothing, or a collector's URL for OTLP over HTTP, without a path",
        example="http://127.0.0.1:4318",
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=200), Rule(must="1 to 200 characters")]
Debug = Annotated[bool, AfterValidator(_debug), Rule(must="true or false, and false in production")]
