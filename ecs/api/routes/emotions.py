"""Emotional events over HTTP."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BeforeValidator

from ecs.api.access import ClientWith, UserWith
from ecs.api.deps import Emotions
from ecs.api.routing import EcsRoute
from ecs.api.schemas.common import whole_number
from ecs.api.schemas.emotions import EmotionalEventBatch, MoodSummaryOut
from ecs.api.schemas.ingestion import IngestionOut
from ecs.wire.emotions import EXPLANATIONS, EmotionalEventIn
from ecs.wire.ingestion import ReadItems

router = APIRouter(prefix="/api/v1/emotions", tags=["emotions"], route_class=EcsRoute)

DAYS_DEFAULT: Final = 7
DAYS_MAX: Final = 30


@router.post("/ingest", response_model_exclude_unset=True)
async def ingest(
    client_id: Annotated[UUID, ClientWith("emotions:ingest")],
    batch: EmotionalEventBatch,
    emotions: Emotions,
) -> IngestionOut:
    """Take in a batch; the answer holds a verdict for each item, and a replay stores nothing."""
    items = ReadItems(batch.events, model=EmotionalEventIn, id_field="event_id")
    verdicts = await emotions.ingest(
        [item.at(index, client_id=client_id) for index, item in items.readable.items()]
    )
    return IngestionOut.of(items, verdicts, explain=EXPLANATIONS.__getitem__)


@router.get("/summary")
async def summarise(
    user_id: Annotated[UUID, UserWith("emotions:read")],
    emotions: Emotions,
    days: Annotated[
        int, Query(ge=1, le=DAYS_MAX), BeforeValidator(whole_number(DAYS_MAX))
    ] = DAYS_DEFAULT,
) -> MoodSummaryOut:
    """Show the caller's own mood of the last days, by UTC day, today included."""
    return MoodSummaryOut.of(await emotions.summarise(user_id=user_id, days=days))
