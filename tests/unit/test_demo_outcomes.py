"""The ten people of the demo: what is documented is what this release decides, at any moment."""

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ecs.domain.credit.decision import ApplicationInputs, Decision
from ecs.domain.credit.emotional_history import EmotionalFacts, EmotionalHistory
from ecs.domain.credit.history import TransactionHistory
from ecs.integrations.risk_model_file import load_risk_model
from ecs.services.credit_service import CreditOfferCalculator
from scripts.demo.__main__ import DIFFERENT, show_as_table
from scripts.demo.outcomes import Outcome, differences, documented
from scripts.demo.report import WIDTH, summary, table
from scripts.demo.roles import CHEERFUL, ROLES, SAD, Role, Week
from scripts.demo.walk import Visit
from scripts.demo_people import month_before
from scripts.stack.place import CHECKOUT

NOW: Final = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SOMEBODY: Final = UUID(int=7)
CLIENT: Final = UUID(int=8)
CONSENT: Final = UUID(int=9)
NAMES: Final = tuple(role.name for role in ROLES)
MODEL: Final = load_risk_model()
CALCULATOR: Final = CreditOfferCalculator(scorecard=MODEL.scorecard, policy=MODEL.policy)
TURNS: Final = (
    datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2028, 2, 29, tzinfo=UTC),
    datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC),
)

moments = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  (Hypothesis wants naive bounds)
    st.sampled_from(TURNS),
)
delays = st.timedeltas(timedelta(), timedelta(hours=1))
each_role = pytest.mark.parametrize("role", ROLES, ids=NAMES)


class TestWhatIsDocumented:
    @each_role
    @given(now=moments, delay=delays)
    def test_is_what_is_decided_at_any_moment_and_within_an_hour(
        self, role: Role, now: datetime, delay: timedelta
    ) -> None:
        assert decided(role, now=now, delay=delay) == expected_of(documented()[role.name])

    def test_names_the_ten_in_their_order(self) -> None:
        assert tuple(documented()) == NAMES
        assert len(NAMES) == 10

    def test_keeps_everything_through_json(self) -> None:
        for outcome in documented().values():
            assert Outcome.of(outcome.as_json()) == outcome


class TestTheStory:
    def test_of_three_with_the_same_money_differs_in_the_limit_alone(self) -> None:
        cheerful, sad, silent = (
            documented()[name] for name in ("cheerful", "sad", "without_consent")
        )
        assert limit(cheerful) > limit(sad) == limit(silent)
        for one in (cheerful, sad):
            assert (
                replace(
                    one,
                    mood=silent.mood,
                    credit_limit=silent.credit_limit,
                    account_limit=silent.account_limit,
                )
                == silent
            )

    def test_of_a_thin_file_is_judged_but_little(self) -> None:
        thin = documented()["thin_file"]
        assert thin.status == "offered"
        assert limit(thin) == min(limit(one) for one in documented().values() if one.credit_limit)

    def test_of_the_referred_is_not_judged_and_says_what_would_help(self) -> None:
        referred = documented()["referred"]
        assert (referred.status, referred.score, referred.account_limit) == ("referred", None, None)
        assert referred.next_steps

    def test_of_the_returning_person_promises_each_thing_once(self) -> None:
        assert documented()["returning"].answers == (
            "apply 201",
            "apply 200 the same offer",
            "accept 202",
            "job succeeded",
            "accept 202 the same job",
            "apply 409 account_exists",
        )

    def test_of_whoever_has_an_offer_ends_with_an_account_and_a_notification(self) -> None:
        for outcome in documented().values():
            assert outcome.account_limit == outcome.credit_limit
            told = ("account_opened",) if outcome.account_limit else ()
            assert outcome.notifications == told


class TestTheComparison:
    def test_finds_nothing_where_all_is_as_documented(self) -> None:
        assert differences(documented(), documented()) == {}
        assert "10 of 10" in summary({}).plain

    def test_tells_person_by_person_what_is_different(self) -> None:
        found = documented() | {
            "gambler": replace(documented()["gambler"], status="offered", score=600)
        }
        different = differences(found, documented())
        assert different == {
            "gambler": [
                'status is "offered", documented "denied"',
                "score is 600, documented 518",
            ]
        }
        told = summary(different).plain
        assert "1 of 10 did not get" in told
        assert 'gambler\n    status is "offered", documented "denied"' in told

    @pytest.mark.parametrize("name", NAMES)
    def test_notices_who_is_missing_and_who_is_new(self, name: str) -> None:
        fewer = {other: one for other, one in documented().items() if other != name}
        assert differences(fewer, documented()) == {name: ["is documented, but was not there"]}
        assert differences(documented(), fewer) == {name: ["is not documented"]}

    def test_decides_the_exit_code(self) -> None:
        assert shown(documented())[0] == 0
        changed = documented() | {"sad": replace(documented()["sad"], credit_limit="10.00")}
        code, text = shown(changed)
        assert code == DIFFERENT
        assert 'credit_limit is "10.00", documented "10860.00"' in text


