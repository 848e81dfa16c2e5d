"""The one spelling of an e-mail address, whatever door it comes in by."""

from typing import Final

from email_validator import EmailNotValidError, validate_email

CHARACTERS_MAX: Final = 320


def canonical_email(address: str) -> str | None:
    """Return the address in its one spelling, or None when it is no address."""
    if len(address) > CHARACTERS_MAX:
        return None
    try:
        # Whether mail arrives is found out by sending some; ``.test`` is for people who try us.
        return validate_email(
            address.strip(), check_deliverability=False, test_environment=True
        ).normalized.lower()
    except EmailNotValidError:
        return None
