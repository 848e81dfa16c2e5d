"""The scorecard and the policy that this release ships, read from its own package data."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, TypeVar

from ecs.domain.credit import artefacts
from ecs.domain.credit.artefact import ArtefactError
from ecs.domain.credit.policy import Policy, parse_policy
from ecs.domain.credit.scorecard import Scorecard, parse_scorecard
from ecs.integrations.exceptions import RiskModelError

POLICY_FILE: Final = "credit-1.0.0.json"
# The policy names the card it is made for by digest; the policy's own digest is registered here.
POLICY_SHA256: Final = "609dc5fb04e23b4783e0bf094debb528a22e86748dcaddd8eb83fa6baa83641e"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskModel:
    """A scorecard and the policy that is made for it."""

    scorecard: Scorecard
    policy: Policy


@cache
def shipped_risk_model() -> RiskModel:
    """Return what this release ships, read once a process; those that it forks have it, too."""
    return load_risk_model()


def load_risk_model(
    folder: Traversable | None = None, *, policy_sha256: str = POLICY_SHA256
) -> RiskModel:
    """
    Read both artefacts and check their digests.

    Raises:
        RiskModelError: a file is unreadable, unregistered or breaks its schema; it is named.
    """
    shipped = folder or files(artefacts)
    policy_file = shipped / POLICY_FILE
    policy = _parsed(policy_file, parse_policy, sha256=policy_sha256)
    card_file = shipped / f"{policy.model.id}-{policy.model.version}.json"
    card = _parsed(card_file, parse_scorecard, sha256=policy.model.sha256)
    if card.reference != policy.model:
        raise RiskModelError(card_file.name, "holds another model than its name says")
    return RiskModel(scorecard=card, policy=policy)


def _parsed(file: Traversable, parse: Callable[[bytes], Parsed], *, sha256: str) -> Parsed:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise RiskModelError(file.name, f"cannot be read ({type(error).__name__})") from error
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise RiskModelError(file.name, "is not the registered file: its sha256 differs")
    try:
        return parse(raw)
    except ArtefactError as error:
        raise RiskModelError(file.name, str(error)) from error
