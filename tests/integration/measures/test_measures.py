"""What credit, consents and what is taken in count as: once, and only what was committed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from ecs.bootstrap import Application
from ecs.domain.consents import Purpose
from ecs.domain.credit.agreements import CreditOffer
from ecs.domain.emotions.events import Verdict
from ecs.domain.measures import (
    ACCEPT_TO_ACCOUNT_SECONDS,
    ACCEPTANCES,
    ACCOUNTS,
    CONSENT_CHANGES,
    CREDIT_DECISIONS,
    CREDIT_EMOTIONS,
    CREDIT_REASONS,
    EMOTIONAL_EVENTS,
    EMOTIONAL_FACTOR,
    JOB_FAILURES,
    NONE,
    OFFERS_EXPIRED,
    PROBABILITY_OF_DEFAULT,
    TRANSACTIONS,
    USED,
)
from ecs.services.exceptions import OfferExpired, RepositoryError
from tests.builders import (
    Database,
    a_client,
    a_consent,
    an_acceptance,
    an_applicant,
    an_offer,
    bad_month,
    disable,
    emotional_events,
    good_month,
    lapse,
    thin_month,
)
from tests.integration.measured import Meter, of
from tests.integration.readings import a_pair, an_event, ingest, ingest_unvouched
from tests.integration.test_acceptances import a_decision, accept
from tests.integration.test_account_openings import BROKEN, fail_once
from tests.integration.test_emotional_decisions import CHEERFUL
from tests.integration.test_failing_commits import refuse_commits

OPEN_ACCOUNT = "open_account"
CREDIT = Purpose.EMOTION_CREDIT_DECISION


def reasons_of(offer: CreditOffer) -> dict[str, float]:
    codes: Sequence[Any] = offer.assessment.record["reasons"]
    return {of(CREDIT_REASONS, code=one["code"]): 1 for one in codes}


def decided(offer: CreditOffer, *, emotion: str) -> dict[str, float]:
    """What one decision counts as."""
    category = offer.assessment.risk_category
    counted = {
        of(CREDIT_DECISIONS, status=offer.status, risk_category=category or NONE): 1.0,
        of(CREDIT_EMOTIONS, outcome=emotion): 1.0,
    }
    if category is not None:
        counted[of(PROBABILITY_OF_DEFAULT)] = 1
    return counted | reasons_of(offer)


async def in_a_good_mood(database: Database, user_id: UUID) -> None:
    client_id = await a_client(database, name="mood")
    await a_consent(database, user_id, client_id)
    await emotional_events(database, user_id, client_id, CHEERFUL)


async def ready_to_apply(ecs: Application, database: Database, meter: Meter) -> UUID:
    user_id = await an_applicant(ecs, database)
    meter.counted()
    return user_id


class TestApply:
    async def test_counts_an_offer(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        user_id = await ready_to_apply(ecs, database, meter)
        offer, _ = await ecs.credit.apply(user_id=user_id, request_id=None)
        assert offer.status == "offered"
        assert meter.counted() == decided(offer, emotion="no_consent")
        judged = offer.assessment.probability_of_default
        assert meter.total(PROBABILITY_OF_DEFAULT) == pytest.approx(judged)

    @pytest.mark.parametrize(
        ("month", "status"),
        [pytest.param(bad_month, "denied", id="denial"), pytest.param(thin_month, "referred")],
    )
    async def test_counts_the_reasons_of_anything_else(
        self, ecs: Application, database: Database, meter: Meter, month: Any, status: str
    ) -> None:
        offer = await a_decision(ecs, database, month)
        counted = meter.counted()
        assert offer.status == status
        assert reasons_of(offer)
        fed = of(TRANSACTIONS, verdict="accepted")
        assert {key: counted[key] for key in counted if key != fed} == decided(
            offer, emotion="no_consent"
        )

    async def test_counts_the_factor_of_emotional_data_that_took_part(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        user_id = await ready_to_apply(ecs, database, meter)
        await in_a_good_mood(database, user_id)
        offer, _ = await ecs.credit.apply(user_id=user_id, request_id=None)
        assert meter.counted() == decided(offer, emotion=USED) | {of(EMOTIONAL_FACTOR): 1}
        factor = offer.assessment.record["emotion"]["factor"]
        assert meter.total(EMOTIONAL_FACTOR) == pytest.approx(factor)
        assert factor > 1

    async def test_counts_no_part_of_emotional_data_where_nobody_was_judged(
        self, ecs: Application, database: Database, meter: Meter, user_id: UUID
    ) -> None:
        await in_a_good_mood(database, user_id)
        offer, _ = await ecs.credit.apply(user_id=user_id, request_id=None)
        assert offer.status == "referred"
        assert meter.counted() == decided(offer, emotion=NONE)

    async def test_counts_nothing_for_an_answer_that_stood(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        offer = await an_offer(ecs, database)
        meter.counted()
        await ecs.credit.apply(user_id=offer.user_id, request_id=None)
        assert meter.counted() == {}

    async def test_counts_one_decision_of_many_applications_at_once(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        user_id = await ready_to_apply(ecs, database, meter)
        answers = await asyncio.gather(
            *(ecs.credit.apply(user_id=user_id, request_id=None) for _ in range(5))
        )
        assert meter.counted() == decided(answers[0][0], emotion="no_consent")

    async def test_counts_the_offer_that_had_lapsed_as_expired(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        lapsed = await an_offer(ecs, database)
        await lapse(database, lapsed.id)
        meter.counted()
        offer, _ = await ecs.credit.apply(user_id=lapsed.user_id, request_id=None)
        assert meter.counted() == decided(offer, emotion="no_consent") | {of(OFFERS_EXPIRED): 1}

    async def test_counts_nothing_when_the_commit_fails(
        self, ecs: Application, database: Database, meter: Meter, owner: Any
    ) -> None:
        user_id = await ready_to_apply(ecs, database, meter)
        await refuse_commits(owner, "risk_assessments")
        with pytest.raises(RepositoryError):
            await ecs.credit.apply(user_id=user_id, request_id=None)
        assert meter.counted() == {}


class TestExpireLapsedOffers:
    async def test_counts_each_once(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        for _ in range(2):
            await lapse(database, (await an_offer(ecs, database)).id)
        meter.counted()
        for expired in ({of(OFFERS_EXPIRED): 2}, {}):
            await ecs.credit.expire_lapsed_offers()
            assert meter.counted() == expired


class TestAcceptOffer:
    async def test_counts_once_however_often_it_is_accepted(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        offer = await an_offer(ecs, database)
        meter.counted()
        await asyncio.gather(*(accept(ecs, offer) for _ in range(5)))
        await accept(ecs, offer)
        assert meter.counted() == {of(ACCEPTANCES): 1}

    async def test_counts_no_refusal(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        offer = await an_offer(ecs, database)
        await lapse(database, offer.id)
        meter.counted()
        with pytest.raises(OfferExpired):
            await accept(ecs, offer)
        assert meter.counted() == {}

    async def test_counts_nothing_when_the_commit_fails(
        self, ecs: Application, database: Database, meter: Meter, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        meter.counted()
        await refuse_commits(owner, "jobs")
        with pytest.raises(RepositoryError):
            await accept(ecs, offer)
        assert meter.counted() == {}


class TestOpenAccount:
    async def test_counts_one_account_and_the_time_since_the_accept(
        self, ecs: Application, database: Database, meter: Meter, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        await owner.execute(
            "UPDATE jobs SET created_at = created_at - interval '100 s' WHERE id = $1", job_id
        )
        meter.counted()
        await asyncio.gather(*(ecs.acceptance.open_account(job_id=job_id) for _ in range(5)))
        await ecs.acceptance.open_account(job_id=job_id)
        assert meter.counted() == {
            of(ACCOUNTS, outcome="account_opened"): 1,
            of(ACCEPT_TO_ACCOUNT_SECONDS): 1,
        }
        waited = await owner.fetchval(
            "SELECT a.opened_at - j.created_at FROM credit_accounts a, jobs j WHERE j.id = $1",
            job_id,
        )
        assert meter.total(ACCEPT_TO_ACCOUNT_SECONDS) == pytest.approx(waited.total_seconds())
        assert waited.total_seconds() > 100

    async def test_counts_a_refusal(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await disable(database, offer.user_id)
        meter.counted()
        await ecs.acceptance.open_account(job_id=job_id)
        assert meter.counted() == {of(ACCOUNTS, outcome="refused"): 1}

    async def test_counts_each_failed_attempt_and_what_is_given_up_in_the_end(
        self, ecs: Application, database: Database, meter: Meter, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        await owner.execute(BROKEN)
        meter.counted()
        for _ in range(4):
            await fail_once(ecs, job_id)
            assert meter.counted() == {of(JOB_FAILURES, kind=OPEN_ACCOUNT, then="retried"): 1}
        await fail_once(ecs, job_id)
        given_up = {
            of(JOB_FAILURES, kind=OPEN_ACCOUNT, then="given_up"): 1.0,
            of(ACCOUNTS, outcome="given_up"): 1.0,
        }
        assert meter.counted() == given_up
        await ecs.acceptance.open_account(job_id=job_id)
        await ecs.acceptance.give_up(job_id=job_id)
        assert meter.counted() == {}

    async def test_counts_what_nobody_could_take_as_given_up(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        meter.counted()
        await ecs.acceptance.give_up(job_id=job_id)
        assert meter.counted() == {
            of(JOB_FAILURES, kind=OPEN_ACCOUNT, then="given_up"): 1,
            of(ACCOUNTS, outcome="given_up"): 1,
        }

    async def test_counts_no_account_when_the_commit_fails(
        self, ecs: Application, database: Database, meter: Meter, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        meter.counted()
        await refuse_commits(owner, "credit_accounts")
        await fail_once(ecs, job_id)
        assert meter.counted() == {of(JOB_FAILURES, kind=OPEN_ACCOUNT, then="retried"): 1}


class TestConsents:
    async def grant(self, ecs: Application, user_id: UUID, client_id: UUID) -> None:
        await ecs.consents.grant(
            user_id=user_id, purpose=CREDIT, client_id=client_id, locale="en", request_id=None
        )

    async def test_count_each_change_and_no_repeat(
        self, ecs: Application, database: Database, meter: Meter, user_id: UUID
    ) -> None:
        clients = [await a_client(database, name=name) for name in ("watch", "phone")]
        for client_id in (*clients, clients[0]):
            await self.grant(ecs, user_id, client_id)
        assert meter.counted() == {of(CONSENT_CHANGES, purpose=CREDIT, change="granted"): 2}
        for change in ({of(CONSENT_CHANGES, purpose=CREDIT, change="withdrawn"): 2}, {}):
            await ecs.consents.withdraw(user_id=user_id, purpose=CREDIT, request_id=None)
            assert meter.counted() == change

    async def test_count_each_once_when_many_change_them_at_once(
        self, ecs: Application, meter: Meter, user_id: UUID, client_id: UUID
    ) -> None:
        await asyncio.gather(*(self.grant(ecs, user_id, client_id) for _ in range(5)))
        await asyncio.gather(
            *(
                ecs.consents.withdraw(user_id=user_id, purpose=CREDIT, request_id=None)
                for _ in range(5)
            )
        )
        assert meter.counted() == {
            of(CONSENT_CHANGES, purpose=CREDIT, change="granted"): 1,
            of(CONSENT_CHANGES, purpose=CREDIT, change="withdrawn"): 1,
        }


class TestIngest:
    async def test_counts_emotional_events_by_what_became_of_them(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        user_id, client_id = await a_pair(database)
        event, stranger = an_event(user_id, client_id), an_event(user_id, await a_client(database))
        for take in (ingest, ingest_unvouched):
            verdicts = await take(ecs, event, event, stranger)
            assert meter.counted() == {
                of(EMOTIONAL_EVENTS, verdict=one): verdicts.count(one) for one in set(verdicts)
            }
        nobody = await ingest_unvouched(ecs, an_event(user_id, user_id))
        assert nobody == [Verdict.UNKNOWN_CLIENT]
        assert meter.counted() == {of(EMOTIONAL_EVENTS, verdict="unknown_client"): 1}

    async def test_counts_transactions_by_what_became_of_them(
        self, ecs: Application, meter: Meter, user_id: UUID, client_id: UUID
    ) -> None:
        items = good_month(user_id, datetime.now(UTC))
        for verdict in ("accepted", "duplicate"):
            await ecs.transactions.ingest(items, client_id=client_id)
            assert meter.counted() == {of(TRANSACTIONS, verdict=verdict): len(items)}

    async def test_counts_nothing_when_the_commit_fails(
        self, ecs: Application, database: Database, meter: Meter, owner: Any, user_id: UUID
    ) -> None:
        client_id = await a_client(database)
        await a_consent(database, user_id, client_id)
        await refuse_commits(owner, "transactions", "emotional_events")
        with pytest.raises(RepositoryError):
            await ecs.transactions.ingest(
                good_month(user_id, datetime.now(UTC)), client_id=client_id
            )
        with pytest.raises(RepositoryError):
            await ingest(ecs, an_event(user_id, client_id))
        assert meter.counted() == {}
