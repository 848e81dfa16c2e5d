from datetime import date, timedelta
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.affect import Emotion
from ecs.domain.emotions.summary import MoodCount, MoodDay, summarise

DAY = date(2026, 3, 1)
WEEK = [DAY + timedelta(days=ahead) for ahead in range(7)]


def counted(emotion: Emotion, count: int, *, valence: float = 0.0, day: date = DAY) -> MoodCount:
    return MoodCount(
        day=day,
        emotion=emotion,
        count=count,
        valence_sum=valence * count,
        arousal_sum=-valence * count,
    )


counts = st.lists(
    st.builds(
        counted,
        st.sampled_from(Emotion),
        st.integers(1, 50),
        valence=st.floats(-1, 1),
        day=st.sampled_from(WEEK),
    ),
    unique_by=lambda count: (count.day, count.emotion),
)


def test_a_day_without_events_has_nothing_but_its_count() -> None:
    assert summarise([DAY], []) == [
        MoodDay(day=DAY, count=0, mean_valence=None, mean_arousal=None, shares=None)
    ]


def test_a_day_is_the_mean_of_its_events_not_of_its_emotions() -> None:
    found = [counted(Emotion.HAPPINESS, 3, valence=0.5), counted(Emotion.FEAR, 1, valence=-0.5)]

    assert summarise([DAY], found) == [
        MoodDay(
            day=DAY,
            count=4,
            mean_valence=0.25,
            mean_arousal=-0.25,
            shares={
                "happiness": 0.75,
                "sadness": 0.0,
                "fear": 0.25,
                "anger": 0.0,
                "surprise": 0.0,
                "disgust": 0.0,
            },
        )
    ]


@given(counts)
def test_the_shares_of_a_day_add_up_to_1(found: list[MoodCount]) -> None:
    for day in summarise(WEEK, found):
        if day.shares is not None:
            assert set(day.shares) == set(Emotion)
            assert fsum(day.shares.values()) == pytest.approx(1)


@given(counts)
def test_every_event_is_counted_on_its_day(found: list[MoodCount]) -> None:
    days = summarise(WEEK, found)

    assert [day.day for day in days] == WEEK
    for day in days:
        of_day = [count for count in found if count.day == day.day]
        assert day.count == sum(count.count for count in of_day)
        assert (day.mean_valence is None) == (day.mean_arousal is None) == (not of_day)


@given(counts)
def test_a_mean_never_leaves_the_range_of_its_events(found: list[MoodCount]) -> None:
    for day in summarise(WEEK, found):
        of_day = [count.valence_sum / count.count for count in found if count.day == day.day]
        if day.mean_valence is not None:
            assert min(of_day) - 1e-9 <= day.mean_valence <= max(of_day) + 1e-9


@given(found=counts, data=st.data())
def test_the_order_of_the_counts_decides_nothing(
    found: list[MoodCount], data: st.DataObject
) -> None:
    assert summarise(WEEK, data.draw(st.permutations(found))) == summarise(WEEK, found)


@given(counts)
def test_days_that_were_not_asked_for_are_not_told(found: list[MoodCount]) -> None:
    assert summarise([], found) == []
    assert [day.day for day in summarise(WEEK[2:4], found)] == WEEK[2:4]
