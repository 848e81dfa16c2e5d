"""What the services need from the world outside this process."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from ecs.domain.backlog import QueueLength
from ecs.domain.events import OutboxMessage
from ecs.domain.notifications import Letter
from ecs.domain.prequalification.application import CreditEnquiry
from ecs.domain.prequalification.pan import Pan
from ecs.domain.principal import Claims, PrincipalKind


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> datetime:
        """Return the current time, with its zone."""


class NewId(Protocol):
    """Makes identifiers."""

    def __call__(self) -> UUID:
        """Return an id that never was before and sorts behind older ones."""


class Publisher(Protocol):
    """Hands events to one kind of destination."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, str]:
        """
        Return once every message is confirmed or refused; what is returned is the refusals.

        Raises:
            PublishInterrupted: it names those that were confirmed; the others stay.
            DestinationUnavailable: nobody answered; the messages stay where they are.
        """


class QueueLengths(Protocol):
    """Knows how much lies in a broker's queues."""

    async def read(self, queues: Sequence[str]) -> Mapping[str, QueueLength]:
        """Return the lengths of all of them, or raise ``DestinationUnavailable``."""


class Tokens(Protocol):
    """Signs access tokens and reads them back."""

    def sign(  # noqa: PLR0913  (a token's claims)
        self,
        *,
        subject: UUID,
        kind: PrincipalKind,
        scopes: frozenset[str],
        token_version: int,
        issued_at: datetime,
        expires_seconds: int,
        token_id: UUID,
    ) -> str:
        """Return a signed token."""

    def verify(self, token: str, *, now: datetime) -> Claims:
        """Return what ``token`` says, or raise ``InvalidToken``."""


class Passwords(Protocol):
    """Hashes passwords, slowly on purpose, a few at a time."""

    async def hash(self, password: str) -> str:
        """Return the hash to keep, or raise ``HasherBusy``."""

    async def verify(self, password: str, hashed: str) -> bool:
        """Return whether they belong together, or raise ``HasherBusy``."""

    async def verify_nothing(self, password: str) -> None:
        """Take the time of a verification, for an account that does not exist."""

    def needs_update(self, hashed: str) -> bool:
        """Return whether the hash was made with older parameters."""


class ClientSecrets(Protocol):
    """Makes and checks the secrets of client programs."""

    def make(self) -> str:
        """Return a new random secret."""

    def fingerprint(self, secret: str) -> bytes:
        """Return the 32 bytes under which a secret is kept: its HMAC."""

    def matches(self, secret: str, fingerprint: bytes) -> bool:
        """Return whether they belong together, in constant time."""


class Mailer(Protocol):
    """Hands letters to whoever delivers them."""

    async def send(self, letter: Letter) -> bool:
        """
        Return True once the letter is taken, False where e-mail is switched off.

        Raises:
            MailUndeliverable: trying again cannot help.
            MailUnavailable: trying again may help.
            MailPerhapsSent: nobody knows; trying again may repeat it.
        """


class PanCipher(Protocol):
    """Encrypts PANs, so that each ciphertext belongs to one application."""

    active_key_id: str

    def encrypt(self, pan: Pan, *, application_id: UUID) -> bytes:
        """Return what may be stored: another one each time."""

    def decrypt(self, ciphertext: bytes, *, application_id: UUID) -> Pan:
        """
        Return the PAN.

        Raises:
            UnknownKey: no key of ours has the id that the ciphertext names.
            DecryptionFailed: changed, cut, or of another application.
        """


class BlindIndex(Protocol):
    """Makes equal PANs equal, and tells nothing else about them."""

    def __call__(self, pan: Pan) -> bytes:
        """Return 32 bytes: the HMAC of the PAN."""


class Bureau(Protocol):
    """Knows how people have paid so far."""

    name: str

    async def score(self, enquiry: CreditEnquiry) -> int:
        """Return a credit score, 300 to 900, or raise ``BureauUnavailable``."""


class Fingerprint(Protocol):
    """Makes texts comparable without keeping them."""

    def __call__(self, *parts: str) -> bytes:
        """Return 32 bytes: an HMAC over all the parts, none of which runs into the next."""


class GiveUp(Protocol):
    """Ends a job that nobody can finish."""

    async def __call__(self, *, job_id: UUID) -> None:
        """End it, and tell whoever waits for it."""


Probe = Callable[[], Awaitable[bool]]
"""Asks a dependency whether it is there: returns in about a second, and never raises."""
