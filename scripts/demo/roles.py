"""The ten: whose money, which mood, who consents, who comes back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from ecs.domain.affect import Emotion
from ecs.domain.emotions.events import Source
from scripts.demo_moods import Reading
from scripts.demo_people import PERSONAS, Persona

READINGS: Final = 30
EVERY: Final = timedelta(hours=4)
CONFIDENCE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """A mood that moves evenly from one valence to another."""

    emotion: Emotion
    from_valence: float
    to_valence: float
    arousal: float

    def readings_before(self, now: datetime, *, user_id: UUID) -> list[Reading]:
        """Return the readings of the five days before ``now``, oldest first."""
        step = (self.to_valence - self.from_valence) / (READINGS - 1)
        return [
            Reading(
                event_id=uuid5(NAMESPACE_URL, f"ecs-demo:{user_id}:{number}"),
                user_id=user_id,
                captured_at=now - (READINGS - number - 0.5) * EVERY,
                emotion=self.emotion,
                confidence=CONFIDENCE,
                arousal=self.arousal,
                valence=round(self.from_valence + number * step, 4),
                source=Source.WEARABLE,
            )
            for number in range(READINGS)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """
    What one of the ten does, with whose money.

    A ``week`` of moods is sent in any case; it is taken only from whoever ``consents``. Whoever
    ``returns`` asks for everything a second time.
    """

    name: str
    full_name: str
    story: str
    money: Persona
    week: Week | None = None
    consents: bool = False
    returns: bool = False


CHEERFUL: Final = Week(emotion=Emotion.HAPPINESS, from_valence=0.5, to_valence=0.9, arousal=0.3)
SAD: Final = Week(emotion=Emotion.SADNESS, from_valence=-0.5, to_valence=-0.9, arousal=-0.3)
KNOWN: Final = {persona.name: persona for persona in PERSONAS}
STEADY: Final = KNOWN["steady"]


def _known(name: str) -> Role:
    persona = KNOWN[name]
    return Role(name=name, full_name=persona.full_name, story=persona.story, money=persona)


ROLES: Final[tuple[Role, ...]] = (
    _known("excellent"),
    _known("thin_file"),
    _known("indebted"),
    _known("gambler"),
    Role(
        name="cheerful",
        full_name="Clara Dias",
        story="an ordinary month, good days, shares her mood",
        money=STEADY,
        week=CHEERFUL,
        consents=True,
    ),
    Role(
        name="sad",
        full_name="Saulo Pires",
        story="the same money, bad days, shares his mood",
        money=STEADY,
        week=SAD,
        consents=True,
    ),
    Role(
        name="without_consent",
        full_name="Wanda Alves",
        story="the same money, good days, has not agreed to share them",
        money=STEADY,
        week=CHEERFUL,
    ),
    _known("denied"),
    _known("referred"),
    Role(
        name="returning",
        full_name=STEADY.full_name,
        story="the same money, asks for everything twice",
        money=STEADY,
        returns=True,
    ),
)
