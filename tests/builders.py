"""Settings, people, clients, months of money and a served application for the tests."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import asyncpg
import httpx
from pydantic import SecretStr

from ecs.api.app import create_app
from ecs.bootstrap import Application
from ecs.config import (
    BureauSettings,
    CreditSettings,
    EncryptionSettings,
    JwtSettings,
    RabbitSettings,
    Settings,
)
from ecs.domain.credit.agreements import CreditOffer
from ecs.domain.credit.history import Category
from ecs.domain.people import CLIENT_SCOPES, USER_SCOPES
from ecs.domain.principal import PrincipalKind
from ecs.domain.transactions import IncomingTransaction, Verdict
from tests.unit.domain.credit import people

PASSWORD: Final = "correct horse battery staple"
JWT_SECRET: Final = "tests-9f3b1c77d2e84a56b0c1-signing-key"
CLIENT_SECRET_KEY: Final = "tests-4d8e2a6c90b7413f8a5e-hmac-key"
BLIND_INDEX_KEY: Final = "tests-1a7c5e93b2d84f60c7e9-blind-index"
AUDIT_SEAL_KEY: Final = "tests-6b0d4f82a1c93e75d8f2-audit-seal"
IDEMPOTENCY_KEY: Final = "tests-3e9a1d75c6b2480f4a7e-idempotency"
BUREAU_KEY: Final = "tests-8c2f6a0e9d5b4713b1a6-bureau-score"
ENCRYPTION_KEY: Final = bytes(range(32))
TEST_PANS: Final = ("ABCDE1234F", "FGHIJ5678K")
CURRENCY: Final = "BRL"
HOUR: Final = timedelta(hours=1)
PURPOSE: Final = "emotion.credit_decision"
EVENT_COLUMNS: Final = (
    "client_id",
    "event_id",
    "user_id",
    "captured_at",
    "emotion_primary",
    "emotion_confidence",
    "arousal",
    "valence",
    "source",
)
# Nobody listens on the reserved port 1: what a test does not start is down at once.
NOBODY: Final = RabbitSettings(host="127.0.0.1", port=1)

Row = people.Row
MoodRow = people.MoodRow


class Database(Protocol):
    """A fresh database of one test."""

    @property
    def app_url(self) -> str: ...
    @property
    def owner_url(self) -> str: ...


def settings_for(database: Database, redis_url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "environment": "test",
        "db_url": database.app_url,
        "db_owner_url": database.owner_url,
        "redis_url": redis_url,
        "client_secret_key": SecretStr(CLIENT_SECRET_KEY),
        "blind_index_key": SecretStr(BLIND_INDEX_KEY),
        "audit_seal_key": SecretStr(AUDIT_SEAL_KEY),
        "idempotency_key": SecretStr(IDEMPOTENCY_KEY),
        "prequalification_test_pans": ",".join(TEST_PANS),
        "encryption": EncryptionSettings(
            keys=SecretStr(json.dumps({"1": b64encode(ENCRYPTION_KEY).decode()})), active_key_id="1"
        ),
        "bureau": BureauSettings(key=SecretStr(BUREAU_KEY)),
        "jwt": JwtSettings(secret=SecretStr(JWT_SECRET)),
        "credit": CreditSettings(currency=CURRENCY),
        "rabbitmq": NOBODY,
    }
    return Settings(**(values | changes))


def environment_for(database: Database, redis_url: str) -> dict[str, str]:
    """Return the same settings as a process reads them, as an operator sets them."""
    return {
        "ENVIRONMENT": "test",
        "DB_URL": database.app_url,
        "DB_OWNER_URL": database.owner_url,
        "REDIS_URL": redis_url,
        "RABBITMQ_PASS": "nobody listens",
        "JWT_SECRET": JWT_SECRET,
        "CLIENT_SECRET_KEY": CLIENT_SECRET_KEY,
        "BLIND_INDEX_KEY": BLIND_INDEX_KEY,
        "AUDIT_SEAL_KEY": AUDIT_SEAL_KEY,
        "IDEMPOTENCY_KEY": IDEMPOTENCY_KEY,
        "BUREAU_KEY": BUREAU_KEY,
        "ENCRYPTION_KEYS": json.dumps({"1": b64encode(ENCRYPTION_KEY).decode()}),
        "ENCRYPTION_ACTIVE_KEY_ID": "1",
    }


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A plain connection, outside of every unit of work."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP application in this process, without a socket."""
    app = create_app(settings)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app(scope | {"state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ecs.test") as client:
            yield client


async def a_user(
    database: Database,
    *,
    email: str | None = None,
    full_name: str = "Maria Souza",
    password_hash: str = "nobody can log in with this",
) -> UUID:
    """Store a person directly: no password is hashed, so this is cheap."""
    user_id = uuid4()
    async with connected(database.owner_url) as owner:
        await owner.execute(
            "INSERT INTO users (id, email, full_name, password_hash) VALUES ($1, $2, $3, $4)",
            user_id,
            email or f"{user_id}@example.com",
            full_name,
            password_hash,
        )
    return user_id


async def a_client(
    database: Database,
    *,
    name: str = "feed",
    scopes: Iterable[str] = CLIENT_SCOPES,
    secret_hmac: bytes = bytes(32),
) -> UUID:
    """Store a client program directly; nobody knows its secret unless its fingerprint is given."""
    client_id = uuid4()
    async with connected(database.owner_url) as owner:
        await owner.execute(
            "INSERT INTO clients (id, name, secret_hmac, scopes) VALUES ($1, $2, $3, $4)",
            client_id,
            name,
            secret_hmac,
            sorted(scopes),
        )
    return client_id


async def disable(database: Database, user_id: UUID) -> None:
    async with connected(database.owner_url) as owner:
        await owner.execute("UPDATE users SET disabled_at = now() WHERE id = $1", user_id)


async def a_consent(database: Database, user_id: UUID, client_id: UUID) -> UUID:
    """Store a grant directly, behind whatever was granted and withdrawn before; return its id."""
    consent_id = uuid4()
    await _change_consent(database, user_id, client_id, change_id=consent_id, consent_id=consent_id)
    return consent_id


async def withdraw(database: Database, user_id: UUID, client_id: UUID, *, consent_id: UUID) -> None:
    """Store the withdrawal of a standing consent directly."""
    await _change_consent(database, user_id, client_id, change_id=uuid4(), consent_id=consent_id)


async def _change_consent(
    database: Database, user_id: UUID, client_id: UUID, *, change_id: UUID, consent_id: UUID
) -> None:
    """Append a change; the ledger itself refuses two grants or two withdrawals in a row."""
    granted_text = ("en", "2026-01-01", "0" * 64) if change_id == consent_id else (None, None, None)
    async with connected(database.owner_url) as owner:
        await owner.execute(
            "INSERT INTO consent_changes (id, consent_id, user_id, client_id, purpose, revision,"
            " locale, text_version, text_sha256) SELECT $1, $2, $3, $4, $5,"
            " coalesce(max(revision), 0) + 1, $6, $7, $8 FROM consent_changes"
            " WHERE user_id = $3 AND client_id = $4 AND purpose = $5",
            *(change_id, consent_id, user_id, client_id, PURPOSE, *granted_text),
        )


async def emotional_events(
    database: Database,
    user_id: UUID,
    client_id: UUID,
    rows: Iterable[MoodRow],
    *,
    now: datetime | None = None,
) -> list[UUID]:
    """Store rows of (age before ``now``, emotion, confidence, valence) directly; return the ids."""
    moment = now or datetime.now(UTC)
    records = [
        (client_id, uuid4(), user_id, moment - age, emotion, confidence, 0.0, valence, "unknown")
        for age, emotion, confidence, valence in rows
    ]
    async with connected(database.owner_url) as owner:
        await owner.copy_records_to_table(
            "emotional_events", records=records, columns=EVENT_COLUMNS
        )
    return [record[1] for record in records]


def token_for(
    ecs: Application,
    subject: UUID,
    *,
    kind: PrincipalKind = PrincipalKind.USER,
    scopes: frozenset[str] | None = None,
    version: int = 0,
) -> str:
    """An access token as ``/token`` would hand it out, without a login."""
    everything = USER_SCOPES if kind is PrincipalKind.USER else CLIENT_SCOPES
    return ecs.auth.tokens.sign(
        subject=subject,
        kind=kind,
        scopes=everything if scopes is None else scopes,
        token_version=version,
        issued_at=datetime.now(UTC),
        expires_seconds=900,
        token_id=uuid4(),
    )


def transactions(rows: Iterable[Row], user_id: UUID, now: datetime) -> list[IncomingTransaction]:
    """Rows of (age before ``now``, signed cents, category) as one batch; ids follow from both."""
    return [
        IncomingTransaction(
            index=index,
            transaction_id=uuid5(NAMESPACE_URL, f"{user_id}:{index}"),
            user_id=user_id,
            occurred_at=now - age,
            amount_minor=amount_minor,
            currency=CURRENCY,
            category=category,
        )
        for index, (age, amount_minor, category) in enumerate(rows)
    ]


def good_month(user_id: UUID, now: datetime) -> list[IncomingTransaction]:
    """60 transactions, all well inside of the window, that earn an offer."""
    rows = [(age - HOUR, amount, category) for age, amount, category in people.good_month()]
    return transactions(rows, user_id, now)


def bad_month(user_id: UUID, now: datetime) -> list[IncomingTransaction]:
    """A month that is judged and denied: fees, gambling and debts above a small income."""
    day = people.DAY
    rows: list[Row] = [(20 * day, 100_000, Category.INCOME)]
    rows += [(age * day, -9_000, Category.GAMBLING) for age in range(1, 15)]
    rows += [(age * day, -3_000, Category.FEE) for age in range(1, 15)]
    rows += [(age * day, -20_000, Category.DEBT_PAYMENT) for age in range(1, 10)]
    return transactions(rows, user_id, now)


def thin_month(user_id: UUID, now: datetime) -> list[IncomingTransaction]:
    """Too little to judge by: the application is referred."""
    rows: list[Row] = [(day * people.DAY, 10_000, Category.INCOME) for day in range(1, 4)]
    return transactions(rows, user_id, now)


async def feed(
    ecs: Application, database: Database, items: list[IncomingTransaction]
) -> dict[int, Verdict]:
    """Ingest ``items`` by a client of their own."""
    return await ecs.transactions.ingest(items, client_id=await a_client(database))


async def an_applicant(ecs: Application, database: Database) -> UUID:
    """A person whose next application earns an offer."""
    user_id = await a_user(database)
    await feed(ecs, database, good_month(user_id, datetime.now(UTC)))
    return user_id


async def an_offer(ecs: Application, database: Database) -> CreditOffer:
    """An open offer of a new person."""
    user_id = await an_applicant(ecs, database)
    offer, _ = await ecs.credit.apply(user_id=user_id, request_id="req-offer")
    assert offer.status == "offered", offer
    return offer


async def an_acceptance(ecs: Application, database: Database) -> tuple[CreditOffer, UUID]:
    """An offer that is being accepted, and the job that is still to open its account."""
    offer = await an_offer(ecs, database)
    job_id = await ecs.acceptance.accept_offer(
        user_id=offer.user_id, offer_id=offer.id, request_id="req-accept"
    )
    return offer, job_id


async def lapse(database: Database, offer_id: UUID) -> None:
    """Let an offer's time be over."""
    async with connected(database.owner_url) as owner:
        await owner.execute(
            "UPDATE credit_offers SET created_at = now() - interval '2 hours',"
            " expires_at = now() - interval '1 hour' WHERE id = $1",
            offer_id,
        )
