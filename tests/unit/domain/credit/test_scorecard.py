import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.artefact import ArtefactError
from ecs.domain.credit.features import FEATURE_NAMES
from ecs.domain.credit.reason_code import ReasonCode
from ecs.domain.credit.scorecard import (
    Direction,
    FeaturePoints,
    parse_scorecard,
    probability_of_default,
)
from tests.unit.domain.credit.people import evidence, good_month, shipped, vector

CARD = shipped().scorecard


def feature_points(**changes: Any) -> FeaturePoints:
    plain: dict[str, Any] = {
        "name": "fee_count",
        "direction": Direction.RISES,
        "cuts": (1.0, 3.0),
        "points": (5, 0, -7),
        "missing": 2,
        "neutral": 5,
        "code": ReasonCode.FEES,
    }
    return FeaturePoints(**(plain | changes))


def document(**changes: Any) -> bytes:
    plain: dict[str, Any] = {
        "schema": "ecs.scorecard/1",
        "id": "tiny",
        "version": "1.2.3",
        "provenance": "a test",
        "feature_contract": "feat/1",
        "base": 600,
        "pdo": 20,
        "features": [feature_document(name=name) for name in FEATURE_NAMES],
    }
    return json.dumps(plain | changes).encode()


def feature_document(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "direction": "rises",
        "cuts": [0.5],
        "points": [3, -2],
        "missing": 1,
        "neutral": 3,
        "code": "R02",
    }
    return plain | changes


class TestBins:
    @pytest.mark.parametrize(
        ("value", "points"),
        [
            pytest.param(-1e9, 5, id="far below"),
            pytest.param(math.nextafter(1, 0), 5, id="just below a cut"),
            pytest.param(1.0, 0, id="on a cut: the upper bin"),
            pytest.param(2.9, 0, id="between"),
            pytest.param(3.0, -7, id="on the last cut"),
            pytest.param(math.inf, -7, id="endless"),
            pytest.param(None, 2, id="missing has its own"),
        ],
    )
    def test_hold_their_lower_cut_but_not_the_upper(self, value: float, points: int) -> None:
        assert feature_points().points_for(value) == points

    def test_refuse_what_is_not_a_number(self) -> None:
        with pytest.raises(ValueError, match="fee_count is not a number"):
            feature_points().points_for(math.nan)

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"name": "age"}, "age is not a feature of feat/1"),
            ({"cuts": (3.0, 1.0)}, "fee_count: cuts not ascending"),
            ({"cuts": (1.0, 1.0)}, "fee_count: cuts not ascending"),
            ({"cuts": (1.0, math.inf)}, "fee_count: a cut is not finite"),
            ({"cuts": (math.nan, 1.0)}, "fee_count: a cut is not finite"),
            ({"points": (5, 0)}, "fee_count: one point a bin"),
            ({"points": (5, 0, -7, -9)}, "fee_count: one point a bin"),
            ({"points": (5, 6, -7)}, "fee_count: points against the direction"),
            ({"direction": Direction.FALLS}, "fee_count: points against the direction"),
            ({"code": ReasonCode.AFFORDABILITY}, "fee_count: R12 is no code of a feature"),
        ],
    )
    def test_refuse_a_broken_card(self, changes: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ArtefactError) as raised:
            feature_points(**changes)
        assert str(raised.value) == complaint

    def test_may_go_up_and_down_where_the_direction_is_free(self) -> None:
        assert feature_points(direction=Direction.FREE, points=(1, 9, 1)).best() == 9

    def test_count_missing_among_the_worst_and_the_best(self) -> None:
        assert feature_points(missing=-50).worst() == -50
        assert feature_points(missing=50).best() == 50


class TestShippedCard:
    def test_is_the_expert_card_and_says_so(self) -> None:
        assert (CARD.reference.id, CARD.reference.version) == ("ecs-fin", "0.1.0")
        assert "judgement" in CARD.provenance

    @given(low=st.floats(-10, 1e6), high=st.floats(-10, 1e6))
    @pytest.mark.parametrize("name", FEATURE_NAMES)
    def test_gives_no_points_for_more_risk(self, name: str, low: float, high: float) -> None:
        feature = next(item for item in CARD.features if item.name == name)
        less, more = sorted((low, high))
        if feature.direction is Direction.RISES:
            assert feature.points_for(less) >= feature.points_for(more)
        if feature.direction is Direction.FALLS:
            assert feature.points_for(less) <= feature.points_for(more)

    def test_states_the_directions_of_the_contract(self) -> None:
        directions = {feature.name: feature.direction.value for feature in CARD.features}
        falls = {"income_30d", "tenure_months"}
        free = {"n_inflows", "days_since_inflow", "spend_cv", "spend_trend", "cash_share"}
        assert {name for name, way in directions.items() if way == "falls"} == falls
        assert {name for name, way in directions.items() if way == "free"} == free

    def test_takes_nothing_from_somebody_whose_rows_have_no_category(self) -> None:
        missing = [feature for feature in CARD.features if feature.missing != feature.neutral]
        assert missing == []

    def test_scores_base_plus_the_points_of_each_feature(self) -> None:
        points = CARD.points(evidence(good_month()).features)
        assert list(points) == [feature.name for feature in CARD.features]
        assert CARD.score(points) == CARD.base + sum(points.values())

    def test_gives_a_neutral_person_the_neutral_score(self) -> None:
        neutral = vector(inflow_cv=0.7, tenure_months=6.0)
        assert CARD.score(CARD.points(neutral)) == CARD.neutral_score

    @pytest.mark.parametrize(
        "worse",
        [
            pytest.param({"gambling_share": 0.15}, id="gambling"),
            pytest.param({"fee_count": 4.0}, id="fees"),
            pytest.param({"days_since_inflow": 28.0}, id="no income for long"),
            pytest.param({"debt_service": 0.35}, id="debt"),
            pytest.param({"spend_to_income": 1.2}, id="overspending"),
            pytest.param({"max_drawdown": 1.5}, id="falling balance"),
            pytest.param({"income_30d": math.log1p(800)}, id="low income"),
            pytest.param({"tenure_months": 0.0}, id="new"),
        ],
    )
    def test_takes_points_for_trouble(self, worse: dict[str, float]) -> None:
        assert CARD.score(CARD.points(vector(**worse))) < CARD.score(CARD.points(vector()))


