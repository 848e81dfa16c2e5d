import hashlib
import json
import math
from collections.abc import Callable
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit import artefacts
from ecs.domain.credit.artefact import ArtefactError, ArtefactReference
from ecs.domain.credit.policy import (
    AprCurve,
    Band,
    BaseLimit,
    CapRules,
    CreditType,
    EmotionMode,
    EmotionRules,
    LimitRules,
    MultiplierRules,
    Policy,
    Ramp,
    RiskAnchor,
    RiskCategory,
    parse_policy,
)
from ecs.domain.money import Money
from tests.unit.domain.credit.people import shipped

POLICY = shipped().policy
LONG: dict[str, Any] = {"credit_type": CreditType.LONG_TERM, "tenor_months": 36}
SHORT: dict[str, Any] = {"credit_type": CreditType.SHORT_TERM, "tenor_months": 12}
probabilities = st.floats(1e-6, 1 - 1e-6)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files(artefacts) / "credit-1.0.0.json").read_bytes())
    return loaded


class TestBand:
    @pytest.mark.parametrize(
        ("probability", "category", "kind", "tenor"),
        [
            (1e-9, "very_low", "long_term", 36),
            (math.nextafter(0.03, 0), "very_low", "long_term", 36),
            (0.03, "low", "long_term", 36),
            (math.nextafter(0.07, 0), "low", "long_term", 36),
            (0.07, "medium", "short_term", 12),
            (math.nextafter(0.2, 0), "medium", "short_term", 12),
            (0.2, "high", "short_term", 12),
            (1.0, "high", "short_term", 12),
        ],
    )
    def test_ends_below_its_bound(
        self, probability: float, category: str, kind: str, tenor: int
    ) -> None:
        band = POLICY.band(probability)
        assert (band.category, band.credit_type, band.tenor_months) == (category, kind, tenor)
        assert band.offered is (category != "high")


class TestRiskScore:
    @pytest.mark.parametrize(
        ("probability", "risk"),
        [(1e-9, 0), (0.001, 0), (0.03, 0.25), (0.07, 0.5), (0.2, 0.75), (0.9, 1), (0.99, 1)],
    )
    def test_goes_through_its_corners_and_is_clamped(self, probability: float, risk: float) -> None:
        assert POLICY.risk_score(probability) == pytest.approx(risk, abs=1e-12)

    def test_is_linear_in_log_odds_between_them(self) -> None:
        middle = (math.log(0.03 / 0.97) + math.log(0.07 / 0.93)) / 2
        assert POLICY.risk_score(1 / (1 + math.exp(-middle))) == pytest.approx(0.375)

    @given(one=probabilities, other=probabilities)
    def test_never_falls_with_the_probability(self, one: float, other: float) -> None:
        less, more = sorted((one, other))
        assert 0 <= POLICY.risk_score(less) <= POLICY.risk_score(more) <= 1


class TestApr:
    @pytest.mark.parametrize(
        ("risk", "apr"),
        [(0, "0.080000"), (0.75, "0.250000"), (1, "0.250000"), (0.42946, "0.153662")],
    )
    def test_rises_from_eight_to_twenty_five_per_cent(self, risk: float, apr: str) -> None:
        assert POLICY.apr.at(risk) == Decimal(apr)
        assert str(POLICY.apr.at(risk)) == apr


class TestMultipliers:
    @pytest.mark.parametrize(
        ("spend", "factor"), [(0, 1), (50, 1), (2525, 1.125), (5000, 1.5), (9000, 1.5)]
    )
    def test_rise_with_the_square_of_daily_spend(self, spend: float, factor: float) -> None:
        assert POLICY.multipliers.daily_spend.at(spend) == pytest.approx(factor)

    @pytest.mark.parametrize(("daily", "factor"), [(0, 0.9), (0.1, 0.9), (5.05, 1.05), (10, 1.2)])
    def test_rise_with_the_frequency(self, daily: float, factor: float) -> None:
        assert POLICY.multipliers.transaction_frequency.at(daily) == pytest.approx(factor)

    @pytest.mark.parametrize(("risk", "factor"), [(0, 1.2), (0.5, 0.825), (1, 0.7)])
    def test_fall_with_the_risk(self, risk: float, factor: float) -> None:
        assert POLICY.multipliers.risk.at(risk) == pytest.approx(factor)

    @pytest.mark.parametrize(("risk", "base"), [(0, 50_000), (1, 50_000 * math.exp(-5.2))])
    def test_stand_on_a_base_that_decays(self, risk: float, base: float) -> None:
        assert POLICY.base_limit.at(risk) == base


