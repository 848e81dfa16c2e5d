"""The table of emotional events."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Double, Index, text
from sqlmodel import Field, SQLModel

from ecs.domain.affect import Emotion
from ecs.repositories.tables.columns import instant, reference, text_column

_EMOTIONS_SQL = ", ".join(f"'{emotion}'" for emotion in Emotion)


class EmotionalEventRow(SQLModel, table=True):
    """
    One reading of a person's mood. Identity is (client, event_id).

    NaN sorts above every number, so the upper bounds refuse it too.
    """

    __tablename__ = "emotional_events"
    __table_args__ = (
        CheckConstraint(
            f"emotion_primary IN ({_EMOTIONS_SQL})", name="emotional_events_emotion_known"
        ),
        CheckConstraint(
            "emotion_confidence BETWEEN 0 AND 1", name="emotional_events_confidence_range"
        ),
        CheckConstraint("arousal BETWEEN -1 AND 1", name="emotional_events_arousal_range"),
        CheckConstraint("valence BETWEEN -1 AND 1", name="emotional_events_valence_range"),
        CheckConstraint("char_length(source) BETWEEN 1 AND 20", name="emotional_events_source"),
        # The window of a decision: newest first.
        Index(
            "emotional_events_by_user_newest_first",
            "user_id",
            text("captured_at DESC"),
            text("event_id DESC"),
        ),
        # Retention deletes the oldest.
        Index("emotional_events_by_age", "captured_at"),
    )

    client_id: UUID = Field(
        sa_column=reference("clients", "emotional_events_client_exists", primary_key=True)
    )
    event_id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=reference("users", "emotional_events_user_exists"))
    captured_at: datetime = Field(sa_column=instant())
    emotion_primary: str = Field(sa_column=text_column())
    emotion_confidence: float = Field(sa_column=Column(Double, nullable=False))
    arousal: float = Field(sa_column=Column(Double, nullable=False))
    valence: float = Field(sa_column=Column(Double, nullable=False))
    source: str = Field(sa_column=text_column())
    ingested_at: datetime = Field(sa_column=instant(server_default=text("now()")))
