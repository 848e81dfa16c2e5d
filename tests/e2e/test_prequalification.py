"""From an application to its decision, through Nginx, three processes and the broker."""

import asyncio
import time
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.e2e.prequalification_support import APPLICATIONS, Applicants, an_application, new_pan
from tests.e2e.support import Outside

DECIDED_SECONDS_MAX: Final = 2.0
REVIEWS: Final = "/api/v1/prequalification/reviews"
# An income that does not exceed a forty-eighth of the loan.
IN_REVIEW: Final[dict[str, Any]] = {"monthly_income_inr": 80_000, "loan_amount_inr": 80_000 * 48}


@pytest.fixture
async def applicants(ecs: Outside) -> Applicants:
    """Three people without anything."""
    return Applicants(world=ecs, people=[await ecs.someone() for _ in range(3)])


@pytest.mark.parametrize(
    ("pan", "income", "loan", "status", "score"),
    [
        ("ABCDE1234F", "50000", "2000000", "PRE_APPROVED", 790),
        ("FGHIJ5678K", "50000", "500000", "REJECTED", 610),
    ],
    ids=["pre-approved", "rejected"],
)
async def test_the_two_known_applicants_are_decided_in_two_seconds(
    applicants: Applicants, pan: str, income: str, loan: str, status: str, score: int
) -> None:
    started = time.monotonic()
    application_id = await applicants.submitted(
        an_application(pan, monthly_income_inr=income, loan_amount_inr=loan)
    )
    decided = await applicants.decided(application_id)
    assert time.monotonic() - started < DECIDED_SECONDS_MAX
    assert (decided["status"], decided["cibil_score"]) == (status, score)
    assert decided["pan_number_masked"] == f"XXXXXX{pan[-4:]}"
    assert [entry["status"] for entry in decided["history"]] == ["PENDING", status]
    approved = status == "PRE_APPROVED"
    assert decided["max_approved_amount_inr"] == ("2400000.00" if approved else None)
    assert decided["decision_reason"]


async def test_one_request_id_leads_through_every_process(
    applicants: Applicants, ecs: Outside
) -> None:
    request_id = f"trace-{uuid4()}"
    answer = await ecs.http.post(
        APPLICATIONS,
        json=an_application(),
        headers=applicants.people[0].headers | {"X-Request-ID": request_id},
    )
    await applicants.decided(answer.json()["application_id"])
    for program in ("outbox-relay", "credit-report", "decision"):
        assert ecs.logged(program, request_id=request_id), program
    noted = await ecs.rows("SELECT action FROM audit_log WHERE request_id = $1", request_id)
    assert sorted(row["action"] for row in noted) == ["DECRYPT", "ENCRYPT"]


class TestAnApplicationOfSmallIncome:
    async def test_waits_for_an_officer_whose_word_is_final(
        self, applicants: Applicants, ecs: Outside
    ) -> None:
        application_id = await applicants.submitted(an_application(**IN_REVIEW))
        assert (await applicants.decided(application_id))["status"] == "MANUAL_REVIEW"
        assert application_id in await self._waiting(ecs)
        verdict = {"decision": "PRE_APPROVED", "reason": "A second income was shown."}
        first, second = await asyncio.gather(
            *(self._review(ecs, application_id, verdict) for _ in range(2))
        )
        assert sorted([first.status_code, second.status_code]) == [200, 409]
        seen = await applicants.status(application_id)
        assert seen["decision_reason"] == verdict["reason"]
        assert [entry["status"] for entry in seen["history"]] == [
            "PENDING",
            "MANUAL_REVIEW",
            "PRE_APPROVED",
        ]
        assert application_id not in await self._waiting(ecs)

    async def _review(self, ecs: Outside, application_id: str, body: dict[str, Any]) -> Any:
        return await ecs.http.post(
            f"{APPLICATIONS}/{application_id}/review", json=body, headers=ecs.client_headers
        )

    async def _waiting(self, ecs: Outside) -> list[str]:
        answer = await ecs.http.get(REVIEWS, headers=ecs.client_headers, params={"limit": 100})
        assert answer.status_code == 200, answer.text
        return [item["application_id"] for item in answer.json()["data"]]


class TestAPanThatAppliedAlready:
    async def test_is_refused_and_only_its_owner_is_told_where_it_is(
        self, applicants: Applicants
    ) -> None:
        pan = new_pan()
        application_id = await applicants.submitted(an_application(pan))
        own = (await applicants.submit(an_application(pan.lower()))).json()
        others = (await applicants.submit(an_application(f" {pan} "), by=1)).json()
        assert own["code"] == others["code"] == "duplicate_application"
        assert own["application_id"] == application_id
        assert application_id not in str(others)
        assert set(own) - {"application_id"} == set(others)

    async def test_may_apply_again_once_it_was_rejected(self, applicants: Applicants) -> None:
        body = an_application(monthly_income_inr=20_000, loan_type="PERSONAL")
        first = await applicants.submitted(body)
        assert (await applicants.decided(first))["status"] == "REJECTED"
        second = await applicants.submitted(body, by=1)
        assert second != first


class TestAnIdempotencyKey:
    async def test_makes_one_application_of_twenty_requests_to_two_instances(
        self, applicants: Applicants, ecs: Outside
    ) -> None:
        body, key = an_application(), f"key-{uuid4()}"
        answers = await asyncio.gather(
            *(
                ecs.api[number % 2].post(
                    APPLICATIONS,
                    json=body,
                    headers=applicants.people[0].headers | {"Idempotency-Key": key},
                )
                for number in range(20)
            )
        )
        done = [answer for answer in answers if answer.status_code == 202]
        assert {answer.status_code for answer in answers} <= {202, 409}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
            "idempotency_in_progress"
        }
        [application_id] = {answer.json()["application_id"] for answer in done}
        assert sum("Idempotency-Replayed" not in answer.headers for answer in done) == 1
        again = await applicants.submit(body, key=key)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.content in {answer.content for answer in done}
        assert again.headers["Location"].endswith(f"{application_id}/status")
