"""How the id of a key for PANs is written: in settings, in ciphertexts, and to operators."""

import re
from typing import Final

KEY_ID_CHARACTERS_MAX: Final = 32
_FORM: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{KEY_ID_CHARACTERS_MAX}}}")


def is_key_id(text: str) -> bool:
    """Say whether a key may be called so."""
    return _FORM.fullmatch(text) is not None
