"""What people see of their own mood, against a count by hand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import fsum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs.bootstrap import Application
from ecs.domain.affect import Emotion
from ecs.services.emotions_service import EmotionsService
from tests.builders import Database, MoodRow, a_client, a_user, emotional_events
from tests.integration.readings import a_pair

NOW = datetime(2026, 3, 10, 0, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

# Many of them a tick beside a midnight.
ages = st.integers(-1, 32).map(lambda days: NOW - MIDNIGHT + days * DAY) | st.timedeltas(
    -DAY, 31 * DAY
)
moments = st.builds(lambda age, ticks: age + ticks * TICK, ages, st.sampled_from([-1, 0, 1]))
rows = st.tuples(moments, st.sampled_from(Emotion), st.floats(0, 1), st.floats(-1, 1))


@pytest.fixture
def service(ecs: Application) -> EmotionsService:
    return replace(ecs.emotions, now=lambda: NOW)


@pytest.fixture
async def mixed(database: Database) -> tuple[UUID, UUID, UUID]:
    """A person, a stranger, and the client that reads both."""
    return await a_user(database), await a_user(database), await a_client(database)


def by_hand(found: Sequence[MoodRow], ago: int) -> tuple[Any, ...]:
    """Return day, count, mean valence and shares of one day."""
    day = NOW.date() - ago * DAY
    of_day = [row for row in found if (NOW - row[0]).date() == day]
    if not of_day:
        return day, 0, None, None
    emotions = Counter(emotion for _, emotion, _, _ in of_day)
    shares = {emotion: emotions[emotion] / len(of_day) for emotion in Emotion}
    mean_valence = fsum(valence for *_, valence in of_day) / len(of_day)
    return day, len(of_day), pytest.approx(mean_valence, abs=1e-12), pytest.approx(shares)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moods=st.tuples(st.lists(rows, max_size=30), st.lists(rows, max_size=5)),
    days=st.integers(1, 30),
)
async def test_is_what_a_count_by_hand_gives(
    service: EmotionsService,
    database: Database,
    owner: Any,
    mixed: tuple[UUID, UUID, UUID],
    moods: tuple[list[MoodRow], list[MoodRow]],
    days: int,
) -> None:
    (user_id, stranger, client_id), (own, foreign) = mixed, moods
    await owner.execute("DELETE FROM emotional_events")
    await emotional_events(database, user_id, client_id, own, now=NOW)
    await emotional_events(database, stranger, client_id, foreign, now=NOW)
    found = await service.summarise(user_id=user_id, days=days)
    assert [(day.day, day.count, day.mean_valence, day.shares) for day in found] == [
        by_hand(own, ago) for ago in reversed(range(days))
    ]


@pytest.mark.parametrize(
    ("moment", "counts"),
    [
        pytest.param(MIDNIGHT - DAY - TICK, [0, 0], id="before-the-first-day"),
        pytest.param(MIDNIGHT - DAY, [1, 0], id="first-midnight"),
        pytest.param(MIDNIGHT - TICK, [1, 0], id="end-of-yesterday"),
        pytest.param(MIDNIGHT, [0, 1], id="midnight"),
        pytest.param(NOW, [0, 1], id="now"),
        pytest.param(NOW + 5 * HOUR / 60, [0, 1], id="a-clock-ahead"),
        pytest.param(MIDNIGHT + DAY - TICK, [0, 1], id="end-of-today"),
        pytest.param(MIDNIGHT + DAY, [0, 0], id="next-midnight"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Sao_Paulo"])
async def test_a_day_is_a_utc_day_wherever_the_database_is(
    service: EmotionsService,
    database: Database,
    owner: Any,
    moment: datetime,
    counts: list[int],
    zone: str,
) -> None:
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE {name} SET timezone = '{zone}'")
    pair = await a_pair(database)
    await emotional_events(database, *pair, [(NOW - moment, "fear", 1, -0.5)], now=NOW)
    days = await service.summarise(user_id=pair[0], days=2)
    assert [day.count for day in days] == counts


async def test_events_of_every_client_count_consent_or_not(
    service: EmotionsService, database: Database
) -> None:
    """What was taken in while a consent stood is the person's own to see."""
    user_id = await a_user(database)
    for _ in range(3):
        await emotional_events(
            database, user_id, await a_client(database), [(TICK, "fear", 0, -0.5)], now=NOW
        )
    (today,) = await service.summarise(user_id=user_id, days=1)
    assert (today.count, today.mean_valence) == (3, -0.5)


async def test_arousal_and_valence_are_not_mixed_up(
    service: EmotionsService, database: Database, owner: Any
) -> None:
    pair = await a_pair(database)
    await emotional_events(database, *pair, [(TICK, "fear", 1, -0.5)] * 2, now=NOW)
    await owner.execute("UPDATE emotional_events SET arousal = 0.75")
    (today,) = await service.summarise(user_id=pair[0], days=1)
    assert (today.mean_valence, today.mean_arousal) == (-0.5, 0.75)
