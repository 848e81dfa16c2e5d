"""Emotional events as devices send them, over HTTP and over the broker."""

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field, StrictStr

from ecs.domain.affect import Emotion
from ecs.domain.emotions.events import IncomingEvent, Source, Verdict
from ecs.wire.forms import Body, Instant, StrictUuid, one_of
from ecs.wire.ingestion import ITEMS_MAX
from ecs.wire.strict_json import NotStrictJson, parse_json

MESSAGE_BYTES_MAX: Final = 1024 * 1024
EXPLANATIONS: Final[dict[Verdict, str]] = {
    Verdict.UNKNOWN_CLIENT: "The app_id is missing, unreadable, or not the id of a client.",
    Verdict.MISSING_SCOPE: "The client does not hold the scope emotions:ingest.",
    Verdict.UNKNOWN_USER: "There is no person with this user_id.",
    Verdict.CONSENT_MISSING: "This person has not consented to events of this client.",
    Verdict.FUTURE_TIMESTAMP: "captured_at is more than 5 minutes ahead; check the clock.",
    Verdict.TOO_OLD: "captured_at is more than 30 days ago.",
    Verdict.ID_CONFLICT: "This event_id was used with other content; use a new one.",
}

Dimension = Annotated[float, Field(ge=-1, le=1)]


class EmotionalEventIn(Body):
    """One reading of a person's mood; arousal and valence as in Russell's circumplex."""

    event_id: StrictUuid
    user_id: StrictUuid
    captured_at: Instant
    emotion_primary: Annotated[StrictStr, *one_of(Emotion)]
    emotion_confidence: Annotated[float, Field(ge=0, le=1)]
    arousal: Dimension
    valence: Dimension
    source: Annotated[StrictStr, *one_of(Source)] = Source.UNKNOWN.value

    def at(self, index: int, *, client_id: UUID) -> IncomingEvent:
        """Return the domain's value of this item, at its place in the batch."""
        return IncomingEvent(
            index=index,
            client_id=client_id,
            event_id=self.event_id,
            user_id=self.user_id,
            captured_at=self.captured_at,
            emotion=self.emotion_primary,
            confidence=self.emotion_confidence,
            arousal=self.arousal,
            valence=self.valence,
            source=self.source,
        )


def read_message(body: bytes) -> list[Any]:
    """
    Return the events that a message of the stream holds, none of them looked at yet.

    Raises:
        NotStrictJson: it is neither one event object nor ``{"events": [1..1000 of them]}``.
    """
    if len(body) > MESSAGE_BYTES_MAX:
        raise NotStrictJson("The message is larger than 1 MiB.")
    content = parse_json(body)
    if not isinstance(content, dict):
        raise NotStrictJson('A message is one event, or {"events": [...]}.')
    if "events" not in content:
        return [content]
    events = content["events"]
    if len(content) > 1 or not isinstance(events, list) or not 1 <= len(events) <= ITEMS_MAX:
        raise NotStrictJson(f'{{"events": [...]}} holds 1 to {ITEMS_MAX} events and nothing else.')
    return events
