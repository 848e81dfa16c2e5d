"""The record of a decision, field by field: what is stored must not change by accident."""

import json
from dataclasses import replace
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ecs.domain.credit.artefact import ArtefactReference
from ecs.domain.credit.decision import (
    Assessment,
    Decision,
    DecisionInputs,
    DecisionStatus,
    Provenance,
)
from ecs.domain.credit.emotion import (
    EmotionEffect,
    EmotionInputs,
    EmotionOutcome,
    EmotionSignal,
    Information,
)
from ecs.domain.credit.emotion_features import EmotionFeatures
from ecs.domain.credit.features import MonthlyFlows
from ecs.domain.credit.limit import CapName, Caps, LimitTwin, Multipliers
from ecs.domain.credit.policy import CreditType, RiskCategory
from ecs.domain.credit.reason_code import ReasonCode
from ecs.domain.credit.reasons import Reason
from ecs.domain.credit.record import canonical_bytes, to_record
from ecs.domain.money import Money
from tests.unit.domain.credit.people import CONSENT, DEVICE, NOW, vector

TWIN = LimitTwin(
    base=1.5,
    multipliers=Multipliers(
        daily_spend=1.25, transaction_frequency=1.125, risk=0.75, emotional_trend=1.0
    ),
    uncapped=2.5,
    caps=Caps(absolute=50.0, income=40.0, affordability=30.0),
    caps_bound=(CapName.INCOME, CapName.AFFORDABILITY),
    limit=Money(4420_00),
)
SIGNAL = EmotionSignal(
    consent_ids=(CONSENT,),
    inputs=EmotionInputs(
        window_days=7, event_ids=(UUID(int=3),), client_ids=(DEVICE,), sha256="mood"
    ),
    effect=EmotionEffect(
        features=EmotionFeatures(emo_valence=0.25, emo_trend=-0.5), block=-0.125, factor=1.03125
    ),
    absent_reason=None,
)
DECISION = Decision(
    status=DecisionStatus.DENIED,
    assessment=Assessment(
        points={"fee_count": -3},
        score=569,
        probability_of_default=0.0625,
        risk_score=0.375,
        risk_category=RiskCategory.LOW,
        credit_type=CreditType.LONG_TERM,
        tenor_months=36,
        apr=Decimal("0.153662"),
        without_emotion=TWIN,
        final=replace(TWIN, limit=Money(4550_00)),
    ),
    reasons=(Reason(code=ReasonCode.FEES, text="You paid", feature="fee_count", value=2.0),),
    next_steps=("Share more",),
    emotion=EmotionOutcome(
        signal=SIGNAL, used=True, factor=1.03125, information=Information(code="E01", text="Rose")
    ),
    provenance=Provenance(
        features=vector(),
        monthly=MonthlyFlows(inflow=6.0, outflow=5.0, debt_payments=4.0, essentials=3.0),
        feature_contract="feat/1",
        model=ArtefactReference(id="card", version="1", sha256="aa"),
        policy=ArtefactReference(id="policy", version="2", sha256="bb"),
        inputs=DecisionInputs(
            now=NOW.astimezone(timezone(timedelta(hours=-3))),
            window_days=30,
            user_created_at=NOW - timedelta(days=90, microseconds=1),
            transaction_ids=(UUID(int=1), UUID(int=2)),
            sha256="rows",
        ),
    ),
)


def twin(limit: str) -> dict[str, Any]:
    return {
        "base": 1.5,
        "multipliers": {
            "daily_spend": 1.25,
            "transaction_frequency": 1.125,
            "risk": 0.75,
            "emotional_trend": 1.0,
        },
        "uncapped": 2.5,
        "caps": {"absolute": 50.0, "income": 40.0, "affordability": 30.0},
        "caps_bound": ["income", "affordability"],
        "limit": limit,
    }


class TestRecord:
    def test_tells_what_was_decided_and_why(self) -> None:
        record = to_record(DECISION)
        assert record["status"] == "denied"
        assert record["reasons"] == [
            {"code": "R07", "text": "You paid", "feature": "fee_count", "value": 2.0}
        ]
        assert record["next_steps"] == ["Share more"]

    def test_tells_from_which_facts(self) -> None:
        record = to_record(DECISION)
        assert record["inputs"] == {
            "now": "2026-03-31T12:00:00.000000+00:00",
            "window_days": 30,
            "user_created_at": "2025-12-31T11:59:59.999999+00:00",
            "transaction_ids": [str(UUID(int=1)), str(UUID(int=2))],
            "sha256": "rows",
        }
        assert record["features"] == vector().as_mapping()
        assert record["monthly"] == {
            "inflow": 6.0,
            "outflow": 5.0,
            "debt_payments": 4.0,
            "essentials": 3.0,
        }

    def test_tells_by_which_rules(self) -> None:
        record = to_record(DECISION)
        assert record["feature_contract"] == "feat/1"
        assert record["model"] == {"id": "card", "version": "1", "sha256": "aa"}
        assert record["policy"] == {"id": "policy", "version": "2", "sha256": "bb"}

    def test_tells_every_step_of_the_assessment(self) -> None:
        assert to_record(DECISION)["assessment"] == {
            "points": {"fee_count": -3},
            "score": 569,
            "probability_of_default": 0.0625,
            "risk_score": 0.375,
            "risk_category": "low",
            "credit_type": "long_term",
            "tenor_months": 36,
            "apr": "0.153662",
            "without_emotion": twin("4420.00"),
            "final": twin("4550.00"),
        }

    def test_tells_the_part_that_emotion_took(self) -> None:
        assert to_record(DECISION)["emotion"] == {
            "used": True,
            "factor": 1.03125,
            "events": 1,
            "consent_ids": [str(CONSENT)],
            "absent_reason": None,
            "information": {"code": "E01", "text": "Rose"},
            "inputs": {
                "window_days": 7,
                "event_ids": [str(UUID(int=3))],
                "client_ids": [str(DEVICE)],
                "sha256": "mood",
            },
            "features": {"emo_valence": 0.25, "emo_trend": -0.5},
            "block": -0.125,
        }

    def test_has_no_other_fields(self) -> None:
        assert set(to_record(DECISION)) == {
            *("status", "inputs", "feature_contract", "features", "monthly", "model", "policy"),
            *("assessment", "reasons", "next_steps", "emotion"),
        }


class TestCanonicalBytes:
    def test_are_the_record_sorted_dense_and_in_ascii(self) -> None:
        told = replace(DECISION, next_steps=("R\u00e9sum\u00e9",))
        raw = canonical_bytes(told)
        assert raw.startswith(b'{"assessment":{"apr":"0.153662","credit_type":"long_term",')
        assert b'"next_steps":["R\\u00e9sum\\u00e9"]' in raw
        assert json.loads(raw) == to_record(told)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_refuse_what_json_does_not_know(self, value: float) -> None:
        strange = replace(DECISION, reasons=(replace(DECISION.reasons[0], value=value),))
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_bytes(strange)
