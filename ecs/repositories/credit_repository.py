"""Reads and writes of decisions, offers and accounts."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.credit.agreements import (
    Acceptance,
    CreditAccount,
    CreditOffer,
    OfferStatus,
    StoredAssessment,
)
from ecs.domain.credit.decision import Decision
from ecs.domain.money import Money
from ecs.domain.period import Window
from ecs.repositories.applicant_file import ApplicantFile, read_applicant_file
from ecs.repositories.decision_values import assessment_values, offer_values
from ecs.repositories.exceptions import NotFoundError

# "offered" ends by the database's clock, swept or not.
_OFFER_COLUMNS: Final = """
    o.id, o.user_id, o.credit_type, o.credit_limit_minor, o.apr, o.currency, o.tenor_months,
    o.expires_at, o.created_at, o.job_id,
    CASE WHEN o.status = 'offered' AND o.expires_at <= now() THEN 'expired' ELSE o.status END
        AS status,
    r.id AS assessment_id, r.score, r.risk_score, r.probability_of_default, r.risk_category,
    r.model_id, r.model_version, r.policy_id, r.policy_version, r.record
"""
_OFFERS: Final = f"SELECT {_OFFER_COLUMNS} FROM credit_offers o JOIN risk_assessments r ON r.id = o.assessment_id"  # noqa: E501, S608  (constant)
_FIND_OFFER: Final = text(f"{_OFFERS} WHERE o.id = :offer_id AND o.user_id = :user_id")
_LIST_OFFERS: Final = text(
    f"{_OFFERS} WHERE o.user_id = :user_id AND (CAST(:after AS uuid) IS NULL OR o.id < :after)"
    " ORDER BY o.id DESC LIMIT :limit"
)
# The active one if there is one (lapsed or not), else the newest decision.
_STANDING_OFFER: Final = text(
    _OFFERS  # noqa: S608  (constant)
    + " WHERE o.id = coalesce("
    "(SELECT id FROM credit_offers"
    " WHERE user_id = :user_id AND status IN ('offered', 'accepting')),"
    " (SELECT id FROM credit_offers WHERE user_id = :user_id ORDER BY id DESC LIMIT 1))"
)
_NEWEST_ID: Final = text(
    "SELECT id FROM credit_offers WHERE user_id = :user_id ORDER BY id DESC LIMIT 1"
)
_LOCK_APPLICANT: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
_EXPIRE_LAPSED: Final = text("""
UPDATE credit_offers SET status = 'expired'
WHERE id IN (
    SELECT id FROM credit_offers
    WHERE status = 'offered' AND expires_at <= now()
      AND (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id)
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
RETURNING id
""")
_CLAIM_OFFER: Final = text("""
UPDATE credit_offers SET status = 'accepting', job_id = :job_id
WHERE id = :offer_id AND user_id = :user_id AND status = 'offered' AND expires_at > now()
  AND NOT EXISTS (
      SELECT FROM credit_accounts a WHERE a.user_id = :user_id AND a.status = 'active')
RETURNING id
""")
_MOVE_OFFER: Final = text(
    "UPDATE credit_offers SET status = :to_status,"
    " job_id = CASE WHEN :to_status = 'offered' THEN NULL ELSE job_id END"
    " WHERE id = :offer_id AND job_id = :job_id AND status = 'accepting' RETURNING id"
)
_ADD_ACCOUNT: Final = text("""
INSERT INTO credit_accounts (id, user_id, offer_id, credit_type, credit_limit_minor,
                             available_credit_minor, apr, currency, status, opened_at)
SELECT :id, o.user_id, o.id, o.credit_type, o.credit_limit_minor, o.credit_limit_minor, o.apr,
       o.currency, 'active', now()
FROM credit_offers o WHERE o.id = :offer_id
RETURNING opened_at
""")
_FIND_ACCOUNT: Final = text(
    "SELECT id, offer_id, credit_type, credit_limit_minor, available_credit_minor, apr, currency,"
    " status, opened_at FROM credit_accounts WHERE user_id = :user_id AND status = 'active'"
)
_GET_ACCEPTANCE: Final = text("""
SELECT o.id, o.user_id, o.status, o.credit_limit_minor, o.currency,
       u.disabled_at IS NULL AS user_enabled,
       EXISTS (SELECT FROM credit_accounts a
               WHERE a.user_id = o.user_id AND a.status = 'active') AS account_exists,
       (SELECT e.request_id FROM outbox_events e WHERE e.id = o.job_id) AS request_id
FROM credit_offers o JOIN users u ON u.id = o.user_id
WHERE o.job_id = :job_id FOR UPDATE OF o
""")
_ADD_ASSESSMENT: Final = text("""
INSERT INTO risk_assessments (id, user_id, decided_at, request_id, model_id, model_version,
    model_sha256, policy_id, policy_version, policy_sha256, transaction_ids, inputs_sha256,
    consent_ids, emotional_event_ids, emotional_client_ids, score, probability_of_default,
    risk_score, risk_category, record)
VALUES (:id, :user_id, :decided_at, :request_id, :model_id, :model_version, :model_sha256,
    :policy_id, :policy_version, :policy_sha256, CAST(:transaction_ids AS uuid[]), :inputs_sha256,
    CAST(:consent_ids AS uuid[]), CAST(:emotional_event_ids AS uuid[]),
    CAST(:emotional_client_ids AS uuid[]), :score, :probability_of_default,
    :risk_score, :risk_category, CAST(:record AS jsonb))
""")
_ADD_OFFER: Final = text("""
INSERT INTO credit_offers (id, user_id, assessment_id, status, credit_type, credit_limit_minor,
    apr, currency, tenor_months, expires_at, created_at)
VALUES (:id, :user_id, :assessment_id, :status, :credit_type, :credit_limit_minor, :apr,
    :currency, :tenor_months, :expires_at, :created_at)
""")


class CreditRepository:
    """Decisions, offers and accounts, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find_newest_decision_id(self, user_id: UUID) -> UUID | None:
        """Return the id of this person's newest decision, or None."""
        found = await self._session.execute(_NEWEST_ID, {"user_id": user_id})
        return found.scalar_one_or_none()

    async def lock_applicant(self, user_id: UUID) -> None:
        """Wait until no other application of this person runs; held until the transaction ends."""
        await self._session.execute(_LOCK_APPLICANT, {"key": f"credit.apply:{user_id}"})

    async def find_standing_offer(self, user_id: UUID) -> CreditOffer | None:
        """Return the offer that is active or has lapsed unswept, else the newest decision."""
        return await self._find_offer(_STANDING_OFFER, user_id=user_id)

    async def get_applicant_file(
        self, user_id: UUID, *, currency: str, money: Window, mood: Window | None
    ) -> ApplicantFile:
        """
        Return the newest rows of each half-open window before now.

        Without a window of mood no emotional table is touched, not even that of the consents.
        """
        return await read_applicant_file(
            self._session, user_id, currency=currency, money=money, mood=mood
        )

    async def add_decision(  # noqa: PLR0913  (the identity of two rows)
        self,
        decision: Decision,
        *,
        offer_id: UUID,
        assessment_id: UUID,
        user_id: UUID,
        request_id: str | None,
        currency: str,
        lifetime: timedelta,
    ) -> CreditOffer:
        """Append to the record of decisions; store and return what the application came to."""
        await self._session.execute(
            _ADD_ASSESSMENT,
            assessment_values(
                decision, assessment_id=assessment_id, user_id=user_id, request_id=request_id
            ),
        )
        await self._session.execute(
            _ADD_OFFER,
            offer_values(
                decision,
                offer_id=offer_id,
                user_id=user_id,
                assessment_id=assessment_id,
                currency=currency,
                lifetime=lifetime,
            ),
        )
        offer = await self.find_offer(offer_id, user_id=user_id)
        assert offer is not None  # Written in this very transaction.
        return offer

    async def find_offer(self, offer_id: UUID, *, user_id: UUID) -> CreditOffer | None:
        """Return the decision if it is this person's, or None."""
        return await self._find_offer(_FIND_OFFER, offer_id=offer_id, user_id=user_id)

    async def list_offers(
        self, user_id: UUID, *, limit: int, after: UUID | None
    ) -> list[CreditOffer]:
        """Return this person's decisions, newest first, those behind ``after``."""
        rows = await self._session.execute(
            _LIST_OFFERS, {"user_id": user_id, "limit": limit, "after": after}
        )
        return [_offer(row) for row in rows]

    async def expire_lapsed(self, *, user_id: UUID | None = None, limit: int) -> int:
        """Mark up to ``limit`` offers whose time is over; return how many."""
        rows = await self._session.execute(_EXPIRE_LAPSED, {"user_id": user_id, "limit": limit})
        return len(rows.all())

    async def claim_offer(self, offer_id: UUID, *, user_id: UUID, job_id: UUID) -> bool:
        """Take an open offer for ``job_id``; return whether it was this call that took it."""
        claimed = await self._session.execute(
            _CLAIM_OFFER, {"offer_id": offer_id, "user_id": user_id, "job_id": job_id}
        )
        return claimed.scalar_one_or_none() is not None

    async def get_acceptance(self, job_id: UUID) -> Acceptance:
        """Return what ``job_id`` is to finish and lock the offer, or raise ``NotFoundError``."""
        row = (await self._session.execute(_GET_ACCEPTANCE, {"job_id": job_id})).one_or_none()
        if row is None:
            raise NotFoundError("offer of job")
        return Acceptance(
            offer_id=row.id,
            user_id=row.user_id,
            status=OfferStatus(row.status),
            credit_limit=Money(row.credit_limit_minor),
            currency=row.currency,
            user_enabled=row.user_enabled,
            account_exists=row.account_exists,
            request_id=row.request_id,
        )

    async def move_offer(self, offer_id: UUID, *, job_id: UUID, to: OfferStatus) -> bool:
        """Move an offer that ``job_id`` is accepting; return whether it still was."""
        moved = await self._session.execute(
            _MOVE_OFFER, {"offer_id": offer_id, "job_id": job_id, "to_status": str(to)}
        )
        return moved.scalar_one_or_none() is not None

    async def add_account(self, account_id: UUID, *, offer_id: UUID) -> datetime:
        """Open the account on the offer's terms; return when it was opened."""
        opened = await self._session.execute(_ADD_ACCOUNT, {"id": account_id, "offer_id": offer_id})
        opened_at: datetime = opened.scalar_one()
        return opened_at

    async def find_active_account(self, user_id: UUID) -> CreditAccount | None:
        """Return this person's open account, or None."""
        row = (await self._session.execute(_FIND_ACCOUNT, {"user_id": user_id})).one_or_none()
        return None if row is None else _account(row)

    async def _find_offer(self, statement: Any, **values: Any) -> CreditOffer | None:
        row = (await self._session.execute(statement, values)).one_or_none()
        return None if row is None else _offer(row)


def _offer(row: Row[Any]) -> CreditOffer:
    return CreditOffer(
        id=row.id,
        user_id=row.user_id,
        status=OfferStatus(row.status),
        credit_type=row.credit_type,
        credit_limit=None if row.credit_limit_minor is None else Money(row.credit_limit_minor),
        apr=row.apr,
        currency=row.currency,
        tenor_months=row.tenor_months,
        expires_at=row.expires_at,
        created_at=row.created_at,
        job_id=row.job_id,
        assessment=StoredAssessment(
            id=row.assessment_id,
            score=row.score,
            risk_score=row.risk_score,
            probability_of_default=row.probability_of_default,
            risk_category=row.risk_category,
            model_id=row.model_id,
            model_version=row.model_version,
            policy_id=row.policy_id,
            policy_version=row.policy_version,
            record=row.record,
        ),
    )


def _account(row: Row[Any]) -> CreditAccount:
    return CreditAccount(
        id=row.id,
        offer_id=row.offer_id,
        credit_type=row.credit_type,
        credit_limit=Money(row.credit_limit_minor),
        available_credit=Money(row.available_credit_minor),
        apr=row.apr,
        currency=row.currency,
        status=row.status,
        opened_at=row.opened_at,
    )
