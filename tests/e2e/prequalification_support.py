"""Applicants for the tests of prequalification that stand outside of the whole system."""

import asyncio
import itertools
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from ecs.domain.streams import CREDIT_REPORTS
from scripts.stack.place import CHECKOUT
from tests.amqp import amqp_channel, waiting
from tests.e2e.emotions_support import rabbitmq_of
from tests.e2e.support import Outside, Person, until

APPLICATIONS: Final = "/api/v1/prequalification/applications"
FIRST_RETRY_QUEUE: Final = CREDIT_REPORTS.retry_queue(CREDIT_REPORTS.retry_seconds[0])
PROGRAMS: Final = ("credit-report", "decision", "outbox-relay")
# Each test process has a stack of its own, each run a database of its own: numbers do.
_NUMBERS: Final = itertools.count(os.getpid() % 100 * 100_000)


def new_pan() -> str:
    """A person's PAN that no other test uses."""
    letters, digits = divmod(next(_NUMBERS), 10_000)
    first, last = divmod(letters % 676, 26)
    return f"TST{'P'}{chr(65 + first)}{digits:04d}{chr(65 + last)}"


def an_application(pan: str | None = None, **changes: Any) -> dict[str, Any]:
    """An application's body; as it stands, it is pre-approved whatever the bureau's term."""
    return {
        "pan_number": pan or new_pan(),
        "applicant_name": "Asha Rao",
        "monthly_income_inr": 80_000,
        "loan_amount_inr": "500000.00",
        "loan_type": "HOME",
    } | changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicants:
    """People who apply, and what became of their applications."""

    world: Outside
    people: Sequence[Person] = field(repr=False)

    async def submit(
        self, body: dict[str, Any], *, by: int = 0, key: str | None = None
    ) -> httpx.Response:
        headers = dict(self.people[by % len(self.people)].headers)
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.world.http.post(APPLICATIONS, json=body, headers=headers)

    async def submitted(self, body: dict[str, Any], *, by: int = 0) -> str:
        """Apply, and return the application's id."""
        answer = await self.submit(body, by=by)
        assert answer.status_code == 202, answer.text
        assert answer.json()["status"] == "PENDING"
        return str(answer.json()["application_id"])

    async def status(self, application_id: str, *, by: int = 0) -> dict[str, Any]:
        person = self.people[by % len(self.people)]
        answer = await self.world.get(person, f"{APPLICATIONS}/{application_id}/status")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def decided(
        self, application_id: str, *, by: int = 0, seconds: float = 30
    ) -> dict[str, Any]:
        """Wait for the decision, by asking as its owner would; return the status."""
        found: dict[str, Any] = {}

        async def is_decided() -> bool:
            found.update(await self.status(application_id, by=by))
            return str(found["status"]) != "PENDING"

        await until(is_decided, seconds=seconds, what=f"the decision on {application_id}")
        return found

    async def all_decided(self, ids: Sequence[str], *, seconds: float) -> float:
        """Wait until each of them is decided; return how long it took."""

        async def are_decided() -> bool:
            open_ones = await self.world.value(
                "SELECT count(*) FROM prequalification_applications"
                " WHERE id = ANY($1::uuid[]) AND status = 'PENDING'",
                list(ids),
            )
            return int(open_ones) == 0

        return await until(are_decided, seconds=seconds, what="all decisions")

    async def assert_decided_once(self, ids: Sequence[str]) -> None:
        """One report, one decision, one change of status for each of them."""
        rows = await self.world.rows(
            "SELECT a.id, a.version, (SELECT count(*) FROM credit_reports r"
            "    WHERE r.application_id = a.id) AS reports,"
            " (SELECT count(*) FROM prequalification_status_changes c"
            "    WHERE c.application_id = a.id) AS changes"
            " FROM prequalification_applications a WHERE a.id = ANY($1::uuid[])",
            list(ids),
        )
        assert len(rows) == len(set(ids))
        odd = [
            dict(row)
            for row in rows
            if (row["version"], row["reports"], row["changes"]) != (2, 1, 2)
        ]
        assert not odd, odd[:5]


def numbered(prefix: str) -> Iterator[str]:
    """Idempotency keys, each another one."""
    return (f"{prefix}-{number:08d}" for number in itertools.count())


async def lie_in(ecs: Outside, queue: str, count: int) -> bool:
    """Return whether so many messages lie in a queue."""

    def are_there() -> bool:
        with amqp_channel(rabbitmq_of(ecs.stack)) as channel:
            return waiting(channel, queue) == count

    return await asyncio.to_thread(are_there)


@asynccontextmanager
async def without_credit_report(ecs: Outside) -> AsyncIterator[None]:
    """Have nobody ask the bureau."""
    await asyncio.to_thread(ecs.stack.stop_program, "credit-report")
    try:
        yield
    finally:
        await asyncio.to_thread(ecs.stack.start_program, "credit-report")


@asynccontextmanager
async def own_credit_report(ecs: Outside, **settings: str) -> AsyncIterator[None]:
    """Have a worker with other settings ask the bureau."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.credit_report"),
        cwd=CHECKOUT,
        env=ecs.stack.env | {"STACK_ID": ecs.stack.place.stack_id} | settings,
        stdout=DEVNULL,
    )
    try:
        yield
    finally:
        worker.terminate()
        await worker.wait()
