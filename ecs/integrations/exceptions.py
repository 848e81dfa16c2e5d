"""
What can go wrong with systems outside this process.

IntegrationError
├── RiskModelError    a scorecard or policy file is unreadable, unregistered or wrong
├── InvalidToken      not an access token of ours, or no longer
├── HasherBusy        too many passwords are being hashed already
└── DestinationUnavailable    nobody answers where an event is to be carried
"""


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
