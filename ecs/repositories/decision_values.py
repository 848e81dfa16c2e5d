"""A decision, as the values of its two rows."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from ecs.domain.credit.decision import Decision
from ecs.domain.credit.record import to_record


def assessment_values(
    decision: Decision, *, assessment_id: UUID, user_id: UUID, request_id: str | None
) -> dict[str, Any]:
    """Return the columns of ``risk_assessments``."""
    provenance, assessment = decision.provenance, decision.assessment
    signal = decision.emotion.signal
    record = to_record(decision)
    # What has a column of its own is not written twice.
    record["inputs"].pop("transaction_ids")
    if emotional_inputs := record["emotion"]["inputs"]:
        emotional_inputs.pop("event_ids")
        emotional_inputs.pop("client_ids")
    return {
        "id": assessment_id,
        "user_id": user_id,
        "decided_at": provenance.inputs.now,
        "request_id": request_id,
        "model_id": provenance.model.id,
        "model_version": provenance.model.version,
        "model_sha256": provenance.model.sha256,
        "policy_id": provenance.policy.id,
        "policy_version": provenance.policy.version,
        "policy_sha256": provenance.policy.sha256,
        "transaction_ids": list(provenance.inputs.transaction_ids),
        "inputs_sha256": provenance.inputs.sha256,
        "consent_ids": list(signal.consent_ids),
        "emotional_event_ids": list(signal.inputs.event_ids) if signal.inputs else [],
        "emotional_client_ids": list(signal.inputs.client_ids) if signal.inputs else [],
        "score": assessment.score if assessment else None,
        "probability_of_default": assessment.probability_of_default if assessment else None,
        "risk_score": assessment.risk_score if assessment else None,
        "risk_category": str(assessment.risk_category) if assessment else None,
        "record": json.dumps(record, allow_nan=False),
    }


def offer_values(
    decision: Decision,
    *,
    offer_id: UUID,
    user_id: UUID,
    assessment_id: UUID,
    currency: str,
    lifetime: timedelta,
) -> dict[str, Any]:
    """Return the columns of ``credit_offers``; the terms are all there or all None."""
    terms = decision.terms
    now = decision.provenance.inputs.now
    return {
        "id": offer_id,
        "user_id": user_id,
        "assessment_id": assessment_id,
        "status": str(decision.status),
        "credit_type": str(terms.credit_type) if terms else None,
        "credit_limit_minor": terms.final.limit.cents if terms else None,
        "apr": terms.apr if terms else None,
        "currency": currency,
        "tenor_months": terms.tenor_months if terms else None,
        "expires_at": now + lifetime if terms else None,
        "created_at": now,
    }
