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
from ecs.domain.credit.artefact import ArtefactError
from ecs.domain.credit.policy import parse_policy
from ecs.domain.money import Money
from tests.unit.domain.credit.people import shipped

POLICY = shipped().policy
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
        assert (POLICY.reference.id, POLICY.reference.version) == ("credit", "1.0.0")
        assert POLICY.rows_min == 10
        assert POLICY.limit.minimum == Money(200_00)
        assert POLICY.limit.step == Money(10_00)
        assert POLICY.caps.absolute == 50_000
        assert POLICY.caps.income_multiple == 3
        assert POLICY.caps.instalment_share == 0.3
        assert POLICY.emotion.mode == "benefit_only"
        assert (POLICY.emotion.factor_min, POLICY.emotion.factor_max) == (1, 1.1)


Change = Callable[[dict[str, Any]], object]


class TestParsePolicy:
    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            pytest.param(lambda it: it.update(schema="x/1"), "schema", id="schema"),
            pytest.param(lambda it: it.update(feature_contract="x"), "contract", id="contract"),
            pytest.param(lambda it: it.pop("rows_min"), "rows_min is missing", id="missing"),
            pytest.param(
                lambda it: it["apr"].pop("span"), "apr.span is missing", id="missing below"
            ),
            pytest.param(lambda it: it["bands"].pop(), "bands", id="band missing"),
            pytest.param(lambda it: it["bands"].reverse(), "bands", id="bands in disorder"),
            pytest.param(
                lambda it: it["bands"][1].update(pd_below=0.03), "not ascending", id="equal bounds"
            ),
            pytest.param(
                lambda it: it["bands"][3].update(offered=True), "highest risk", id="high offered"
            ),
            pytest.param(
                lambda it: it["bands"][0].update(offered=1), "wrong type", id="number as flag"
            ),
            pytest.param(
                lambda it: it["bands"][0].update(category="tiny"), "tiny", id="unknown word"
            ),
            pytest.param(lambda it: it["risk_score"].reverse(), "risk_score", id="corners"),
            pytest.param(lambda it: it["risk_score"][1].update(risk=0.9), "risk_score", id="risks"),
            pytest.param(
                lambda it: it["risk_score"][0].update(pd=0), "risk_score", id="impossible odds"
            ),
            pytest.param(
                lambda it: it["risk_score"][-1].update(pd=1), "risk_score", id="endless odds"
            ),
            pytest.param(
                lambda it: it.update(risk_score=it["risk_score"][:1]), "two corners", id="corner"
            ),
            pytest.param(lambda it: it["apr"].update(floor=0), "apr", id="free credit"),
            pytest.param(lambda it: it["limit"].update(step="0.00"), "step", id="no step"),
            pytest.param(lambda it: it["limit"].update(step="x"), "amount", id="step form"),
            pytest.param(lambda it: it["caps"].update(absolute=199), "caps", id="cap"),
            pytest.param(
                lambda it: it["emotion"].update(factor_min=0.9), "emotion", id="emotion may harm"
            ),
            pytest.param(
                lambda it: it["emotion"].update(factor_max=0.9), "emotion", id="emotion bounds"
            ),
            pytest.param(lambda it: it["emotion"].update(mode="on"), "on", id="emotion mode"),
        ],
    )
    def test_names_what_is_wrong(self, change: Change, complaint: str) -> None:
        changed = document()
        change(changed)
        with pytest.raises(ArtefactError, match=complaint):
            parse_policy(json.dumps(changed).encode())
