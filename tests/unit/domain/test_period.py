import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ecs.domain.period import canonical_moment

MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def machine_in_sao_paulo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "America/Sao_Paulo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("machine_in_sao_paulo")
@pytest.mark.parametrize("hours", [-3, 0, 9])
def test_a_moment_has_one_spelling_in_every_zone(hours: int) -> None:
    moment = MOMENT.astimezone(timezone(timedelta(hours=hours)))
    assert canonical_moment(moment) == "2026-03-01T12:30:00.000000+00:00"


def test_a_moment_keeps_its_microseconds() -> None:
    later = MOMENT + timedelta(microseconds=1)
    assert canonical_moment(later) == "2026-03-01T12:30:00.000001+00:00"
