"""
The audit of access to protected data: who touched what, and seals that show tampering.

A seal holds a keyed digest of each row from ``first_id`` to ``last_id``, and continues the seal
before. Without the key nobody makes one, not even the owner of the database.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise, zip_longest
from typing import Final
from uuid import UUID

# On whose behalf something was done when no caller asked for it.
SYSTEM: Final = "system"
LENGTH_BYTES: Final = 8
# Behind every id there can be.
END: Final = 2**63
WAITING_SECONDS_MAX: Final = 60

Digest = Callable[[bytes], bytes]
"""A keyed hash: nobody without the key can tell what it gives."""


class AuditAction(StrEnum):
    """What was done to a PAN."""

    ENCRYPT = "ENCRYPT"
    DECRYPT = "DECRYPT"
    ROTATE = "ROTATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """
    One access, as it is noted.

    ``actor`` says who: ``user:<id>``, ``client:<id>``, ``operator`` or ``system``. ``service`` is
    the program that did it.
    """

    actor: str
    service: str
    action: AuditAction
    application_id: UUID
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """An entry as it is stored; ids grow, with gaps. A tampered one may say anything."""

    id: int
    at: datetime
    actor: str
    service: str
    action: str
    application_id: UUID
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the next seal continues."""

    id: int
    last_id: int
    hash: bytes


