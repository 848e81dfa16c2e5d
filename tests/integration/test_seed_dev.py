from typing import Any
from uuid import UUID

import pytest

from ecs.bootstrap import Application
from ecs.domain.consents import Purpose
from ecs.domain.people import CLIENT_SCOPES
from scripts.demo_people import PERSONAS
from scripts.seed_dev import seed
from tests.builders import Database, settings_for


@pytest.fixture
def settings(database: Database, redis_url: str) -> Any:
    return settings_for(database, redis_url)


ROWS = "SELECT user_id, transaction_id FROM transactions ORDER BY 1, 2"


async def test_the_demo_people_are_added_once(settings: Any, owner: Any) -> None:
    logins = await seed(settings, {})
    rows = await owner.fetch(ROWS)

    assert await seed(settings, logins) == logins
    assert await owner.fetchval("SELECT count(*) FROM users") == len(PERSONAS)
    assert {row["transaction_id"] for row in rows} <= {
        row["transaction_id"] for row in await owner.fetch(ROWS)
    }
    assert [login["persona"] for login in logins["users"]] == [one.name for one in PERSONAS]
    assert logins["clients"][0]["scopes"] == sorted(CLIENT_SCOPES)


async def test_what_the_people_did_since_the_last_time_is_added(settings: Any, owner: Any) -> None:
    logins = await seed(settings, {})
    every = await owner.fetch(ROWS)
    await owner.execute("DELETE FROM transactions WHERE occurred_at > now() - interval '9 days'")
    assert len(await owner.fetch(ROWS)) < len(every)

    await seed(settings, logins)

    assert await owner.fetch(ROWS) == every


async def test_a_lost_file_of_logins_is_written_again(settings: Any, owner: Any) -> None:
    lost = await seed(settings, {})
    found = await seed(settings, {})

    assert found["users"] == lost["users"]
    assert found["clients"] != lost["clients"]  # A secret is shown once; there is a new client.


async def test_the_people_consent_once_and_may_think_again(
    settings: Any, owner: Any, operator: Application
) -> None:
    logins = await seed(settings, {})
    [first, *others] = [UUID(login["id"]) for login in logins["users"]]
    await operator.consents.withdraw(
        user_id=first, purpose=Purpose.EMOTION_CREDIT_DECISION, request_id=None
    )

    await seed(settings, logins)

    assert await operator.consents.list_active(first) == []
    for user_id in others:
        [consent] = await operator.consents.list_active(user_id)
        assert str(consent.client_id) == logins["clients"][0]["client_id"]
