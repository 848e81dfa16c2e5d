from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.emotions.events import IncomingEvent, Verdict, refusal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOMEBODY = UUID("01890000-0000-7000-8000-00000000000a")
TICK = timedelta(microseconds=1)
AHEAD = timedelta(minutes=5)
BACK = timedelta(days=30)


def captured(moment: datetime) -> IncomingEvent:
    return IncomingEvent(
        index=0,
        client_id=SOMEBODY,
        event_id=SOMEBODY,
        user_id=SOMEBODY,
        captured_at=moment,
        emotion="fear",
        confidence=0.5,
        arousal=0.0,
        valence=0.0,
        source="unknown",
    )


@pytest.mark.parametrize(
    ("offset", "verdict"),
    [
        pytest.param(timedelta(0), None, id="now"),
        pytest.param(AHEAD, None, id="five-minutes-ahead"),
        pytest.param(AHEAD + TICK, Verdict.FUTURE_TIMESTAMP, id="a-tick-beyond"),
        pytest.param(-BACK, None, id="thirty-days-ago"),
        pytest.param(-BACK - TICK, Verdict.TOO_OLD, id="a-tick-older"),
        pytest.param(timedelta(days=365), Verdict.FUTURE_TIMESTAMP, id="next-year"),
        pytest.param(timedelta(days=-365), Verdict.TOO_OLD, id="last-year"),
    ],
)
def test_an_event_is_of_the_last_thirty_days(offset: timedelta, verdict: Verdict | None) -> None:
    assert refusal(captured(NOW + offset), now=NOW) is verdict


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_time_are_refused(year: int) -> None:
    assert refusal(captured(datetime(year, 1, 1, tzinfo=UTC)), now=NOW) is not None


@given(
    offset=st.timedeltas(timedelta(days=-60), timedelta(days=60)),
    zone=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_the_zone_of_a_moment_decides_nothing(offset: timedelta, zone: timezone) -> None:
    moment = NOW + offset

    verdict = refusal(captured(moment), now=NOW)

    assert refusal(captured(moment.astimezone(zone)), now=NOW) is verdict
    assert (verdict is None) == (-BACK <= offset <= AHEAD)
