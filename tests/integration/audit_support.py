"""Entries of the audit, written as the services do and as an intruder would."""

from typing import Any, Final
from uuid import uuid4

from ecs.bootstrap import Application
from ecs.domain.audit import AuditAction, AuditEntry, Verification

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
