"""Reading of versioned JSON artefacts: every field must be there and of its type."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ArtefactError(ValueError):
    """A scorecard or a policy is not what its schema says. The message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactReference:
    """Which file made a decision, to the byte."""

    id: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one JSON object, read by type."""

    values: Mapping[str, Any]
    path: str = ""

    @classmethod
    def parse(cls, raw: bytes) -> "Fields":
        """Read a JSON document that must be an object."""
        try:
            document = json.loads(raw)
        except ValueError as error:
            raise ArtefactError(f"not JSON: {error}") from None
        if not isinstance(document, dict):
            raise ArtefactError("not a JSON object")
        return cls(document)

    def text(self, name: str) -> str:
        """Return a non-empty string."""
        value: str = self._typed(name, str) or self._refuse(name, "is empty")
        return value

    def integer(self, name: str) -> int:
        """Return a whole number."""
        value: int = self._typed(name, int)
        return value

    def number(self, name: str) -> float:
        """Return a number as binary64."""
        return float(self._typed(name, (int, float)))

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._get(name)
        return value if isinstance(value, bool) else self._refuse(name, "has the wrong type")

    def section(self, name: str) -> "Fields":
        """Return the fields of a nested object."""
        return Fields(self._typed(name, dict), f"{self.path}{name}.")

    def sections(self, name: str) -> "list[Fields]":
        """Return the fields of each object of an array."""
        return [
            Fields(item, f"{self.path}{name}[{index}].")
            if isinstance(item, dict)
            else self._refuse(name, "holds something that is not an object")
            for index, item in enumerate(self._typed(name, list))
        ]

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return an array of numbers as binary64."""
        return tuple(float(item) for item in self._all(name, (int, float)))

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an array of whole numbers."""
        return tuple(self._all(name, int))

    def _all(self, name: str, kind: type | tuple[type, ...]) -> list[Any]:
        items: list[Any] = self._typed(name, list)
        if any(isinstance(item, bool) or not isinstance(item, kind) for item in items):
            self._refuse(name, "holds an item of the wrong type")
        return items

    def _typed(self, name: str, kind: type | tuple[type, ...]) -> Any:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, kind):
            self._refuse(name, "has the wrong type")
        return value

    def _get(self, name: str) -> Any:
        return self.values[name] if name in self.values else self._refuse(name, "is missing")

    def _refuse(self, name: str, complaint: str) -> Any:
        raise ArtefactError(f"{self.path}{name} {complaint}")
