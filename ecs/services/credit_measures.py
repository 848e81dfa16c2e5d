"""What a decision about credit counts as."""

from ecs.domain.credit.decision import Decision
from ecs.domain.credit.emotion import EmotionOutcome
from ecs.domain.measures import (
    CREDIT_DECISIONS,
    CREDIT_EMOTIONS,
    CREDIT_REASONS,
    EMOTIONAL_FACTOR,
    NONE,
    PROBABILITY_OF_DEFAULT,
    USED,
)
from ecs.domain.telemetry import Measures


def measure_decision(measures: Measures, decision: Decision) -> None:
    """Count a decision that was written down, its reasons, and what emotional data did to it."""
    judged = decision.assessment
    category = judged.risk_category if judged else NONE
    measures.count(CREDIT_DECISIONS, status=decision.status, risk_category=category)
    for reason in decision.reasons:
        measures.count(CREDIT_REASONS, code=reason.code)
    if judged:
        measures.observe(PROBABILITY_OF_DEFAULT, judged.probability_of_default)
    _measure_emotion(measures, decision.emotion)


def _measure_emotion(measures: Measures, emotion: EmotionOutcome) -> None:
    if emotion.used:
        measures.count(CREDIT_EMOTIONS, outcome=USED)
        measures.observe(EMOTIONAL_FACTOR, emotion.factor)
    else:  # Where nobody was judged, data that are there were not used, and nothing is absent.
        measures.count(CREDIT_EMOTIONS, outcome=emotion.signal.absent_reason or NONE)