class TestProbabilityOfDefault:
    @pytest.mark.parametrize(
        ("score", "odds"), [(600, 50), (620, 100), (580, 25), (540, 6.25), (700, 1600)]
    )
    def test_doubles_the_odds_every_twenty_points(self, score: int, odds: float) -> None:
        assert probability_of_default(score) == pytest.approx(1 / (1 + odds), rel=1e-12)

    @given(score=st.integers(0, 999))
    def test_falls_with_every_point(self, score: int) -> None:
        assert 1 > probability_of_default(score) > probability_of_default(score + 1) > 0


class TestParseScorecard:
    def test_reads_every_field(self) -> None:
        raw = document()
        card = parse_scorecard(raw)
        assert (card.reference.id, card.reference.version) == ("tiny", "1.2.3")
        assert card.reference.sha256 == hashlib.sha256(raw).hexdigest()
        assert (card.provenance, card.base, card.neutral_score) == ("a test", 600, 639)
        first = card.features[0]
        assert (first.cuts, first.points, first.missing, first.neutral) == ((0.5,), (3, -2), 1, 3)
        assert (first.direction, first.code) == (Direction.RISES, ReasonCode("R02"))

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"schema": "ecs.scorecard/2"}, "schema is not ecs.scorecard/1"),
            ({"feature_contract": "feat/2"}, "unknown feature contract"),
            ({"pdo": 40}, "pdo is not 20"),
            ({"base": 600.0}, "base has the wrong type"),
            ({"base": True}, "base has the wrong type"),
            ({"provenance": ""}, "provenance is empty"),
            ({"base": 2 * 13 - 1}, "a score leaves 0 to 1000"),
            ({"base": 1000 - 3 * 13 + 1}, "a score leaves 0 to 1000"),
            ({"features": []}, "each feature once, and all of them"),
            ({"features": {}}, "features has the wrong type"),
            ({"features": [1]}, "features holds something that is not an object"),
        ],
    )
    def test_names_what_is_wrong(self, changes: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ArtefactError) as raised:
            parse_scorecard(document(**changes))
        assert str(raised.value) == complaint

    @pytest.mark.parametrize("base", [2 * 13, 1000 - 3 * 13], ids=["down to 0", "up to 1000"])
    def test_lets_scores_use_the_whole_scale(self, base: int) -> None:
        assert parse_scorecard(document(base=base)).base == base

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"direction": "sideways"}, r"features\[0\]: 'sideways'"),
            ({"code": "R99"}, r"features\[0\]: 'R99'"),
            ({"direction": 1}, r"^features\[0\].direction has the wrong type$"),
            ({"points": [3, -2.0]}, r"features\[0\].points holds an item of the wrong type"),
            ({"cuts": ["0.5"]}, r"features\[0\].cuts holds an item of the wrong type"),
            ({"cuts": [True]}, r"features\[0\].cuts holds an item of the wrong type"),
        ],
    )
    def test_names_the_feature_that_is_wrong(self, changes: dict[str, Any], complaint: str) -> None:
        others = [feature_document(name=name) for name in FEATURE_NAMES[1:]]
        wrong = feature_document(name=FEATURE_NAMES[0]) | changes
        with pytest.raises(ArtefactError, match=complaint):
            parse_scorecard(document(features=[wrong, *others]))

    def test_names_a_missing_field(self) -> None:
        with pytest.raises(ArtefactError, match=r"^schema is missing$"):
            parse_scorecard(b"{}")

    @pytest.mark.parametrize("raw", [b"", b"{", b"\xff"])
    def test_refuses_what_is_no_json(self, raw: bytes) -> None:
        with pytest.raises(ArtefactError, match=r"^not JSON: ."):
            parse_scorecard(raw)

    @pytest.mark.parametrize("raw", [b"[]", b"1"])
    def test_refuses_what_is_no_json_object(self, raw: bytes) -> None:
        with pytest.raises(ArtefactError, match=r"^not a JSON object$"):
            parse_scorecard(raw)
