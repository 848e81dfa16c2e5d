"""Rotation of the key that PANs are encrypted with, while everything goes on."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.audit import AuditAction, AuditEntry
from ecs.domain.key_id import is_key_id
from ecs.integrations.exceptions import CipherError
from ecs.repositories.encrypted_pans_repository import EncryptedPan, Store
from ecs.repositories.exceptions import DatabaseUnavailable
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.ports import PanCipher

log = structlog.get_logger(__name__)

SERVICE: Final = "rotate-encryption"
ACTOR: Final = "operator"
BATCH: Final = 200
# A process that still encrypts with an old key would keep a rotation going for ever.
PASSES_MAX: Final = 8
PAUSE_SECONDS: Final = 0.5
FIRST: Final = UUID(int=0)
UNREADABLE: Final = "(unreadable)"

OnBatch = Callable[[int], None]
"""Hears after each batch how many ciphertexts were looked at in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    What a rotation did, and what it left: applications by id, ciphertexts by their key's id.

    An application that cannot be read may have several ciphertexts: its row's, and its event's.
    """

    rotated: int
    unreadable: tuple[UUID, ...]
    unreadable_ciphertexts: int
    left: Mapping[str, int]


@dataclass(slots=True, kw_only=True)
class _Work:
    """A rotation so far. ``unreadable`` are applications by the row that cannot be read."""

    rotated: int = 0
    unreadable: dict[UUID, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionService:
    """
    Re-encrypts every stored PAN that is not under the active key.

    Any number may run at once and be killed anywhere: a ciphertext is replaced only where it is
    still the one that was read, and what is left is found again.
    """

    unit_of_work: Callable[[], UnitOfWork]
    cipher: PanCipher

    async def rotate(self, *, on_batch: OnBatch, pause_seconds: float = PAUSE_SECONDS) -> Rotation:
        """Go over all ciphertexts until a pass finds none to re-encrypt, or there is no end."""
        work = _Work()
        for _ in range(PASSES_MAX):
            found = [await self._pass(store, work, on_batch) for store in Store]
            if not any(found):
                break
            await asyncio.sleep(pause_seconds)
        left = await self.left()
        log.info("encryption.rotated", rotated=work.rotated, left=sum(left.values()))
        return Rotation(
            rotated=work.rotated,
            unreadable=tuple(sorted(set(work.unreadable.values()))),
            unreadable_ciphertexts=len(work.unreadable),
            left=left,
        )

    async def left(self) -> dict[str, int]:
        """Return how many ciphertexts are not under the active key, by the id of theirs."""
        async with self.unit_of_work() as uow:
            counted = await uow.encrypted_pans.count_by_key()
        left: dict[str, int] = {}
        for key_id, number in counted.items():
            if key_id != self.cipher.active_key_id:
                name = key_id if is_key_id(key_id) else UNREADABLE
                left[name] = left.get(name, 0) + number
        return left

    async def _pass(self, store: Store, work: _Work, on_batch: OnBatch) -> int:
        """Go over a store once; return how many ciphertexts there were to be re-encrypted."""
        found, after, is_last = 0, FIRST, False
        while not is_last:
            batch = await self._announce(store, after=after, work=work)
            readable = [pan for pan in batch if pan.id not in work.unreadable]
            work.rotated += await self._reencrypt(store, readable, work)
            found, after = found + len(readable), batch[-1].id if batch else after
            on_batch(len(readable))
            # What is written meanwhile is the next pass's: otherwise this one might never end.
            is_last = len(batch) < BATCH
        return found

    async def _announce(self, store: Store, *, after: UUID, work: _Work) -> list[EncryptedPan]:
        """Return the next batch, once the audit says that it will be decrypted."""
        async with self.unit_of_work() as uow:
            batch = await uow.encrypted_pans.find(
                store, not_of_key=self.cipher.active_key_id, after=after, limit=BATCH
            )
            await uow.audit.add([_entry(pan) for pan in batch if pan.id not in work.unreadable])
            await uow.commit()
        return batch

    async def _reencrypt(self, store: Store, batch: list[EncryptedPan], work: _Work) -> int:
        old, new = [], []
        for pan in batch:
            try:
                clear = self.cipher.decrypt(pan.ciphertext, application_id=pan.application_id)
            except CipherError as error:
                work.unreadable[pan.id] = pan.application_id
                _complain(store, pan, error)
            else:
                old.append(pan)
                new.append(self.cipher.encrypt(clear, application_id=pan.application_id))
        return await self._replace(store, old, new) if old else 0

    async def _replace(self, store: Store, old: list[EncryptedPan], new: list[bytes]) -> int:
        try:
            async with self.unit_of_work() as uow:
                replaced = await uow.encrypted_pans.replace(store, old=old, new=new)
                await uow.commit()
        except DatabaseUnavailable as error:
            # Somebody was in the way; the next pass finds all of them again.
            log.warning("encryption.batch-postponed", store=store.value, reason=str(error))
            return 0
        return replaced


def _entry(pan: EncryptedPan) -> AuditEntry:
    return AuditEntry(
        actor=ACTOR,
        service=SERVICE,
        action=AuditAction.ROTATE,
        application_id=pan.application_id,
        request_id=None,
    )


def _complain(store: Store, pan: EncryptedPan, error: CipherError) -> None:
    log.error(
        "encryption.pan-unreadable",
        store=store.value,
        row_id=str(pan.id),
        application_id=str(pan.application_id),
        reason=type(error).__name__,
    )
