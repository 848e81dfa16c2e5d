from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.transactions import AGE_MAX, FUTURE_TOLERANCE, IncomingTransaction, Verdict, refusal

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
PLAIN = IncomingTransaction(
    index=0,
    transaction_id=UUID(int=1),
    user_id=UUID(int=2),
    occurred_at=NOW,
    amount_minor=-1250,
    currency="BRL",
    category=None,
)


@pytest.mark.parametrize(
    ("moment", "verdict"),
    [
        pytest.param(NOW, None, id="now"),
        pytest.param(NOW + FUTURE_TOLERANCE, None, id="as-far-ahead-as-may-be"),
        pytest.param(NOW + FUTURE_TOLERANCE + MICROSECOND, Verdict.FUTURE_TIMESTAMP, id="ahead"),
        pytest.param(NOW - AGE_MAX, None, id="as-old-as-may-be"),
        pytest.param(NOW - AGE_MAX - MICROSECOND, Verdict.TOO_OLD, id="old"),
        pytest.param(datetime.min.replace(tzinfo=UTC), Verdict.TOO_OLD, id="the-first-moment"),
        pytest.param(
            datetime.max.replace(tzinfo=UTC), Verdict.FUTURE_TIMESTAMP, id="the-last-moment"
        ),
    ],
)
def test_a_moment_must_be_neither_ahead_nor_too_old(
    moment: datetime, verdict: Verdict | None
) -> None:
    assert refusal(replace(PLAIN, occurred_at=moment), now=NOW, currency="BRL") == verdict


def test_a_foreign_currency_is_named_before_the_moment() -> None:
    item = replace(PLAIN, currency="USD", occurred_at=NOW + AGE_MAX)
    assert refusal(item, now=NOW, currency="BRL") is Verdict.CURRENCY_MISMATCH


@given(
    age=st.timedeltas(timedelta(days=-2), timedelta(days=800)),
    hours=st.integers(-14, 14),
)
def test_the_zone_a_moment_is_written_in_does_not_matter(age: timedelta, hours: int) -> None:
    moment = NOW - age
    elsewhere = moment.astimezone(timezone(timedelta(hours=hours)))
    verdicts = {
        refusal(replace(PLAIN, occurred_at=written), now=NOW, currency="BRL")
        for written in (moment, elsewhere)
    }
    assert len(verdicts) == 1
