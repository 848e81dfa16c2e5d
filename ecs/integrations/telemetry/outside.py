"""What is asked of others, as spans: the mail server's part of a job, the bureau's of a batch."""

from dataclasses import dataclass, field
from typing import Protocol

from ecs.domain.notifications import Letter
from ecs.domain.prequalification.application import CreditEnquiry
from ecs.domain.telemetry import Traces


class Sending(Protocol):
    """What hands letters to whoever delivers them."""

    async def send(self, letter: Letter) -> bool:
        """Return True once the letter is taken."""


class Scoring(Protocol):
    """A bureau."""

    name: str

    async def score(self, enquiry: CreditEnquiry) -> int:
        """Return a credit score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedMailer:
    """A mailer like the one within, seen in traces."""

    mailer: Sending
    traces: Traces

    async def send(self, letter: Letter) -> bool:
        """Send a letter."""
        with self.traces.span("send mail", parents=[self.traces.parent()]):
            return await self.mailer.send(letter)


@dataclass(slots=True, kw_only=True)
class TracedBureau:
    """A bureau like the one within, seen in traces."""

    bureau: Scoring
    traces: Traces
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.bureau.name

    async def score(self, enquiry: CreditEnquiry) -> int:
        """Ask for a score."""
        with self.traces.span("ask bureau", parents=[self.traces.parent()]):
            return await self.bureau.score(enquiry)
