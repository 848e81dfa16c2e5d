"""Reads and writes of whole batches of applications, on their way to a decision."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.money import Money
from ecs.domain.prequalification.application import LoanType, Status
from ecs.domain.prequalification.pipeline import DecisionWanted, Move, ReportWanted

_FIND_WANTED_REPORTS: Final = text("""
SELECT a.id, a.user_id, a.monthly_income_minor, a.loan_type, a.pan_ciphertext,
       a.status = 'PENDING' AND NOT EXISTS (
           SELECT FROM credit_reports r WHERE r.application_id = a.id) AS is_open
FROM prequalification_applications a WHERE a.id = ANY(CAST(:ids AS uuid[]))
""")
# Applications are held until the end, so that nobody is forgotten between the check and the row;
# in the order of their ids, as everywhere, so that two batches cannot deadlock.
_ADD_REPORTS: Final = text("""
WITH held AS (
    SELECT id FROM prequalification_applications
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING'
    ORDER BY id FOR KEY SHARE
)
INSERT INTO credit_reports (application_id, cibil_score, bureau)
SELECT report.id, report.score, :bureau
FROM unnest(CAST(:ids AS uuid[]), CAST(:scores AS int[])) AS report (id, score)
WHERE report.id IN (SELECT id FROM held)
ORDER BY report.id
ON CONFLICT (application_id) DO NOTHING
RETURNING application_id
""")
_FIND_WANTED_DECISIONS: Final = text("""
SELECT a.id, a.status, a.version, a.monthly_income_minor, a.loan_amount_minor, r.cibil_score
FROM prequalification_applications a LEFT JOIN credit_reports r ON r.application_id = a.id
WHERE a.id = ANY(CAST(:ids AS uuid[]))
""")
# The version and the status decide who wins; the locks are there for their order.
_MOVE: Final = text("""
WITH held AS MATERIALIZED (
    SELECT id FROM prequalification_applications
    WHERE id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id FOR NO KEY UPDATE
), moved AS (
    UPDATE prequalification_applications a
    SET status = d.status, version = a.version + 1, decision_reason = d.reason,
        max_approved_minor = d.max_approved_minor, policy = :policy, updated_at = now()
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:versions AS int[]), CAST(:statuses AS text[]),
        CAST(:reasons AS text[]), CAST(:max_approved_minors AS bigint[]),
        CAST(:request_ids AS text[])
    ) AS d (id, version, status, reason, max_approved_minor, request_id)
    WHERE a.id = d.id AND a.version = d.version AND a.status = 'PENDING'
      AND d.id IN (SELECT id FROM held)
    RETURNING a.id, a.version, a.status, a.created_at, a.updated_at, d.request_id
), written AS (
    INSERT INTO prequalification_status_changes (application_id, version, status, at, request_id)
    SELECT id, version, status, updated_at, request_id FROM moved ORDER BY id
)
SELECT id, updated_at - created_at AS age FROM moved
""")


class PrequalificationPipelineRepository:
    """Applications in the hands of the bureau and of the decision."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find_wanted_reports(self, ids: Collection[UUID]) -> dict[UUID, ReportWanted]:
        """Return what a bureau is to be told about each of these applications that exists."""
        rows = await self._session.execute(_FIND_WANTED_REPORTS, {"ids": list(ids)})
        return {row.id: _wanted_report(row) for row in rows}

    async def add_reports(self, scores: Mapping[UUID, int], *, bureau: str) -> set[UUID]:
        """Store a score for each application that waits for one; return which did."""
        rows = await self._session.execute(
            _ADD_REPORTS, {"ids": list(scores), "scores": list(scores.values()), "bureau": bureau}
        )
        return set(rows.scalars())

    async def find_wanted_decisions(self, ids: Collection[UUID]) -> dict[UUID, DecisionWanted]:
        """Return what decides each of these applications that exists."""
        rows = await self._session.execute(_FIND_WANTED_DECISIONS, {"ids": list(ids)})
        return {row.id: _wanted_decision(row) for row in rows}

    async def move(self, moves: Sequence[Move], *, policy: str) -> dict[UUID, timedelta]:
        """Move each application that is still where it was seen; return how old those were."""
        amounts = [move.outcome.max_approved for move in moves]
        rows = await self._session.execute(
            _MOVE,
            {
                "policy": policy,
                "ids": [move.application_id for move in moves],
                "versions": [move.version for move in moves],
                "statuses": [move.outcome.status for move in moves],
                "reasons": [move.outcome.reason for move in moves],
                "max_approved_minors": [amount.cents if amount else None for amount in amounts],
                "request_ids": [move.request_id for move in moves],
            },
        )
        return {row.id: row.age for row in rows}


def _wanted_report(row: Row[Any]) -> ReportWanted:
    return ReportWanted(
        application_id=row.id,
        user_id=row.user_id,
        monthly_income=Money(row.monthly_income_minor),
        loan_type=LoanType(row.loan_type),
        pan_ciphertext=row.pan_ciphertext,
        is_open=row.is_open,
    )


def _wanted_decision(row: Row[Any]) -> DecisionWanted:
    return DecisionWanted(
        application_id=row.id,
        status=Status(row.status),
        version=row.version,
        monthly_income=Money(row.monthly_income_minor),
        loan_amount=Money(row.loan_amount_minor),
        cibil_score=row.cibil_score,
    )
