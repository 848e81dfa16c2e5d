"""Work that is done again and again, whatever happens."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

EXPECTED: Final = "expected"


class Repeated:
    """
    Work that may fail and is done again; a failure is told once, until it is over.

    ``failed`` and ``again`` are the events that tell of it. What is ``expected`` is told in a line,
    anything else with its stack; ``context`` goes with both.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[None]],
        *,
        failed: str,
        again: str,
        expected: tuple[type[Exception], ...],
        **context: str,
    ) -> None:
        self._work = work
        self._failed = failed
        self._again = again
        self._expected = expected
        self._context = context
        self._failure = ""

    async def once(self) -> None:
        """Do the work."""
        try:
            await self._work()
        except Exception as error:  # noqa: BLE001  (the next time may go better)
            self._tell(error)
        else:
            if self._failure:
                log.info(self._again, **self._context)
            self._failure = ""

    def _tell(self, error: Exception) -> None:
        is_expected = isinstance(error, self._expected)
        failure = EXPECTED if is_expected else repr(error)
        if failure == self._failure:
            return
        self._failure = failure
        if is_expected:
            log.warning(self._failed, reason=repr(error), **self._context)
        else:
            log.error(self._failed, exc_info=error, **self._context)
