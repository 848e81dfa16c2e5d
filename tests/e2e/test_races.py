"""Many at once, over both API processes: one offer, one account, one winner."""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest

from tests.e2e.support import (
    API_PROGRAMS,
    Outside,
    Person,
    at_most,
    bad_month,
    good_month,
    until,
)

log = logging.getLogger(__name__)

CROWD: Final = 50
# Each holds a connection of its process while it waits; together they leave the pools some.
QUEUE: Final = 12
TRIALS: Final = 40


class TestParallelApplies:
    async def test_make_one_offer_over_both_processes(self, ecs: Outside) -> None:
        person = await ecs.an_applicant()
        race = f"race-{uuid4()}"
        answers = await asyncio.gather(
            *(
                ecs.apply(person, by=door, request_id=f"{race}.{number}")
                for number, door in enumerate(_doors(ecs, CROWD))
            )
        )
        assert _statuses(answers) == {201: 1, 200: CROWD - 1}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert await _offers(ecs, person) == ["offered"]
        await _both_processes_served(ecs, race, requests=CROWD)

    async def test_of_a_denied_person_answer_with_decisions_that_were_made(
        self, ecs: Outside
    ) -> None:
        person = await ecs.an_applicant(bad_month())
        answers = await asyncio.gather(*(ecs.apply(person, by=door) for door in _doors(ecs, CROWD)))
        made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        assert set(_statuses(answers)) <= {200, 201}
        assert {answer.json()["id"] for answer in answers} == set(made)
        assert await _offers(ecs, person) == ["denied"] * len(made)
        assert len({answer.json()["assessment"]["score"] for answer in answers}) == 1

    @pytest.mark.parametrize("rows", [good_month(), bad_month()], ids=["offered", "denied"])
    async def test_that_wait_for_each_other_share_one_decision(
        self, ecs: Outside, rows: Any
    ) -> None:
        person = await ecs.an_applicant(rows)
        async with _held_back(ecs, person, waiting=QUEUE):
            applies = [
                asyncio.create_task(ecs.apply(person, by=door))
                for door in itertools.islice(itertools.cycle(ecs.api), QUEUE)
            ]
        answers = await asyncio.gather(*applies)
        assert _statuses(answers) == {201: 1, 200: QUEUE - 1}
        assert len({answer.json()["id"] for answer in answers}) == 1


class TestParallelAccepts:
    async def test_open_one_account_over_both_processes(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        race = f"race-{uuid4()}"
        answers = await asyncio.gather(
            *(
                ecs.accept(person, offer_id, by=door, request_id=f"{race}.{number}")
                for number, door in enumerate(_doors(ecs, CROWD))
            )
        )
        assert _statuses(answers) == {202: CROWD}
        assert len({answer.text for answer in answers}) == 1
        await ecs.assert_opened(person, offer_id, answers[0].json()["job_id"])
        jobs = await ecs.value(
            "SELECT count(*) FROM jobs WHERE user_id = $1 AND kind = 'open_account'", person.id
        )
        assert jobs == 1
        again = await ecs.accept(person, offer_id)
        assert (again.status_code, again.text) == (202, answers[0].text)
        await _both_processes_served(ecs, race, requests=CROWD)

    async def test_of_a_stranger_touch_nothing(self, ecs: Outside) -> None:
        owner, offer_id = await ecs.an_offer()
        strangers = await at_most(8, [ecs.someone() for _ in range(10)])
        answers = await asyncio.gather(*(ecs.accept(stranger, offer_id) for stranger in strangers))
        assert _statuses(answers) == {404: 10}
        assert await _offers(ecs, owner) == ["offered"]


class TestAcceptRacingExpiry:
    async def test_ends_accepted_with_an_account_or_expired_without(self, ecs: Outside) -> None:
        outcomes = Counter[int]()
        lead_ms = 20.0
        async with ecs.owner() as owner:
            for person, offer_id in await ecs.offers(TRIALS):
                await _expire_in(owner, offer_id, lead_ms)
                answer = await ecs.accept(person, offer_id)
                outcomes[answer.status_code] += 1
                # Closer to the edge each time: who wins gets less time, who loses more.
                lead_ms *= 0.8 if answer.status_code == 202 else 1.25
                await _agrees_with_its_answer(ecs, person, offer_id, answer)
        log.info("accept racing expiry: %s, last lead %.1f ms", dict(outcomes), lead_ms)
        assert set(outcomes) == {202, 409}


def _doors(ecs: Outside, count: int) -> list[httpx.AsyncClient]:
    """Half of the calls through Nginx, the others to each process directly."""
    first, second = ecs.api
    return [*itertools.islice(itertools.cycle([ecs.http, first, ecs.http, second]), count)]


def _statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def _offers(ecs: Outside, person: Person) -> list[str]:
    rows = await ecs.rows("SELECT status FROM credit_offers WHERE user_id = $1", person.id)
    return [row["status"] for row in rows]


async def _both_processes_served(ecs: Outside, race: str, *, requests: int) -> None:
    """Each process has logged some of the race's requests, and together all of them."""
    served: dict[str, int] = {}

    async def all_are_logged() -> bool:
        for program in API_PROGRAMS:
            lines = await asyncio.to_thread(ecs.logged, program, event="http.request")
            served[program] = sum(line["request_id"].startswith(race) for line in lines)
        return sum(served.values()) == requests

    await until(all_are_logged, seconds=5, what=f"{requests} requests of {race} in the logs")
    assert min(served.values()) > 0, served


@asynccontextmanager
async def _held_back(ecs: Outside, person: Person, *, waiting: int) -> AsyncIterator[None]:
    """Hold the lock of a person's applications until so many wait for it."""
    async with ecs.owner() as owner, owner.transaction():
        await owner.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"credit.apply:{person.id}"
        )
        yield

        async def all_wait() -> bool:
            seen = await owner.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
            return bool(seen == waiting)

        await until(all_wait, seconds=2, what=f"{waiting} waiting applications")


async def _expire_in(owner: Any, offer_id: str, milliseconds: float) -> None:
    await owner.execute(
        "UPDATE credit_offers SET created_at = now() - interval '1 hour',"
        " expires_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1",
        UUID(offer_id),
        milliseconds / 1000,
    )


async def _agrees_with_its_answer(
    ecs: Outside, person: Person, offer_id: str, answer: httpx.Response
) -> None:
    if answer.status_code == 202:
        await ecs.assert_opened(person, offer_id, answer.json()["job_id"])
        expected = "accepted"
    else:
        assert answer.json()["code"] == "offer_expired"
        accounts = "SELECT count(*) FROM credit_accounts WHERE user_id = $1"
        assert await ecs.value(accounts, person.id) == 0
        expected = "expired"
    shown = (await ecs.get(person, f"/api/v1/credit/offers/{offer_id}")).json()
    assert shown["status"] == expected
