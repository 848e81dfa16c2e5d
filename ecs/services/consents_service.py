"""Use cases of consents: give, see and withdraw them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.consents import Consent, ConsentText, Purpose, find_purpose, find_text
from ecs.domain.measures import CONSENT_CHANGES
from ecs.domain.telemetry import Measures
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import (
    Busy,
    ClientNotFound,
    ConsentTextNotFound,
    PurposeNotFound,
)
from ecs.services.ports import NewId

log = structlog.get_logger(__name__)

CONSENTS_MAX: Final = 1000
# Each lost attempt means that somebody else's grant and withdrawal came in between.
ATTEMPTS_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentsService:
    """What people allow, in a ledger that is only ever added to."""

    unit_of_work: Callable[[], UnitOfWork]
    new_id: NewId
    measures: Measures

    async def grant(
        self,
        *,
        user_id: UUID,
        purpose: Purpose,
        client_id: UUID,
        locale: str,
        request_id: str | None,
    ) -> tuple[Consent, bool]:
        """
        Let a client serve this purpose; return the consent that stands, and whether it is new.

        Raises:
            ConsentTextNotFound: there are no words in this locale to agree to.
            ClientNotFound: there is no such client program, or it is disabled.
            Busy: others changed this very consent all the time.
        """
        words = self.get_text(purpose, locale=locale)
        for _ in range(ATTEMPTS_MAX):
            consent = await self._add(
                words, user_id=user_id, client_id=client_id, request_id=request_id
            )
            if consent is not None:
                return consent, True
            standing = await self._find_standing(user_id, purpose, client_id)
            if standing is not None:
                return standing, False
        raise Busy

    async def withdraw(
        self,
        *,
        user_id: UUID,
        purpose: Purpose,
        client_id: UUID | None = None,
        request_id: str | None,
    ) -> int:
        """
        End the person's consents to ``purpose``, for one client or all; return how many stood.

        Safe to repeat. Takes effect at the next ingest and the next decision.
        """
        async with self.unit_of_work() as uow:
            standing = await uow.consents.list_active(user_id, purpose=purpose, client_id=client_id)
            withdrawn = await uow.consents.withdraw(
                [consent.id for consent in standing],
                ids=[self.new_id() for _ in standing],
                request_id=request_id,
            )
            await uow.commit()
        self.measures.count(CONSENT_CHANGES, withdrawn, purpose=purpose, change="withdrawn")
        log.info(
            "consents.withdrawn",
            user_id=str(user_id),
            purpose=purpose.value,
            client_id=None if client_id is None else str(client_id),
            consents=withdrawn,
        )
        return withdrawn

    async def list_consents(self, user_id: UUID) -> list[Consent]:
        """Return up to 1,000 consents the person gave: those that stand first, then the newest."""
        async with self.unit_of_work() as uow:
            return await uow.consents.list_consents(user_id, limit=CONSENTS_MAX)

    async def list_active(self, user_id: UUID) -> list[Consent]:
        """Return the consents that stand, newest first."""
        async with self.unit_of_work() as uow:
            return await uow.consents.list_active(user_id)

    def get_purpose(self, name: str) -> Purpose:
        """Return the purpose called ``name``, or raise ``PurposeNotFound``."""
        purpose = find_purpose(name)
        if purpose is None:
            raise PurposeNotFound
        return purpose

    def get_text(self, purpose: Purpose, *, locale: str, version: str | None = None) -> ConsentText:
        """Return the words of ``version``, or the newest; or raise ``ConsentTextNotFound``."""
        words = find_text(purpose, locale=locale, version=version)
        if words is None:
            raise ConsentTextNotFound
        return words

    async def _add(
        self, words: ConsentText, *, user_id: UUID, client_id: UUID, request_id: str | None
    ) -> Consent | None:
        async with self.unit_of_work() as uow:
            consent = await uow.consents.grant(
                self.new_id(), words, user_id=user_id, client_id=client_id, request_id=request_id
            )
            if consent is None:
                return None
            await uow.commit()
        self.measures.count(CONSENT_CHANGES, purpose=consent.purpose, change="granted")
        log.info(
            "consents.granted",
            consent_id=str(consent.id),
            user_id=str(user_id),
            client_id=str(client_id),
            purpose=consent.purpose.value,
            text_version=consent.text_version,
        )
        return consent

    async def _find_standing(
        self, user_id: UUID, purpose: Purpose, client_id: UUID
    ) -> Consent | None:
        """Return what stands; ``ClientNotFound`` when nothing does and nothing can."""
        async with self.unit_of_work() as uow:
            standing = await uow.consents.find_standing(
                user_id=user_id, purpose=purpose, client_id=client_id
            )
            if standing is None and not await uow.consents.is_client_enabled(client_id):
                raise ClientNotFound
        return standing
