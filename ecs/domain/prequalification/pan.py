"""The Permanent Account Number (PAN) of an Indian taxpayer: its one spelling, and its mask."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

# Person, company, firm and so on; no PAN has another fourth letter.
HOLDER_TYPES: Final = "ABCFGHJLPT"
_FORM: Final = re.compile(r"[A-Z]{5}[0-9]{4}[A-Z]")
_PAN: Final = re.compile(rf"[A-Z]{{3}}[{HOLDER_TYPES}][A-Z][0-9]{{4}}[A-Z]")
# As a word of its own, so that nothing inside of a longer id looks like one.
_IN_TEXT: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{5}[0-9]{4}[A-Za-z](?![A-Za-z0-9])")
_MASK: Final = "XXXXXX"
_SHOWN_CHARACTERS: Final = 4


@dataclass(frozen=True, slots=True)
class Pan:
    """A PAN in its canonical spelling. Printed, it is its mask: nothing can log it by accident."""

    text: str = field(repr=False)

    def __str__(self) -> str:
        return self.masked

    @property
    def masked(self) -> str:
        """The last four characters behind six X; what may be stored, shown and logged."""
        return _MASK + self.text[-_SHOWN_CHARACTERS:]

    @classmethod
    def parse(cls, text: str, *, test_pans: Collection[str] = ()) -> "Pan":
        """
        Read a PAN however it was typed: in any case or width, with blanks around it.

        ``test_pans`` are taken whatever their fourth letter.

        Raises:
            ValueError: it is none; the text is never echoed.
        """
        spelled = canonical(text)
        if spelled is None or not (_PAN.fullmatch(spelled) or spelled in test_pans):
            raise ValueError("not a PAN")
        return cls(spelled)


def canonical(text: str) -> str | None:
    """Return the one spelling of ten characters in a PAN's form, or None: it is something else."""
    spelled = unicodedata.normalize("NFKC", text).strip()
    # Before it is put in upper case: some letters of other scripts would turn into ours.
    if not spelled.isascii():
        return None
    spelled = spelled.upper()
    return spelled if _FORM.fullmatch(spelled) else None


def without_pans(text: str) -> str:
    """
    Return a text that may be repeated: a word in it that has a PAN's form is masked.

    The text grows no longer by it.
    """
    spelled = unicodedata.normalize("NFKC", text)
    masked = _IN_TEXT.sub(lambda found: _MASK + found[0][-_SHOWN_CHARACTERS:].upper(), spelled)
    return text if masked == spelled else masked[: len(text)]
