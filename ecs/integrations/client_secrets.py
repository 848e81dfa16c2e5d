"""The secrets of client programs: random, shown once, kept as an HMAC."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecrets:
    """
    Makes and checks client secrets.

    A secret has 256 random bits, so a fast keyed hash is enough; a slow one would only turn
    ``/token`` into a way to keep the processors busy.
    """

    key: str = field(repr=False)

    def make(self) -> str:
        """Return a new secret: 43 characters of base64url."""
        return secrets.token_urlsafe(SECRET_BYTES)

    def fingerprint(self, secret: str) -> bytes:
        """Return the 32 bytes under which ``secret`` is stored."""
        # A lone surrogate must be a wrong secret, not an error.
        text = secret.encode(errors="surrogatepass")
        return hmac.digest(self.key.encode(), text, hashlib.sha256)

    def matches(self, secret: str, fingerprint: bytes) -> bool:
        """Tell whether ``secret`` is the one behind ``fingerprint``, in constant time."""
        return hmac.compare_digest(self.fingerprint(secret), fingerprint)
