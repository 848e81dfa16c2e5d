"""Decide again from what was recorded, and say whether it comes out the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from ecs.domain.credit.decision import ApplicationInputs, Decision
from ecs.domain.credit.emotion import EmotionInputs, EmotionSignal, effect_of, read_signal
from ecs.domain.credit.emotion_features import AbsentReason, EmotionFeatures
from ecs.domain.credit.emotional_history import EmotionalFacts, EmotionalHistory
from ecs.domain.credit.history import TransactionHistory
from ecs.domain.credit.policy import EmotionRules, Policy
from ecs.domain.credit.record import canonical_bytes, canonical_json

Decide = Callable[[ApplicationInputs, EmotionSignal], Decision]


class Verdict(StrEnum):
    """What became of a replay."""

    IDENTICAL = "identical"
    DIFFERENT = "different"
    FACTS_GONE = "facts_gone"
    OTHER_MODEL = "other_model"


class MoodSource(StrEnum):
    """What the emotional part was replayed from."""

    EVENTS = "events"
    STORED_FEATURES = "stored_features"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """
    A decision as it was recorded, and those of its facts that are still there.

    ``record`` is what ``to_record`` gave, ids and all.
    """

    assessment_id: UUID
    request_id: str | None
    record: Mapping[str, Any]
    history: TransactionHistory
    emotional_history: EmotionalHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A recorded decision, and whether deciding again gives the same bytes."""

    recorded: RecordedDecision
    verdict: Verdict
    mood_source: MoodSource


def replay(
    recorded: RecordedDecision,
    *,
    decide: Decide,
    policy: Policy,
) -> Replay:
    """
    Decide again by ``decide``, which judges by ``policy``, and compare to the byte.

    Raw events are removed after 30 days: from then on the stored features stand for them.
    """
    source = _mood_source(recorded)
    return Replay(
        recorded=recorded,
        mood_source=source,
        verdict=_obstacle(recorded, policy) or _compare(recorded, decide, policy.emotion, source),
    )


def _obstacle(recorded: RecordedDecision, policy: Policy) -> Verdict | None:
    record = recorded.record
    # The policy names its scorecard by digest, so its own digest speaks for both.
    if record["policy"]["sha256"] != policy.reference.sha256:
        return Verdict.OTHER_MODEL
    same = recorded.history.sha256() == record["inputs"]["sha256"]
    return None if same else Verdict.FACTS_GONE


def _compare(
    recorded: RecordedDecision, decide: Decide, rules: EmotionRules, source: MoodSource
) -> Verdict:
    application = _application(recorded)
    if source is MoodSource.STORED_FEATURES:
        signal = _stored_signal(recorded.record["emotion"], rules)
    else:
        signal = read_signal(application.emotion, now=application.now, rules=rules)
    same = canonical_bytes(decide(application, signal)) == canonical_json(recorded.record)
    return Verdict.IDENTICAL if same else Verdict.DIFFERENT


def _mood_source(recorded: RecordedDecision) -> MoodSource:
    inputs = recorded.record["emotion"]["inputs"]
    if inputs is None:
        return MoodSource.NOTHING
    same = recorded.emotional_history.sha256() == inputs["sha256"]
    return MoodSource.EVENTS if same else MoodSource.STORED_FEATURES


def _application(recorded: RecordedDecision) -> ApplicationInputs:
    inputs = recorded.record["inputs"]
    return ApplicationInputs(
        history=recorded.history,
        now=datetime.fromisoformat(inputs["now"]),
        user_created_at=datetime.fromisoformat(inputs["user_created_at"]),
        window_days=inputs["window_days"],
        emotion=_emotional_facts(recorded),
    )


def _emotional_facts(recorded: RecordedDecision) -> EmotionalFacts | None:
    emotion = recorded.record["emotion"]
    if emotion["inputs"] is None:
        return None
    return EmotionalFacts(
        consent_ids=_ids(emotion["consent_ids"]),
        history=recorded.emotional_history,
        window_days=emotion["inputs"]["window_days"],
    )


def _stored_signal(emotion: Mapping[str, Any], rules: EmotionRules) -> EmotionSignal:
    inputs, features, absent = emotion["inputs"], emotion["features"], emotion["absent_reason"]
    return EmotionSignal(
        consent_ids=_ids(emotion["consent_ids"]),
        inputs=EmotionInputs(
            window_days=inputs["window_days"],
            event_ids=_ids(inputs["event_ids"]),
            client_ids=_ids(inputs["client_ids"]),
            sha256=inputs["sha256"],
        ),
        effect=effect_of(EmotionFeatures(**features), rules) if features else None,
        absent_reason=AbsentReason(absent) if absent else None,
    )


def _ids(texts: list[str]) -> tuple[UUID, ...]:
    return tuple(map(UUID, texts))
