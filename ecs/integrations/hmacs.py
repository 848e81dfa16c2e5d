"""Keyed hashes: equal things stay equal, and nothing else can be learnt without the key."""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from ecs.domain.prequalification.pan import Pan

LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class HmacBlindIndex:
    """
    Finds equal PANs without decrypting any.

    Keyed, never a plain hash: there are so few PANs that all of their hashes are made in minutes.
    """

    key: str = field(repr=False)

    def __call__(self, pan: Pan) -> bytes:
        """Return 32 bytes: the HMAC-SHA-256 of the PAN's canonical spelling."""
        return _hmac(self.key, pan.text.encode("ascii"))


@dataclass(frozen=True, slots=True)
class HmacFingerprint:
    """Makes texts comparable without keeping them."""

    key: str = field(repr=False)

    def __call__(self, *parts: str) -> bytes:
        """Return 32 bytes: an HMAC-SHA-256 over all the parts, each behind its length."""
        return _hmac(self.key, b"".join(_measured(part) for part in parts))


@dataclass(frozen=True, slots=True)
class HmacDigest:
    """Digests the audit: who cannot read the key cannot forge a seal."""

    key: str = field(repr=False)

    def __call__(self, data: bytes) -> bytes:
        """Return 32 bytes: the HMAC-SHA-256 of ``data``."""
        return _hmac(self.key, data)


def _hmac(key: str, data: bytes) -> bytes:
    return hmac.digest(key.encode(errors="surrogateescape"), data, hashlib.sha256)


def _measured(part: str) -> bytes:
    # A lone surrogate is a text like another, not an error.
    data = part.encode(errors="surrogatepass")
    return len(data).to_bytes(LENGTH_BYTES, "big") + data
