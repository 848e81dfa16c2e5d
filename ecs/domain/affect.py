"""The words of measured emotion, shared by what takes events in and what reads them."""

from enum import StrEnum
from typing import Final


class Emotion(StrEnum):
    """The label of an emotional event. The values are part of the public API."""

    HAPPINESS = "happiness"
    SADNESS = "sadness"
    FEAR = "fear"
    ANGER = "anger"
    SURPRISE = "surprise"
    DISGUST = "disgust"


PLEASANT: Final[frozenset[str]] = frozenset({Emotion.HAPPINESS})
UNPLEASANT: Final[frozenset[str]] = frozenset(
    {Emotion.SADNESS, Emotion.FEAR, Emotion.ANGER, Emotion.DISGUST}
)
