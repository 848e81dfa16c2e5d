"""AES-256-GCM for PANs: a ciphertext names its key and belongs to one application."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ecs.domain.key_id import KEY_ID_CHARACTERS_MAX, is_key_id
from ecs.domain.prequalification.pan import Pan
from ecs.integrations.exceptions import DecryptionFailed, UnknownKey

VERSION: Final = 1
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
# Always the same words: an error must not tell what is inside, nor how far the reading got.
_UNREADABLE: Final = "the ciphertext cannot be read"


class AesGcmPanCipher:
    """
    Encrypts with the active key; decrypts with every key of the ring.

    A ciphertext is a version byte, the length of the key's id and the id, a random nonce, what
    AES made and its tag. The application's id is authenticated with it, so that a ciphertext
    moved to another row cannot be read there.
    """

    def __init__(self, keyring: Mapping[str, bytes], active_key_id: str) -> None:
        """Check the ring; ``ValueError`` says what is wrong with it, without quoting a key."""
        if active_key_id not in keyring:
            raise ValueError("the active key is not in the keyring")
        if any(len(key) != KEY_BYTES for key in keyring.values()):
            raise ValueError(f"a key is not {KEY_BYTES} bytes long")
        if not all(is_key_id(key_id) for key_id in keyring):
            raise ValueError(
                f"a key's id is not 1 to {KEY_ID_CHARACTERS_MAX} letters, digits, dots, - or _"
            )
        self.active_key_id = active_key_id
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keyring.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(active_key_id={self.active_key_id!r})"

    def encrypt(self, pan: Pan, *, application_id: UUID) -> bytes:
        """Return what may be stored: another one each time."""
        key_id, nonce = self.active_key_id.encode("ascii"), secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self.active_key_id].encrypt(
            nonce, pan.text.encode("ascii"), application_id.bytes
        )
        return bytes((VERSION, len(key_id))) + key_id + nonce + sealed

    def decrypt(self, ciphertext: bytes, *, application_id: UUID) -> Pan:
        """
        Return the PAN.

        Raises:
            UnknownKey: no key of ours has the id that the ciphertext names.
            DecryptionFailed: changed, cut, or of another application.
        """
        parts = _Parts.of(ciphertext)
        cipher = self._ciphers.get(parts.key_id)
        if cipher is None:
            raise UnknownKey("no key of ours has the id that the ciphertext names")
        try:
            text = cipher.decrypt(parts.nonce, parts.sealed, application_id.bytes).decode("ascii")
        except (InvalidTag, UnicodeDecodeError):
            raise DecryptionFailed(_UNREADABLE) from None
        return Pan(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """A ciphertext taken apart."""

    key_id: str
    nonce: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    @classmethod
    def of(cls, ciphertext: bytes) -> Self:
        """Take ``ciphertext`` apart, or raise ``DecryptionFailed``: it has another form."""
        version, rest = ciphertext[:1], ciphertext[2:]
        length = ciphertext[1] if len(ciphertext) > 1 else 0
        key_id, nonce, sealed = _split(rest, length, length + NONCE_BYTES)
        if (
            version != bytes((VERSION,))
            or not 1 <= length <= KEY_ID_CHARACTERS_MAX
            or not key_id.isascii()
            or len(sealed) <= TAG_BYTES
        ):
            raise DecryptionFailed(_UNREADABLE)
        return cls(key_id=key_id.decode("ascii"), nonce=nonce, sealed=sealed)


def _split(data: bytes, first: int, second: int) -> tuple[bytes, bytes, bytes]:
    return data[:first], data[first:second], data[second:]
