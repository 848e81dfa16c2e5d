"""A decision as JSON: plain values, exact floats, the same bytes for the same facts."""

import json
from collections.abc import Mapping
from typing import Any

from ecs.domain.credit.artefact import ArtefactReference
from ecs.domain.credit.decision import Assessment, Decision, DecisionInputs
from ecs.domain.credit.emotion import EmotionEffect, EmotionInputs, EmotionOutcome
from ecs.domain.credit.features import MonthlyFlows
from ecs.domain.credit.limit import LimitTwin
from ecs.domain.credit.reasons import Reason
from ecs.domain.period import canonical_moment


def to_record(decision: Decision) -> dict[str, Any]:
    """
    Return a decision as values that JSON knows.

    Floats keep every bit, money is a string with two decimals, ids and moments are strings.
    """
    provenance = decision.provenance
    return {
        "status": decision.status.value,
        "inputs": _inputs(provenance.inputs),
        "feature_contract": provenance.feature_contract,
        "features": provenance.features.as_mapping(),
        "monthly": _monthly(provenance.monthly),
        "model": _reference(provenance.model),
        "policy": _reference(provenance.policy),
        "assessment": _assessment(decision.assessment) if decision.assessment else None,
        "reasons": [_reason(reason) for reason in decision.reasons],
        "next_steps": list(decision.next_steps),
        "emotion": _emotion(decision.emotion),
    }


def canonical_bytes(decision: Decision) -> bytes:
    """Return the record of a decision as canonical JSON."""
    return canonical_json(to_record(decision))


def canonical_json(record: Mapping[str, Any]) -> bytes:
    """Return a record as canonical JSON: keys sorted, no spaces, ASCII."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _inputs(inputs: DecisionInputs) -> dict[str, Any]:
    return {
        "now": canonical_moment(inputs.now),
        "window_days": inputs.window_days,
        "user_created_at": canonical_moment(inputs.user_created_at),
        "transaction_ids": [str(transaction_id) for transaction_id in inputs.transaction_ids],
        "sha256": inputs.sha256,
    }


def _monthly(monthly: MonthlyFlows) -> dict[str, float]:
    return {
        "inflow": monthly.inflow,
        "outflow": monthly.outflow,
        "debt_payments": monthly.debt_payments,
        "essentials": monthly.essentials,
    }


def _reference(reference: ArtefactReference) -> dict[str, str]:
    return {"id": reference.id, "version": reference.version, "sha256": reference.sha256}


def _assessment(assessment: Assessment) -> dict[str, Any]:
    return {
        "points": dict(assessment.points),
        "score": assessment.score,
        "probability_of_default": assessment.probability_of_default,
        "risk_score": assessment.risk_score,
        "risk_category": assessment.risk_category.value,
        "credit_type": assessment.credit_type.value,
        "tenor_months": assessment.tenor_months,
        "apr": str(assessment.apr),
        "without_emotion": _twin(assessment.without_emotion),
        "final": _twin(assessment.final),
    }


def _twin(twin: LimitTwin) -> dict[str, Any]:
    return {
        "base": twin.base,
        "multipliers": {
            "daily_spend": twin.multipliers.daily_spend,
            "transaction_frequency": twin.multipliers.transaction_frequency,
            "risk": twin.multipliers.risk,
            "emotional_trend": twin.multipliers.emotional_trend,
        },
        "uncapped": twin.uncapped,
        "caps": {name.value: cap for name, cap in twin.caps.as_mapping().items()},
        "caps_bound": [name.value for name in twin.caps_bound],
        "limit": str(twin.limit),
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code.value,
        "text": reason.text,
        "feature": reason.feature,
        "value": reason.value,
    }


def _emotion(emotion: EmotionOutcome) -> dict[str, Any]:
    signal, information = emotion.signal, emotion.information
    return {
        "used": emotion.used,
        "factor": emotion.factor,
        "events": signal.events,
        "consent_ids": [str(consent_id) for consent_id in signal.consent_ids],
        "absent_reason": signal.absent_reason.value if signal.absent_reason else None,
        "information": {"code": information.code, "text": information.text}
        if information
        else None,
        "inputs": _emotion_inputs(signal.inputs) if signal.inputs else None,
        **_effect(signal.effect),
    }


def _emotion_inputs(inputs: EmotionInputs) -> dict[str, Any]:
    return {
        "window_days": inputs.window_days,
        "event_ids": [str(event_id) for event_id in inputs.event_ids],
        "client_ids": [str(client_id) for client_id in inputs.client_ids],
        "sha256": inputs.sha256,
    }


def _effect(effect: EmotionEffect | None) -> dict[str, Any]:
    """Return the features and what they ask for, also where no limit could rise."""
    if effect is None:
        return {"features": None, "block": None}
    features = effect.features
    return {
        "features": {"emo_valence": features.emo_valence, "emo_trend": features.emo_trend},
        "block": effect.block,
    }
