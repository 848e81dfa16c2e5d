"""
One effect for a request, however often it is sent: the ``Idempotency-Key``.

Two lines in a use case, inside of its unit of work:

    kept = await self.idempotency.recall(uow, request)    # first; a result means: nothing to do
    await self.idempotency.keep(uow, request, {...})      # last, before the commit
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import IdempotencyInProgress, IdempotencyKeyReused
from ecs.services.ports import Fingerprint

KEPT_FOR: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRequest:
    """
    A request that its caller named with a key.

    ``payload`` is everything the request says, spelled canonically: equal payloads are equal
    requests. Neither it nor the key is ever stored, only their HMACs.
    """

    caller: str
    method: str
    route: str
    key: str = field(repr=False)
    payload: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """Remembers what requests came to; without a key nothing is asked and nothing kept."""

    fingerprint: Fingerprint

    async def recall(
        self, uow: UnitOfWork, request: KeyedRequest | None
    ) -> Mapping[str, Any] | None:
        """
        Return the result this request got before, or None: it is to be served now, by us alone.

        Raises:
            IdempotencyInProgress: it is being served elsewhere at this moment.
            IdempotencyKeyReused: the key named another request.
        """
        if request is None:
            return None
        scope = self._scope(request)
        if not await uow.idempotency.claim(scope):
            raise IdempotencyInProgress
        kept = await uow.idempotency.find(scope, younger_than=KEPT_FOR)
        if kept is None:
            return None
        if kept.payload != self._payload(request):
            raise IdempotencyKeyReused
        return kept.result

    async def keep(
        self, uow: UnitOfWork, request: KeyedRequest | None, result: Mapping[str, Any]
    ) -> None:
        """Keep ``result``, without personal data, in the transaction of the effect."""
        if request is not None:
            await uow.idempotency.add(
                self._scope(request), payload=self._payload(request), result=result
            )

    def _scope(self, request: KeyedRequest) -> bytes:
        return self.fingerprint("scope", request.caller, request.method, request.route, request.key)

    def _payload(self, request: KeyedRequest) -> bytes:
        return self.fingerprint("payload", request.payload)
