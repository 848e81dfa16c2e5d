"""The use case of the credit service: decrypt a PAN, ask the bureau, report the score."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.audit import SYSTEM, AuditAction, AuditEntry
from ecs.domain.events import CreditReportGenerated
from ecs.domain.measures import BUREAU_SECONDS
from ecs.domain.prequalification.application import CreditEnquiry
from ecs.domain.prequalification.pan import Pan
from ecs.domain.prequalification.pipeline import ReportWanted, SubmissionNotice, Verdict
from ecs.domain.telemetry import Measures
from ecs.integrations.exceptions import BureauUnavailable, DecryptionFailed, UnknownKey
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.ports import Bureau, NewId, PanCipher

log = structlog.get_logger(__name__)

CONSUMER: Final = "credit-report"
SERVICE: Final = "credit-report"

Wanted = Mapping[UUID, ReportWanted]
"""What is stored about the applications of a batch, by their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditReportsService:
    """Scores of applications, asked for at a bureau; one report each."""

    unit_of_work: Callable[[], UnitOfWork]
    cipher: PanCipher
    bureau: Bureau
    new_id: NewId
    measures: Measures

    async def report(self, batch: Sequence[SubmissionNotice]) -> dict[SubmissionNotice, Verdict]:
        """
        Store a report for each application that waits for one; return what became of each message.

        The audit of what is going to be decrypted is committed before. Nothing is locked while the
        bureau answers; the second unit of work checks again. Late and repeated messages decrypt
        nothing. What is dead or passing is not remembered: it may come again.
        """
        verdicts = dict.fromkeys(batch, Verdict.DONE)
        wanted, waiting = await self._announce(verdicts)
        scores: dict[SubmissionNotice, int] = {}
        for message, answer in zip(waiting, await self._ask_all(waiting, wanted), strict=True):
            if isinstance(answer, Verdict):
                verdicts[message] = answer
            else:
                scores[message] = answer
        verdicts |= {
            message: Verdict.UNKNOWN_APPLICATION
            for message in verdicts
            if message.application_id not in wanted
        }
        if scores:
            await self._store(scores, wanted)
        counts = Counter(verdict.value for verdict in verdicts.values())
        log.info("credit-reports.handled", messages=len(verdicts), asked=len(waiting), **counts)
        return verdicts

    async def _announce(
        self, batch: Iterable[SubmissionNotice]
    ) -> tuple[Wanted, list[SubmissionNotice]]:
        """Return what is stored, and the messages to act on, once their audit is committed."""
        async with self.unit_of_work() as uow:
            wanted = await uow.prequalification_pipeline.find_wanted_reports(
                {message.application_id for message in batch}
            )
            known = await uow.processed_messages.find_known(
                consumer=CONSUMER, message_ids={message.event_id for message in batch}
            )
            waiting = [
                message
                for message in batch
                if message.event_id not in known
                and message.application_id in wanted
                and wanted[message.application_id].is_open
            ]
            if waiting:
                await uow.audit.add([_decryption(message) for message in waiting])
            await uow.commit()
        return wanted, waiting

    async def _ask_all(
        self, waiting: Iterable[SubmissionNotice], wanted: Wanted
    ) -> list[int | Verdict]:
        asking = (self._ask(message, wanted[message.application_id]) for message in waiting)
        return await asyncio.gather(*asking)

    async def _ask(self, message: SubmissionNotice, wanted: ReportWanted) -> int | Verdict:
        try:
            pan = self._decrypt(message, wanted)
            return await self._enquire(
                CreditEnquiry(
                    application_id=wanted.application_id,
                    pan=pan,
                    monthly_income=wanted.monthly_income,
                    loan_type=wanted.loan_type,
                )
            )
        except UnknownKey:
            return Verdict.UNKNOWN_KEY
        except DecryptionFailed:
            return Verdict.UNDECRYPTABLE
        except BureauUnavailable:
            return Verdict.BUREAU_UNAVAILABLE

    async def _enquire(self, enquiry: CreditEnquiry) -> int:
        started = time.monotonic()
        try:
            score = await self.bureau.score(enquiry)
        except BureauUnavailable:
            self._measure(started, outcome="unavailable")
            raise
        self._measure(started, outcome="score")
        return score

    def _measure(self, started: float, *, outcome: str) -> None:
        self.measures.observe(BUREAU_SECONDS, time.monotonic() - started, outcome=outcome)

    def _decrypt(self, message: SubmissionNotice, wanted: ReportWanted) -> Pan:
        """
        Return the PAN, which the message and the row must agree on.

        By what is stored alone, when the message's key was retired meanwhile.
        """
        stored = self.cipher.decrypt(wanted.pan_ciphertext, application_id=wanted.application_id)
        if message.pan_ciphertext == wanted.pan_ciphertext:
            return stored
        try:
            sent = self.cipher.decrypt(
                message.pan_ciphertext, application_id=message.application_id
            )
        except UnknownKey:
            return stored
        if sent != stored:
            raise DecryptionFailed("the message and the row hold two PANs")
        return stored

    async def _store(self, scores: Mapping[SubmissionNotice, int], wanted: Wanted) -> None:
        """Remember the messages and store what is still wanted, with the event that says so."""
        by_application = {message.application_id: score for message, score in scores.items()}
        causes = {message.application_id: message.cause for message in scores}
        async with self.unit_of_work() as uow:
            await uow.processed_messages.remember_many(
                consumer=CONSUMER, message_ids={message.event_id for message in scores}
            )
            reported = await uow.prequalification_pipeline.add_reports(
                by_application, bureau=self.bureau.name
            )
            await uow.outbox.add_many(
                [
                    (
                        self.new_id(),
                        CreditReportGenerated(
                            application_id=application_id,
                            user_id=wanted[application_id].user_id,
                            cibil_score=by_application[application_id],
                        ),
                        causes[application_id],
                    )
                    for application_id in sorted(reported)
                ]
            )
            await uow.commit()
        for application_id in reported:
            log.info(
                "credit-reports.reported",
                application_id=str(application_id),
                request_id=causes[application_id].request_id,
            )


def _decryption(message: SubmissionNotice) -> AuditEntry:
    return AuditEntry(
        actor=SYSTEM,
        service=SERVICE,
        action=AuditAction.DECRYPT,
        application_id=message.application_id,
        request_id=message.cause.request_id,
    )
