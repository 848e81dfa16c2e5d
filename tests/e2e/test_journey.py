"""The main job from outside: apply, understand the offer, accept it, have an account."""

import asyncio
import itertools
import logging
import math
import statistics
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from tests.e2e.support import (
    API_PROGRAMS,
    WORKER_PROGRAMS,
    Outside,
    Person,
    Row,
    bad_month,
    good_month,
    until,
)

log = logging.getLogger(__name__)

PASSWORD: Final = "four quiet horses"
ESSENTIALS: Final = {"housing", "utilities", "groceries", "transport", "health"}
# PD -> risk score; the specification's corners.
CORNERS: Final = ((0.001, 0.0), (0.03, 0.25), (0.07, 0.5), (0.2, 0.75), (0.9, 1.0))
BANDS: Final = (
    (0.03, "very_low", "long_term", 36),
    (0.07, "low", "long_term", 36),
    (0.2, "medium", "short_term", 12),
)
MICRO: Final = Decimal("0.000001")
CENT: Final = Decimal("0.01")


class TestTheJourney:
    async def test_a_newcomer_registers_applies_accepts_and_has_an_account(
        self, ecs: Outside
    ) -> None:
        person = await _registered(ecs)
        assert (await ecs.get(person, "/api/v1/credit/account")).status_code == 404
        assert (await ecs.ingest(person.id, good_month())).json()["accepted"] == 60

        offer = (await ecs.apply(person)).json()
        job_id = await ecs.accepted_job(person, offer["id"])
        job = await ecs.assert_opened(person, offer["id"], job_id)

        account = (await ecs.get(person, "/api/v1/credit/account")).json()
        assert job["result"] == {"account_id": account["id"]}
        assert account["offer_id"] == offer["id"]
        for term in ("credit_type", "credit_limit", "apr", "currency"):
            assert account[term] == offer[term]
        assert account["available_credit"] == offer["credit_limit"]
        assert (await ecs.get(person, "/api/v1/users/me")).json()["active_account"] is not None

    async def test_the_notification_is_read_once_and_stays_read(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        await ecs.assert_opened(person, offer_id, await ecs.accepted_job(person, offer_id))
        listed = (await ecs.get(person, "/api/v1/notifications")).json()
        assert [(one["kind"], one["read_at"]) for one in listed["data"]] == [
            ("account_opened", None)
        ]
        path = f"/api/v1/notifications/{listed['data'][0]['id']}/read"
        for _ in range(2):
            assert (await ecs.http.post(path, headers=person.headers)).status_code == 204
        again = (await ecs.get(person, "/api/v1/notifications")).json()
        assert again["data"][0]["read_at"] is not None

    async def test_nobody_applies_while_an_account_is_open(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        await ecs.assert_opened(person, offer_id, await ecs.accepted_job(person, offer_id))
        refused = await ecs.apply(person)
        assert (refused.status_code, refused.json()["code"]) == (409, "account_exists")

    async def test_a_denied_person_is_told_why(self, ecs: Outside) -> None:
        person = await ecs.an_applicant(bad_month())
        answer = await ecs.apply(person)
        assert (answer.status_code, answer.json()["status"]) == (201, "denied")
        assert 1 <= len(answer.json()["assessment"]["reasons"]) <= 4
        refused = await ecs.accept(person, answer.json()["id"])
        assert (refused.status_code, refused.json()["code"]) == (409, "offer_denied")

    async def test_an_account_is_open_soon_after_the_accept(self, ecs: Outside) -> None:
        times = []
        for person, offer_id in await ecs.offers(20):
            started = time.monotonic()
            job_id = await ecs.accepted_job(person, offer_id)
            await ecs.finished_job(person, job_id)
            times.append(time.monotonic() - started)
        median = statistics.median(times)
        log.info("accept to account: median %.3f s, at most %.3f s", median, max(times))
        assert median < 3


class TestTheRequestId:
    async def test_of_the_accept_is_found_from_the_api_to_the_worker(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        request_id = f"journey-{uuid4()}"
        answer = await ecs.accept(person, offer_id, request_id=request_id)
        assert answer.headers["X-Request-ID"] == request_id
        job_id = answer.json()["job_id"]
        await ecs.assert_opened(person, offer_id, job_id)

        expected = {
            API_PROGRAMS: {"event": "http.request", "method": "POST"},
            ("outbox-relay",): {"event": "outbox.published", "event_id": job_id},
            WORKER_PROGRAMS: {"event": "credit.acceptance-finished", "offer_id": offer_id},
        }
        for programs, fields in expected.items():
            await _is_logged(ecs, *programs, request_id=request_id, **fields)

    async def test_of_the_apply_is_kept_in_the_record(self, ecs: Outside) -> None:
        person = await ecs.an_applicant()
        request_id = f"journey-{uuid4()}"
        answer = await ecs.apply(person, request_id=request_id)
        recorded = await ecs.value(
            "SELECT request_id FROM risk_assessments WHERE id = $1",
            answer.json()["assessment"]["id"],
        )
        assert recorded == request_id


MONTHS: Final[dict[str, list[Row]]] = {
    "ordinary month": good_month(),
    "little left to repay with": [
        *((5.0 * week, 75_000, "income") for week in range(1, 5)),
        (3, -180_000, "housing"),
        *((day + 0.5, -3_000, "groceries") for day in range(30 - 1)),
    ],
    "no categories": [
        (2, 450_000, None),
        (17, 450_000, None),
        *((day + 0.25, -11_111, None) for day in range(28)),
    ],
    "large income, little spent": [
        (1, 3_000_000, "income"),
        (16, 3_000_000, "income"),
        *((day + 0.25, -40_000, "leisure") for day in range(29)),
        *((day + 0.75, -9_900, "transport") for day in range(29)),
    ],
    "older rows do not count": [*good_month(), (30.01, 9_900_000, "income"), (45, -5_000, "fee")],
}


class TestTheNumbers:
    @pytest.mark.parametrize("rows", MONTHS.values(), ids=MONTHS.keys())
    async def test_of_an_offer_follow_from_its_score_and_the_inputs(
        self, ecs: Outside, rows: list[Row]
    ) -> None:
        person = await ecs.an_applicant(rows)
        offer = (await ecs.apply(person)).json()
        assert offer["status"] == "offered", offer
        inputs = Inputs.of(rows)
        expected = recomputed(offer["assessment"]["score"], inputs)
        assert _printed(offer) == expected
        assert _moment(offer["expires_at"]) - _moment(offer["created_at"]) == timedelta(hours=360)
        assert offer["assessment"]["emotion"] == {
            "used": False,
            "factor": "1.000000",
            "events": 0,
            "consent_ids": [],
            "absent_reason": "no_consent",
            "information": None,
        }

    def test_are_those_of_the_contract_in_its_example(self) -> None:
        inputs = Inputs(rows=60, inflow=6000, outflow=4800, debts=600, essentials=3300)
        assert recomputed(569, inputs) == {
            "probability_of_default": "0.055323",
            "risk_score": "0.429460",
            "risk_category": "low",
            "credit_type": "long_term",
            "tenor_months": 36,
            "apr": "0.153662",
            "base": "5359.29",
            "daily_spend": "1.000247",
            "transaction_frequency": "0.957576",
            "risk": "0.862758",
            "emotional_trend": "1.000000",
            "caps_bound": [],
            "without_emotion": "4420.00",
            "credit_limit": "4420.00",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The five numbers of a month by which an offer is recomputed."""

    rows: int
    inflow: float
    outflow: float
    debts: float
    essentials: float

    @classmethod
    def of(cls, rows: list[Row]) -> "Inputs":
        recent = [row for row in rows if row[0] <= 30]
        outflow = _spent(recent)
        known = any(category for _, _, category in recent)
        return cls(
            rows=len(recent),
            inflow=sum(cents for _, cents, _ in recent if cents > 0) / 100,
            outflow=outflow,
            debts=_spent(recent, {"debt_payment"}) if known else 0,
            essentials=_spent(recent, ESSENTIALS) if known else outflow / 2,
        )


def recomputed(score: int, month: Inputs) -> dict[str, Any]:
    """The offer of somebody without emotional data, by the text of the specification alone."""
    default = 1 / (1 + math.exp((score - 600) / (20 / math.log(2)) + math.log(50)))
    risk = _risk_score(default)
    _, category, credit_type, months = next(band for band in BANDS if default < band[0])
    apr = Decimal(0.08 + 0.17 * (min(risk, 0.75) / 0.75) ** 1.5).quantize(MICRO, ROUND_HALF_EVEN)
    base = 50_000 * math.exp(-5.2 * risk)
    multipliers = _multipliers(risk, month)
    uncapped = base * math.prod(multipliers.values())
    caps = _caps(month, apr=float(apr), months=months)
    limit = _down_to_tens(min(uncapped, *caps.values()))
    return {
        "probability_of_default": _rounded(default, MICRO),
        "risk_score": _rounded(risk, MICRO),
        "risk_category": category,
        "credit_type": credit_type,
        "tenor_months": months,
        "apr": str(apr),
        "base": _rounded(base, CENT),
        **{name: _rounded(factor, MICRO) for name, factor in multipliers.items()},
        "caps_bound": sorted(name for name, cap in caps.items() if cap < uncapped),
        "without_emotion": limit,
        "credit_limit": limit,
    }


def _risk_score(default: float) -> float:
    def logit(chance: float) -> float:
        return math.log(chance / (1 - chance))

    at = logit(default)
    if at <= logit(CORNERS[0][0]):
        return 0.0
    for (left, low), (right, high) in itertools.pairwise(CORNERS):
        if at <= logit(right):
            return low + (high - low) * (at - logit(left)) / (logit(right) - logit(left))
    return 1.0


def _multipliers(risk: float, month: Inputs) -> dict[str, float]:
    spend = _unit((min(month.outflow, month.inflow) / 30 - 50) / 4950)
    frequency = _unit((month.rows / 30 - 0.1) / 9.9)
    return {
        "daily_spend": 1 + 0.5 * spend**2,
        "transaction_frequency": 0.9 + 0.3 * frequency,
        "risk": 0.7 + 0.5 * (1 - risk) ** 2,
        "emotional_trend": 1.0,
    }


def _caps(month: Inputs, *, apr: float, months: int) -> dict[str, float]:
    instalment = 0.3 * (month.inflow - month.debts - month.essentials)
    monthly = apr / 12
    return {
        "absolute": 50_000,
        "income": 3 * month.inflow,
        "affordability": max(0.0, instalment * (1 - (1 + monthly) ** -months) / monthly),
    }


def _unit(number: float) -> float:
    return min(max(number, 0.0), 1.0)


def _rounded(number: float, step: Decimal) -> str:
    return str(Decimal(number).quantize(step, ROUND_HALF_EVEN))


def _down_to_tens(amount: float) -> str:
    cents = Decimal(amount).quantize(CENT, ROUND_HALF_EVEN)
    return str((cents // 10 * 10).quantize(CENT))


def _spent(rows: list[Row], categories: set[str] | None = None) -> float:
    return (
        sum(
            -cents
            for _, cents, category in rows
            if cents < 0 and (categories is None or category in categories)
        )
        / 100
    )


def _printed(offer: dict[str, Any]) -> dict[str, Any]:
    assessment = offer["assessment"]
    limit = assessment["limit"]
    return {
        **{name: assessment[name] for name in ("probability_of_default", "risk_score")},
        "risk_category": assessment["risk_category"],
        **{name: offer[name] for name in ("credit_type", "tenor_months", "apr", "credit_limit")},
        "base": limit["base"],
        **limit["multipliers"],
        "caps_bound": sorted(limit["caps_bound"]),
        "without_emotion": limit["without_emotion"],
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestPrivacy:
    async def test_no_log_of_any_program_repeats_what_a_person_told_us(self, ecs: Outside) -> None:
        mark = uuid4().hex
        registration = {
            "email": f"{mark}@example.com",
            "full_name": f"Maria {mark}",
            "password": f"four quiet {mark}",
        }
        for status in (201, 409):  # The second one breaks a unique key inside PostgreSQL.
            answer = await ecs.http.post("/api/v1/users", json=registration)
            assert answer.status_code == status
        form = {"grant_type": "password", "username": registration["email"], "password": mark}
        assert (await ecs.http.post("/token", data=form)).status_code == 400

        logs = sorted(ecs.stack.place.logs.glob("*.log"))

        assert {"api-1.log", "postgres.log", "nginx.log"} <= {path.name for path in logs}
        assert [path.name for path in logs if mark in path.read_text(errors="replace")] == []


async def _registered(ecs: Outside) -> Person:
    """Somebody who came in by the front door: registered, then logged in."""
    email = f"{uuid4()}@example.com"
    form = {"email": email, "full_name": "Maria Souza", "password": PASSWORD}
    created = await ecs.http.post("/api/v1/users", json=form)
    assert created.status_code == 201, created.text
    login = {"grant_type": "password", "username": email, "password": PASSWORD}
    token: httpx.Response = await ecs.http.post("/token", data=login)
    assert token.status_code == 200, token.text
    return Person(id=created.json()["id"], token=token.json()["access_token"])


async def _is_logged(ecs: Outside, *programs: str, **fields: str) -> None:
    async def is_there() -> bool:
        return bool(await asyncio.to_thread(ecs.logged, *programs, **fields))

    await until(is_there, seconds=5, what=f"a line of {programs} with {fields}")
