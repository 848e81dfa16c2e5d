"""
What can go wrong with systems outside this process.

IntegrationError
├── RiskModelError    a scorecard or policy file is unreadable, unregistered or wrong
├── InvalidToken      not an access token of ours, or no longer
├── HasherBusy        too many passwords are being hashed already
├── HandlerStuck      what handles a stream's messages does not come back
├── CipherError
│   ├── UnknownKey           no key of ours has the id that a ciphertext names
│   └── DecryptionFailed     a ciphertext was changed, cut, or is of another application
├── BureauUnavailable the credit bureau gave no score this time
├── MailError
│   ├── MailUndeliverable    this letter will never arrive: trying again cannot help
│   ├── MailUnavailable      it could not be handed over this time
│   └── MailPerhapsSent      it left, and nobody said whether it was taken
├── TopologyMismatch  somebody declared an exchange or a queue of ours in another way
└── DestinationUnavailable    nobody answers where an event is to be carried
    └── PublishInterrupted    nobody answers any more; some of the messages were confirmed before
"""

from uuid import UUID


class IntegrationError(Exception):
    """An outside system, or a file we were shipped with, did not do its part."""


class RiskModelError(IntegrationError):
    """A scorecard or policy file cannot be used; the message names the file."""

    def __init__(self, file_name: str, complaint: str) -> None:
        super().__init__(f"risk model file {file_name} {complaint}")
        self.file_name = file_name


class InvalidToken(IntegrationError):
    """The token is not ours, or no longer good. Never says why."""


class HasherBusy(IntegrationError):
    """Too many passwords are being hashed already; try again in a moment."""


class DestinationUnavailable(IntegrationError):
    """Nobody answers where an event is to be carried; it stays in the outbox."""


class PublishInterrupted(DestinationUnavailable):
    """The broker stopped answering half-way; ``confirmed`` names what it has taken for sure."""

    def __init__(self, reason: str, *, confirmed: frozenset[UUID]) -> None:
        super().__init__(reason)
        self.confirmed = confirmed


class HandlerStuck(IntegrationError):
    """A handler of messages did not come back; nobody knows what it holds: end the process."""


class CipherError(IntegrationError):
    """A ciphertext cannot be read. Says neither its bytes nor what may be inside."""


class UnknownKey(CipherError):
    """No key of ours has the id that the ciphertext names: it is not in ``ENCRYPTION_KEYS``."""


class DecryptionFailed(CipherError):
    """The ciphertext was changed, cut, or belongs to another application."""


class BureauUnavailable(IntegrationError):
    """The credit bureau gave no score this time; asking later may help."""


class MailError(IntegrationError):
    """A letter was not taken. Says a code, never an address or what the server wrote."""


class MailUndeliverable(MailError):
    """The letter will never arrive: trying again cannot help."""


class MailUnavailable(MailError):
    """The letter could not be handed over this time; trying again may help."""


class MailPerhapsSent(MailError):
    """The whole letter left, and no answer came: trying again may repeat it."""


class TopologyMismatch(IntegrationError):
    """An exchange or a queue exists with other arguments; the message says the way out."""
