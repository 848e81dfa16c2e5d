"""A COMMIT that fails is a failure: nothing is answered, nothing is stored."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from ecs.bootstrap import Application
from ecs.services.exceptions import RepositoryError
from tests.builders import (
    Database,
    a_client,
    an_acceptance,
    an_applicant,
    an_offer,
    good_month,
)

UseCase = Callable[[Application], Awaitable[object]]
TABLES = (
    "credit_accounts",
    "credit_offers",
    "jobs",
    "notifications",
    "outbox_events",
    "processed_messages",
    "risk_assessments",
    "transactions",
    "users",
)
REFUSE = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'not committed'; END $$"
)


async def refuse_commits(owner: Any, *tables: str) -> None:
    """Every change of these tables goes well until its COMMIT."""
    await owner.execute(REFUSE)
    for table in tables:
        await owner.execute(
            f"CREATE CONSTRAINT TRIGGER refused AFTER INSERT OR UPDATE ON {table}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        )


async def content(owner: Any) -> dict[str, list[Any]]:
    return {table: await owner.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


async def to_apply(ecs: Application, database: Database) -> UseCase:
    user_id = await an_applicant(ecs, database)
    return lambda ecs: ecs.credit.apply(user_id=user_id, request_id=None)


async def to_accept(ecs: Application, database: Database) -> UseCase:
    offer = await an_offer(ecs, database)
    return lambda ecs: ecs.acceptance.accept_offer(
        user_id=offer.user_id, offer_id=offer.id, request_id=None
    )


async def to_ingest(ecs: Application, database: Database) -> UseCase:
    user_id, client_id = await an_applicant(ecs, database), await a_client(database)
    items = good_month(user_id, datetime.now(UTC))
    return lambda ecs: ecs.transactions.ingest(items, client_id=client_id)


async def to_register(ecs: Application, database: Database) -> UseCase:
    email = f"{uuid4()}@example.com"
    return lambda ecs: ecs.auth.register(email=email, full_name="M", password="p" * 12)


async def to_relay(ecs: Application, database: Database) -> UseCase:
    await an_acceptance(ecs, database)
    return lambda ecs: ecs.outbox.relay("rq:accounts")


@pytest.mark.parametrize(
    ("prepare", "table"),
    [
        pytest.param(to_apply, "risk_assessments", id="apply-record"),
        pytest.param(to_apply, "credit_offers", id="apply-offer"),
        pytest.param(to_accept, "credit_offers", id="accept-offer"),
        pytest.param(to_accept, "jobs", id="accept-job"),
        pytest.param(to_accept, "outbox_events", id="accept-event"),
        pytest.param(to_ingest, "transactions", id="ingest"),
        pytest.param(to_register, "users", id="register"),
        pytest.param(to_relay, "outbox_events", id="relay"),
    ],
)
async def test_nothing_is_promised_when_the_commit_fails(
    ecs: Application, database: Database, owner: Any, prepare: Any, table: str
) -> None:
    use_case: UseCase = await prepare(ecs, database)
    await refuse_commits(owner, table)
    before = await content(owner)
    with pytest.raises(RepositoryError):
        await use_case(ecs)
    assert await content(owner) == before


@pytest.mark.parametrize("table", ["credit_accounts", "notifications", "processed_messages"])
async def test_no_account_is_opened_when_the_commit_fails(
    ecs: Application, database: Database, owner: Any, table: str
) -> None:
    offer, job_id = await an_acceptance(ecs, database)
    await refuse_commits(owner, table)
    with pytest.raises(RepositoryError):
        await ecs.acceptance.open_account(job_id=job_id)
    after = await content(owner)
    assert [after[name] for name in ("credit_accounts", "notifications")] == [[], []]
    job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
    assert (job.status, job.attempts) == ("running", 1)  # The attempt itself was counted.
