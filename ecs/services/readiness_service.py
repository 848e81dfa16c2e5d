"""Whether this process can serve: what it depends on, asked all at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ecs.services.ports import Probe


class Readiness(StrEnum):
    """How well this process can serve."""

    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessService:
    """``vital`` must be up to serve at all; the others only make the work behind it late."""

    vital: Mapping[str, Probe]
    others: Mapping[str, Probe]

    async def check(self) -> tuple[Readiness, dict[str, bool]]:
        """Return the verdict, and which dependency answered."""
        probes = {**self.vital, **self.others}
        answers = await asyncio.gather(*(probe() for probe in probes.values()))
        up = dict(zip(probes, answers, strict=True))
        if not all(up[name] for name in self.vital):
            return Readiness.UNAVAILABLE, up
        return (Readiness.READY if all(answers) else Readiness.DEGRADED), up
