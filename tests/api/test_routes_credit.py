"""From an application to an account, in exactly the shapes of the contract."""

import asyncio
import re
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from httpx import Response

from tests.api.routes_support import Caller, Stage, acting, problem, settings_for
from tests.builders import Database, a_consent, emotional_events
from tests.unit.domain.credit.people import steady_mood

APPLY: Final = "/api/v1/credit/apply"
OFFERS: Final = "/api/v1/credit/offers"
INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DECISION_KEYS: Final = {
    *("id", "user_id", "status", "credit_type", "credit_limit", "apr", "currency"),
    *("tenor_months", "expires_at", "created_at", "assessment", "next_steps"),
}
ASSESSMENT_KEYS: Final = {
    *("id", "score", "risk_score", "probability_of_default", "risk_category", "model", "policy"),
    *("reasons", "limit", "emotion"),
}
WITHOUT_EMOTION: Final = {
    "used": False,
    "factor": "1.000000",
    "events": 0,
    "consent_ids": [],
    "absent_reason": "no_consent",
    "information": None,
}


async def apply(stage: Stage, person: Caller, **options: Any) -> Response:
    headers = {**person.headers, **options.pop("headers", {})}
    return await stage.client.post(APPLY, headers=headers, **options)


async def look(stage: Stage, person: Caller, path: str) -> Response:
    return await stage.client.get(path, headers=person.headers)


def is_id(text: str) -> bool:
    return str(UUID(text)) == text and UUID(text).version == 7