class TestTheTable:
    def test_fits_into_eighty_columns(self) -> None:
        assert max(len(line) for line in table(documented()).plain.splitlines()) <= WIDTH

    def test_shows_everybody_with_name_and_limit(self) -> None:
        lines = table(documented()).plain.splitlines()
        for role in ROLES:
            [row] = [n for n, line in enumerate(lines) if role.full_name in line]
            outcome = documented()[role.name]
            assert lines[row - 1].startswith(role.name.replace("_", " "))
            assert outcome.status in lines[row - 1]
            assert f"{limit(outcome):,.2f}" in lines[row - 1] or outcome.credit_limit is None

    def test_is_the_same_in_the_documentation(self) -> None:
        page = (CHECKOUT / "docs" / "demo.md").read_text()
        [block] = re.findall(r"^```text\n(person .*?)^```$", page, re.DOTALL | re.MULTILINE)
        assert block.rstrip("\n") == table(documented()).plain


class TestTheMoods:
    @pytest.mark.parametrize("week", [CHEERFUL, SAD], ids=["cheerful", "sad"])
    def test_stay_inside_of_the_week_and_are_new_for_everybody(self, week: Week) -> None:
        mine, theirs = (week.readings_before(NOW, user_id=UUID(int=n)) for n in (1, 2))
        assert not {one.event_id for one in mine} & {one.event_id for one in theirs}
        moments = [one.captured_at for one in mine]
        assert moments == sorted(moments)
        assert NOW - timedelta(days=6) < moments[0] < moments[-1] < NOW - timedelta(hours=1)


def decided(role: Role, *, now: datetime, delay: timedelta) -> dict[str, object]:
    """What the domain decides about somebody who shared at ``now`` and applies a little later."""
    month = month_before(role.money, user_id=SOMEBODY, now=now, currency="BRL")
    decision = CALCULATOR.calculate(
        ApplicationInputs(
            history=TransactionHistory(
                ids=tuple(one.transaction_id for one in month),
                occurred_at=tuple(one.occurred_at for one in month),
                amounts_minor=tuple(one.amount_minor for one in month),
                categories=tuple(one.category for one in month),
            ),
            now=now + delay,
            user_created_at=now,
            window_days=30,
            emotion=facts_of(role, now),
        )
    )
    return flat(decision)


def facts_of(role: Role, now: datetime) -> EmotionalFacts:
    """The moods that a decision may look at: none without a consent."""
    week = role.week if role.consents else None
    readings = week.readings_before(now, user_id=SOMEBODY) if week else []
    return EmotionalFacts(
        consent_ids=(CONSENT,) if role.consents else (),
        history=EmotionalHistory(
            event_ids=tuple(one.event_id for one in readings),
            client_ids=tuple(CLIENT for _ in readings),
            captured_at=tuple(one.captured_at for one in readings),
            emotions=tuple(one.emotion.value for one in readings),
            confidences=tuple(one.confidence for one in readings),
            valences=tuple(one.valence for one in readings),
        ),
        window_days=7,
    )


def flat(decision: Decision) -> dict[str, object]:
    terms, assessment = decision.terms, decision.assessment
    told = decision.emotion.information
    return {
        "status": decision.status.value,
        "credit_limit": str(decision.credit_limit) if decision.credit_limit else None,
        "without_emotion": str(assessment.without_emotion.limit) if assessment else None,
        "apr": str(terms.apr) if terms else None,
        "credit_type": terms.credit_type.value if terms else None,
        "score": assessment.score if assessment else None,
        "risk_category": assessment.risk_category.value if assessment else None,
        "reasons": tuple(f"{one.code} {one.text}" for one in decision.reasons),
        "next_steps": decision.next_steps,
        "used": decision.emotion.used,
        "information": f"{told.code} {told.text}" if told else None,
    }


def expected_of(outcome: Outcome) -> dict[str, object]:
    """The part of an outcome that the decision alone makes."""
    apart = ("used", "information")
    names = [name for name in flat_names() if name not in apart]
    return {name: getattr(outcome, name) for name in names} | {
        name: getattr(outcome.mood, name) for name in apart
    }


def flat_names() -> list[str]:
    return list(decided(ROLES[0], now=NOW, delay=timedelta()))


def limit(outcome: Outcome) -> float:
    return float(outcome.credit_limit or 0)


def shown(found: Mapping[str, Outcome]) -> tuple[int, str]:
    """The exit code and the words of a run with these outcomes."""
    screen = Console(width=WIDTH, record=True, file=io.StringIO())
    visits = [
        Visit(
            role=role,
            outcome=found[role.name],
            email="",
            user_id="",
            decision_id="",
            notification_ids=(),
        )
        for role in ROLES
    ]
    code = show_as_table(screen, visits, [], seconds=0.0)
    return code, screen.export_text()
