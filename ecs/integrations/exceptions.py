"""
What can go wrong with systems outside this process.

IntegrationError
└── RiskModelError    a scorecard or policy file is unreadable, unregistered or wrong
"""


class IntegrationError(Exception):
    """An outside system, or a file we were shipped with, did not do its part."""


class RiskModelError(IntegrationError):
    """A scorecard or policy file cannot be used; the message names the file."""

    def __init__(self, file_name: str, complaint: str) -> None:
        super().__init__(f"risk model file {file_name} {complaint}")
        self.file_name = file_name
