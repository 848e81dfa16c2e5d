"""The journey of one person: register, share, apply, accept, see the account."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from ecs.domain.transactions import IncomingTransaction
from scripts.demo.api import Answer, Api, DemoError
from scripts.demo.outcomes import Mood, Outcome
from scripts.demo.roles import Role
from scripts.demo_people import month_before

CURRENCY: Final = "BRL"  # The documented limits are amounts of it.
PURPOSE: Final = "emotion.credit_decision"
POLL_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 30.0
CENTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the ten of one run share: a mark in their addresses, a moment, the client program."""

    mark: str
    now: datetime
    password: str = field(repr=False)
    anybody: Api
    client: Api
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What somebody got, and where to find it again."""

    role: Role
    outcome: Outcome
    email: str
    user_id: str
    decision_id: str
    notification_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What came of an offer, as far as there was one."""

    answers: tuple[str, ...] = ()
    account: dict[str, Any] | None = None


async def visit(run: Run, role: Role, *, say: Callable[[str], None]) -> Visit:
    """
    Walk the whole journey as ``role``, telling each step.

    Raises:
        DemoError: it cannot go on.
    """
    email = f"{role.name.replace('_', '.')}.{run.mark}@demo.example.com"
    say("registers")
    user_id, person = await _registered(run, role, email)
    say("shares a month of money")
    await _feed(run, role, user_id)
    say("shares a week of moods" if role.week else "shares no mood")
    shared = await _share_moods(run, role, user_id, person)
    say("applies")
    first = await person.post("/api/v1/credit/apply")
    opened = await _open(first, person, role, say)
    notifications = (await person.get("/api/v1/notifications")).body["data"]
    return Visit(
        role=role,
        outcome=_outcome(
            first.body,
            opened,
            mood=_mood(first.body["assessment"]["emotion"], shared),
            notifications=tuple(one["kind"] for one in notifications),
        ),
        email=email,
        user_id=str(user_id),
        decision_id=first.body["id"],
        notification_ids=tuple(one["id"] for one in notifications),
    )


async def _registered(run: Run, role: Role, email: str) -> tuple[UUID, Api]:
    form = {"email": email, "full_name": role.full_name, "password": run.password}
    created = await run.anybody.post("/api/v1/users", form, expect=(201,))
    person = await run.anybody.as_person(email=email, password=run.password)
    return UUID(created.body["id"]), person


async def _feed(run: Run, role: Role, user_id: UUID) -> None:
    month = month_before(role.money, user_id=user_id, now=run.now, currency=CURRENCY)
    items = [_as_item(transaction) for transaction in month]
    answer = await run.client.post("/api/v1/transactions/ingest", {"transactions": items})
    for result in answer.body["results"]:
        if result["status"] != "accepted":
            raise DemoError(
                f"A transaction of {role.name} was not accepted: "
                f"{result.get('code', result['status'])} {result.get('message') or ''}"
            )


async def _share_moods(run: Run, role: Role, user_id: UUID, person: Api) -> dict[str, Any]:
    """Return how many were stored, how many refused, and by which code."""
    if role.consents:
        agreed = {"purpose": PURPOSE, "client_id": run.client_id, "locale": "en"}
        await person.post("/api/v1/consents", agreed, expect=(201,))
    if role.week is None:
        return {"stored": 0, "refused": 0, "refused_as": None}
    readings = role.week.readings_before(run.now, user_id=user_id)
    answer = await run.client.post(
        "/api/v1/emotions/ingest", {"events": [reading.as_event() for reading in readings]}
    )
    codes = {one["code"] for one in answer.body["results"] if one["status"] == "rejected"}
    return {
        "stored": answer.body["accepted"],
        "refused": answer.body["rejected"],
        "refused_as": ", ".join(sorted(codes)) or None,
    }


async def _open(first: Answer, person: Api, role: Role, say: Callable[[str], None]) -> _Opened:
    """Accept what is offered, wait for the account; return every answer on the way."""
    answers = [f"apply {first.status}"]
    if first.body["status"] != "offered":
        return _Opened(answers=tuple(answers))
    offer_id = first.body["id"]
    if role.returns:
        say("applies again")
        again = await person.post("/api/v1/credit/apply")
        answers.append(f"apply {again.status} {_same(again.body['id'] == offer_id, 'offer')}")
    say("accepts")
    accept = f"/api/v1/credit/offers/{offer_id}/accept"
    accepted = await person.post(accept, expect=(202,))
    answers.append(f"accept {accepted.status}")
    job = await _finished(person, accepted.body["status_url"], role)
    answers.append(f"job {job['status']}")
    if role.returns:
        say("asks for everything again")
        answers += await _answers_again(person, accept, accepted)
    account = (await person.get("/api/v1/credit/account")).body
    return _Opened(answers=tuple(answers), account=account)


async def _answers_again(person: Api, accept: str, accepted: Answer) -> list[str]:
    again = await person.post(accept, expect=(202,))
    refused = await person.post("/api/v1/credit/apply", expect=(200, 201, 409))
    return [
        f"accept {again.status} {_same(again.body == accepted.body, 'job')}",
        f"apply {refused.status} {refused.code}".rstrip(),
    ]


async def _finished(person: Api, path: str, role: Role) -> dict[str, Any]:
    """Ask until the job has ended: nobody tells a program outside."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        job: dict[str, Any] = (await person.get(path)).body
        if job["status"] == "succeeded":
            return job
        if job["status"] == "failed":
            raise DemoError(f"The account of {role.name} was not opened: {job['error']}")
        await asyncio.sleep(POLL_SECONDS)
    raise DemoError(
        f"The account of {role.name} is not open after {PATIENCE_SECONDS:.0f} s: "
        "do the workers run (make status)?"
    )


def _outcome(
    decision: dict[str, Any], opened: _Opened, *, mood: Mood, notifications: tuple[str, ...]
) -> Outcome:
    assessment = decision["assessment"]
    return Outcome(
        **{name: decision[name] for name in ("status", "credit_limit", "apr", "credit_type")},
        **{name: assessment[name] for name in ("score", "risk_category")},
        without_emotion=(assessment["limit"] or {}).get("without_emotion"),
        reasons=tuple(f"{one['code']} {one['text']}" for one in assessment["reasons"]),
        next_steps=tuple(decision["next_steps"]),
        mood=mood,
        answers=opened.answers,
        account_limit=opened.account["credit_limit"] if opened.account else None,
        notifications=notifications,
    )


def _mood(emotion: dict[str, Any], shared: dict[str, Any]) -> Mood:
    told = emotion["information"]
    return Mood(
        **shared,
        used=emotion["used"],
        information=told and f"{told['code']} {told['text']}",
    )


def _as_item(transaction: IncomingTransaction) -> dict[str, str | None]:
    sign, cents = "-" * (transaction.amount_minor < 0), abs(transaction.amount_minor)
    return {
        "transaction_id": str(transaction.transaction_id),
        "user_id": str(transaction.user_id),
        "occurred_at": transaction.occurred_at.isoformat(),
        "amount": f"{sign}{cents // CENTS}.{cents % CENTS:02d}",
        "currency": transaction.currency,
        "category": transaction.category,
    }


def _same(is_same: bool, what: str) -> str:  # noqa: FBT001  (the one thing it is about)
    return f"the same {what}" if is_same else f"another {what}"
