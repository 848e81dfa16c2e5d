"""Entries of the audit, written as the services do and as an intruder would."""

import json
from base64 import b64encode
from typing import Any, Final
from uuid import uuid4

from ecs.bootstrap import Application
from ecs.domain.audit import AuditAction, AuditEntry, Verification
from tests import builders
from tests.builders import Database

INSERT: Final = (
    "INSERT INTO audit_log (actor, service, action, application_id)"
    " VALUES ('system', 'api', 'ENCRYPT', gen_random_uuid()) RETURNING id"
)
# What only the owner of the database can do, and only on purpose.
INSERT_AT: Final = (
    "INSERT INTO audit_log (id, actor, service, action, application_id) OVERRIDING SYSTEM VALUE"
    " VALUES ($1, 'system', 'api', 'ENCRYPT', gen_random_uuid())"
)


def entries(count: int) -> list[AuditEntry]:
    return [
        AuditEntry(
            actor=f"user:{uuid4()}",
            service="api",
            action=AuditAction.ENCRYPT,
            application_id=uuid4(),
            request_id=None if number % 2 else f"req-{number}",
        )
        for number in range(count)
    ]


async def note(ecs: Application, count: int) -> None:
    """Write so many entries in one unit of work."""
    async with ecs.audit.unit_of_work() as uow:
        await uow.audit.add(entries(count))
        await uow.commit()


async def seal_all(ecs: Application) -> None:
    assert await ecs.audit.seal() is None


async def verified(ecs: Application) -> Verification:
    return await ecs.audit.verify(on_seal=lambda _done, _total: None)


async def sealed_ids(owner: Any) -> list[int]:
    """The ids under all seals, in the order of the seals."""
    rows = await owner.fetch("SELECT row_ids FROM audit_seals ORDER BY id")
    return [row_id for row in rows for row_id in row["row_ids"]]


async def stored_ids(owner: Any) -> list[int]:
    return [row["id"] for row in await owner.fetch("SELECT id FROM audit_log ORDER BY id")]


def environment_for(database: Database, redis_url: str) -> dict[str, str]:
    """What the sealer and the command read, as an operator sets it."""
    return {
        "ENVIRONMENT": "test",
        "DB_URL": database.app_url,
        "DB_OWNER_URL": database.owner_url,
        "REDIS_URL": redis_url,
        "RABBITMQ_PASS": "nobody listens",
        "JWT_SECRET": builders.JWT_SECRET,
        "CLIENT_SECRET_KEY": builders.CLIENT_SECRET_KEY,
        "BLIND_INDEX_KEY": builders.BLIND_INDEX_KEY,
        "AUDIT_SEAL_KEY": builders.AUDIT_SEAL_KEY,
        "IDEMPOTENCY_KEY": builders.IDEMPOTENCY_KEY,
        "BUREAU_KEY": builders.BUREAU_KEY,
        "ENCRYPTION_KEYS": json.dumps({"1": b64encode(builders.ENCRYPTION_KEY).decode()}),
        "ENCRYPTION_ACTIVE_KEY_ID": "1",
    }
