"""The mood that people see of themselves, day by day."""

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from uuid import UUID

import pytest

from ecs.domain.affect import Emotion
from tests import builders
from tests.api.routes_support import acting, problem, settings_for
from tests.builders import Database

SUMMARY: Final = "/api/v1/emotions/summary"
NOBODY: Final = UUID("01890000-0000-7000-8000-0000000000af")


async def test_has_an_entry_a_day_with_nulls_where_nothing_was_read(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        moment = datetime.now(UTC)
        await builders.emotional_events(
            database,
            person.id,
            feed.id,
            [
                (timedelta(days=1), "happiness", 1, 1.0),
                (timedelta(days=1), "surprise", 1, 0.0),
                (timedelta(days=1), "fear", 0, -0.5),
            ],
            now=moment,
        )
        answer = await stage.client.get(SUMMARY, params={"days": 3}, headers=person.headers)

    empty = {"count": 0, "mean_valence": None, "mean_arousal": None, "shares": None}
    shares = {emotion.value: 0.0 for emotion in Emotion}
    shares |= dict.fromkeys(("happiness", "surprise", "fear"), 0.333333)
    days = [str((moment - timedelta(days=ago)).date()) for ago in (2, 1, 0)]
    assert answer.status_code == 200
    assert answer.json() == {
        "data": [
            {"date": days[0], **empty},
            {
                "date": days[1],
                "count": 3,
                "mean_valence": 0.166667,
                "mean_arousal": 0.0,
                "shares": shares,
            },
            {"date": days[2], **empty},
        ]
    }


@pytest.mark.parametrize(("query", "days"), [("", 7), ("?days=1", 1), ("?days=30", 30)])
async def test_is_of_seven_days_unless_asked_otherwise(
    query: str, days: int, database: Database, redis_url: str
) -> None:
    before = datetime.now(UTC).date()
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        answer = await stage.client.get(SUMMARY + query, headers=person.headers)

    told = [day["date"] for day in answer.json()["data"]]
    assert told == sorted(set(told))
    assert len(told) == days
    assert told[-1] in {str(before), str(datetime.now(UTC).date())}


async def test_is_of_the_callers_own_events(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        stranger = await stage.a_person()
        row = (timedelta(0), "happiness", 1, 0.5)
        await builders.emotional_events(database, person.id, feed.id, [row])
        counts = [
            sum(day["count"] for day in answer.json()["data"])
            for caller in (person, stranger)
            for answer in [await stage.client.get(SUMMARY, headers=caller.headers)]
        ]

    assert counts == [1, 0]


@pytest.mark.parametrize(
    "days", ["0", "31", "-1", "x", "1.0", "1e1", "1_0", " 1", "", "\uff11", "+1", "2" * 70]
)
async def test_other_numbers_of_days_are_refused(
    days: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        path = f"{SUMMARY}?days={quote(days)}"
        answer = await stage.client.get(path, headers=person.headers)

    (error,) = problem(answer, 422, "validation_failed")["errors"]
    assert error["pointer"] == "?days"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"user_id={NOBODY}", "unknown_parameter"),
        ("Days=7", "unknown_parameter"),
        ("days=7&days=8", "repeated_parameter"),
    ],
)
async def test_other_questions_are_refused(
    query: str, code: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        answer = await stage.client.get(f"{SUMMARY}?{query}", headers=person.headers)

    problem(answer, 422, code)
