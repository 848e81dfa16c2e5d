"""What each of the ten must get: written down once, in ``outcomes.json``, and compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("outcomes.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """What became of the moods somebody sent; ``information`` is what the person is told of it."""

    stored: int
    refused: int
    refused_as: str | None
    used: bool
    information: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What somebody got, in the words of the API.

    ``answers`` are the statuses of the steps in their order; ``account_limit`` is None without an
    account; ``without_emotion`` is the limit that silence would have earned.
    """

    status: str
    credit_limit: str | None
    without_emotion: str | None
    apr: str | None
    credit_type: str | None
    score: int | None
    risk_category: str | None
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]
    mood: Mood
    answers: tuple[str, ...]
    account_limit: str | None
    notifications: tuple[str, ...]

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> "Outcome":
        """Return the outcome that JSON describes."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in written.items()
        }
        return cls(**plain | {"mood": Mood(**written["mood"])})

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON keeps it."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found


def documented() -> dict[str, Outcome]:
    """Return what each of the ten must get, by name."""
    return {name: Outcome.of(one) for name, one in json.loads(FILE.read_text()).items()}


def differences(
    found: Mapping[str, Outcome], expected: Mapping[str, Outcome]
) -> dict[str, list[str]]:
    """Return, for each person who did not get what is documented, what is different."""
    return {
        name: lines
        for name in dict.fromkeys([*expected, *found])
        if (lines := _lines(found.get(name), expected.get(name)))
    }


def _lines(found: Outcome | None, expected: Outcome | None) -> list[str]:
    if found is None:
        return ["is documented, but was not there"]
    if expected is None:
        return ["is not documented"]
    seen, wanted = found.as_json(), expected.as_json()
    return [
        f"{name} is {_shown(seen[name])}, documented {_shown(wanted[name])}"
        for name in wanted
        if seen[name] != wanted[name]
    ]


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
