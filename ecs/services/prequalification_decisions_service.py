"""The use case of the decision service: a score, an income and a loan become a status."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.measures import PREQUALIFICATION_SECONDS, PREQUALIFICATIONS
from ecs.domain.prequalification.application import Status
from ecs.domain.prequalification.decision import POLICY, decide
from ecs.domain.prequalification.pipeline import DecisionWanted, Move, ReportNotice, Verdict
from ecs.domain.telemetry import Measures
from ecs.repositories.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

CONSUMER: Final = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrequalificationDecisionsService:
    """Decisions about reported applications; one each."""

    unit_of_work: Callable[[], UnitOfWork]
    measures: Measures

    async def decide(self, batch: Sequence[ReportNotice]) -> dict[ReportNotice, Verdict]:
        """
        Decide each application that is reported and pending; return what became of each message.

        By what is stored, whatever a message says. Late and repeated messages change nothing. What
        is dead is not remembered: it may come again.
        """
        async with self.unit_of_work() as uow:
            wanted = await uow.prequalification_pipeline.find_wanted_decisions(
                {notice.application_id for notice in batch}
            )
            verdicts = {notice: _verdict(wanted.get(notice.application_id)) for notice in batch}
            open_notices = [notice for notice in verdicts if _is_open(notice, wanted)]
            fresh = await uow.processed_messages.remember_many(
                consumer=CONSUMER, message_ids={notice.event_id for notice in open_notices}
            )
            moves = _moves([notice for notice in open_notices if notice.event_id in fresh], wanted)
            moved = await uow.prequalification_pipeline.move(moves, policy=POLICY)
            await uow.commit()
        decided = [move for move in moves if move.application_id in moved]
        for move in decided:
            self._measure(move.outcome.status, age=moved[move.application_id])
        _tell(verdicts, decided)
        return verdicts

    def _measure(self, status: Status, *, age: timedelta) -> None:
        self.measures.count(PREQUALIFICATIONS, status=status)
        self.measures.observe(PREQUALIFICATION_SECONDS, age.total_seconds(), status=status)


def _verdict(wanted: DecisionWanted | None) -> Verdict:
    if wanted is None:
        return Verdict.UNKNOWN_APPLICATION
    if wanted.status is Status.PENDING and wanted.cibil_score is None:
        return Verdict.REPORT_MISSING
    return Verdict.DONE


def _is_open(notice: ReportNotice, wanted: Mapping[UUID, DecisionWanted]) -> bool:
    known = wanted.get(notice.application_id)
    return known is not None and known.status is Status.PENDING and known.cibil_score is not None


def _moves(notices: Sequence[ReportNotice], wanted: Mapping[UUID, DecisionWanted]) -> list[Move]:
    """Return one move for each application, however many messages name it."""
    by_application = {notice.application_id: notice for notice in notices}
    return [_move(notice, wanted[notice.application_id]) for notice in by_application.values()]


def _move(notice: ReportNotice, wanted: DecisionWanted) -> Move:
    assert wanted.cibil_score is not None
    outcome = decide(
        score=wanted.cibil_score,
        monthly_income=wanted.monthly_income,
        loan_amount=wanted.loan_amount,
    )
    return Move(
        application_id=wanted.application_id,
        version=wanted.version,
        outcome=outcome,
        request_id=notice.cause.request_id,
    )


def _tell(verdicts: Mapping[ReportNotice, Verdict], moves: Sequence[Move]) -> None:
    for move in moves:
        log.info(
            "prequalification.decided",
            application_id=str(move.application_id),
            status=move.outcome.status.value,
            request_id=move.request_id,
        )
    counts = Counter(verdict.value for verdict in verdicts.values())
    log.info("prequalification.handled", messages=len(verdicts), decided=len(moves), **counts)
