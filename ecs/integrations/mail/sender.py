"""Who letters are from: an address, alone or in <> behind a name."""

import re
from email.headerregistry import Address
from typing import Final

NAME_CHARACTERS_MAX: Final = 100
# One encoded word. Of a longer name Python loses spaces and quotes where it folds the line.
NAME_BYTES_MAX: Final = 45
LOCAL_PART_CHARACTERS_MAX: Final = 64
ADDRESS_CHARACTERS_MAX: Final = 254

_FORM: Final = re.compile(r"(?:(?P<name>[^<>]+) <(?P<named>[^<>]+)>|(?P<alone>[^<>]+))")
_ATOM: Final = r"[\w&'+-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def sender_address(text: str) -> Address:
    """
    Return the address that ``text`` is; a short name may have any letters, and quotes around it.

    Raises:
        ValueError: it is none; never says what it was instead.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError("neither an address nor a name and an address")
    address = form["alone"] or form["named"]
    parts = _ADDRESS.fullmatch(address)
    if (
        parts is None
        or len(parts["local"]) > LOCAL_PART_CHARACTERS_MAX
        or len(address) > ADDRESS_CHARACTERS_MAX
    ):
        raise ValueError("no address of ASCII characters")
    return Address(display_name=_name(form["name"] or ""), addr_spec=address)


def _name(said: str) -> str:
    name = said[1:-1] if len(said) > 1 and said[0] == said[-1] == '"' else said
    # An encoded word would be decoded, and could hold a line break.
    if not name.isprintable() or "=?" in name or set(name) & set('"\\'):
        raise ValueError("no name")
    size_max = NAME_CHARACTERS_MAX if name.isascii() else NAME_BYTES_MAX
    if name != name.strip() or len(name.encode()) > size_max:
        raise ValueError("no name, or a long one")
    return name
