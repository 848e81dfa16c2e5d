"""Reports that are held back: no flood, and what was held back is told."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ecs.integrations.telemetry.report_limit import (
    KINDS_MAX,
    SENT_MAX,
    WINDOW_SECONDS,
    ReportLimit,
)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


ERRORS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([0.0, 0.5, 40.0])), min_size=1, max_size=200
)


def sent_of(errors: list[tuple[int, float]]) -> list[tuple[float, int, int]]:
    """Return when which kind got through, and how many of it that report speaks for."""
    clock, sent = Clock(), []
    limit = ReportLimit(now=clock)
    for kind, pause in errors:
        clock.seconds += pause
        if (held_back := limit.admit(kind)) is not None:
            sent.append((clock.seconds, kind, held_back))
    return sent


class TestAdmit:
    @given(errors=ERRORS)
    def test_lets_one_of_a_kind_and_thirty_of_all_through_in_a_minute(
        self, errors: list[tuple[int, float]]
    ) -> None:
        sent = sent_of(errors)
        for since, *_ in sent:
            within = [kind for at, kind, _ in sent if since <= at and at - since < WINDOW_SECONDS]
            assert len(within) <= SENT_MAX
            assert max(Counter(within).values()) == 1

    @given(errors=ERRORS)
    def test_tells_of_each_that_was_held_back(self, errors: list[tuple[int, float]]) -> None:
        calm = [(kind, WINDOW_SECONDS) for kind in range(41)]
        told = Counter[int]()
        for _, kind, held_back in sent_of([*errors, *calm]):
            told[kind] += 1 + held_back
        assert told == Counter(kind for kind, _ in [*errors, *calm])

    def test_lets_no_more_than_thirty_kinds_through_at_once(self) -> None:
        assert len(sent_of([(kind, 0.0) for kind in range(41)])) == SENT_MAX

    def test_lets_the_next_through_when_a_minute_has_passed(self) -> None:
        errors = [("a", 0), ("a", 1), ("a", WINDOW_SECONDS - 2), ("a", 1)]
        clock = Clock()
        limit = ReportLimit(now=clock)
        said = []
        for kind, pause in errors:
            clock.seconds += pause
            said.append(limit.admit(kind))
        assert said == [0, None, None, 2]

    def test_keeps_few_kinds_in_mind(self) -> None:
        clock = Clock()
        limit = ReportLimit(now=clock)
        for kind in range(KINDS_MAX * 3):
            clock.seconds += WINDOW_SECONDS
            limit.admit(kind)
        assert limit.kinds <= KINDS_MAX
