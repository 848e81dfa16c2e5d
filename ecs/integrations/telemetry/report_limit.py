"""How many reports a process sends, however many errors it has."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

WINDOW_SECONDS: Final = 60.0
SENT_MAX: Final = 30
KINDS_MAX: Final = 1000


class ReportLimit:
    """
    Lets one report of a kind through in a minute, and 30 of all kinds.

    Without a lock: a process of a job could inherit it locked. What two threads do at once lets
    one report too many through at worst.
    """

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._sent: deque[float] = deque(maxlen=SENT_MAX)
        self._of_kind: dict[Hashable, float] = {}
        self._held_back: dict[Hashable, int] = {}

    def admit(self, kind: Hashable) -> int | None:
        """Return how many of this kind were held back since the last, None to hold this back."""
        now = self._now()
        self._forget_when_full()
        if self._is_too_soon(kind, now):
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return None
        self._sent.append(now)
        self._of_kind[kind] = now
        return self._held_back.pop(kind, 0)

    @property
    def kinds(self) -> int:
        """Return how many kinds are kept in mind."""
        return max(len(self._of_kind), len(self._held_back))

    def _is_too_soon(self, kind: Hashable, now: float) -> bool:
        if now - self._of_kind.get(kind, now - WINDOW_SECONDS) < WINDOW_SECONDS:
            return True
        return len(self._sent) == SENT_MAX and now - self._sent[0] < WINDOW_SECONDS

    def _forget_when_full(self) -> None:
        """Keep few: kinds are places of the code, but nobody promises how many."""
        for kept in (self._held_back, self._of_kind):
            if len(kept) >= KINDS_MAX:
                kept.clear()