async def test_an_offer_has_the_shape_and_the_numbers_of_the_contract(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        response = await apply(stage, person)

    assert response.status_code == 201
    offer = response.json()
    assert set(offer) == DECISION_KEYS
    assert set(offer["assessment"]) == ASSESSMENT_KEYS
    assert is_id(offer.pop("id"))
    assert is_id(offer["assessment"].pop("id"))
    created, expires = offer.pop("created_at"), offer.pop("expires_at")
    assert INSTANT.fullmatch(created)
    assert INSTANT.fullmatch(expires)
    lifetime = datetime.fromisoformat(expires) - datetime.fromisoformat(created)
    assert lifetime.total_seconds() == 360 * 3600
    reasons = offer["assessment"].pop("reasons")
    assert {tuple(sorted(reason)) for reason in reasons} == {("code", "feature", "text", "value")}
    assert offer == {
        "user_id": str(person.id),
        "status": "offered",
        "credit_type": "long_term",
        "credit_limit": "5890.00",
        "apr": "0.141492",
        "currency": "BRL",
        "tenor_months": 36,
        "next_steps": [],
        "assessment": {
            "score": 574,
            "risk_score": "0.380752",
            "probability_of_default": "0.046934",
            "risk_category": "low",
            "model": {"id": "ecs-fin", "version": "0.1.0"},
            "policy": {"id": "credit", "version": "1.0.0"},
            "limit": {
                "base": "6904.09",
                "multipliers": {
                    "daily_spend": "1.000247",
                    "transaction_frequency": "0.957576",
                    "risk": "0.891734",
                    "emotional_trend": "1.000000",
                },
                "caps_bound": [],
                "without_emotion": "5890.00",
            },
            "emotion": WITHOUT_EMOTION,
        },
    }


async def test_a_shared_mood_raises_the_limit_alone_and_the_answer_says_so(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.an_eligible_person(), await stage.a_feed()
        consent_id = await a_consent(database, person.id, feed.id)
        await emotional_events(database, person.id, feed.id, steady_mood(0.6))
        response = await apply(stage, person)
        again = await look(stage, person, f"{OFFERS}/{response.json()['id']}")

    offer = response.json()
    assert again.json() == offer
    assert (offer["credit_limit"], offer["apr"]) == ("6060.00", "0.141492")
    assert offer["assessment"]["limit"]["without_emotion"] == "5890.00"
    # exp(0.4 x 0.15 x 31 / 39 x 0.6)
    assert offer["assessment"]["limit"]["multipliers"]["emotional_trend"] == "1.029029"
    assert offer["assessment"]["emotion"] == {
        "used": True,
        "factor": "1.029029",
        "events": 31,
        "consent_ids": [str(consent_id)],
        "absent_reason": None,
        "information": {"code": "E01", "text": "Your shared mood data raised the limit by 3 %"},
    }


async def test_a_denial_has_no_terms_and_at_least_one_reason(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person_to_deny()
        first, second = await apply(stage, person), await apply(stage, person)

    decision = first.json()
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["id"] != decision["id"]
    assert set(decision) == DECISION_KEYS
    assert decision["status"] == "denied"
    terms = ("credit_type", "credit_limit", "apr", "tenor_months", "expires_at")
    assert [decision[term] for term in terms] == [None] * 5
    assert 1 <= len(decision["assessment"]["reasons"]) <= 4
    assert isinstance(decision["assessment"]["score"], int)
    assert decision["assessment"]["limit"] is not None
    assert decision["assessment"]["emotion"] == WITHOUT_EMOTION


async def test_a_referral_has_no_numbers_and_says_what_would_help(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        response = await apply(stage, await stage.a_person())

    decision = response.json()
    assert response.status_code == 201
    assert set(decision) == DECISION_KEYS
    assert decision["status"] == "referred"
    terms = ("credit_type", "credit_limit", "apr", "tenor_months", "expires_at")
    assert [decision[term] for term in terms] == [None] * 5
    assessment = decision["assessment"]
    assert set(assessment) == ASSESSMENT_KEYS
    numbers = ("score", "risk_score", "probability_of_default", "risk_category", "limit")
    assert [assessment[number] for number in numbers] == [None] * 5
    assert [reason["code"] for reason in assessment["reasons"]] == ["R11"]
    assert decision["next_steps"]
    assert all(isinstance(step, str) and step for step in decision["next_steps"])


async def test_applying_again_answers_with_the_active_offer(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        answers = await asyncio.gather(*(apply(stage, person) for _ in range(8)))
        later = await apply(stage, person, json={})

        assert (await stage.stored())["credit_offers"] == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.text for answer in [*answers, later]}) == 1


async def test_after_a_lapse_comes_a_new_decision(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        lapsed = await stage.apply(person)
        await stage.lapse(lapsed["id"])
        shown = await look(stage, person, f"{OFFERS}/{lapsed['id']}")
        (listed,) = (await look(stage, person, OFFERS)).json()["data"]
        stored = await stage.run("SELECT status FROM credit_offers")
        refused = await stage.accept(person, lapsed["id"])
        fresh = await apply(stage, person)

    assert shown.json()["status"] == listed["status"] == "expired"
    assert stored == [{"status": "offered"}]
    problem(refused, 409, "offer_expired")
    assert (fresh.status_code, fresh.json()["status"]) == (201, "offered")
    assert fresh.json()["id"] != lapsed["id"]


@pytest.mark.parametrize("action", ["apply", "accept", "read"])
@pytest.mark.parametrize("field", ["status", "version", "user_id", "limit", "credit_limit"])
async def test_nobody_writes_their_own_terms(
    action: str, field: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        settled = await stage.a_settled_person()
        path = {
            "apply": APPLY,
            "accept": f"{OFFERS}/{settled.offer_id}/accept",
            "read": f"/api/v1/notifications/{settled.notification_id}/read",
        }[action]
        before = await stage.run("SELECT * FROM credit_offers, notifications, credit_accounts")
        headers = settled.person.headers
        in_body = await stage.client.post(path, json={field: "x"}, headers=headers)
        in_query = await stage.client.post(path, params={field: "x"}, headers=headers)

        after = await stage.run("SELECT * FROM credit_offers, notifications, credit_accounts")
    (error,) = problem(in_body, 422, "validation_failed")["errors"]
    assert (error["pointer"], error["code"]) == (f"/{field}", "unknown_field")
    (error,) = problem(in_query, 422, "unknown_parameter")["errors"]
    assert error["pointer"] == f"?{field}"
    assert after == before


async def test_one_decision_is_shown_as_it_was_made(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        offer = await stage.apply(person)
        one = await look(stage, person, f"{OFFERS}/{offer['id']}")
        upper = await look(stage, person, f"{OFFERS}/{offer['id'].upper()}")
        page = await look(stage, person, OFFERS)

    assert one.json() == upper.json() == offer
    assert page.json() == {"data": [offer], "has_more": False, "next_cursor": None}


async def test_every_accept_of_one_offer_gets_one_answer_for_ever(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        offer = await stage.apply(person)
        accepts = await asyncio.gather(*(stage.accept(person, offer["id"]) for _ in range(5)))
        accepted = accepts[0].json()
        await stage.ecs.acceptance.open_account(job_id=UUID(accepted["job_id"]))
        accepts.append(await stage.accept(person, offer["id"]))
        stored = await stage.stored()

    assert accepted == {
        "job_id": accepted["job_id"],
        "offer_id": offer["id"],
        "status": "processing",
        "status_url": f"/api/v1/jobs/{accepted['job_id']}",
    }
    assert {(answer.status_code, answer.text) for answer in accepts} == {(202, accepts[0].text)}
    assert {answer.headers["location"] for answer in accepts} == {accepted["status_url"]}
    assert (stored["credit_accounts"], stored["notifications"], stored["jobs"]) == (1, 1, 2)


async def test_a_job_is_followed_from_the_202_to_the_account(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        accepted = (await stage.accept(person, (await stage.apply(person))["id"])).json()
        queued = (await look(stage, person, accepted["status_url"])).json()
        await stage.ecs.acceptance.open_account(job_id=UUID(accepted["job_id"]))
        done = (await look(stage, person, accepted["status_url"])).json()
        account = (await look(stage, person, "/api/v1/credit/account")).json()

    finished_at = done["finished_at"]
    assert INSTANT.fullmatch(queued["created_at"])
    assert INSTANT.fullmatch(finished_at)
    assert queued == {
        "id": accepted["job_id"],
        "kind": "open_account",
        "status": "queued",
        "result": None,
        "error": None,
        "created_at": queued["created_at"],
        "finished_at": None,
    }
    result = {"account_id": account["id"]}
    assert done == queued | {"status": "succeeded", "result": result, "finished_at": finished_at}


async def test_the_account_has_the_terms_of_the_offer(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        offer = await stage.apply(person)
        accepted = (await stage.accept(person, offer["id"])).json()
        none_yet = await look(stage, person, "/api/v1/credit/account")
        await stage.ecs.acceptance.open_account(job_id=UUID(accepted["job_id"]))
        account = (await look(stage, person, "/api/v1/credit/account")).json()
        shown = (await look(stage, person, f"{OFFERS}/{offer['id']}")).json()
        refused = await apply(stage, person)

    problem(none_yet, 404, "no_account")
    assert is_id(account.pop("id"))
    assert INSTANT.fullmatch(account.pop("opened_at"))
    assert account == {
        "offer_id": offer["id"],
        "credit_type": offer["credit_type"],
        "credit_limit": offer["credit_limit"],
        "available_credit": offer["credit_limit"],
        "apr": offer["apr"],
        "currency": "BRL",
        "status": "active",
    }
    assert shown == {**offer, "status": "accepted"}
    problem(refused, 409, "account_exists")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("denied", "offer_denied"),
        ("referred", "offer_referred"),
        ("expired", "offer_expired"),
        ("void", "offer_void"),
    ],
)
async def test_what_is_no_open_offer_cannot_be_accepted(
    status: str, code: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        offer = await stage.apply(person)
        terms = (
            "credit_type = NULL, credit_limit_minor = NULL, apr = NULL, tenor_months = NULL,"
            " expires_at = NULL, "
        )
        no_terms = terms if status in {"denied", "referred"} else ""
        await stage.run(f"UPDATE credit_offers SET {no_terms} status = $1", status)
        response = await stage.accept(person, offer["id"])

        assert (await stage.stored())["jobs"] == 0
    problem(response, 409, code)


async def test_an_account_comes_before_every_other_refusal(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        lapsed = await stage.apply(person)
        await stage.lapse(lapsed["id"])
        offer = await stage.apply(person)
        accepted = (await stage.accept(person, offer["id"])).json()
        await stage.ecs.acceptance.open_account(job_id=UUID(accepted["job_id"]))

        problem(await stage.accept(person, lapsed["id"]), 409, "account_exists")
        problem(await stage.accept(person, str(uuid4())), 404, "offer_not_found")


async def test_a_job_that_a_rule_stopped_says_so(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        offer = await stage.apply(person)
        accepted = (await stage.accept(person, offer["id"])).json()
        await stage.run("UPDATE users SET disabled_at = now()")
        await stage.ecs.acceptance.open_account(job_id=UUID(accepted["job_id"]))
        await stage.run("UPDATE users SET disabled_at = NULL")
        job = await look(stage, person, accepted["status_url"])
        shown = await look(stage, person, f"{OFFERS}/{offer['id']}")
        told = await look(stage, person, "/api/v1/notifications")

    assert (job.json()["status"], job.json()["result"]) == ("failed", None)
    assert job.json()["error"] == {
        "code": "user_disabled",
        "message": "The user account is disabled.",
    }
    assert shown.json()["status"] == "void"
    assert [notification["kind"] for notification in told.json()["data"]] == ["acceptance_refused"]
