"""Reads and writes of encrypted PANs, wherever one is stored."""

from sqlalchemy.ext.asyncio import AsyncSession


class EncryptedPansRepository:
    """Ciphertexts of PANs, for their rotation to another key."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
