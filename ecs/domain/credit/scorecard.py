"""An additive, monotone scorecard with whole points: features in, score and default risk out."""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from ecs.domain.credit.artefact import ArtefactError, ArtefactReference, Fields
from ecs.domain.credit.features import FEATURE_CONTRACT, FEATURE_NAMES, FeatureVector
from ecs.domain.credit.reason_code import CARD_CODES, ReasonCode

SCHEMA: Final = "ecs.scorecard/1"
SCORE_ANCHOR: Final = 600
ODDS_AT_ANCHOR: Final = 50.0
POINTS_TO_DOUBLE_ODDS: Final = 20
POINTS_FACTOR: Final = POINTS_TO_DOUBLE_ODDS / math.log(2)
# Far inside what exp() and the log-odds of the result can hold.
SCORE_MIN, SCORE_MAX = 0, 1000


class Direction(StrEnum):
    """How risk moves when a feature rises."""

    RISES = "rises"
    FALLS = "falls"
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePoints:
    """The bins of one feature: bin i holds ``cuts[i-1] <= x < cuts[i]`` and earns ``points[i]``."""

    name: str
    direction: Direction
    cuts: tuple[float, ...]
    points: tuple[int, ...]
    missing: int
    neutral: int
    code: ReasonCode

    def __post_init__(self) -> None:
        _require(self.name in FEATURE_NAMES, f"{self.name} is not a feature of {FEATURE_CONTRACT}")
        _require(all(map(math.isfinite, self.cuts)), f"{self.name}: a cut is not finite")
        _require(
            all(low < high for low, high in pairwise(self.cuts)), f"{self.name}: cuts not ascending"
        )
        _require(len(self.points) == len(self.cuts) + 1, f"{self.name}: one point a bin")
        _require(self._monotone(), f"{self.name}: points against the direction")
        _require(self.code in CARD_CODES, f"{self.name}: {self.code} is no code of a feature")

    def points_for(self, value: float | None) -> int:
        """
        Return the points a value earns; ``None`` earns those of a missing one.

        Raises:
            ValueError: the value is not a number.
        """
        if value is None:
            return self.missing
        if math.isnan(value):
            raise ValueError(f"{self.name} is not a number")
        return self.points[bisect_right(self.cuts, value)]

    def worst(self) -> int:
        """Return the fewest points this feature can earn."""
        return min(*self.points, self.missing)

    def best(self) -> int:
        """Return the most points this feature can earn."""
        return max(*self.points, self.missing)

    def _monotone(self) -> bool:
        match self.direction:
            case Direction.RISES:
                return all(left >= right for left, right in pairwise(self.points))
            case Direction.FALLS:
                return all(left <= right for left, right in pairwise(self.points))
            case Direction.FREE:
                return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """A card with its identity; the whole points are the truth of the artefact."""

    reference: ArtefactReference
    provenance: str
    base: int
    features: tuple[FeaturePoints, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        _require(sorted(names) == sorted(FEATURE_NAMES), "each feature once, and all of them")
        lowest = self.base + sum(feature.worst() for feature in self.features)
        highest = self.base + sum(feature.best() for feature in self.features)
        _require(SCORE_MIN <= lowest <= highest <= SCORE_MAX, "a score leaves 0 to 1000")

    @property
    def neutral_score(self) -> int:
        """The score of a person against whom no feature speaks."""
        return self.base + sum(feature.neutral for feature in self.features)

    def points(self, vector: FeatureVector) -> dict[str, int]:
        """Return the points that each feature of a person earns, in the order of the card."""
        values = vector.as_mapping()
        return {feature.name: feature.points_for(values[feature.name]) for feature in self.features}

    def score(self, points: Mapping[str, int]) -> int:
        """Return the whole score: base plus all points."""
        return self.base + sum(points.values())


def probability_of_default(score: int) -> float:
    """Return the PD of a score: odds of 50 to 1 at 600, doubled by every 20 points."""
    return 1 / (1 + math.exp((score - SCORE_ANCHOR) / POINTS_FACTOR + math.log(ODDS_AT_ANCHOR)))


def parse_scorecard(raw: bytes) -> Scorecard:
    """
    Read a card from the bytes of its artefact.

    Raises:
        ArtefactError: a field is missing, of the wrong type, or breaks a rule of the card.
    """
    fields = Fields.parse(raw)
    _require(fields.text("schema") == SCHEMA, f"schema is not {SCHEMA}")
    _require(fields.text("feature_contract") == FEATURE_CONTRACT, "unknown feature contract")
    _require(fields.integer("pdo") == POINTS_TO_DOUBLE_ODDS, "pdo is not 20")
    return Scorecard(
        reference=ArtefactReference(
            id=fields.text("id"),
            version=fields.text("version"),
            sha256=hashlib.sha256(raw).hexdigest(),
        ),
        provenance=fields.text("provenance"),
        base=fields.integer("base"),
        features=tuple(_feature(item) for item in fields.sections("features")),
    )


def _feature(fields: Fields) -> FeaturePoints:
    try:
        direction, code = Direction(fields.text("direction")), ReasonCode(fields.text("code"))
    except ArtefactError:
        raise
    except ValueError as error:
        raise ArtefactError(f"{fields.path[:-1]}: {error}") from None
    return FeaturePoints(
        name=fields.text("name"),
        direction=direction,
        cuts=fields.numbers("cuts"),
        points=fields.integers("points"),
        missing=fields.integer("missing"),
        neutral=fields.integer("neutral"),
        code=code,
    )


def _require(holds: bool, rule: str) -> None:  # noqa: FBT001  (reads as a sentence)
    if not holds:
        raise ArtefactError(rule)
