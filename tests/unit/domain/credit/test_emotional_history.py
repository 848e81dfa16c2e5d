import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.emotional_history import EmotionalFacts, EmotionalHistory
from tests.unit.domain.credit.people import CONSENT, MoodRow, any_moods, moods

ONE, OTHER = UUID(int=1), UUID(int=2)
MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
TINY = 5e-324


def one_event(**changes: Any) -> EmotionalHistory:
    event = EmotionalHistory(
        event_ids=(ONE,),
        client_ids=(OTHER,),
        captured_at=(MOMENT,),
        emotions=("fear",),
        confidences=(0.1,),
        valences=(-0.25,),
    )
    return replace(event, **{name: (value,) for name, value in changes.items()})


def reordered(history: EmotionalHistory, order: list[int]) -> EmotionalHistory:
    return EmotionalHistory(
        event_ids=tuple(history.event_ids[index] for index in order),
        client_ids=tuple(history.client_ids[index] for index in order),
        captured_at=tuple(history.captured_at[index] for index in order),
        emotions=tuple(history.emotions[index] for index in order),
        confidences=tuple(history.confidences[index] for index in order),
        valences=tuple(history.valences[index] for index in order),
    )


class TestEmotionalHistory:
    def test_is_hashed_over_its_published_canonical_form(self) -> None:
        text = (
            '[["00000000-0000-0000-0000-000000000002","00000000-0000-0000-0000-000000000001",'
            '"2026-03-01T12:30:00.000000+00:00","fear",0.1,-0.25]]'
        )
        assert one_event().sha256() == hashlib.sha256(text.encode()).hexdigest()

    @given(rows=any_moods(), data=st.data())
    def test_has_one_hash_whatever_the_order_of_its_events(
        self, rows: list[MoodRow], data: st.DataObject
    ) -> None:
        straight = moods(rows)
        shuffled = reordered(straight, data.draw(st.permutations(range(len(rows)))))
        assert shuffled.sha256() == straight.sha256()
        assert shuffled.sorted_keys() == straight.sorted_keys()

    @pytest.mark.parametrize(
        "change",
        [
            {"event_ids": OTHER},
            {"client_ids": ONE},
            {"captured_at": MOMENT + timedelta(microseconds=1)},
            {"emotions": "anger"},
            {"confidences": 0.1 + 2**-56},
            {"valences": 0.25},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_changes_its_hash_with_every_field(self, change: dict[str, Any]) -> None:
        assert one_event(**change).sha256() != one_event().sha256()

    def test_hashes_the_instant_not_its_zone(self) -> None:
        elsewhere = MOMENT.astimezone(timezone(timedelta(hours=-3)))
        assert one_event(captured_at=elsewhere).sha256() == one_event().sha256()

    def test_tells_equal_ids_of_two_clients_apart(self) -> None:
        pair = [
            replace(moods([row, row]), event_ids=(ONE, ONE), client_ids=clients)
            for row in [(timedelta(hours=1), "fear", 0.5, 0.0)]
            for clients in [(ONE, OTHER), (ONE, ONE)]
        ]
        assert pair[0].sha256() != pair[1].sha256()

    def test_refuses_columns_of_different_length(self) -> None:
        with pytest.raises(ValueError, match=r"^the columns of a history differ in length$"):
            replace(one_event(), valences=())

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (
                {"captured_at": MOMENT.replace(tzinfo=None)},
                "a moment of a history has no time zone",
            ),
            ({"confidences": 0.0}, "a confidence lies outside (0, 1]"),
            ({"confidences": 1.0000000000000002}, "a confidence lies outside (0, 1]"),
            ({"confidences": float("nan")}, "a confidence lies outside (0, 1]"),
            ({"valences": -1.0000000000000002}, "a valence lies outside [-1, 1]"),
            ({"valences": 1.0000000000000002}, "a valence lies outside [-1, 1]"),
            ({"valences": float("nan")}, "a valence lies outside [-1, 1]"),
        ],
    )
    def test_refuses_what_no_event_can_hold(self, change: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
            one_event(**change)

    @pytest.mark.parametrize(
        "change",
        [{"confidences": TINY}, {"confidences": 1.0}, {"valences": 1.0}, {"valences": -1.0}],
    )
    def test_takes_what_just_fits(self, change: dict[str, Any]) -> None:
        assert len(one_event(**change)) == 1


class TestEmotionalFacts:
    def test_refuse_events_that_nobody_consented_to(self) -> None:
        with pytest.raises(ValueError, match=r"^emotional events without a consent$"):
            EmotionalFacts(consent_ids=(), history=one_event(), window_days=7)

    def test_refuse_consents_out_of_order(self) -> None:
        with pytest.raises(ValueError, match=r"^the consents are not in ascending order$"):
            EmotionalFacts(consent_ids=(CONSENT, ONE), history=EmotionalHistory(), window_days=7)
