from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.affect import PLEASANT, UNPLEASANT
from ecs.domain.emotions.events import AGE_MAX, FUTURE_TOLERANCE
from ecs.wire.emotions import EmotionalEventIn, read_message
from scripts.demo_moods import EVEN, TEMPERAMENTS, Diary, Reading
from scripts.demo_people import PERSONAS, transactions_of
from scripts.produce_emotions import message_of, parts, readings_of

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
people = st.sampled_from(PERSONAS)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  (Hypothesis wants naive bounds)


def a_diary(name: str = "steady", *, seed: int = 1, now: datetime = NOW) -> Diary:
    persona = next(persona for persona in PERSONAS if persona.name == name)
    user_id = UUID(int=1 + PERSONAS.index(persona))
    return Diary(
        user_id=user_id,
        temperament=TEMPERAMENTS[name],
        money=transactions_of(persona, user_id=user_id, now=now, currency="BRL"),
        seed=seed,
    )


def readings(diary: Diary, *, count: int = 100, until: datetime = NOW) -> list[Reading]:
    return diary.readings(until=until, span=3 * DAY, count=count)


def test_every_persona_has_a_temperament() -> None:
    assert set(TEMPERAMENTS) == {persona.name for persona in PERSONAS}


def test_the_same_seed_tells_the_same_story() -> None:
    assert readings(a_diary(seed=7)) == readings(a_diary(seed=7))
    assert readings(a_diary(seed=7)) != readings(a_diary(seed=8))


def test_a_later_look_repeats_what_an_earlier_one_saw() -> None:
    earlier = {reading.event_id: reading for reading in readings(a_diary())}
    later = {
        reading.event_id: reading for reading in readings(a_diary(now=NOW + DAY), until=NOW + DAY)
    }
    common = earlier.keys() & later.keys()
    assert len(common) >= 60
    assert all(earlier[event_id] == later[event_id] for event_id in common)


@given(persona=people, seed=st.integers(), until=moments, count=st.integers(0, 60))
def test_readings_are_what_the_door_lets_in(
    persona: object, seed: int, until: datetime, count: int
) -> None:
    diary = Diary(user_id=UUID(int=1), temperament=EVEN, money=(), seed=seed)
    found = readings(diary, count=count, until=until)
    assert len(found) == count == len({reading.event_id for reading in found})
    for reading in found:
        [content] = read_message(message_of(reading, client_id=str(UUID(int=2))).body)
        event = EmotionalEventIn.model_validate(content)
        assert event.event_id == reading.event_id
        assert until - AGE_MAX < event.captured_at <= until < until + FUTURE_TOLERANCE


@given(seed=st.integers(), name=st.sampled_from(sorted(TEMPERAMENTS)))
def test_labels_never_contradict_the_valence(seed: int, name: str) -> None:
    for reading in readings(a_diary(name, seed=seed), count=20):
        assert not (reading.emotion in PLEASANT and reading.valence < 0)
        assert not (reading.emotion in UNPLEASANT and reading.valence > 0)


def test_a_mood_drifts_rather_than_jumps() -> None:
    valences = [reading.valence for reading in readings(a_diary("gambler"), count=400)]
    steps = [abs(later - earlier) for earlier, later in pairwise(valences)]
    spread = max(valences) - min(valences)
    assert fmean(steps) < spread / 8


def test_a_salary_lifts_the_mood_and_the_lift_fades() -> None:
    diary = a_diary()
    [salary, *_] = [item for item in diary.money if item.category == "income"]
    before, _ = diary.mood_at(salary.occurred_at - timedelta(minutes=1))
    after, _ = diary.mood_at(salary.occurred_at)
    assert after > before + 0.2
    silent = Diary(user_id=diary.user_id, temperament=diary.temperament, money=(), seed=1)
    much_later = salary.occurred_at + timedelta(days=2)
    assert abs(diary.mood_at(much_later)[0] - silent.mood_at(much_later)[0]) < 0.2


def test_readings_are_shared_evenly_and_sent_in_order() -> None:
    diaries = [a_diary(persona.name) for persona in PERSONAS]
    stream = readings_of(diaries, count=100, until=NOW, span=3 * DAY)
    assert len(stream) == 100
    assert {sum(r.user_id == d.user_id for r in stream) for d in diaries} == {14, 15}
    assert stream == sorted(stream, key=lambda reading: (reading.captured_at, reading.event_id))


@pytest.mark.parametrize(("rate", "seconds"), [(100.0, 1.0), (5.0, 20.0), (0.5, 200.0)])
def test_the_rate_is_kept(rate: float, seconds: float) -> None:
    stream = readings(a_diary(), count=100)
    messages = [message_of(reading, client_id="c") for reading in stream]
    sent = list(parts(messages, rate=rate))
    assert [message for _, part in sent for message in part] == messages
    assert sent[-1][0] == pytest.approx(seconds, abs=0.11 + 1 / rate)
