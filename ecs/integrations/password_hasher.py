"""Passwords: argon2id, off the event loop, a few at a time."""

import asyncio
import secrets
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from passlib.hash import argon2

from ecs.domain.passwords import BYTES_MAX, CHARACTERS_MAX, normalise_password
from ecs.integrations.exceptions import HasherBusy

T = TypeVar("T")

TIME_COST: Final = 2
MEMORY_COST_KIB: Final = 19_456
PARALLELISM: Final = 1
DIGEST_BYTES: Final = 32
CONCURRENT_MAX: Final = 2


class PasswordHasher:
    """
    Hashes and verifies passwords in its own threads, at most two at a time.

    Whoever waits longer than ``wait_seconds_max`` for a turn gets ``HasherBusy``: a flood of
    logins must cost its own callers, not everybody.
    """

    def __init__(
        self,
        *,
        wait_seconds_max: float = 5.0,
        time_cost: int = TIME_COST,
        memory_cost_kib: int = MEMORY_COST_KIB,
    ) -> None:
        with warnings.catch_warnings():
            # passlib reads argon2.__version__, which argon2-cffi has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._scheme: Any = argon2.using(  # type: ignore[no-untyped-call]  # stubs lag behind
                type="ID", rounds=time_cost, memory_cost=memory_cost_kib, parallelism=PARALLELISM
            )
            # A random digest that no password has: as slow to check as a real one, free to make.
            self._dummy_hash: str = self._scheme(
                checksum=secrets.token_bytes(DIGEST_BYTES), use_defaults=True
            ).to_string()
        self._wait_seconds_max = wait_seconds_max
        self._turns = asyncio.Semaphore(CONCURRENT_MAX)
        self._threads = ThreadPoolExecutor(CONCURRENT_MAX, thread_name_prefix="password")

    async def hash(self, password: str) -> str:
        """Return a new hash of ``password``, with its parameters and salt in it."""
        text = normalise_password(password)
        return await self._in_thread(lambda: str(self._scheme.hash(text)))

    async def verify(self, password: str, hashed: str) -> bool:
        """Tell whether ``password`` is the one behind ``hashed``; a damaged hash fits nothing."""
        return await self._in_thread(lambda: self._fits(password, hashed))

    async def verify_nothing(self, password: str = "") -> None:
        """Take as long as ``verify`` does, so that unknown accounts cannot be told apart."""
        await self._in_thread(lambda: self._fits(password, self._dummy_hash))

    def needs_update(self, hashed: str) -> bool:
        """Tell whether ``hashed`` was made with other parameters than today's."""
        return bool(self._scheme.needs_update(hashed))

    def close(self) -> None:
        """End the threads; what runs is finished first."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _fits(self, password: str, hashed: str) -> bool:
        text = normalise_password(password[: CHARACTERS_MAX + 1])
        if len(text.encode(errors="surrogatepass")) > BYTES_MAX:
            text = ""  # No account has such a password; the work stays the same.
        try:
            return bool(self._scheme.verify(text, hashed))
        except ValueError:  # a damaged hash, or text that UTF-8 cannot write
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await self._turns.acquire()
        except TimeoutError:
            raise HasherBusy from None
        try:
            # Our own threads: a caller that gives up cannot let a third hash start.
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._turns.release()