class TestShippedNumbers:
    def test_are_those_of_policy_one(self) -> None:
        raw = (files(artefacts) / "credit-1.0.0.json").read_bytes()
        assert parse_policy(raw) == Policy(
            reference=ArtefactReference(
                id="credit", version="1.0.0", sha256=hashlib.sha256(raw).hexdigest()
            ),
            model=shipped().scorecard.reference,
            rows_min=10,
            bands=(
                Band(**LONG, category=RiskCategory.VERY_LOW, pd_below=0.03, offered=True),
                Band(**LONG, category=RiskCategory.LOW, pd_below=0.07, offered=True),
                Band(**SHORT, category=RiskCategory.MEDIUM, pd_below=0.2, offered=True),
                Band(**SHORT, category=RiskCategory.HIGH, pd_below=1.0, offered=False),
            ),
            risk_anchors=(
                RiskAnchor(pd=0.001, risk=0.0),
                RiskAnchor(pd=0.03, risk=0.25),
                RiskAnchor(pd=0.07, risk=0.5),
                RiskAnchor(pd=0.2, risk=0.75),
                RiskAnchor(pd=0.9, risk=1.0),
            ),
            apr=AprCurve(floor=0.08, span=0.17, risk_ceiling=0.75, exponent=1.5),
            base_limit=BaseLimit(amount=50_000.0, decay=5.2),
            multipliers=MultiplierRules(
                daily_spend=Ramp(start=50.0, span=4950.0, floor=1.0, weight=0.5, exponent=2),
                transaction_frequency=Ramp(start=0.1, span=9.9, floor=0.9, weight=0.3, exponent=1),
                risk=Ramp(start=1.0, span=-1.0, floor=0.7, weight=0.5, exponent=2),
            ),
            caps=CapRules(absolute=50_000.0, income_multiple=3.0, instalment_share=0.3),
            limit=LimitRules(minimum=Money(200_00), step=Money(10_00)),
            emotion=EmotionRules(
                mode=EmotionMode.BENEFIT_ONLY,
                valence_weight=0.15,
                trend_weight=0.1,
                trend_scale=0.2,
                block_max=0.25,
                sensitivity=0.4,
                factor_min=1.0,
                factor_max=1.1,
            ),
        )


Change = Callable[[dict[str, Any]], object]
BANDS = "bands: each category once, from best to worst"


class TestParsePolicy:
    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda it: it.update(schema="x/1"), "schema is not ecs.credit-policy/1"),
            (lambda it: it.update(feature_contract="x"), "unknown feature contract"),
            (lambda it: it.pop("rows_min"), "rows_min is missing"),
            (lambda it: it["apr"].pop("span"), "apr.span is missing"),
            (lambda it: it["bands"].pop(), BANDS),
            (lambda it: it["bands"].reverse(), BANDS),
            (lambda it: it["bands"][1].update(pd_below=0.03), "bands: PDs not ascending"),
            (
                lambda it: it["bands"][3].update(offered=True),
                "bands: the highest risk must not be offered credit",
            ),
            (lambda it: it["bands"][0].update(offered=1), "bands[0].offered has the wrong type"),
            (
                lambda it: it["bands"][0].update(category="tiny"),
                "'tiny' is not a valid RiskCategory",
            ),
            (lambda it: it["risk_score"].reverse(), "risk_score: PDs"),
            (lambda it: it["risk_score"][1].update(pd=0.001), "risk_score: PDs"),
            (lambda it: it["risk_score"][1].update(risk=0.9), "risk_score: risks"),
            (lambda it: it["risk_score"][1].update(risk=0), "risk_score: risks"),
            (lambda it: it["risk_score"][0].update(pd=0), "risk_score: PDs"),
            (lambda it: it["risk_score"][-1].update(pd=1), "risk_score: PDs"),
            (
                lambda it: it.update(risk_score=it["risk_score"][:1]),
                "risk_score: fewer than two corners",
            ),
            (lambda it: it["apr"].update(floor=0), "apr: floor must be positive"),
            (lambda it: it["limit"].update(step="0.00"), "limit: step must be positive"),
            (lambda it: it["limit"].update(step="x"), "not an amount with two decimals"),
            (lambda it: it["caps"].update(absolute=199), "caps: absolute below minimum"),
            (
                lambda it: it["emotion"].update(trend_scale=0),
                "emotion: trend_scale must be positive",
            ),
            (lambda it: it["emotion"].update(factor_min=0.9), "emotion: factor bounds"),
            (lambda it: it["emotion"].update(factor_max=0.9), "emotion: factor bounds"),
            (lambda it: it["emotion"].update(mode="on"), "'on' is not a valid EmotionMode"),
        ],
    )
    def test_names_what_is_wrong(self, change: Change, complaint: str) -> None:
        changed = document()
        change(changed)
        with pytest.raises(ArtefactError) as raised:
            parse_policy(json.dumps(changed).encode())
        assert str(raised.value) == complaint

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda it: it["limit"].update(step="0.01"), id="a step of a cent"),
            pytest.param(
                lambda it: it["caps"].update(absolute=200), id="a cap as low as the minimum"
            ),
            pytest.param(lambda it: it["emotion"].update(factor_max=1), id="emotion without say"),
            pytest.param(lambda it: it["apr"].update(floor=0.01), id="cheap credit"),
            pytest.param(lambda it: it["emotion"].update(trend_scale=1), id="a wide trend"),
            pytest.param(
                lambda it: it.update(risk_score=it["risk_score"][:2]), id="only two corners"
            ),
        ],
    )
    def test_takes_what_just_fits(self, change: Change) -> None:
        changed = document()
        change(changed)
        assert parse_policy(json.dumps(changed).encode()).rows_min == 10
