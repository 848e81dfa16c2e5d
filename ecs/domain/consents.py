"""What a person allows, and the exact words of it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final
from uuid import UUID

LOCALES: Final[tuple[str, ...]] = ("en", "pt-BR")
LOCALE_DEFAULT: Final = "en"
TEXTS_FOLDER: Final = Path(__file__).with_name("consent_texts")
_FILE_NAME: Final = re.compile(
    r"(?P<purpose>[a-z_]+\.[a-z_]+)\.(?P<locale>[a-zA-Z-]+)\.(?P<version>\d+\.\d+\.\d+)\.txt"
)
assert LOCALE_DEFAULT in LOCALES


class Purpose(StrEnum):
    """What data may be used for. The values are part of the public API."""

    EMOTION_CREDIT_DECISION = "emotion.credit_decision"


class ConsentStatus(StrEnum):
    """Whether a consent stands. The values are part of the public API."""

    ACTIVE = "active"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentText:
    """
    The words somebody agrees to.

    A released text never changes: ``sha256`` is of its UTF-8 bytes, and stands in the ledger.
    """

    purpose: Purpose
    locale: str
    version: str
    text: str = field(repr=False)
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One grant of one person to one client program, and its end if it has one."""

    id: UUID
    purpose: Purpose
    client_id: UUID
    locale: str
    text_version: str
    text_sha256: str
    granted_at: datetime
    withdrawn_at: datetime | None

    @property
    def status(self) -> ConsentStatus:
        """Return whether it stands."""
        return ConsentStatus.ACTIVE if self.withdrawn_at is None else ConsentStatus.WITHDRAWN


def find_purpose(name: str) -> Purpose | None:
    """Return the purpose called ``name``, or None."""
    return next((purpose for purpose in Purpose if purpose.value == name), None)


def find_text(purpose: Purpose, *, locale: str, version: str | None = None) -> ConsentText | None:
    """Return the text of ``version``, or the newest; None when there is no such text."""
    versions = released_texts().get((purpose, locale), {})
    newest = max(versions, key=_order, default="")
    return versions.get(newest if version is None else version)


@cache
def released_texts() -> Mapping[tuple[Purpose, str], Mapping[str, ConsentText]]:
    """Return every text, by purpose and locale, then by version."""
    texts: dict[tuple[Purpose, str], dict[str, ConsentText]] = {}
    for file in sorted(TEXTS_FOLDER.glob("*.txt")):
        text = _read(file)
        texts.setdefault((text.purpose, text.locale), {})[text.version] = text
    return MappingProxyType({key: MappingProxyType(versions) for key, versions in texts.items()})


def _read(file: Path) -> ConsentText:
    named = _FILE_NAME.fullmatch(file.name)
    if named is None:
        raise ValueError(f"{file.name}: a text is called <purpose>.<locale>.<version>.txt")
    content = file.read_bytes()
    return ConsentText(
        purpose=Purpose(named["purpose"]),
        locale=named["locale"],
        version=named["version"],
        text=content.decode(),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
