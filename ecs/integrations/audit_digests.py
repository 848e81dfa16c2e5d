"""The keyed digests that seals of the audit are made of."""

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HmacDigest:
    """An HMAC-SHA-256: who cannot read the key cannot forge a seal."""

    key: str = field(repr=False)

    def __call__(self, data: bytes) -> bytes:
        """Return 32 bytes."""
        return hmac.digest(self.key.encode(errors="surrogateescape"), data, hashlib.sha256)