START: Final = Link(id=0, last_id=0, hash=bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal(Link):
    """A seal over every row from ``first_id`` to ``last_id``; no others may ever appear there."""

    first_id: int
    row_ids: Sequence[int]
    row_digests: Sequence[bytes]
    previous_hash: bytes
    sealed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    Rows that may be sealed once these writers are gone.

    A writer holds its lock on the table before it takes an id, and until its end. Whoever holds
    none when ``last_id`` is already there takes a later one.
    """

    last_id: int
    writers: frozenset[str]

    def still_waiting_for(self, writers: frozenset[str]) -> "Candidate":
        """Return the same rows, given who writes now: whoever came later takes later ids."""
        return replace(self, writers=self.writers & writers)


class FlawKind(StrEnum):
    """What is wrong with a row or a seal."""

    ROW_CHANGED = "row {number} has been changed"
    ROW_MISSING = "row {number} is missing"
    ROW_SLIPPED_IN = "row {number} was slipped in behind its seal"
    SEAL_CHANGED = "seal {number} has been changed, or was made with another key"
    SEAL_MISSING = "seal {number} is missing"
    SEAL_OUT_OF_CHAIN = "seal {number} does not continue the one before it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """The first thing that is not as it was written."""

    kind: FlawKind
    number: int

    def __str__(self) -> str:
        return self.kind.value.format(number=self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """
    What a check of the audit found.

    ``unseen_...`` are the first applications whose PAN was touched without a row. ``last`` is the
    last good seal.
    """

    rows: int = 0
    seals: int = 0
    last: Link = START
    flaw: Flaw | None = None
    waiting_rows: int = 0
    waiting_seconds: float = 0.0
    unseen_encryption: UUID | None = None
    unseen_decryption: UUID | None = None

    @property
    def is_sealing_late(self) -> bool:
        """Whether a row has waited for its seal longer than a running sealer lets it."""
        return self.waiting_seconds > WAITING_SECONDS_MAX

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        wrong = (self.flaw, self.unseen_encryption, self.unseen_decryption)
        return wrong == (None, None, None) and not self.is_sealing_late

    def with_seal(self, seal: Seal) -> "Verification":
        """Return the same with one more seal that holds."""
        rows = self.rows + len(seal.row_ids)
        return replace(self, rows=rows, seals=self.seals + 1, last=seal)


def make_seal(
    previous: Link, rows: Sequence[AuditRow], *, sealed_at: datetime, digest: Digest
) -> Seal:
    """Return the seal over ``rows``, which are all there are behind ``previous``, by their ids."""
    if not rows or any(one.id >= other.id for one, other in pairwise(rows)):
        raise ValueError("a seal is over rows in the order of their ids")
    seal = Seal(
        id=previous.id + 1,
        first_id=previous.last_id + 1,
        last_id=rows[-1].id,
        row_ids=[row.id for row in rows],
        row_digests=[row_digest(row, digest) for row in rows],
        previous_hash=previous.hash,
        sealed_at=sealed_at,
        hash=b"",
    )
    return replace(seal, hash=seal_hash(seal, digest))


def row_digest(row: AuditRow, digest: Digest) -> bytes:
    """Return the keyed digest of every column of a row."""
    return digest(
        _packed(
            "audit row",
            *(row.id, row.at, row.actor, row.service, row.action),
            *(row.application_id, row.request_id),
        )
    )


def seal_hash(seal: Seal, digest: Digest) -> bytes:
    """Return the keyed hash of everything a seal says, the seal before it included."""
    return digest(
        _packed(
            "audit seal",
            *(seal.id, seal.first_id, seal.last_id, seal.sealed_at, seal.previous_hash),
            *(len(seal.row_ids), *seal.row_ids),
            *(len(seal.row_digests), *seal.row_digests),
        )
    )


def find_flaw(previous: Link, seal: Seal, rows: Sequence[AuditRow], digest: Digest) -> Flaw | None:
    """
    Return the first thing that is wrong with a seal or a row under it, or None.

    ``rows`` are those stored behind ``previous`` up to the seal's last id, in the order of their
    ids. One more than the seal names is enough.
    """
    return _flaw_of_seal(previous, seal, digest) or _flaw_of_rows(seal, rows, digest)


def _flaw_of_seal(previous: Link, seal: Seal, digest: Digest) -> Flaw | None:
    if seal.id != previous.id + 1:
        return Flaw(kind=FlawKind.SEAL_MISSING, number=previous.id + 1)
    if seal_hash(seal, digest) != seal.hash:
        return Flaw(kind=FlawKind.SEAL_CHANGED, number=seal.id)
    if (seal.first_id, seal.previous_hash) != (previous.last_id + 1, previous.hash):
        return Flaw(kind=FlawKind.SEAL_OUT_OF_CHAIN, number=seal.id)
    return None


def _flaw_of_rows(seal: Seal, rows: Sequence[AuditRow], digest: Digest) -> Flaw | None:
    named = zip(seal.row_ids, seal.row_digests, strict=False)
    flaws = (_flaw_of_row(row, name, digest) for row, name in zip_longest(rows, named))
    return next((flaw for flaw in flaws if flaw is not None), None)


def _flaw_of_row(
    row: AuditRow | None, named: tuple[int, bytes] | None, digest: Digest
) -> Flaw | None:
    """Compare what is stored with what the seal names there; either list may be at its end."""
    stored_id = END if row is None else row.id
    named_id, sealed = named or (END, b"")
    if stored_id < named_id:
        return Flaw(kind=FlawKind.ROW_SLIPPED_IN, number=stored_id)
    if stored_id > named_id:
        return Flaw(kind=FlawKind.ROW_MISSING, number=named_id)
    if row is not None and row_digest(row, digest) != sealed:
        return Flaw(kind=FlawKind.ROW_CHANGED, number=named_id)
    return None


def _packed(*values: object) -> bytes:
    """Return bytes that no other values give: of each its kind, its length, itself."""
    packed = bytearray()
    for value in values:
        kind, data = _plain(value)
        packed += kind + len(data).to_bytes(LENGTH_BYTES, "big") + data
    return bytes(packed)


def _plain(value: object) -> tuple[bytes, bytes]:
    # Total over what a tampered row can hold: NULL where there is none, too.
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, UUID):
        return b"u", value.bytes
    if isinstance(value, datetime):
        return b"t", value.astimezone(UTC).isoformat(timespec="microseconds").encode()
    if isinstance(value, int):
        return b"i", str(value).encode()
    return (b"n", b"") if value is None else (b"s", str(value).encode(errors="surrogatepass"))
