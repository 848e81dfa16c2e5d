"""Events written beside the change that caused them: one by one, and many at once."""

import asyncio
import json
from typing import Any, Final
from uuid import UUID, uuid4

from ecs.bootstrap import Application
from ecs.domain.events import Cause, CreditReportGenerated, Event, OfferAccepted
from tests.statements import COMMIT, statement_log

REPORTS: Final = CreditReportGenerated.destination


def a_report(score: int = 700) -> CreditReportGenerated:
    return CreditReportGenerated(application_id=uuid4(), user_id=uuid4(), cibil_score=score)


async def write(ecs: Application, *events: tuple[UUID, Event, Cause]) -> None:
    async with ecs.outbox.unit_of_work() as uow:
        await uow.outbox.add_many(events)
        await uow.commit()


class TestAddMany:
    async def test_writes_each_event_as_if_it_were_alone(
        self, ecs: Application, owner: Any
    ) -> None:
        report, offer = a_report(), OfferAccepted(offer_id=uuid4())
        first, second = uuid4(), uuid4()
        await write(ecs, (first, report, Cause(request_id="req-1")), (second, offer, Cause()))
        found = {row["id"]: row for row in await owner.fetch("SELECT * FROM outbox_events")}
        assert set(found) == {first, second}
        assert found[first]["request_id"] == "req-1"
        assert found[second]["request_id"] is None
        assert (found[first]["name"], found[first]["kind"], found[first]["destination"]) == (
            report.name,
            report.kind,
            report.destination,
        )
        assert json.loads(found[first]["payload"]) == {
            "application_id": str(report.application_id),
            "user_id": str(report.user_id),
            "cibil_score": 700,
        }
        assert json.loads(found[second]["payload"]) == {"offer_id": str(offer.offer_id)}

    async def test_of_nothing_writes_nothing(self, ecs: Application, owner: Any) -> None:
        await write(ecs)
        assert await owner.fetchval("SELECT count(*) FROM outbox_events") == 0

    async def test_wakes_each_destination_once(self, ecs: Application, owner: Any) -> None:
        heard: list[str] = []
        await owner.add_listener("outbox", lambda *notification: heard.append(notification[-1]))
        reports = [(uuid4(), a_report(), Cause()) for _ in range(50)]
        await write(ecs, *reports, (uuid4(), OfferAccepted(offer_id=uuid4()), Cause()))
        await owner.execute("SELECT 1")
        await asyncio.sleep(0)
        assert sorted(heard) == sorted([REPORTS, OfferAccepted.destination])

    async def test_is_one_statement_however_many_they_are(
        self, ecs: Application, owner: Any
    ) -> None:
        events = [
            (uuid4(), a_report(score), Cause(request_id=f"req-{score}"))
            for score in range(300, 800)
        ]
        with statement_log() as said:
            await write(ecs, *events)
        assert (len(said), said[-1]) == (2, COMMIT)
        rows = await owner.fetch("SELECT id, payload, request_id FROM outbox_events")
        assert {
            (row["id"], json.loads(row["payload"])["cibil_score"], row["request_id"])
            for row in rows
        } == {(event_id, event.cibil_score, cause.request_id) for event_id, event, cause in events}
