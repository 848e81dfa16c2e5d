"""One business transaction: a session and the repositories that share it."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ecs.repositories.audit_repository import AuditRepository
from ecs.repositories.auth_repository import AuthRepository
from ecs.repositories.backlog_repository import BacklogRepository
from ecs.repositories.consents_repository import ConsentsRepository
from ecs.repositories.credit_repository import CreditRepository
from ecs.repositories.database import translate
from ecs.repositories.decision_records_repository import DecisionRecordsRepository
from ecs.repositories.emotions_repository import EmotionsRepository
from ecs.repositories.encrypted_pans_repository import EncryptedPansRepository
from ecs.repositories.idempotency_repository import IdempotencyRepository
from ecs.repositories.jobs_repository import JobsRepository
from ecs.repositories.maintenance_repository import MaintenanceRepository
from ecs.repositories.notifications_repository import NotificationsRepository
from ecs.repositories.outbox_repository import OutboxRepository
from ecs.repositories.prequalification_pipeline_repository import PrequalificationPipelineRepository
from ecs.repositories.prequalification_repository import PrequalificationRepository
from ecs.repositories.processed_messages_repository import ProcessedMessagesRepository
from ecs.repositories.transactions_repository import TransactionsRepository


class UnitOfWork:
    """
    All or nothing.

    Leaving the block without ``commit()`` rolls everything back. Errors of the driver leave it as
    ``RepositoryError``s.
    """

    audit: AuditRepository
    encrypted_pans: EncryptedPansRepository
    idempotency: IdempotencyRepository
    prequalification: PrequalificationRepository
    prequalification_pipeline: PrequalificationPipelineRepository
    auth: AuthRepository
    backlog: BacklogRepository
    consents: ConsentsRepository
    credit: CreditRepository
    decision_records: DecisionRecordsRepository
    emotions: EmotionsRepository
    jobs: JobsRepository
    maintenance: MaintenanceRepository
    notifications: NotificationsRepository
    outbox: OutboxRepository
    processed_messages: ProcessedMessagesRepository
    transactions: TransactionsRepository

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        *,
        trace_parent: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._sessions = sessions
        self._trace_parent = trace_parent

    async def __aenter__(self) -> Self:
        self._session = self._sessions()
        self.audit = AuditRepository(self._session)
        self.encrypted_pans = EncryptedPansRepository(self._session)
        self.idempotency = IdempotencyRepository(self._session)
        self.prequalification = PrequalificationRepository(self._session)
        self.prequalification_pipeline = PrequalificationPipelineRepository(self._session)
        self.auth = AuthRepository(self._session)
        self.backlog = BacklogRepository(self._session)
        self.consents = ConsentsRepository(self._session)
        self.credit = CreditRepository(self._session)
        self.decision_records = DecisionRecordsRepository(self._session)
        self.emotions = EmotionsRepository(self._session)
        self.jobs = JobsRepository(self._session)
        self.maintenance = MaintenanceRepository(self._session)
        self.notifications = NotificationsRepository(self._session)
        self.outbox = OutboxRepository(self._session, trace_parent=self._trace_parent)
        self.processed_messages = ProcessedMessagesRepository(self._session)
        self.transactions = TransactionsRepository(self._session)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._session.close()  # Rolls back whatever was not committed.
        except Exception as closing:  # noqa: BLE001  (gone; what happened before says more)
            if exc is None:
                raise translate(closing) or closing from None
        translated = translate(exc) if exc is not None else None
        if translated is not None:
            # Without its cause: PostgreSQL's details repeat whole rows, and would reach a log.
            raise translated from None

    async def commit(self) -> None:
        """Make every change of this unit of work durable."""
        await self._session.commit()
