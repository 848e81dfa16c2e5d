"""Which passwords are good enough. Pure; hashing lives in the integrations."""

import unicodedata
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

BYTES_MIN: Final = 10
BYTES_MAX: Final = 1024
# Normalising takes quadratic time in combining marks, so a text is measured before it is touched.
CHARACTERS_MAX: Final = 4 * BYTES_MAX
COMMON_PASSWORDS_FILE: Final = Path(__file__).with_name("common_passwords.txt")


class PasswordFault(StrEnum):
    """Why a password is refused."""

    NOT_TEXT = "not_text"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_COMMON = "too_common"


ADVICE: Final[dict[PasswordFault, str]] = {
    PasswordFault.NOT_TEXT: "A password is made of Unicode text without control characters.",
    PasswordFault.TOO_SHORT: f"Use at least {BYTES_MIN} bytes; a few words make a good password.",
    PasswordFault.TOO_LONG: f"Use at most {BYTES_MAX} bytes.",
    PasswordFault.TOO_COMMON: "This is one of the first passwords an attacker tries; use another.",
}
assert set(ADVICE) == set(PasswordFault)


def normalise_password(password: str) -> str:
    """Return the one spelling (NFC) under which a password is checked, hashed and verified."""
    return unicodedata.normalize("NFC", password)


def find_password_fault(password: str) -> PasswordFault | None:
    """Return why ``password`` is refused, or None when it is good enough."""
    if len(password) > CHARACTERS_MAX:
        return PasswordFault.TOO_LONG
    text = normalise_password(password)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        return PasswordFault.NOT_TEXT
    size_bytes = len(text.encode())
    if size_bytes < BYTES_MIN:
        return PasswordFault.TOO_SHORT
    if size_bytes > BYTES_MAX:
        return PasswordFault.TOO_LONG
    return PasswordFault.TOO_COMMON if text.casefold() in common_passwords() else None


@cache
def common_passwords() -> frozenset[str]:
    """Return the most common passwords, case folded."""
    lines = COMMON_PASSWORDS_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line.casefold() for line in lines if line and not line.startswith("#"))
