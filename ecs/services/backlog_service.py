"""What waits, measured by somebody who does none of the work."""

from collections.abc import Callable
from dataclasses import dataclass

from ecs.domain.telemetry import Measures
from ecs.repositories.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogService:
    """Looks at what waits."""

    unit_of_work: Callable[[], UnitOfWork]
    measures: Measures
